//! Connections go from the old process to the new one: their clients notice nothing, and everything that was under way
//! goes on where it was.

use std::sync::mpsc::channel;
use trefoil_tests::mqtt::property::{self, id};
use trefoil_tests::mqtt::{Connect, Connection, Message, Will, ack};
use trefoil_tests::{CONFIG, Hub, Program, lines, node_program, python_program, wait_until};

/// With a store, and without one.
const STORES: [&str; 2] = ["sync", "none"];

/// Of the options of a subscription.
const NO_LOCAL: u8 = 4;

fn config(durability: &str) -> String {
    format!("{CONFIG}\n[store]\ndurability = \"{durability}\"\n")
}

/// A client that is connected, with a session that ends with its connection or outlasts it.
fn client(hub: &Hub, version: u8, name: &str, is_lasting: bool) -> Connection {
    let mut request = Connect::new(version, name);
    if is_lasting {
        request = request.resume();
        if version == 5 {
            request = request.session_expiry_s(1000);
        }
    }
    Connection::with(hub.tcp_port(), &request).0
}

fn handed_over(hub: &Hub) -> u64 {
    hub.metric("trefoil_connections_handed_over_total")
}

#[test]
fn everything_under_way_goes_on_where_it_was() {
    for durability in STORES {
        let mut hub = Hub::with_config(&config(durability));
        let mut clients = Vec::new();
        for (version, is_lasting) in [(3, true), (4, false), (4, true), (5, false), (5, true)] {
            let name = format!("{version}-{is_lasting}");
            let topic = format!("t/{name}");
            let mut subscriber = client(&hub, version, &format!("s-{name}"), is_lasting);
            subscriber.subscribe(&topic, 2);
            let mut publisher = client(&hub, version, &format!("p-{name}"), is_lasting);
            // In flight to the subscriber: 1 at QoS 1; 2 at QoS 2, of which it has sent PUBREC; 3 at QoS 2.
            publisher.publish_and_wait(&Message::new(&topic, "1").qos(1, 1));
            publisher.publish_and_wait(&Message::new(&topic, "2").qos(2, 2));
            publisher.publish_and_wait(&Message::new(&topic, "3").qos(2, 3));
            for id in 1..=3 {
                assert_eq!(subscriber.receive_publish().packet_id, id);
            }
            subscriber.send(&ack(0x50, 2));
            assert_eq!(subscriber.receive().ack(0x62).packet_id, 2);
            // In flight from the publisher: 7 at QoS 2 without PUBREL, and half of a packet.
            publisher.send(&Message::new(&topic, "4").qos(2, 7).packet(version));
            assert_eq!(publisher.receive().ack(0x50).packet_id, 7);
            assert_eq!(subscriber.receive_publish().packet_id, 4);
            let last = Message::new(&topic, "5").qos(1, 8).packet(version);
            publisher.send(&last[..5]);
            clients.push((version, topic, subscriber, publisher, last));
        }
        for _ in 0..3 {
            hub.upgrade();
        }
        assert_eq!(handed_over(&hub), 2 * clients.len() as u64, "{}", hub.log());
        for (version, topic, mut subscriber, mut publisher, last) in clients {
            // Nothing has come, and nothing is sent again.
            subscriber.ping();
            // The same id again: it is known, and not published once more.
            let again = Message::new(&topic, "4").qos(2, 7).dup().packet(version);
            publisher.send(&[&last[5..], &again].concat());
            assert_eq!(publisher.receive().ack(0x40).packet_id, 8, "the other half of the packet");
            assert_eq!(publisher.receive().ack(0x50).packet_id, 7);
            publisher.send(&ack(0x62, 7));
            let released = publisher.receive().ack(0x70);
            assert_eq!((released.packet_id, released.reason), (7, 0), "PUBREL finds the id in use");
            // What is acknowledged is known, and no id that is in use is given out again.
            subscriber.send(&ack(0x40, 1));
            subscriber.send(&ack(0x70, 2));
            subscriber.send(&ack(0x50, 3));
            let found = subscriber.receive_publish();
            assert_eq!((found.packet_id, &found.payload[..]), (5, &b"5"[..]));
            let release = subscriber.receive().ack(0x62);
            assert_eq!((release.packet_id, release.reason), (3, 0));
            subscriber.send(&ack(0x70, 3));
            subscriber.send(&ack(0x50, 4));
            assert_eq!(subscriber.receive().ack(0x62).packet_id, 4);
            subscriber.send(&ack(0x70, 4));
            subscriber.send(&ack(0x40, 5));
            publisher.publish_and_wait(&Message::new(&topic, "6").qos(2, 7));
            assert_eq!(subscriber.receive_and_ack().payload, b"6");
            subscriber.leave();
            publisher.leave();
        }
        wait_until("all sessions that end with their connection have ended", || {
            hub.metric("trefoil_sessions") == 6
        });
    }
}

