//! WebSocket clients as ends of streams.

use super::{End, code, limited, listener, noise};
use serde_json::{Value, json};
use std::io::Write;
use trefoil_tests::websocket::{Connection, frame, handshake};
use trefoil_tests::{Exchange, Hub, connect, wait_until};

fn socket(hub: &Hub, path: &str) -> Connection {
    Connection::new(hub.http_port(), path)
}

fn text(socket: &mut Connection) -> Value {
    let (first_byte, payload) = socket.receive().expect("a text, not the end");
    assert_eq!(first_byte, 0x81, "{}", payload.escape_ascii());
    serde_json::from_slice(&payload).unwrap()
}

/// Bytes, however many frames they come in.
fn bytes(socket: &mut Connection, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let (first_byte, payload) = socket.receive().expect("bytes, not the end");
        assert_eq!(first_byte, 0x82, "{}", payload.escape_ascii());
        bytes.extend_from_slice(&payload);
    }
    bytes
}

/// A device on TCP and a browser, which is the caller or the listener.
fn mixed(hub: &Hub, browser_calls: bool) -> (End, Connection) {
    let mut device = End::new(hub);
    let mut browser;
    if browser_calls {
        device.ask(json!({"listen": "device/1", "once": true}));
        browser = socket(hub, "/stream/device/1");
        assert_eq!(text(&mut browser), json!({"stream": "device/1"}));
        device.hear();
    } else {
        browser = socket(hub, "/stream/device%2F1?listen");
        assert_eq!(text(&mut browser), json!({"listen": "device/1"}));
        assert_eq!(device.ask(json!({"connect": "device/1"})), json!({"stream": "device/1"}));
        let joined = text(&mut browser);
        assert_eq!(joined["stream"], "device/1");
        assert_eq!(joined["from"]["peer"], device.0.local_addr().unwrap().to_string());
    }
    (device, browser)
}

#[test]
fn bytes_go_between_tcp_and_websocket_both_ways() {
    let hub = Hub::start();
    for browser_calls in [true, false] {
        // Several times, so that both shards have some.
        for _ in 0..4 {
            let (mut device, mut browser) = mixed(&hub, browser_calls);
            browser.send(&frame(0x82, b"on"));
            browser.send(&frame(0x82, b""));
            browser.send(&frame(0x82, b"off"));
            device.expect("onoff");
            device.write("21.5");
            assert_eq!(bytes(&mut browser, 4), b"21.5");
        }
    }
}

#[test]
fn much_goes_through_and_a_browser_that_does_not_read_stops_the_device() {
    const BYTES: usize = 32 << 20;
    let hub = Hub::start();
    let (device, mut browser) = mixed(&hub, true);
    let sent = noise(BYTES, 5);
    let all = sent.clone();
    let mut writer = device.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&all).unwrap());
    wait_until("the device is held back", || {
        let before = hub.metric("trefoil_stream_bytes_total");
        std::thread::sleep(std::time::Duration::from_millis(100));
        before > 0 && hub.metric("trefoil_stream_bytes_total") == before
    });
    assert!(hub.metric("trefoil_stream_bytes_total") < BYTES as u64);
    assert!(bytes(&mut browser, BYTES) == sent);
    sender.join().unwrap();
    // And the other way round.
    let mut frames = Vec::new();
    sent.chunks(1 << 20).for_each(|chunk| frames.extend(frame(0x82, chunk)));
    let mut writer = browser.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&frames).unwrap());
    let mut device = device;
    device.expect(&sent);
    sender.join().unwrap();
}

