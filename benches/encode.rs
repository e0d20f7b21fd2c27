//! What it costs to write: a PUBLISH, a JSON message, the head of a WebSocket frame, a compressed message.
//!
//! `cargo bench -p trefoil-benches --bench encode`

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use trefoil_json::{Delivery, MessageView, encode_message};
use trefoil_mqtt::{Publish, QoS, Version};
use trefoil_websocket::deflate::Deflater;
use trefoil_websocket::{Opcode, encode_frame};

fn main() {
    // So many calls to a sample that one interruption, or a first call with a cold cache, does not make a figure.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];
const TOPIC: &str = "site/12/floor/3/temperature";

#[divan::bench(args = VERSIONS)]
fn publish_64_bytes(bencher: Bencher<'_, '_>, version: Version) {
    let publish = Publish { topic: TOPIC, payload: &[b'x'; 64], ..Publish::default() };
    into_buffer(bencher, |out| {
        black_box(&publish).encode(version, out);
    });
}

#[divan::bench(args = VERSIONS)]
fn publish_1_kib_qos_1(bencher: Bencher<'_, '_>, version: Version) {
    let payload = [b'x'; 1024];
    let publish = Publish {
        topic: TOPIC,
        payload: &payload,
        qos: QoS::AtLeastOnce,
        packet_id: 7,
        ..Publish::default()
    };
    into_buffer(bencher, |out| {
        black_box(&publish).encode(version, out);
    });
}

#[divan::bench(args = [64, 1024])]
fn websocket_binary(bencher: Bencher<'_, '_>, payload_len: usize) {
    let payload = vec![b'x'; payload_len];
    into_buffer(bencher, |out| encode_frame(Opcode::Binary, black_box(&payload), out));
}

/// 1 KiB of JSON, by the compressor that all share.
#[divan::bench(args = [1, 3, 6, 9])]
fn websocket_deflate_1_kib(bencher: Bencher<'_, '_>, level: u8) {
    let quotes = (0..23).map(|n| {
        format!(
            "{{\"symbol\":\"SYM{}\",\"price\":{},\"volume\":{}}}",
            n * 7919 % 1000,
            n * 104_729 % 1000,
            n * 31
        )
    });
    let text = format!("[{}]", quotes.collect::<Vec<_>>().join(","));
    let mut deflater = Deflater::new(level, 15, false);
    into_buffer(bencher, |out| deflater.message(black_box(text.as_bytes()), out));
}

/// A payload that is JSON goes out as it is; whether it is has to be found out first.
#[divan::bench]
fn json_message_number(bencher: Bencher<'_, '_>) {
    json(bencher, b"21.5", None);
}

#[divan::bench]
fn json_message_object_qos_1(bencher: Bencher<'_, '_>) {
    let delivery = Delivery { qos: 1, id: 7, dup: false };
    json(bencher, br#"{"celsius":21.5,"humidity":61,"ok":true}"#, Some(delivery));
}

#[divan::bench]
fn json_message_text(bencher: Bencher<'_, '_>) {
    json(bencher, b"she said \"it is ready\"\nand left", None);
}

#[divan::bench]
fn json_message_64_bytes_binary(bencher: Bencher<'_, '_>) {
    json(bencher, &[0xFF; 64], None);
}

fn json(bencher: Bencher<'_, '_>, payload: &[u8], delivery: Option<Delivery>) {
    let view = MessageView { topic: TOPIC, payload, ..MessageView::default() };
    into_buffer(bencher, |out| encode_message(black_box(&view), delivery, out));
}

/// Into a buffer that has its memory already, as an outbox has.
fn into_buffer(bencher: Bencher<'_, '_>, mut encode: impl FnMut(&mut Vec<u8>)) {
    let mut out = Vec::new();
    encode(&mut out);
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        encode(&mut out);
        black_box(out.len())
    });
}
