//! What is written down, and shards that go on from it.

use super::*;
use crate::journal::{Durability, Image, Keeping, Mark};
use crate::session::Will;
use crate::{DelayLimits, QoS, restore};

/// A hub that keeps things, and its log.
pub(super) struct Kept {
    pub(super) world: World,
    pub(super) log: Vec<Vec<u8>>,
    /// The place of its first record.
    first: u64,
    keeping: Keeping,
}

impl Kept {
    pub(super) fn new(shards: usize) -> Kept {
        Kept::with(shards, Keeping::default())
    }

    pub(super) fn with(shards: usize, keeping: Keeping) -> Kept {
        let world = World::of(shards, shared(shards).with_keeping(keeping.clone(), 1));
        Kept { world, log: Vec::new(), first: 0, keeping }
    }

    /// All shards hand over. Returns how many bytes there were.
    pub(super) fn hand_over(&mut self) -> usize {
        let mut bytes = 0;
        for shard in &mut self.world.shards {
            let batch = shard.take_batch();
            let records = batch.map(|batch| batch.records).unwrap_or_default();
            bytes += records.iter().map(Vec::len).sum::<usize>();
            self.log.extend(records);
            shard.handed_over();
        }
        bytes
    }

    /// The process ends, and another one goes on from the log.
    pub(super) fn crash(&mut self, shards: usize) -> Vec<Mark> {
        let mut image = Image::new(0).exacting();
        let places = self.first..;
        places.zip(&self.log).for_each(|(place, record)| image.read_at(place, record).expect("it is good"));
        let marks = image.marks().to_vec();
        let shared = Arc::new(shared(shards).with_keeping(self.keeping.clone(), image.next_number()));
        let (shards, record) = restore(image, &shared, self.world.now);
        self.log.push(record);
        self.world.shards = shards;
        self.world.out = Recorder::default();
        marks
    }

    /// The place of the next record, and a number that nothing before it has.
    pub(super) fn mark(&self) -> (u64, u64) {
        (self.first + self.log.len() as u64, self.world.shards[0].shared().next_number())
    }

    /// Makes a checkpoint and drops what stands before a place, or before its own beginning. Returns how much was written
    /// for it.
    pub(super) fn checkpoint(&mut self, (place, boundary): (u64, u64), is_partial: bool) -> usize {
        let begun = self.mark().0;
        for shard in &mut self.world.shards {
            shard.set_place(begun);
            shard.begin_checkpoint(boundary, is_partial.then_some(place));
            assert!(shard.go_on_with_checkpoint(usize::MAX));
        }
        let bytes = self.hand_over();
        self.log.drain(..(place - self.first) as usize);
        self.first = place;
        bytes
    }

    fn retain(&mut self, topic: &str, payload_bytes: usize) {
        let message =
            Message { payload: vec![b'x'; payload_bytes].into(), retain: true, ..will(topic).message };
        self.world.shards[0].publish(Time::default(), None, &Arc::new(message), &mut self.world.out);
        self.hand_over();
    }
}

fn shared(shards: usize) -> Shared {
    let delayed = Some(DelayLimits { messages_max: 10, bytes_max: 1 << 20, delay_s_max: 100 });
    let extensions = Extensions { delayed, ..Extensions::default() };
    Shared::new(shards, 5, Limits::default()).with_extensions(extensions)
}

fn will(topic: &str) -> Will {
    let message = Message {
        topic: Topic::new(topic, 8).expect("valid"),
        payload: "gone".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        expires_at: None,
        properties: None,
    };
    Will { message, expiry_s: None, delay_s: 0 }
}

#[test]
fn an_unsubscribe_that_finds_nothing_waits_for_the_one_that_found_it() {
    let mut kept = Kept::new(1);
    let client = kept.world.lasting(0, "a");
    kept.world.subscribe(client, "t", QoS::AtLeastOnce);
    kept.hand_over();
    let (shard, out) = (&mut kept.world.shards[0], &mut kept.world.out);
    for is_there in [true, false] {
        shard.begin_event();
        assert_eq!(shard.unsubscribe(Time::default(), client.session, "t", out), Ok(is_there));
        assert_eq!(shard.waits_for(), shard.last_batch());
    }
    shard.begin_event();
    assert_eq!(shard.waits_for(), 0);
}

#[test]
fn a_client_is_welcomed_when_the_end_of_its_last_session_is_on_disk() {
    let mut kept = Kept::new(1);
    kept.world.lasting(0, "a");
    kept.hand_over();
    for _ in 0..2 {
        kept.world.shards[0].begin_event();
        kept.world.connect(0, "a");
        assert_eq!(kept.world.shards[0].waits_for(), 2, "also if that was for another connection");
    }
}

