//! Records put together by hand, and what an image makes of them.

use super::*;
use crate::subscriptions::SubscriptionOptions;
use proptest::prelude::*;
use std::num::NonZeroU32;

fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    Publish { qos: QoS::AtLeastOnce, topic, packet_id: 1, payload, ..Publish::default() }
}

fn body<'a>(topic: &'a str) -> Body<'a> {
    Body { publish: publish(topic, b"x"), expires_at: None }
}

fn message(number: u64, topic: &str) -> Entry<'_> {
    Entry::Message { number, is_restated: false, body: body(topic) }
}

fn connect(session: u64, client_id: &str) -> Entry<'_> {
    let client = Client { client_id, expiry_s: 100, identity: None, user_name: None };
    Entry::Connect { session, client, will: None }
}

fn push<'a>(session: u64, message: u64, group: Option<(&'a str, &'a str)>) -> Entry<'a> {
    let (qos, retain, subscription_ids) = (QoS::AtLeastOnce, false, Ids::Read(Vec::new()));
    Entry::Push {
        session,
        delivery: Stored { message, qos, retain, was_tried: false, subscription_ids, group },
    }
}

fn retain(version: u64, message: u64) -> Entry<'static> {
    Entry::Retain { version, publisher: None, message }
}

/// What comes of records, of which each has some entries.
fn image(records: &[&[Entry<'_>]]) -> Image {
    let mut image = Image::new(1000);
    for entries in records {
        let mut record = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut record));
        image.read(&record).expect("it was written a moment ago");
    }
    image
}

fn topics(image: &Image) -> Vec<&str> {
    let kept = image.retained.iter().filter(|(_, retained)| retained.message.is_some());
    let mut topics: Vec<&str> = kept.map(|(topic, _)| &**topic).collect();
    topics.sort_unstable();
    topics
}

#[test]
fn what_the_beginning_speaks_of_need_not_be_known() {
    let unknown = [
        push(7, 5, None),
        Entry::Launch { session: 7, packet_id: 1, message: 5 },
        Entry::Drop { session: 7, message: 5, group: None },
        Entry::Received { session: 7, packet_id: 1 },
        Entry::Land { session: 7, packet_id: 1 },
        Entry::Incoming { session: 7, packet_id: 1 },
        Entry::Released { session: 7, packet_id: 1 },
        Entry::Away { session: 7, ends_at: Some(1), will_at: None },
        Entry::Will { session: 7, will: None },
        Entry::Unsubscribe { session: 7, filter: FilterRef { share: None, pattern: "#" } },
        Entry::Owed { message: 5, shard: 0, shards: 2 },
        Entry::Paid { message: 5, shard: 0 },
        Entry::OwedShare { message: 5, name: "g", filter: "#" },
        Entry::PaidShare { message: 5, name: "g", filter: "#" },
        Entry::Delay { message: 5, at: 1, publisher: 0 },
        Entry::Published { message: 5 },
        retain(1, 5),
        Entry::RestateEnd { session: 7 },
        Entry::SweepEnd,
        Entry::End { session: 7 },
    ];
    let image = image(&[&unknown]);
    assert_eq!(image.size(), ImageSize::default());
    assert!(image.owed.is_empty() && image.next_number() == 8, "a number is not given out again");
}

#[test]
fn what_is_said_again_takes_the_place_of_what_was_said() {
    let first = [connect(1, "a"), message(2, "t"), message(3, "t"), push(1, 2, None)];
    let fly = |packet_id| Entry::Fly {
        session: 1,
        packet_id,
        delivery: match push(1, 3, None) {
            Entry::Push { delivery, .. } => delivery,
            _ => unreachable!("it is one"),
        },
    };
    let again = [
        Entry::RestateBegin { session: 1 },
        connect(1, "a"),
        Entry::Away { session: 1, ends_at: Some(3000), will_at: None },
        fly(9),
        Entry::Received { session: 1, packet_id: 9 },
        Entry::RestateEnd { session: 1 },
    ];
    let image = image(&[&first, &again]);
    let session = &image.sessions[&1];
    assert!(session.queue.is_empty() && !session.is_connected && session.packet_id == 9);
    assert_eq!(session.ends_at, Some(Time::from_ms(2000)), "moments are of this start");
    assert!(session.flights.values().all(|flight| flight.is_received && flight.packet_id == 9));
}

