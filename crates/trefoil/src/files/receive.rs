//! `trefoil receive`: gets what somebody sends who knows the same code.

use super::channel::{Channel, Received};
use super::greet::{Unknown, greet};
use super::patience::Patience;
use super::progress::Progress;
use super::target::{Conflicts, Target};
use super::{Stop, count, given_up, human, question};
use crate::arguments::Receive;
use crate::connection::access_options;
use crate::failure::Failure;
use std::io::IsTerminal;
use std::time::Duration;
use trefoil_client::{Code as Refusal, ErrorKind, streams};
use trefoil_transfer::{
    Arrival, Fault, HandshakeError, Incoming, Kind, Manifest, Message, Role, name::Rules, name::shown,
};

/// Whoever makes a connection break this often, just when this end has said what it knows, may be guessing.
const EXPOSURES_MAX: u32 = 3;

/// How long the hub is asked to wait for a sender at a time.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// No more names are shown before a question.
const NAMES_SHOWN: usize = 10;

pub(crate) fn run(arguments: &Receive) -> Result<(), Failure> {
    if !arguments.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input is no terminal, so nobody can be asked whether to receive what is offered: add --yes",
        ));
    }
    let mut progress = Progress::new(arguments.quiet);
    let mut receiver = Receiver::new(arguments);
    let mut caller = Caller::new(arguments)?;
    progress.say("waiting for the sender");
    loop {
        let stop = match caller.call()? {
            Called::Connected(channel) => {
                caller.was_connected();
                match receiver.take(channel, &mut progress) {
                    Ok(()) => break,
                    Err(stop) => stop,
                }
            }
            Called::Broken(why) => Stop::Broken(why),
            Called::Late => continue,
        };
        match stop {
            Stop::Fatal(failure) => return Err(failure),
            Stop::Tell(_, text) => return Err(Failure::failed(text)),
            // Everything is where it belongs; only the sender does not know yet.
            Stop::Broken(_) if receiver.is_published && !caller.is_worth_telling() => break,
            Stop::Broken(why) => caller.again(&why, &progress)?,
        }
    }
    progress.end();
    if let Some(manifest) = receiver.incoming.manifest() {
        let tops: Vec<String> = manifest.tops().take(NAMES_SHOWN).map(|entry| shown(&entry.path)).collect();
        let received = count(manifest.files(), "file");
        progress.say(&format!("received {received}, {}: {}", human(receiver.done_bytes), tops.join(", ")));
    }
    Ok(())
}

/// Gets connections with the sender.
struct Caller<'a> {
    arguments: &'a Receive,
    options: trefoil_client::Options,
    exposures: u32,
    /// For the sender to come at first.
    wait: Patience,
    /// For it to come back.
    reconnect: Option<Patience>,
}

enum Called {
    Connected(Channel),
    Broken(String),
    /// Nobody has come yet.
    Late,
}

