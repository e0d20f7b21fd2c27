//! Floods: connections, messages, and readers that do not read. Others are served all the while.

use std::io::Write;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;
use trefoil_tests::{Bystander, CONFIG, Hub, binary, connect, lines, mqtt, wait_until, websocket};

#[test]
fn a_thousand_connections_that_come_and_go() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    for round in 0..10 {
        let mut crowd = Vec::new();
        for number in 0..100 {
            let mut stream = connect(hub.tcp_port());
            let bytes = match number % 4 {
                0 => mqtt::connect_packet(5, &format!("crowd-{round}-{number}"), &[]),
                1 => b"{\"sub\":\"#\"}\n".to_vec(),
                2 => websocket::handshake("/ws", ""),
                _ => b"nonsense\r\n".to_vec(),
            };
            stream.write_all(&bytes).unwrap();
            crowd.push(stream);
        }
        bystander.still_served();
    }
    bystander.unharmed();
}

#[test]
fn a_publisher_that_never_stops() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    let mut flooder = mqtt::Connection::new(hub.tcp_port(), 4, "flooder");
    let batch = mqtt::publish_packet(4, "flood", &[b'x'; 200]).repeat(1000);
    for _ in 0..200 {
        flooder.send(&batch);
    }
    bystander.still_served();
    flooder.ping();
    bystander.unharmed();
}

#[test]
fn a_reader_that_does_not_read_hurts_only_itself() {
    let limits = "[limits]\noutbox_bytes_max = \"1 MiB\"\noutbox_messages_max = 10000\n";
    let hub = Hub::with_config(&format!("{}\n{limits}", trefoil_tests::CONFIG));
    let bystander = Bystander::start(&hub);
    let mut deaf = mqtt::Connection::new(hub.tcp_port(), 4, "deaf");
    deaf.subscribe("flood", 0);
    let mut hearing = lines::Connection::new(hub.tcp_port());
    hearing.ask(r#"{"sub":"end"}"#);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    let batch = mqtt::publish_packet(4, "flood", &[b'x'; 1000]).repeat(100);
    wait_until("deliveries to the deaf reader are dropped and counted", || {
        publisher.send(&batch);
        hub.stat("dropped") > 0
    });
    publisher.publish("end", b"end");
    assert_eq!(hearing.receive()["data"], "end");
    bystander.unharmed();
}

#[test]
fn requests_without_end() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    // Pings whose answers are not read: the hub stops reading before it has to keep them all.
    let stream = connect(hub.tcp_port());
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let batch = b"{\"ping\":\"and another one\"}\n".repeat(1000);
    let mut sent = 0;
    // The end is when nothing more is taken for a while, or a bound that the hub could hold as well.
    while sent < 400_000_000 && (&stream).write_all(&batch).is_ok() {
        sent += batch.len();
    }
    bystander.unharmed();
    let kept = hub.resident_bytes();
    assert!(kept < 300_000_000, "the hub holds {kept} bytes");
}

#[test]
fn datagrams_from_everywhere() {
    let hub = Hub::start();
    let bystander = Bystander::start(&hub);
    for number in 0..2000 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let text: &[u8] = if number % 2 == 0 { br#"{"sub":"t/#"}"# } else { &[number as u8; 200] };
        socket.send_to(text, ("127.0.0.1", hub.udp_port())).unwrap();
    }
    bystander.unharmed();
}

#[test]
fn a_low_limit_of_descriptors_is_raised_as_far_as_the_system_allows() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 64 && exec \"$@\"", "sh"]).arg(binary());
    let hub = Hub::launch(tempfile::tempdir().unwrap(), CONFIG, command);
    let mut clients: Vec<_> = (0..200).map(|_| lines::Connection::new(hub.tcp_port())).collect();
    for client in &mut clients {
        assert!(client.ask(r#"{"ping":1}"#)["pong"].is_u64());
    }
}

/// The store needs a descriptor whenever it begins a file.
#[test]
fn connections_leave_descriptors_to_the_store() {
    const MESSAGES: u16 = 80;
    let config =
        format!("{CONFIG}\n[limits]\nfirst_bytes_timeout_s = 600\nsession_queue_bytes_max = \"1 GiB\"\n");
    let mut command = Command::new("prlimit");
    command.arg("--nofile=128").arg(binary());
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::launch(folder, &config, command);
    let kept = mqtt::Connect::new(5, "kept").resume().session_expiry_s(3600);
    let (mut reader, _) = mqtt::Connection::with(hub.tcp_port(), &kept);
    reader.subscribe("kept", 1);
    reader.leave();
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 5, "publisher");
    let crowd: Vec<_> = (0..200).map(|_| connect(hub.tcp_port())).collect();
    wait_until("no more connections are accepted", || hub.log().contains("cannot accept connections"));
    // More than one file of the store takes.
    for id in 1..=MESSAGES {
        publisher.publish_and_wait(&mqtt::Message::new("kept", vec![b'x'; 1_000_000]).qos(1, id));
    }
    drop(crowd);
    let (mut reader, answer) = mqtt::Connection::with(hub.tcp_port(), &kept);
    assert_eq!(answer.flags, 1, "a session is present");
    assert!(hub.metric("trefoil_store_segments ") > 1, "the store is in one file still");
    for _ in 0..MESSAGES {
        assert_eq!(reader.receive_and_ack().payload.len(), 1_000_000);
    }
    assert_eq!(hub.metric("trefoil_store_failures_total"), 0);
}