#[test]
fn a_will_that_is_set_later_is_kept() {
    let mut kept = Kept::new(2);
    let witness = kept.world.lasting(1, "witness");
    kept.world.subscribe(witness, "will", QoS::AtLeastOnce);
    let client = kept.world.connect(0, "a");
    kept.world.shards[0].set_will(client.session, Some(will("will")));
    kept.hand_over();
    kept.crash(1);
    // Also when that what was made of it is read again.
    kept.crash(1);
    let witness = kept.world.connect_as(0, "witness", |c| (c.clean_start, c.expiry_s) = (false, 100));
    assert!(witness.present);
    assert_eq!(kept.world.out.sent[&witness.connection], ["will=gone q1"]);
    assert!(!kept.world.connect_as(0, "a", |c| c.clean_start = false).present);
}

#[test]
fn who_a_client_has_proved_to_be_is_kept() {
    let mut kept = Kept::new(1);
    let client = kept.world.lasting(0, "a");
    let (me, other): (Arc<str>, Arc<str>) = ("me".into(), "other".into());
    kept.world.shards[0].identify(client.session, Language::Mqtt, me.clone());
    kept.hand_over();
    kept.crash(1);
    let is_of_another = |who| kept.world.shards[0].is_of_another(Time::default(), "a", who);
    assert!(!is_of_another(Some(&me)) && is_of_another(Some(&other)) && is_of_another(None));
}

#[test]
fn a_session_of_which_only_the_will_is_kept_does_not_come_back() {
    let rules = vec![("will".into(), Durability::Sync)];
    let mut kept = Kept::with(1, Keeping { durability: Durability::None, rules, start_ms: 0 });
    kept.world.connect_as(0, "a", |c| {
        (c.expiry_s, c.will) = (100, Some(will("will")));
    });
    kept.hand_over();
    kept.crash(1);
    assert!(!kept.world.connect_as(0, "a", |c| c.clean_start = false).present);
}

#[test]
fn what_was_read_at_the_start_is_not_written_again() {
    let mut kept = Kept::new(2);
    let client = kept.world.lasting(1, "a");
    let message = Message { payload: vec![b'x'; 5000].into(), retain: true, ..will("kept").message };
    kept.world.shards[0].publish(Time::default(), None, &Arc::new(message), &mut kept.world.out);
    assert!(kept.hand_over() > 5000 && client.shard == 1);
    kept.crash(2);
    let client = kept.world.lasting(1, "b");
    kept.world.subscribe(client, "kept", QoS::AtLeastOnce);
    kept.world.shards[1].resume(Time::default(), client.session, &mut kept.world.out);
    assert!((1..500).contains(&kept.hand_over()));
}

#[test]
fn a_shard_is_through_with_a_checkpoint_when_what_it_owed_is_paid() {
    let mut kept = Kept::new(2);
    let receiver = kept.world.lasting(1, "a");
    kept.world.subscribe(receiver, "t", QoS::AtLeastOnce);
    kept.hand_over();
    let mut out = Recorder::default();
    let message = Arc::new(will("t").message);
    kept.world.shards[0].publish(Time::default(), None, &message, &mut out);
    kept.hand_over();
    let (from, boundary) = (kept.log.len(), kept.world.shards[0].shared().next_number());
    kept.world.shards.iter_mut().for_each(|shard| shard.begin_checkpoint(boundary, None));
    assert!(kept.world.shards[1].go_on_with_checkpoint(usize::MAX));
    assert!(!kept.world.shards[0].go_on_with_checkpoint(usize::MAX));
    let (to, parcel) = out.parcels.pop_front().expect("the other shard wants it");
    kept.world.shards[to].handle(Time::default(), parcel, &mut kept.world.out);
    assert!(!kept.world.shards[0].go_on_with_checkpoint(usize::MAX), "that is not handed over");
    kept.hand_over();
    assert!(kept.world.shards[0].go_on_with_checkpoint(usize::MAX));
    kept.hand_over();
    kept.log.drain(..from);
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    assert_eq!(kept.world.out.sent[&client.connection].len(), 1);
}

