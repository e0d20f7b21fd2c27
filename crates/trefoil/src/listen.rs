//! `trefoil listen`: the end of streams that waits for callers.

use crate::arguments::Listen;
use crate::connection::access_options;
use crate::failure::Failure;
use crate::streams::{Workers, join, may_pass, standard, tell};
use std::net::TcpStream;
use std::time::Duration;
use trefoil_client::Code;
use trefoil_client::streams::{Call, Listener, Stream};

/// How long it waits before it tries to come back once more: twice as long each time.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &Listen) -> Result<(), Failure> {
    let mut listener = bind(arguments)?;
    let Some(to) = &arguments.tcp else {
        let stream = loop {
            // One who has gone meanwhile is none.
            match listener.next()?.accept() {
                Err(error) if error.code() == Some(Code::NoCaller) => {}
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
        let call = match listener.next() {
            Ok(call) => call,
            Err(error) if arguments.once => return Err(error.into()),
            Err(error) => {
                eprintln!("{error}; trying to come back");
                listener = come_back(arguments)?;
                eprintln!("listening as {:?} again", arguments.name);
                continue;
            }
        };
        if arguments.once {
            let from = call.from().to_string();
            // One who has gone meanwhile is none.
            let Some((stream, local)) = meet(call, to)? else { continue };
            drop(listener);
            return carry(&from, stream, local);
        }
        let to = to.clone();
        workers.start(move || {
            if let Err(failure) = serve(call, &to) {
                tell(&failure);
            }
        });
    }
}

fn bind(arguments: &Listen) -> Result<Listener, Failure> {
    let options = access_options(&arguments.hub.access)?;
    Ok(Listener::bind(&arguments.hub.url, options, &arguments.name, arguments.exclusive)?)
}

/// Listens again once the hub is back, however long that takes: nobody may be at this machine who could start it again.
fn come_back(arguments: &Listen) -> Result<Listener, Failure> {
    let options = access_options(&arguments.hub.access)?;
    let mut pause = PAUSE;
    loop {
        match Listener::bind(&arguments.hub.url, options.clone(), &arguments.name, arguments.exclusive) {
            Ok(listener) => return Ok(listener),
            Err(error) if may_pass(&error) => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Joins a caller with a connection to an address.
fn serve(call: Call, to: &str) -> Result<(), Failure> {
    let from = call.from().to_string();
    match meet(call, to)? {
        Some((stream, local)) => carry(&from, stream, local),
        None => Err(Failure::failed(format!("{from}: it has gone before it was connected to {to}"))),
    }
}

/// Carries bytes between the two until both have ended.
fn carry(from: &str, stream: Stream, local: TcpStream) -> Result<(), Failure> {
    join(stream, local).map_err(|error| Failure::failed(format!("{from}: {error}")))
}

/// Connects to an address for a caller, who is told if that cannot be. `None`: the caller has gone.
fn meet(call: Call, to: &str) -> Result<Option<(Stream, TcpStream)>, Failure> {
    let from = call.from().to_string();
    let local = match TcpStream::connect(to) {
        Ok(local) => local,
        Err(error) => {
            let failure = Failure::failed(format!("{from}: cannot connect to {to}: {error}"));
            call.refuse(&format!("cannot connect to {to}: {error}"))?;
            return Err(failure);
        }
    };
    match call.accept() {
        Ok(stream) => Ok(Some((stream, local))),
        Err(error) if error.code() == Some(Code::NoCaller) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
