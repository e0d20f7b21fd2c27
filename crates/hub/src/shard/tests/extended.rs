//! What goes beyond the protocols: messages that wait, topics that change, subscriptions by themselves or for one alone.

use super::*;
use crate::delayed::{DelayError, DelayLimits};
use crate::extensions::{AutomaticSubscription, Extensions};
use crate::rewrite::{RewriteRule, Rewrites};

const LIMITS: DelayLimits = DelayLimits { messages_max: 3, bytes_max: 10_000, delay_s_max: 3600 };

fn delaying() -> Extensions {
    Extensions { delayed: Some(LIMITS), ..Extensions::default() }
}

fn rewriting(rules: &[(&str, &str, &str)]) -> Extensions {
    let rule = |(filter, pattern, topic): &(&str, &str, &str)| {
        RewriteRule::new(filter, pattern, topic).expect("a rule of this test")
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    let rewrites = Rewrites { publish: rules.clone(), subscribe: rules };
    Extensions { rewrites, ..Extensions::default() }
}

fn refusal(published: Published) -> DelayError {
    match published.refused {
        Some(Refusal::Delayed(error)) => error,
        other => panic!("it should be refused for its delay, not {other:?}"),
    }
}

#[test]
fn a_delayed_message_comes_when_its_time_has_come_with_flag_and_qos() {
    let mut w = World::extended(2, delaying());
    let (a, b) = (w.connect(0, "a"), w.connect(1, "b"));
    w.subscribe(b, "x/#", Q2);
    w.subscribe(b, "$delayed/#", Q2);
    let accepted = w.publish_with(0, Some(a.session), retained("$delayed/10/x/1", "late", Q1));
    assert_eq!(accepted, Published { matched: true, not_retained: false, refused: None });
    assert_eq!(w.shards[0].shared().delayed_size().0, 1);
    w.pass(9);
    let c = w.connect(0, "c");
    w.subscribe(c, "#", Q0);
    assert!(w.got(b).is_empty() && w.got(c).is_empty());
    w.pass(2);
    assert_eq!(w.got(b), ["x/1=late q1"]);
    assert_eq!(w.got(c), ["x/1=late q0"]);
    assert_eq!(w.shards[0].shared().delayed_size(), (0, 0));
    // Its retain flag holds when it is published.
    let d = w.connect(1, "d");
    w.subscribe(d, "x/1", Q1);
    assert_eq!(w.got(d), ["x/1=late q1 retain"]);
}

#[test]
fn delayed_messages_come_in_the_order_in_which_they_are_due_and_were_sent() {
    let mut w = World::extended(1, delaying());
    let a = w.connect(0, "a");
    w.subscribe(a, "t", Q0);
    for (topic, text) in [("$delayed/2/t", "2a"), ("$delayed/1/t", "1"), ("$delayed/2/t", "2b")] {
        w.publish(0, topic, text, Q0);
    }
    w.now = w.now.plus_s(60);
    w.pass(1);
    assert_eq!(w.got(a), ["t=1 q0", "t=2a q0", "t=2b q0"]);
}

#[test]
fn many_that_are_due_at_once_come_over_several_rounds() {
    let limits = DelayLimits { messages_max: 5_000, bytes_max: usize::MAX, ..LIMITS };
    let mut w = World::extended(1, Extensions { delayed: Some(limits), ..Extensions::default() });
    let a = w.connect(0, "a");
    w.subscribe(a, "t", Q0);
    for n in 0..5_000 {
        w.publish(0, "$delayed/2/t", &n.to_string(), Q0);
    }
    w.now = w.now.plus_s(60);
    let (mut got, mut rounds) = (Vec::new(), 0);
    while w.shards[0].wait_ms(w.now) == Some(0) {
        w.shards[0].handle_time(w.now, &mut w.out);
        let more = w.got(a);
        assert!(more.len() <= 1000, "{}", more.len());
        (got, rounds) = ([got, more].concat(), rounds + 1);
    }
    assert_eq!(got, (0..5_000).map(|n| format!("t={n} q0")).collect::<Vec<_>>());
    assert!(rounds > 4 && w.shards[0].shared().delayed_size() == (0, 0));
}

#[test]
fn the_expiry_of_a_delayed_message_counts_from_its_delivery() {
    let mut w = World::extended(1, delaying());
    let a = w.lasting(0, "a");
    w.subscribe(a, "t", Q1);
    let expiring = |now: Time, topic| Message { expires_at: Some(now.plus_s(5)), ..message(topic, "m", Q1) };
    w.publish_with(0, None, expiring(w.now, "$delayed/10/t"));
    w.pass(11);
    assert_eq!(w.got(a), ["t=m q1"]);
    // And then it does count.
    w.leave(a, Ending::Lost);
    w.publish_with(0, None, expiring(w.now, "$delayed/10/t"));
    w.pass(16);
    let a = w.lasting(0, "a");
    assert_eq!(w.got(a), ["t=m q1 dup"]);
}

#[test]
fn a_delay_that_cannot_be_is_refused_with_its_reason() {
    let mut w = World::extended(2, delaying());
    let mut send = |shard, topic: &str, payload: &str| w.publish(shard, topic, payload, Q1);
    assert_eq!(refusal(send(0, "$delayed/x/t", "")), DelayError::Form);
    assert_eq!(refusal(send(0, "$delayed/5", "")), DelayError::Form);
    assert_eq!(refusal(send(0, "$delayed/5/", "")), DelayError::Topic(TopicError::Empty));
    assert_eq!(refusal(send(0, "$delayed/5/$SYS/x", "")), DelayError::HubTopic);
    assert_eq!(refusal(send(0, "$delayed/3601/t", "")), DelayError::TooLong { delay_s_max: 3600 });
    assert_eq!(
        refusal(send(0, "$delayed/1/t", &"x".repeat(10_000))),
        DelayError::TooMuch { bytes_max: 10_000 }
    );
    // What waits is counted for all shards together.
    for shard in [0, 1, 0] {
        assert_eq!(send(shard, "$delayed/3600/t", "").refused, None);
    }
    assert_eq!(refusal(send(1, "$delayed/1/t", "")), DelayError::TooMany { messages_max: 3 });
    assert_eq!((w.shards[0].counters().refused, w.shards[1].counters().refused), (6, 1));
}

#[test]
fn a_delayed_message_of_who_wants_none_of_its_own_stays_its_own() {
    let mut w = World::extended(1, delaying());
    let own = SubscriptionOptions { no_local: true, ..Default::default() };
    let a = w.connect(0, "a");
    w.subscribe_with(a, "t", own, RetainHandling::Send);
    w.publish_with(0, Some(a.session), message("$delayed/1/t", "own", Q0));
    w.pass(2);
    assert!(w.got(a).is_empty());
    // Another session in the same place gets it.
    w.publish_with(0, Some(a.session), message("$delayed/1/t", "other's", Q0));
    w.leave(a, Ending::Lost);
    let b = w.connect(0, "b");
    assert_eq!(b.session, a.session);
    w.subscribe_with(b, "t", own, RetainHandling::Send);
    w.pass(2);
    assert_eq!(w.got(b), ["t=other's q0"]);
}

#[test]
fn a_will_may_wait_as_well() {
    let mut w = World::extended(1, delaying());
    let watch = w.connect(0, "watch");
    w.subscribe(watch, "wills", Q0);
    let a = w.connect_as(0, "a", |c| c.will = will("$delayed/5/wills", 0));
    w.leave(a, Ending::Lost);
    w.pass(4);
    assert!(w.got(watch).is_empty());
    w.pass(2);
    assert_eq!(w.got(watch), ["wills=gone q0"]);
}

#[test]
fn without_being_set_to_the_hub_delays_nothing_and_takes_nothing_exclusively() {
    let mut w = World::new(1);
    let a = w.connect(0, "a");
    w.subscribe(a, "$delayed/#", Q0);
    w.publish(0, "$delayed/1000/t", "now", Q0);
    assert_eq!(w.got(a), ["$delayed/1000/t=now q0"]);
    let made = w.shards[0].subscribe(a.session, "$exclusive/t", Default::default(), RetainHandling::Send);
    assert_eq!(made, Err(SubscribeError::ExclusiveOff));
    assert!(!w.unsubscribe(a, "$exclusive/t"));
}

#[test]
fn topics_change_for_publishers_and_subscribers_alike() {
    let mut w =
        World::extended(2, rewriting(&[("old/#", "^old/(.*)$", "new/$1"), ("me", "^me$", "of/%c/%u")]));
    let a = w.connect_as(0, "a", |c| c.user_name = Some("ann"));
    let b = w.connect(1, "b");
    w.subscribe(b, "old/+", Q1);
    w.subscribe(b, "of/#", Q1);
    w.publish_with(0, Some(a.session), message("old/1", "1", Q1));
    w.publish(0, "new/2", "2", Q1);
    w.publish_with(0, Some(a.session), message("me", "3", Q1));
    assert_eq!(w.got(b), ["new/1=1 q1", "new/2=2 q1", "of/a/ann=3 q1"]);
    // Who has no user name keeps the topic.
    w.subscribe(a, "#", Q0);
    w.publish_with(1, Some(b.session), message("me", "4", Q0));
    assert_eq!(w.got(a), ["me=4 q0"]);
    // Unsubscribing goes the same way.
    assert!(w.unsubscribe(b, "old/+"));
    w.publish(0, "old/1", "5", Q1);
    assert!(w.got(b).is_empty());
}

#[test]
fn a_topic_that_a_rule_makes_invalid_is_refused() {
    let rules = [("a/#", "^a/(.*)$", "$1"), ("s", "s", "$SYS/x"), ("w", "w", "x/#")];
    let mut w = World::extended(1, rewriting(&rules));
    let refused = |published: Published| published.refused;
    assert_eq!(refused(w.publish(0, "a/", "", Q1)), Some(Refusal::Rewritten(TopicError::Empty)));
    assert_eq!(refused(w.publish(0, "w", "", Q1)), Some(Refusal::Rewritten(TopicError::Wildcard)));
    assert_eq!(refused(w.publish(0, "s", "", Q1)), Some(Refusal::HubTopic));
    let a = w.connect_as(0, "a", |c| c.will = will("s", 0));
    let made = w.shards[0].subscribe(a.session, "a/", Default::default(), RetainHandling::Send);
    assert_eq!(made, Err(SubscribeError::Filter(TopicError::Empty)));
    w.subscribe(a, "w", Q0);
    w.publish(0, "x/y", "to x/#", Q0);
    assert_eq!(w.got(a), ["x/y=to x/# q0"]);
}

#[test]
fn a_will_changes_once_and_goes_to_what_it_became() {
    let mut w = World::extended(1, rewriting(&[("a/#", "^a/(.*)$", "b/%c/$1"), ("b/#", ".", "c")]));
    let watch = w.connect(0, "watch");
    w.subscribe(watch, "#", Q0);
    let a = w.connect_as(0, "x", |c| c.will = will("a/1", 0));
    w.leave(a, Ending::Lost);
    assert_eq!(w.got(watch), ["b/x/1=gone q0"]);
}

#[test]
fn a_rule_looks_behind_the_delay() {
    let extensions = Extensions { delayed: Some(LIMITS), ..rewriting(&[("a/#", "^a/(.*)$", "b/$1")]) };
    let mut w = World::extended(1, extensions);
    let b = w.connect(0, "b");
    w.subscribe(b, "b/#", Q0);
    w.publish(0, "$delayed/1/a/1", "m", Q0);
    w.pass(2);
    assert_eq!(w.got(b), ["b/1=m q0"]);
    for (topic, is_special) in [("a/1", true), ("$delayed/1/x", true), ("b/1", false), ("$delaye", false)] {
        assert_eq!(w.shards[0].is_special(topic), is_special, "{topic}");
    }
}

fn automatic(filter: &str, retain_handling: RetainHandling) -> AutomaticSubscription {
    let options = SubscriptionOptions { qos: Q1, ..Default::default() };
    AutomaticSubscription {
        filter: filter.into(),
        options,
        retain_handling,
        mqtt: true,
        json: false,
        mqtt_sn: true,
    }
}

#[test]
fn who_connects_is_subscribed_by_name_and_language() {
    let subscribe = vec![
        automatic("to/{client_id}/#", RetainHandling::Send),
        automatic("users/{user_name}", RetainHandling::Send),
    ];
    let mut w = World::extended(1, Extensions { subscribe, ..Extensions::default() });
    w.publish_with(0, None, retained("to/a/kept", "r", Q1));
    let as_mqtt = |c: &mut Connect<'_>| c.language = Some(Language::Mqtt);
    let a = w.connect_as(0, "a", as_mqtt);
    assert_eq!(w.got(a), ["to/a/kept=r q1 retain"]);
    let ann = w.connect_as(0, "b", |c| (c.language, c.user_name) = (Some(Language::MqttSn), Some("ann")));
    let json = w.connect_as(0, "c", |c| c.language = Some(Language::Json));
    let sse = w.connect(0, "d");
    // A name that would be more than one level gets nothing.
    let sly = w.connect_as(0, "#", as_mqtt);
    let counts = [a, ann, json, sse, sly].map(|c| w.shards[0].session(c.session).subscription_count());
    assert_eq!(counts, [1, 2, 0, 0, 0]);
    w.publish(0, "users/ann", "hello", Q2);
    assert_eq!(w.got(ann), ["users/ann=hello q1"]);
}

#[test]
fn who_says_later_who_it_is_gets_what_is_for_its_name_then() {
    let json = |filter| AutomaticSubscription { json: true, ..automatic(filter, RetainHandling::Send) };
    let subscribe = vec![json("all"), json("users/{user_name}")];
    let extensions = Extensions { subscribe, ..rewriting(&[("me", "^me$", "of/%u")]) };
    let mut w = World::extended(1, extensions);
    w.publish_with(0, None, retained("users/ann", "r", Q0));
    let a = w.connect_as(0, "a", |c| c.language = Some(Language::Json));
    assert_eq!(w.shards[0].session(a.session).subscription_count(), 1);
    w.shards[0].identify(a.session, Language::Json, "ann".into());
    w.shards[0].resume(w.now, a.session, &mut w.out);
    assert_eq!(w.got(a), ["users/ann=r q0 retain"]);
    w.subscribe(a, "of/ann", Q0);
    w.publish_with(0, Some(a.session), message("me", "m", Q0));
    assert_eq!(w.got(a), ["of/ann=m q0"]);
}

#[test]
fn automatic_subscriptions_of_a_session_that_comes_back_follow_their_retain_handling() {
    let subscribe = vec![
        automatic("each/#", RetainHandling::Send),
        automatic("new/#", RetainHandling::SendIfNew),
        automatic("never/#", RetainHandling::DoNotSend),
    ];
    let mut w = World::extended(1, Extensions { subscribe, ..Extensions::default() });
    for topic in ["each/1", "new/1", "never/1"] {
        w.publish_with(0, None, retained(topic, "r", Q0));
    }
    let lasting = |c: &mut Connect<'_>| {
        (c.clean_start, c.expiry_s, c.language) = (false, 100, Some(Language::Mqtt));
    };
    let a = w.connect_as(0, "a", lasting);
    assert_eq!(w.got(a), ["each/1=r q0 retain", "new/1=r q0 retain"]);
    assert!(w.unsubscribe(a, "never/#"));
    w.leave(a, Ending::Lost);
    w.publish(0, "new/2", "missed", Q1);
    let a = w.connect_as(0, "a", lasting);
    assert_eq!(w.got(a), ["new/2=missed q1", "each/1=r q0 retain"]);
    w.publish(0, "never/2", "again", Q0);
    assert_eq!(w.got(a), ["never/2=again q0"]);
}