#[test]
fn changes_of_retained_messages_come_in_any_order() {
    let (a, b) = (message(1, "t"), message(2, "t"));
    let last = |records: &[&[Entry<'_>]]| {
        let image = image(records);
        image.retained["t"].message.as_ref().map(|(number, _)| *number)
    };
    let unretain = |version| Entry::Unretain { version, topic: "t" };
    assert_eq!(last(&[&[b.clone(), retain(2, 2)], &[a.clone(), retain(1, 1)]]), Some(2));
    assert_eq!(last(&[&[unretain(2)], &[a.clone(), retain(1, 1)]]), None);
    assert_eq!(last(&[&[b, retain(3, 2)], &[unretain(2)], &[a, retain(1, 1)]]), Some(2));
}

#[test]
fn a_sweep_removes_what_it_does_not_say() {
    let sweep = |version| Entry::SweepBegin { version };
    let before =
        [message(1, "a"), message(2, "b"), message(3, "c"), retain(1, 1), retain(2, 2), retain(5, 3)];
    let swept: &[Entry<'_>] = &[sweep(4), retain(2, 2), Entry::SweepEnd];
    let unfinished = image(&[&before, &swept[..2]]);
    assert_eq!(topics(&unfinished), ["a", "b", "c"], "it takes no effect before its end");
    let image = image(&[&before, swept, &[message(6, "a"), retain(3, 6)]]);
    // What was set behind it stays, and what is told late of the time before it does not come back.
    assert_eq!(topics(&image), ["b", "c"]);
    assert_eq!(image.retained_version, 5);
}

#[test]
fn places_that_a_sweep_has_passed_are_not_used_again() {
    assert_eq!(image(&[&[Entry::SweepBegin { version: 10 }]]).retained_version, 10);
}

#[test]
fn a_debt_is_one_of_so_many_shards_whatever_stands_before_it() {
    let image = image(&[&[message(1, "t"), Entry::Owed { message: 1, shard: 2, shards: 3 }]]);
    assert!(image.owed.contains_key(&(1, Owed::Shard { shard: 2, of: 3 })));
}

#[test]
fn of_two_deliveries_of_a_message_the_one_that_is_meant_is_dropped() {
    let group = Some(("g", "#"));
    let waiting = [connect(1, "a"), message(2, "t"), push(1, 2, None), push(1, 2, group)];
    let image = image(&[&waiting, &[Entry::Drop { session: 1, message: 2, group }]]);
    let groups: Vec<bool> =
        image.sessions[&1].queue.iter().map(|delivery| delivery.group.is_some()).collect();
    assert_eq!(groups, [false]);
}

#[test]
fn retained_messages_are_owed_as_they_were_asked_for() {
    let filter = FilterRef { share: None, pattern: "#" };
    let subscribe = |qos| {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        Entry::Subscribe { session: 1, filter, options, is_exclusive: false }
    };
    let (qos, id) = (QoS::ExactlyOnce, NonZeroU32::new(3));
    let replay = Entry::Replay { session: 1, filter: "#", at: Some("k"), is_behind: true, qos, id };
    let image = image(&[&[connect(1, "a"), subscribe(qos), replay, subscribe(QoS::AtMostOnce)]]);
    let kept = image.sessions[&1].subscriptions.values().next().expect("there is one");
    let replay = kept.replay.as_ref().expect("it is owed");
    assert_eq!((&*replay.at, replay.is_behind, replay.qos, replay.id), ("k", true, qos, id));
}

#[test]
fn numbers_leave_room_for_those_that_follow() {
    let max = u64::MAX / 2;
    let far = [
        connect(max, "a"),
        Entry::Away { session: max, ends_at: Some(u64::MAX - 1), will_at: None },
        message(max - 1, "t"),
        push(max, max - 1, None),
        retain(max, max - 1),
        Entry::Owed { message: max - 1, shard: u64::MAX, shards: u64::MAX },
    ];
    let image = image(&[&far]);
    assert_eq!((image.next_number(), image.retained_version), (max + 1, max));
    assert_eq!(image.sessions[&max].queue.len(), 1);
    for beyond in [connect(max + 1, "a"), message(u64::MAX, "t"), Entry::SweepBegin { version: max + 1 }] {
        let mut record = Vec::new();
        beyond.encode(&mut record);
        assert!(Image::new(0).read(&record).is_err(), "{beyond:?}");
    }
}

#[test]
fn a_message_that_is_written_again_is_the_one_that_others_speak_of() {
    let mut image = Image::new(1000).exacting();
    let mut read = |entries: &[Entry<'_>]| {
        let mut record = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut record));
        image.read(&record).expect("it was written a moment ago");
    };
    // It is retained all the while, so that somebody may come to speak of it who subscribes.
    read(&[connect(2, "a"), message(1, "t"), retain(1, 1)]);
    read(&[message(1, "t"), push(2, 1, None), Entry::Drop { session: 2, message: 1, group: None }]);
    for first in [10, 20, 40, 80] {
        // So many that it is looked for what is not needed.
        read(&(first..2 * first).map(|number| message(number, "other")).collect::<Vec<_>>());
    }
    read(&[push(2, 1, None)]);
    assert_eq!(image.sessions[&2].queue.len(), 1);
}