/// Runs a scenario, and lets a new process take over whenever it asks for that.
fn perform(mut hub: Hub, scenario: impl FnOnce(&Hub) -> Program) {
    let program = scenario(&hub);
    let mut stagehand = Connection::new(hub.tcp_port(), 5, "stagehand");
    stagehand.subscribe("stage/#", 0);
    let (say, said) = channel();
    let mut upgrades = 0;
    std::thread::scope(|scope| {
        let mut prompter = Connection::new(hub.tcp_port(), 5, "prompter");
        let mut curtain = Connection::new(hub.tcp_port(), 5, "curtain");
        scope.spawn(move || {
            let outcome = program.run();
            curtain.publish("stage/end", b"");
            say.send(outcome)
        });
        loop {
            match stagehand.receive_publish().topic.as_str() {
                "stage/upgrade" => hub.upgrade(),
                "stage/end" => break,
                _ => continue,
            }
            upgrades += 1;
            prompter.publish("stage/upgraded", b"");
        }
        eprint!("{}", said.recv().expect("the scenario ends").success());
    });
    let log = hub.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(" connections handed over, ")).collect();
    assert!(upgrades > 0 && told.len() == upgrades, "{upgrades} upgrades: {told:?}");
    assert!(told.iter().all(|line| line.ends_with(" connections handed over, 0 closed")), "{told:?}");
}

#[test]
fn hundreds_of_paho_clients_stay_connected() {
    for durability in STORES {
        let hub = Hub::with_config(&config(durability));
        perform(hub, |hub| python_program("handover_scenarios", "many_clients_stay", hub));
    }
}

#[test]
fn hundreds_of_mqttjs_clients_stay_connected_by_tcp_and_websocket() {
    for durability in STORES {
        let hub = Hub::with_config(&config(durability));
        perform(hub, |hub| node_program("handover_scenarios", "manyClientsStay", hub));
    }
}

#[test]
fn sessions_that_are_away_wait_on() {
    perform(Hub::start(), |hub| python_program("handover_scenarios", "sessions_that_are_away_wait_on", hub));
}

/// What MQTT 5 remembers of a connection.
#[test]
fn what_has_been_agreed_on_still_holds() {
    let mut hub = Hub::with_config(&config("sync"));
    let request = Connect::new(5, "small")
        .property(property::number(id::RECEIVE_MAX, 2))
        .property(property::number(id::TOPIC_ALIAS_MAX, 2))
        .property(property::number(id::PACKET_BYTES_MAX, 200));
    let mut small = Connection::with(hub.tcp_port(), &request).0;
    small.subscribe_with(&property::number(id::SUBSCRIPTION_ID, 7), &[("t/#", 1 | NO_LOCAL)]);
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    publisher.send(&Message::new("t/a", "0").qos(1, 1).alias(1).packet(5));
    publisher.receive().ack(0x40);
    let found = small.receive_publish();
    assert_eq!((found.packet_id, found.properties.numbers(id::TOPIC_ALIAS)), (1, vec![1]));
    hub.upgrade();
    // By the alias of before, each way.
    for number in 1..=3 {
        let text = number.to_string();
        publisher.send(&Message::new("", &text).qos(1, 1).alias(1).packet(5));
        publisher.receive().ack(0x40);
    }
    // Longer than it takes; that it does not want, since it is its own; and one below the limit, with a new alias.
    publisher.publish_and_wait(&Message::new("t/a", [b'x'; 300]).qos(1, 1));
    small.send(&Message::new("t/a", "own").packet(5));
    publisher.publish_and_wait(&Message::new("t/b", "4").qos(1, 1));
    publisher.publish_and_wait(&Message::new("t/c", "5").qos(1, 1));
    let expect = |small: &mut Connection, packet_id, topic: &str, alias: &[u32], payload: &str| {
        let found = small.receive_publish();
        assert_eq!((found.packet_id, found.topic.as_str()), (packet_id, topic));
        assert_eq!(found.properties.numbers(id::TOPIC_ALIAS), alias);
        assert_eq!(found.properties.numbers(id::SUBSCRIPTION_ID), [7]);
        assert_eq!(String::from_utf8_lossy(&found.payload), payload);
    };
    expect(&mut small, 2, "", &[1], "1");
    // The window is full: what waits in the hub waits on in the next process.
    small.ping();
    hub.upgrade();
    small.ping();
    small.send(&ack(0x40, 1));
    expect(&mut small, 3, "", &[1], "2");
    small.send(&ack(0x40, 2));
    expect(&mut small, 4, "", &[1], "3");
    small.send(&ack(0x40, 3));
    // What is too long for it took a number.
    expect(&mut small, 6, "t/b", &[2], "4");
    small.send(&ack(0x40, 4));
    expect(&mut small, 7, "t/c", &[], "5");
    assert_eq!(hub.metric("trefoil_deliveries_in_flight"), 2);
    // It was promised as much; what is promised from now on is less, so it has to come anew.
    hub.reconfigure(&format!("{}[limits]\ntopic_alias_max = 1\n", config("sync")));
    hub.upgrade();
    assert_eq!(small.disconnect_reason(), Some(0x8B));
    assert_eq!(hub.metric("trefoil_handover_failures_total"), 2);
}

