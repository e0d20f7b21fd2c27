//! `trefoil listen`: the end of streams that waits for callers.

use crate::arguments::Listen;
use crate::connection::access_options;
use crate::failure::Failure;
use crate::streams::{Workers, join, standard, tell};
use std::net::TcpStream;
use trefoil_client::streams::{Call, Listener};

pub(crate) fn run(arguments: &Listen) -> Result<(), Failure> {
    let options = access_options(&arguments.hub.access)?;
    let mut listener = Listener::bind(&arguments.hub.url, options, &arguments.name, arguments.exclusive)?;
    let Some(to) = &arguments.tcp else {
        let stream = loop {
            // One who has gone meanwhile is none.
            match listener.next()?.accept() {
                Err(error) if error.code() == Some(trefoil_client::Code::NoCaller) => {}
                accepted => break accepted?,
            }
        };
        // Nobody else is to be told that somebody waits here.
        drop(listener);
        return standard(stream);
    };
    eprintln!("listening as {:?} for {to}", arguments.name);
    let workers = Workers::new();
    loop {
        let call = listener.next()?;
        if arguments.once {
            drop(listener);
            return serve(call, to);
        }
        let to = to.clone();
        workers.start(move || {
            if let Err(failure) = serve(call, &to) {
                tell(&failure);
            }
        });
    }
}

/// Joins a caller with a connection to an address. Who cannot be connected is told so.
fn serve(call: Call, to: &str) -> Result<(), Failure> {
    let from = call.from().to_string();
    match TcpStream::connect(to) {
        Ok(local) => join(call.accept()?, local).map_err(|error| Failure::failed(format!("{from}: {error}"))),
        Err(error) => {
            let failure = Failure::failed(format!("{from}: cannot connect to {to}: {error}"));
            call.refuse(&format!("cannot connect to {to}: {error}"))?;
            Err(failure)
        }
    }
}
