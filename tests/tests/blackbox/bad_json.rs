//! JSON that is wrong, over lines and datagrams. Over WebSocket see the scenario `errors` of `websockets`.

use serde_json::Value;
use std::io::Write;
use std::net::UdpSocket;
use trefoil_tests::{Bystander, DEADLINE, Exchange, Hub, connect, lines};

#[test]
fn what_is_not_json_is_answered_and_closed() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let deep = [b"{\"ping\":".to_vec(), vec![b'['; 100_000]].concat();
    for line in
        [&b"{\"pub\":"[..], b"{} {}", b"{\"ping\":1}x", b"{\"pub\":\"\xff\xfe\"}", b"{'pub':'t'}", &deep]
    {
        let mut stream = connect(hub.tcp_port());
        stream.offer(&[line, b"\n{\"ping\":\"unheard\"}\n"].concat());
        let said = String::from_utf8(stream.rest()).unwrap();
        let shown = String::from_utf8_lossy(&line[..line.len().min(40)]);
        assert_eq!(said.lines().count(), 1, "{shown}: {said}");
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(error["error"]["code"], "bad_json", "{shown}: {said}");
    }
    bystander.unharmed();
}

#[test]
fn a_wrong_field_is_answered_and_the_connection_goes_on() {
    let hub = Hub::start();
    let mut connection = lines::Connection::new(hub.tcp_port());
    for (line, code, field) in [
        (r#"{"pub":"t","qos":7,"id":1}"#, "bad_field", "qos"),
        (r#"{"pub":"t","qos":1}"#, "missing_field", "id"),
        (r#"{"pub":"t","id":"one"}"#, "bad_field", "id"),
        (r#"{"pub":"t","id":-1}"#, "bad_field", "id"),
        (r#"{"pub":"t","retian":true}"#, "unknown_field", "retian"),
        (r##"{"pub":"a/#"}"##, "bad_topic", "pub"),
        (r#"{"pub":""}"#, "bad_topic", "pub"),
        (r##"{"sub":"a/#/b"}"##, "bad_topic", "sub"),
        (r#"{"sub":["a","b+"]}"#, "bad_topic", "sub"),
        (r#"{"sub":7}"#, "bad_field", "sub"),
    ] {
        let answer = connection.ask(line);
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["field"]),
            (&code.into(), &field.into()),
            "{line}"
        );
    }
    let answer = connection.ask(r#"{"pbu":"t"}"#);
    assert_eq!(answer["error"]["code"], "unknown_operation");
    assert_eq!(connection.ask(r#"{"ping":"still here"}"#)["pong"], "still here");
}

#[test]
fn a_line_above_the_limit_is_answered_and_closed() {
    let hub = Hub::with_config(&format!("{}\n[limits]\njson_bytes_max = 2000\n", trefoil_tests::CONFIG));
    let bystander = Bystander::start(&hub);
    let start = br#"{"pub":"t","data":""#;
    for line in
        [&[&start[..], &[b'x'; 3000], b"\"}\n"].concat()[..], &[&start[..], &[b'x'; 100_000]].concat()]
    {
        let mut stream = connect(hub.tcp_port());
        stream.offer(line);
        let said = String::from_utf8(stream.rest()).unwrap();
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(error["error"]["code"], "too_large", "{said}");
    }
    bystander.unharmed();
}

#[test]
fn a_bad_datagram_is_answered_and_the_next_one_counts() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", hub.udp_port())).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let ask = |datagram: &[u8]| {
        socket.send(datagram).unwrap();
        let mut buffer = [0; 2048];
        let count = socket.recv(&mut buffer).unwrap();
        serde_json::from_slice::<Value>(&buffer[..count]).unwrap()
    };
    for datagram in [
        &b"hello"[..],
        b"{",
        b"{\"ping\":1}{\"ping\":2}",
        b"\xff\xff",
        b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",
    ] {
        assert_eq!(ask(datagram)["error"]["code"], "bad_json", "{datagram:?}");
    }
    assert_eq!(ask(br#"{"pub":"t","qos":2,"id":3}"#)["id"], 3);
    assert_eq!(ask(br#"{"ping":"still here"}"#)["pong"], "still here");
    bystander.unharmed();
}

#[test]
fn a_connection_that_breaks_off_in_the_middle_of_a_line() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let whole = b"{\"sub\":[\"t\",\"u/#\"],\"qos\":1,\"id\":1}\n{\"pub\":\"t\",\"data\":{\"a\":[1,2]}}\n";
    for length in 1..whole.len() {
        connect(hub.tcp_port()).write_all(&whole[..length]).unwrap();
    }
    bystander.unharmed();
}