#[test]
fn a_checkpoint_of_the_front_writes_only_what_stands_there() {
    let mut kept = Kept::new(1);
    kept.retain("a", 1000);
    let first = kept.mark();
    assert!(kept.checkpoint(first, false) > 1000);
    kept.retain("b", 2000);
    // One was written again behind the mark, and the other came behind it.
    let second = kept.mark();
    assert!(kept.checkpoint(first, true) < 500);
    kept.retain("c", 3000);
    let third = kept.mark();
    let written = kept.checkpoint(second, true);
    assert!((3000..3500).contains(&written), "{written}");
    // So does the next process, which has it all from the log: "c" stands before the place, the others behind it.
    let marks = kept.crash(1);
    let boundary = marks.iter().find(|mark| mark.place >= third.0).expect("a mark for each record").boundary;
    let fourth = kept.mark();
    let written = kept.checkpoint((third.0, boundary), true);
    assert!((3000..3500).contains(&written), "{written}");
    let written = kept.checkpoint(fourth, true);
    assert!((3000..3500).contains(&written), "{written}");
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    kept.world.subscribe(client, "#", QoS::AtLeastOnce);
    kept.world.shards[0].resume(Time::default(), client.session, &mut kept.world.out);
    assert_eq!(kept.world.out.sent[&client.connection].len(), 3);
}

/// A hub with a retained message, and a client that has asked for it at QoS 2 while there was no room for it.
fn asked() -> (Kept, Client) {
    let mut kept = Kept::new(1);
    let message = Message { retain: true, qos: QoS::ExactlyOnce, ..will("kept").message };
    kept.world.shards[0].publish(Time::default(), None, &Arc::new(message), &mut kept.world.out);
    let client = kept.world.lasting(0, "a");
    kept.world.out.full.push(client.connection);
    kept.world.subscribe(client, "kept", QoS::ExactlyOnce);
    (kept, client)
}

/// How much a client gets of a hub that has crashed.
fn after_a_crash(mut kept: Kept) -> usize {
    kept.hand_over();
    kept.crash(1);
    let client = kept.world.lasting(0, "a");
    assert!(client.present);
    kept.world.out.sent.get(&client.connection).map_or(0, Vec::len)
}

#[test]
fn retained_messages_that_have_come_do_not_come_again_since_they_were_asked_for_at_qos_0_as_well() {
    let (mut kept, client) = asked();
    kept.world.subscribe(client, "kept", QoS::AtMostOnce);
    kept.world.out.full.clear();
    kept.world.shards[0].resume(Time::default(), client.session, &mut kept.world.out);
    assert_eq!(kept.world.out.sent[&client.connection].len(), 2);
    assert!(kept.world.shards[0].received(client.session, 1));
    assert!(kept.world.shards[0].complete(Time::default(), client.session, 1, &mut kept.world.out));
    assert_eq!(after_a_crash(kept), 0);
}

#[test]
fn what_takes_the_place_of_retained_messages_that_are_owed_does_so_across_a_crash() {
    let (kept, _) = asked();
    assert_eq!(after_a_crash(kept), 1);
    let (mut kept, client) = asked();
    kept.world.out.full.push(client.connection + 1);
    let client = kept.world.lasting(0, "a");
    kept.world.subscribe(client, "kept", QoS::AtMostOnce);
    assert_eq!(after_a_crash(kept), 0);
}

#[test]
fn what_is_under_way_and_owed_to_nobody_is_kept_for_who_has_come_meanwhile() {
    for filter in ["t", "$share/g/t"] {
        let mut kept = Kept::new(2);
        let other = kept.world.lasting(0, "other");
        kept.world.subscribe(other, "other", QoS::AtLeastOnce);
        let first = kept.world.connect(1, "first");
        kept.world.subscribe(first, filter, QoS::ExactlyOnce);
        // It is written down for as long as it is retained, and owed to nobody.
        let mut under_way = Recorder::default();
        for (payload, qos) in [("1", QoS::ExactlyOnce), ("", QoS::AtMostOnce)] {
            let message = Arc::new(retained("t", payload, qos));
            kept.world.shards[0].publish(Time::default(), None, &message, &mut under_way);
        }
        kept.hand_over();
        for _ in 0..3 {
            // What nobody speaks of any more is forgotten when the log is read.
            kept.world.publish(0, "other", "x", QoS::AtLeastOnce);
            kept.hand_over();
        }
        let client = kept.world.lasting(1, "a");
        kept.world.subscribe(client, filter, QoS::ExactlyOnce);
        kept.world.leave(first, Ending::Lost);
        let (to, parcel) = under_way.parcels.pop_front().expect("the other shard has somebody who wants it");
        kept.world.shards[to].handle(Time::default(), parcel, &mut kept.world.out);
        assert_eq!(kept.world.got(client), ["t=1 q2"]);
        kept.hand_over();
        kept.crash(2);
        let client = kept.world.lasting(1, "a");
        assert_eq!(kept.world.got(client), ["t=1 q2 dup"], "{filter}");
        kept.world.publish(0, "t", "2", QoS::ExactlyOnce);
        assert_eq!(kept.world.out.ids[&client.connection], [1, 2], "{filter}");
    }
}
