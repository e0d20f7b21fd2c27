//! What goes beyond the protocols: delayed messages, topics that change, automatic and exclusive subscriptions.

use serde_json::{Value, json};
use std::collections::HashMap;
use trefoil_tests::mqtt::property::id::{PACKET_BYTES_MAX, REASON_STRING, SERVER_REFERENCE};
use trefoil_tests::mqtt::property::number;
use trefoil_tests::mqtt::{Connect, Connection, Message, Will};
use trefoil_tests::mqtt_sn::{Device, kind};
use trefoil_tests::{CONFIG, Hub, Program, lines};

fn hub(more: &str) -> Hub {
    Hub::with_config(&format!("{CONFIG}\n{more}"))
}

fn mosquitto(program: &str, hub: &Hub, arguments: &str) -> Program {
    Program::new(program).args(["-h", "127.0.0.1", "-p", &hub.tcp_port().to_string()]).words(arguments)
}

/// Body and status of what `POST /api/v1/publish` answers.
fn post(hub: &Hub, body: &str) -> (Value, u16) {
    let url = format!("http://127.0.0.1:{}/api/v1/publish", hub.http_port());
    let text = Program::new("curl").args(["-sS", "-w", "\n%{http_code}", "-d", body, &url]).run().success();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (serde_json::from_str(body).unwrap(), status.parse().unwrap())
}

/// Topic, payload, QoS and retain flag of the next message.
fn next(client: &mut Connection) -> (String, String, u8, bool) {
    let message = client.receive_and_ack();
    (message.topic, String::from_utf8(message.payload).unwrap(), message.qos, message.retain)
}

const DELAYED: &str = "[delayed]\nenabled = true\ndelay_s_max = \"1 h\"\nmessages_max = 5\n";

