//! Who is joined with whom, and who is not.

use super::{End, code, limited, listener, pair};
use serde_json::json;
use trefoil_tests::{Hub, Program, wait_until};

#[test]
fn nc_is_both_ends() {
    let hub = Hub::start();
    let nc = || Program::new("nc").args(["127.0.0.1", &hub.tcp_port().to_string()]);
    let mut listener = nc().open_stdin().spawn();
    listener.write("{\"listen\":\"box\",\"once\":true}\n");
    assert_eq!(listener.lines(1)[0], "{\"listen\":\"box\"}");
    let mut caller = nc().open_stdin().spawn();
    // What follows a request is the stream's, whether the hub has answered or not.
    caller.write("{\"connect\":\"box\"}\nhello\n");
    assert_eq!(listener.lines(3)[2], "hello");
    assert_eq!(caller.lines(1)[0], "{\"stream\":\"box\"}");
    listener.write("good\nmorning\n");
    assert_eq!(caller.lines(3)[1..], ["good", "morning"]);
}

#[test]
fn many_short_words_go_to_and_fro() {
    let hub = Hub::start();
    let (mut caller, mut listener) = pair(&hub, "$file/7 ü");
    for round in 0..500 {
        caller.write(format!("{round:08}"));
        listener.expect(format!("{round:08}"));
        listener.write(format!("{:08}", round + 1));
        caller.expect(format!("{:08}", round + 1));
    }
    assert_eq!(hub.metric("trefoil_streams"), 1);
    drop((caller, listener));
    wait_until("the stream is forgotten", || hub.metric("trefoil_streams") == 0);
    assert_eq!(hub.metric("trefoil_stream_bytes_total"), 8000);
}

#[test]
fn whoever_is_refused_goes_on_with_json() {
    let hub = Hub::start();
    let mut end = End::new(&hub);
    assert_eq!(end.refused(json!({"connect": "nobody", "id": 1})), "no_listener");
    assert_eq!(end.refused(json!({"accept": "0123456789abcdef0123456789abcdef", "id": 2})), "no_caller");
    assert_eq!(end.refused(json!({"refuse": "x", "id": 3})), "no_caller");
    assert_eq!(end.ask(json!({"pub": "a", "data": 1, "qos": 1, "id": 4})), json!({"ack": 4}));
    let mut answers = listener(&hub, "door");
    // The requests behind one that fails are read then.
    end.write("{\"connect\":\"door\",\"id\":5}\n{\"ping\":6}\n");
    let call = answers.hear();
    assert_eq!(call["call"], "door");
    assert_eq!(call["from"]["peer"], end.0.local_addr().unwrap().to_string());
    assert!(call["from"]["client"].as_str().unwrap().starts_with("tcp-"), "{call}");
    let refuse = json!({"refuse": call["token"], "reason": "not \"now\"", "id": 9});
    assert_eq!(answers.ask(refuse.clone()), json!({"refuse": call["token"], "ack": 9}));
    assert_eq!(end.hear(), json!({"error": {"code": "refused", "reason": "not \"now\""}, "id": 5}));
    assert_eq!(end.hear(), json!({"pong": 6}));
    assert_eq!(answers.refused(refuse), "no_caller");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let hub = Hub::start();
    let mut end = End::new(&hub);
    let long = "x".repeat(65_536);
    for name in ["", "..", "a/../b", "./a", "a//b", "/a", "a/", "a\0b", "a\nb", "a/+", "#", &long] {
        for operation in ["connect", "listen"] {
            let answer = end.ask(json!({operation: name, "id": 1}));
            assert_eq!((code(&answer).as_str(), &answer["id"]), ("bad_field", &json!(1)), "{name:.9}");
        }
    }
    assert_eq!(end.ask(json!({"ping": 1})), json!({"pong": 1}));
    assert_eq!(hub.metric("trefoil_stream_listeners"), 0);
}