#[test]
fn an_exclusive_subscription_is_held_by_one_session_of_all_shards() {
    let mut w = World::extended(2, Extensions { exclusive: true, ..Extensions::default() });
    let (a, b) = (w.lasting(0, "a"), w.connect(1, "b"));
    let take = |w: &mut World, c: Client, filter: &str| {
        w.shards[c.shard].subscribe(c.session, filter, Default::default(), RetainHandling::Send)
    };
    assert_eq!(take(&mut w, a, "$exclusive/t"), Ok(Q0));
    assert_eq!(take(&mut w, b, "$exclusive/t"), Err(SubscribeError::Taken));
    assert_eq!(take(&mut w, b, "$exclusive/u"), Ok(Q0));
    assert_eq!(take(&mut w, b, "$exclusive/$share/g/t"), Err(SubscribeError::ExclusiveShare));
    // Its holder may renew it, and others may listen without holding it.
    assert_eq!(take(&mut w, a, "$exclusive/t"), Ok(Q0));
    assert_eq!(take(&mut w, b, "t"), Ok(Q0));
    assert_eq!(take(&mut w, b, "$exclusive/t"), Err(SubscribeError::NotExclusively));
    w.publish(0, "t", "m", Q0);
    assert_eq!((w.got(a), w.got(b)), (vec!["t=m q0".into()], vec!["t=m q0".into()]));
    assert_eq!(w.shards[0].shared().exclusive_count(), 2);
    // By its own name only.
    assert!(!w.unsubscribe(a, "t"));
    assert!(!w.unsubscribe(b, "$exclusive/t"));
    assert!(w.unsubscribe(b, "t"));
    // A session keeps it while its client is away, and no longer than it lasts.
    w.leave(a, Ending::Lost);
    assert_eq!(take(&mut w, b, "$exclusive/t"), Err(SubscribeError::Taken));
    w.pass(101);
    assert_eq!(take(&mut w, b, "$exclusive/t"), Ok(Q0));
    assert!(w.unsubscribe(b, "$exclusive/t"));
    let a = w.connect(0, "a");
    assert_eq!(take(&mut w, a, "$exclusive/t"), Ok(Q0));
    w.leave(b, Ending::Lost);
    assert_eq!(take(&mut w, a, "$exclusive/u"), Ok(Q0));
}