#[test]
fn a_delayed_message_of_each_kind_of_client_comes_after_those_that_wait_for_nothing() {
    let hub = hub(DELAYED);
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("t/#", 1);
    let mut exact = Connection::new(hub.tcp_port(), 4, "exact");
    exact.subscribe("t/mqtt5", 2);
    mosquitto("mosquitto_pub", &hub, "-V mqttv311 -q 0 -t $delayed/2/t/mqtt3 -m 0").run().success();
    mosquitto("mosquitto_pub", &hub, "-V mqttv5 -q 2 -t $delayed/2/t/mqtt5 -m 2").run().success();
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"pub":"$delayed/2/t/json","data":"1","qos":1,"id":1}"#), json!({"ack": 1}));
    assert_eq!(line.ask(r#"{"pub":"$delayed/2/t/json0","data":"0","id":2}"#), json!({"ack": 2}));
    let (answer, status) = post(&hub, r#"{"topic":"$delayed/2/t/http","data":"1","qos":1,"retain":true}"#);
    assert_eq!((status, &answer["accepted"]), (200, &json!(true)));
    assert_eq!(line.ask(r#"{"pub":"t/now","data":"now","id":3}"#), json!({"ack": 3}));
    assert_eq!(next(&mut reader), ("t/now".into(), "now".into(), 0, false));
    let mut late: Vec<_> = (0..5).map(|_| next(&mut reader)).collect();
    late.sort();
    let came = |topic: &str, payload: &str, qos| (format!("t/{topic}"), payload.to_owned(), qos, false);
    assert_eq!(
        late,
        [
            came("http", "1", 1),
            came("json", "1", 1),
            came("json0", "0", 0),
            came("mqtt3", "0", 0),
            came("mqtt5", "2", 1)
        ]
    );
    assert_eq!(next(&mut exact), came("mqtt5", "2", 2));
    // The retain flag has held since then.
    reader.subscribe("t/http", 0);
    assert_eq!(next(&mut reader), ("t/http".into(), "1".into(), 0, true));
}

#[test]
fn a_delay_that_cannot_be_is_refused_in_the_words_of_each_protocol() {
    let hub = hub(DELAYED);
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    let mut line = lines::Connection::new(hub.tcp_port());
    let mut refused = |topic: &str| {
        client.send(&Message::new(topic, "x").qos(1, 1).packet(5));
        let puback = client.receive().ack(0x40);
        client.send(&Message::new(topic, "x").qos(2, 2).packet(5));
        assert_eq!(client.receive().ack(0x50).reason, puback.reason);
        let error = line.ask(format!(r#"{{"pub":"{topic}","data":"x","id":9}}"#));
        let (answer, status) = post(&hub, &format!(r#"{{"topic":"{topic}","data":"x"}}"#));
        let reason = puback.properties.text(REASON_STRING).unwrap();
        assert_eq!((&error["error"]["reason"], &error["id"]), (&json!(reason), &json!(9)));
        assert_eq!(answer["error"]["reason"], json!(reason));
        let code = error["error"]["code"].as_str().unwrap().to_owned();
        assert_eq!(answer["error"]["code"], json!(code));
        (puback.reason, code, status)
    };
    assert_eq!(refused("$delayed/soon/t"), (0x90, "bad_topic".into(), 400));
    assert_eq!(refused("$delayed/5"), (0x90, "bad_topic".into(), 400));
    assert_eq!(refused("$delayed/3601/t"), (0x90, "bad_topic".into(), 400));
    assert_eq!(refused("$delayed/1/$delayed/1/t"), (0x90, "bad_topic".into(), 400));
    assert_eq!(refused("$delayed/1/$SYS/t"), (0x87, "not_authorized".into(), 403));
    for number in 0..5 {
        let (_, status) = post(&hub, &format!(r#"{{"topic":"$delayed/3600/t/{number}","data":1}}"#));
        assert_eq!(status, 200);
    }
    assert_eq!(refused("$delayed/3600/t"), (0x97, "quota".into(), 507));
    // MQTT 3 cannot say no, and a client that wants no words gets none.
    let mut old = Connection::new(hub.tcp_port(), 4, "old");
    old.publish_and_wait(&Message::new("$delayed/3600/t", "x").qos(1, 1));
    let silent = Connect::new(5, "silent").property([0x17, 0]);
    let mut silent = Connection::with(hub.tcp_port(), &silent).0;
    silent.send(&Message::new("$delayed/3600/t", "x").qos(1, 1).packet(5));
    let answer = silent.receive().ack(0x40);
    assert_eq!((answer.reason, answer.properties.is_empty()), (0x97, true));
}

#[test]
fn topics_change_for_every_kind_of_client() {
    let hub = hub(r#"
        [[rewrite]]
        filter = "old/#"
        pattern = "^old/(.+)$"
        topic = "new/$1"
        [[rewrite]]
        filter = "me/#"
        pattern = "^me/(.+)$"
        topic = "clients/%c/%u/$1"
        on = ["publish"]
        [[rewrite]]
        filter = "bad"
        pattern = "bad"
        topic = "a/#"
        "#);
    let mut reader = Connection::new(hub.tcp_port(), 4, "reader");
    reader.subscribe("old/#", 1);
    reader.subscribe("clients/#", 0);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in [0, 1] {
            mosquitto("mosquitto_pub", &hub, &format!("-V {version} -q {qos} -t old/{version} -m x"))
                .run()
                .success();
            assert_eq!(next(&mut reader), (format!("new/{version}"), "x".into(), qos, false));
        }
    }
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"sub":"old/+","id":1}"#), json!({"sub": "old/+", "qos": 0, "ack": 1}));
    for publish in [r#"{"pub":"old/json","data":"x"}"#, r#"{"pub":"new/json","data":"x"}"#] {
        assert_eq!(line.ask(publish), json!({"topic": "new/json", "data": "x"}));
        assert_eq!(next(&mut reader).0, "new/json");
    }
    assert_eq!(post(&hub, r#"{"topic":"old/http","data":"x"}"#).1, 200);
    assert_eq!(next(&mut reader).0, "new/http");
    assert_eq!(line.receive()["topic"], "new/http");
    mosquitto("mosquitto_pub", &hub, "-i c1 -u ann -P x -t me/seen -m x").run().success();
    assert_eq!(next(&mut reader).0, "clients/c1/ann/seen");
    // A will is a message like any other.
    let will = Connect::new(4, "dying").user("bob").will(Will::new("me/gone", "x"));
    Connection::with(hub.tcp_port(), &will).0.break_off();
    assert_eq!(next(&mut reader).0, "clients/dying/bob/gone");
    // What a rule makes must be a topic.
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.send(&Message::new("bad", "x").qos(1, 1).packet(5));
    assert_eq!(client.receive().ack(0x40).reason, 0x90);
    assert_eq!(line.ask(r#"{"pub":"bad","data":"x"}"#)["error"]["code"], "bad_topic");
    assert_eq!(post(&hub, r#"{"topic":"bad","data":"x"}"#).1, 400);
    // Unsubscribing goes the way of subscribing.
    client.subscribe("old/#", 0);
    client.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &["new/#", "new/#"]));
    assert_eq!(client.receive().suback().codes, [0, 0x11]);
}

#[test]
fn who_connects_is_subscribed_without_asking() {
    let hub = hub(r#"
        [[subscribe]]
        filter = "to/{client_id}/#"
        qos = 1
        protocols = ["mqtt"]
        [[subscribe]]
        filter = "users/{user_name}"
        [[subscribe]]
        filter = "all"
        retain_handling = 1
        "#);
    let publish = |topic: &str, more: &str| {
        mosquitto("mosquitto_pub", &hub, &format!("-q 1 -t {topic} -m {topic} {more}")).run().success();
    };
    publish("all", "-r");
    publish("to/lamp/color", "-r");
    let request = Connect::new(5, "lamp").user("ann").session_expiry_s(100).resume();
    let (mut lamp, _) = Connection::with(hub.tcp_port(), &request);
    let mut first = [next(&mut lamp), next(&mut lamp)];
    first.sort();
    let kept = |topic: &str, qos| (topic.to_owned(), topic.to_owned(), qos, true);
    assert_eq!(first, [kept("all", 0), kept("to/lamp/color", 1)]);
    publish("users/ann", "");
    assert_eq!(next(&mut lamp).0, "users/ann");
    // The session keeps what was subscribed for it, and what was missed comes with it.
    lamp.leave();
    publish("to/lamp/on", "");
    let (mut lamp, answer) = Connection::with(hub.tcp_port(), &request);
    assert_eq!(answer.flags, 1);
    assert_eq!(next(&mut lamp).0, "to/lamp/on");
    assert_eq!(next(&mut lamp), kept("to/lamp/color", 1));
    lamp.ping();
    // One of the JSON protocol gets what is for all protocols, and of that nothing for which it has no name.
    let mut line = lines::Connection::new(hub.tcp_port());
    let kept = json!({"topic": "all", "data": "all", "retain": true});
    assert_eq!(line.ask(r#"{"ping":1}"#), kept);
    assert_eq!(line.receive(), json!({"pong": 1}));
}

#[test]
fn an_exclusive_subscription_is_for_one_at_a_time() {
    let hub = hub("[exclusive]\nenabled = true\n");
    let mut first = Connection::new(hub.tcp_port(), 5, "first");
    let mut second = Connection::new(hub.tcp_port(), 5, "second");
    let mut line = lines::Connection::new(hub.tcp_port());
    let asking = |client: &mut Connection| {
        let answer = client.subscribe_with(&[], &[("$exclusive/job", 1)]);
        let words = answer.properties.text(REASON_STRING).map(str::to_owned);
        (answer.codes, words)
    };
    assert_eq!(asking(&mut first), (vec![1], None));
    let taken = "\"$exclusive/job\": another session has this exclusive subscription";
    assert_eq!(asking(&mut second), (vec![0x97], Some(taken.into())));
    assert_eq!(line.ask(r#"{"sub":"$exclusive/job","id":1}"#)["error"]["code"], "quota");
    // It is for messages to the topic without the name in front, and others may listen to that.
    second.subscribe("job", 0);
    mosquitto("mosquitto_pub", &hub, "-t job -m x -q 1").run().success();
    assert_eq!((next(&mut first).0, next(&mut second).0), ("job".into(), "job".into()));
    first.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &["$exclusive/job"]));
    assert_eq!(first.receive().suback().codes, [0]);
    assert_eq!(line.ask(r#"{"sub":"$exclusive/job","id":2}"#)["ack"], 2);
    assert_eq!(asking(&mut first).0, [0x97]);
    assert_eq!(line.ask(r#"{"unsub":"$exclusive/job","id":3}"#)["ack"], 3);
    assert_eq!(asking(&mut first).0, [1]);
    first.break_off();
    second.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &["job"]));
    assert_eq!(second.receive().suback().codes, [0]);
    assert_eq!(asking(&mut second).0, [1]);
}

#[test]
fn a_filter_that_a_session_has_one_way_is_refused_the_other_way() {
    let hub = hub(
        "[exclusive]\nenabled = true\n[[listener]]\nbind = \"udp://127.0.0.1:0\"\nprotocols = [\"mqtt-sn\"]\n",
    );
    for (has, asks, how) in [("$exclusive/job", "job", ""), ("job", "$exclusive/job", "not ")] {
        let words =
            format!("the session has this subscription already, {how}exclusively; unsubscribe it first");
        let mut client = Connection::new(hub.tcp_port(), 5, "client");
        client.subscribe(has, 1);
        let answer = client.subscribe_with(&[], &[(asks, 0), ("other", 0)]);
        assert_eq!(answer.codes, [0x8F, 0]);
        assert_eq!(answer.properties.text(REASON_STRING), Some(&*format!("\"{asks}\": {words}")));
        // What it has is as it was.
        client.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &[asks]));
        assert_eq!(client.receive().suback().codes, [0x11]);
        mosquitto("mosquitto_pub", &hub, "-t job -m x -q 1").run().success();
        assert_eq!(next(&mut client), ("job".into(), "x".into(), 1, false));
        client.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &[has]));
        assert_eq!(client.receive().suback().codes, [0]);
        assert_eq!(client.subscribe_with(&[], &[(asks, 0)]).codes, [0]);
        client.send(&trefoil_tests::mqtt::unsubscribe_with(5, 1, &[], &[asks]));
        assert_eq!(client.receive().suback().codes, [0]);
        let mut line = lines::Connection::new(hub.tcp_port());
        assert_eq!(line.ask(format!(r#"{{"sub":"{has}","id":1}}"#))["ack"], 1);
        let error = line.ask(format!(r#"{{"sub":"{asks}","id":2}}"#));
        assert_eq!(
            (&error["error"]["code"], &error["error"]["reason"]),
            (&json!("bad_topic"), &json!(words))
        );
        assert_eq!(line.ask(format!(r#"{{"unsub":"{has}","id":3}}"#))["ack"], 3);
        let device = Device::connected(hub.port_of("mqtt-sn"), "device");
        device.subscribe(has, 1);
        let (answer, body) = device.ask(kind::SUBSCRIBE, &[&[0x20, 0, 8][..], asks.as_bytes()].concat());
        assert_eq!((answer, body.last()), (kind::SUBACK, Some(&3)));
        device.ask(kind::UNSUBSCRIBE, &[&[0, 0, 9][..], has.as_bytes()].concat());
    }
}

#[test]
fn without_being_set_to_the_hub_has_no_exclusive_subscriptions_and_delays_nothing() {
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    let answer = client.subscribe_with(&[], &[("$exclusive/job", 0), ("$delayed/#", 0)]);
    assert_eq!(answer.codes, [0x8F, 0]);
    let words = "\"$exclusive/job\": this hub has no exclusive subscriptions (exclusive.enabled)";
    assert_eq!(answer.properties.text(REASON_STRING), Some(words));
    client.publish("$delayed/1000/t", b"x");
    assert_eq!(next(&mut client).0, "$delayed/1000/t");
}

const REFERENCE: &str = "[mqtt]\nserver_reference = \"other.example:1883 [::1]:1883\"\n";

#[test]
fn clients_of_a_hub_that_stops_are_told_of_another() {
    let mut hub = hub(REFERENCE);
    let mut five = Connection::new(hub.tcp_port(), 5, "five");
    // One that takes no packet that long is told less.
    let small = Connect::new(5, "small").property(number(PACKET_BYTES_MAX, 28));
    let mut small = Connection::with(hub.tcp_port(), &small).0;
    let mut four = Connection::new(hub.tcp_port(), 4, "four");
    hub.signal("TERM");
    let goodbye = five.ending().unwrap();
    assert_eq!(goodbye.reason, 0x9C);
    assert_eq!(goodbye.properties.text(SERVER_REFERENCE), Some("other.example:1883 [::1]:1883"));
    assert_eq!(small.ending().unwrap().reason, 0x8B);
    assert_eq!(four.ending(), None);
    hub.wait();
}

#[test]
fn who_finds_no_room_is_told_of_another_server() {
    let hub = hub(&format!("{REFERENCE}[limits]\nsessions_max = 1\n"));
    let _first = Connection::new(hub.tcp_port(), 5, "first");
    trefoil_tests::wait_until("the session is counted", || hub.stat("sessions") == 1);
    let ask = |version| Connection::asking(hub.tcp_port(), &Connect::new(version, "second")).1.unwrap();
    let answer = ask(5);
    assert_eq!(
        (answer.code, answer.properties.text(SERVER_REFERENCE)),
        (0x9C, Some("other.example:1883 [::1]:1883"))
    );
    // Before MQTT 5: server unavailable.
    assert_eq!(ask(4).code, 3);
}

#[test]
fn clients_of_a_hub_that_has_moved_are_sent_away_for_good() {
    let hub = hub(&format!("{REFERENCE}server_moved = true\n"));
    let ask = |version| Connection::asking(hub.tcp_port(), &Connect::new(version, "client"));
    let (mut connection, answer) = ask(5);
    let answer = answer.unwrap();
    assert_eq!(
        (answer.code, answer.properties.text(SERVER_REFERENCE)),
        (0x9D, Some("other.example:1883 [::1]:1883"))
    );
    assert_eq!(connection.try_receive(), None);
    for version in [3, 4] {
        assert_eq!(ask(version).1.unwrap().code, 3);
    }
}

/// What the tree says to who asks now, as soon as it says what is `wanted` and that messages came.
fn tree(hub: &Hub, wanted: &[(&str, &str)]) -> HashMap<String, String> {
    let mut reader = Connection::new(hub.tcp_port(), 4, "reader of the tree");
    reader.subscribe("$SYS/broker/#", 0);
    let mut said = HashMap::new();
    let says = |said: &HashMap<String, String>, (name, text): &(&str, &str)| {
        said.get(*name).is_some_and(|said| said == text)
    };
    // The loads come last.
    let has_load = |said: &HashMap<String, String>| {
        said.get("load/publish/received/1min").is_some_and(|text| text != "0.00")
    };
    while !wanted.iter().all(|wanted| says(&said, wanted)) || !has_load(&said) {
        assert!(said.get("uptime").is_none_or(|text| text != "60 seconds"), "{wanted:?} of {said:?}");
        let (topic, text, _, _) = next(&mut reader);
        said.insert(topic.strip_prefix("$SYS/broker/").unwrap().to_owned(), text);
    }
    said
}

/// Every topic that mosquitto's manual lists, those of bridges and of its memory excepted.
const TREE: [&str; 26] = [
    "bytes/received",
    "bytes/sent",
    "clients/active",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/inactive",
    "clients/maximum",
    "clients/total",
    "messages/inflight",
    "messages/received",
    "messages/sent",
    "messages/stored",
    "publish/bytes/received",
    "publish/bytes/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "shared_subscriptions/count",
    "store/messages/bytes",
    "store/messages/count",
    "subscriptions/count",
    "uptime",
    "version",
    "load/publish/received/1min",
];

#[test]
fn the_tree_of_figures_is_there_at_once_and_follows_what_happens() {
    let hub = hub("[sys]\ninterval_s = 1\n");
    let mut sleeper = Connection::new(hub.tcp_port(), 4, "sleeper");
    sleeper.subscribe("t", 1);
    let lasting = Connect::new(5, "away").session_expiry_s(1000);
    let mut away = Connection::with(hub.tcp_port(), &lasting).0;
    away.subscribe_with(&[], &[("t", 1), ("$share/g/t", 1)]);
    away.leave();
    mosquitto("mosquitto_pub", &hub, "-q 1 -t t -m 12345").run().success();
    mosquitto("mosquitto_pub", &hub, "-q 0 -r -t kept -m 1234567").run().success();
    let wanted = [
        ("publish/messages/received", "2"),
        ("publish/bytes/received", "12"),
        ("messages/inflight", "1"),
        ("messages/stored", "4"),
        ("store/messages/count", "4"),
        ("retained messages/count", "1"),
        ("subscriptions/count", "3"),
        ("shared_subscriptions/count", "1"),
        ("clients/connected", "2"),
        ("clients/disconnected", "1"),
        ("clients/inactive", "1"),
    ];
    let said = tree(&hub, &wanted);
    for name in TREE {
        assert!(said.contains_key(name), "{name} is missing of {said:?}");
    }
    let loads = said.keys().filter(|name| name.starts_with("load/")).count();
    assert_eq!(loads, 27, "{said:?}");
    assert!(said["version"].starts_with("trefoil version "));
    assert!(said["uptime"].ends_with(" seconds"));
    assert_ne!(said["messages/received"], "0");
    // It is none of the clients', and nobody else may write into it.
    let mut client = Connection::new(hub.tcp_port(), 5, "client");
    client.subscribe("#", 0);
    assert_eq!(next(&mut client).0, "kept");
    client.ping();
    assert_eq!(hub.stat("retained"), 1);
}

#[test]
fn the_tree_says_again_only_what_has_changed() {
    let hub = hub("[sys]\ninterval_s = 1\n");
    let mut reader = Connection::new(hub.tcp_port(), 4, "reader");
    let filters = [("$SYS/broker/version", 0), ("$SYS/broker/uptime", 0)];
    assert_eq!(reader.subscribe_with(&[], &filters).codes, [0, 0]);
    let mut said = Vec::new();
    while said.iter().filter(|topic: &&String| topic.ends_with("uptime")).count() < 3 {
        said.push(next(&mut reader).0);
    }
    assert_eq!(said.iter().filter(|topic| topic.ends_with("version")).count(), 1, "{said:?}");
}

#[test]
fn without_an_interval_there_is_no_tree() {
    let hub = hub("[sys]\ninterval_s = 0\n");
    let mut reader = Connection::new(hub.tcp_port(), 4, "reader");
    reader.subscribe("$SYS/#", 0);
    // Those of the hub's own figures come every second, and nothing comes before them.
    assert_eq!(next(&mut reader).0, "$SYS/trefoil/stats");
    assert_eq!(next(&mut reader).0, "$SYS/trefoil/stats");
}

#[test]
fn the_examples_of_the_page_do_what_it_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/extensions.md");
    let page = std::fs::read_to_string(path).unwrap();
    let parts: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(parts.len(), 6, "one for each extension");
    let hub = hub(&parts.concat());
    let mut reader = Connection::new(hub.tcp_port(), 5, "lamp");
    for filter in ["site/#", "clients/#", "heating/#", "$exclusive/jobs/print"] {
        reader.subscribe(filter, 0);
    }
    for (arguments, came) in [
        ("-t devices/7/temp", "site/7/sensors/temp"),
        ("-i other -t me/state", "clients/other/state"),
        ("-t to/lamp/color", "to/lamp/color"),
        ("-t news", "news"),
        ("-t jobs/print", "jobs/print"),
        ("-t $delayed/0/heating/boost", "heating/boost"),
    ] {
        mosquitto("mosquitto_pub", &hub, &format!("-m x {arguments}")).run().success();
        assert_eq!(next(&mut reader).0, came);
    }
    let mut second = Connection::new(hub.tcp_port(), 5, "second");
    assert_eq!(second.subscribe_with(&[], &[("$exclusive/jobs/print", 0)]).codes, [0x97]);
    hub.signal("TERM");
    assert_eq!(reader.ending().unwrap().properties.text(SERVER_REFERENCE), Some("hub-2.example.org:1883"));
}

#[test]
fn devices_of_mqtt_sn_have_all_of_it_as_well() {
    let hub = hub(&format!(
        r#"
        [[listener]]
        bind = "udp://127.0.0.1:0"
        protocols = ["mqtt-sn"]
        [[rewrite]]
        filter = "old/#"
        pattern = "^old/(.+)$"
        topic = "new/%c/$1"
        [[subscribe]]
        filter = "to/{{client_id}}"
        qos = 1
        protocols = ["mqtt-sn"]
        [exclusive]
        enabled = true
        {DELAYED}"#
    ));
    let gateway = hub.port_of("mqtt-sn");
    let mut reader = Connection::new(hub.tcp_port(), 5, "reader");
    reader.subscribe("#", 2);
    // It is subscribed without asking.
    let lamp = Device::connected(gateway, "lamp");
    mosquitto("mosquitto_pub", &hub, "-q 1 -t to/lamp -m red").run().success();
    let id = lamp.learn("to/lamp");
    assert_eq!(lamp.take(), (0x20, id, "red".into()));
    assert_eq!(next(&mut reader).0, "to/lamp");
    // What it publishes is rewritten, and so is what it subscribes to.
    let old = lamp.register("old/state");
    lamp.publish(1, old, 1, "on");
    lamp.expect(kind::PUBACK, &[&old.to_be_bytes()[..], &[0, 1, 0]].concat());
    assert_eq!(next(&mut reader), ("new/lamp/state".into(), "on".into(), 1, false));
    lamp.subscribe("old/mode", 1);
    mosquitto("mosquitto_pub", &hub, "-q 1 -t new/lamp/mode -m day").run().success();
    let id = lamp.learn("new/lamp/mode");
    assert_eq!(lamp.take(), (0x20, id, "day".into()));
    assert_eq!(next(&mut reader).0, "new/lamp/mode");
    // It may ask for a delay, of which it is told if that cannot be.
    for (topic, code) in [("$delayed/1/late", 0), ("$delayed/soon/late", 3)] {
        let id = lamp.register(topic);
        lamp.publish(1, id, 2, "x");
        lamp.expect(kind::PUBACK, &[&id.to_be_bytes()[..], &[0, 2, code]].concat());
    }
    assert_eq!(next(&mut reader), ("late".into(), "x".into(), 1, false));
    // And one of two holds what is exclusive.
    lamp.subscribe("$exclusive/job", 1);
    let other = Device::connected(gateway, "other");
    let (answer, body) = other.ask(kind::SUBSCRIBE, &[&[0x20, 0, 8][..], b"$exclusive/job"].concat());
    assert_eq!((answer, body.last()), (kind::SUBACK, Some(&1)));
    mosquitto("mosquitto_pub", &hub, "-q 1 -t job -m go").run().success();
    let id = lamp.learn("job");
    assert_eq!(lamp.take(), (0x20, id, "go".into()));
    other.expect_nothing();
}
