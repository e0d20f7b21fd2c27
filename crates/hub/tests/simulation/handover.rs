//! One process takes over from another, and the connections stay: what they have under way, and what their clients see, goes
//! on as if nothing had happened.

use crate::disk::BEGINNING_MS;
use crate::hub_end::{Fault, HubEnd};
use std::num::NonZeroU32;
use std::sync::Arc;
use trefoil_hub::ConnectionKey;
use trefoil_model::Random;

/// A connection that goes to the next process.
struct Handed {
    key: u32,
    client_id: Arc<str>,
    record: Vec<u8>,
}

impl HubEnd {
    /// The shards come to rest and give their connections out; another process goes on with them, perhaps with another
    /// number of shards.
    pub fn hand_over(&mut self, random: &mut Random) {
        self.end_slow();
        if self.net.fault != Some(Fault::HandsOverEarly) {
            self.come_to_rest();
        }
        let start_ms = BEGINNING_MS + self.net.zero_ms;
        let mut handed = Vec::new();
        for key in self.net.links.keys().copied().collect::<Vec<_>>() {
            handed.extend(self.give_out(key, start_ms));
        }
        self.come_to_rest();
        self.net.now = self.net.now.plus_ms(random.below(100) as u64);
        let shards = if random.chance(40) { random.between(1, 4) } else { self.shards.len() };
        self.go_on_with(shards, random);
        let start_ms = BEGINNING_MS + self.net.zero_ms;
        let keys: Vec<u32> = handed.iter().map(|handed| handed.key).collect();
        for Handed { key, client_id, record } in handed {
            let shard = self.shards[0].shared().shard_of(&client_id);
            self.net.here = shard;
            match self.shards[shard].take_over(
                &client_id,
                ConnectionKey(key),
                NonZeroU32::MIN,
                start_ms,
                &record,
            ) {
                Ok(session) => {
                    let link = self.net.links.get_mut(&key).expect("nobody has taken it away");
                    link.shard = shard;
                    link.hub.as_mut().expect("it has not been closed").session = Some(session);
                }
                Err(why) => self.net.breaks(format!("{client_id} cannot go on: {why}")),
            }
        }
        for key in keys {
            let Some(link) = self.net.links.get(&key) else { continue };
            let (shard, session) = (link.shard, link.hub.as_ref().and_then(|side| side.session));
            let Some(session) = session else { continue };
            self.net.here = shard;
            let now = self.net.hub_now();
            self.shards[shard].begin_event();
            self.shards[shard].resume(now, session, &mut self.net);
        }
        // What is to be known after a crash is on the disk before anything else happens.
        self.come_to_rest();
    }

    /// Writes down what the next process has to know of a connection; one without a session is closed.
    fn give_out(&mut self, key: u32, start_ms: u64) -> Option<Handed> {
        let link = self.net.links.get_mut(&key)?;
        let shard = link.shard;
        let Some(session) = link.hub.as_mut()?.session.take() else {
            self.net.close(key);
            return None;
        };
        self.net.here = shard;
        let (now, own) = (self.net.hub_now(), &mut self.shards[shard]);
        own.begin_event();
        let record = own.write_handover(session, start_ms, usize::MAX).expect("there is no bound");
        let client_id = own.client_id(session).expect("it has a session").clone();
        own.let_go(now, session, &mut self.net);
        Some(Handed { key, client_id, record })
    }

    /// All mail arrives, and all that is written down is durable.
    fn come_to_rest(&mut self) {
        loop {
            (0..self.shards.len()).for_each(|shard| self.end_tick(shard));
            self.sync(u64::MAX);
            let pairs = self.mail_under_way();
            for &(to, from) in &pairs {
                self.carry_mail(to, from);
            }
            if pairs.is_empty() && self.is_all_durable() {
                return;
            }
        }
    }
}
