//! Clients that follow the histories of topics.

use super::*;
use crate::history::{Epoch, HistoryOptions, HistoryRule, Place};
use crate::slow_reader::SlowReader;
use std::str::FromStr;

fn rule(filter: &str, messages_max: usize) -> HistoryRule {
    HistoryRule { filter: filter.into(), messages_max, age_ms_max: None, bytes_max: usize::MAX }
}

fn options(rules: Vec<HistoryRule>) -> HistoryOptions {
    HistoryOptions { rules, start_ms: 1_000_000, random: 7, ..HistoryOptions::default() }
}

pub(super) fn world(shards: usize, options: HistoryOptions) -> World {
    World::of(shards, Shared::new(shards, 5, Limits::default()).with_history(options))
}

fn follower(w: &mut World, shard: usize, id: &str) -> Client {
    w.connect_as(shard, id, |c| c.follows = true)
}

/// Subscribes and says from where on.
fn follow(w: &mut World, c: Client, filter: &str, qos: QoS, resume: &Resume) -> Following {
    let options = SubscriptionOptions { qos, ..Default::default() };
    let shard = &mut w.shards[c.shard];
    shard.subscribe(c.session, filter, options, RetainHandling::DoNotSend).expect("a good filter");
    let following = shard.follow_from(w.now, c.session, filter, resume).expect("there is a history");
    shard.resume(w.now, c.session, &mut w.out);
    w.settle();
    following
}

fn last(last: usize) -> Resume {
    Resume { last, ..Resume::default() }
}

fn behind(w: &World, topic: &str, offset: u64) -> Resume {
    let epoch = w.shards[0].shared.history.find(topic).expect("it has a history").epoch();
    Resume { topics: vec![(topic.into(), Place { epoch, offset })], ..Resume::default() }
}

#[test]
fn each_message_has_its_place_on_whatever_shard_it_is_published() {
    let mut w = world(3, options(vec![rule("h/#", 10)]));
    let (a, plain) = (follower(&mut w, 0, "a"), w.connect(1, "plain"));
    follow(&mut w, a, "#", Q0, &Resume::default());
    w.subscribe(plain, "#", Q0);
    for (shard, topic) in [(0, "h/x"), (1, "h/x"), (2, "h/x"), (2, "h/y"), (1, "other"), (0, "h/x")] {
        w.publish(shard, topic, "m", Q1);
    }
    assert_eq!(
        w.got(a),
        ["h/x=m q0 @1", "h/x=m q0 @2", "h/x=m q0 @3", "h/y=m q0 @1", "other=m q0", "h/x=m q0 @4"]
    );
    assert_eq!(w.got(plain).len(), 6);
}

#[test]
fn what_shards_send_in_another_order_is_given_in_that_of_the_places() {
    let mut w = world(3, options(vec![rule("#", 10)]));
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "t", Q0, &Resume::default());
    for n in 1..=4 {
        let message = Arc::new(message("t", &n.to_string(), Q0));
        w.shards[n % 3].publish(w.now, None, &message, &mut w.out);
    }
    // What came from the shard itself has brought all before it along.
    assert_eq!(w.got(a), ["t=1 q0 @1", "t=2 q0 @2", "t=3 q0 @3"]);
    w.out.parcels.make_contiguous().reverse();
    w.settle();
    assert_eq!(w.got(a), ["t=4 q0 @4"], "each once");
}

