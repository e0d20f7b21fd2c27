//! `trefoil send` and `trefoil receive`: files from one person to another through a hub that cannot read them.
//!
//! `trefoil_transfer` holds the protocol; here are the sockets, threads and files around it. A [`channel::Channel`] is
//! an authenticated connection with a thread for each direction, so that a chunk is encrypted while the next one is
//! read. The sender's [`doorman`] lets in whoever knows the code; [`offer`] lists what is sent and [`source`] reads it.
//! The receiver's [`target`] writes below one folder and follows no link on the way.

mod channel;
mod doorman;
mod greet;
mod link;
mod offer;
mod patience;
mod progress;
mod question;
pub(crate) mod receive;
pub(crate) mod send;
mod source;
mod target;
#[cfg(test)]
mod tests;

use crate::failure::Failure;
use trefoil_transfer::{Fault, Message, MessageError, Violation, name};

/// Why a connection came to its end before everything had been transferred.
#[derive(Debug)]
enum Stop {
    /// It broke; another one may go on from there.
    Broken(String),
    /// There is no going on.
    Fatal(Failure),
    /// There is no going on, and the other end has to hear why.
    Tell(Fault, String),
}

impl Stop {
    /// Says the last words, if there are any, and lets go of the connection.
    fn part(self, channel: channel::Channel) -> Stop {
        match self {
            Stop::Tell(fault, text) => {
                channel.close(&Message::Fail { fault, text: &text });
                Stop::Fatal(Failure::failed(text))
            }
            other => other,
        }
    }
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Tell(Fault::Violation, violation.to_string())
    }
}

impl From<MessageError> for Stop {
    fn from(error: MessageError) -> Stop {
        Stop::Tell(Fault::Violation, error.to_string())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fatal(failure)
    }
}

/// What the other end has to say at its end.
fn given_up(fault: Fault, text: &str) -> Stop {
    let text = name::shown(text.as_bytes());
    match fault {
        Fault::Busy => Stop::Broken(text),
        Fault::Declined => Stop::Fatal(Failure::refused(format!("the receiver does not want it: {text}"))),
        Fault::NoSpace | Fault::Target => {
            Stop::Fatal(Failure::failed(format!("the receiver cannot go on: {text}")))
        }
        Fault::Source => Stop::Fatal(Failure::failed(format!("the sender cannot go on: {text}"))),
        Fault::Violation => Stop::Fatal(Failure::failed(format!("the other end gave up: {text}"))),
    }
}

/// A number of bytes for a person.
fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A number of things for a person.
fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
