//! Shared subscriptions whose members come and go.

use super::*;
use crate::group::Strategy;

#[test]
fn shared_subscriptions_give_each_message_to_one() {
    let mut w = World::new(2);
    let members = [w.connect(0, "a"), w.connect(1, "b"), w.connect(1, "c")];
    for m in members {
        w.subscribe(m, "$share/g/t/#", Q1);
    }
    for n in 0..30 {
        assert!(w.publish(n % 2, "t/x", &n.to_string(), Q1).matched);
    }
    let got: Vec<_> = members.iter().map(|&m| work_off(&mut w, m)).collect();
    assert!(got.iter().all(|g| g.len() == 10), "{got:?}");
    w.leave(members[0], Ending::Lost);
    w.unsubscribe(members[1], "$share/g/t/#");
    w.publish(0, "t/x", "31", Q1);
    assert_eq!(w.got(members[2]), ["t/x=31 q1"]);
}

#[test]
fn a_parcel_for_a_member_that_is_gone_goes_to_another() {
    let mut w = World::new(2);
    let (a, b) = (w.connect(0, "a"), w.connect(0, "b"));
    w.subscribe(a, "$share/g/t", Q1);
    w.subscribe(b, "$share/g/t", Q1);
    let message = Arc::new(message("t", "1", Q1));
    w.shards[1].publish(w.now, None, &message, &mut w.out);
    w.shards[1].publish(w.now, None, &message, &mut w.out);
    let ended = Ending::Normal { expiry_s: None };
    w.shards[0].disconnect(w.now, a.session, ended, &mut w.out);
    w.settle();
    assert_eq!(w.got(b).len(), 2);
}

/// A member of `$share/g/t/#` whose session outlasts its connection.
fn worker(w: &mut World, shard: usize, id: &str) -> Client {
    let client = w.lasting(shard, id);
    if !client.present {
        w.subscribe(client, "$share/g/t/#", Q2);
    }
    client
}

fn small_window(w: &mut World, shard: usize, id: &str, window_max: u16) -> Client {
    let client = w.connect_as(shard, id, |c| {
        (c.clean_start, c.expiry_s, c.window_max) = (false, 100, window_max);
    });
    w.subscribe(client, "$share/g/t/#", Q2);
    client
}

/// Acknowledges everything at QoS 1 that has come, again and again, until nothing more comes. Returns what came.
fn work_off(w: &mut World, c: Client) -> Vec<String> {
    let mut got = Vec::new();
    loop {
        let ids = w.out.ids.remove(&c.connection).unwrap_or_default();
        got.extend(w.got(c));
        if ids.is_empty() {
            return got;
        }
        for id in ids {
            w.shards[c.shard].acknowledge(w.now, c.session, id, Q1, &mut w.out);
            w.settle();
        }
    }
}

#[test]
fn what_a_lost_member_has_not_acknowledged_goes_to_others() {
    for shards in [1, 2] {
        let mut w = World::new(shards);
        let a = small_window(&mut w, 0, "a", 2);
        for n in 0..200 {
            w.publish(0, "t/x", &n.to_string(), Q1);
        }
        assert_eq!(w.got(a).len(), 2, "the rest waits behind the window");
        // Nobody else is there: it stays, and is there when the member returns.
        w.leave(a, Ending::Lost);
        let b = worker(&mut w, shards - 1, "b");
        let got = work_off(&mut w, b);
        let expected: Vec<_> = (0..200).map(|n| format!("t/x={n} q1")).collect();
        assert_eq!(got, expected, "all of it, in order, to the one that is there");
        let a = worker(&mut w, 0, "a");
        assert!(w.got(a).is_empty());
        assert!(w.shards.iter().all(|s| s.counters().dropped_queue_full == 0));
    }
}

#[test]
fn members_that_are_there_fetch_at_once_what_another_leaves_behind() {
    let mut w = World::new(2);
    let (a, b) = (small_window(&mut w, 0, "a", 1), worker(&mut w, 1, "b"));
    w.out.full.push(b.connection);
    for n in 0..10 {
        w.publish(0, "t/x", &n.to_string(), Q1);
    }
    w.out.full.clear();
    w.shards[1].resume(w.now, b.session, &mut w.out);
    let (mine, before) = (w.got(a), work_off(&mut w, b));
    assert!(mine.len() == 1 && (3..=7).contains(&before.len()), "{mine:?} {before:?}");
    w.leave(a, Ending::Lost);
    let left = 10 - before.len();
    assert_eq!(work_off(&mut w, b).len(), left, "with what was in flight");
    assert_eq!(w.shards[0].counters().redistributed, left as u64);
}

#[test]
fn a_session_that_ends_leaves_its_messages_to_the_group() {
    let mut w = World::new(2);
    let a = w.connect(0, "a");
    w.subscribe(a, "$share/g/t/#", Q1);
    w.publish(0, "t/x", "1", Q1);
    w.publish(1, "t/x", "2", Q1);
    assert_eq!(w.got(a).len(), 2);
    let b = worker(&mut w, 1, "b");
    w.leave(a, Ending::Lost);
    assert_eq!(work_off(&mut w, b), ["t/x=1 q1", "t/x=2 q1"]);
    // The last one takes them along.
    w.publish(1, "t/x", "3", Q1);
    w.leave(b, Ending::Normal { expiry_s: Some(0) });
    assert_eq!(w.shards[1].counters().dropped_no_member, 1);
}

