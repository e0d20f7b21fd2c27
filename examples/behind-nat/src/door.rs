//! The near end: a port of this machine, each connection to which becomes a stream. What `trefoil connect NAME --tcp` is.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trefoil_client::{Options, streams};

use crate::tunnel::{STREAMS_MAX, Traffic, join};

/// How long whoever opens the door waits for the workshop to be there.
const WAIT: Duration = Duration::from_secs(10);

/// How long it waits when nobody can be let in.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens it, and gives the address.
///
/// # Errors
/// When the port cannot be had.
pub(crate) fn open(at: SocketAddr, hub: String, name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(at)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open the door at {at}: {error}")))?;
    let address = listener.local_addr()?;
    let traffic = Arc::new(Traffic::default());
    thread::spawn(move || {
        for local in listener.incoming() {
            let Ok(local) = local else {
                // Descriptors are short, for example: it is there still when one is free.
                thread::sleep(PAUSE);
                continue;
            };
            if traffic.open() >= STREAMS_MAX {
                // It is closed at once: a browser tries again.
                continue;
            }
            let (hub, traffic) = (hub.clone(), traffic.clone());
            thread::spawn(move || {
                if let Err(error) = pass(&hub, name, local, &traffic) {
                    // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
                    let _ = writeln!(io::stderr(), "door: {error}");
                }
            });
        }
    });
    Ok(address)
}

fn pass(hub: &str, name: &str, local: TcpStream, traffic: &Arc<Traffic>) -> io::Result<()> {
    let stream = streams::connect(hub, &Options::default(), name, Some(WAIT)).map_err(io::Error::other)?;
    join(stream, local, traffic)
}
