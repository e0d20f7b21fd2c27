//! What it costs to find retained messages among 100 thousand, on topics `a/N/c` and `a/N/d`.
//!
//! `cargo bench -p trefoil-benches --bench retained`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use trefoil_benches::message;
use trefoil_hub::retained::{Cursor, Retained};
use trefoil_hub::{QoS, Time};

fn main() {
    divan::main();
}

const MESSAGES: usize = 100_000;
/// How many a session asks for at a time.
const AT_ONCE: usize = 64;

fn full() -> Retained {
    let retained = Retained::new(MESSAGES + 1, usize::MAX);
    for n in 0..MESSAGES {
        retained.set(&message(&topic(n), QoS::AtMostOnce, true)).expect("there is room");
    }
    retained
}

fn topic(n: usize) -> String {
    let last = if n.is_multiple_of(2) { "c" } else { "d" };
    format!("a/{}/{last}", n / 2)
}

#[divan::bench(sample_size = 100)]
fn one_topic(bencher: Bencher<'_, '_>) {
    finding(bencher, "a/25000/c", 1);
}

/// Half of all, and never two that stand side by side.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn plus_in_the_middle(bencher: Bencher<'_, '_>) {
    finding(bencher, "a/+/c", MESSAGES / 2);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn all_by_hash(bencher: Bencher<'_, '_>) {
    finding(bencher, "#", MESSAGES);
}

fn finding(bencher: Bencher<'_, '_>, filter: &str, expected: usize) {
    let retained = full();
    bencher.counter(ItemsCount::new(expected)).bench(|| {
        let (mut cursor, mut count, mut found) = (Cursor::new(black_box(filter)), 0, Vec::new());
        while !cursor.is_done() {
            retained.next(&mut cursor, AT_ONCE, &mut usize::MAX.clone(), Time::default(), &mut found);
            count += found.drain(..).len();
        }
        assert_eq!(count, expected);
    });
}

/// A message in the place of the one that is there.
#[divan::bench(sample_size = 100)]
fn replace(bencher: Bencher<'_, '_>) {
    let retained = full();
    let message = message("a/25000/c", QoS::AtMostOnce, true);
    bencher.bench(|| retained.set(black_box(&message)));
}
