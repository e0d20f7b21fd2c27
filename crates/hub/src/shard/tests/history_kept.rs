//! Histories that outlive the process: what was acknowledged is there, and no place is given twice.

use super::history::world;
use super::*;
use crate::history::{HistoryOptions, HistoryRule, JUMP, Place};
use crate::journal::{Durability, Image, Keeping};
use crate::restore;
use crate::{DelayLimits, Extensions};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A hub with histories that keeps them, and its log.
struct Kept {
    world: World,
    log: Vec<Vec<u8>>,
    /// So many records are on disk.
    synced: usize,
    keeping: Keeping,
    starts: u64,
}

fn rules(messages_max: usize) -> HistoryOptions {
    let rule = |filter: &str| HistoryRule {
        filter: filter.into(),
        messages_max,
        age_ms_max: None,
        bytes_max: usize::MAX,
    };
    HistoryOptions { rules: vec![rule("h/#")], ..HistoryOptions::default() }
}

impl Kept {
    fn new(shards: usize, messages_max: usize, keeping: Keeping) -> Kept {
        let mut kept = Kept { world: world(1, rules(1)), log: Vec::new(), synced: 0, keeping, starts: 0 };
        kept.start(shards, messages_max);
        kept
    }

    fn start(&mut self, shards: usize, messages_max: usize) {
        self.starts += 1;
        let mut image = Image::new(0);
        self.log.iter().for_each(|record| image.read(record).expect("it is good"));
        let options = HistoryOptions { random: self.starts, start_ms: self.starts, ..rules(messages_max) };
        let delayed = Some(DelayLimits { messages_max: 10, bytes_max: 1 << 20, delay_s_max: 100 });
        let extensions = Extensions { delayed, ..Extensions::default() };
        let shared = Shared::new(shards, 5, Limits::default()).with_extensions(extensions);
        let shared = shared.with_history(options).with_keeping(self.keeping.clone(), image.next_number());
        let shared = Arc::new(shared);
        let (made, record) = restore(image, &shared, self.world.now);
        self.log.push(record);
        self.synced = self.log.len();
        self.world.shards = made;
        self.world.out = Recorder::default();
    }

    fn hand_over(&mut self, shard: usize) {
        let shard = &mut self.world.shards[shard];
        self.log.extend(shard.take_batch().map(|batch| batch.records).unwrap_or_default());
        shard.handed_over();
    }

    fn hand_all_over(&mut self) {
        (0..self.world.shards.len()).for_each(|shard| self.hand_over(shard));
    }

    /// The process ends; of what was not synced these records are left.
    fn crash(&mut self, left: usize, messages_max: usize) {
        let shards = self.world.shards.len();
        self.log.truncate(self.synced + left);
        self.start(shards, messages_max);
    }

    /// It ends in order.
    fn stop(&mut self, messages_max: usize) {
        self.hand_all_over();
        let closing = self.world.shards[0].shared.closing_record();
        self.log.push(closing);
        let shards = self.world.shards.len();
        self.start(shards, messages_max);
    }

    fn publish(&mut self, shard: usize, topic: &str, payload: &str) {
        self.world.shards[shard].begin_event();
        self.world.publish(shard, topic, payload, Q1);
    }

    /// All that a client is given that has had `place`.
    fn resume(&mut self, topic: &str, place: Option<Place>) -> (bool, Vec<(Place, String)>) {
        let w = &mut self.world;
        let c = w.connect_as(0, "reader", |c| c.follows = true);
        let options = SubscriptionOptions::default();
        w.shards[0].subscribe(c.session, topic, options, RetainHandling::DoNotSend).expect("good");
        let topics = place.into_iter().map(|place| (topic.to_owned(), place)).collect();
        let resume = Resume { last: if place.is_none() { 1000 } else { 0 }, topics, ..Resume::default() };
        let following = w.shards[0].follow_from(w.now, c.session, topic, &resume).expect("there is one");
        w.shards[0].resume(w.now, c.session, &mut w.out);
        while w.shards[0].wait_ms(w.now) == Some(0) {
            w.shards[0].handle_time(w.now, &mut w.out);
        }
        let got = w.out.places.drain(..).filter(|(to, ..)| *to == c.connection);
        let got = got.map(|(_, _, place, payload)| (place, payload)).collect();
        w.leave(c, Ending::Lost);
        (following.gap, got)
    }
}

