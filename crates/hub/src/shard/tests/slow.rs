//! Clients that are away or acknowledge too slowly, and the policies for what waits for them.

use super::*;
use crate::SlowReader::{self, Disconnect, DropNewest, DropOldest, LatestPerTopic};
use crate::journal::{Image, Keeping};

/// Three messages may wait for a session.
fn three() -> Limits {
    Limits { session_queue_messages_max: 3, ..Limits::default() }
}

fn lasting(w: &mut World, shard: usize, id: &str, policy: SlowReader) -> Client {
    w.connect_as(shard, id, |c| (c.clean_start, c.expiry_s, c.slow_reader) = (false, 100, policy))
}

/// A client that has gone and waits for `a`, `b` and `c` with this policy.
fn away(w: &mut World, policy: SlowReader) -> Client {
    let client = lasting(w, 0, "away", policy);
    for filter in ["a", "b", "c"] {
        w.subscribe(client, filter, Q1);
    }
    w.leave(client, Ending::Lost);
    client
}

fn publish_all(w: &mut World, messages: &[&str]) {
    for message in messages {
        let (topic, payload) = message.split_once('=').expect("a topic and a payload");
        w.publish(0, topic, payload, Q1);
    }
}

/// What comes when it is back.
fn comes_back(w: &mut World, policy: SlowReader) -> Vec<String> {
    let back = lasting(w, 0, "away", policy);
    let got = w.got(back);
    got.iter().map(|line| line.trim_end_matches(" q1").to_owned()).collect()
}

/// Dropped: for a full queue, replaced, for a full hub.
fn dropped(w: &World) -> (u64, u64, u64) {
    let counters = w.shards[0].counters();
    (counters.dropped_queue_full, counters.dropped_replaced, counters.dropped_total_full)
}

#[test]
fn each_policy_keeps_what_it_says() {
    let sent = ["a=1", "b=1", "a=2", "a=3", "b=2", "a=4", "c=1"];
    for (policy, kept, count) in [
        (DropNewest, ["a=1", "b=1", "a=2"].as_slice(), (4, 0, 0)),
        (DropOldest, &["b=2", "a=4", "c=1"], (4, 0, 0)),
        // In the place of what they have replaced.
        (LatestPerTopic, &["a=4", "b=2", "c=1"], (0, 4, 0)),
        // There is no connection to be ended.
        (Disconnect, &["a=1", "b=1", "a=2"], (4, 0, 0)),
    ] {
        let mut w = World::with(1, three());
        away(&mut w, policy);
        publish_all(&mut w, &sent);
        assert_eq!(w.shards[0].backlog().queued().0, kept.len());
        assert_eq!(comes_back(&mut w, policy), kept, "{policy:?}");
        assert_eq!(dropped(&w), count, "{policy:?}");
        assert!(w.out.disconnected.is_empty());
        assert_eq!(w.shards[0].backlog().queued(), (0, 0));
    }
}

#[test]
fn the_latest_of_too_many_topics_are_those_that_came_last() {
    let mut w = World::with(1, Limits { session_queue_messages_max: 2, ..Limits::default() });
    away(&mut w, LatestPerTopic);
    publish_all(&mut w, &["a=1", "b=1", "c=1", "b=2", "a=2"]);
    assert_eq!(comes_back(&mut w, LatestPerTopic), ["c=1", "a=2"]);
    assert_eq!(dropped(&w), (2, 1, 0));
}

#[test]
fn what_is_in_flight_is_neither_dropped_nor_replaced() {
    for policy in [DropOldest, LatestPerTopic] {
        let mut w = World::with(1, Limits { session_queue_messages_max: 1, ..Limits::default() });
        let a = w.connect_as(0, "a", |c| (c.window_max, c.slow_reader) = (1, policy));
        w.subscribe(a, "t", Q1);
        publish_all(&mut w, &["t=1", "t=2", "t=3"]);
        assert_eq!(w.got(a), ["t=1 q1"]);
        assert!(w.shards[0].acknowledge(w.now, a.session, 1, Q1, &mut w.out));
        assert_eq!(w.got(a), ["t=3 q1"]);
    }
}

