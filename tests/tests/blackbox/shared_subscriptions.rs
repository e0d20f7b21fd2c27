//! Shared subscriptions through the binary: strategies, members that come and go, and that nobody starves.

use trefoil_tests::mqtt::{Connect, Connection, Message, property};
use trefoil_tests::mqtt_sn::Device;
use trefoil_tests::{Hub, wait_until};

const FILTER: &str = "$share/workers/tasks/#";

fn hub(strategy: &str) -> Hub {
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\n";
    Hub::with_config(&format!("shards = 2\n{listener}[shared]\nstrategy = \"{strategy}\"\n"))
}

/// A member whose session waits for it, with a window of `window` messages.
fn worker(hub: &Hub, id: &str, window: u32) -> Connection {
    let properties = [
        property::number(property::id::SESSION_EXPIRY, 600),
        property::number(property::id::RECEIVE_MAX, window),
    ];
    let request = Connect::new(5, id).resume().property(properties.concat());
    let (mut worker, answer) = Connection::with(hub.tcp_port(), &request);
    if answer.flags == 0 {
        worker.subscribe(FILTER, 1);
    }
    worker
}

/// Publishes numbered tasks at QoS 1, as several publishers on several topics.
fn publish(hub: &Hub, publisher: &str, topic: &str, numbers: std::ops::Range<u32>) {
    let mut publisher = Connection::new(hub.tcp_port(), 5, publisher);
    for number in numbers {
        publisher.publish_and_wait(&Message::new(topic, number.to_string().as_bytes()).qos(1, 1));
    }
}

/// Takes what has come to a worker until a ping is answered: all that the hub had for it by then.
fn take(worker: &mut Connection, acknowledge: bool) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        worker.send(&[0xC0, 0]);
        let mut came = false;
        loop {
            let packet = worker.receive();
            if packet.first_byte == 0xD0 {
                break;
            }
            let message = packet.publish();
            if acknowledge {
                worker.send(&trefoil_tests::mqtt::ack(0x40, message.packet_id));
            }
            taken.push(String::from_utf8(message.payload).unwrap());
            came = true;
        }
        // What the acknowledgements made room for comes next.
        if !came || !acknowledge {
            return taken;
        }
    }
}

#[test]
fn in_turn_each_gets_the_same_number() {
    let hub = hub("round_robin");
    let mut workers: Vec<_> = (0..4).map(|n| worker(&hub, &format!("worker-{n}"), 1000)).collect();
    publish(&hub, "publisher", "tasks/a", 0..400);
    let counts: Vec<usize> = workers.iter_mut().map(|w| take(w, true).len()).collect();
    assert_eq!(counts, [100; 4]);
}

/// One member never acknowledges. It gets what fits its window, and the others all the rest.
#[test]
fn who_does_not_work_keeps_nothing_from_the_others() {
    for strategy in ["round_robin", "least_loaded"] {
        let hub = hub(strategy);
        let (mut idle, mut busy) = (worker(&hub, "idle", 5), worker(&hub, "busy", 5));
        let mut done = Vec::new();
        for number in 0..200 {
            publish(&hub, "publisher", "tasks/a", number..number + 1);
            done.extend(take(&mut busy, true));
        }
        let kept = take(&mut idle, false);
        // In turn, one more waits behind the window before the hub sees that the member is behind.
        assert!((1..=5).contains(&kept.len()), "{strategy}: {kept:?}");
        assert!(done.len() >= 194, "{strategy}: {} of 200", done.len());
    }
}

#[test]
fn a_publisher_or_a_topic_stays_with_one_member() {
    for (strategy, by_publisher) in [("sticky", true), ("hash_topic", false)] {
        let hub = hub(strategy);
        let mut workers: Vec<_> = (0..3).map(|n| worker(&hub, &format!("worker-{n}"), 1000)).collect();
        for round in 0..3 {
            for n in 0..12 {
                let (publisher, topic) = if by_publisher { (n, round) } else { (round, n) };
                let (publisher, topic) = (format!("publisher-{publisher}"), format!("tasks/{topic}"));
                publish(&hub, &publisher, &topic, n..n + 1);
            }
        }
        let got: Vec<Vec<String>> = workers.iter_mut().map(|w| take(w, true)).collect();
        assert_eq!(got.iter().map(Vec::len).sum::<usize>(), 36, "{strategy}");
        for n in 0..12 {
            let n = n.to_string();
            let holders = got.iter().filter(|g| g.contains(&n)).count();
            assert_eq!(holders, 1, "{strategy}: messages {n} went to {holders} members: {got:?}");
        }
        assert!(got.iter().filter(|g| !g.is_empty()).count() >= 2, "{strategy}: {got:?}");
    }
}

/// A member breaks off with messages in flight and waiting; another gets all of them, in order.
#[test]
fn what_a_lost_member_had_goes_to_another() {
    let hub = hub("round_robin");
    let lost = worker(&hub, "lost", 10);
    publish(&hub, "publisher", "tasks/a", 0..300);
    lost.break_off();
    let mut other = worker(&hub, "other", 20);
    let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let mut got = Vec::new();
    wait_until("all of them have come", || {
        got.extend(take(&mut other, true));
        got.len() >= expected.len()
    });
    assert_eq!(got, expected);
    let mut back = worker(&hub, "lost", 10);
    assert_eq!(take(&mut back, true), [""; 0]);
}

/// The same for a session that ends with its connection.
#[test]
fn what_an_ended_session_had_goes_to_another() {
    let hub = hub("least_loaded");
    let (mut gone, _) = Connection::with(hub.tcp_port(), &Connect::new(5, "gone"));
    gone.subscribe(FILTER, 1);
    publish(&hub, "publisher", "tasks/a", 0..50);
    let mut other = worker(&hub, "other", 20);
    gone.break_off();
    let mut got = Vec::new();
    wait_until("all of them have come", || {
        got.extend(take(&mut other, true));
        got.len() >= 50
    });
    assert_eq!(got, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// At QoS 0 there is no acknowledgement by which it could be seen that a member has done its work.
#[test]
fn the_least_loaded_may_be_a_small_device_at_qos_0() {
    let sockets = "[[listener]]\nbind = \"127.0.0.1:0\"\n\
                   [[listener]]\nbind = \"udp://127.0.0.1:0\"\nprotocols = [\"mqtt-sn\"]\n";
    let hub = Hub::with_config(&format!("shards = 2\n{sockets}[shared]\nstrategy = \"least_loaded\"\n"));
    let device = Device::connected(hub.port_of("mqtt-sn"), "device");
    device.register("tasks/a");
    device.subscribe(FILTER, 0);
    let mut worker = worker(&hub, "worker", 1000);
    let (mut ones, mut others) = (0, 0);
    for number in 0..100 {
        publish(&hub, "publisher", "tasks/a", number..number + 1);
        others += take(&mut worker, true).len();
        while device.try_receive_now().is_some() {
            ones += 1;
        }
    }
    assert!(ones >= 25 && others >= 25, "{ones} and {others}");
}