/// Wills go along and are published once, by whichever process sees the end; the silence of a client is seen as before.
#[test]
fn wills_and_silence_are_the_new_process_s_business() {
    for durability in STORES {
        let mut hub = Hub::with_config(&config(durability));
        let mut watch = Connection::new(hub.tcp_port(), 4, "watch");
        watch.subscribe("will/#", 1);
        let with_will = |name: &str, keep_alive_s| {
            let will = Will::new(format!("will/{name}"), "gone").qos(1);
            let request = Connect::new(4, name).keep_alive_s(keep_alive_s).will(will);
            Connection::with(hub.tcp_port(), &request).0
        };
        let (broken, left, mut silent) =
            (with_will("broken", 0), with_will("left", 0), with_will("silent", 1));
        hub.upgrade();
        hub.upgrade();
        broken.break_off();
        assert_eq!(watch.receive_and_ack().topic, "will/broken");
        left.leave();
        silent.expect_end(0);
        assert_eq!(watch.receive_and_ack().topic, "will/silent");
        watch.ping();
    }
}

/// What a hub has lost it takes for lost, in the new process as in the old one: the will is in the store again.
#[test]
fn the_new_process_keeps_what_is_to_outlast_it() {
    let config = config("sync");
    let mut hub = Hub::with_config(&config);
    let request = Connect::new(4, "lasting").resume().will(Will::new("will", "gone").qos(1));
    let mut lasting = Connection::with(hub.tcp_port(), &request).0;
    lasting.subscribe("t", 1);
    let mut watch = Connection::with(hub.tcp_port(), &Connect::new(4, "watch").resume()).0;
    watch.subscribe("will", 1);
    hub.upgrade();
    let mut publisher = Connection::new(hub.tcp_port(), 4, "publisher");
    publisher.publish_and_wait(&Message::new("t", "kept").qos(1, 1));
    assert_eq!(lasting.receive_publish().packet_id, 1);
    let hub = Hub::resume(hub.leave("KILL"), &config);
    let (mut watch, _) = Connection::with(hub.tcp_port(), &Connect::new(4, "watch").resume());
    assert_eq!(watch.receive_and_ack().payload, b"gone");
    let (mut lasting, answer) = Connection::with(hub.tcp_port(), &Connect::new(4, "lasting").resume());
    assert_eq!(answer.flags, 1, "the session is there");
    let found = lasting.receive_publish();
    assert_eq!((&found.payload[..], found.dup), (&b"kept"[..], true));
}

#[test]
fn members_of_shared_subscriptions_keep_what_they_have() {
    for durability in STORES {
        let mut hub = Hub::with_config(&config(durability));
        let mut members: Vec<_> = (0..4)
            .map(|number| {
                let mut member = client(&hub, 5, &format!("member-{number}"), number % 2 == 0);
                member.subscribe("$share/g/t", 1);
                member
            })
            .collect();
        let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
        for number in 0..8 {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(1, 1));
        }
        let mut found = Vec::new();
        for member in &mut members {
            // In turns, so that each has two of them in flight.
            found.extend((0..2).map(|_| member.receive_publish().payload));
        }
        hub.upgrade();
        for member in &mut members {
            // Nobody else has got it.
            member.ping();
            [1, 2].iter().for_each(|id| member.send(&ack(0x40, *id)));
        }
        for number in 8..16 {
            publisher.publish_and_wait(&Message::new("t", number.to_string()).qos(1, 1));
        }
        for member in &mut members {
            found.extend((0..2).map(|_| member.receive_and_ack().payload));
            member.ping();
        }
        found.sort_by_key(|payload| String::from_utf8_lossy(payload).parse::<usize>().expect("a number"));
        let expected: Vec<Vec<u8>> = (0..16).map(|number| number.to_string().into_bytes()).collect();
        assert_eq!(found, expected);
        wait_until("nothing is in flight", || hub.metric("trefoil_deliveries_in_flight") == 0);
    }
}