#[test]
fn a_token_is_good_for_one_call() {
    let hub = Hub::start();
    let mut door = listener(&hub, "door");
    let mut callers: Vec<End> = (0..10).map(|_| End::new(&hub)).collect();
    for caller in &mut callers {
        caller.say(json!({"connect": "door"}));
    }
    let mut tokens: Vec<_> = (0..10).map(|_| door.hear()["token"].clone()).collect();
    let mut ends: Vec<End> = (0..10).map(|_| End::new(&hub)).collect();
    for (at, (token, end)) in tokens.iter().zip(&mut ends).enumerate() {
        let joined = end.ask(json!({"accept": token, "id": at}));
        assert_eq!((&joined["stream"], &joined["ack"]), (&json!("door"), &json!(at)));
        end.write([at as u8]);
    }
    let mut seen: Vec<u8> = callers
        .iter_mut()
        .map(|caller| {
            assert_eq!(caller.hear(), json!({"stream": "door"}));
            let mut byte = [0];
            std::io::Read::read_exact(&mut caller.0, &mut byte).unwrap();
            byte[0]
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    tokens.push(json!("0123456789abcdef0123456789abcdeg"));
    let mut thief = End::new(&hub);
    for token in &tokens {
        assert_eq!(thief.refused(json!({"accept": token})), "no_caller");
    }
}

#[test]
fn a_caller_waits_for_somebody_to_listen() {
    let hub = Hub::start();
    // On several connections, so that both shards have some.
    for round in 0..8 {
        let (mut caller, mut once) = (End::new(&hub), End::new(&hub));
        caller.say(json!({"connect": "late", "wait_s": 600, "id": round}));
        caller.write("early");
        wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
        assert_eq!(
            once.ask(json!({"listen": "late", "once": true, "id": 3})),
            json!({"listen": "late", "ack": 3})
        );
        assert_eq!(once.hear()["stream"], "late");
        once.expect("early");
        assert_eq!(caller.hear(), json!({"stream": "late", "ack": round}));
        // And for one that is told of callers.
        let mut caller = End::new(&hub);
        caller.say(json!({"connect": "late", "wait_s": 600}));
        wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
        let mut door = listener(&hub, "late");
        let token = door.hear()["token"].clone();
        let mut end = End::new(&hub);
        assert_eq!(end.ask(json!({"accept": token}))["stream"], "late");
        assert_eq!(caller.hear(), json!({"stream": "late"}));
    }
    let mut caller = End::new(&hub);
    assert_eq!(caller.refused(json!({"connect": "late", "wait_s": 1})), "no_listener");
}

#[test]
fn listeners_take_turns_and_one_may_want_to_be_alone() {
    let hub = Hub::start();
    let (mut one, mut two) = (listener(&hub, "shared"), listener(&hub, "shared"));
    assert_eq!(one.refused(json!({"listen": "shared"})), "taken");
    assert_eq!(End::new(&hub).refused(json!({"listen": "shared", "exclusive": true})), "taken");
    let mut callers: Vec<End> = (0..4).map(|_| End::new(&hub)).collect();
    for caller in &mut callers {
        caller.say(json!({"connect": "shared", "wait_s": 60}));
    }
    let calls = |door: &mut End| [door.hear(), door.hear()].map(|call| call["token"].clone());
    let (tokens, left) = (calls(&mut one), calls(&mut two));
    // The callers of one that goes away go to the other.
    drop(two);
    let tokens: Vec<_> = tokens.into_iter().chain(calls(&mut one)).collect();
    for token in &tokens {
        assert_eq!(End::new(&hub).ask(json!({"accept": token}))["stream"], "shared");
    }
    assert_eq!(End::new(&hub).refused(json!({"accept": left[0]})), "no_caller");
    for caller in &mut callers {
        assert_eq!(caller.hear(), json!({"stream": "shared"}));
    }
    drop(one);
    let mut alone = End::new(&hub);
    wait_until("nobody listens", || hub.metric("trefoil_stream_listeners") == 0);
    alone.ask(json!({"listen": "shared", "exclusive": true}));
    for once in [false, true] {
        assert_eq!(End::new(&hub).refused(json!({"listen": "shared", "once": once})), "taken");
    }
}

#[test]
fn a_listener_that_does_not_answer_costs_its_caller_some_seconds() {
    let hub = limited("stream_accept_s = 1");
    let mut door = listener(&hub, "door");
    let mut caller = End::new(&hub);
    assert_eq!(caller.refused(json!({"connect": "door", "wait_s": 600})), "timeout");
    let token = door.hear()["token"].clone();
    assert_eq!(End::new(&hub).refused(json!({"accept": token})), "no_caller");
    drop(door);
    wait_until("nobody listens", || hub.metric("trefoil_stream_listeners") == 0);
    // It costs as much if the caller was there first.
    caller.say(json!({"connect": "door", "wait_s": 600}));
    wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
    let mut door = listener(&hub, "door");
    assert_eq!(code(&caller.hear()), "timeout");
    door.hear();
    // A caller that waits and loses its listener has the rest of its time.
    caller.say(json!({"connect": "door", "wait_s": 600}));
    door.hear();
    drop(door);
    assert_eq!(End::new(&hub).ask(json!({"listen": "door", "once": true})), json!({"listen": "door"}));
    assert_eq!(caller.hear(), json!({"stream": "door"}));
}

#[test]
fn only_connections_of_lines_become_streams() {
    let hub = Hub::start();
    let mut socket = trefoil_tests::websocket::Connection::new(hub.http_port(), "/ws");
    let mut ask = |request: serde_json::Value| -> serde_json::Value {
        socket.send_text(&request.to_string());
        serde_json::from_slice(&socket.receive().unwrap().1).unwrap()
    };
    for request in [json!({"connect": "a"}), json!({"accept": "a"}), json!({"listen": "a", "once": true})] {
        assert_eq!(code(&ask(request)), "bad_field");
    }
    assert_eq!(ask(json!({"listen": "a", "id": 1})), json!({"listen": "a", "ack": 1}));
    let mut caller = End::new(&hub);
    caller.say(json!({"connect": "a"}));
    let call: serde_json::Value = serde_json::from_slice(&socket.receive().unwrap().1).unwrap();
    assert_eq!(call["call"], "a");
    assert_eq!(End::new(&hub).ask(json!({"accept": call["token"]}))["stream"], "a");
    assert_eq!(caller.hear(), json!({"stream": "a"}));
    let peer = trefoil_tests::datagrams::Peer::new(hub.udp_port());
    assert_eq!(code(&peer.ask("{\"listen\":\"a\"}")), "bad_field");
}

#[test]
fn what_a_connection_was_before_ends() {
    let hub = Hub::start();
    let (mut caller, mut once) = (End::new(&hub), End::new(&hub));
    caller.ask(json!({"sub": "news", "id": 1}));
    once.ask(json!({"listen": "a", "once": true}));
    caller.ask(json!({"connect": "a"}));
    once.hear();
    let mut publisher = End::new(&hub);
    assert_eq!(publisher.ask(json!({"pub": "news", "data": 1, "qos": 1, "id": 1})), json!({"ack": 1}));
    once.write("only this");
    caller.expect("only this");
    once.end();
    assert_eq!(caller.rest(), b"");
    assert_eq!(hub.stat("subscriptions"), 0);
}
