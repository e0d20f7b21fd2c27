//! Sessions as short stories, with an outlet that writes down what it is given and a clock that the test turns.

mod extended;
mod handover;
mod history;
mod history_kept;
mod inspect;
mod keep;
mod loose;
mod presence;
mod replay;
mod shared;
mod slow;
mod stay;

use super::*;
use crate::Language;
use crate::extensions::Extensions;
use crate::key::ConnectionKey;
use crate::message::Message;
use crate::outlet::{Delivered, Delivery, Parcel};
use crate::shared::Limits;
use crate::topic::Topic;
use std::collections::{HashMap, VecDeque};

/// Some shards with a virtual clock, and everything that their connections were sent.
struct World {
    shards: Vec<Shard>,
    now: Time,
    out: Recorder,
    next_connection: u32,
}

#[derive(Default)]
struct Recorder {
    sent: HashMap<u32, Vec<String>>,
    parcels: VecDeque<(usize, Parcel)>,
    full: Vec<u32>,
    /// Those that take so many more bytes at QoS 0.
    room: HashMap<u32, usize>,
    ids: HashMap<u32, Vec<u16>>,
    /// What had a place: to whom, on which topic, where, and what it said.
    places: Vec<(u32, String, crate::Place, String)>,
    /// The batches that deliveries above QoS 0 wait for.
    waits_for: HashMap<u32, Vec<u64>>,
    /// Whom the hub wanted to be disconnected.
    disconnected: Vec<u32>,
}

impl Outlet for Recorder {
    fn has_room(&mut self, to: ConnectionKey, once_bytes: Option<usize>) -> bool {
        let room = self.room.get(&to.0);
        !self.full.contains(&to.0) && room.is_none_or(|room| once_bytes.is_none_or(|bytes| bytes <= *room))
    }

    fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, d: &Delivery<'_>) -> Delivered {
        if let (Some(room), QoS::AtMostOnce) = (self.room.get_mut(&to.0), d.qos) {
            let Some(rest) = room.checked_sub(message.payload.len()) else { return Delivered::Dropped };
            *room = rest;
        }
        let payload = String::from_utf8_lossy(&message.payload);
        let mut line = format!("{}={payload} q{}", message.topic, d.qos as u8);
        for (flag, name) in [(d.retain, " retain"), (d.dup, " dup")] {
            line.push_str(if flag { name } else { "" });
        }
        if !d.subscription_ids.is_empty() {
            line.push_str(&format!(" ids{:?}", d.subscription_ids));
        }
        if let Some(place) = d.place {
            line.push_str(&format!(" @{}", place.offset));
            self.places.push((to.0, message.topic.to_string(), place, payload.into_owned()));
        }
        self.sent.entry(to.0).or_default().push(line);
        if d.packet_id != 0 {
            self.ids.entry(to.0).or_default().push(d.packet_id);
            self.waits_for.entry(to.0).or_default().push(d.waits_for);
        }
        Delivered::Sent
    }

    fn release(&mut self, to: ConnectionKey, packet_id: u16, _: u64) {
        self.sent.entry(to.0).or_default().push(format!("pubrel {packet_id}"));
    }

    fn disconnect(&mut self, to: ConnectionKey) {
        self.disconnected.push(to.0);
    }

    fn tell_gap(&mut self, to: ConnectionKey, topic: &str, next: Option<crate::Place>) {
        let next = next.map_or(String::new(), |next| format!(" @{}", next.offset));
        self.sent.entry(to.0).or_default().push(format!("gap {topic}{next}"));
    }

    fn forward(&mut self, shard: usize, parcel: Parcel) {
        self.parcels.push_back((shard, parcel));
    }
}

/// A client of the world: its shard, session and connection.
#[derive(Clone, Copy)]
struct Client {
    shard: usize,
    session: SessionKey,
    connection: u32,
    present: bool,
}