fn payloads(got: &[(Place, String)]) -> Vec<&str> {
    got.iter().map(|(_, payload)| payload.as_str()).collect()
}

#[test]
fn a_start_goes_on_where_the_last_one_ended() {
    let mut kept = Kept::new(2, 10, Keeping::default());
    (1..=12).for_each(|n| kept.publish(n % 2, "h/t", &n.to_string()));
    let (_, before) = kept.resume("h/t", None);
    kept.stop(10);
    kept.publish(0, "h/t", "13");
    let (gap, got) = kept.resume("h/t", Some(before[5].0));
    assert_eq!((gap, payloads(&got)), (false, vec!["9", "10", "11", "12", "13"]));
    let places: Vec<(Place, u64)> = got.iter().map(|(place, _)| (*place, place.offset)).collect();
    assert!(places.iter().all(|(place, _)| place.epoch == before[0].0.epoch));
    assert_eq!(places.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [9, 10, 11, 12, 13]);
    // The next one keeps less.
    kept.stop(3);
    let (gap, got) = kept.resume("h/t", Some(before[5].0));
    assert_eq!((gap, payloads(&got)), (true, vec!["11", "12", "13"]));
}

#[test]
fn after_a_crash_places_jump_and_nothing_acknowledged_is_missing() {
    let mut kept = Kept::new(1, 10, Keeping::default());
    (1..=3).for_each(|n| kept.publish(0, "h/t", &n.to_string()));
    assert!(kept.world.shards[0].waits_for() > 0, "the acknowledgement waits for the disk");
    kept.hand_all_over();
    kept.synced = kept.log.len();
    // It is seen and lost.
    kept.publish(0, "h/t", "lost");
    let (_, seen) = kept.resume("h/t", None);
    assert_eq!(payloads(&seen), ["1", "2", "3", "lost"]);
    kept.crash(0, 10);
    kept.publish(0, "h/t", "4");
    let (gap, got) = kept.resume("h/t", Some(seen[3].0));
    assert_eq!((gap, payloads(&got)), (false, vec!["4"]), "nothing that was acknowledged is missing");
    assert_eq!(got[0].0, Place { offset: 4 + JUMP, ..seen[3].0 });
    let (gap, got) = kept.resume("h/t", Some(seen[1].0));
    assert_eq!((gap, payloads(&got)), (false, vec!["3", "4"]));
    // The place of the second start was seen as well, and lost as well.
    kept.crash(0, 10);
    kept.publish(0, "h/t", "5");
    let (_, again) = kept.resume("h/t", Some(seen[1].0));
    assert_eq!(payloads(&again), ["3", "5"]);
    assert_eq!(again[1].0.offset, 4 + 2 * JUMP);
}

#[test]
fn where_acknowledged_messages_may_be_lost_a_crash_is_a_gap() {
    let keeping = Keeping { durability: Durability::Interval, ..Keeping::default() };
    let mut kept = Kept::new(1, 10, keeping);
    (1..=3).for_each(|n| kept.publish(0, "h/t", &n.to_string()));
    assert_eq!(kept.world.shards[0].waits_for(), 0);
    kept.hand_all_over();
    kept.synced = kept.log.len();
    kept.publish(0, "h/t", "lost");
    let (_, seen) = kept.resume("h/t", None);
    kept.crash(0, 10);
    kept.publish(0, "h/t", "4");
    let (gap, got) = kept.resume("h/t", Some(seen[3].0));
    assert_eq!((gap, payloads(&got)), (true, vec!["4"]));
    let (gap, got) = kept.resume("h/t", Some(got[0].0));
    assert!(!gap && got.is_empty());
    let (_, seen) = kept.resume("h/t", None);
    kept.stop(10);
    assert_eq!(kept.resume("h/t", Some(seen[3].0)), (false, vec![]), "an end in order loses nothing");
}