impl<'a> Caller<'a> {
    fn new(arguments: &'a Receive) -> Result<Caller<'a>, Failure> {
        let options = access_options(&arguments.hub.access)?;
        Ok(Caller { arguments, options, exposures: 0, wait: Patience::new(arguments.wait), reconnect: None })
    }

    fn patience(&mut self) -> &mut Patience {
        self.reconnect.as_mut().unwrap_or(&mut self.wait)
    }

    fn was_connected(&mut self) {
        self.reconnect.get_or_insert_with(|| Patience::new(self.arguments.reconnect)).renew();
    }

    /// Whether to tell the sender once more that all has arrived, if it costs but a moment.
    fn is_worth_telling(&mut self) -> bool {
        let worth = Duration::from_secs(10).min(self.arguments.reconnect);
        let is_first = self.reconnect.as_ref().is_none_or(|patience| patience.allowed() > worth);
        if is_first {
            self.reconnect = Some(Patience::new(worth));
        }
        is_first || !self.patience().left().is_zero()
    }

    fn again(&mut self, why: &str, progress: &Progress) -> Result<(), Failure> {
        progress.say(&format!("the connection broke ({why}); trying again"));
        if self.patience().pause() {
            return Ok(());
        }
        Err(Failure::unreachable(format!(
            "the connection broke ({why}) and has not come back in time. The same command again goes on from here"
        )))
    }

    fn call(&mut self) -> Result<Called, Failure> {
        let code = &self.arguments.code;
        let url = &self.arguments.hub.url;
        let is_first = self.reconnect.is_none();
        // Not much longer at a time: a connection on which nothing is said for long is forgotten by what it passes.
        let wait = self.patience().left().min(WAIT_MAX);
        let mut stream = match streams::connect(url, &self.options, &code.stream(), Some(wait)) {
            Ok(stream) => stream,
            Err(error) => {
                let is_late =
                    matches!(error.code(), Some(Refusal::NoListener | Refusal::Timeout | Refusal::Refused))
                        || error.kind() == ErrorKind::TimedOut && error.code().is_none() && !is_first;
                let is_passing = matches!(error.code(), Some(Refusal::Overloaded | Refusal::Unavailable))
                    || matches!(error.kind(), ErrorKind::Lost)
                    || matches!(error.kind(), ErrorKind::Connect) && !is_first;
                if is_late && is_first && self.patience().left().is_zero() {
                    return Err(Failure::timed_out("no sender has come in time"));
                }
                // A sender that has enough callers refuses at once, so it is left alone for a moment.
                if is_late && wait == WAIT_MAX && error.code() != Some(Refusal::Refused) {
                    return Ok(Called::Late);
                }
                if is_late || is_passing {
                    return Ok(Called::Broken(error.to_string()));
                }
                return Err(error.into());
            }
        };
        let keys = match greet(&mut stream, Role::Receiver, code, |handshake, bytes| handshake.handle(bytes))
        {
            Ok(keys) => keys,
            Err(Unknown::Stranger(HandshakeError::WrongCode)) => {
                return Err(Failure::refused(
                    "the code is wrong: the sender with this number has another one. Compare it letter by letter; the \
                     sender ends after three wrong ones",
                ));
            }
            Err(Unknown::Stranger(error)) => return Err(Failure::failed(error)),
            Err(Unknown::Broken { why, was_exposed }) => {
                self.exposures += u32::from(was_exposed);
                if self.exposures >= EXPOSURES_MAX {
                    return Err(Failure::refused(
                        "the connection broke three times just when this end had proved that it knows the code: \
                         somebody may be guessing it. Send again with another code",
                    ));
                }
                return Ok(Called::Broken(why));
            }
        };
        match Channel::start(stream, keys) {
            Ok(channel) => Ok(Called::Connected(channel)),
            Err(error) => Err(Failure::failed(format!("cannot start a thread: {error}"))),
        }
    }
}

/// What is received, over as many connections as it takes.
pub(super) struct Receiver<'a> {
    arguments: &'a Receive,
    incoming: Incoming,
    target: Option<Target>,
    mask: u16,
    overwrite: bool,
    is_published: bool,
    done_bytes: u64,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(arguments: &'a Receive) -> Receiver<'a> {
        Receiver {
            arguments,
            incoming: Incoming::new(Rules::here()),
            target: None,
            mask: mask(),
            overwrite: arguments.overwrite,
            is_published: false,
            done_bytes: 0,
        }
    }

    /// Takes what comes over a connection.
    pub(super) fn take(&mut self, channel: Channel, progress: &mut Progress) -> Result<(), Stop> {
        self.incoming.connected();
        self.done_bytes = 0;
        self.take_all(&channel, progress).map_err(|stop| stop.part(channel))
    }

    fn take_all(&mut self, channel: &Channel, progress: &mut Progress) -> Result<(), Stop> {
        loop {
            let received = channel.receive()?;
            if self.handle(&received, channel, progress)? {
                return Ok(());
            }
            channel.recycle(received);
            progress.at(self.done_bytes);
        }
    }

    /// Does what a message asks for. Gives whether it was the last.
    fn handle(
        &mut self,
        received: &Received,
        channel: &Channel,
        progress: &mut Progress,
    ) -> Result<bool, Stop> {
        let arrival = self.incoming.handle(received.message()?)?;
        if let Arrival::Failed(fault, text) = arrival {
            return Err(given_up(fault, &text));
        }
        let (Some(manifest), target) = (self.incoming.manifest(), &mut self.target) else { return Ok(false) };
        let entry = |file: u32| &manifest.entries()[file as usize];
        match (arrival, target) {
            (Arrival::Nothing | Arrival::Failed(..), _) => {}
            (Arrival::Offer, _) => self.offered(channel, progress)?,
            (Arrival::Chunk { file, offset, data }, Some(target)) => {
                progress.name(|| shown(&entry(file).path));
                self.done_bytes += data.len() as u64;
                target
                    .write(file, entry(file), offset, data)
                    .map_err(|error| cannot_write(manifest, file, &error))?;
            }
            (Arrival::File { file, bytes }, Some(target)) => {
                target
                    .finish(file, entry(file), bytes)
                    .map_err(|error| cannot_write(manifest, file, &error))?;
            }
            (Arrival::Kept { bytes, .. }, _) => self.done_bytes += bytes,
            (Arrival::End, _) => {
                if let Some(target) = self.target.take() {
                    let published = target.publish(manifest, self.overwrite);
                    published.map_err(|error| Stop::Tell(Fault::Target, in_place(&error)))?;
                    self.is_published = true;
                }
                channel.send(Message::Complete.record())?;
            }
            (Arrival::Bye, _) => return Ok(true),
            // Everything is published, and the sender goes through it once more.
            (Arrival::Chunk { .. } | Arrival::File { .. }, None) => {}
        }
        Ok(false)
    }

    /// Answers to an offer: asks, makes room, and says what is there already.
    fn offered(&mut self, channel: &Channel, progress: &mut Progress) -> Result<(), Stop> {
        let Some(manifest) = self.incoming.manifest().cloned() else { return Ok(()) };
        if self.target.is_none() && !self.is_published {
            self.agree(&manifest)?;
            let mut target = self.make_room(&manifest)?;
            let found =
                target.found(&manifest).map_err(|error| Stop::Tell(Fault::Target, in_place(&error)))?;
            let there: u64 =
                found.iter().map(|(file, sums)| known_bytes(&manifest, *file, sums.values().len())).sum();
            let (needed, free) =
                (manifest.bytes().saturating_sub(there), target.free_bytes().unwrap_or(u64::MAX));
            if needed > free {
                target.withdraw();
                let text = format!(
                    "there is not enough room in {}: {} are needed and {} free",
                    self.arguments.output.display(),
                    human(needed),
                    human(free)
                );
                return Err(Stop::Tell(Fault::NoSpace, text));
            }
            if there > 0 {
                let part = Target::part_path(&self.arguments.output, &manifest);
                progress.say(&format!(
                    "going on with {}, of which {} are there",
                    part.display(),
                    human(there)
                ));
            }
            found.into_iter().for_each(|(file, sums)| self.incoming.found(file, sums));
            self.target = Some(target);
        }
        progress.begin(manifest.bytes());
        for record in self.incoming.accept() {
            channel.send(record)?;
        }
        Ok(())
    }

    fn make_room(&self, manifest: &Manifest) -> Result<Target, Stop> {
        Target::open(&self.arguments.output, manifest, self.mask).map_err(|error| {
            let output = self.arguments.output.display();
            Stop::Tell(Fault::Target, format!("cannot write into {output}: {error}"))
        })
    }

    /// Whether to receive this, and to replace what is there.
    fn agree(&mut self, manifest: &Manifest) -> Result<(), Stop> {
        let conflicts = Conflicts::find(&self.arguments.output, manifest)
            .map_err(|error| Stop::Tell(Fault::Target, format!("cannot look into the folder: {error}")))?;
        if let Some(first) = conflicts.impossible.first() {
            return Err(Stop::Tell(
                Fault::Target,
                format!("what is there already cannot be replaced: {first}"),
            ));
        }
        let declined = || Stop::Tell(Fault::Declined, "the receiver said no".into());
        let ask =
            |text: &str| question::ask(text).map_err(|error| Failure::failed(format!("cannot ask: {error}")));
        if !self.arguments.yes {
            let tops: Vec<String> =
                manifest.tops().take(NAMES_SHOWN).map(|entry| shown(&entry.path)).collect();
            let more = if manifest.tops().count() > NAMES_SHOWN { ", …" } else { "" };
            let (files, size) = (count(manifest.files(), "file"), human(manifest.bytes()));
            if !ask(&format!("Receive {}{more} ({files}, {size})?", tops.join(", ")))? {
                return Err(declined());
            }
        }
        if conflicts.existing.is_empty() || self.overwrite {
            return Ok(());
        }
        let existing: Vec<String> =
            conflicts.existing.iter().take(NAMES_SHOWN).map(|path| shown(path)).collect();
        let existing = existing.join(", ");
        if self.arguments.yes {
            let text = format!("not overwritten, since --overwrite was not given: {existing}");
            return Err(Stop::Tell(Fault::Declined, text));
        }
        self.overwrite = ask(&format!("There already: {existing}. Overwrite?"))?;
        if self.overwrite { Ok(()) } else { Err(declined()) }
    }
}

/// How many bytes the first chunks of a file are.
fn known_bytes(manifest: &Manifest, file: u32, chunks: usize) -> u64 {
    let bytes = chunks as u64 * trefoil_transfer::CHUNK_BYTES as u64;
    match manifest.entries()[file as usize].kind {
        Kind::File(Some(size)) => bytes.min(size),
        _ => bytes,
    }
}

fn cannot_write(manifest: &Manifest, file: u32, error: &std::io::Error) -> Stop {
    let path = shown(&manifest.entries()[file as usize].path);
    use std::io::ErrorKind;
    let is_full =
        matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
    let fault = if is_full { Fault::NoSpace } else { Fault::Target };
    let advice = if is_full { ". The same command again goes on from here, once there is room" } else { "" };
    Stop::Tell(fault, format!("cannot write {path}: {error}{advice}"))
}

fn in_place(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            "something with the same name has appeared meanwhile; what was received stays in the .trefoil.part beside it"
                .into()
        }
        _ => format!("cannot put what was received in its place: {error}"),
    }
}

/// The permission bits that the system takes away from what this person makes.
fn mask() -> u16 {
    // It can only be read by setting it. Nothing is made meanwhile: this is the only thread yet that makes files.
    let mask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    rustix::process::umask(mask);
    (mask.bits() & 0o777) as u16
}
