//! What the benchmarks share: a population of topic filters, a shard that has them, and an outlet that copies bytes.
//!
//! The benchmarks stand beside this crate's `src` folder, one file for each question:
//!
//! | file | asks what it costs |
//! | --- | --- |
//! | `decode.rs` | to read an MQTT packet, a WebSocket frame, a JSON request |
//! | `encode.rs` | to write one |
//! | `matching.rs` | to find who wants a topic among 10, 10 thousand and 1 million filters |
//! | `subscribe.rs` | to add a filter to a million others, and to take it away |
//! | `fan_out.rs` | to bring a message to 500 sessions of one shard |
//! | `retained.rs` | to find retained messages among 100 thousand |
//!
//! ```text
//! cargo bench -p trefoil-benches                       all of them, in under a minute
//! cargo bench -p trefoil-benches --bench matching      one file
//! cargo bench -p trefoil-benches -- publish            those whose name contains a word
//! ```
//!
//! Divan takes 100 samples of each benchmark, and a sample is many calls. Read the median. The figures belong to the
//! machine that they were taken on; on a busy one only their order of magnitude means something. What a whole
//! server costs is measured from outside, by `compare.py`.
//!
//! The population is the same everywhere, so that figures of different files can be put together:
//!
//! ```
//! use trefoil_benches::{filter, topic};
//! use trefoil_hub::topic::matches;
//!
//! assert_eq!([filter(0), filter(1), filter(2)], ["dev/0/state", "dev/+/alarm/1", "site/2/#"]);
//! // Every filter has a topic that it matches, and no other one does.
//! assert!((0..9).all(|i| (0..9).all(|j| matches(&filter(i), &topic(j)) == (i == j))));
//! ```

mod outlet;

pub use outlet::CopyingOutlet;

use std::sync::Arc;
use trefoil_hub::index::Index;
use trefoil_hub::{
    Connect, ConnectionKey, Limits, Message, Payload, QoS, RetainHandling, SessionKey, Shard, Shared,
    SubscriptionOptions, Time, Topic,
};

/// How many filters are many: a million. Without optimisation a run only shows that the benchmarks work, so fewer will do.
pub const MANY: usize = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// The seed of every hash table here: figures should not differ from run to run for no reason.
const SEED: u64 = 42;
/// Sessions that the filters of a shard are spread over.
const SESSIONS: usize = 100;

/// Filter number `i` of the population: a third exact, a third with `+` in the middle, a third with `#` at the end.
pub fn filter(i: usize) -> String {
    match i % 3 {
        0 => format!("dev/{i}/state"),
        1 => format!("dev/+/alarm/{i}"),
        _ => format!("site/{i}/#"),
    }
}

/// A topic that [`filter`] number `i` matches and no other one.
pub fn topic(i: usize) -> String {
    match i % 3 {
        0 => format!("dev/{i}/state"),
        1 => format!("dev/{}/alarm/{i}", i / 7),
        _ => format!("site/{i}/hall/door"),
    }
}

/// 100 thousand topics, spread over a population of `filters`, each with one filter that matches it: so many that none
/// comes again while a benchmark is measured, and a large index is met as cold as it is among many publishers.
pub fn topics(filters: usize) -> Vec<String> {
    // A step that has no factor in common with the sizes used, so that all kinds and all regions have their turn.
    (0..100_000).map(|n| topic(n * 7919 % filters)).collect()
}

/// An index with the first `filters` of the population.
pub fn index(filters: usize) -> Index<u32> {
    let mut index = Index::new(SEED);
    for i in 0..filters {
        *index.entry(&filter(i)).1 += 1;
    }
    index
}

/// The only shard of a hub, with limits that no benchmark reaches.
pub fn shard() -> Shard {
    let limits = Limits {
        subscriptions_per_session_max: usize::MAX,
        inflight_max: u16::MAX,
        session_queue_messages_max: usize::MAX,
        session_queue_bytes_max: usize::MAX,
        ..Limits::default()
    };
    Shard::new(0, Arc::new(Shared::new(1, SEED, limits)))
}

/// A shard with the first `filters` of the population, spread over a hundred connected sessions.
pub fn shard_with(filters: usize) -> (Shard, Vec<SessionKey>) {
    let mut shard = shard();
    let sessions: Vec<_> = (0..SESSIONS).map(|n| connect(&mut shard, n)).collect();
    for i in 0..filters {
        subscribe(&mut shard, sessions[i % SESSIONS], &filter(i), QoS::AtMostOnce);
    }
    (shard, sessions)
}

/// Connects client number `n`.
pub fn connect(shard: &mut Shard, n: usize) -> SessionKey {
    let key = ConnectionKey(u32::try_from(n).expect("benchmarks have fewer clients"));
    shard
        .connect(Time::default(), Connect::new(&format!("client-{n}"), key), &mut CopyingOutlet::default())
        .session
}

/// Subscribes to a filter of the population, without looking for retained messages.
pub fn subscribe(shard: &mut Shard, session: SessionKey, filter: &str, qos: QoS) {
    let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    shard
        .subscribe(session, filter, options, RetainHandling::DoNotSend)
        .expect("the filter is valid, and there is room");
}

/// A message without properties and with a payload of 64 bytes.
pub fn message(topic: &str, qos: QoS, retain: bool) -> Arc<Message> {
    Arc::new(Message {
        topic: Topic::new(topic, 128).expect("the population's topics are valid"),
        payload: Payload::copy_from_slice(&[b'x'; 64]),
        qos,
        retain,
        expires_at: None,
        properties: None,
    })
}