#[test]
fn what_is_not_kept_begins_anew() {
    let keeping = Keeping { rules: vec![("h/none".into(), Durability::None)], ..Keeping::default() };
    let mut kept = Kept::new(1, 10, keeping);
    kept.publish(0, "h/none", "1");
    kept.hand_all_over();
    let (_, seen) = kept.resume("h/none", None);
    kept.stop(10);
    kept.publish(0, "h/none", "2");
    let (gap, got) = kept.resume("h/none", Some(seen[0].0));
    assert_eq!((gap, payloads(&got)), (true, vec!["2"]));
    assert_ne!(got[0].0.epoch, seen[0].0.epoch);
}

#[test]
fn a_topic_without_a_history_in_between_begins_anew() {
    let mut kept = Kept::new(1, 10, Keeping::default());
    kept.publish(0, "h/t", "1");
    let (_, seen) = kept.resume("h/t", None);
    kept.hand_all_over();
    let (log, starts) = (kept.log.clone(), kept.starts);
    // A start without rules, of which the log has the record.
    let mut image = Image::new(0);
    log.iter().for_each(|record| image.read(record).expect("it is good"));
    let shared = Shared::new(1, 5, Limits::default());
    let shared = Arc::new(shared.with_keeping(kept.keeping.clone(), image.next_number()));
    let (_, record) = restore(image, &shared, kept.world.now);
    kept.log.push(record);
    kept.starts = starts + 1;
    kept.start(1, 10);
    kept.publish(0, "h/t", "3");
    let (gap, got) = kept.resume("h/t", Some(seen[0].0));
    assert_eq!((gap, payloads(&got)), (true, vec!["3"]), "2 went by unseen");
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let keeping = Keeping { rules: vec![("h/none".into(), Durability::None)], ..Keeping::default() };
    let mut kept = Kept::new(1, 10, keeping);
    kept.world.shards[0].shared.set_keeps(false);
    let mut refused = |topic, qos| kept.world.publish(0, topic, "x", qos).refused;
    assert_eq!((refused("h/t", Q0), refused("h/t", Q1)), (Some(Refusal::NotKept), Some(Refusal::NotKept)));
    assert_eq!((refused("other", Q1), refused("h/none", Q1)), (None, None));
    kept.world.shards[0].shared.set_keeps(true);
    kept.publish(0, "h/t", "1");
    assert_eq!(payloads(&kept.resume("h/t", None).1), ["1"]);
}

#[test]
fn a_message_that_is_wanted_twice_is_written_once() {
    let mut kept = Kept::new(1, 10, Keeping::default());
    let lasting = kept.world.lasting(0, "lasting");
    kept.world.subscribe(lasting, "#", Q1);
    kept.hand_all_over();
    let before: usize = kept.log.iter().map(Vec::len).sum();
    kept.publish(0, "h/t", &"x".repeat(1000));
    kept.hand_all_over();
    let bytes = kept.log.iter().map(Vec::len).sum::<usize>() - before;
    assert!((1000..1200).contains(&bytes), "{bytes}");
    kept.crash(0, 10);
    let (_, got) = kept.resume("h/t", None);
    assert!(got.is_empty(), "nothing was synced");
}

#[test]
fn a_checkpoint_says_all_of_it_again() {
    says_all_of_it_again(false);
}

#[test]
fn a_checkpoint_of_the_front_says_all_of_it_again() {
    says_all_of_it_again(true);
}

