//! MQTT clients with lasting sessions: they publish, listen, change their subscriptions, share one; they come and go.

use super::evidence::{End, Evidence, Removed};
use super::stage::Stage;
use super::transport::{Came, Transport, Way};
use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use trefoil_model::wire::Version;
use trefoil_model::{Client, Event, History, Message, Options, Random};

/// Messages that one publisher has under way at most.
const UNDER_WAY_MAX: usize = 20;

/// Topics for everybody, and for the shared subscription.
pub(super) const TOPICS: [&str; 4] = ["t/0", "t/1", "t/2", "t/3"];
pub(super) const GROUP_TOPICS: [&str; 2] = ["s/0", "s/1"];
const GROUP_FILTER: &str = "$share/group/s/#";

/// Who listens for wills.
pub(super) const WATCHER: usize = 7;

/// Topics of messages that are published later, of messages that expire, and of those for MQTT-SN clients.
pub(super) const LATER_TOPICS: [&str; 2] = ["d/a", "d/b"];
const EXPIRING_TOPICS: [&str; 2] = ["e/a", "e/b"];
pub(super) const DEVICE_TOPICS: [&str; 2] = ["m/a", "m/b"];

/// Topics that have a history.
pub(super) const KEPT_TOPICS: [&str; 2] = ["h/0", "h/1"];

/// Topics that promise less: under `interval`, and under `none`.
const WEAK_TOPICS: [&str; 3] = ["i/a", "i/b", "n/a"];

/// The places of other clients in the history.
pub(super) const WILLS: Range<usize> = 10..14;
pub(super) const JSON: Range<usize> = 14..16;
pub(super) const HTTP: Range<usize> = 16..18;
/// Who listens for messages that expire.
pub(super) const EXPIRY: usize = 19;
pub(super) const JSON_WEBSOCKET: usize = 21;
/// Their sessions expire.
pub(super) const GUESTS: Range<usize> = 22..25;
pub(super) const DEVICE_PUBLISHERS: Range<usize> = 25..27;
pub(super) const DEVICE_RECEIVERS: Range<usize> = 27..29;
/// Who fills the store.
pub(super) const CHURN: usize = 29;
/// They read histories as they grow, and at the end.
pub(super) const FOLLOWERS: Range<usize> = 30..32;
pub(super) const PAGES: usize = 32;

/// What a client is here for.
pub(super) enum Role {
    Publishes {
        /// Takes the lowest packet id that is free, so that ids soon come again.
        reuses_ids: bool,
    },
    Listens {
        filters: &'static [(&'static str, u8)],
        /// Those of which a SUBACK has come.
        confirmed: BTreeSet<String>,
        is_slow: bool,
        habit: Habit,
    },
    Changes {
        filters: Vec<Changing>,
        /// The one that it is about to subscribe to, or to unsubscribe from.
        current: Option<usize>,
        /// It has asked for that on the connection that there is now.
        has_asked: bool,
    },
}

/// Where what a client sees is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Troupe {
    Main,
    /// The members of the shared subscription.
    Group,
    /// Those who are promised less.
    Weak,
}

impl Troupe {
    fn word(self) -> &'static str {
        match self {
            Troupe::Main => "client",
            Troupe::Group => "member",
            Troupe::Weak => "weak",
        }
    }
}

/// How long a client stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    Stays,
    ComesAndGoes,
    /// It stays away while the hub is killed a few times.
    IsAway,
}

pub(super) struct Changing {
    filter: &'static str,
    qos: u8,
    is_on: bool,
}

pub(super) struct Player<'a> {
    stage: &'a Stage,
    client: Client,
    random: Random,
    role: Role,
    troupe: Troupe,
    way: Way,
    /// The life of the hub in which it connected last, and the last one in which all its subscriptions were there.
    life: usize,
    steady_life: Option<usize>,
    /// Its session was there when the hub stopped in good order.
    is_kept: bool,
    /// Connections that the hub has accepted.
    accepted: usize,
    /// Messages without a PUBACK or PUBREC.
    under_way: usize,
    is_done: bool,
}