/// Two clients with something under way between them.
struct Pair {
    subscriber: Connection,
    publisher: Connection,
}

impl Pair {
    fn new(hub: &Hub) -> Self {
        let mut subscriber = client(hub, 5, "subscriber", true);
        subscriber.subscribe("t", 2);
        let mut publisher = client(hub, 5, "publisher", false);
        publisher.publish_and_wait(&Message::new("t", "1").qos(2, 1));
        assert_eq!(subscriber.receive_publish().packet_id, 1);
        publisher.send(&Message::new("t", "2").qos(2, 2).packet(5));
        publisher.receive().ack(0x50);
        assert_eq!(subscriber.receive_publish().packet_id, 2);
        Pair { subscriber, publisher }
    }

    /// All that was under way comes to its end.
    fn go_on(&mut self) {
        self.subscriber.ping();
        self.publisher.send(&ack(0x62, 2));
        assert_eq!(self.publisher.receive().ack(0x70).reason, 0);
        for id in [1, 2] {
            self.subscriber.send(&ack(0x50, id));
            assert_eq!(self.subscriber.receive().ack(0x62).reason, 0);
            self.subscriber.send(&ack(0x70, id));
        }
        self.publisher.publish_and_wait(&Message::new("t", "3").qos(2, 2));
        assert_eq!(self.subscriber.receive_and_ack().payload, b"3");
    }
}

#[test]
fn a_new_process_that_cannot_open_the_store_gives_the_connections_back() {
    let mut hub = Hub::with_config(&config("sync"));
    let descriptors = hub.at_rest().descriptors;
    let mut pair = Pair::new(&hub);
    // Only who has let go of everything finds out what is wrong with that.
    std::fs::write(hub.folder().join("file"), "no folder").unwrap();
    hub.reconfigure(&format!("{CONFIG}[store]\npath = \"file\"\n"));
    for _ in 0..3 {
        let said = hub.ask_for_upgrade().run().failure(1);
        assert!(said.contains("file"), "{said}");
    }
    assert_eq!(handed_over(&hub), 2, "{}", hub.log());
    pair.go_on();
    hub.reconfigure(&config("sync"));
    hub.upgrade();
    pair.publisher.publish_and_wait(&Message::new("t", "4").qos(1, 1));
    assert_eq!(pair.subscriber.receive_and_ack().payload, b"4");
    pair.subscriber.leave();
    pair.publisher.leave();
    assert_eq!(hub.at_rest().descriptors, descriptors);
}

/// The number of the process that was started last to take over.
fn newest(hub: &Hub) -> u32 {
    let log = hub.log();
    let (_, rest) = log.rsplit_once("upgrading: started process ").expect("one has been started");
    rest.lines().next().and_then(|pid| pid.parse().ok()).expect("its number")
}

fn kill(pid: u32) {
    Program::new("sh").args(["-c", &format!("kill -KILL {pid}")]).run().success();
}

#[test]
fn a_new_process_that_is_killed_before_it_has_the_connections_costs_nothing() {
    let mut hub = Hub::with_config(&format!("{}[limits]\ndrain_s = 2\n", config("sync")));
    let descriptors = hub.at_rest().descriptors;
    let mut pair = Pair::new(&hub);
    // One that does not read, for which the old process waits.
    let mut deaf = Connection::new(hub.tcp_port(), 5, "deaf");
    deaf.subscribe("much", 0);
    for _ in 0..100 {
        pair.publisher.publish("much", &[b'x'; 100_000]);
    }
    pair.publisher.ping();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"ping":1}"#);
    let upgrade = hub.ask_for_upgrade().spawn();
    assert_eq!(line.receive()["error"]["code"], "unavailable", "connections are on their way");
    kill(newest(&hub));
    let said = upgrade.wait().failure(1);
    assert!(said.contains("it ended too early"), "{said}");
    pair.go_on();
    hub.upgrade();
    drop(deaf);
    pair.publisher.publish_and_wait(&Message::new("t", "4").qos(1, 1));
    assert_eq!(pair.subscriber.receive_and_ack().payload, b"4");
    pair.subscriber.leave();
    pair.publisher.leave();
    assert_eq!(hub.at_rest().descriptors, descriptors);
}

