//! When a will should be published, by the rules alone (MQTT 5.0 §3.1.2.5, §3.1.3.2.2).

use std::collections::{HashMap, HashSet};

/// How late a timer of the hub may fire.
const LATE_MS: u64 = 2 * 64;

/// What became of a will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It must have been published.
    Published,
    /// It must not have been.
    Silent,
    /// It was due at about the moment when the client came back.
    Either,
}

/// The wills of all clients.
#[derive(Default, Debug)]
pub struct Wills {
    by_client: HashMap<usize, Will>,
    fates: HashMap<u64, Fate>,
    /// Wills of which the hub may have forgotten in a crash that it had them, or that it had published them.
    unsure: HashSet<u64>,
    qos: HashMap<u64, u8>,
    /// What was delivered at QoS 1 may come again.
    has_crashed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Will {
    number: u64,
    delay_s: u32,
    expiry_s: u32,
    /// When it is to be published, once the connection is gone.
    due_ms: Option<u64>,
}

impl Wills {
    /// A client connects. Its connection of before, if there was one, has been [`ended`](Self::ended).
    pub fn connected(&mut self, client: usize, clean: bool, now_ms: u64) {
        let Some(old) = self.by_client.remove(&client) else { return };
        let Some(due_ms) = old.due_ms else { return };
        let fate = match now_ms {
            now if now >= due_ms + LATE_MS => Fate::Published,
            // The session ends, and the will is not to wait longer than that [MQTT-3.1.3-9].
            _ if clean => Fate::Published,
            now if now < due_ms => Fate::Silent,
            _ => Fate::Either,
        };
        self.fates.insert(old.number, fate);
    }

    /// The hub has taken a will.
    pub fn set(&mut self, client: usize, number: u64, delay_s: u32, expiry_s: u32, qos: u8) {
        self.qos.insert(number, qos);
        self.by_client.insert(client, Will { number, delay_s, expiry_s, due_ms: None });
    }

    /// A connection is over at the hub.
    pub fn ended(&mut self, client: usize, with_will: bool, now_ms: u64) {
        let Some(will) = self.by_client.get_mut(&client) else { return };
        if will.due_ms.is_some() {
            return;
        }
        let delay_s = will.delay_s.min(will.expiry_s);
        if with_will && delay_s > 0 {
            will.due_ms = Some(now_ms + u64::from(delay_s) * 1000);
        } else {
            let fate = if with_will { Fate::Published } else { Fate::Silent };
            self.fates.insert(will.number, fate);
            self.by_client.remove(&client);
        }
    }

    /// The hub has lost everything; what it had promised before is open.
    pub fn hub_lost(&mut self) {
        self.fates.values_mut().for_each(|fate| {
            if *fate == Fate::Published {
                *fate = Fate::Either;
            }
        });
        for will in std::mem::take(&mut self.by_client).into_values() {
            self.fates.insert(will.number, Fate::Either);
        }
    }

    /// After a crash this is what the hub knows, and that is what it knew before.
    pub fn went_back_from(&mut self, before: Wills) {
        (self.unsure, self.qos, self.has_crashed) = (before.unsure, before.qos, true);
        let waited = before.by_client.values().map(|will| (will.number, None));
        let decided = before.fates.iter().map(|(number, fate)| (*number, Some(*fate)));
        for (number, fate) in waited.chain(decided) {
            let waits = self.by_client.values().any(|will| will.number == number);
            let is_known = waits || self.fates.contains_key(&number);
            // It may have been seen although it is to be published only later, or not at all.
            if !is_known || fate.is_some() && self.fates.get(&number) != fate.as_ref() {
                self.unsure.insert(number);
            }
        }
    }

    /// Compares what was published, by number with how often, with what should have been.
    pub fn check(&self, published: &HashMap<u64, usize>, now_ms: u64, may_miss: bool) -> Result<(), String> {
        let waiting = self.by_client.values().map(|will| {
            let is_over = will.due_ms.is_some_and(|due| now_ms >= due + LATE_MS);
            let is_near = will.due_ms.is_some_and(|due| now_ms >= due);
            let fate = if is_over { Fate::Published } else { Fate::Silent };
            (will.number, if is_near && !is_over { Fate::Either } else { fate })
        });
        for (number, fate) in self.fates.iter().map(|(number, fate)| (*number, *fate)).chain(waiting) {
            let times = published.get(&number).copied().unwrap_or(0);
            let is_unsure = self.unsure.contains(&number);
            let is_right = match fate {
                Fate::Published | Fate::Either if self.has_crashed && self.qos.get(&number) == Some(&1) => {
                    times >= 1 || may_miss || fate == Fate::Either
                }
                Fate::Silent | Fate::Either if is_unsure => true,
                Fate::Published => times == 1 || times == 0 && may_miss,
                Fate::Silent => times == 0,
                Fate::Either => times <= 1,
            };
            if !is_right {
                return Err(format!("will {number} came {times} times; it should be {fate:?}"));
            }
        }
        Ok(())
    }
}
