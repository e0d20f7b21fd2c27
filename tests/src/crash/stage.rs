//! What the threads of the clients share.

use super::evidence::{End, Evidence};
use super::shelf::Shelf;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use trefoil_model::Event;

/// How long a client waits for the hub's bytes before it thinks of something else to do.
const TURN: Duration = Duration::from_millis(2);

pub(super) struct Stage {
    pub(super) port: u16,
    /// Where MQTT-SN is spoken.
    pub(super) devices_port: u16,
    start: Instant,
    /// Whether what is not a message is on disk before it is acknowledged.
    pub(super) syncs_sessions: bool,
    /// How often a life of the hub has ended.
    lives: AtomicUsize,
    /// The last life in which it came up.
    up: AtomicUsize,
    evidence: Mutex<Evidence>,
    shelf: Mutex<Shelf>,
    failure: Mutex<Option<String>>,
    /// What the one who looks at retained messages waits for.
    missing: Mutex<Option<String>>,
    number: AtomicU64,
    /// How often the hub was about to be killed, or every connection to be cut.
    cuts: AtomicUsize,
    /// How often it has been killed since it was said to be about to.
    kills: AtomicUsize,
    /// Whether it is only connections that are cut.
    pub(super) spares_the_hub: bool,
    /// Times that all retained messages were looked at.
    pub(super) looks: AtomicUsize,
    /// No more is published, and everybody stays.
    is_settling: AtomicBool,
    /// Somebody listens for wills.
    pub(super) is_watched: AtomicBool,
    is_over: AtomicBool,
    /// Clients that have not got everything through.
    busy: Mutex<BTreeSet<String>>,
    /// Sessions of which the hub has said that they last.
    pub(super) sessions: AtomicU64,
    /// Those that were asked for, without an answer.
    pub(super) sessions_maybe: AtomicU64,
    /// Answers that meant that something is on disk, to JSON and HTTP publishers.
    pub(super) answers: AtomicU64,
}

impl Stage {
    pub(super) fn new((port, devices_port): (u16, u16), spares_the_hub: bool, syncs_sessions: bool) -> Self {
        Self {
            port,
            devices_port,
            start: Instant::now(),
            syncs_sessions,
            lives: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            evidence: Mutex::default(),
            shelf: Mutex::default(),
            failure: Mutex::default(),
            missing: Mutex::default(),
            number: AtomicU64::new(1),
            cuts: AtomicUsize::new(0),
            kills: AtomicUsize::new(0),
            spares_the_hub,
            looks: AtomicUsize::new(0),
            is_settling: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            busy: Mutex::default(),
            sessions: AtomicU64::new(0),
            sessions_maybe: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        }
    }

    /// The evidence, with its clocks set.
    pub(super) fn evidence(&self) -> MutexGuard<'_, Evidence> {
        let mut evidence = self.evidence.lock().expect("no client panics while it writes down what it saw");
        let now_ms = self.now_ms();
        let Evidence { main, group, weak, .. } = &mut *evidence;
        for history in [main, group, &mut weak.history] {
            history.now_ms = now_ms;
        }
        evidence
    }

    /// Milliseconds since the beginning.
    pub(super) fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Says that a life of the hub has ended: nothing of it is left.
    pub(super) fn note_end(&self, end: End) {
        self.evidence().weak.ends.push(end);
        self.lives.fetch_add(1, SeqCst);
    }

    /// Who finds it the same before it connects and after the hub has answered has spoken to that one.
    pub(super) fn life(&self) -> usize {
        self.lives.load(SeqCst)
    }

    /// Says that the hub listens.
    pub(super) fn note_up(&self) {
        self.up.store(self.life(), SeqCst);
    }

    /// The last life in which it came up.
    pub(super) fn last_up(&self) -> usize {
        self.up.load(SeqCst)
    }

    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("no client panics while it writes down what it saw")
    }

    /// A number for a message: later ones are higher.
    pub(super) fn number(&self) -> u64 {
        self.number.fetch_add(1, SeqCst)
    }

    /// Somebody who has to get everything through in the end.
    pub(super) fn enters(&self, who: String) {
        self.busy.lock().expect("nobody panics in here").insert(who);
    }

    /// All that this one had to do is done.
    pub(super) fn is_through(&self, who: &str) {
        self.busy.lock().expect("nobody panics in here").remove(who);
    }

    /// Who is not through.
    pub(super) fn busy(&self) -> Vec<String> {
        self.busy.lock().expect("nobody panics in here").iter().cloned().collect()
    }

    /// Ends the round: a promise was broken. The first one counts.
    pub(super) fn fail(&self, why: String) {
        self.failure.lock().expect("nobody panics in here").get_or_insert(why);
        self.end();
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().expect("nobody panics in here").clone()
    }

    /// Writes down which retained message is waited for.
    pub(super) fn say_missing(&self, what: Option<String>) {
        *self.missing.lock().expect("nobody panics in here") = what;
    }

    pub(super) fn missing(&self) -> Option<String> {
        self.missing.lock().expect("nobody panics in here").clone()
    }

    pub(super) fn settle(&self) {
        self.is_settling.store(true, SeqCst);
    }

    pub(super) fn is_settling(&self) -> bool {
        self.is_settling.load(SeqCst)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    /// Says beforehand that the hub is going to be killed.
    pub(super) fn announce_cut(&self) {
        let mut evidence = self.evidence();
        let at = evidence.main.entries.len();
        evidence.kills.push(at);
        if !self.spares_the_hub {
            evidence.main.add(0, Event::HubCrashed);
            evidence.group.add(0, Event::HubCrashed);
        }
        self.cuts.fetch_add(1, SeqCst);
    }

    /// Says that the hub has been killed.
    pub(super) fn note_kill(&self) {
        self.kills.fetch_add(1, SeqCst);
    }

    /// How often the hub was about to be killed, and has been: it changes at both moments, so that who finds it unchanged
    /// has spoken to the same hub all the while.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(SeqCst) + self.kills.load(SeqCst)
    }

    /// Whether a connection that was made after so many cuts has to end without the hub's doing.
    pub(super) fn is_cut(&self, since: usize) -> bool {
        self.is_over() || self.spares_the_hub && self.cuts() > since
    }

    /// A connection, if the hub is there.
    pub(super) fn connect(&self) -> Option<TcpStream> {
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            std::thread::sleep(TURN);
            return None;
        };
        // A port that nobody listens on may, rarely, be given to the very connection that asks for it.
        let is_own = stream.local_addr().ok() == stream.peer_addr().ok();
        let is_set = stream.set_nodelay(true).is_ok() && stream.set_read_timeout(Some(TURN)).is_ok();
        (is_set && !is_own).then_some(stream)
    }
}
