//! Retained messages in large numbers, and limits on those below a filter.

use trefoil_tests::mqtt::{Connect, Connection, Message, VERSIONS, property};
use trefoil_tests::{CONFIG, Hub, wait_until};

/// Retained on `a/N/c` and `a/N/d`.
const MESSAGES: usize = 50_000;

fn fill(hub: &Hub) {
    let mut publisher = Connection::new(hub.tcp_port(), 5, "filler");
    for chunk in 0..MESSAGES / 1000 {
        let packets: Vec<Vec<u8>> = (chunk * 1000..(chunk + 1) * 1000)
            .map(|n| {
                let topic = format!("a/{}/{}", n / 2, if n % 2 == 0 { "c" } else { "d" });
                Message::new(&topic, n.to_string().as_bytes()).retain().packet(5)
            })
            .collect();
        publisher.send(&packets.concat());
        publisher.ping();
    }
}

/// Subscribes and takes messages until `count` have come and nothing follows.
fn fetch(client: &mut Connection, filter: &str, qos: u8, count: usize) -> Vec<String> {
    client.subscribe(filter, qos);
    let mut topics: Vec<String> = (0..count)
        .map(|_| {
            let message = client.receive_and_ack();
            assert!(message.retain);
            message.topic
        })
        .collect();
    client.ping();
    topics.sort();
    topics
}

#[test]
fn large_ones_reach_whoever_reads_at_every_qos() {
    const COUNT: usize = 200;
    // Many times what the outbox holds, and the socket with it.
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\noutbox_bytes_max = \"256 KiB\"\n"));
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for n in 0..COUNT {
        let message = Message::new(format!("r/{n}"), format!("{n:060000}"));
        publisher.publish_and_wait(&message.retain().qos(1, 1));
    }
    for version in VERSIONS {
        for qos in 0..=2 {
            let mut reader = Connection::new(hub.tcp_port(), version, "reader");
            reader.subscribe("r/#", qos);
            let mut got: Vec<usize> = (0..COUNT)
                .map(|_| String::from_utf8(reader.receive_and_ack().payload).unwrap().parse().unwrap())
                .collect();
            got.sort();
            assert!(got.into_iter().eq(0..COUNT), "version {version}, QoS {qos}");
        }
    }
    assert_eq!(hub.metric("trefoil_dropped_total{reason=\"outbox_full\"}"), 0);
}

#[test]
fn filters_find_exactly_what_matches() {
    let hub = Hub::start();
    fill(&hub);
    let topics = |ends: &[&str]| {
        let mut all: Vec<String> =
            (0..MESSAGES / 2).flat_map(|n| ends.iter().map(move |end| format!("a/{n}/{end}"))).collect();
        all.sort();
        all
    };
    for (filter, qos, expected) in [
        ("#", 0, topics(&["c", "d"])),
        ("a/+/c", 0, topics(&["c"])),
        ("a/+/c", 1, topics(&["c"])),
        ("a/77/d", 1, vec!["a/77/d".to_string()]),
        ("+/+/+/+", 0, Vec::new()),
        ("a/+/e", 0, Vec::new()),
    ] {
        // A small window sets the pace at QoS 1.
        let request = Connect::new(5, "reader").property(property::number(property::id::RECEIVE_MAX, 7));
        let (mut reader, _) = Connection::with(hub.tcp_port(), &request);
        assert_eq!(fetch(&mut reader, filter, qos, expected.len()), expected, "{filter}");
    }
}

/// While one fetches everything and another looks for what is not there, a ping on the same shard is answered in
/// between: before the end of the large set, on a connection that does not read it.
#[test]
fn a_large_set_keeps_nobody_waiting() {
    let hub = Hub::with_config("shards = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\n");
    fill(&hub);
    let mut readers: Vec<_> =
        (0..8).map(|n| Connection::new(hub.tcp_port(), 5, &format!("reader-{n}"))).collect();
    let mut other = Connection::new(hub.tcp_port(), 5, "other");
    for reader in &mut readers {
        reader.send(&trefoil_tests::mqtt::subscribe_packet(5, "#", 0));
    }
    other.ping();
    other.subscribe("a/1/c", 0);
    assert_eq!(other.receive_publish().topic, "a/1/c");
    for reader in &mut readers {
        assert_eq!(reader.receive().first_byte, 0x90);
        for _ in 0..MESSAGES {
            reader.receive_publish();
        }
        reader.ping();
    }
}

#[test]
fn the_oldest_below_a_filter_give_way() {
    let hub = Hub::with_config(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[retained]]\nfilter = \"trace/#\"\nmessages_max = 3\n",
    );
    let mut publisher = Connection::new(hub.tcp_port(), 5, "publisher");
    for topic in ["trace/1", "state/1", "trace/2", "trace/3", "trace/1", "trace/4", "trace/5"] {
        publisher.publish_and_wait(&Message::new(topic, b"x").retain().qos(1, 1));
    }
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    assert_eq!(fetch(&mut reader, "#", 0, 4), ["state/1", "trace/1", "trace/4", "trace/5"]);
    wait_until("evictions are counted", || {
        let page = trefoil_tests::Program::new("curl")
            .args(["-sSf", &format!("http://127.0.0.1:{}/metrics", hub.tcp_port())])
            .run()
            .success();
        page.contains("trefoil_retained_evicted_total 2")
    });
}
