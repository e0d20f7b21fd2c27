//! Sessions of JSON clients that outlast their connections: their tokens, and the answers to requests.

use super::keep::Kept;
use super::*;

const TOKEN: [u8; 16] = [7; 16];

impl Kept {
    fn come(&mut self, expiry_s: u32, token: Option<[u8; 16]>) -> Connected {
        let world = &mut self.world;
        let connection = ConnectionKey(world.next_connection);
        world.next_connection += 1;
        let connect = Connect { clean_start: false, expiry_s, token, ..Connect::new("c", connection) };
        world.shards[0].begin_event();
        world.shards[0].connect(world.now, connect, &mut world.out)
    }

    fn token(&self) -> Option<[u8; 16]> {
        self.world.shards[0].token(self.world.now, "c")
    }
}

#[test]
fn a_token_is_kept_with_its_session_and_over_checkpoints() {
    let mut kept = Kept::new(1);
    kept.come(60, Some(TOKEN));
    assert_eq!(kept.token(), Some(TOKEN));
    kept.hand_over();
    kept.crash(1);
    assert_eq!(kept.token(), Some(TOKEN));
    kept.checkpoint(kept.mark(), false);
    kept.crash(1);
    assert_eq!(kept.token(), Some(TOKEN));
    // Who comes without one speaks something else.
    kept.come(60, None);
    kept.hand_over();
    kept.crash(1);
    assert_eq!(kept.token(), None);
}

#[test]
fn a_session_may_be_kept_for_another_time() {
    let mut kept = Kept::new(1);
    let session = kept.come(60, Some(TOKEN)).session;
    assert_eq!(kept.world.shards[0].set_expiry(session, 5), 5);
    assert_eq!(kept.world.shards[0].expiry_s(session), 5);
    kept.hand_over();
    kept.crash(1);
    assert!(kept.world.shards[0].has_live_session(kept.world.now, "c"));
    kept.world.now = kept.world.now.plus_s(6);
    assert!(!kept.world.shards[0].has_live_session(kept.world.now, "c"), "its time is over");
    assert_eq!(kept.token(), None);
}

#[test]
fn answers_are_given_up_with_the_connection() {
    let mut kept = Kept::new(1);
    let session = kept.come(60, Some(TOKEN)).session;
    let topic = Topic::new("$reply/1", usize::MAX).expect("it is a topic");
    kept.world.shards[0].take_replies(session, &topic);
    assert_eq!(kept.world.shards[0].subscription_count_of(session), 1);
    kept.checkpoint(kept.mark(), false);
    let World { shards, now, out, .. } = &mut kept.world;
    shards[0].disconnect(*now, session, Ending::Lost, out);
    assert_eq!(shards[0].subscription_count_of(session), 0);
    kept.hand_over();
    kept.crash(1);
    let session = kept.world.shards[0].find("c").expect("it is kept");
    assert_eq!(kept.world.shards[0].subscription_count_of(session), 0, "nothing of it was written down");
}