/// Everybody who speaks MQTT over a stream, but those who leave wills and whose sessions expire. With `is_weak` those alone
/// who are promised less.
pub(super) fn cast(stage: &Stage, seed: u64, is_weak: bool) -> Vec<Player<'_>> {
    let listens =
        |filters, is_slow, habit| Role::Listens { filters, confirmed: BTreeSet::new(), is_slow, habit };
    let changes = |filters: &[(&'static str, u8)]| Role::Changes {
        filters: filters.iter().map(|&(filter, qos)| Changing { filter, qos, is_on: false }).collect(),
        current: None,
        has_asked: false,
    };
    use Version::{V4, V5};
    let most = u16::MAX;
    let (tcp, websocket) = (Way::Tcp, Way::WebSocketMqtt);
    let main = [
        (0, V5, most, tcp, Role::Publishes { reuses_ids: true }),
        (1, V4, most, tcp, Role::Publishes { reuses_ids: true }),
        (2, V5, most, tcp, Role::Publishes { reuses_ids: false }),
        (3, V5, most, tcp, listens(&[("t/#", 2)], false, Habit::Stays)),
        (4, V5, 3, tcp, listens(&[("t/1", 1), ("t/+", 2)], true, Habit::ComesAndGoes)),
        (5, V4, most, websocket, listens(&[("t/#", 1), ("t/3", 1)], false, Habit::IsAway)),
        (6, V4, most, tcp, listens(&[("t/0", 2), ("t/2", 1)], true, Habit::ComesAndGoes)),
        (WATCHER, V5, 2, tcp, listens(&[("w/#", 2)], false, Habit::ComesAndGoes)),
        (8, V5, most, tcp, changes(&[("t/0", 1), ("t/1", 1), ("t/+", 1), ("t/#", 1), ("+/3", 0)])),
        (9, V4, 10, tcp, changes(&[("t/0", 1), ("+/0", 1), ("t/2", 1), ("t/3", 1)])),
        (18, V5, 5, tcp, listens(&[("d/#", 2)], false, Habit::IsAway)),
        (EXPIRY, V5, 4, tcp, listens(&[("e/#", 2)], true, Habit::IsAway)),
        (20, V5, most, websocket, Role::Publishes { reuses_ids: true }),
    ];
    // At times nobody is there, so that messages wait for one and are fetched by another.
    let group = [
        (0, V5, 4, Habit::ComesAndGoes),
        (1, V4, most, Habit::IsAway),
        (2, V5, 3, Habit::IsAway),
        (3, V5, 2, Habit::ComesAndGoes),
    ];
    let group = group.map(|(number, version, receive_max, habit)| {
        (number, version, receive_max, tcp, listens(&[(GROUP_FILTER, 2)], receive_max < 4, habit))
    });
    let weak = [
        (0, V5, most, tcp, Role::Publishes { reuses_ids: true }),
        (1, V4, most, tcp, Role::Publishes { reuses_ids: false }),
        (2, V5, most, tcp, listens(&[("i/#", 2), ("n/#", 2)], false, Habit::Stays)),
        (3, V5, 3, tcp, listens(&[("i/#", 2), ("n/#", 2)], true, Habit::ComesAndGoes)),
        (4, V4, most, tcp, listens(&[("i/#", 1), ("n/#", 1)], false, Habit::IsAway)),
    ];
    let make = |troupe: Troupe, (number, version, receive_max, way, role)| {
        let (name, lot) = match troupe {
            Troupe::Main => ("player", 0),
            Troupe::Group => ("member", 500),
            Troupe::Weak => ("weak", 700),
        };
        Player {
            stage,
            client: Client::new(Options {
                number,
                client_id: format!("{name}-{number}"),
                version,
                expiry_s: u32::MAX,
                receive_max,
            }),
            random: Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64 + lot)),
            role,
            troupe,
            way,
            life: 0,
            steady_life: None,
            is_kept: false,
            accepted: 0,
            under_way: 0,
            is_done: false,
        }
    };
    let weak = weak.into_iter().map(|part| make(Troupe::Weak, part));
    if is_weak {
        return weak.collect();
    }
    let main = main.into_iter().map(|part| make(Troupe::Main, part));
    main.chain(group.into_iter().map(|part| make(Troupe::Group, part))).chain(weak).collect()
}