#[test]
fn a_client_that_was_away_gets_what_it_missed_and_then_what_comes() {
    let mut w = world(2, options(vec![rule("#", 4)]));
    for n in 1..=5 {
        w.publish(n % 2, "t", &n.to_string(), Q0);
    }
    let a = follower(&mut w, 0, "a");
    let resume = behind(&w, "t", 3);
    assert!(!follow(&mut w, a, "t", Q0, &resume).gap);
    w.publish(1, "t", "6", Q0);
    assert_eq!(w.got(a), ["t=4 q0 @4", "t=5 q0 @5", "t=6 q0 @6"]);
    w.leave(a, Ending::Lost);
    let b = follower(&mut w, 1, "b");
    let resume = behind(&w, "t", 1);
    assert!(follow(&mut w, b, "t", Q0, &resume).gap, "2 is not there any more");
    assert_eq!(w.got(b), ["gap t @3", "t=3 q0 @3", "t=4 q0 @4", "t=5 q0 @5", "t=6 q0 @6"]);
    let resume = behind(&w, "t", 6);
    let c = follower(&mut w, 1, "c");
    assert!(!follow(&mut w, c, "t", Q0, &resume).gap && w.got(c).is_empty(), "there is nothing new");
    let resume = behind(&w, "t", 9);
    assert!(follow(&mut w, c, "t", Q0, &resume).gap, "there has been no such place");
}

#[test]
fn another_life_of_a_topic_is_told() {
    let mut w = world(1, options(vec![rule("#", 4)]));
    w.publish(0, "t", "1", Q0);
    let epoch = Epoch::from_str("00000000000a").expect("it is one");
    let topics = vec![("t".into(), Place { epoch, offset: 1 }), ("gone".into(), Place { epoch, offset: 1 })];
    let a = follower(&mut w, 0, "a");
    assert!(follow(&mut w, a, "+", Q0, &Resume { topics, ..Resume::default() }).gap);
    assert_eq!(w.got(a), ["gap gone", "gap t @1", "t=1 q0 @1"]);
}

#[test]
fn the_last_messages_of_each_topic_come_first() {
    let mut w = world(2, options(vec![rule("h/#", 10)]));
    for n in 1..=5 {
        for topic in ["h/a", "h/b", "h/c/d", "other"] {
            w.publish(n % 2, topic, &n.to_string(), Q0);
        }
    }
    let a = follower(&mut w, 0, "a");
    assert!(!follow(&mut w, a, "h/+", Q0, &last(2)).gap);
    w.publish(1, "h/b", "6", Q0);
    let mut got = w.got(a);
    got.sort();
    assert_eq!(got, ["h/a=4 q0 @4", "h/a=5 q0 @5", "h/b=4 q0 @4", "h/b=5 q0 @5", "h/b=6 q0 @6"]);
}

#[test]
fn topics_that_came_meanwhile_are_found_by_the_time() {
    let mut w = world(2, options(vec![rule("#", 10)]));
    w.publish(0, "before", "1", Q0);
    let a = follower(&mut w, 0, "a");
    let began = follow(&mut w, a, "#", Q0, &Resume::default()).time;
    w.publish(0, "a", "1", Q0);
    assert_eq!(w.got(a), ["a=1 q0 @1"]);
    w.leave(a, Ending::Lost);
    w.publish(1, "a", "2", Q0);
    w.publish(1, "b", "1", Q0);
    let b = follower(&mut w, 1, "b");
    let resume = Resume { time: Some(began), ..behind(&w, "a", 1) };
    assert!(!follow(&mut w, b, "#", Q0, &resume).gap);
    assert_eq!(w.got(b), ["a=2 q0 @2", "b=1 q0 @1"]);
    let c = follower(&mut w, 1, "c");
    let resume = Resume { time: Some(1), ..Resume::default() };
    assert!(follow(&mut w, c, "#", Q0, &resume).gap, "nobody knows what was before the start");
    assert_eq!(w.got(c).len(), 4);
}

#[test]
fn a_slow_follower_goes_on_from_its_place() {
    let mut w = world(1, options(vec![rule("#", 50)]));
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "#", Q0, &Resume::default());
    w.out.full.push(a.connection);
    for n in 1..=40 {
        w.publish(0, "t", &n.to_string(), Q0);
    }
    assert!(w.got(a).is_empty());
    w.out.full.clear();
    w.shards[0].resume(w.now, a.session, &mut w.out);
    let got = w.got(a);
    assert_eq!((got.len(), got[39].as_str()), (40, "t=40 q0 @40"));
    w.out.full.push(a.connection);
    for n in 41..=100 {
        w.publish(0, "t", &n.to_string(), Q0);
    }
    w.out.full.clear();
    w.shards[0].resume(w.now, a.session, &mut w.out);
    let got = w.got(a);
    assert_eq!((got.len(), got[0].as_str(), got[1].as_str()), (51, "gap t @51", "t=51 q0 @51"));
    assert_eq!(w.shards[0].shared.history.figures().gaps, 1);
}

