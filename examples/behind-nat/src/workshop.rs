//! The machine behind NAT: a web server, and beside it the end that listens at the hub. What `trefoil listen NAME --tcp` is.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use example_shared::Page;
use serde_json::json;
use trefoil_client::{Error, Options, streams};

use crate::tunnel::{STREAMS_MAX, Traffic, join};

const RETRY: Duration = Duration::from_secs(1);
/// The largest of the files that the workshop has to offer.
const FILE_MIB_MAX: usize = 64;

/// What the workshop's web server has beside its page: what its end of the tunnel has carried, and files of any size.
pub(crate) fn add_to(page: Page, traffic: Arc<Traffic>) -> Page {
    let began = Instant::now();
    let state = move || async move {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        axum::Json(json!({
            "up_s": began.elapsed().as_secs_f64(),
            "process": std::process::id(),
            "streams": { "open": traffic.open(), "all": read(&traffic.opened) },
            "bytes": { "taken": read(&traffic.taken), "given": read(&traffic.given) },
        }))
    };
    page.route("/state.json", get(state)).route("/file/{mib}", get(file))
}

/// A file of so many MiB, in which every byte is known.
async fn file(Path(mib): Path<usize>) -> Result<Vec<u8>, StatusCode> {
    if !(1..=FILE_MIB_MAX).contains(&mib) {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok((0..mib << 20).map(|at| (at % 251) as u8).collect())
}

/// Listens at the hub for as long as the program runs, and connects each caller to the web server.
///
/// # Errors
/// When the system starts no more threads.
pub(crate) fn listen(
    hub: String,
    name: &'static str,
    server: SocketAddr,
    traffic: Arc<Traffic>,
) -> io::Result<()> {
    thread::Builder::new().name("workshop".into()).spawn(move || {
        loop {
            let Err(error) = answer_calls(&hub, name, server, &traffic);
            let _ = writeln!(io::stderr(), "workshop: {error}; trying again");
            thread::sleep(RETRY);
        }
    })?;
    Ok(())
}

fn answer_calls(
    hub: &str,
    name: &str,
    server: SocketAddr,
    traffic: &Arc<Traffic>,
) -> Result<Infallible, Error> {
    let mut listener = streams::Listener::bind(hub, Options::default(), name, false)?;
    loop {
        let call = listener.next()?;
        if traffic.open() >= STREAMS_MAX {
            call.refuse("the workshop has enough to do")?;
            continue;
        }
        let traffic = traffic.clone();
        thread::spawn(move || {
            let joined = TcpStream::connect(server)
                .and_then(|local| Ok((call.accept().map_err(io::Error::other)?, local)))
                .and_then(|(stream, local)| join(stream, local, &traffic));
            if let Err(error) = joined {
                let _ = writeln!(io::stderr(), "workshop: {error}");
            }
        });
    }
}
