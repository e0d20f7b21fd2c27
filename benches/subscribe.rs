//! What it costs to subscribe and to unsubscribe where there are a million filters already.
//!
//! `cargo bench -p trefoil-benches --bench subscribe`

use divan::{Bencher, black_box};
use trefoil_benches::{CopyingOutlet, MANY, filter, index, shard_with, subscribe};
use trefoil_hub::{QoS, SessionKey, Shard, Time, TopicError};

fn main() {
    divan::main();
}

/// The index alone: a new filter in, and out again.
#[divan::bench(sample_size = 100)]
fn index_in_and_out(bencher: Bencher<'_, '_>) {
    let mut index = index(MANY);
    let mut n = MANY;
    bencher.with_inputs(|| next(&mut n)).bench_local_refs(|filter| {
        let (at, value) = index.entry(black_box(filter));
        *value += 1;
        index.remove(at)
    });
}

/// A shard, with the session's own list and the table that tells other shards.
#[divan::bench(sample_size = 100)]
fn shard_in_and_out(bencher: Bencher<'_, '_>) {
    let (mut shard, sessions) = shard_with(MANY);
    let mut n = MANY;
    bencher.with_inputs(|| next(&mut n)).bench_local_refs(|filter| {
        subscribe(&mut shard, sessions[0], black_box(filter), QoS::AtMostOnce);
        unsubscribe(&mut shard, sessions[0], filter).expect("the filter is valid")
    });
}

/// Only in: the population grows with each call.
#[divan::bench(sample_size = 100)]
fn shard_in(bencher: Bencher<'_, '_>) {
    let (mut shard, sessions) = shard_with(MANY);
    let mut n = MANY;
    bencher.with_inputs(|| next(&mut n)).bench_local_refs(|filter| {
        subscribe(&mut shard, sessions[0], black_box(filter), QoS::AtMostOnce);
    });
}

/// Only out, from among the ten thousand that each session has.
#[divan::bench(sample_size = 100)]
fn shard_out(bencher: Bencher<'_, '_>) {
    let (mut shard, sessions) = shard_with(MANY);
    let mut n = 0;
    let victim = || {
        n += 1;
        let at = n * 7919 % MANY;
        (sessions[at % sessions.len()], filter(at))
    };
    bencher.with_inputs(victim).bench_local_refs(|(session, filter)| {
        assert_eq!(unsubscribe(&mut shard, *session, black_box(filter)), Ok(true));
    });
}

fn unsubscribe(shard: &mut Shard, session: SessionKey, filter: &str) -> Result<bool, TopicError> {
    shard.unsubscribe(Time::default(), session, filter, &mut CopyingOutlet::default())
}

fn next(n: &mut usize) -> String {
    *n += 1;
    filter(*n)
}
