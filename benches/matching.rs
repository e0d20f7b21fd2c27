//! What it costs to find who wants a topic, by how many filters there are: a third exact, a third with `+`, a third with
//! `#`. One filter matches each topic, so what grows is the search and not the answer.
//!
//! `cargo bench -p trefoil-benches --bench matching`

use divan::{Bencher, black_box};
use trefoil_benches::{MANY, index, shard_with, topic, topics};
use trefoil_hub::Audience;

fn main() {
    divan::main();
}

const FILTERS: [usize; 3] = [10, 10_000, MANY];

/// The index alone, with topics from all over the population, none of them twice.
#[divan::bench(args = FILTERS, sample_size = 1000)]
fn index_matching(bencher: Bencher<'_, '_>, filters: usize) {
    let index = index(filters);
    let topics = topics(filters);
    let mut topics = topics.iter().cycle();
    bencher.bench_local(|| {
        let mut found = 0;
        index.matching(black_box(topics.next().expect("it has no end")), |_, value| found += value);
        assert_eq!(found, 1);
    });
}

/// The index again and again with one topic: what a busy publisher meets.
#[divan::bench(args = FILTERS, sample_size = 1000)]
fn index_matching_the_same_topic(bencher: Bencher<'_, '_>, filters: usize) {
    let index = index(filters);
    let topic = topic(filters / 2);
    bencher.bench(|| {
        let mut found = 0;
        index.matching(black_box(&topic), |_, value| found += value);
        assert_eq!(found, 1);
    });
}

/// A topic that nobody wants.
#[divan::bench(args = FILTERS, sample_size = 1000)]
fn index_matching_nothing(bencher: Bencher<'_, '_>, filters: usize) {
    let index = index(filters);
    bencher.bench(|| {
        let mut found = 0;
        index.matching(black_box("dev/unknown/battery"), |_, value| found += value);
        assert_eq!(found, 0);
    });
}

/// A shard's whole answer: the index, and from it the list of sessions.
#[divan::bench(args = FILTERS, sample_size = 1000)]
fn shard_audience(bencher: Bencher<'_, '_>, filters: usize) {
    let (shard, _) = shard_with(filters);
    let topics = topics(filters);
    let mut topics = topics.iter().cycle();
    let mut audience = Audience::default();
    bencher.bench_local(|| {
        shard.audience(black_box(topics.next().expect("it has no end")), None, &mut audience);
        assert_eq!(audience.receivers().len(), 1);
    });
}