#[test]
fn a_new_process_that_is_killed_when_it_has_them_costs_a_reconnect() {
    let mut hub = Hub::with_config(&config("sync"));
    let descriptors = hub.at_rest().descriptors;
    let Pair { mut subscriber, mut publisher } = Pair::new(&hub);
    // Its store cannot be opened as long as nobody reads from what is there.
    let pipe = hub.folder().join("pipes/lock");
    Program::new("mkdir").args([hub.folder().join("pipes")]).run().success();
    Program::new("mkfifo").args([&pipe]).run().success();
    hub.reconfigure(&format!("{CONFIG}[store]\npath = \"pipes\"\n"));
    let upgrade = hub.ask_for_upgrade().spawn();
    wait_until("it has the connections", || hub.log().contains("2 connections handed over, 0 closed"));
    kill(newest(&hub));
    hub.reconfigure(&config("sync"));
    let said = upgrade.wait().failure(1);
    assert!(said.contains("it ended too early"), "{said}");
    for connection in [&mut subscriber, &mut publisher] {
        assert!(connection.try_receive().is_none(), "nobody knows what the other process has done with it");
    }
    let request = Connect::new(5, "subscriber").resume().session_expiry_s(1000);
    let (mut subscriber, answer) = Connection::with(hub.tcp_port(), &request);
    assert_eq!(answer.flags, 1, "the session is there");
    for number in ["1", "2"] {
        let found = subscriber.receive_publish();
        assert_eq!((&found.payload[..], found.dup), (number.as_bytes(), true));
    }
    for id in [1, 2] {
        subscriber.send(&ack(0x50, id));
        assert_eq!(subscriber.receive().ack(0x62).packet_id, id);
        subscriber.send(&ack(0x70, id));
    }
    let mut publisher = client(&hub, 5, "publisher", false);
    hub.upgrade();
    publisher.publish_and_wait(&Message::new("t", "3").qos(2, 1));
    assert_eq!(subscriber.receive_and_ack().payload, b"3");
    subscriber.leave();
    publisher.leave();
    assert_eq!(hub.at_rest().descriptors, descriptors);
}

#[test]
fn what_a_slow_reader_has_not_read_yet_comes_whole_and_in_order() {
    const STEP: usize = 100;
    let mut hub = Hub::with_config(&config("sync"));
    let mut slow = Connection::new(hub.tcp_port(), 4, "slow");
    slow.subscribe("much", 0);
    let mut publisher = Connection::new(hub.tcp_port(), 4, "publisher");
    let (mut sent, mut bytes) = (0, 0);
    // Until its socket takes no more: then the hub has written less than it was to write.
    while bytes == 0 || hub.metric("trefoil_bytes_out_total") > bytes {
        for _ in 0..STEP {
            let payload = format!("{sent:01000}");
            publisher.publish("much", payload.as_bytes());
            (sent, bytes) = (sent + 1, bytes + payload.len() as u64);
        }
        publisher.ping();
    }
    for _ in 0..2 {
        hub.upgrade();
    }
    assert_eq!(hub.log().matches(" 2 connections handed over, 0 closed").count(), 2, "{}", hub.log());
    for number in 0..sent {
        let found = slow.receive_publish();
        assert_eq!(String::from_utf8_lossy(&found.payload).parse(), Ok(number));
    }
    slow.ping();
}

#[test]
fn who_somebody_is_goes_along() {
    let mut hub = Hub::with_users(&[("ann", "secret"), ("bob", "secret")], "");
    let client = |name: &str| {
        let request = Connect::new(5, format!("of-{name}")).user(name).password("secret");
        Connection::with(hub.tcp_port(), &request.session_expiry_s(1000)).0
    };
    let [mut ann, mut bob] = ["ann", "bob"].map(client);
    let port = hub.tcp_port();
    hub.upgrade();
    for client in [&mut ann, &mut bob] {
        client.ping();
    }
    // The session is hers, and nobody else's.
    let (_, answer) = Connection::asking(port, &Connect::new(5, "of-ann").user("bob").password("secret"));
    assert_eq!(answer.map(|answer| answer.code), Some(0x87));
    // A hub that has moved takes nobody.
    let config = std::fs::read_to_string(hub.folder().join("trefoil.toml")).unwrap();
    hub.reconfigure(&format!("{config}\n[mqtt]\nserver_moved = true\nserver_reference = \"elsewhere\"\n"));
    hub.upgrade();
    for client in [&mut ann, &mut bob] {
        client.expect_end(0x8B);
    }
}
