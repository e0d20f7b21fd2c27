//! Retained messages that are too many to be sent at once.

use super::*;

#[test]
fn a_large_set_goes_out_over_many_rounds() {
    let mut w = World::new(1);
    for n in 0..5_000 {
        w.publish_with(0, None, Message { retain: true, ..message(&format!("t/{n}"), "x", Q0) });
    }
    let (a, b) = (w.connect(0, "a"), w.connect(0, "b"));
    w.subscribe(a, "t/#", Q0);
    let first = w.got(a).len();
    assert!((1..=REPLAYED_MAX).contains(&first), "{first}");
    w.subscribe(b, "t/+", Q0);
    let (mut ones, mut others, mut rounds) = (first, w.got(b).len(), 0);
    while w.shards[0].wait_ms(w.now) == Some(0) {
        w.shards[0].handle_time(w.now, &mut w.out);
        let more = (w.got(a).len(), w.got(b).len());
        assert!(more.0 + more.1 <= 4 * REPLAYED_MAX, "{more:?}");
        (ones, others, rounds) = (ones + more.0, others + more.1, rounds + 1);
    }
    assert_eq!((ones, others), (5_000, 5_000));
    assert!(rounds > 5);
}

/// What one receiver gets at a time at most.
const REPLAYED_MAX: usize = 256;

#[test]
fn a_fruitless_search_is_spread_over_rounds_and_ends() {
    let mut w = World::new(1);
    for n in 0..5_000 {
        w.publish_with(0, None, Message { retain: true, ..message(&format!("{n}/t"), "x", Q0) });
    }
    let a = w.connect(0, "a");
    w.subscribe(a, "+/nothing", Q1);
    let mut rounds = 0;
    while w.shards[0].wait_ms(w.now) == Some(0) {
        w.shards[0].handle_time(w.now, &mut w.out);
        rounds += 1;
    }
    assert!(rounds > 5 && w.got(a).is_empty());
}

#[test]
fn the_window_and_the_outbox_set_the_pace() {
    let mut w = World::new(1);
    for n in 0..100 {
        w.publish_with(0, None, Message { retain: true, ..message(&format!("t/{n}"), "x", Q1) });
    }
    let a = w.connect_as(0, "a", |c| c.window_max = 10);
    w.subscribe(a, "#", Q1);
    let mut got = w.got(a).len();
    assert_eq!(got, 10);
    while let Some(ids) = w.out.ids.remove(&a.connection) {
        for id in ids {
            w.shards[0].acknowledge(w.now, a.session, id, Q1, &mut w.out);
        }
        got += w.got(a).len();
    }
    assert_eq!(got, 100);

    let b = w.connect(0, "b");
    w.out.full.push(b.connection);
    w.subscribe(b, "#", Q0);
    assert!(w.got(b).is_empty());
    w.shards[0].handle_time(w.now, &mut w.out);
    assert!(w.got(b).is_empty() && w.shards[0].wait_ms(w.now) != Some(0), "it waits for room");
    w.out.full.clear();
    w.shards[0].resume(w.now, b.session, &mut w.out);
    assert_eq!(w.got(b).len(), 100);
}

#[test]
fn at_qos_0_what_does_not_fit_as_a_whole_waits_too() {
    let mut w = World::new(1);
    for n in 0..100 {
        w.publish_with(0, None, Message { retain: true, ..message(&format!("t/{n}"), "0123456789", Q1) });
    }
    let a = w.connect(0, "a");
    // There is always some room, and mostly not enough.
    let mut got = 0;
    w.out.room.insert(a.connection, 15);
    w.subscribe(a, "#", Q0);
    for _ in 0..100 {
        let more = w.got(a).len();
        assert_eq!(more, 1, "after {got}");
        got += more;
        w.out.room.insert(a.connection, 19);
        w.shards[0].resume(w.now, a.session, &mut w.out);
    }
    assert_eq!((got, w.got(a).len()), (100, 0));
}

#[test]
fn who_subscribes_again_and_again_searches_no_further_than_a_round_and_owes_no_memory() {
    let mut w = World::new(1);
    for n in 0..5_000 {
        w.publish_with(0, None, Message { retain: true, ..message(&format!("{n}/t"), "x", Q1) });
    }
    let a = w.connect_as(0, "a", |c| c.window_max = 1);
    // Each of these filters alone would be looked up at once.
    for n in 0..1000 {
        w.subscribe(a, &format!("+/nothing/{}", n % 10), Q1);
    }
    let done = w.shards[0].replay_steps;
    assert_eq!(done, 0, "the searches of this round have had their time");
    let waiting = w.shards[0].sessions[0].outgoing.as_ref().map_or(0, |o| o.replays.len());
    assert!(waiting <= 32, "{waiting}");
    // They go on in the next rounds.
    w.subscribe(a, "+/t", Q1);
    let mut got = 0;
    for _ in 0..20_000 {
        w.shards[0].handle_time(w.now, &mut w.out);
        for id in w.out.ids.remove(&a.connection).unwrap_or_default() {
            w.shards[0].acknowledge(w.now, a.session, id, Q1, &mut w.out);
        }
        got += w.got(a).len();
    }
    assert_eq!((got, w.shards[0].wait_ms(w.now)), (5_000, None));
}

#[test]
fn a_full_window_alone_makes_no_work() {
    let mut w = World::new(1);
    let a = w.connect_as(0, "a", |c| c.window_max = 1);
    w.subscribe(a, "t", Q1);
    w.out.full.push(a.connection);
    w.publish(0, "t", "1", Q1);
    w.out.full.clear();
    // All searches have had their time, but this one has nothing to look for.
    w.shards[0].replay_steps = 0;
    w.shards[0].resume(w.now, a.session, &mut w.out);
    assert_eq!((w.got(a), w.shards[0].wait_ms(w.now)), (vec!["t=1 q1".to_owned()], None));
}
