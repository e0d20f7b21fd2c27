//! MQTT clients with lasting sessions: they publish, listen, change their subscriptions, share one; they come and go.

use super::evidence::{Evidence, Removed};
use super::stage::Stage;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow::{self, Break, Continue};
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

/// The places of other clients in the history.
pub(super) const WILLS: std::ops::Range<usize> = 10..14;
pub(super) const JSON: std::ops::Range<usize> = 14..16;
pub(super) const HTTP: std::ops::Range<usize> = 16..18;

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
    is_member: bool,
    /// Connections that the hub has accepted.
    accepted: usize,
    /// Messages without a PUBACK or PUBREC.
    under_way: usize,
    is_done: bool,
}

/// Everybody but those who leave wills.
pub(super) fn cast(stage: &Stage, seed: u64) -> Vec<Player<'_>> {
    let listens =
        |filters, is_slow, habit| Role::Listens { filters, confirmed: BTreeSet::new(), is_slow, habit };
    let changes = |filters: &[(&'static str, u8)]| Role::Changes {
        filters: filters.iter().map(|&(filter, qos)| Changing { filter, qos, is_on: false }).collect(),
        current: None,
        has_asked: false,
    };
    use Version::{V4, V5};
    let most = u16::MAX;
    let main = [
        (V5, most, Role::Publishes { reuses_ids: true }),
        (V4, most, Role::Publishes { reuses_ids: true }),
        (V5, most, Role::Publishes { reuses_ids: false }),
        (V5, most, listens(&[("t/#", 2)], false, Habit::Stays)),
        (V5, 3, listens(&[("t/1", 1), ("t/+", 2)], true, Habit::ComesAndGoes)),
        (V4, most, listens(&[("t/#", 1), ("t/3", 1)], false, Habit::IsAway)),
        (V4, most, listens(&[("t/0", 2), ("t/2", 1)], true, Habit::ComesAndGoes)),
        (V5, 2, listens(&[("w/#", 2)], false, Habit::ComesAndGoes)),
        (V5, most, changes(&[("t/0", 1), ("t/1", 1), ("t/+", 1), ("t/#", 1), ("+/3", 0)])),
        (V4, 10, changes(&[("t/0", 1), ("+/0", 1), ("t/2", 1), ("t/3", 1)])),
    ];
    // At times nobody is there, so that messages wait for one and are fetched by another.
    let group = [
        (V5, 4, Habit::ComesAndGoes),
        (V4, most, Habit::IsAway),
        (V5, 3, Habit::IsAway),
        (V5, 2, Habit::ComesAndGoes),
    ];
    let group = group.map(|(version, receive_max, habit)| {
        (version, receive_max, listens(&[(GROUP_FILTER, 2)], receive_max < 4, habit))
    });
    let make = |is_member: bool, number: usize, (version, receive_max, role)| Player {
        stage,
        client: Client::new(Options {
            number,
            client_id: format!("{}-{number}", if is_member { "member" } else { "player" }),
            version,
            expiry_s: u32::MAX,
            receive_max,
        }),
        random: Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64 + 500 * u64::from(is_member))),
        role,
        is_member,
        accepted: 0,
        under_way: 0,
        is_done: false,
    };
    let main = main.into_iter().enumerate().map(|(number, part)| make(false, number, part));
    main.chain(group.into_iter().enumerate().map(|(number, part)| make(true, number, part))).collect()
}