#[test]
fn who_unsubscribes_gives_back_what_waits_but_keeps_what_is_under_way() {
    let mut w = World::new(1);
    let (a, b) = (small_window(&mut w, 0, "a", 1), small_window(&mut w, 0, "b", 1));
    for n in 0..8 {
        w.publish(0, "t/x", &n.to_string(), Q1);
    }
    w.unsubscribe(a, "$share/g/t/#");
    let (ones, others) = (work_off(&mut w, a), work_off(&mut w, b));
    assert_eq!((ones.len(), others.len()), (1, 7));
}

#[test]
fn qos_2_stays_with_whom_it_was_sent_to() {
    let mut w = World::new(1);
    let (a, b) = (worker(&mut w, 0, "a"), worker(&mut w, 0, "b"));
    w.publish(0, "t/x", "1", Q2);
    w.publish(0, "t/x", "2", Q2);
    assert_eq!((w.got(a).len(), w.got(b).len()), (1, 1));
    let serial = w.out.ids[&b.connection][0];
    w.leave(a, Ending::Lost);
    w.leave(b, Ending::Lost);
    assert!(w.got(b).is_empty());
    // [MQTT-4.8.2-4]: it is completed with whom it was begun.
    let b = worker(&mut w, 0, "b");
    assert_eq!(w.got(b).len(), 1);
    assert!(w.shards[0].received(b.session, serial));
    // [MQTT-4.8.2-5]: it ends with that session.
    w.pass(101);
    assert!(w.got(b).is_empty());
}

#[test]
fn a_member_without_room_is_passed_over() {
    let limits = Limits { session_queue_messages_max: 1, ..Limits::default() };
    for strategy in [Strategy::Sticky, Strategy::HashTopic, Strategy::LeastLoaded, Strategy::RoundRobin] {
        let mut w = World::with(2, Limits { share_strategy: strategy, ..limits.clone() });
        let (a, b) = (small_window(&mut w, 0, "a", 1), small_window(&mut w, 1, "b", 1));
        for n in 0..4 {
            w.publish(0, "t/x", &n.to_string(), Q1);
        }
        let got = work_off(&mut w, a).len() + work_off(&mut w, b).len();
        assert_eq!(got, 4, "{strategy:?}: a window and a queue of one each");
        assert!(w.shards.iter().all(|s| s.counters().dropped_queue_full == 0));
    }
}

#[test]
fn the_least_loaded_is_who_has_acknowledged_most() {
    let limits = Limits { share_strategy: Strategy::LeastLoaded, ..Limits::default() };
    let mut w = World::with(1, limits);
    let (a, b) = (worker(&mut w, 0, "a"), worker(&mut w, 0, "b"));
    assert!(w.shards[0].is_weighed(a.session));
    let mut done = 0;
    for n in 0..100 {
        w.publish(0, "t/x", &n.to_string(), Q1);
        done += work_off(&mut w, a).len();
    }
    assert!(done >= 98, "the other one works on {}", w.got(b).len());
    // What waits in an outbox counts as well.
    w.shards[0].weigh(a.session, 10);
    w.publish(0, "t/x", "last", Q1);
    assert_eq!(w.got(b).last().map(String::as_str), Some("t/x=last q1"));
}

#[test]
fn a_message_that_finds_its_member_gone_does_not_wait_while_another_is_idle() {
    let mut w = World::new(3);
    let (a, b) = (worker(&mut w, 0, "a"), worker(&mut w, 1, "b"));
    // It is the first one's turn, whose connection is lost meanwhile.
    w.shards[2].publish(w.now, None, &Arc::new(message("t/x", "1", Q1)), &mut w.out);
    assert!(matches!(w.out.parcels.front(), Some((0, Parcel::Turn(..)))));
    w.shards[0].disconnect(w.now, a.session, Ending::Lost, &mut w.out);
    w.settle();
    assert_eq!(work_off(&mut w, b), ["t/x=1 q1"]);
}

#[test]
fn a_message_on_its_way_to_an_absent_member_is_fetched_by_who_has_come_meanwhile() {
    let mut w = World::new(3);
    let a = worker(&mut w, 0, "a");
    w.leave(a, Ending::Lost);
    w.shards[2].publish(w.now, None, &Arc::new(message("t/x", "1", Q1)), &mut w.out);
    let parcels = std::mem::take(&mut w.out.parcels);
    let b = worker(&mut w, 1, "b");
    w.out.parcels.extend(parcels);
    w.settle();
    assert_eq!(work_off(&mut w, b), ["t/x=1 q1"]);
}

#[test]
fn a_member_at_qos_0_gets_all_that_another_leaves_behind() {
    let mut w = World::new(2);
    let a = small_window(&mut w, 0, "a", 1);
    for n in 0..300 {
        w.publish(0, "t/x", &n.to_string(), Q1);
    }
    let b = w.connect(1, "b");
    w.subscribe(b, "$share/g/t/#", Q0);
    w.leave(a, Ending::Lost);
    let expected: Vec<_> = (0..300).map(|n| format!("t/x={n} q0")).collect();
    assert_eq!(w.got(b), expected);
    // What does not fit its outbox waits with the other one until there is room.
    w.publish(0, "t/x", "before", Q1);
    assert_eq!(w.got(b), ["t/x=before q0"]);
    w.out.full.push(b.connection);
    w.publish(0, "t/x", "later", Q1);
    assert!(w.got(b).is_empty());
    w.out.full.clear();
    w.shards[1].resume(w.now, b.session, &mut w.out);
    w.settle();
    assert_eq!(w.got(b), ["t/x=later q0"]);
}