fn says_all_of_it_again(is_partial: bool) {
    let mut kept = Kept::new(2, 200, Keeping::default());
    (1..=150).for_each(|n| kept.publish(n % 2, "h/a", &n.to_string()));
    (1..=3).for_each(|n| kept.publish(n % 2, "h/b", &n.to_string()));
    kept.world.shards[0].set_fact(1, "fact", b"of others");
    let (_, seen) = kept.resume("h/a", None);
    kept.hand_all_over();
    let boundary = kept.world.shards[0].shared.next_number();
    let cut = kept.log.len();
    if is_partial {
        // What this one writes stands behind the place from which on all stays.
        for number in 0..2 {
            kept.world.shards[number].set_place(cut as u64);
            kept.world.shards[number].begin_checkpoint(boundary, None);
            assert!(kept.world.shards[number].go_on_with_checkpoint(usize::MAX));
        }
        kept.hand_all_over();
    }
    let (place, from) = (kept.log.len() as u64, is_partial.then_some(cut as u64));
    kept.world.shards.iter_mut().for_each(|shard| {
        shard.set_place(place);
        shard.begin_checkpoint(boundary, from);
    });
    // In pieces, with traffic between them that makes older ones give way.
    let (mut n, mut is_done) = (150, [false; 2]);
    while is_done != [true; 2] {
        for (number, done) in is_done.iter_mut().enumerate() {
            *done |= kept.world.shards[number].go_on_with_checkpoint(500);
            for _ in 0..20 {
                n += 1;
                kept.publish(number, "h/a", &n.to_string());
            }
            kept.hand_over(number);
        }
    }
    // What was before is not needed any more.
    kept.log.drain(..cut);
    kept.synced = kept.log.len();
    // It would keep more, if there were more: of what gave way nothing must seem to be there.
    kept.crash(0, usize::MAX);
    let (_, got) = kept.resume("h/a", None);
    assert!(got.len() >= 200, "{}", got.len());
    let expected: Vec<String> = (n + 1 - got.len()..=n).map(|n| n.to_string()).collect();
    assert_eq!(payloads(&got), expected);
    let (gap, _) = kept.resume("h/a", Some(seen[0].0));
    assert!(gap, "2 has given way");
    let (_, got) = kept.resume("h/b", None);
    assert_eq!(payloads(&got), ["1", "2", "3"]);
    let facts: Vec<_> = kept.world.shards[0].facts(1).collect();
    assert_eq!(
        facts,
        [("fact", &b"of others"[..])],
        "what others keep comes before, and keeps nothing from coming"
    );
}

#[test]
fn what_is_published_later_gets_its_place_when_it_leaves() {
    let mut kept = Kept::new(1, 10, Keeping::default());
    kept.publish(0, "h/t", "1");
    for (payload, qos) in [("never twice", Q0), ("at last", Q1)] {
        kept.world.publish(0, "$delayed/1/h/t", payload, qos);
    }
    kept.hand_all_over();
    kept.synced = kept.log.len();
    let (_, seen) = kept.resume("h/t", None);
    assert_eq!(payloads(&seen), ["1"]);
    kept.world.pass(2);
    // At QoS 0 it has not left, and so nobody sees it who could get it once more after a crash.
    let (_, seen) = kept.resume("h/t", None);
    assert_eq!(payloads(&seen), ["1", "at last"]);
    kept.crash(0, 10);
    kept.world.pass(2);
    kept.hand_all_over();
    kept.synced = kept.log.len();
    let (_, got) = kept.resume("h/t", Some(seen[1].0));
    assert_eq!(payloads(&got), ["at last"], "it is not known that it has left");
    let last = kept.world.shards[0].last_batch();
    kept.world.shards[0].on_disk(kept.world.now, last, &mut kept.world.out);
    let (_, got) = kept.resume("h/t", Some(seen[1].0));
    assert_eq!(payloads(&got), ["at last", "never twice"]);
    // Its place is kept as that of any other message.
    kept.hand_all_over();
    kept.synced = kept.log.len();
    kept.crash(0, 10);
    kept.world.pass(2);
    let last = kept.world.shards[0].last_batch();
    kept.world.shards[0].on_disk(kept.world.now, last, &mut kept.world.out);
    let (gap, again) = kept.resume("h/t", Some(seen[1].0));
    assert_eq!((gap, again), (false, got), "at the same places, and nothing came again");
}

