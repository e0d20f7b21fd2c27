//! Bounds on streams, and thousands that are half open.

use super::{End, limited, listener, pair};
use serde_json::json;
use trefoil_tests::{CONFIG, Hub, wait_until};

#[test]
fn there_are_no_more_streams_than_may_be() {
    let hub = limited("streams_max = 1\nstream_waiting_max = 2");
    let (caller, once) = pair(&hub, "one");
    let mut third = End::new(&hub);
    let mut door = listener(&hub, "two");
    assert_eq!(third.refused(json!({"connect": "two", "id": 1})), "quota");
    drop((caller, once));
    wait_until("there is room", || hub.metric("trefoil_streams") == 0);
    third.say(json!({"connect": "two"}));
    let mut fourth = End::new(&hub);
    fourth.say(json!({"connect": "two"}));
    let tokens = [door.hear(), door.hear()].map(|call| call["token"].clone());
    assert_eq!(End::new(&hub).refused(json!({"connect": "two"})), "quota");
    assert_eq!(End::new(&hub).ask(json!({"accept": tokens[0]}))["stream"], "two");
    // The one that has accepted has gone, and so goes the caller.
    assert_eq!(third.hear(), json!({"stream": "two"}));
    drop(third);
    wait_until("it is gone again", || hub.metric("trefoil_streams") == 0);
    let mut last = End::new(&hub);
    assert_eq!(last.ask(json!({"accept": tokens[1]}))["stream"], "two");
}

#[test]
fn a_connection_listens_on_so_many_names() {
    let hub = Hub::start();
    let mut end = End::new(&hub);
    for name in 0..64 {
        assert_eq!(end.ask(json!({"listen": format!("n/{name}")})), json!({"listen": format!("n/{name}")}));
    }
    assert_eq!(end.refused(json!({"listen": "n/64"})), "quota");
    drop(end);
    wait_until("all are free", || hub.metric("trefoil_stream_listeners") == 0);
}

#[test]
fn thousands_that_are_half_open_cost_little_and_are_forgotten() {
    const COUNT: usize = 2000;
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nstream_waiting_max = 100000\n"));
    let before = hub.at_rest();
    let mut door = listener(&hub, "door");
    let open = |request: serde_json::Value| {
        let mut end = End::new(&hub);
        end.say(request);
        end
    };
    // Half of them are told to a listener that does nothing, and half wait for somebody to listen on as many names.
    let called: Vec<End> = (0..COUNT / 2).map(|_| open(json!({"connect": "door"}))).collect();
    let waiting: Vec<End> =
        (0..COUNT / 2).map(|n| open(json!({"connect": format!("nobody/{n}"), "wait_s": 3600}))).collect();
    wait_until("all wait", || hub.metric("trefoil_stream_callers") == COUNT as u64);
    let grown = hub.resident_bytes().saturating_sub(before.resident_bytes);
    assert!(grown / COUNT as u64 <= 8 << 10, "{grown} bytes for {COUNT}");
    assert!(door.hear()["token"].is_string());
    // Killed, one half as by a crash, the other in order.
    called.into_iter().for_each(End::reset);
    wait_until("half are forgotten", || hub.metric("trefoil_stream_callers") == COUNT as u64 / 2);
    for end in waiting {
        end.reset();
    }
    wait_until("all are forgotten", || hub.metric("trefoil_stream_callers") == 0);
    drop(door);
    wait_until("nobody listens", || hub.metric("trefoil_stream_listeners") == 0);
    assert_eq!(hub.at_rest().descriptors, before.descriptors);
    let (mut caller, mut once) = pair(&hub, "after");
    caller.write("all is well");
    once.expect("all is well");
}

#[test]
fn what_is_joined_and_who_waits_can_be_looked_at() {
    let hub = Hub::start();
    let (mut caller, mut once) = pair(&hub, "shed/ssh");
    let _door = listener(&hub, "door");
    caller.write("12345");
    once.expect("12345");
    once.write("123");
    caller.expect("123");
    let url = format!("http://127.0.0.1:{}/api/v1/streams", hub.http_port());
    let text = trefoil_tests::Program::new("curl").args(["-sSf", &url]).run().success();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let stream = &found["streams"][0];
    assert_eq!(stream["name"], "shed/ssh");
    assert_eq!(stream["caller"]["peer"], caller.0.local_addr().unwrap().to_string());
    assert_eq!(stream["listener"]["peer"], once.0.local_addr().unwrap().to_string());
    assert_eq!((&stream["bytes_from_caller"], &stream["bytes_from_listener"]), (&json!(5), &json!(3)));
    assert_eq!(found["names"], json!([{"name": "door", "listeners": 1, "callers": 0}]));
}
