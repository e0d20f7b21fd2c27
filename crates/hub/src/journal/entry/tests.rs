//! One entry of each kind, there and back.

use super::*;

fn body(payload: &[u8]) -> Body<'_> {
    let publish = Publish {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "a/b",
        packet_id: 1,
        payload,
        ..Publish::default()
    };
    Body { publish, expires_at: Some(77) }
}

#[test]
fn what_is_written_is_read() {
    let ids = [7, 300];
    let delivery = Stored {
        message: 9,
        qos: QoS::AtLeastOnce,
        retain: true,
        was_tried: true,
        subscription_ids: Ids::Given(&ids),
        group: Some(("g", "a/#")),
    };
    let plain = Stored {
        message: 300,
        qos: QoS::ExactlyOnce,
        retain: false,
        was_tried: false,
        subscription_ids: Ids::Read(Vec::new()),
        group: None,
    };
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        id: NonZeroU32::new(268_435_455),
        slow_reader: None,
    };
    let will = WillBody { body: body(b"gone"), expiry_s: Some(0), delay_s: 5 };
    let client = Client { client_id: "c", expiry_s: u32::MAX, identity: Some(""), user_name: None };
    let entries = [
        Entry::Meta { seed: u64::MAX },
        Entry::Token { session: 300, token: [0xa5; 16] },
        Entry::History(HistoryEntry::Append {
            message: 300,
            birth: 1,
            epoch: (1 << 48) - 1,
            offset: 1 << 33,
            stamp: 1 << 50,
            publisher: Some(7),
            is_synced: true,
        }),
        Entry::History(HistoryEntry::Append {
            message: 1,
            birth: 2,
            epoch: 3,
            offset: 4,
            stamp: 5,
            publisher: None,
            is_synced: false,
        }),
        Entry::History(HistoryEntry::Topic {
            topic: "a/b",
            birth: 1,
            epoch: 2,
            next: 3,
            floor: 4,
            unsure_below: 5,
            gone_stamp: 6,
            is_synced: false,
        }),
        Entry::History(HistoryEntry::Forget { topic: "", birth: 1 }),
        Entry::History(HistoryEntry::Opened { jumps: true, stamp: 1, rules: u64::MAX, whole_since: 2 }),
        Entry::History(HistoryEntry::Opened { jumps: false, stamp: 1, rules: 0, whole_since: 2 }),
        Entry::History(HistoryEntry::Closed { whole_since: 9 }),
        Entry::History(HistoryEntry::Partial),
        Entry::Message { number: 1 << 40, is_restated: false, body: body(b"") },
        Entry::Message { number: 3, is_restated: true, body: body(&[0; 500]) },
        Entry::Owed { message: 3, shard: 63, shards: 64 },
        Entry::Paid { message: 3, shard: 0 },
        Entry::OwedShare { message: 3, name: "g", filter: "#" },
        Entry::PaidShare { message: 3, name: "g", filter: "#" },
        Entry::Connect { session: 4, client, will: Some(will.clone()) },
        Entry::Connect { session: 4, client, will: None },
        Entry::Away { session: 4, ends_at: None, will_at: Some(0) },
        Entry::Will { session: 4, will: Some(will) },
        Entry::End { session: 4 },
        Entry::Subscribe {
            session: 4,
            filter: FilterRef { share: Some("g"), pattern: "a/#" },
            options,
            is_exclusive: false,
        },
        Entry::Subscribe {
            session: 4,
            filter: FilterRef { share: None, pattern: "+" },
            options: SubscriptionOptions::default(),
            is_exclusive: true,
        },
        Entry::Unsubscribe { session: 4, filter: FilterRef { share: None, pattern: "+" } },
        Entry::Replay {
            session: 4,
            filter: "#",
            at: Some(""),
            is_behind: true,
            qos: QoS::ExactlyOnce,
            id: NonZeroU32::new(7),
        },
        Entry::Replay {
            session: 4,
            filter: "#",
            at: None,
            is_behind: false,
            qos: QoS::AtLeastOnce,
            id: None,
        },
        Entry::Push { session: 4, delivery: plain.clone() },
        Entry::Fly { session: 4, packet_id: u16::MAX, delivery: plain },
        Entry::Exchange { session: 4, packet_id: u16::MAX },
        Entry::Launch { session: 4, packet_id: 2, message: 9 },
        Entry::Drop { session: 4, message: 9, group: None },
        Entry::Drop { session: 4, message: 9, group: Some(("g", "a/#")) },
        Entry::Received { session: 4, packet_id: 1 },
        Entry::Land { session: 4, packet_id: 1 },
        Entry::Incoming { session: 4, packet_id: 1 },
        Entry::Released { session: 4, packet_id: 1 },
        Entry::Retain { version: 5, publisher: Some(u64::MAX - 1), message: 9 },
        Entry::Unretain { version: 6, topic: "a" },
        Entry::SweepBegin { version: 6 },
        Entry::SweepEnd,
        Entry::Delay { message: 9, at: 1, publisher: 0 },
        Entry::Published { message: 9 },
        Entry::RestateBegin { session: 4 },
        Entry::RestateEnd { session: 4 },
        Entry::Tried { session: 4 },
        Entry::Fact(Fact { kind: 2, key: "k", value: b"v" }),
        Entry::Fact(Fact { kind: 255, key: "", value: b"" }),
        Entry::Left { session: 4, at: 1 << 41 },
        Entry::SlowReader { session: 4, filter: None, policy: SlowReader::Disconnect },
        Entry::SlowReader {
            session: 4,
            filter: Some(FilterRef { share: None, pattern: "+" }),
            policy: SlowReader::DropNewest,
        },
        Entry::SlowReader {
            session: 4,
            filter: Some(FilterRef { share: Some("g"), pattern: "a/#" }),
            policy: SlowReader::LatestPerTopic,
        },
    ];
    let mut out = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut out));
    let mut reader = Reader(&out);
    for entry in &entries {
        assert_eq!(Entry::decode(&mut reader).as_ref(), Ok(entry));
    }
    assert!(reader.0.is_empty());

    let (mut given, mut read) = (Vec::new(), Vec::new());
    Entry::Push { session: 1, delivery: delivery.clone() }.encode(&mut given);
    let again = Stored { subscription_ids: Ids::Read(ids.to_vec()), ..delivery };
    Entry::Push { session: 1, delivery: again.clone() }.encode(&mut read);
    assert_eq!(given, read);
    assert_eq!(Entry::decode(&mut Reader(&given)), Ok(Entry::Push { session: 1, delivery: again }));
    // Whatever is cut off, or is another version's, is told and not misread.
    for len in 0..given.len() {
        assert!(Entry::decode(&mut Reader(&given[..len])).is_err(), "{len}");
    }
    assert!(Entry::decode(&mut Reader(&[0])).is_err() && Entry::decode(&mut Reader(&[99])).is_err());
}
