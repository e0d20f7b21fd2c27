//! Whether the shards still go round.

use crate::context::Context;
use crate::mail::Mailbox;
use std::sync::{Arc, Weak};

/// Tells whether the shards of a server still go round their loops: an idle one sleeps, so each has to be woken.
pub struct Pulse {
    context: Weak<Context>,
    /// How often each had gone round at the last beat.
    rounds: Vec<u64>,
}

impl Pulse {
    pub(crate) fn new(context: &Arc<Context>) -> Pulse {
        Pulse { context: Arc::downgrade(context), rounds: Vec::new() }
    }

    /// Whether every shard has gone round since the last beat; at the first, they are taken to have. Wakes all of them, so
    /// that they have until the next beat to do it again.
    pub fn beat(&mut self) -> bool {
        let Some(context) = self.context.upgrade() else { return false };
        // The last figures are those of what runs beside the shards.
        let shards = &context.stats[..context.mailboxes.len()];
        let rounds: Vec<u64> = shards.iter().map(|stats| stats.ticks.get()).collect();
        let all_live = self.rounds.iter().zip(&rounds).all(|(before, now)| before != now);
        self.rounds = rounds;
        context.mailboxes.iter().for_each(Mailbox::wake);
        all_live
    }
}

#[cfg(test)]
mod tests {
    use crate::Server;
    use std::time::{Duration, Instant};
    use trefoil_config::{Bind, Config};

    #[test]
    fn idle_shards_have_a_pulse_and_stopped_ones_none() {
        let mut config = Config::default();
        config.store.durability = trefoil_config::Durability::None;
        config.listeners.truncate(1);
        config.listeners[0].bind = Bind::Tcp("127.0.0.1:0".parse().expect("an address"));
        config.shards = 3;
        let server = Server::start(&config).expect("it starts");
        let mut pulse = server.pulse();
        let deadline = Instant::now() + Duration::from_secs(60);
        for _ in 0..10 {
            while !pulse.beat() {
                assert!(Instant::now() < deadline, "a shard does not go round");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        server.stop();
        assert!(!pulse.beat());
    }
}