#[test]
fn who_is_to_be_disconnected_is_once_there_is_no_room() {
    let mut w = World::with(1, Limits { session_queue_messages_max: 1, ..Limits::default() });
    let a = w.connect_as(0, "a", |c| {
        (c.window_max, c.clean_start, c.expiry_s, c.slow_reader) = (1, false, 100, Disconnect);
    });
    w.subscribe(a, "t", Q1);
    publish_all(&mut w, &["t=1", "t=2"]);
    assert!(w.out.disconnected.is_empty());
    publish_all(&mut w, &["t=3"]);
    assert_eq!((w.out.disconnected.clone(), dropped(&w)), (vec![a.connection], (1, 0, 0)));
    w.leave(a, Ending::Lost);
    let a = w.lasting(0, "a");
    assert!(a.present, "the session is kept");
    assert_eq!(w.got(a), ["t=1 q1 dup", "t=2 q1"]);
}

#[test]
fn a_subscription_goes_before_a_topic_and_that_before_the_session() {
    let slow_readers = vec![("b".to_owned(), DropOldest)];
    let mut w = World::with(1, Limits { session_queue_messages_max: 1, slow_readers, ..Limits::default() });
    for (topic, wish, kept) in [
        ("a", None, "a=1"),
        ("b", None, "b=2"),
        ("b", Some(DropNewest), "b=1"),
        ("a", Some(DropOldest), "a=2"),
    ] {
        let away = lasting(&mut w, 0, "away", DropNewest);
        let options = SubscriptionOptions { qos: Q1, slow_reader: wish, ..Default::default() };
        w.subscribe_with(away, topic, options, RetainHandling::Send);
        w.leave(away, Ending::Lost);
        publish_all(&mut w, &[&format!("{topic}=1"), &format!("{topic}=2")]);
        assert_eq!(comes_back(&mut w, DropNewest), [kept]);
        w.connect(0, "away");
    }
}

#[test]
fn a_message_that_is_larger_than_all_room_takes_nobody_elses() {
    let bytes_max = message("a", "1", Q1).cost_bytes() * 2;
    for policy in [DropOldest, LatestPerTopic] {
        let mut w = World::with(1, Limits { session_queue_bytes_max: bytes_max, ..Limits::default() });
        away(&mut w, policy);
        publish_all(&mut w, &["a=1", "b=1"]);
        w.publish(0, "a", &"x".repeat(bytes_max), Q1);
        assert_eq!(comes_back(&mut w, policy), ["a=1", "b=1"]);
        assert_eq!(dropped(&w), (1, 0, 0));
    }
}

#[test]
fn a_larger_one_that_replaces_makes_others_go() {
    let bytes_max = message("a", "1", Q1).cost_bytes() * 2;
    let mut w = World::with(1, Limits { session_queue_bytes_max: bytes_max, ..Limits::default() });
    away(&mut w, LatestPerTopic);
    publish_all(&mut w, &["a=1", "b=1", "b=22"]);
    assert_eq!(comes_back(&mut w, LatestPerTopic), ["b=22"]);
    assert_eq!(dropped(&w), (1, 1, 0));
}

#[test]
fn all_sessions_together_have_a_bound() {
    let mut w = World::with(2, Limits { queued_messages_max: 4, ..Limits::default() });
    for (shard, id, policy) in [(0, "n", DropNewest), (1, "o", DropOldest)] {
        let client = lasting(&mut w, shard, id, policy);
        w.subscribe(client, id, Q1);
        w.leave(client, Ending::Lost);
    }
    publish_all(&mut w, &["n=1", "n=2", "n=3", "o=1", "o=2", "n=4"]);
    assert_eq!(w.shards[0].shared().queued().0, 4);
    assert_eq!(
        (w.shards[0].counters().dropped_total_full, w.shards[1].counters().dropped_total_full),
        (1, 1)
    );
    let (n, o) = (w.lasting(0, "n"), w.lasting(1, "o"));
    assert_eq!(w.got(n), ["n=1 q1", "n=2 q1", "n=3 q1"]);
    assert_eq!(w.got(o), ["o=2 q1"]);
    // There is room again.
    w.leave(n, Ending::Lost);
    publish_all(&mut w, &["n=5"]);
    let n = w.lasting(0, "n");
    assert!(w.got(n).contains(&"n=5 q1".to_owned()));
}

