//! `trefoil serve`: the hub, until a signal asks it to stop, or another process takes over from it.
//!
//! An upgrade goes like this. Whatever fails on the way, one of the two serves.
//!
//! ```text
//! the process that serves                       the new one
//! SIGUSR2, or somebody at the door
//! starts it, with the sockets (successor) ----> reads its settings, takes the sockets (inherit),
//!                                               opens what is missing
//!                                         <---- ready, or failed: why
//! stops, but leaves the sockets open,
//! gives the connections (door, passage)   ----> has them
//!                                     go  ----> opens what only one may hold, and starts
//!                                         <---- serving, or failed: why; then the first one starts again
//! ends                             yours  ----> says so
//! ```

#[cfg_attr(not(target_os = "linux"), path = "serve/door_elsewhere.rs")]
pub(crate) mod door;
mod inherit;
pub(crate) mod link;
mod notify;
#[cfg(target_os = "linux")]
mod passage;
pub(crate) mod pid_file;
mod successor;

use crate::arguments::Serve;
use crate::banner;
use crate::failure::Failure;
use crate::logging;
use crate::settings::Settings;
use inherit::Inherited;
use link::{Link, Word};
use notify::Watchdog;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use successor::Successor;
use trefoil_server::{HandedConnection, HandedOver, Origin, Server, StartError};

/// What a shell adds to the number of the signal that ended a process.
const ENDED_BY_SIGNAL: i32 = 128;

/// How long a new process waits for the old one to tell the service manager, before it does so itself.
const YOURS_MAX: Duration = Duration::from_secs(5);

/// How long a new process may take to end that has said, or shown, that it is of no use.
const END_MAX: Duration = Duration::from_secs(5);

/// How long to wait for an event when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// What the main thread waits for.
#[derive(Debug)]
enum Event {
    /// A signal has come.
    Signal(i32),
    /// Somebody at the door asks for an upgrade, and wants to know what comes of it.
    Asked(Link),
    /// The process with this serial that is to take over says something.
    Successor(u64, Word),
    /// The process that this one takes over from says something.
    Predecessor(Word),
    /// These are connections of that process, and go on in this one.
    Connections(Vec<HandedConnection>),
}

type Events = Sender<Event>;

pub(crate) fn run(arguments: &Serve) -> Result<(), Failure> {
    let Inherited { sockets, predecessor } = inherit::take()?;
    let (hub, server) = start(arguments, sockets, predecessor.as_ref()).inspect_err(|failure| {
        if let Some(predecessor) = &predecessor {
            predecessor.say(&Word::Failed(failure.message().to_owned()));
        }
    })?;
    drop(predecessor);
    hub.run(server)
}

