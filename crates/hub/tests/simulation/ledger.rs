//! What the hub must know of sessions and wills, also after a crash: all that has happened to a client's session, each
//! with the record that says so. What a crash takes away did not happen.

use crate::wills::Wills;
use std::collections::BTreeMap;
use trefoil_model::{Durability, Promise};

/// The sessions and wills of all clients.
#[derive(Default)]
pub struct Ledger {
    pub wills: Wills,
    /// How long the session of a client lasts, in seconds, and since when the client has been away.
    pub sessions: BTreeMap<usize, (u32, Option<u64>)>,
    entries: Vec<Entry>,
    keeps: bool,
    /// Sessions, and wills, are kept.
    keeps_sessions: bool,
    keeps_wills: bool,
}

struct Entry {
    client: usize,
    at_ms: u64,
    what: What,
    stand: Stand,
}

/// Where it is written down.
#[derive(Clone, Copy, PartialEq)]
enum Stand {
    Unknown,
    /// In a batch of a shard that is not handed over.
    Batch(usize, u64),
    Record(u64),
}

#[derive(Clone, Copy)]
enum What {
    Connected { clean: bool },
    Will { number: u64, delay_s: u32, expiry_s: u32, qos: u8 },
    Session { expiry_s: u32 },
    Ended { with_will: bool },
    Away,
    Crash,
}

impl Ledger {
    /// For a hub that keeps things beyond its end.
    pub fn keeping(promise: &Promise) -> Ledger {
        let keeps_sessions = promise.own != Durability::None;
        let keeps_wills = keeps_sessions && promise.of("will/0") != Durability::None;
        Ledger { keeps: true, keeps_sessions, keeps_wills, ..Ledger::default() }
    }

    /// A client connects. Its connection of before, if there was one, has been [`ended`](Self::ended).
    pub fn connected(&mut self, client: usize, clean: bool, at_ms: u64) {
        self.take(client, at_ms, What::Connected { clean });
    }

    /// The hub has taken a will.
    pub fn set_will(&mut self, client: usize, number: u64, delay_s: u32, expiry_s: u32, qos: u8) {
        self.take(client, 0, What::Will { number, delay_s, expiry_s, qos });
    }

    /// The client has a session from now on.
    pub fn session(&mut self, client: usize, expiry_s: u32) {
        self.take(client, 0, What::Session { expiry_s });
    }

    /// A connection is over at the hub.
    pub fn ended(&mut self, client: usize, with_will: bool, at_ms: u64) {
        self.take(client, at_ms, What::Ended { with_will });
    }

    /// The client has gone.
    pub fn away(&mut self, client: usize, at_ms: u64) {
        self.take(client, at_ms, What::Away);
    }

    fn take(&mut self, client: usize, at_ms: u64, what: What) {
        self.apply(client, at_ms, what);
        if self.keeps {
            self.entries.push(Entry { client, at_ms, what, stand: Stand::Unknown });
        }
    }

    fn apply(&mut self, client: usize, at_ms: u64, what: What) {
        match what {
            What::Connected { clean } => self.wills.connected(client, clean, at_ms),
            What::Will { number, delay_s, expiry_s, qos } => {
                self.wills.set(client, number, delay_s, expiry_s, qos);
            }
            What::Session { expiry_s } => drop(self.sessions.insert(client, (expiry_s, None))),
            What::Ended { with_will } => self.wills.ended(client, with_will, at_ms),
            What::Away => {
                if let Some((_, away_ms)) = self.sessions.get_mut(&client) {
                    *away_ms = Some(at_ms);
                }
            }
            What::Crash => {
                let connected: Vec<usize> =
                    self.sessions.iter().filter(|(_, s)| s.1.is_none()).map(|(client, _)| *client).collect();
                for client in connected {
                    self.wills.ended(client, true, at_ms);
                    self.apply(client, at_ms, What::Away);
                }
                self.sessions.retain(|_, (expiry_s, _)| *expiry_s > 0);
            }
        }
    }

    /// What has happened since this was last called stands in this batch of a shard, or in this record.
    pub fn stands_in(&mut self, shard: usize, batch: u64, record: Option<u64>) {
        let stand = record.map_or(Stand::Batch(shard, batch), Stand::Record);
        for entry in self.entries.iter_mut().rev().take_while(|entry| entry.stand == Stand::Unknown) {
            entry.stand = stand;
        }
    }

    /// A batch has been handed over.
    pub fn handed(&mut self, shard: usize, batch: u64, record: u64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.stand == Stand::Batch(shard, batch)) {
            entry.stand = Stand::Record(record);
        }
    }

    /// The hub has crashed, records below `end` are left, and it goes on at a moment with the record `end`.
    pub fn crashed(&mut self, end: u64, at_ms: u64) {
        if !self.keeps_sessions {
            self.entries.clear();
        }
        self.entries.retain(|entry| matches!(entry.stand, Stand::Record(record) if record < end));
        let before = std::mem::take(&mut self.wills);
        self.sessions.clear();
        let entries = std::mem::take(&mut self.entries);
        for entry in &entries {
            self.apply(entry.client, entry.at_ms, entry.what);
        }
        self.entries = entries;
        self.wills.went_back_from(before);
        self.apply(0, at_ms, What::Crash);
        if !self.keeps_wills {
            self.wills.hub_lost();
        }
        self.entries.push(Entry { client: 0, at_ms, what: What::Crash, stand: Stand::Record(end) });
    }
}