#[test]
fn no_session_has_one_filter_both_exclusively_and_not() {
    let subscribe =
        vec![automatic("$exclusive/t", RetainHandling::Send), automatic("u", RetainHandling::Send)];
    let mut w =
        World::extended(1, Extensions { exclusive: true, subscribe, ..rewriting(&[("old", "old", "t")]) });
    let lasting = |c: &mut Connect<'_>| {
        (c.clean_start, c.expiry_s, c.language) = (false, 100, Some(Language::Mqtt));
    };
    let a = w.connect_as(0, "a", lasting);
    let ask = |w: &mut World, filter: &str| {
        w.shards[0].subscribe(a.session, filter, Default::default(), RetainHandling::Send)
    };
    // What it has by itself is refused the other way as well, and so is what a rule makes of another filter.
    assert_eq!(ask(&mut w, "t"), Err(SubscribeError::Exclusively));
    assert_eq!(ask(&mut w, "old"), Err(SubscribeError::Exclusively));
    assert_eq!(ask(&mut w, "$exclusive/u"), Err(SubscribeError::NotExclusively));
    // What was refused has changed nothing of what was there, nor does it keep others from it.
    w.publish(0, "t", "1", Q1);
    w.publish(0, "u", "2", Q1);
    assert_eq!(w.got(a), ["t=1 q1", "u=2 q1"]);
    assert_eq!(w.shards[0].shared().exclusive_count(), 1);
    assert!(!w.unsubscribe(a, "t") && !w.unsubscribe(a, "$exclusive/u"));
    // A shared one is another subscription.
    assert_eq!(ask(&mut w, "$share/g/t"), Ok(Q0));
    // Each can be had the other way once it is given up.
    assert!(w.unsubscribe(a, "$exclusive/t") && w.unsubscribe(a, "u"));
    assert_eq!((ask(&mut w, "t"), ask(&mut w, "$exclusive/u")), (Ok(Q0), Ok(Q0)));
    // A client that comes back keeps what it chose, though something else is to be had by itself.
    w.leave(a, Ending::Lost);
    let a = w.connect_as(0, "a", lasting);
    assert_eq!(w.shards[0].session(a.session).subscription_count(), 3);
    assert_eq!(w.shards[0].shared().exclusive_count(), 1);
    assert!(w.unsubscribe(a, "t") && w.unsubscribe(a, "$exclusive/u"));
}

