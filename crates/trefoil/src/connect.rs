//! `trefoil connect`: the end of streams that calls.

use crate::arguments::Connect;
use crate::connection::access_options;
use crate::failure::Failure;
use crate::streams::{Workers, accept, join, reset, standard, tell};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use trefoil_client::{Options, streams};

/// How to call.
struct Call {
    url: String,
    options: Options,
    name: String,
    wait: Option<Duration>,
}

pub(crate) fn run(arguments: &Connect) -> Result<(), Failure> {
    let (url, name, wait) = (arguments.hub.url.clone(), arguments.name.clone(), arguments.wait);
    let call = Arc::new(Call { url, options: access_options(&arguments.hub.access)?, name, wait });
    let Some(address) = &arguments.tcp else { return standard(call.make()?) };
    let bind = |error| Failure::failed(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    // Who started this on port 0 waits for the line.
    println(&format!("listening on tcp://{address}"))?;
    let workers = Workers::new();
    loop {
        let local = accept(&listener)
            .map_err(|error| Failure::failed(format!("cannot accept on {address}: {error}")))?;
        if arguments.once {
            drop(listener);
            return call.carry(local);
        }
        let call = call.clone();
        workers.start(move || {
            if let Err(failure) = call.carry(local) {
                tell(&failure);
            }
        });
    }
}

impl Call {
    fn make(&self) -> Result<streams::Stream, Failure> {
        Ok(streams::connect(&self.url, &self.options, &self.name, self.wait)?)
    }

    /// Carries one connection. If it cannot be, it is reset, so that nobody takes it for one that ended well.
    fn carry(&self, local: TcpStream) -> Result<(), Failure> {
        match self.make() {
            Ok(stream) => join(stream, local).map_err(Failure::failed),
            Err(failure) => {
                reset(&local);
                Err(failure)
            }
        }
    }
}

fn println(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}