#[test]
fn who_wants_the_latest_only_gets_that() {
    let mut w = world(1, options(vec![rule("#", 50)]));
    let a = follower(&mut w, 0, "a");
    let latest = SubscriptionOptions { slow_reader: Some(SlowReader::LatestPerTopic), ..Default::default() };
    w.subscribe_with(a, "t", latest, RetainHandling::Send);
    w.publish(0, "t", "1", Q0);
    w.out.full.push(a.connection);
    for n in 2..=9 {
        w.publish(0, "t", &n.to_string(), Q0);
    }
    w.out.full.clear();
    w.shards[0].resume(w.now, a.session, &mut w.out);
    assert_eq!(w.got(a), ["t=1 q0 @1", "t=9 q0 @9"]);
}

#[test]
fn at_qos_1_the_window_sets_the_pace() {
    let mut w = world(1, options(vec![rule("#", 100)]));
    for n in 1..=20 {
        w.publish(0, "t", &n.to_string(), Q1);
    }
    let a = w.connect_as(0, "a", |c| (c.follows, c.window_max) = (true, 3));
    follow(&mut w, a, "t", Q1, &last(100));
    let mut got = w.got(a);
    assert_eq!(got, ["t=1 q1 @1", "t=2 q1 @2", "t=3 q1 @3"]);
    while let Some(ids) = w.out.ids.remove(&a.connection) {
        for id in ids {
            w.shards[0].acknowledge(w.now, a.session, id, Q1, &mut w.out);
        }
        got.extend(w.got(a));
    }
    let expected: Vec<String> = (1..=20).map(|n| format!("t={n} q1 @{n}")).collect();
    assert_eq!(got, expected);
}

#[test]
fn ones_own_messages_can_be_left_out() {
    let mut w = world(2, options(vec![rule("#", 100)]));
    let a = follower(&mut w, 0, "a");
    let options = SubscriptionOptions { no_local: true, ..Default::default() };
    w.subscribe_with(a, "t", options, RetainHandling::Send);
    for n in 1..=3 {
        w.publish_with(0, Some(a.session), message("t", &format!("own {n}"), Q0));
        w.publish(1, "t", &format!("other {n}"), Q0);
    }
    assert_eq!(w.got(a), ["t=other 1 q0 @2", "t=other 2 q0 @4", "t=other 3 q0 @6"]);
}

#[test]
fn what_has_expired_is_passed_over() {
    let mut w = world(1, options(vec![rule("#", 100)]));
    let expires_at = Some(w.now.plus_s(5));
    w.publish_with(0, None, Message { expires_at, ..message("t", "short", Q0) });
    w.publish(0, "t", "long", Q0);
    w.pass(6);
    let a = follower(&mut w, 0, "a");
    let resume = behind(&w, "t", 0);
    assert!(!follow(&mut w, a, "t", Q0, &resume).gap, "it is not worth delivering any more");
    assert_eq!(w.got(a), ["t=long q0 @2"]);
}

