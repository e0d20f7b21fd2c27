//! nc: JSON lines and datagrams typed by hand.

use serde_json::{Value, json};
use trefoil_tests::{CONFIG, Hub, Program, python, wait_until};

fn nc(hub: &Hub) -> Program {
    Program::new("nc").args(["127.0.0.1", &hub.tcp_port().to_string()])
}

fn nc_udp(hub: &Hub) -> Program {
    Program::new("nc").args(["-u", "127.0.0.1", &hub.udp_port().to_string()])
}

fn values(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn lines_are_answered_in_order_and_the_end_of_input_ends_it() {
    let hub = Hub::start();
    let lines = "{\"ping\":\"hello\"}\r\n\n{\"pub\":\"t\",\"data\":1,\"qos\":1,\"id\":7}\n{\"unsub\":\"t\",\"id\":8}\n{\"ping\":2}";
    let found = nc(&hub).words("-N").stdin(lines).run().success();
    let expected =
        [json!({"pong": "hello"}), json!({"ack": 7}), json!({"unsub": "t", "ack": 8}), json!({"pong": 2})];
    assert_eq!(values(&found), expected);
}

#[test]
fn one_types_and_another_reads() {
    let hub = Hub::start();
    let mut reader = nc(&hub).open_stdin().spawn();
    reader.write("{\"sub\":\"room/+\",\"id\":1}\n");
    assert_eq!(values(&reader.lines(1)[0]), [json!({"sub": "room/+", "qos": 0, "ack": 1})]);
    let said = "{\"pub\":\"room/one\",\"data\":\"good morning ☘\"}\n{\"pub\":\"room/two\",\"data\":{\"n\": [1, 2.50]}}\n";
    nc(&hub).words("-N").stdin(said).run().success();
    let found = reader.lines(3);
    assert_eq!(values(&found[1]), [json!({"topic": "room/one", "data": "good morning ☘"})]);
    // JSON is passed on as it was written.
    assert_eq!(found[2], "{\"topic\":\"room/two\",\"data\":{\"n\": [1, 2.50]}}");
}

#[test]
fn a_reader_whose_input_has_ended_goes_on_reading() {
    let hub = Hub::start();
    let reader = nc(&hub).words("-N").stdin("{\"sub\":\"room/one\"}\n").spawn();
    reader.lines(1);
    nc(&hub).words("-N").stdin("{\"pub\":\"room/one\",\"data\":1}\n").run().success();
    assert_eq!(values(&reader.lines(2)[1]), [json!({"topic": "room/one", "data": 1})]);
}

#[test]
fn a_reader_that_is_gone_is_noticed_though_nothing_is_sent_to_it() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nhalf_closed_probe_s = 1\n"));
    python("lines_scenarios", "a_reader_that_is_gone", &hub);
}

#[test]
fn datagrams_are_answered() {
    let hub = Hub::start();
    // nc prints datagrams one after the other; objects of the protocol do not end with a line.
    let count = |running: &trefoil_tests::Running| {
        let text = running.stdout();
        serde_json::Deserializer::from_slice(&text)
            .into_iter::<Value>()
            .filter_map(Result::ok)
            .collect::<Vec<_>>()
    };
    let mut reader = nc_udp(&hub).open_stdin().spawn();
    reader.write("{\"sub\":\"room/#\",\"qos\":1,\"id\":1}\n");
    wait_until("the subscription is answered", || count(&reader).len() == 1);
    let mut writer = nc_udp(&hub).open_stdin().spawn();
    writer.write("{\"pub\":\"room/one\",\"data_base64\":\"AP8=\",\"qos\":1,\"id\":5}\n");
    wait_until("the publish is acknowledged", || count(&writer) == [json!({"ack": 5})]);
    wait_until("the message comes", || count(&reader).len() == 2);
    let message = &count(&reader)[1];
    let expected = json!({"topic": "room/one", "data_base64": "AP8=", "qos": 1, "id": message["id"]});
    assert_eq!(*message, expected);
    reader.write(format!("{{\"ack\":{}}}\n", message["id"]));
}

#[test]
fn a_datagram_that_is_not_acknowledged_comes_again_and_says_so() {
    // Peers are remembered for longer than the test waits, so that it is the resend that is waited for.
    let limits = "[limits]\nudp_resend_s = 1\nudp_idle_s = 3600\n";
    let hub = Hub::with_config(&format!("{}\n{limits}", trefoil_tests::CONFIG));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", hub.udp_port())).unwrap();
    socket.set_read_timeout(Some(trefoil_tests::DEADLINE)).unwrap();
    let receive = || {
        let mut buffer = [0; 2048];
        let count = socket.recv(&mut buffer).unwrap();
        serde_json::from_slice::<Value>(&buffer[..count]).unwrap()
    };
    socket.send(br#"{"sub":"t","qos":1,"id":1}"#).unwrap();
    assert_eq!(receive()["ack"], 1);
    nc(&hub).words("-N").stdin("{\"pub\":\"t\",\"data\":1,\"qos\":1,\"id\":1}\n").run().success();
    let (first, second) = (receive(), receive());
    assert_eq!((&first["data"], &first["dup"]), (&json!(1), &Value::Null));
    assert_eq!((&second["data"], &second["id"], &second["dup"]), (&json!(1), &first["id"], &json!(true)));
    // Once it is acknowledged, the next is a new one.
    socket.send(format!("{{\"ack\":{}}}", first["id"]).as_bytes()).unwrap();
    nc(&hub).words("-N").stdin("{\"pub\":\"t\",\"data\":2,\"qos\":1,\"id\":1}\n").run().success();
    let mut next = receive();
    while next["dup"] == json!(true) && next["data"] == json!(1) {
        next = receive();
    }
    assert_eq!(next["data"], 2);
}

#[test]
fn a_reader_that_is_gone_after_its_input_had_ended_is_forgotten() {
    let hub = Hub::start();
    let mut reader = trefoil_tests::lines::Connection::new(hub.tcp_port());
    reader.send(r#"{"sub":"room/gone","id":1}"#);
    assert_eq!(reader.receive()["ack"], 1);
    assert_eq!(hub.stat("sessions"), 1);
    reader.end_input();
    // What it has not read when it goes makes its system reset the connection.
    nc(&hub).words("-N").stdin("{\"pub\":\"room/gone\",\"data\":1,\"id\":1}\n").run().success();
    drop(reader);
    wait_until("the session of the reader has ended", || hub.stat("sessions") == 0);
}

#[test]
fn blanks_alone_are_not_waited_for() {
    let hub = Hub::start();
    let found = nc(&hub).words("-N").stdin(" ".repeat(1000)).run().success();
    assert!(found.contains("no protocol that is spoken here"), "{found}");
}