/// A browser that has sent all that it wanted and has said goodbye, and how much that was. The device has read nothing, and
/// most of it is still in the hub.
fn gone_before_it_is_read(hub: &Hub) -> (End, usize) {
    const BYTES: usize = 32 << 20;
    let (device, mut browser) = mixed(hub, true);
    (0..BYTES >> 20).for_each(|_| browser.send(&frame(0x82, &[7; 1 << 20])));
    browser.send(&frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(browser.close_code(), Some(1000));
    (device, BYTES)
}

#[test]
fn who_pauses_still_gets_all_that_a_browser_sent_before_its_goodbye() {
    // Longer than anybody is waited for who has nothing but a goodbye to read.
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(3);
    let hub = limited("stream_buffer_bytes_max = \"64 MiB\"");
    let (mut device, bytes) = gone_before_it_is_read(&hub);
    std::thread::sleep(PAUSE);
    assert_eq!(device.rest().len(), bytes);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn who_reads_nothing_is_reset_and_not_told_that_this_was_all() {
    let hub = limited("stream_buffer_bytes_max = \"64 MiB\"\nstream_idle_s = 1");
    let (mut device, _) = gone_before_it_is_read(&hub);
    wait_until("it is given up", || hub.metric("trefoil_streams_idle_total") == 1);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 1);
    device.is_reset();
}

#[test]
fn a_hub_that_stops_resets_who_has_not_read_all_that_a_browser_sent() {
    let mut hub = limited("stream_buffer_bytes_max = \"64 MiB\"\ndrain_s = 1");
    let (mut device, _) = gone_before_it_is_read(&hub);
    hub.signal("TERM");
    assert!(hub.wait().success());
    device.is_reset();
}

#[test]
fn each_direction_ends_by_itself() {
    let hub = Hub::start();
    let (mut device, mut browser) = mixed(&hub, true);
    browser.send(&frame(0x82, b"question"));
    browser.send_text("{\"end\":true}");
    assert_eq!(device.rest(), b"question");
    device.write("answer");
    assert_eq!(bytes(&mut browser, 6), b"answer");
    device.end();
    assert_eq!(text(&mut browser), json!({"end": true}));
    assert_eq!(browser.close_code(), Some(1000));
    let (mut device, mut browser) = mixed(&hub, false);
    device.write("all");
    device.end();
    assert_eq!(bytes(&mut browser, 3), b"all");
    assert_eq!(text(&mut browser), json!({"end": true}));
    browser.send(&frame(0x82, b"more"));
    device.expect("more");
    // A goodbye is the end, too.
    browser.send(&frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(device.rest(), b"");
    wait_until("both are forgotten", || hub.metric("trefoil_streams") == 0);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn a_browser_that_breaks_off_resets_the_device_and_the_other_way_round() {
    let hub = Hub::start();
    let (mut device, mut browser) = mixed(&hub, true);
    browser.send(&frame(0x88, &1001u16.to_be_bytes()));
    device.is_reset();
    let (mut device, browser) = mixed(&hub, false);
    drop(browser);
    device.is_reset();
    let (device, mut browser) = mixed(&hub, true);
    device.reset();
    assert_eq!(browser.close_code(), Some(4410));
    wait_until("all are forgotten", || hub.metric("trefoil_streams") == 0);
}

#[test]
fn two_browsers_are_joined_and_one_accepts_with_a_token() {
    let hub = Hub::start();
    let mut door = listener(&hub, "chat");
    let mut ann = socket(&hub, "/stream/chat");
    // It need not wait for the hub to say that the stream stands.
    ann.send(&frame(0x82, b"hi"));
    ann.send_text("{\"end\":true}");
    let token = door.hear()["token"].as_str().unwrap().to_owned();
    let mut bob = socket(&hub, &format!("/stream/chat?token={token}"));
    let joined = text(&mut bob);
    assert_eq!((&joined["stream"], joined["from"]["client"].as_str()), (&json!("chat"), None));
    assert_eq!(bytes(&mut bob, 2), b"hi");
    assert_eq!(text(&mut bob), json!({"end": true}));
    assert_eq!(text(&mut ann), json!({"stream": "chat"}));
    bob.send(&frame(0x82, b"ho"));
    assert_eq!(bytes(&mut ann, 2), b"ho");
    let mut late = socket(&hub, &format!("/stream/chat?token={token}"));
    assert_eq!(code(&text(&mut late)), "no_caller");
    assert_eq!(late.close_code(), Some(4404));
}

#[test]
fn a_close_code_says_why_there_is_no_stream() {
    let hub = limited("streams_max = 1\nstream_accept_s = 1");
    let refused = |path: &str| {
        let mut socket = socket(&hub, path);
        let code = code(&text(&mut socket));
        (code, socket.close_code().unwrap())
    };
    assert_eq!(refused("/stream/nobody"), ("no_listener".into(), 4404));
    assert_eq!(refused("/stream/nobody?wait_s=1"), ("no_listener".into(), 4404));
    let mut door = listener(&hub, "door");
    assert_eq!(refused("/stream/door?listen&exclusive"), ("taken".into(), 4409));
    assert_eq!(refused("/stream/door"), ("timeout".into(), 4408));
    door.hear();
    let mut unwanted = socket(&hub, "/stream/door");
    let token = door.hear()["token"].clone();
    door.ask(json!({"refuse": token}));
    assert_eq!(code(&text(&mut unwanted)), "refused");
    assert_eq!(unwanted.close_code(), Some(4403));
    let _stream = super::pair(&hub, "one");
    assert_eq!(refused("/stream/door"), ("quota".into(), 4429));
}

#[test]
fn what_does_not_belong_there_is_refused() {
    let hub = Hub::start();
    for path in [
        "/stream/",
        "/stream/..",
        "/stream/a/../b",
        "/stream/a%00",
        "/stream/%ff",
        "/stream/a?x=1",
        "/stream/a?wait_s=0",
    ] {
        let mut stream = connect(hub.http_port());
        stream.write_all(&handshake(path, "")).unwrap();
        let answer = String::from_utf8(stream.rest()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
    }
    let (mut device, mut browser) = mixed(&hub, true);
    browser.send_text("hello");
    assert_eq!(browser.close_code(), Some(1003));
    device.is_reset();
    let (mut device, mut browser) = mixed(&hub, true);
    browser.send_text("{\"end\":true}");
    browser.send(&frame(0x82, b"more"));
    assert_eq!(browser.close_code(), Some(1008));
    assert_eq!(device.rest(), b"");
    // What comes before the stream stands is bounded.
    let mut early = socket(&hub, "/stream/late?wait_s=600");
    early.send(&frame(0x82, &[0; 262_145]));
    assert_eq!(early.close_code(), Some(1009));
    assert_eq!(hub.metric("trefoil_stream_callers"), 0);
    // Who goes while it waits is forgotten at once.
    let mut gone = socket(&hub, "/stream/late?listen");
    text(&mut gone);
    assert_eq!(hub.metric("trefoil_stream_listeners"), 1);
    gone.send(&frame(0x88, &1000u16.to_be_bytes()));
    assert_eq!(gone.close_code(), Some(1000));
    assert_eq!(hub.metric("trefoil_stream_listeners"), 0);
}

#[test]
fn whoever_is_unknown_opens_no_stream() {
    let hub = Hub::with_users(&[("ann", "apple")], "");
    let mut stream = connect(hub.tcp_port());
    stream.write_all(&handshake("/stream/a", "")).unwrap();
    let answer = String::from_utf8(stream.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // ann:apple, in the header and where a page cannot set one.
    for offer in [
        "Authorization: Basic YW5uOmFwcGxl",
        "Sec-WebSocket-Protocol: trefoil.v1.stream, trefoil.auth.YW5uOmFwcGxl",
    ] {
        let mut socket = Connection::with_headers(hub.tcp_port(), "/stream/a", &format!("{offer}\r\n"));
        assert_eq!(code(&text(&mut socket)), "no_listener");
    }
}
