//! How a world comes to rest, and what is to be said of it then.

use crate::world::World;
use std::collections::{HashMap, HashSet};
use trefoil_model::{Allowance, Durability, Event, Summary, check};

/// Rounds within which everything must come to rest once nothing goes wrong any more.
const ROUNDS_MAX: usize = 5000;

impl World {
    pub(crate) fn verdict(&self) -> Result<Summary, String> {
        let dropped = self.hub.dropped();
        let promise = self.profile.promise();
        let forgets_sessions = promise.own != Durability::Sync;
        let summary = check(&self.history.entries, Allowance { dropped, promise })?;
        let mut wills: HashMap<u64, usize> = HashMap::new();
        for entry in self.history.entries.iter().filter(|entry| entry.client == self.profile.clients) {
            if let Event::Delivered { number, .. } = entry.event {
                *wills.entry(number).or_default() += 1;
            }
        }
        let may_miss = dropped > 0 || self.profile.restarts_hub || forgets_sessions;
        self.hub.net.ledger.wills.check(&wills, self.hub.net.now.as_ms(), may_miss)?;
        self.check_work()?;
        let sessions: usize = self.hub.shards.iter().map(|shard| shard.session_count()).sum();
        if sessions != self.devices.len() {
            return Err(format!("{sessions} sessions for {} clients", self.devices.len()));
        }
        Ok(summary)
    }

    /// What was acknowledged of what is for the workers has come to one of them, and at QoS 2 to one only.
    fn check_work(&self) -> Result<(), String> {
        let promise = self.profile.promise();
        let is_sure = |topic: &str| promise.own == Durability::Sync && promise.of(topic) == Durability::Sync;
        let (mut sent, mut came) = (HashMap::new(), HashMap::<(u64, u8), usize>::new());
        let mut acknowledged = HashSet::new();
        let clients = self.profile.clients;
        let is_worker = |client: usize| (clients - self.workers()..clients).contains(&client);
        for entry in &self.history.entries {
            match &entry.event {
                Event::Sent(message) if message.topic.starts_with("work/") => {
                    sent.insert(message.number, (message.qos, is_sure(&message.topic)));
                }
                Event::Acknowledged(number) => drop(acknowledged.insert(*number)),
                Event::Delivered { number, topic, qos, .. }
                    if is_worker(entry.client) && topic.starts_with("work/") =>
                {
                    *came.entry((*number, *qos)).or_default() += 1;
                }
                _ => {}
            }
        }
        let may_miss = self.workers() == 0 || self.hub.dropped() > 0 || self.hub.has_dropped_shared();
        for (number, (qos, is_sure)) in sent {
            if qos == 0 || !acknowledged.contains(&number) {
                continue;
            }
            let (once, twice) = (came.get(&(number, 1)), came.get(&(number, 2)));
            if once.is_none() && twice.is_none() && is_sure && !may_miss {
                return Err(format!("{number} came to none of the workers"));
            }
            if twice.is_some_and(|times| *times > 1) {
                return Err(format!("{number} came to several workers at QoS 2"));
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more: all connect, and everything that is under way arrives.
    pub(crate) fn settle(&mut self, who: &[usize]) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for &at in who {
                self.devices[at].dawdles = false;
                if !self.devices[at].client.has_line() {
                    self.connect(at, false);
                    moved = true;
                }
                moved |= self.carry_up(at, usize::MAX);
                moved |= self.carry_down(at, usize::MAX)?;
                let owed = self.devices[at].client.owed();
                self.devices[at].client.answer(owed);
                self.post(at);
                moved |= owed > 0;
                self.sound()?;
            }
            self.hub.end_slow();
            for (to, from) in self.hub.mail_under_way() {
                self.hub.carry_mail(to, from);
                moved = true;
            }
            if let Some(disk) = &self.hub.net.disk {
                moved |= disk.unsynced() > 0 || (0..self.hub.shards.len()).any(|n| self.hub.has_staged(n));
                (0..self.hub.shards.len()).for_each(|shard| self.hub.end_tick(shard));
                self.hub.sync(u64::MAX);
            }
            self.hub.end_slow();
            self.note_synced();
            self.sound()?;
            if !moved {
                return self.at_rest(who);
            }
        }
        Err(format!("no rest after {ROUNDS_MAX} rounds"))
    }

    fn at_rest(&self, who: &[usize]) -> Result<(), String> {
        for &at in who {
            let (client, tap) = (&self.devices[at].client, &self.hub.net.taps[at]);
            if !client.is_idle() || !tap.is_idle() {
                let (here, there) = (client.unfinished(), tap.unfinished());
                return Err(format!("client {at} waits for ever: {here}; the hub has under way: {there}"));
            }
        }
        Ok(())
    }
}
