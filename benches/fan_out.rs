//! What it costs to bring a message to 500 sessions of one shard: who wants it, the QoS state of each, and a copy into
//! each outbox. The figure is for one publish; the items are deliveries.
//!
//! `cargo bench -p trefoil-benches --bench fan_out`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use trefoil_benches::{CopyingOutlet, connect, message, shard, subscribe};
use trefoil_hub::{QoS, SessionKey, Shard, Time};

fn main() {
    divan::main();
}

const SUBSCRIBERS: usize = 500;
const TOPIC: &str = "site/12/floor/3/temperature";

fn audience_of(qos: QoS) -> (Shard, Vec<SessionKey>) {
    let mut shard = shard();
    let sessions: Vec<_> = (0..SUBSCRIBERS).map(|n| connect(&mut shard, n)).collect();
    for &session in &sessions {
        subscribe(&mut shard, session, "site/+/floor/#", qos);
    }
    (shard, sessions)
}

#[divan::bench(sample_size = 50)]
fn one_to_500_qos_0(bencher: Bencher<'_, '_>) {
    let (mut shard, _) = audience_of(QoS::AtMostOnce);
    let mut out = CopyingOutlet::default();
    let message = message(TOPIC, QoS::AtMostOnce, false);
    bencher
        .counter(ItemsCount::new(SUBSCRIBERS))
        .bench_local(|| shard.publish(Time::default(), None, black_box(&message), &mut out));
}

/// With the acknowledgement of each, as the receivers would send it.
#[divan::bench(sample_size = 50)]
fn one_to_500_qos_1_and_back(bencher: Bencher<'_, '_>) {
    let (mut shard, sessions) = audience_of(QoS::AtLeastOnce);
    let mut out = CopyingOutlet::default();
    let message = message(TOPIC, QoS::AtLeastOnce, false);
    bencher.counter(ItemsCount::new(SUBSCRIBERS)).bench_local(|| {
        shard.publish(Time::default(), None, black_box(&message), &mut out);
        let mut in_flight = std::mem::take(&mut out.in_flight);
        assert_eq!(in_flight.len(), SUBSCRIBERS);
        for (to, packet_id) in in_flight.drain(..) {
            let session = sessions[to.0 as usize];
            shard.acknowledge(Time::default(), session, packet_id, QoS::AtLeastOnce, &mut out);
        }
        out.in_flight = in_flight;
    });
}

/// One to one: what a message costs that few want.
#[divan::bench(sample_size = 1000)]
fn one_to_1_qos_0(bencher: Bencher<'_, '_>) {
    let mut shard = shard();
    let session = connect(&mut shard, 0);
    subscribe(&mut shard, session, TOPIC, QoS::AtMostOnce);
    let mut out = CopyingOutlet::default();
    let message = message(TOPIC, QoS::AtMostOnce, false);
    bencher.bench_local(|| shard.publish(Time::default(), None, black_box(&message), &mut out));
}
