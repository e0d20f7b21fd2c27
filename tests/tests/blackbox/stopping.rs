//! A clean stop: listeners close, clients are told, what waits is sent, the exit code is 0.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use trefoil_tests::{CONFIG, Exchange, Hub, lines, mqtt, wait_until, websocket};

#[test]
fn both_signals_stop_the_hub_and_every_client_is_told() {
    for signal in ["TERM", "INT"] {
        let mut hub = Hub::start();
        let mut mqtt5 = mqtt::Connection::new(hub.tcp_port(), 5, "five");
        let mut mqtt4 = mqtt::Connection::new(hub.tcp_port(), 4, "four");
        let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
        let mut line = lines::Connection::new(hub.tcp_port());
        line.ask(r#"{"ping":1}"#);
        hub.signal(signal);
        // 0x8B: server shutting down.
        assert_eq!(mqtt5.disconnect_reason(), Some(0x8B), "SIG{signal}");
        assert_eq!(mqtt4.stream.rest(), b"");
        // 1001: going away.
        assert_eq!(socket.close_code(), Some(1001));
        assert_eq!(line.receive()["error"]["code"], "unavailable");
        assert_eq!(line.line(), None);
        let port = hub.tcp_port();
        assert_eq!(hub.wait().code(), Some(0), "SIG{signal}: {}", hub.log());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn what_waits_is_sent_before_the_end() {
    let mut hub = Hub::start();
    let mut subscriber = mqtt::Connection::new(hub.tcp_port(), 5, "subscriber");
    subscriber.subscribe("t", 0);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    // More than the sockets' buffers hold, so that most of it waits in the outbox.
    let payload = vec![b'x'; 100_000];
    for _ in 0..100 {
        publisher.publish("t", &payload);
    }
    publisher.ping();
    hub.signal("TERM");
    let (mut messages, mut reason) = (0, None);
    while let Some(packet) = subscriber.try_receive() {
        match packet.first_byte {
            0xE0 => reason = packet.body.first().copied(),
            _ => messages += 1,
        }
    }
    assert_eq!((messages, reason), (100, Some(0x8B)));
    assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
}

#[test]
fn a_client_that_does_not_read_holds_the_stop_up_no_longer_than_the_limit() {
    let mut hub = Hub::with_config(&format!("{}\n[limits]\ndrain_s = 1\n", trefoil_tests::CONFIG));
    let mut deaf = mqtt::Connection::new(hub.tcp_port(), 5, "deaf");
    deaf.subscribe("t", 0);
    let mut publisher = mqtt::Connection::new(hub.tcp_port(), 4, "publisher");
    for _ in 0..100 {
        publisher.publish("t", &[b'x'; 100_000]);
    }
    publisher.ping();
    hub.signal("TERM");
    // The wait has a deadline of its own.
    hub.wait();
}

#[test]
fn a_hub_of_many_shards_stops_while_more_and_more_threads_are_put_to_work() {
    const STOPS: usize = 40;
    const CLIENTS: usize = 8;
    let config = CONFIG.replace("shards = 2", "shards = 8");
    assert_ne!(config, CONFIG);
    for stop in 0..STOPS {
        let mut hub = Hub::with_config(&config);
        let (port, rounds) = (hub.tcp_port(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let mut client = mqtt::Connection::new(port, 5, &format!("client-{number}"));
                client.subscribe("t/#", 0);
                let batch = mqtt::publish_packet(5, &format!("t/{number}"), b"x").repeat(32);
                let rounds = &rounds;
                scope.spawn(move || {
                    // All that anybody sends comes back, until the hub closes.
                    let mut taken = vec![0; 1 << 16];
                    loop {
                        client.offer(&batch);
                        rounds.fetch_add(1, Ordering::Relaxed);
                        if !client.stream.read(&mut taken).is_ok_and(|bytes| bytes > 0) {
                            return;
                        }
                    }
                });
            }
            // At another moment each time: while one thread does the work, while it hands over, or once many do.
            wait_until("there is traffic", || rounds.load(Ordering::Relaxed) >= CLIENTS * 8 * stop);
            hub.signal("TERM");
            // The wait has a deadline of its own.
            assert_eq!(hub.wait().code(), Some(0), "stop {stop}: {}", hub.log());
        });
    }
}
