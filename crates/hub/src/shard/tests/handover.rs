//! Sessions that go on in another process, with their connections.

use super::keep::Kept;
use super::*;

/// A connection that goes to another process has one message under way, and one that waits for a place in its window. Its
/// session goes on as if nothing had happened, except that `meanwhile` happens to the next process before it is there.
fn handed_over(meanwhile: impl FnOnce(&mut Kept)) -> Vec<String> {
    let mut kept = Kept::new(1);
    let client = kept.world.connect_as(0, "a", |c| {
        (c.clean_start, c.expiry_s, c.window_max) = (false, 100, 1);
    });
    kept.world.subscribe(client, "t", QoS::ExactlyOnce);
    for payload in ["1", "2"] {
        kept.world.publish(0, "t", payload, QoS::ExactlyOnce);
    }
    assert_eq!(kept.world.got(client), ["t=1 q2"]);
    let record =
        kept.world.shards[0].write_handover(client.session, 0, usize::MAX).expect("there is no bound");
    kept.world.shards[0].let_go(Time::default(), client.session, &mut kept.world.out);
    kept.hand_over();
    kept.crash(1);
    meanwhile(&mut kept);
    let (connection, tag) = (ConnectionKey(client.connection), std::num::NonZeroU32::MIN);
    let taken = kept.world.shards[0].take_over("a", connection, tag, 0, &record);
    let session = taken.expect("the store has all that is in flight");
    let (now, shard, out) = (kept.world.now, &mut kept.world.shards[0], &mut kept.world.out);
    shard.resume(now, session, out);
    for packet_id in 1..=2 {
        shard.received(session, packet_id);
        shard.complete(now, session, packet_id, out);
    }
    kept.world.got(client)
}

#[test]
fn what_waited_and_what_has_come_since_goes_on_in_order() {
    assert_eq!(handed_over(|_| {}), ["t=2 q2"]);
    assert_eq!(
        handed_over(|kept| _ = kept.world.publish(0, "t", "3", QoS::ExactlyOnce)),
        ["t=2 q2", "t=3 q2"]
    );
}

#[test]
fn what_has_been_dropped_since_does_not_keep_a_connection_from_going_on() {
    let replaced = |kept: &mut Kept| {
        let key = kept.world.shards[0].find("a").expect("it was restored");
        kept.world.shards[0].session_mut(key).slow_reader = SlowReader::LatestPerTopic;
        kept.world.publish(0, "t", "3", QoS::ExactlyOnce);
    };
    assert_eq!(handed_over(replaced), ["t=3 q2"]);
}
