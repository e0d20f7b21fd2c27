//! WebSocket that is wrong: the offender gets its close code, and nobody else notices.

use std::io::Write;
use trefoil_tests::websocket::{Connection, frame, handshake};
use trefoil_tests::{Bystander, Exchange, Hub, connect, mqtt};

#[test]
fn frames_that_break_the_rules() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let (protocol_error, invalid_text, too_big) = (1002, 1007, 1009);
    let unmasked = vec![0x81, 2, b'{', b'}'];
    let cases: [(&str, Vec<u8>, u16); 11] = [
        ("an unmasked frame", unmasked, protocol_error),
        ("a reserved bit", frame(0xC1, b"{}"), protocol_error),
        ("an unknown opcode", frame(0x83, b"{}"), protocol_error),
        ("a fragmented ping", frame(0x09, b""), protocol_error),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), protocol_error),
        ("a continuation of nothing", frame(0x80, b"{}"), protocol_error),
        ("a new message inside another", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), protocol_error),
        ("text that is not UTF-8", frame(0x81, &[0xc3, 0x28]), invalid_text),
        ("a close code that is not to be sent", frame(0x88, &1005u16.to_be_bytes()), protocol_error),
        ("a close reason that is not UTF-8", frame(0x88, &[0x03, 0xe8, 0xff]), invalid_text),
        (
            "a length above the limit",
            vec![0x81, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4],
            too_big,
        ),
    ];
    for path in ["/ws", "/mqtt", "/ws/echo"] {
        for (what, bytes, code) in &cases {
            let mut connection = Connection::new(hub.http_port(), path);
            connection.stream.offer(bytes);
            let found = connection.close_code();
            // Over MQTT text is refused whatever it holds.
            let text_on_mqtt = path == "/mqtt" && *code == invalid_text && found == Some(1003);
            assert!(found == Some(*code) || text_on_mqtt, "{what} on {path}: {found:?}");
        }
    }
    bystander.unharmed();
}

#[test]
fn text_frames_carry_no_mqtt() {
    let hub = Hub::start();
    let mut connection = Connection::new(hub.http_port(), "/mqtt");
    connection.send_text("hello");
    assert_eq!(connection.close_code(), Some(1003));
}

#[test]
fn malformed_mqtt_inside_good_frames() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let mut connection = Connection::new(hub.http_port(), "/mqtt");
    connection.send(&frame(0x82, &mqtt::connect_packet(5, "inside", &[])));
    let (_, connack) = connection.receive().unwrap();
    assert_eq!(connack[0], 0x20);
    connection.send(&frame(0x82, &mqtt::packet(0x36, &[0, 1, b't', 0, 1, 0])));
    let (_, disconnect) = connection.receive().unwrap();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x81));
    connection.close_code();
    bystander.unharmed();
}

#[test]
fn handshakes_that_are_refused() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let good = String::from_utf8(handshake("/ws", "")).unwrap();
    for (what, request, status) in [
        ("no key", good.replace("Sec-WebSocket-Key: ", "X-Key: "), "400"),
        ("a key that is none", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400"),
        ("another version", good.replace("Version: 13", "Version: 12"), "426"),
        ("another method", good.replace("GET ", "POST "), "405"),
        ("a path that is not there", good.replace(" /ws ", " /wss "), "404"),
        ("a head that never ends well", good.replace("Host: localhost", "Host localhost"), "400"),
        (
            "a head above the limit",
            good.replace("Host:", &format!("X-Long: {}\r\nHost:", "x".repeat(20_000))),
            "431",
        ),
    ] {
        let mut stream = connect(hub.http_port());
        stream.offer(request.as_bytes());
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let said = String::from_utf8_lossy(&stream.rest()).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {said}");
    }
    bystander.unharmed();
}

#[test]
fn a_connection_that_breaks_off_in_the_middle_of_a_frame() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let whole = [handshake("/ws", ""), frame(0x81, br#"{"sub":"t"}"#), frame(0x89, b"ping")].concat();
    for length in (1..whole.len()).step_by(3) {
        connect(hub.http_port()).write_all(&whole[..length]).unwrap();
    }
    bystander.unharmed();
}
