//! JSON lines for people: help, goodbyes, and heartbeats.

use super::json_hello::text;
use super::schema::{check, validator};
use serde_json::{Value, json};
use std::net::UdpSocket;
use trefoil_tests::datagrams::Peer;
use trefoil_tests::{CONFIG, DEADLINE, Hub, Program, lines, wait_until, websocket};

fn nc(hub: &Hub, typed: &str) -> String {
    let port = hub.tcp_port().to_string();
    Program::new("nc").args(["127.0.0.1", &port]).words("-N").stdin(typed).run().success()
}

/// The answer to a datagram, as it came.
fn datagram(hub: &Hub, asked: &str) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(asked.as_bytes(), ("127.0.0.1", hub.udp_port())).unwrap();
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn help_is_a_screen_of_lines_that_programs_pass_over() {
    let hub = Hub::start();
    for word in ["help\n", "HELP\r\n", "?\n", "\n?\n"] {
        let found = nc(&hub, word);
        assert!(found.lines().count() > 10 && found.lines().all(|line| line.starts_with("# ")), "{found}");
        assert!(found.contains(r##"  {"sub":"kitchen/#"}"##), "{found}");
    }
    let of_sub = nc(&hub, "help sub\n");
    assert!(of_sub.starts_with("# sub: ") && of_sub.contains("no_local"), "{of_sub}");
    // Later lines too, and a line of help that was pasted is the request in it.
    let found = nc(&hub, "{\"ping\":1}\nhelp\n#   {\"ping\":2}\n# only a remark\n{\"ping\":3}\n");
    let values: Vec<Value> = found
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(values, [json!({"pong": 1}), json!({"pong": 2}), json!({"pong": 3})]);
    // Every example of the screen is taken.
    let examples: Vec<String> =
        nc(&hub, "help\n").lines().filter(|line| line.contains('{')).map(str::to_owned).collect();
    let answers = nc(&hub, &format!("{}\nquit\n", examples.join("\n")));
    assert!(!answers.contains("error") && answers.lines().count() >= examples.len() - 1, "{answers}");
}

#[test]
fn a_wrong_word_is_told_of_help() {
    let hub = Hub::start();
    for typed in ["hello\n", "subscribe kitchen\n", "{\"ping\":1}\nwhat now\n"] {
        let found = nc(&hub, typed);
        assert!(found.lines().last().unwrap().contains("type help"), "{found}");
    }
}

#[test]
fn quit_ends_it() {
    let hub = Hub::start();
    for word in ["quit", "exit", "\u{4}"] {
        let mut line = lines::Connection::new(hub.tcp_port());
        line.ask(r#"{"sub":"a"}"#);
        line.send(word);
        assert_eq!(line.line(), None);
    }
    wait_until("all have gone", || hub.stat("sessions") == 0);
}

#[test]
fn help_in_json_comes_before_anybody_says_who_it_is() {
    let hub = Hub::with_users(&[("ann", "a")], "");
    let reply = validator("reply");
    let mut line = lines::Connection::new(hub.tcp_port());
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    for (asked, ack) in [(r#"{"help":true,"id":1}"#, json!(1)), (r#"{"help":"req"}"#, Value::Null)] {
        let by_line = line.ask(asked);
        socket.send_text(asked);
        check(&reply, &by_line);
        assert_eq!(by_line["ack"], ack);
        assert_eq!(text(&mut socket), by_line);
    }
    assert_eq!(line.ask(r#"{"help":"nothing","id":2}"#)["error"]["field"], "help");
    line.send("help");
    assert!(line.line().unwrap().starts_with("# "));
}

#[test]
fn help_over_udp_goes_to_nobody_else_in_more_bytes_than_it_cost() {
    let hub = Hub::start();
    for asked in ["help\n", "?", "help sub", r#"{"help":true}"#, r#"{"help":"ack","id":1}"#] {
        let answer = datagram(&hub, asked);
        assert!(answer.len() <= asked.len(), "{asked}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(datagram(&hub, r#"{"help":true}"#), br#"{"help":null}"#);
    // Who pays for it gets it.
    let whole: Value =
        serde_json::from_slice(&datagram(&hub, &format!("{:4000}", r#"{"help":true}"#))).unwrap();
    assert!(whole["help"]["operations"]["sub"].is_string());
    assert!(datagram(&hub, &format!("{:4000}", "help")).starts_with(b"# This is Trefoil."));
    // A batch is no way around it.
    let batch: Value = Peer::new(hub.udp_port()).ask(r#"[{"help":true},{"help":true}]"#);
    assert_eq!(batch, json!({"help": null}));
    // Nor does whoever has shown what only it was sent have to.
    let peer = Peer::new(hub.udp_port());
    let hello = |token: Option<&Value>| {
        let mut hello = json!({"hello": {"client": "x", "session_s": 60}});
        token.into_iter().for_each(|token| hello["hello"]["resume"] = token.clone());
        hello.to_string()
    };
    let token = peer.ask(hello(None))["hello"]["resume"].clone();
    assert_eq!(peer.ask(r#"{"help":true}"#), json!({"help": null}));
    peer.ask(hello(Some(&token)));
    assert!(peer.ask(r#"{"help":true}"#)["help"]["operations"].is_object());
}

#[test]
fn lines_of_help_may_be_pasted_over_udp_too() {
    let hub = Hub::start();
    let peer = Peer::new(hub.udp_port());
    // As at netcat, where each line goes as a datagram.
    let help = String::from_utf8(datagram(&hub, &format!("help sub{}", " ".repeat(4000)))).unwrap();
    for line in help.lines() {
        peer.send(format!("{line}\n"));
    }
    assert_eq!(peer.receive(), json!({"sub": "kitchen/#", "qos": 0}));
    assert_eq!(peer.receive(), json!({"sub": ["hall/+/lamp", "kitchen/oven"], "qos": [1, 1], "ack": 1}));
    assert_eq!(peer.ask(r#"{"ping":1}"#), json!({"pong": 1}), "what is no request is passed over");
}

#[test]
fn an_error_over_udp_is_not_answered() {
    let hub = Hub::start();
    let peer = Peer::new(hub.udp_port());
    // As if another hub had got a datagram with this one's address on it, or this one its own.
    for datagram in [
        "nonsense",
        r#"{"topic":"a","data":1}"#,
        r#"{"sub":"a","qos":0,"ack":1}"#,
        r#"{"hello":{"version":1}}"#,
    ] {
        let error = peer.ask(datagram);
        assert!(error["error"]["code"].is_string(), "{datagram}: {error}");
        peer.send(error.to_string());
        peer.send(r##"# tcp: help is there over TCP"##);
    }
    assert_eq!(peer.ask(r#"{"ping":1}"#), json!({"pong": 1}));
}

#[test]
fn the_hub_does_not_answer_itself() {
    let hub = Hub::with_config(
        "shards = 2\nallow_anonymous = true\n[[listener]]\nbind = 'udp://0.0.0.0:0'\nprotocols = ['json']\n\
         [[listener]]\nbind = '127.0.0.1:0'\n",
    );
    // As whoever writes the hub's own address on a datagram; answers to these are requests in turn.
    let own = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    own.set_reuse_port(true).unwrap();
    own.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], hub.udp_port())).into()).unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 2], hub.udp_port())).into();
    let request = br#"{"sub":"a"}"#;
    let bytes_before = hub.metric("trefoil_bytes_in_total");
    own.send_to(request, &to).unwrap();
    wait_until("it has come", || hub.metric("trefoil_bytes_in_total") >= bytes_before + request.len() as u64);
    assert_eq!(hub.metric(r#"trefoil_connections{kind="json_udp"}"#), 0);
    own.set_nonblocking(true).unwrap();
    assert!(own.recv_from(&mut [std::mem::MaybeUninit::uninit(); 100]).is_err(), "nothing is answered");
}

#[test]
fn two_hubs_do_not_answer_each_other_for_ever() {
    let hub = Hub::with_config(CONFIG);
    // The answer is such a request again, for a hub that is sent it. The one to an error is none.
    let request = r#"{"sub":"a","qos":0}"#;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", hub.udp_port())).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send(request.as_bytes()).unwrap();
    let mut room = [0; 1000];
    let count = socket.recv(&mut room).unwrap();
    assert_eq!(str::from_utf8(&room[..count]).unwrap().trim_end(), request);
    let reader = socket.try_clone().unwrap();
    let refused = std::thread::spawn(move || {
        loop {
            let count = reader.recv(&mut room).expect("an error comes once it is too much");
            if str::from_utf8(&room[..count]).unwrap().contains(r#""code":"overloaded","reason":"more than"#)
            {
                return;
            }
        }
    });
    let many = format!("[{}]", [request; 1024].join(","));
    wait_until("an error says that it is too much", || {
        // As many as the hub takes in much less than a second.
        for _ in 0..4 {
            socket.send(many.as_bytes()).unwrap();
        }
        refused.is_finished()
    });
    refused.join().unwrap();
}

#[test]
fn a_heartbeat_comes_when_nothing_else_does_and_silence_ends_it() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nudp_idle_s = 3600\n"));
    let reply = validator("reply");
    let hello = r#"{"hello":{"heartbeat_s":1},"id":1}"#;
    let mut line = lines::Connection::new(hub.tcp_port());
    let mut socket = websocket::Connection::new(hub.http_port(), "/ws");
    let peer = Peer::new(hub.udp_port());
    let welcome = line.ask(hello);
    check(&reply, &welcome);
    assert_eq!(welcome["hello"]["heartbeat_s"], 1);
    socket.send_text(hello);
    assert_eq!(text(&mut socket)["hello"]["heartbeat_s"], 1);
    assert_eq!(peer.ask(hello)["hello"]["heartbeat_s"], 1);
    // Who answers lives longer than two and a half beats.
    for _ in 0..4 {
        assert_eq!(line.receive(), json!({"ping": null}));
        line.send(r#"{"pong":null}"#);
    }
    // Those who said nothing meanwhile have been told so.
    let mut by_socket = text(&mut socket);
    while by_socket == json!({"ping": null}) {
        by_socket = text(&mut socket);
    }
    let mut by_peer = peer.receive();
    while by_peer == json!({"ping": null}) {
        by_peer = peer.receive();
    }
    for told in [by_socket, by_peer] {
        assert_eq!(told["error"]["code"], "timeout", "{told}");
    }
    assert_eq!(socket.close_code(), Some(1008));
    assert_eq!(hub.stat("sessions"), 1);
    assert_eq!(line.ask(r#"{"ping":1}"#), json!({"pong": 1}), "it has no answer to its pongs");
}