impl Player<'_> {
    /// From connection to connection until the round is over.
    pub(super) fn play(mut self) {
        while !self.stage.is_over() {
            self.stay_away();
            let since = self.stage.cuts();
            let Some(stream) = self.stage.connect() else { continue };
            self.with_history(|client, history| client.connect(false, None, history));
            if let Role::Changes { has_asked, .. } = &mut self.role {
                *has_asked = false;
            }
            self.connected(stream, since);
            self.client.lose();
        }
    }

    fn with_history<T>(&mut self, action: impl FnOnce(&mut Client, &mut History) -> T) -> T {
        let mut evidence = self.stage.evidence();
        let Evidence { main, group, .. } = &mut *evidence;
        action(&mut self.client, if self.is_member { group } else { main })
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

    fn connected(&mut self, mut stream: TcpStream, since: usize) {
        let (mut buffer, mut has_asked, mut was_ready) = ([0; 8192], false, false);
        while !self.stage.is_cut(since) {
            if self.client.is_ready() {
                self.act(&mut has_asked);
                // Publishers go in the middle of it too, so that much is sent again.
                let goes = self.habit() != Habit::Stays || matches!(self.role, Role::Publishes { .. });
                if goes && self.is_steady() && !self.stage.is_settling() && self.random.chance(1) {
                    return self.leave(stream);
                }
            }
            self.answer();
            if stream.write_all(&self.client.output()).is_err() {
                return;
            }
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if self.take(&buffer[..count], &mut was_ready).is_break() {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            if self.stage.is_settling() && !self.is_done && self.is_through() {
                self.is_done = true;
                self.stage.busy.fetch_sub(1, SeqCst);
            }
        }
    }

    /// Goes with a word or without one.
    fn leave(&mut self, mut stream: TcpStream) {
        let bytes = if self.random.chance(50) { self.client.disconnect(false) } else { self.client.output() };
        // It does not wait for an answer.
        let _ = stream.write_all(&bytes);
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
        let Evidence { main, group, group_since, .. } = &mut *evidence;
        let main_entries = main.entries.len();
        let history = if self.is_member { group } else { main };
        let before = history.entries.len();
        let taken = self.client.receive(bytes, history);
        for entry in &history.entries[before..] {
            match &entry.event {
                Event::Acknowledged(_) => self.under_way -= 1,
                Event::Subscribed { filter, .. } => match &mut self.role {
                    Role::Listens { confirmed, .. } => {
                        confirmed.insert(filter.clone());
                        if !self.is_member && number == WATCHER {
                            self.stage.is_watched.store(true, SeqCst);
                        }
                        if self.is_member {
                            group_since.get_or_insert(main_entries);
                        }
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
        drop(evidence);
        let who = format!("{} {number}", if self.is_member { "member" } else { "client" });
        match taken {
            Ok(()) => {}
            // A connection of its own that came late took the session over.
            Err(why) if why.ends_with("goodbye with 0x8e") => return Break(()),
            Err(why) => {
                self.stage.fail(format!("{who}: {why}"));
                return Break(());
            }
        }
        if self.client.is_ready() && !std::mem::replace(was_ready, true) {
            let is_new = self.client.take_new_session();
            self.accepted += 1;
            // What starts clean ends with its connection before MQTT 5.0, so that only the next one lasts.
            let first = if self.client.options().version == Version::V4 { 2 } else { 1 };
            if self.accepted < first {
                return Break(());
            }
            if self.accepted == first {
                self.stage.sessions.fetch_add(1, SeqCst);
            } else if is_new {
                self.stage.fail(format!("{who}: its session is gone: CONNACK says `session present` = 0"));
                return Break(());
            }
        }
        Continue(())
    }

    /// What it does while it is connected.
    fn act(&mut self, has_asked: &mut bool) {
        let is_settling = self.stage.is_settling();
        let mut evidence = self.stage.evidence();
        let Evidence { main, group, removed, .. } = &mut *evidence;
        let (client, random) = (&mut self.client, &mut self.random);
        match &mut self.role {
            Role::Publishes { reuses_ids } => {
                if is_settling || self.under_way >= UNDER_WAY_MAX || random.chance(30) {
                    return;
                }
                for _ in 0..random.between(1, 3) {
                    if *reuses_ids {
                        client.set_last_packet_id(0);
                    }
                    let message = draw(self.stage.number(), random);
                    self.under_way += usize::from(message.qos > 0);
                    client.publish(message, main);
                }
            }
            Role::Listens { filters, confirmed, .. } => {
                let missing = filters.iter().filter(|(filter, _)| !confirmed.contains(*filter));
                // No retained messages are wanted, where that can be said; there are none on these topics.
                let missing: Vec<_> = missing.map(|&(filter, qos)| (filter, qos, false)).collect();
                if !missing.is_empty() && !std::mem::replace(has_asked, true) {
                    client.subscribe(&missing, if self.is_member { group } else { main });
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
                    (false, false) => client.subscribe(&[(filter, qos, false)], main),
                    (false, true) => client.unsubscribe(filter, main),
                    // It has asked for nothing else, so this is the UNSUBACK.
                    (true, true) if client.is_idle() => {
                        (filters[at].is_on, *current) = (false, None);
                        let (client, at) = (client.options().number, main.entries.len());
                        removed.push(Removed { client, filter: filter.into(), at });
                    }
                    (true, _) => {}
                }
            }
        }
    }
}

/// A message for everybody or for the group.
fn draw(number: u64, random: &mut Random) -> Message {
    let is_for_group = random.chance(25);
    let topic = if is_for_group { random.one_of(&GROUP_TOPICS) } else { random.one_of(&TOPICS) };
    let qos = if is_for_group { 1 + random.below(2) as u8 } else { [0, 1, 1, 2, 2, 2][random.below(6)] };
    Message {
        number,
        topic: (*topic).into(),
        qos,
        retain: false,
        expiry_s: None,
        payload_bytes: [0, 20, 60, 3000][random.below(4)],
        delay_s: None,
        clears: false,
    }
}