#[test]
fn bounds_hold_and_count_what_gives_way() {
    let old = HistoryRule { age_ms_max: Some(10_000), ..rule("old", usize::MAX) };
    let all = HistoryOptions { topics_max: 4, messages_max: 6, ..options(vec![old, rule("#", 4)]) };
    let mut w = world(1, all);
    for _ in 0..5 {
        w.publish(0, "a", "x", Q0);
    }
    w.publish(0, "old", "x", Q0);
    let figures = |w: &World| w.shards[0].shared.history.figures();
    assert_eq!((figures(&w).messages, figures(&w).evicted_rule), (5, 1));
    w.publish(0, "old", "x", Q0);
    w.publish(0, "old", "x", Q0);
    assert_eq!((figures(&w).messages, figures(&w).evicted_total), (6, 1));
    w.pass(20);
    let now = w.now;
    assert!(w.shards[0].sweep_histories(now) && !w.shards[0].sweep_histories(now));
    assert_eq!((figures(&w).messages, figures(&w).evicted_rule), (4, 3));
    // `old` is empty and there are not so many topics that it had to go; its places go on.
    w.publish(0, "old", "x", Q0);
    assert_eq!(w.shards[0].shared.history.find("old").expect("it is there").state().next, 5);
    w.publish(0, "b", "x", Q0);
    w.publish(0, "b/b", "x", Q0);
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "#", Q0, &Resume::default());
    w.publish(0, "c", "x", Q0);
    assert_eq!(w.got(a), ["c=x q0"], "without a place nobody takes it for one to go on from");
    assert_eq!((figures(&w).topics, figures(&w).refused), (4, 1));
    let b = follower(&mut w, 0, "b");
    let resume = Resume { time: Some(1_000_000_000 + 1000), ..Resume::default() };
    assert!(follow(&mut w, b, "#", Q0, &resume).gap, "`c` is not there");
}

#[test]
fn a_session_follows_no_more_topics_than_it_may() {
    let mut w = world(1, HistoryOptions { followed_max: 2, ..options(vec![rule("#", 4)]) });
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "#", Q0, &Resume::default());
    for topic in ["a", "b", "c", "a", "c"] {
        w.publish(0, topic, "x", Q0);
    }
    assert_eq!(w.got(a), ["a=x q0 @1", "b=x q0 @1", "c=x q0", "a=x q0 @2", "c=x q0"]);
    assert_eq!(w.shards[0].shared.history.figures().unfollowed, 2);
    assert!(w.unsubscribe(a, "#"));
    follow(&mut w, a, "c", Q0, &last(1));
    assert_eq!(w.got(a), ["c=x q0 @2"], "others have made room");
}

#[test]
fn a_subscription_that_ends_is_followed_no_more() {
    let mut w = world(1, options(vec![rule("#", 9)]));
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "a/+", Q0, &Resume::default());
    follow(&mut w, a, "a/b", Q1, &Resume::default());
    w.publish(0, "a/b", "1", Q1);
    assert!(w.unsubscribe(a, "a/b"));
    w.publish(0, "a/b", "2", Q1);
    assert!(w.unsubscribe(a, "a/+"));
    w.publish(0, "a/b", "3", Q1);
    assert_eq!(w.got(a), ["a/b=1 q1 @1", "a/b=2 q0 @2"]);
    follow(&mut w, a, "a/b", Q0, &Resume::default());
    w.publish(0, "a/b", "4", Q1);
    assert_eq!(w.got(a), ["a/b=4 q0 @4"], "it begins with what comes");
}

#[test]
fn a_large_history_goes_out_over_many_rounds() {
    let mut w = world(1, options(vec![rule("#", 5000)]));
    for n in 0..5_000 {
        w.publish(0, "t", &n.to_string(), Q0);
    }
    let a = follower(&mut w, 0, "a");
    follow(&mut w, a, "t", Q0, &last(5000));
    let (mut got, mut rounds) = (w.got(a), 0);
    assert!((1..=REPLAY_MAX).contains(&got.len()), "{}", got.len());
    while w.shards[0].wait_ms(w.now) == Some(0) {
        w.publish(0, "t", "more", Q0);
        w.shards[0].handle_time(w.now, &mut w.out);
        let more = w.got(a);
        assert!(more.len() <= 2 * REPLAY_MAX, "{}", more.len());
        got.extend(more);
        rounds += 1;
    }
    assert!(rounds > 5 && got.len() > 5000);
    let in_order = got.iter().enumerate().all(|(n, line)| line.ends_with(&format!(" @{}", n + 1)));
    assert!(in_order, "without a gap at the seam, and nothing twice");
}

/// What one receiver gets at a time at most.
const REPLAY_MAX: usize = 256;
