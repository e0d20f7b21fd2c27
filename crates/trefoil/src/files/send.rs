//! `trefoil send`: offers files, and gives them to whoever knows the code.

use super::channel::{Channel, Received};
use super::doorman::{Arrival, Door};
pub(crate) use super::offer::Links;
use super::offer::{self, Offer};
use super::progress::Progress;
use super::source::Source;
use super::{Stop, count, given_up, human};
use crate::arguments::Send;
use crate::connection::access_options;
use crate::failure::Failure;
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;
use trefoil_transfer::{CHUNK_ROOM_BYTES, Code, Fault, Message, Notice, Outgoing, Task, name::shown};

pub(crate) fn run(arguments: &Send) -> Result<(), Failure> {
    let mut progress = Progress::new(arguments.quiet);
    let offer = offer::list(&arguments.paths, arguments.links, &arguments.name)?;
    offer.left_out.iter().for_each(|what| progress.say(&format!("left out {what}")));
    if offer.manifest.entries().is_empty() {
        return Err(Failure::failed("there is nothing to send"));
    }
    let mut door = Door {
        url: arguments.hub.url.clone(),
        options: access_options(&arguments.hub.access)?,
        code: code(arguments)?,
        reconnect: arguments.reconnect,
    };
    let listener = door.open(arguments.code.is_none(), |attempt| random_number(attempt + 1))?;
    announce(&door.code, &offer, &progress)?;
    let arrivals = door.watch(listener);
    let arrivals = arrivals.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;

    let Offer { manifest, places, .. } = offer;
    let mut outgoing = Outgoing::new(manifest);
    let mut source = Source::new(places, Box::new(std::io::stdin()));
    serve(&arrivals, arguments, &mut outgoing, &mut source, &mut progress)?;
    progress.end();
    let sent = count(outgoing.manifest().files(), "file");
    progress.say(&format!("sent {sent}, {}", human(outgoing.done_bytes())));
    Ok(())
}

/// Lets receivers in, one after the other, until one has got everything.
fn serve(
    arrivals: &Receiver<Arrival>,
    arguments: &Send,
    outgoing: &mut Outgoing,
    source: &mut Source,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut until = Instant::now() + arguments.wait;
    let mut was_connected = false;
    loop {
        match arrivals.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Arrival::Receiver(channel)) => {
                was_connected = true;
                match give(channel, outgoing, source, progress) {
                    Ok(()) => return Ok(()),
                    Err(Stop::Fatal(failure)) => return Err(failure),
                    Err(Stop::Tell(_, text)) => return Err(Failure::failed(text)),
                    Err(Stop::Broken(why)) => {
                        progress.say(&format!(
                            "the connection broke ({why}); waiting for the receiver to come back"
                        ));
                        until = Instant::now() + arguments.reconnect;
                    }
                }
            }
            Ok(Arrival::Guess { left: 0 }) => {
                return Err(Failure::refused(
                    "three wrong codes: somebody may be guessing, so nobody gets anything any more. Send again with \
                     another code",
                ));
            }
            Ok(Arrival::Guess { left }) => {
                progress.say(&format!("somebody tried a wrong code; after {left} more this ends"));
            }
            Ok(Arrival::Stranger(why)) => progress.say(&format!("somebody was turned away: {why}")),
            Ok(Arrival::Away(why)) => progress.say(&format!("{why}; trying to come back")),
            Ok(Arrival::Closed(failure)) => return Err(failure),
            Err(RecvTimeoutError::Timeout) if was_connected => {
                return Err(Failure::unreachable(
                    "the receiver has not come back in time. Send again with the same --code to go on",
                ));
            }
            Err(_) => return Err(Failure::timed_out("no receiver has come in time")),
        }
    }
}

/// Gives everything to a receiver, as far as the connection holds.
pub(super) fn give(
    channel: Channel,
    outgoing: &mut Outgoing,
    source: &mut Source,
    progress: &mut Progress,
) -> Result<(), Stop> {
    progress.begin(outgoing.manifest().bytes());
    match give_all(&channel, outgoing, source, progress) {
        Ok(()) => {
            channel.close(&Message::Bye);
            Ok(())
        }
        Err(stop) => Err(stop.part(channel)),
    }
}

fn give_all(
    channel: &Channel,
    outgoing: &mut Outgoing,
    source: &mut Source,
    progress: &Progress,
) -> Result<(), Stop> {
    for record in outgoing.connected() {
        channel.send(record)?;
    }
    while hear(channel.receive()?, outgoing, channel)? != Notice::Accepted {}
    loop {
        // One at a time: behind the last there may be the end of the connection, which then does no harm any more.
        if let Some(received) = channel.try_receive()? {
            hear(received, outgoing, channel)?;
        }
        let mut record = channel.buffer();
        match outgoing.next(&mut record) {
            Task::Send => channel.send(record)?,
            Task::Wait => {
                hear(channel.receive()?, outgoing, channel)?;
            }
            Task::Done => return Ok(()),
            Task::Ended { file } => {
                source.check_end(file).map_err(|error| cannot_send(outgoing, file, &error))?;
            }
            Task::Read { file, chunk, .. } => {
                progress.name(|| shown(&outgoing.manifest().entries()[file as usize].path));
                let read = source.read(file, chunk, &mut record[CHUNK_ROOM_BYTES..]);
                let read = read.map_err(|error| cannot_send(outgoing, file, &error))?;
                let is_news = outgoing.was_read(read, &mut record);
                if is_news.map_err(|error| cannot_send(outgoing, file, &error))? {
                    channel.send(record)?;
                }
            }
        }
        progress.at(outgoing.done_bytes());
    }
}

/// Takes what the receiver says.
fn hear(received: Received, outgoing: &mut Outgoing, channel: &Channel) -> Result<Notice, Stop> {
    let notice = outgoing.handle(received.message()?)?;
    channel.recycle(received);
    match notice {
        Notice::Failed(fault, text) => Err(given_up(fault, &text)),
        notice => Ok(notice),
    }
}

/// A file cannot be sent as it was offered.
fn cannot_send(outgoing: &Outgoing, file: u32, error: &dyn std::error::Error) -> Stop {
    let path = shown(&outgoing.manifest().entries()[file as usize].path);
    Stop::Tell(Fault::Source, format!("{path} cannot be sent: {error}"))
}

/// Says the code on standard output, where scripts find it, and to people what it is for.
fn announce(code: &Code, offer: &Offer, progress: &Progress) -> Result<(), Failure> {
    let what = count(offer.manifest.files(), "file");
    let size = human(offer.manifest.bytes());
    progress.say(&format!("sending {what}, {size}. On the other machine: trefoil receive {code}"));
    let mut output = std::io::stdout().lock();
    let written = writeln!(output, "{code}").and_then(|()| output.flush());
    written.map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

fn code(arguments: &Send) -> Result<Code, Failure> {
    if let Some(code) = &arguments.code {
        return Ok(code.clone());
    }
    let mut random = vec![0; 2 * usize::from(arguments.words)];
    getrandom::fill(&mut random).map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    Ok(Code::generate(random_number(0), &random))
}

/// A number for a code: a short one first, and longer ones where those are taken.
fn random_number(attempt: u32) -> u32 {
    let mut random = [0; 4];
    // Without randomness the number is not as good a one, which is no secret anyway.
    let _ = getrandom::fill(&mut random);
    let most = if attempt < 3 { 999 } else { 99_999 };
    1 + u32::from_le_bytes(random) % most
}

/// How long either waits for the other unless it is told, in seconds.
pub(crate) const WAIT: &str = "3600";
