//! What it costs to read: an MQTT packet, a WebSocket frame, a JSON request.
//!
//! `cargo bench -p trefoil-benches --bench decode`

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use trefoil_json::parse;
use trefoil_mqtt::{
    Ack, Connect, MessageProperties, PACKET_BYTES_MAX, PacketType, Publish, QoS, ReasonCode,
    UserPropertiesBuf, Version, Will, decode, decode_publish, frame,
};
use trefoil_websocket::{Limits, Opcode, Receiver, Role, encode_masked};

fn main() {
    // So many calls to a sample that one interruption, or a first call with a cold cache, does not make a figure.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];
const TOPIC: &str = "site/12/floor/3/temperature";

/// The way of every message: where the packet ends, and what is in it.
#[divan::bench(args = VERSIONS)]
fn publish_64_bytes(bencher: Bencher<'_, '_>, version: Version) {
    let mut packet = Vec::new();
    Publish { topic: TOPIC, payload: &[b'x'; 64], ..Publish::default() }.encode(version, &mut packet);
    bencher.counter(BytesCount::new(packet.len())).bench(|| {
        let found = frame(black_box(&packet), PACKET_BYTES_MAX).expect("valid").expect("complete");
        decode_publish(&packet[..found.len], version).expect("valid").payload.len()
    });
}

#[divan::bench]
fn publish_v5_with_properties(bencher: Bencher<'_, '_>) {
    let mut user_properties = UserPropertiesBuf::default();
    user_properties.push("unit", "celsius").expect("short enough");
    let properties = MessageProperties {
        expiry_s: Some(60),
        content_type: Some("text/plain"),
        user_properties: user_properties.as_ref(),
        ..MessageProperties::default()
    };
    let publish = Publish { topic: TOPIC, payload: &[b'x'; 64], properties, ..Publish::default() };
    let mut packet = Vec::new();
    publish.encode(Version::V5, &mut packet);
    bencher.counter(BytesCount::new(packet.len())).bench(|| {
        let publish = decode_publish(black_box(&packet), Version::V5).expect("valid");
        publish.properties.user_properties.iter().count()
    });
}

#[divan::bench(args = VERSIONS)]
fn connect(bencher: Bencher<'_, '_>, version: Version) {
    let will = Will { topic: "dev/17/state", payload: b"gone", qos: QoS::AtLeastOnce, ..Will::default() };
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "device-000017",
        will: Some(will),
        user_name: Some("device"),
        password: Some(b"secret"),
        ..Connect::default()
    };
    let mut packet = Vec::new();
    connect.encode(version, &mut packet);
    bencher.bench(|| decode(black_box(&packet), version).is_ok());
}

#[divan::bench(args = VERSIONS)]
fn puback(bencher: Bencher<'_, '_>, version: Version) {
    let mut packet = Vec::new();
    Ack::new(7, ReasonCode::Success).encode(PacketType::PubAck, version, &mut packet);
    bencher.bench(|| decode(black_box(&packet), version).is_ok());
}

/// A masked frame of a browser that lies whole in the buffer, as most do. Unmasking changes the input, so each call
/// gets the frame again, and the figure has that copy in it.
#[divan::bench(args = [64, 1024])]
fn websocket_binary(bencher: Bencher<'_, '_>, payload_len: usize) {
    websocket(bencher, Opcode::Binary, payload_len);
}

/// The same, with the check that it is UTF-8.
#[divan::bench(args = [64, 1024])]
fn websocket_text(bencher: Bencher<'_, '_>, payload_len: usize) {
    websocket(bencher, Opcode::Text, payload_len);
}

fn websocket(bencher: Bencher<'_, '_>, opcode: Opcode, payload_len: usize) {
    let mut wire = Vec::new();
    encode_masked(opcode, &vec![b'x'; payload_len], [1, 2, 3, 4], &mut wire);
    let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
    let mut receiver = Receiver::new(Role::Server, limits);
    let mut scratch = wire.clone();
    bencher.counter(BytesCount::new(wire.len())).bench_local(|| {
        scratch.copy_from_slice(black_box(&wire));
        receiver.receive(&mut scratch).expect("valid").event.is_some()
    });
}

#[divan::bench]
fn json_publish_number(bencher: Bencher<'_, '_>) {
    json(bencher, br#"{"pub":"site/12/floor/3/temperature","data":21.5}"#);
}

#[divan::bench]
fn json_publish_object_qos_1(bencher: Bencher<'_, '_>) {
    let request =
        br#"{"pub":"site/12/floor/3","data":{"celsius":21.5,"humidity":61,"ok":true},"qos":1,"id":7}"#;
    json(bencher, request);
}

#[divan::bench]
fn json_publish_text_with_escapes(bencher: Bencher<'_, '_>) {
    json(bencher, br#"{"pub":"chat/kitchen","data":"she said \"it\u2019s ready\"\nand left"}"#);
}

fn json(bencher: Bencher<'_, '_>, request: &[u8]) {
    let limits = trefoil_json::Limits::default();
    assert!(parse(request, limits).is_ok(), "the benchmark's request is valid");
    bencher.counter(BytesCount::new(request.len())).bench(|| parse(black_box(request), limits).is_ok());
}