#[test]
fn a_will_gets_a_place() {
    let mut kept = Kept::new(1, 10, Keeping::default());
    let will =
        |c: &mut Connect<'_>| (c.clean_start, c.expiry_s, c.will) = (false, 100, super::will("h/will", 0));
    let client = kept.world.connect_as(0, "a", will);
    kept.world.leave(client, Ending::Lost);
    assert_eq!(payloads(&kept.resume("h/will", None).1), ["gone"]);
    // The hub crashes under a client that is connected: the next start publishes its will.
    kept.world.connect_as(0, "a", will);
    kept.hand_all_over();
    kept.synced = kept.log.len();
    for _ in 0..2 {
        kept.crash(0, 10);
        assert_eq!(payloads(&kept.resume("h/will", None).1), ["gone", "gone"], "once");
        kept.hand_all_over();
        kept.synced = kept.log.len();
    }
}

/// A reader that is cut and comes back.
#[derive(Default)]
struct Reader {
    client: Option<Client>,
    began: Option<u64>,
    places: BTreeMap<String, Place>,
    got: Vec<(String, Place, String)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the order in which shards, mail, the disk and the reader meet, and whenever the hub crashes: a reader that goes
    /// on from where it was gets everything that was acknowledged, once, in order, and no place has two messages.
    #[test]
    fn a_reader_that_goes_on_misses_nothing(seed in any::<u64>()) {
        let mut random = seed | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut kept = Kept::new(3, usize::MAX, Keeping::default());
        let (mut reader, mut n) = (Reader::default(), 0);
        // A topic of which nothing was ever on disk would begin anew after a crash.
        (0..4).for_each(|topic| kept.publish(0, &format!("h/{topic}"), "0"));
        kept.hand_all_over();
        kept.synced = kept.log.len();
        // What stands at each place, and which messages wait for which batch of their shard.
        let mut places: BTreeMap<(String, u64, u64), String> = BTreeMap::new();
        let mut waiting: Vec<BTreeSet<(String, String)>> = vec![BTreeSet::new(); 3];
        let mut written: Vec<(usize, String, String)> = Vec::new();
        let mut acknowledged: BTreeSet<(String, String)> = BTreeSet::new();
        for step in 0..400 {
            let what = if step < 380 { draw(100) } else { 90 };
            match what {
                0..40 => {
                    n += 1;
                    let (shard, topic) = (draw(3) as usize, format!("h/{}", draw(4)));
                    let published = Arc::new(message(&topic, &n.to_string(), if draw(2) == 0 { Q0 } else { Q1 }));
                    kept.world.shards[shard].begin_event();
                    kept.world.shards[shard].publish(kept.world.now, None, &published, &mut kept.world.out);
                    waiting[shard].insert((topic, n.to_string()));
                }
                40..65 => {
                    let parcels = &mut kept.world.out.parcels;
                    if !parcels.is_empty() {
                        let at = draw(parcels.len() as u64) as usize;
                        let (shard, parcel) = parcels.remove(at).expect("it is there");
                        kept.world.shards[shard].handle(kept.world.now, parcel, &mut kept.world.out);
                    }
                }
                65..75 => {
                    let shard = draw(3) as usize;
                    kept.hand_over(shard);
                    let at = kept.log.len();
                    written.extend(std::mem::take(&mut waiting[shard]).into_iter().map(|(t, m)| (at, t, m)));
                }
                75..80 => {
                    let not_synced = kept.log.len() - kept.synced;
                    kept.synced += draw(not_synced as u64 + 1) as usize;
                    let synced = kept.synced;
                    let done = written.extract_if(.., |(at, ..)| *at <= synced);
                    acknowledged.extend(done.map(|(_, topic, message)| (topic, message)));
                }
                80..82 => {
                    let left = draw((kept.log.len() - kept.synced) as u64 + 1) as usize;
                    kept.crash(left, usize::MAX);
                    reader.client = None;
                    waiting.iter_mut().for_each(BTreeSet::clear);
                    written.clear();
                }
                82..86 => {
                    if let Some(client) = reader.client.take() {
                        kept.world.out.full.clear();
                        kept.world.shards[client.shard].disconnect(kept.world.now, client.session, Ending::Lost, &mut kept.world.out);
                    }
                }
                86..92 if reader.client.is_none() => {
                    let w = &mut kept.world;
                    w.next_connection += 1;
                    let shard = draw(3) as usize;
                    let connect = Connect { follows: true, ..Connect::new("reader", ConnectionKey(w.next_connection)) };
                    let session = w.shards[shard].connect(w.now, connect, &mut w.out).session;
                    w.shards[shard].subscribe(session, "h/+", SubscriptionOptions::default(), RetainHandling::DoNotSend).expect("good");
                    let topics = reader.places.iter().map(|(topic, place)| (topic.clone(), *place)).collect();
                    let resume = Resume { time: reader.began, topics, last: 0 };
                    let following = w.shards[shard].follow_from(w.now, session, "h/+", &resume).expect("there is one");
                    prop_assert!(!following.gap);
                    reader.began.get_or_insert(following.time);
                    w.shards[shard].resume(w.now, session, &mut w.out);
                    reader.client = Some(Client { shard, session, connection: w.next_connection, present: false });
                }
                92..96 => {
                    if let Some(client) = reader.client {
                        match kept.world.out.full.pop() {
                            None => kept.world.out.full.push(client.connection),
                            Some(_) => kept.world.shards[client.shard].resume(kept.world.now, client.session, &mut kept.world.out),
                        }
                    }
                }
                _ => {
                    kept.world.now = kept.world.now.plus_ms(1);
                    let now = kept.world.now;
                    let shard = draw(3) as usize;
                    kept.world.shards[shard].handle_time(now, &mut kept.world.out);
                }
            }
            for (_, topic, place, payload) in kept.world.out.places.drain(..) {
                let at = (topic.clone(), place.epoch.number(), place.offset);
                let known = places.entry(at).or_insert_with(|| payload.clone());
                prop_assert_eq!(&*known, &*payload, "a place has two messages");
                if let Some(last) = reader.places.insert(topic.clone(), place) {
                    prop_assert!(last.epoch != place.epoch || last.offset < place.offset, "in order");
                }
                reader.got.push((topic, place, payload));
            }
            let told = kept.world.out.sent.values().flatten().any(|line| line.starts_with("gap"));
            prop_assert!(!told, "nothing has given way");
        }
        // In the end all that is owed arrives.
        kept.world.out.full.clear();
        kept.world.settle();
        if let Some(client) = reader.client {
            kept.world.shards[client.shard].resume(kept.world.now, client.session, &mut kept.world.out);
            kept.world.pass(1);
        }
        reader.got.extend(kept.world.out.places.drain(..).map(|(_, topic, place, payload)| (topic, place, payload)));
        let got: BTreeSet<(String, String)> = reader.got.iter().map(|(t, _, m)| (t.clone(), m.clone())).collect();
        prop_assert_eq!(got.len(), reader.got.len(), "nothing twice");
        if reader.client.is_some() {
            // What was published before it first came is none of its business.
            let first: u64 = reader.got.iter().filter_map(|(_, _, m)| m.parse().ok()).min().unwrap_or(u64::MAX);
            let missing: Vec<_> = acknowledged.iter().filter(|(_, m)| m.parse().is_ok_and(|n: u64| n > first)).filter(|one| !got.contains(*one)).collect();
            prop_assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
