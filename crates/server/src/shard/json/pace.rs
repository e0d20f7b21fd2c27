//! How often a UDP peer may subscribe and unsubscribe.

use crate::shard::ShardLoop;
use crate::shard::connection::Link;
use trefoil_hub::{ConnectionKey, Time};
use trefoil_json::{Code, RequestError};

/// Subscriptions and their ends in one second, of a peer that may be somebody else's forged address: two datagrams full of
/// them.
const TURNS_MAX: u32 = 2048;
const WINDOW_MS: u64 = 1000;

/// What a peer has done since the window began.
#[derive(Default)]
pub(in crate::shard) struct Turns {
    since: Time,
    count: u32,
}

impl Turns {
    fn take(&mut self, now: Time) -> bool {
        if self.since.plus_ms(WINDOW_MS) <= now {
            *self = Turns { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= TURNS_MAX
    }
}

impl ShardLoop {
    /// Counts a subscription or its end. Either is answered by what is a request itself, so two hubs, one of which was sent a
    /// datagram with the other's address on it, would answer each other for ever. Errors are not answered: one ends that.
    pub(super) fn json_take_turn(&mut self, key: ConnectionKey) -> Result<(), RequestError> {
        let now = self.net.now;
        let Some(Link::Udp(peer)) = self.net.get_mut(key).map(|connection| &mut connection.link) else {
            return Ok(());
        };
        if peer.is_proven || peer.turns.take(now) {
            return Ok(());
        }
        let why = format!("more than {TURNS_MAX} subscriptions in a second over UDP; send it again later");
        Err(RequestError::new(Code::Overloaded, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_turns_anew_with_each_second() {
        let mut turns = Turns::default();
        let at = |ms| Time::default().plus_ms(ms);
        for ms in [5000, 6000] {
            assert!((0..TURNS_MAX).all(|_| turns.take(at(ms))));
            assert!(!turns.take(at(ms + 999)));
        }
    }
}