/// Starts to serve, once the process before has let go of everything.
fn start<'a>(
    arguments: &'a Serve,
    sockets: Vec<trefoil_server::Socket>,
    predecessor: Option<&Link>,
) -> Result<(Hub<'a>, Server), Failure> {
    let settings = Settings::read(arguments.config.as_deref())?;
    logging::start(settings.config.log.level)?;
    tracing::info!("configured by {}", settings.source());
    for warning in &settings.config.warnings {
        tracing::warn!("{warning}");
    }
    let (events, inbox) = channel();
    crate::descriptors::raise();
    // Before anything is open: a signal that comes during the start stops the hub as cleanly as a later one.
    watch_signals(events.clone()).map_err(system_failure)?;
    let program = successor::own_path();
    let watchdog = Watchdog::start().map_err(system_failure)?;
    let origin = if predecessor.is_some() { Origin::Predecessor } else { Origin::Manager };
    let prepared = Server::prepare(&settings.config, sockets, origin).map_err(start_failure)?;
    for bind in prepared.unwanted() {
        tracing::info!("{bind} is closed, since the configuration does not have it");
    }
    if let Err(error) = door::open(events.clone(), predecessor) {
        tracing::warn!("`trefoil upgrade` cannot reach this process: {error}; SIGUSR2 can");
    }
    let mut connections = Vec::new();
    if let Some(predecessor) = predecessor {
        let events = events.clone();
        let listens = predecessor.listen(move |word| drop(events.send(Event::Predecessor(word))));
        listens.map_err(system_failure)?;
        predecessor.say(&Word::Ready);
        connections = wait_until_gone(&inbox)?;
    }
    let server = prepared.start_with(connections).map_err(start_failure)?;
    let pid_file = arguments.pid_file.as_deref();
    match pid_file.map(|path| (path, pid_file::write(path))) {
        Some((path, Err(error))) if predecessor.is_none() => {
            return Err(Failure::failed(format!("{}: cannot write it: {error}", path.display())));
        }
        Some((path, Err(error))) => tracing::error!("{}: cannot write it: {error}", path.display()),
        _ => {}
    }
    if let Some(predecessor) = predecessor {
        predecessor.say(&Word::Serving);
        wait_until_ours(&inbox, &events);
    }
    if settings.config.listeners.iter().all(|listener| listener.bind.is_loopback()) {
        tracing::info!("every listener is on a loopback address: only this machine can reach the hub");
    }
    if let Err(error) = banner::write(server.listening(), &mut io::stdout().lock()) {
        // Nobody reads standard output: no reason not to serve.
        tracing::debug!(%error, "standard output is closed");
    }
    watchdog.watch(&server);
    notify::ready(&notify::serving(&server));
    let hub = Hub { settings, pid_file, program, events, inbox, watchdog, successor: None, callers: vec![] };
    Ok((hub, server))
}

/// Waits until the process before has let go of everything, and gives the connections that have come from it.
fn wait_until_gone(inbox: &Receiver<Event>) -> Result<Vec<HandedConnection>, Failure> {
    let mut connections = Vec::new();
    for event in inbox {
        match event {
            Event::Predecessor(Word::Go) => break,
            Event::Predecessor(Word::Gone) => {
                tracing::warn!("the process before has gone without a word: taking over");
                break;
            }
            Event::Signal(signal @ (SIGTERM | SIGINT)) => {
                return Err(Failure::failed(format!("stopped by {} before it served", name(signal))));
            }
            Event::Asked(caller) => caller.say(&Word::Failed("this process does not serve yet".into())),
            Event::Connections(handed) => connections = handed,
            Event::Signal(_) | Event::Successor(..) | Event::Predecessor(_) => {}
        }
    }
    Ok(connections)
}

/// Waits until the process before has told the service manager who serves now. What else comes meanwhile has to wait.
fn wait_until_ours(inbox: &Receiver<Event>, events: &Events) {
    let until = Instant::now() + YOURS_MAX;
    let mut postponed = Vec::new();
    while let Ok(event) = inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
        match event {
            Event::Predecessor(Word::Yours | Word::Gone) => break,
            event => postponed.push(event),
        }
    }
    // This process has the other end.
    postponed.into_iter().for_each(|event| drop(events.send(event)));
}

/// A hub that serves.
struct Hub<'a> {
    settings: Settings,
    pid_file: Option<&'a Path>,
    /// What to start for an upgrade.
    program: io::Result<PathBuf>,
    events: Events,
    inbox: Receiver<Event>,
    watchdog: Watchdog,
    /// The process that is to take over, as long as there is one.
    successor: Option<Successor>,
    /// Who wants to know what comes of it.
    callers: Vec<Link>,
}