impl Evidence {
    fn of(&mut self, troupe: Troupe) -> &mut History {
        match troupe {
            Troupe::Main => &mut self.main,
            Troupe::Group => &mut self.group,
            Troupe::Weak => &mut self.weak.history,
        }
    }
}

impl Player<'_> {
    /// From connection to connection until the round is over.
    pub(super) fn play(mut self) {
        while !self.stage.is_over() {
            self.stay_away();
            let since = self.stage.cuts();
            self.life = self.stage.life();
            let visit = (self.client.options().number, self.stage.now_ms());
            let Some(transport) = Transport::open(self.stage, self.way) else { continue };
            if self.troupe == Troupe::Main {
                self.stage.evidence().visits.push(visit);
            }
            self.with_history(|client, history| client.connect(false, None, history));
            if let Role::Changes { has_asked, .. } = &mut self.role {
                *has_asked = false;
            }
            self.connected(transport, since);
            self.client.lose();
        }
    }

    fn with_history<T>(&mut self, action: impl FnOnce(&mut Client, &mut History) -> T) -> T {
        let mut evidence = self.stage.evidence();
        let result = action(&mut self.client, evidence.of(self.troupe));
        evidence.weak.mark(self.life);
        result
    }

    /// What it is called when there is something to say about it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.troupe.word(), self.client.options().number)
    }

    fn habit(&self) -> Habit {
        if let Role::Listens { habit, .. } = self.role { habit } else { Habit::Stays }
    }

    /// Between two connections.
    fn stay_away(&mut self) {
        // Who has not been there yet is promised nothing that could be tested.
        if !self.is_steady() || !self.random.chance(50) {
            return;
        }
        match self.habit() {
            Habit::Stays => {}
            Habit::ComesAndGoes => std::thread::sleep(Duration::from_millis(self.random.below(100) as u64)),
            Habit::IsAway => {
                let until = self.stage.cuts() + self.random.between(1, 4);
                while self.stage.cuts() < until && !self.stage.is_settling() && !self.stage.is_over() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// Whether all of its lasting subscriptions are made.
    fn is_steady(&self) -> bool {
        match &self.role {
            Role::Listens { filters, confirmed, .. } => confirmed.len() == filters.len(),
            _ => true,
        }
    }

    fn connected(&mut self, mut transport: Transport, since: usize) {
        let (mut has_asked, mut was_ready) = (false, false);
        while !self.stage.is_cut(since) {
            if self.client.is_ready() {
                self.act(&mut has_asked);
                // Publishers go in the middle of it too, so that much is sent again.
                let goes = self.habit() != Habit::Stays || matches!(self.role, Role::Publishes { .. });
                if goes && self.is_steady() && !self.stage.is_settling() && self.random.chance(1) {
                    return self.leave(transport);
                }
            }
            self.answer();
            if !transport.send(&self.client.output()) {
                return;
            }
            match transport.receive() {
                Came::TheEnd => return,
                Came::Nothing => {}
                Came::Bytes(bytes) => {
                    if self.take(&bytes, &mut was_ready).is_break() {
                        return;
                    }
                }
            }
            if self.stage.is_settling() && !self.is_done && self.is_through() {
                self.is_done = true;
                self.stage.is_through(&self.name());
            }
        }
    }

    /// Goes with a word or without one.
    fn leave(&mut self, mut transport: Transport) {
        let bytes = if self.random.chance(50) { self.client.disconnect(false) } else { self.client.output() };
        // It does not wait for an answer.
        let _ = transport.send(&bytes);
    }

    fn is_through(&self) -> bool {
        self.client.is_ready()
            && self.is_steady()
            && match &self.role {
                Role::Publishes { .. } => self.client.is_idle(),
                Role::Listens { .. } => true,
                Role::Changes { current, .. } => current.is_none(),
            }
    }

    /// Gives some of the answers that it owes.
    fn answer(&mut self) {
        let owed = self.client.owed();
        let is_slow = matches!(self.role, Role::Listens { is_slow: true, .. }) && !self.stage.is_settling();
        let count = match () {
            () if is_slow && self.random.chance(70) => 0,
            () if is_slow || self.random.chance(10) => owed.div_ceil(2),
            () => owed,
        };
        self.client.answer(count);
    }

    /// Bytes from the hub.
    fn take(&mut self, bytes: &[u8], was_ready: &mut bool) -> ControlFlow<()> {
        let number = self.client.options().number;
        let mut evidence = self.stage.evidence();
        let main_entries = evidence.main.entries.len();
        let history = evidence.of(self.troupe);
        let before = history.entries.len();
        let taken = self.client.receive(bytes, history);
        let mut is_group_there = false;
        for entry in &history.entries[before..] {
            match &entry.event {
                Event::Acknowledged(_) | Event::Abandoned(_) => self.under_way -= 1,
                Event::Subscribed { filter, .. } => match &mut self.role {
                    Role::Listens { confirmed, .. } => {
                        confirmed.insert(filter.clone());
                        if self.troupe == Troupe::Main && number == WATCHER {
                            self.stage.is_watched.store(true, SeqCst);
                        }
                        is_group_there = self.troupe == Troupe::Group;
                    }
                    Role::Changes { filters, current, .. } => {
                        let at = current.take().expect("it waits for a SUBACK");
                        filters[at].is_on = true;
                    }
                    Role::Publishes { .. } => {}
                },
                _ => {}
            }
        }
        if is_group_there {
            evidence.group_since.get_or_insert(main_entries);
        }
        evidence.weak.mark(self.life);
        drop(evidence);
        let who = self.name();
        match taken {
            Ok(()) => {}
            // The hub stops.
            Err(why) if why.ends_with("goodbye with 0x8b") => return Break(()),
            // A connection of its own that came late took the session over.
            Err(why) if why.ends_with("goodbye with 0x8e") => return Break(()),
            Err(why) => {
                self.stage.fail(format!("{who}: {why}"));
                return Break(());
            }
        }
        if self.client.is_ready() && !std::mem::replace(was_ready, true) {
            let is_new = self.client.take_new_session();
            if self.stage.life() != self.life {
                // The hub that said so is gone by now, or it was not the one that was meant.
                return Break(());
            }
            self.accepted += 1;
            // What starts clean ends with its connection before MQTT 5.0, so that only the next one lasts.
            let first = if self.client.options().version == Version::V4 { 2 } else { 1 };
            if self.accepted < first {
                return Break(());
            }
            if self.accepted == first {
                self.stage.sessions.fetch_add(1, SeqCst);
            } else if is_new {
                if self.must_be_known() {
                    self.stage
                        .fail(format!("{who}: its session is gone: CONNACK says `session present` = 0"));
                    return Break(());
                }
                if let Role::Listens { confirmed, .. } = &mut self.role {
                    confirmed.clear();
                }
            }
        }
        if self.troupe == Troupe::Weak && *was_ready && self.is_steady() {
            self.note_steady();
        }
        Continue(())
    }

    /// Whether the hub must have its session.
    fn must_be_known(&self) -> bool {
        if self.stage.syncs_sessions || self.is_kept {
            return true;
        }
        // Without a sync it may have been forgotten by a kill, but not by a clean stop.
        let ends = &self.stage.evidence().weak.ends;
        self.steady_life.is_some_and(|life| ends.get(life).is_none_or(|end| *end == End::Stopped))
    }

    /// Writes down from when on all its subscriptions were there in a life of the hub.
    fn note_steady(&mut self) {
        if self.steady_life != Some(self.life) {
            self.is_kept |= self.must_be_known();
            self.steady_life = Some(self.life);
            let mut evidence = self.stage.evidence();
            let at = evidence.weak.history.entries.len();
            evidence.weak.steady.push((self.client.options().number, self.life, at));
        }
    }

    /// What it does while it is connected.
    fn act(&mut self, has_asked: &mut bool) {
        let is_settling = self.stage.is_settling();
        let mut evidence = self.stage.evidence();
        let (client, random, troupe) = (&mut self.client, &mut self.random, self.troupe);
        let history = evidence.of(troupe);
        let mut ended = None;
        match &mut self.role {
            Role::Publishes { reuses_ids } => {
                if is_settling || self.under_way >= UNDER_WAY_MAX || random.chance(30) {
                    return;
                }
                for _ in 0..random.between(1, 3) {
                    if *reuses_ids {
                        client.set_last_packet_id(0);
                    }
                    let message = draw(self.stage.number(), client.options().version, troupe, random);
                    self.under_way += usize::from(message.qos > 0);
                    client.publish(message, history);
                }
            }
            Role::Listens { filters, confirmed, .. } => {
                let missing = filters.iter().filter(|(filter, _)| !confirmed.contains(*filter));
                // No retained messages are wanted, where that can be said; there are none on these topics.
                let missing: Vec<_> = missing.map(|&(filter, qos)| (filter, qos, false)).collect();
                if !missing.is_empty() && !std::mem::replace(has_asked, true) {
                    client.subscribe(&missing, history);
                }
            }
            Role::Changes { filters, current, has_asked } => {
                let wants_more = !is_settling && random.chance(20);
                if current.is_none() && wants_more {
                    (*current, *has_asked) = (Some(random.below(filters.len())), false);
                }
                let Some(at) = *current else { return };
                let Changing { filter, qos, is_on } = filters[at];
                match (std::mem::replace(has_asked, true), is_on) {
                    (false, false) => client.subscribe(&[(filter, qos, false)], history),
                    (false, true) => client.unsubscribe(filter, history),
                    // It has asked for nothing else, so this is the UNSUBACK.
                    (true, true) if client.is_idle() => {
                        (filters[at].is_on, *current) = (false, None);
                        let (client, at) = (client.options().number, history.entries.len());
                        ended = Some(Removed { client, filter: filter.into(), at });
                    }
                    (true, _) => {}
                }
            }
        }
        evidence.removed.extend(ended);
        evidence.weak.mark(self.life);
    }
}

fn pick(topics: &[&'static str], random: &mut Random) -> &'static str {
    topics[random.below(topics.len())]
}

/// A message for one of those who listen.
fn draw(number: u64, version: Version, troupe: Troupe, random: &mut Random) -> Message {
    let plain = |topic: &str, qos| Message {
        number,
        topic: topic.into(),
        qos,
        retain: false,
        expiry_s: None,
        payload_bytes: 0,
        delay_s: None,
        clears: false,
    };
    let payload_bytes = [0, 20, 60, 3000][random.below(4)];
    let sure = 1 + random.below(2) as u8;
    let message = match random.below(100) {
        _ if troupe == Troupe::Weak => plain(pick(&WEAK_TOPICS, random), sure),
        0..25 => plain(pick(&GROUP_TOPICS, random), sure),
        25..29 => {
            let delay_s = Some(random.below(4) as u32);
            Message { delay_s, ..plain(pick(&LATER_TOPICS, random), sure) }
        }
        29..35 if version == Version::V5 => {
            let expiry_s = Some(*random.one_of(&[1, 1, 2, 3600]));
            Message { expiry_s, ..plain(pick(&EXPIRING_TOPICS, random), sure) }
        }
        35..40 => plain(&format!("g/{}", random.between(GUESTS.start, GUESTS.end - 1)), sure),
        40..43 => plain(pick(&DEVICE_TOPICS, random), sure),
        43..50 => plain(pick(&KEPT_TOPICS, random), random.below(3) as u8),
        _ => plain(pick(&TOPICS, random), [0, 1, 1, 2, 2, 2][random.below(6)]),
    };
    // A datagram has to hold it, and its topic is for those that take one message at a time.
    let payload_bytes = if message.topic.starts_with("m/") { 0 } else { payload_bytes };
    Message { payload_bytes, ..message }
}