#[test]
fn a_message_is_replaced_among_those_of_its_shared_subscription_only() {
    let mut w = World::new(1);
    let client = lasting(&mut w, 0, "away", LatestPerTopic);
    w.subscribe(client, "$share/g/t", Q1);
    w.subscribe(client, "t", Q1);
    w.leave(client, Ending::Lost);
    publish_all(&mut w, &["t=1"]);
    let waiting = w.shards[0].backlog().queued().0;
    assert_eq!(waiting, 2, "one for each of the subscriptions");
}

#[test]
fn what_went_is_not_there_after_a_crash_either() {
    for (policy, kept) in [
        (DropNewest, ["a=1", "b=1", "a=2"].as_slice()),
        (DropOldest, &["b=2", "a=4", "c=1"]),
        (LatestPerTopic, &["a=4", "b=2", "c=1"]),
    ] {
        let shared = || Shared::new(1, 5, three()).with_keeping(Keeping::default(), 1);
        let mut w = World::of(1, shared());
        away(&mut w, policy);
        let mut image = Image::new(0);
        for sent in ["a=1", "b=1", "a=2", "a=3", "b=2", "a=4", "c=1"] {
            w.shards[0].begin_event();
            publish_all(&mut w, &[sent]);
            for record in w.shards[0].take_batch().into_iter().flat_map(|batch| batch.records) {
                image.read(&record).expect("it has just been written");
            }
            w.shards[0].handed_over();
        }
        let again = Arc::new(shared());
        let (shards, _) = restore(image, &again, Time::default());
        let mut w = World { shards, ..World::of(1, shared()) };
        let mut came = comes_back(&mut w, policy);
        // What has replaced another stands at the end after a crash.
        came.sort_unstable();
        let mut kept = kept.to_vec();
        kept.sort_unstable();
        assert_eq!(came, kept, "{policy:?}");
    }
}

/// Writes what a shard has written down into an image.
fn written(shard: &mut Shard, image: &mut Image) {
    for record in shard.take_batch().into_iter().flat_map(|batch| batch.records) {
        image.read(&record).expect("it has just been written");
    }
    shard.handed_over();
}

#[test]
fn policies_outlast_the_hub() {
    for through_a_checkpoint in [false, true] {
        let shared = || Shared::new(1, 5, three()).with_keeping(Keeping::default(), 1);
        let mut w = World::of(1, shared());
        away(&mut w, LatestPerTopic);
        let other = lasting(&mut w, 0, "other", DropNewest);
        for filter in ["d", "$share/g/e"] {
            let options =
                SubscriptionOptions { qos: Q1, slow_reader: Some(DropOldest), ..Default::default() };
            w.subscribe_with(other, filter, options, RetainHandling::Send);
        }
        // It wanted something once, and does not any more.
        let changed = SubscriptionOptions { qos: Q1, slow_reader: Some(DropOldest), ..Default::default() };
        w.subscribe_with(other, "f", changed, RetainHandling::Send);
        w.subscribe(other, "f", Q1);
        w.leave(other, Ending::Lost);
        let mut image = Image::new(0);
        if through_a_checkpoint {
            written(&mut w.shards[0], &mut Image::new(0));
            let boundary = w.shards[0].shared().next_number();
            w.shards[0].begin_checkpoint(boundary, None);
            assert!(w.shards[0].go_on_with_checkpoint(usize::MAX));
        }
        written(&mut w.shards[0], &mut image);
        let again = Arc::new(shared().with_keeping(Keeping::default(), image.next_number()));
        let (shards, _) = restore(image, &again, Time::default());
        let mut w = World { shards, ..World::of(1, shared()) };
        publish_all(&mut w, &["a=1", "b=1", "a=2", "a=3", "b=2", "a=4", "c=1"]);
        assert_eq!(comes_back(&mut w, LatestPerTopic), ["a=4", "b=2", "c=1"]);
        for (topic, kept) in [("d", ["2", "3", "4"]), ("e", ["2", "3", "4"]), ("f", ["1", "2", "3"])] {
            publish_all(&mut w, &[1, 2, 3, 4].map(|n| format!("{topic}={n}")).each_ref().map(|m| &**m));
            let other = lasting(&mut w, 0, "other", DropNewest);
            assert_eq!(w.got(other), kept.map(|n| format!("{topic}={n} q1")), "{topic}");
            for id in 0..=u16::MAX {
                w.shards[0].acknowledge(Time::default(), other.session, id, Q1, &mut w.out);
            }
            w.leave(other, Ending::Lost);
        }
    }
}