impl Hub<'_> {
    fn run(mut self, mut server: Server) -> Result<(), Failure> {
        loop {
            match self.next() {
                None => self.give_up(Some("the new process was not ready in time".into()), &server),
                Some(Event::Signal(SIGHUP)) => read_again(&server),
                Some(Event::Signal(SIGUSR2)) => self.upgrade(&server),
                Some(Event::Asked(caller)) => {
                    self.callers.push(caller);
                    self.upgrade(&server);
                }
                Some(Event::Signal(signal)) => {
                    tracing::info!("stopping ({}); once more to stop at once", name(signal));
                    self.stop(server);
                    return Ok(());
                }
                Some(Event::Successor(serial, word)) if self.is_successor(serial) => match word {
                    // Once this process has let go of the store, it could not open it again either.
                    Word::Ready if server.store_failure().is_some() => {
                        self.give_up(server.store_failure(), &server);
                    }
                    Word::Ready => match self.hand_over(server)? {
                        Some(again) => server = again,
                        None => return Ok(()),
                    },
                    Word::Failed(why) => self.give_up(Some(why), &server),
                    _ => self.give_up(None, &server),
                },
                // Connections that have come too late are closed with this.
                Some(Event::Successor(..) | Event::Predecessor(_) | Event::Connections(_)) => {}
            }
        }
    }

    /// The next event; `None` when a new process is not ready in time.
    fn next(&mut self) -> Option<Event> {
        loop {
            let until = self.successor.as_ref().map(|successor| successor.ready_until);
            let wait = until.map_or(IDLE, |until| until.saturating_duration_since(Instant::now()));
            match self.inbox.recv_timeout(wait) {
                Ok(event) => return Some(event),
                Err(_) if until.is_some() => return None,
                Err(_) => {}
            }
        }
    }

    fn is_successor(&self, serial: u64) -> bool {
        self.successor.as_ref().is_some_and(|successor| successor.serial == serial)
    }

    fn stop(mut self, server: Server) {
        notify::stopping("stopping");
        self.watchdog.rest();
        if let Some(successor) = self.successor.take() {
            successor.end(Duration::ZERO);
            self.answer(&Word::Failed("the hub stops".into()));
        }
        server.stop();
        if let Some(path) = self.pid_file {
            pid_file::remove(path);
        }
        tracing::info!("stopped");
    }

    /// Starts a process that is to take over, unless there is one.
    fn upgrade(&mut self, server: &Server) {
        if self.successor.is_some() {
            tracing::info!("an upgrade is under way already");
            return;
        }
        notify::reloading("upgrading: starting a new process");
        match self.start_successor(server) {
            Ok(successor) => {
                tracing::info!("upgrading: started process {}", successor.pid());
                self.successor = Some(successor);
            }
            Err(why) => self.give_up(Some(why), server),
        }
    }

    fn start_successor(&self, server: &Server) -> Result<Successor, String> {
        if let Some(why) = server.store_failure() {
            return Err(why);
        }
        if std::process::id() == 1 {
            return Err(
                "this is process 1 of its container, which would end with it; restart the container".into()
            );
        }
        let program =
            self.program.as_ref().map_err(|error| format!("nobody knows this program's path: {error}"))?;
        let sockets =
            server.sockets().map_err(|error| format!("the sockets cannot be handed on: {error}"))?;
        Successor::start(program, sockets, &self.events)
            .map_err(|error| format!("{} does not start: {error}", program.display()))
    }

    /// Goes on as before, since the new process is of no use.
    fn give_up(&mut self, why: Option<String>, server: &Server) {
        let ending = self.successor.take().map(|successor| successor.end(END_MAX));
        let why = why.or(ending).unwrap_or_default();
        tracing::error!("the upgrade failed, and this process goes on: {why}");
        notify::ready(&format!("{}; the last upgrade failed", notify::serving(server)));
        self.answer(&Word::Failed(why));
    }

    fn answer(&mut self, word: &Word) {
        self.callers.drain(..).for_each(|caller| caller.say(word));
    }

    /// Lets the new process take over. Gives a server back if that failed.
    fn hand_over(&mut self, server: Server) -> Result<Option<Server>, Failure> {
        let Some(mut successor) = self.successor.take() else { return Ok(Some(server)) };
        let pid = successor.pid();
        tracing::info!("process {pid} is ready: handing over");
        self.watchdog.rest();
        let passage = door::passage(pid)
            .inspect_err(|error| tracing::info!("connections are closed and not handed over: {error}"))
            .ok();
        let HandedOver { sockets, mut connections, mut closed } = server.hand_over(passage.is_some());
        let mut is_there = true;
        if let Some(Err(error)) = passage.map(|passage| passage.give(&connections)) {
            is_there = !successor.has_ended();
            if is_there {
                tracing::error!(
                    "the new process has not taken all connections, and they are closed: {error}"
                );
                closed += connections.len();
                connections.clear();
            }
        }
        let mut has_started = is_there;
        if is_there {
            tracing::info!("{} connections handed over, {closed} closed", connections.len());
            successor.say(&Word::Go);
        }
        let mut stops = false;
        let why = loop {
            match self.inbox.recv() {
                Ok(Event::Successor(serial, word)) if serial == successor.serial => match word {
                    Word::Serving => {
                        notify::main_pid(pid);
                        successor.say(&Word::Yours);
                        self.answer(&Word::Done(pid));
                        tracing::info!("process {pid} serves; this one ends");
                        return Ok(None);
                    }
                    Word::Failed(why) => {
                        has_started = false;
                        break Some(why);
                    }
                    Word::Gone => break None,
                    _ => {}
                },
                Ok(Event::Signal(signal @ (SIGTERM | SIGINT))) => {
                    tracing::info!("stopping ({}) what takes over", name(signal));
                    stops = true;
                    successor.ask_to_stop();
                }
                Ok(Event::Asked(caller)) => self.callers.push(caller),
                Ok(_) => {}
                Err(_) => unreachable!("a sender is kept for new links"),
            }
        };
        let ending = successor.end(END_MAX);
        if stops {
            tracing::info!("stopped");
            return Ok(None);
        }
        let prepared = Server::prepare(&self.settings.config, sockets, Origin::Predecessor);
        let prepared = prepared.map_err(start_failure)?;
        if has_started {
            // Nobody knows what it has read or written already.
            connections.clear();
        }
        let server = prepared.start_with(connections).map_err(start_failure)?;
        if let Some(Err(error)) = self.pid_file.map(pid_file::write) {
            tracing::error!("the file of the process number cannot be written: {error}");
        }
        self.watchdog.watch(&server);
        self.give_up(why.or(Some(ending)), &server);
        Ok(Some(server))
    }
}