impl World {
    fn new(shards: usize) -> World {
        World::with(shards, Limits::default())
    }

    fn with(shards: usize, limits: Limits) -> World {
        World::of(shards, Shared::new(shards, 5, limits))
    }

    fn extended(shards: usize, extensions: Extensions) -> World {
        World::of(shards, Shared::new(shards, 5, Limits::default()).with_extensions(extensions))
    }

    fn of(shards: usize, shared: Shared) -> World {
        let shared = Arc::new(shared);
        let shards = (0..shards).map(|n| Shard::new(n, shared.clone())).collect();
        World { shards, now: Time::default(), out: Recorder::default(), next_connection: 0 }
    }

    fn connect_as(&mut self, shard: usize, id: &str, change: impl FnOnce(&mut Connect<'_>)) -> Client {
        self.next_connection += 1;
        let connection = self.next_connection;
        let mut connect = Connect::new(id, ConnectionKey(connection));
        change(&mut connect);
        let done = self.shards[shard].connect(self.now, connect, &mut self.out);
        self.shards[shard].resume(self.now, done.session, &mut self.out);
        self.settle();
        Client { shard, session: done.session, connection, present: done.present }
    }

    fn connect(&mut self, shard: usize, id: &str) -> Client {
        self.connect_as(shard, id, |_| {})
    }

    /// With a session that outlasts its connection.
    fn lasting(&mut self, shard: usize, id: &str) -> Client {
        self.connect_as(shard, id, |c| (c.clean_start, c.expiry_s) = (false, 100))
    }

    fn subscribe(&mut self, c: Client, filter: &str, qos: QoS) {
        let options = SubscriptionOptions { qos, ..Default::default() };
        self.subscribe_with(c, filter, options, RetainHandling::Send);
    }

    fn subscribe_with(
        &mut self,
        c: Client,
        filter: &str,
        options: SubscriptionOptions,
        retained: RetainHandling,
    ) {
        self.shards[c.shard].subscribe(c.session, filter, options, retained).expect("a good filter");
        self.shards[c.shard].resume(self.now, c.session, &mut self.out);
        self.settle();
    }

    fn unsubscribe(&mut self, c: Client, filter: &str) -> bool {
        let done = self.shards[c.shard].unsubscribe(self.now, c.session, filter, &mut self.out);
        self.settle();
        done.expect("a good filter")
    }

    fn publish(&mut self, shard: usize, topic: &str, payload: &str, qos: QoS) -> Published {
        self.publish_with(shard, None, message(topic, payload, qos))
    }

    fn publish_with(&mut self, shard: usize, from: Option<SessionKey>, message: Message) -> Published {
        let published = self.shards[shard].publish(self.now, from, &Arc::new(message), &mut self.out);
        self.settle();
        published
    }

    fn leave(&mut self, c: Client, ending: Ending) {
        self.shards[c.shard].disconnect(self.now, c.session, ending, &mut self.out);
        self.settle();
    }

    fn pass(&mut self, seconds: u64) {
        // In steps, as a loop would.
        for _ in 0..seconds * 4 {
            self.now = self.now.plus_ms(250);
            for shard in &mut self.shards {
                shard.handle_time(self.now, &mut self.out);
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((shard, parcel)) = self.out.parcels.pop_front() {
            self.shards[shard].handle(self.now, parcel, &mut self.out);
        }
    }

    /// What a client has been sent since this was last asked.
    fn got(&mut self, c: Client) -> Vec<String> {
        self.out.sent.remove(&c.connection).unwrap_or_default()
    }
}

fn message(topic: &str, payload: &str, qos: QoS) -> Message {
    Message {
        topic: Topic::new(topic, 128).expect("valid"),
        payload: payload.into(),
        qos,
        retain: false,
        expires_at: None,
        properties: None,
    }
}

fn retained(topic: &str, payload: &str, qos: QoS) -> Message {
    Message { retain: true, ..message(topic, payload, qos) }
}

fn will(topic: &str, delay_s: u32) -> Option<Will> {
    Some(Will { message: message(topic, "gone", QoS::AtLeastOnce), expiry_s: None, delay_s })
}

use QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};

#[test]
fn a_message_crosses_shards_once_to_each() {
    let mut w = World::new(3);
    let (a, b, c) = (w.connect(0, "a"), w.connect(1, "b"), w.connect(1, "c"));
    w.subscribe(a, "x/#", Q1);
    w.subscribe(b, "x/y", Q0);
    w.subscribe(b, "x/+", Q2);
    w.subscribe(c, "other", Q0);
    assert!(w.publish(2, "x/y", "1", Q2).matched);
    assert_eq!(w.got(a), ["x/y=1 q1"]);
    assert_eq!(w.got(b), ["x/y=1 q2"]);
    assert!(w.got(c).is_empty());
    assert!(!w.publish(2, "nobody", "1", Q0).matched);
    w.unsubscribe(b, "x/y");
    w.unsubscribe(b, "x/+");
    w.leave(a, Ending::Normal { expiry_s: None });
    assert!(!w.publish(2, "x/y", "2", Q0).matched, "no shard wants it any more");
}

#[test]
fn a_lasting_session_gets_what_it_missed_above_qos_0() {
    let mut w = World::new(1);
    let a = w.lasting(0, "a");
    assert!(!a.present);
    w.subscribe(a, "t", Q2);
    w.leave(a, Ending::Lost);
    for (n, qos) in [Q0, Q1, Q2].into_iter().enumerate() {
        w.publish(0, "t", &n.to_string(), qos);
    }
    let a = w.lasting(0, "a");
    assert!(a.present);
    assert_eq!(w.got(a), ["t=1 q1", "t=2 q2"]);
    // Nothing acknowledged: all of it again, marked.
    w.leave(a, Ending::Lost);
    let a = w.lasting(0, "a");
    assert_eq!(w.got(a), ["t=1 q1 dup", "t=2 q2 dup"]);
    assert!(w.shards[0].acknowledge(w.now, a.session, 1, Q1, &mut w.out));
    assert!(w.shards[0].received(a.session, 2));
    w.leave(a, Ending::Lost);
    let a = w.lasting(0, "a");
    assert_eq!(w.got(a), ["pubrel 2"]);
    assert!(w.shards[0].complete(w.now, a.session, 2, &mut w.out));
    w.leave(a, Ending::Lost);
    let a = w.connect_as(0, "a", |c| c.clean_start = true);
    assert!(!a.present);
    w.publish(0, "t", "3", Q1);
    assert!(w.got(a).is_empty(), "a clean start forgets subscriptions");
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let mut w = World::new(1);
    let a = w.lasting(0, "a");
    w.subscribe(a, "t", Q1);
    w.leave(a, Ending::Normal { expiry_s: Some(10) });
    w.pass(9);
    assert_eq!(w.shards[0].session_count(), 1);
    w.pass(2);
    assert_eq!((w.shards[0].session_count(), w.shards[0].subscription_count()), (0, 0));
    assert!(!w.lasting(0, "a").present);
}

#[test]
fn who_comes_and_goes_leaves_no_timers_behind() {
    let mut w = World::new(1);
    for n in 0..1000 {
        let a = w.connect_as(0, "a", |c| {
            (c.clean_start, c.expiry_s, c.will) = (false, 100_000, will("t", 50_000));
        });
        assert_eq!(a.present, n > 0);
        w.leave(a, Ending::Lost);
        w.now = w.now.plus_ms(10);
    }
    assert!(w.shards[0].timers.len() <= 2, "{}", w.shards[0].timers.len());
    // The one that is set was for the first time that it went, and yet each deadline holds for the last one.
    let watcher = w.connect(0, "watcher");
    w.subscribe(watcher, "t", Q1);
    w.pass(49_995);
    assert!(w.got(watcher).is_empty());
    w.pass(10);
    assert_eq!(w.got(watcher), ["t=gone q1"]);
    w.pass(49_985);
    assert_eq!(w.shards[0].session_count(), 2);
    w.pass(11);
    assert_eq!(w.shards[0].session_count(), 1);
}

#[test]
fn who_comes_back_in_time_is_not_ended_by_an_old_timer() {
    let mut w = World::new(1);
    let a = w.lasting(0, "a");
    w.leave(a, Ending::Normal { expiry_s: Some(10) });
    w.pass(5);
    let a = w.lasting(0, "a");
    w.pass(20);
    assert!(a.present && w.shards[0].session_count() == 1);
}

#[test]
fn the_newer_connection_takes_the_session_over() {
    let mut w = World::new(1);
    let old = w.lasting(0, "a");
    w.subscribe(old, "t", Q1);
    let mut connect = Connect::new("a", ConnectionKey(77));
    (connect.clean_start, connect.expiry_s) = (false, 100);
    let done = w.shards[0].connect(w.now, connect, &mut w.out);
    assert_eq!((done.displaced, done.present), (Some(ConnectionKey(old.connection)), true));
    w.publish(0, "t", "1", Q1);
    assert!(w.got(old).is_empty());
    assert_eq!(w.out.sent[&77], ["t=1 q1"]);
}

#[test]
fn the_window_holds_deliveries_back() {
    let mut w = World::new(1);
    let a = w.connect_as(0, "a", |c| c.window_max = 2);
    w.subscribe(a, "t", Q1);
    for n in 0..4 {
        w.publish(0, "t", &n.to_string(), Q1);
    }
    assert_eq!(w.got(a), ["t=0 q1", "t=1 q1"]);
    w.publish(0, "t", "q0", Q0);
    assert_eq!(w.got(a), ["t=q0 q0"], "QoS 0 needs no window");
    w.shards[0].acknowledge(w.now, a.session, 1, Q1, &mut w.out);
    assert_eq!(w.got(a), ["t=2 q1"]);
    w.shards[0].acknowledge(w.now, a.session, 3, Q1, &mut w.out);
    w.shards[0].acknowledge(w.now, a.session, 2, Q1, &mut w.out);
    assert_eq!(w.got(a), ["t=3 q1"]);
}

#[test]
fn a_full_outbox_holds_deliveries_back_until_resumed() {
    let mut w = World::new(1);
    let a = w.connect(0, "a");
    w.subscribe(a, "t", Q1);
    w.out.full = vec![a.connection];
    w.publish(0, "t", "1", Q1);
    assert!(w.got(a).is_empty());
    w.out.full.clear();
    w.shards[0].resume(w.now, a.session, &mut w.out);
    assert_eq!(w.got(a), ["t=1 q1"]);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut w = World::with(1, Limits { session_queue_messages_max: 3, ..Default::default() });
    let a = w.lasting(0, "a");
    w.subscribe(a, "t", Q1);
    w.leave(a, Ending::Lost);
    for n in 0..5 {
        w.publish(0, "t", &n.to_string(), Q1);
    }
    assert_eq!(w.shards[0].counters().dropped_queue_full, 2);
    let a = w.lasting(0, "a");
    assert_eq!(w.got(a), ["t=0 q1", "t=1 q1", "t=2 q1"]);
}

#[test]
fn retained_messages_come_with_the_subscription() {
    let mut w = World::new(2);
    w.publish_with(0, None, retained("r/1", "a", Q1));
    w.publish_with(1, None, retained("r/2", "b", Q0));
    w.publish_with(1, None, retained("r/1", "c", Q1));
    let a = w.connect(0, "a");
    w.subscribe(a, "r/#", Q1);
    assert_eq!(w.got(a), ["r/1=c q1 retain", "r/2=b q0 retain"]);
    w.subscribe(a, "r/#", Q0);
    assert_eq!(w.got(a), ["r/1=c q0 retain", "r/2=b q0 retain"], "again, as asked");
    let plain = SubscriptionOptions::default();
    w.subscribe_with(a, "r/#", plain, RetainHandling::SendIfNew);
    w.subscribe_with(a, "r/2", plain, RetainHandling::DoNotSend);
    assert!(w.got(a).is_empty());
    w.subscribe_with(a, "r/1", plain, RetainHandling::SendIfNew);
    assert_eq!(w.got(a), ["r/1=c q0 retain"]);
    w.publish_with(1, None, retained("r/1", "", Q0));
    assert_eq!(w.got(a), ["r/1= q0"], "those who listen get it without the flag");
    let b = w.connect(1, "b");
    w.subscribe(b, "r/1", Q0);
    assert!(w.got(b).is_empty(), "an empty payload removed it");
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let mut w = World::new(1);
    let a = w.connect(0, "a");
    let options = SubscriptionOptions { retain_as_published: true, ..Default::default() };
    w.subscribe_with(a, "t", options, RetainHandling::Send);
    w.publish_with(0, None, retained("t", "1", Q0));
    w.publish(0, "t", "2", Q0);
    assert_eq!(w.got(a), ["t=1 q0 retain", "t=2 q0"]);
}

#[test]
fn many_retained_messages_keep_to_the_window() {
    let mut w = World::new(1);
    for n in 0..300 {
        w.publish_with(0, None, retained(&format!("r/{n:03}"), "x", Q1));
    }
    let a = w.connect_as(0, "a", |c| c.window_max = 10);
    w.subscribe(a, "#", Q1);
    let mut got = w.got(a);
    assert_eq!(got.len(), 10);
    while let Some(ids) = w.out.ids.remove(&a.connection) {
        for id in ids {
            assert!(w.shards[0].acknowledge(w.now, a.session, id, Q1, &mut w.out));
        }
        got.extend(w.got(a));
    }
    let expected: Vec<_> = (0..300).map(|n| format!("r/{n:03}=x q1 retain")).collect();
    assert_eq!(got, expected);
}

#[test]
fn wills() {
    let mut w = World::new(2);
    let watch = w.connect(1, "watch");
    w.subscribe(watch, "will/#", Q1);

    let lost = w.connect_as(0, "a", |c| c.will = will("will/a", 0));
    w.leave(lost, Ending::Lost);
    assert_eq!(w.got(watch), ["will/a=gone q1"]);

    let polite = w.connect_as(0, "a", |c| c.will = will("will/a", 0));
    w.leave(polite, Ending::Normal { expiry_s: None });
    let asked = w.connect_as(0, "b", |c| c.will = will("will/b", 0));
    w.leave(asked, Ending::WithWill { expiry_s: None });
    assert_eq!(w.got(watch), ["will/b=gone q1"]);

    // A delay ends with the session at the latest.
    let soon_over = w.connect_as(0, "c", |c| (c.expiry_s, c.will) = (5, will("will/c", 50)));
    w.leave(soon_over, Ending::Lost);
    w.pass(4);
    assert!(w.got(watch).is_empty());
    w.pass(2);
    assert_eq!(w.got(watch), ["will/c=gone q1"]);

    // Who is back in time keeps it to itself.
    let lasting = |w: &mut World| {
        w.connect_as(0, "d", |c| (c.clean_start, c.expiry_s, c.will) = (false, 100, will("will/d", 5)))
    };
    let back = lasting(&mut w);
    w.leave(back, Ending::Lost);
    w.pass(3);
    let back = lasting(&mut w);
    w.pass(10);
    assert!(w.got(watch).is_empty());
    // Who starts clean has ended the old session, and with it the delay.
    w.leave(back, Ending::Lost);
    w.connect_as(0, "d", |_| {});
    assert_eq!(w.got(watch), ["will/d=gone q1"]);
}

#[test]
fn subscription_ids_and_no_local() {
    let mut w = World::new(1);
    let a = w.connect(0, "a");
    for (filter, id) in [("t/#", 1), ("t/x", 2)] {
        let options =
            SubscriptionOptions { id: std::num::NonZeroU32::new(id), no_local: true, ..Default::default() };
        w.subscribe_with(a, filter, options, RetainHandling::Send);
    }
    w.publish(0, "t/x", "1", Q0);
    let got = w.got(a);
    assert!(got == ["t/x=1 q0 ids[1, 2]"] || got == ["t/x=1 q0 ids[2, 1]"], "{got:?}");
    w.publish_with(0, Some(a.session), message("t/x", "2", Q0));
    assert!(w.got(a).is_empty());
}

#[test]
fn expired_messages_are_not_delivered() {
    let mut w = World::new(1);
    let a = w.lasting(0, "a");
    w.subscribe(a, "t", Q1);
    w.leave(a, Ending::Lost);
    for (payload, s) in [("short", 5), ("long", 50)] {
        let expires_at = Some(w.now.plus_s(s));
        w.publish_with(0, None, Message { expires_at, ..message("t", payload, Q1) });
    }
    w.pass(10);
    let a = w.lasting(0, "a");
    assert_eq!(w.got(a), ["t=long q1"]);
    assert_eq!(w.shards[0].counters().dropped_expired, 1);
}

#[test]
fn limits_on_subscriptions() {
    let mut w = World::with(1, Limits { subscriptions_per_session_max: 2, ..Default::default() });
    let a = w.connect(0, "a");
    w.subscribe(a, "1", Q0);
    w.subscribe(a, "$share/g/2", Q0);
    let third = w.shards[0].subscribe(a.session, "3", Default::default(), RetainHandling::Send);
    assert_eq!(third, Err(SubscribeError::TooMany { max: 2 }));
    w.subscribe(a, "1", Q1);
    w.subscribe(a, "$share/g/2", Q1);
}

#[test]
fn a_qos_2_publish_is_taken_once() {
    let mut w = World::new(1);
    let a = w.lasting(0, "a");
    assert!(w.shards[0].take_incoming(a.session, 7));
    assert!(!w.shards[0].take_incoming(a.session, 7));
    w.leave(a, Ending::Lost);
    let a = w.lasting(0, "a");
    assert!(!w.shards[0].take_incoming(a.session, 7), "the session remembers");
    assert!(w.shards[0].release_incoming(a.session, 7) && !w.shards[0].release_incoming(a.session, 7));
    assert!(w.shards[0].take_incoming(a.session, 7));
}

#[test]
fn a_session_belongs_to_who_began_it() {
    let mut w = World::new(1);
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    let is_of_another =
        |w: &World, id: &str, who: Option<&Arc<str>>| w.shards[0].is_of_another(w.now, id, who);
    assert!(!is_of_another(&w, "a", Some(&bob)), "there is none yet");
    let a = w.connect_as(0, "a", |c| {
        (c.clean_start, c.expiry_s, c.identity) = (false, 100, Some(ann.clone()));
    });
    let of_nobody = w.lasting(0, "b");
    for (id, who, expected) in [
        ("a", Some(&ann), false),
        ("a", Some(&bob), true),
        ("a", None, true),
        ("b", None, false),
        ("b", Some(&ann), true),
    ] {
        assert_eq!(is_of_another(&w, id, who), expected, "{id} {who:?}");
    }
    // While its client is away as well, and no longer.
    w.leave(a, Ending::Lost);
    assert!(is_of_another(&w, "a", Some(&bob)));
    w.now = w.now.plus_s(101);
    assert!(!is_of_another(&w, "a", Some(&bob)));
    w.shards[0].identify(of_nobody.session, Language::Json, ann.clone());
    assert!(!is_of_another(&w, "b", Some(&ann)));
}