#[test]
fn no_rule_makes_a_delayed_message_wait_again() {
    let rules = [("a/#", "^a/(.*)$", "$delayed/1/$1"), ("b", "b", "$delayed/1/$delayed/1/x")];
    let mut w = World::extended(1, Extensions { delayed: Some(LIMITS), ..rewriting(&rules) });
    let a = w.connect(0, "a");
    w.subscribe(a, "x", Q0);
    w.subscribe(a, "$delayed/#", Q0);
    let twice = ["$delayed/1/$delayed/1/x", "$delayed/1/a/x", "a/$delayed/1/x", "b", "$delayed/1/b"];
    for topic in twice {
        assert_eq!(refusal(w.publish(0, topic, "m", Q1)), DelayError::Twice, "{topic}");
    }
    let dying = w.connect_as(0, "dying", |c| c.will = will("b", 0));
    w.leave(dying, Ending::Lost);
    assert_eq!(w.shards[0].shared().delayed_size(), (0, 0));
    assert_eq!(w.publish(0, "a/x", "once", Q0).refused, None);
    w.pass(5);
    assert_eq!(w.got(a), ["x=once q0"]);
}

#[test]
fn what_the_hub_retains_of_its_own_has_no_limit_of_clients() {
    let limits = Limits { retained_messages_max: 1, ..Limits::default() };
    let mut w = World::with(1, limits);
    for topic in ["$SYS/broker/uptime", "$SYS/broker/version"] {
        let message = Arc::new(retained(topic, "v", Q0));
        let published = w.shards[0].announce(w.now, None, &message, &mut w.out);
        assert!(!published.not_retained, "{topic}");
    }
    w.publish_with(0, None, retained("t", "kept", Q0));
    assert_eq!(w.shards[0].shared().retained.size().0, 1);
    let (a, b) = (w.connect(0, "a"), w.connect(0, "b"));
    w.subscribe(a, "#", Q0);
    assert_eq!(w.got(a), ["t=kept q0 retain"]);
    w.subscribe(b, "$SYS/#", Q0);
    assert_eq!(w.got(b), ["$SYS/broker/uptime=v q0 retain", "$SYS/broker/version=v q0 retain"]);
}