/// What is wrong with a file, or does not agree with a unit file, is a mistake in the configuration.
fn start_failure(error: StartError) -> Failure {
    match error {
        error @ (StartError::Users(_) | StartError::Certificate(_) | StartError::Unwanted(_)) => {
            Failure::usage(error)
        }
        error @ StartError::Unusable(_) => Failure::unusable(error),
        error => Failure::failed(error),
    }
}

fn system_failure(error: io::Error) -> Failure {
    Failure::failed(format!("the system refuses what a hub needs: {error}"))
}

/// SIGHUP: what may change while the hub runs is read again.
fn read_again(server: &Server) {
    notify::reloading("reading the file of users and the certificates again");
    let certificates = server.reload_certificates();
    for certificate in &certificates {
        match certificate {
            Ok(()) => tracing::info!("a certificate is read again; who connects from now on sees it"),
            Err(why) => tracing::error!("a certificate is not right, so that of before stays: {why}"),
        }
    }
    match server.reload_users() {
        Ok(Some(count)) => tracing::info!("the file of users is read again: {count} users"),
        Ok(None) if !certificates.is_empty() => {}
        Ok(None) => tracing::info!(
            "there is nothing to read again (SIGHUP): neither a file of users nor a certificate is configured"
        ),
        Err(why) => tracing::error!("the file of users is not right, so those of before stay: {why}"),
    }
    notify::ready(&notify::serving(server));
}

/// Lets signals come as events. After the first one that asks for a stop, the next ends the process on the spot.
fn watch_signals(events: Events) -> io::Result<()> {
    let asked_before = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the flag is still down when the first signal passes the first of the two.
        flag::register_conditional_shutdown(signal, ENDED_BY_SIGNAL + signal, asked_before.clone())?;
        flag::register(signal, asked_before.clone())?;
    }
    // It would end the process where a file may not become as large as it should be (`ulimit -f`). Handled, the write fails
    // instead, and the store takes that for a full disk.
    flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR2])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT" } else { "SIGTERM" }
}