fn text() -> impl Strategy<Value = String> {
    "[a-z/+#é]{0,6}"
}

/// Entries with numbers and texts of all sizes; what they refer to borrows from what was drawn.
fn entries<'a>(
    numbers: &[u64; 3],
    small: (u16, u8),
    (a, b): (&'a str, &'a str),
    bytes: &'a [u8],
) -> Vec<Entry<'a>> {
    let [x, y, z] = *numbers;
    let qos = QoS::from_bits(small.1 % 3).expect("three of them");
    let (packet_id, flag) = (small.0, small.1 & 4 != 0);
    let id = NonZeroU32::new(y as u32);
    let share = flag.then_some(b);
    let group = flag.then_some((a, b));
    let optional = flag.then_some(x.min(u64::MAX - 1));
    let ids = Ids::Read(vec![x as u32, y as u32]);
    let delivery = Stored { message: y, qos, retain: flag, was_tried: !flag, subscription_ids: ids, group };
    let body = Body { publish: publish("t/u", bytes), expires_at: optional };
    let will = flag.then(|| WillBody { body: body.clone(), expiry_s: optional, delay_s: z as u32 });
    let client = Client { client_id: a, expiry_s: z as u32, identity: share, user_name: share };
    let options =
        SubscriptionOptions { qos, no_local: flag, retain_as_published: !flag, id, slow_reader: None };
    let filter = FilterRef { share, pattern: a };
    vec![
        Entry::Meta { seed: x },
        Entry::Message { number: x, is_restated: flag, body },
        Entry::Owed { message: x, shard: y, shards: z },
        Entry::OwedShare { message: x, name: a, filter: b },
        Entry::Connect { session: x, client, will: will.clone() },
        Entry::Away { session: x, ends_at: optional, will_at: optional },
        Entry::Will { session: x, will },
        Entry::Subscribe { session: x, filter, options, is_exclusive: flag },
        Entry::Unsubscribe { session: x, filter },
        Entry::Replay { session: x, filter: a, at: share, is_behind: flag, qos, id },
        Entry::Push { session: x, delivery: delivery.clone() },
        Entry::Fly { session: x, packet_id, delivery },
        Entry::Launch { session: x, packet_id, message: y },
        Entry::Drop { session: x, message: y, group },
        Entry::Retain { version: x, publisher: optional, message: y },
        Entry::Unretain { version: x, topic: a },
        Entry::Delay { message: x, at: y, publisher: z },
    ]
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(
        numbers in any::<[u64; 3]>(),
        small in any::<(u16, u8)>(),
        (a, b) in (text(), text()),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let entries = entries(&numbers, small, (&a, &b), &bytes);
        let mut out = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut out));
        let mut rest = wire::Reader(&out);
        for entry in &entries {
            let read = Entry::decode(&mut rest);
            prop_assert_eq!(read.as_ref(), Ok(entry));
        }
        prop_assert!(rest.0.is_empty());
    }

    /// Neither noise nor a good record with noise in it makes it panic, and shards can be made of what comes of it.
    #[test]
    fn no_record_is_too_bad(
        numbers in any::<[u8; 3]>(),
        small in any::<(u16, u8)>(),
        noise in proptest::collection::vec(any::<u8>(), 0..100),
        places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut image = Image::new(5);
        let _ = image.read(&noise);
        let mut record = Vec::new();
        let numbers = numbers.map(|n| u64::from(n % 4));
        entries(&numbers, small, ("a", "#"), &noise).iter().for_each(|entry| entry.encode(&mut record));
        for (place, byte) in places {
            let at = place.index(record.len());
            record[at] = byte;
        }
        let _ = image.read(&record);
        let shared = Shared::new(2, 1, crate::Limits::default());
        let shared = Arc::new(shared.with_keeping(Keeping::default(), image.next_number()));
        let (_, again) = crate::restore(image, &shared, Time::default());
        Image::new(5).read(&again).expect("what is written at a start is good");
    }
}

#[test]
fn a_topic_of_a_message_is_one() {
    let mut record = Vec::new();
    Entry::Message { number: 1, is_restated: false, body: body("a/+") }.encode(&mut record);
    assert!(Image::new(0).read(&record).is_err());
}