#[test]
fn what_is_under_way_and_what_waits_is_counted_to_the_end() {
    let limits = Limits { inflight_max: 2, ..Limits::default() };
    let mut w = World::with(1, limits);
    let (a, b) = (w.lasting(0, "a"), w.connect(0, "b"));
    for client in [a, b] {
        w.subscribe(client, "t", Q2);
        w.subscribe(client, "$share/g/s", Q1);
    }
    let counts = |w: &World| {
        let shard = &w.shards[0];
        (shard.backlog().in_flight(), shard.backlog().queued().0, shard.connected_count())
    };
    for (n, qos) in [Q1, Q2, Q1, Q0].into_iter().enumerate() {
        w.publish(0, "t", &n.to_string(), qos);
    }
    assert_eq!(counts(&w), (4, 2, 2));
    assert!(w.shards[0].backlog().queued().1 > 0);
    assert_eq!(w.shards[0].shared_subscription_count(), 2);
    let id = w.out.ids[&a.connection][0];
    w.shards[0].acknowledge(w.now, a.session, id, Q1, &mut w.out);
    assert_eq!(counts(&w), (4, 1, 2));
    w.leave(b, Ending::Lost);
    assert_eq!(counts(&w), (2, 0, 1));
    w.leave(a, Ending::Lost);
    w.publish(0, "s", "waits", Q1);
    assert_eq!(counts(&w), (2, 1, 0));
    assert_eq!((w.shards[0].shared_subscription_count(), w.shards[0].counters().connects), (1, 2));
    w.pass(101);
    assert_eq!(counts(&w), (0, 0, 0));
    assert_eq!(w.shards[0].backlog().queued(), (0, 0));
    assert_eq!((w.shards[0].shared_subscription_count(), w.shards[0].counters().expired_sessions), (0, 1));
}
