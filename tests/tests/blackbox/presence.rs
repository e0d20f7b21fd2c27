//! Who is on a topic: clients of every kind that come and go, are killed or fall silent, and a hub that is killed.

use super::history::Events;
use super::schema::{check, validator};
use super::store::ask;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_tests::datagrams::Peer;
use trefoil_tests::mqtt::{self, Connect};
use trefoil_tests::mqtt_sn::Device;
use trefoil_tests::{CONFIG, Hub, Program, lines, wait_until, websocket};

/// With several shards, so that those who watch and those who are watched are mostly not on the same one.
fn config(more: &str) -> String {
    format!("{}{more}", CONFIG.replace("shards = 2", "shards = 4"))
}

/// One who watches a topic, and what it knows: connections by client id, or only how many there are.
struct Watcher {
    link: lines::Connection,
    topic: String,
    known: Result<BTreeMap<String, String>, u64>,
    reply: Validator,
}

impl Watcher {
    fn new(port: u16, topic: &str) -> Watcher {
        let mut link = lines::Connection::new(port);
        let answer = link.ask(format!(r#"{{"sub":"{topic}","presence":true}}"#));
        assert_eq!(answer, json!({"sub": topic, "qos": 0}));
        let mut watcher = Watcher { link, topic: topic.to_owned(), known: Err(0), reply: validator("reply") };
        let list = watcher.next();
        assert_eq!(list["presence"], json!(topic));
        watcher
    }

    /// The next thing that it is told, which has to fit to what it knows.
    fn next(&mut self) -> Value {
        loop {
            let told = self.link.receive();
            if told.get("topic").is_none() {
                self.take(&told);
                return told;
            }
        }
    }

    fn take(&mut self, told: &Value) {
        check(&self.reply, told);
        let text = |name: &str| told[name].as_str().map(str::to_owned).unwrap_or_else(|| panic!("{told}"));
        let count = told["count"].as_u64().unwrap();
        if told.get("presence").is_some() {
            assert_eq!(text("presence"), self.topic);
            self.known = match told.get("clients") {
                None => Err(count),
                Some(clients) => Ok(names(clients)),
            };
        } else {
            let known = self.known.as_mut().expect("events come to those only who have a list");
            if told.get("join").is_some() {
                assert_eq!(text("join"), self.topic);
                assert_eq!(known.insert(text("client"), text("connection")), None, "{told}");
            } else {
                assert_eq!(text("leave"), self.topic);
                assert_eq!(known.remove(&text("client")), Some(text("connection")), "{told}");
            }
        }
        match &self.known {
            Ok(known) => assert_eq!(known.len() as u64, count, "{told}"),
            Err(known) => assert_eq!(*known, count),
        }
    }

    fn expect_join(&mut self, kind: &str) -> Value {
        let told = self.next();
        assert!(told.get("join").is_some() && told["kind"] == json!(kind), "{kind}: {told}");
        told
    }

    fn expect_leave(&mut self, client: &Value) {
        let told = self.next();
        assert!(told.get("leave").is_some() && told["client"] == *client, "{client}: {told}");
    }

    fn clients(&self) -> Vec<&str> {
        self.known.as_ref().expect("it has a list").keys().map(String::as_str).collect()
    }
}

fn names(clients: &Value) -> BTreeMap<String, String> {
    let one = |client: &Value| {
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        (text("client"), text("connection"))
    };
    clients.as_array().unwrap().iter().map(one).collect()
}

fn over_http(hub: &Hub, topic: &str) -> Value {
    let (status, answer) = ask(hub, "GET", &format!("/api/v1/presence?topic={topic}"));
    assert_eq!(status, 200, "{answer}");
    answer
}

#[test]
fn clients_of_every_kind_come_and_go() {
    let hub = Hub::with_config(&config(""));
    let mut watcher = Watcher::new(hub.tcp_port(), "room/7");
    let own = watcher.clients()[0].to_owned();

    let mut ann = mqtt::Connection::new(hub.tcp_port(), 5, "ann");
    ann.subscribe("room/7", 1);
    let ann_joined = watcher.expect_join("mqtt");
    assert_eq!((&ann_joined["client"], &ann_joined["count"]), (&json!("ann"), &json!(2)));
    // Neither a wildcard nor a shared subscription is of one topic, and one that is there already is no news.
    ann.subscribe("room/+", 0);
    ann.subscribe("$share/group/room/7", 0);
    ann.subscribe("room/7", 0);

    let mut page = websocket::Connection::new(hub.http_port(), "/ws");
    page.send_text(r#"{"sub":"room/7","presence":true}"#);
    let page_joined = watcher.expect_join("websocket");
    page.receive();
    let (_, list) = page.receive().unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(names(&list["clients"]), *watcher.known.as_ref().unwrap());

    let mut raw = lines::Connection::new(hub.tcp_port());
    raw.ask(r#"{"sub":["hall","room/7"]}"#);
    let raw_joined = watcher.expect_join("tcp");

    let datagrams = Peer::new(hub.udp_port());
    datagrams.ask(br#"{"sub":"room/7"}"#);
    let udp_joined = watcher.expect_join("udp");

    let device = Device::connected(hub.port_of("mqtt-sn"), "device");
    device.subscribe("room/7", 0);
    let device_joined = watcher.expect_join("mqtt_sn");

    let events = Events::new(hub.http_port(), "topic=room/7", None);
    let sse_joined = watcher.expect_join("sse");

    let question = raw.ask(r#"{"presence":"room/7","id":3}"#);
    check(&validator("reply"), &question);
    assert_eq!((&question["count"], &question["ack"]), (&json!(7), &json!(3)));
    assert_eq!(names(&question["clients"]), *watcher.known.as_ref().unwrap());
    let mut answer = over_http(&hub, "room/7");
    answer["ack"] = json!(3);
    assert_eq!(answer, question);
    assert_eq!(over_http(&hub, "hall")["count"], json!(1));
    assert_eq!(over_http(&hub, "nowhere"), json!({"presence": "nowhere", "count": 0, "clients": []}));

    datagrams.send(br#"{"unsub":"room/7"}"#);
    watcher.expect_leave(&udp_joined["client"]);
    raw.ask(r#"{"unsub":"room/7"}"#);
    watcher.expect_leave(&raw_joined["client"]);
    drop(page);
    watcher.expect_leave(&page_joined["client"]);
    drop(events);
    watcher.expect_leave(&sse_joined["client"]);
    device.send(0x18, &[]);
    watcher.expect_leave(&device_joined["client"]);
    ann.leave();
    watcher.expect_leave(&json!("ann"));
    assert_eq!(watcher.clients(), [own]);

    // Once it has unsubscribed nobody tells it anything.
    assert_eq!(watcher.link.ask(r#"{"unsub":"room/7"}"#), json!({"unsub": "room/7"}));
    let mut bob = mqtt::Connection::new(hub.tcp_port(), 4, "bob");
    bob.subscribe("room/7", 0);
    assert_eq!(watcher.link.ask(r#"{"presence":"room/7"}"#)["count"], json!(1));
    assert_eq!(hub.metric("trefoil_presence_watchers"), 0);
    assert_eq!(hub.metric("trefoil_presence_topics"), 0);
}

#[test]
fn whoever_is_killed_or_silent_goes_and_a_session_that_waits_is_not_there() {
    let hub = Hub::with_config(&config("[limits]\nudp_idle_s = 1\n"));
    let mut watcher = Watcher::new(hub.tcp_port(), "room");
    let port = hub.tcp_port().to_string();
    let killed = Program::new("mosquitto_sub").args(["-p", &port, "-i", "killed", "-t", "room"]).spawn();
    assert_eq!(watcher.expect_join("mqtt")["client"], json!("killed"));
    killed.signal("KILL");
    killed.wait();
    watcher.expect_leave(&json!("killed"));

    let (mut silent, _) = mqtt::Connection::with(hub.tcp_port(), &Connect::new(5, "silent").keep_alive_s(1));
    silent.subscribe("room", 0);
    watcher.expect_join("mqtt");
    watcher.expect_leave(&json!("silent"));

    let datagrams = Peer::new(hub.udp_port());
    datagrams.send(br#"{"sub":"room"}"#);
    let joined = watcher.expect_join("udp");
    watcher.expect_leave(&joined["client"]);

    let request = Connect::new(4, "lasting").resume();
    let (mut lasting, _) = mqtt::Connection::with(hub.tcp_port(), &request);
    lasting.subscribe("room", 1);
    let joined = watcher.expect_join("mqtt");
    // It comes anew while it is here ...
    let (lasting_again, _) = mqtt::Connection::with(hub.tcp_port(), &request);
    watcher.expect_leave(&json!("lasting"));
    let again = watcher.expect_join("mqtt");
    assert_ne!(joined["connection"], again["connection"]);
    // ... and after it was away, with the subscription that it has.
    lasting_again.break_off();
    watcher.expect_leave(&json!("lasting"));
    assert_eq!(over_http(&hub, "room")["count"], json!(1));
    let _third = mqtt::Connection::with(hub.tcp_port(), &request);
    watcher.expect_join("mqtt");
}

#[test]
fn after_a_restart_topics_fill_as_clients_come() {
    let config = config("");
    let request = Connect::new(4, "lasting").resume();
    let mut hub = Hub::with_config(&config);
    for signal in ["TERM", "KILL"] {
        let mut watcher = Watcher::new(hub.tcp_port(), "room");
        let (mut lasting, _) = mqtt::Connection::with(hub.tcp_port(), &request);
        lasting.subscribe("room", 1);
        let mut clean = mqtt::Connection::new(hub.tcp_port(), 5, "clean");
        clean.subscribe("room", 0);
        while watcher.clients().len() < 3 {
            watcher.next();
        }
        hub = Hub::resume(hub.leave(signal), &config);
        assert_eq!(over_http(&hub, "room")["count"], json!(0));
        let mut watcher = Watcher::new(hub.tcp_port(), "room");
        assert_eq!(watcher.clients().len(), 1);
        let _lasting = mqtt::Connection::with(hub.tcp_port(), &request);
        assert_eq!(watcher.expect_join("mqtt")["client"], json!("lasting"));
    }
}

#[test]
fn a_crowd_is_counted_and_listed_when_it_has_gone() {
    const CROWD: usize = 1100;
    let hub = Hub::with_config(&config(""));
    let mut watcher = Watcher::new(hub.tcp_port(), "hall");
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let mut one = mqtt::Connection::new(hub.tcp_port(), 4, &format!("c{n}"));
        one.subscribe("hall", 0);
        crowd.push(one);
    }
    while watcher.known != Err(CROWD as u64 + 1) {
        watcher.next();
    }
    let answer = lines::Connection::new(hub.tcp_port()).ask(r#"{"presence":"hall"}"#);
    assert_eq!((&answer["count"], &answer["partial"]), (&json!(CROWD + 1), &json!(true)));
    assert_eq!(answer["clients"].as_array().map(Vec::len), Some(1000));
    // One who comes now is told a number, which may be a second old.
    let mut late = Watcher::new(hub.tcp_port(), "hall");
    while late.known != Err(CROWD as u64 + 2) {
        late.next();
    }
    // What it is sent next shows that it is gone.
    drop(late);
    crowd.truncate(500);
    while watcher.known.as_ref().map(BTreeMap::len) != Ok(501) {
        watcher.next();
    }
    crowd.pop();
    while watcher.clients().len() != 500 {
        watcher.next();
    }
}

#[test]
fn a_datagram_lists_as_many_as_fit() {
    let hub = Hub::with_config(&config(""));
    let mut crowd = Vec::new();
    for n in 0..900 {
        let mut one = mqtt::Connection::new(hub.tcp_port(), 4, &format!("{n:0>200}"));
        one.subscribe("hall", 0);
        crowd.push(one);
    }
    let datagrams = Peer::new(hub.udp_port());
    let answer = datagrams.ask(br#"{"presence":"hall","id":1}"#);
    assert_eq!((&answer["count"], &answer["partial"]), (&json!(900), &json!(true)));
    let listed = answer["clients"].as_array().map_or(0, Vec::len);
    assert!((200..300).contains(&listed), "{listed}");
}

#[test]
fn mistakes_are_told() {
    let hub = Hub::with_config(&config("[limits]\npresence_watched_max = 2\n"));
    let mut link = lines::Connection::new(hub.tcp_port());
    let mut code = |line: &str| link.ask(line)["error"]["code"].as_str().map(str::to_owned);
    for (line, expected) in [
        (r#"{"sub":"room/+","presence":true}"#, "bad_field"),
        (r#"{"sub":"$share/g/room","presence":true}"#, "bad_field"),
        (r#"{"presence":"room/#"}"#, "bad_field"),
        (r#"{"presence":""}"#, "bad_topic"),
        (r#"{"presence":1}"#, "bad_field"),
        (r#"{"presence":"room","qos":1}"#, "unknown_field"),
        (r#"{"sub":["a","b","c"],"presence":true}"#, "quota"),
    ] {
        assert_eq!(code(line).as_deref(), Some(expected), "{line}");
    }
    for (query, expected) in [("", 400), ("?topic=a/%23", 400), ("?topic=a&topic=b", 400), ("?room=a", 400)] {
        assert_eq!(ask(&hub, "GET", &format!("/api/v1/presence{query}")).0, expected, "{query}");
    }
}

#[test]
fn a_watcher_that_does_not_read_is_told_the_whole_later() {
    let hub = Hub::with_config(&config("[limits]\noutbox_bytes_max = 65536\n"));
    let mut watcher = Watcher::new(hub.tcp_port(), "room");
    let mut other = lines::Connection::new(hub.tcp_port());
    // What it is told fills the buffers of both systems, and then its outbox.
    while hub.metric("trefoil_presence_behind_total") == 0 {
        for _ in 0..20_000 {
            other.send(r#"{"sub":"room"}"#);
            other.send(r#"{"unsub":"room"}"#);
        }
        (0..40_000).for_each(|_| drop(other.receive()));
    }
    assert_eq!(other.ask(r#"{"sub":"room"}"#)["sub"], json!("room"));
    // It goes on reading; a list stands between what it was told before and what it is told then.
    let mut lists = 0;
    while lists == 0 || watcher.clients().len() != 2 {
        lists += usize::from(watcher.next().get("presence").is_some());
    }
    // Who only closed its side could still listen, and would be there for a while.
    other.ask(r#"{"unsub":"room"}"#);
    while watcher.clients().len() != 1 {
        watcher.next();
    }
}

/// Clients of several kinds come and go under load, some without a goodbye; those who watched it all the time know in the
/// end what is true.
#[test]
fn watchers_know_the_truth_after_a_turmoil() {
    const TOPICS: [&str; 3] = ["room/0", "room/1", "room/2"];
    const ROUNDS: usize = 120;
    let hub = Hub::with_config(&config(""));
    let mut watchers: Vec<Watcher> = (0..6).map(|n| Watcher::new(hub.tcp_port(), TOPICS[n % 3])).collect();
    let is_over = AtomicBool::new(false);
    let port = hub.tcp_port();
    let kept = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = lines::Connection::new(port);
            while !is_over.load(Ordering::Relaxed) {
                for topic in TOPICS {
                    publisher.send(format!(r#"{{"pub":"{topic}","data":"load"}}"#));
                }
                publisher.ask(r#"{"ping":1}"#);
            }
        });
        let workers: Vec<_> =
            (0..3).map(|worker| scope.spawn(move || turmoil(port, worker, ROUNDS))).collect();
        let kept: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        kept.into_iter().flat_map(|kept| kept.expect("a worker ends well")).collect::<Vec<_>>()
    });
    for watcher in &mut watchers {
        // A question of its own is answered behind all that it was told before the hub was quiet.
        wait_until(&format!("what a watcher of {} knows is the truth", watcher.topic), || {
            let truth = names(&over_http(&hub, &watcher.topic)["clients"]);
            watcher.link.send(r#"{"ping":"quiet"}"#);
            loop {
                let told = watcher.link.receive();
                if told.get("pong").is_some() {
                    break;
                }
                if told.get("topic").is_none() {
                    watcher.take(&told);
                }
            }
            watcher.known.as_ref() == Ok(&truth)
                && truth == names(&over_http(&hub, &watcher.topic)["clients"])
        });
        let expected = kept.iter().filter(|(topic, _)| *topic == watcher.topic).count() + 2;
        assert_eq!(watcher.clients().len(), expected);
    }
}

/// Comes and goes in many ways; gives those who stay, and where.
fn turmoil(port: u16, worker: usize, rounds: usize) -> Vec<(String, Box<dyn Send>)> {
    let mut kept: Vec<(String, Box<dyn Send>)> = Vec::new();
    for round in 0..rounds {
        let topic = format!("room/{}", round % 3);
        let sub = format!(r#"{{"sub":"{topic}"}}"#);
        let stays = round % 20 == worker;
        match round % 4 {
            0 => {
                let id = format!("w{worker}-{}", round % 5);
                let (mut client, _) = mqtt::Connection::with(port, &Connect::new(4, &id));
                client.subscribe(&topic, 0);
                match (stays, round % 8) {
                    (true, _) => {
                        // Nobody else comes under its name.
                        client.send(&[0xE0, 0]);
                        let mut client = mqtt::Connection::new(port, 4, &format!("s{worker}-{round}"));
                        client.subscribe(&topic, 0);
                        kept.push((topic, Box::new(client)));
                    }
                    (false, 0) => drop(client),
                    (false, _) => client.send(&[0xE0, 0]),
                }
            }
            1 => {
                let mut client = lines::Connection::new(port);
                client.ask(&sub);
                if stays {
                    kept.push((topic, Box::new(client)));
                }
            }
            2 => {
                let mut client = websocket::Connection::new(port, "/ws");
                client.send_text(&sub);
                client.receive();
                if stays {
                    kept.push((topic, Box::new(client)));
                }
            }
            _ => {
                let mut client = mqtt::Connection::new(port, 5, &format!("t{worker}-{round}"));
                client.subscribe_with(&[], &[(&topic, 1), ("room/+", 0)]);
                let again = mqtt::Connection::new(port, 5, &format!("t{worker}-{round}"));
                again.leave();
            }
        }
    }
    kept
}

#[test]
fn a_client_is_called_what_it_calls_itself() {
    let hub = Hub::with_users(&[("ann", "secret")], "");
    let mut link = lines::Connection::new(hub.tcp_port());
    link.ask(r#"{"auth":{"user":"ann","password":"secret"}}"#);
    let welcome = link.ask(r#"{"hello":{"client":"ann-laptop","info":{"name":"Ann"}}}"#);
    link.ask(r#"{"sub":"room"}"#);
    let answer = link.ask(r#"{"presence":"room"}"#);
    check(&validator("reply"), &answer);
    let client = json!({
        "client": "ann-laptop",
        "connection": welcome["hello"]["connection"],
        "kind": "tcp",
        "user": "ann",
        "info": {"name": "Ann"}
    });
    assert_eq!(answer, json!({"presence": "room", "count": 1, "clients": [client]}));
}
