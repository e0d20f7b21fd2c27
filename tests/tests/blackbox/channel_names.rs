//! Who is behind a channel: users, names, and sessions that outlast it.

use super::channels::status;
use serde_json::json;

use trefoil_tests::channel::{Channel, Http, numbered};
use trefoil_tests::{CONFIG, Hub, USERS_CONFIG, lines};

pub(crate) const ANN: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";

#[test]
fn users_say_who_they_are_when_they_open_it_or_in_the_first_request() {
    let hub = Hub::with_users(&[("ann", "secret")], "");
    let port = hub.tcp_port();
    let mut basic = Channel::open(port, ANN, r#"{"sub":"t"}"#);
    assert_eq!(basic.receive()["sub"], "t");
    // The connection may be that of a proxy, and the next request another's.
    let opened = basic.saying.ask("POST /channel", "", r#"{"sub":"t","id":5}"#).json();
    let path = format!("/channel/{}", opened["channel"].as_str().unwrap());
    let (_, objects) = numbered(&basic.saying.ask(&format!("GET {path}?after=0"), "", "").json());
    assert_eq!((&objects[0]["error"]["code"], &objects[0]["id"]), (&json!("not_authorized"), &json!(5)));
    // Behind a password that is being looked at requests wait, also those of other connections.
    let mut channel = Channel::open(port, "", r#"{"auth":{"user":"ann","password":"secret"},"id":1}"#);
    channel.say(r#"{"sub":"t","id":2}"#);
    assert_eq!(channel.receive(), json!({ "auth": { "user": "ann" }, "ack": 1 }));
    assert_eq!(channel.receive(), json!({ "sub": "t", "qos": 0, "ack": 2 }));
    let wrong = Http::new(port).ask("POST /channel", "Authorization: Basic YW5uOnh4eA==\r\n", "");
    assert_eq!(wrong.status, 401);
    let mut guessing = Channel::open(port, "", "");
    for _ in 0..3 {
        let answer = guessing.ask(r#"{"auth":{"user":"ann","password":"guess"}}"#);
        assert_eq!(answer["error"]["code"], "not_authorized");
    }
    guessing.is_gone();
    // A token is worth nothing any more once its user has to go, and only hers.
    let mut admin = Http::new(hub.http_port());
    let added = admin.ask("PUT /api/v1/users/eve", ANN, r#"{"password":"e"}"#);
    assert_eq!(added.status, 201, "{added:?}");
    let mut eve = Channel::open(port, "", r#"{"auth":{"user":"eve","password":"e"}}"#);
    assert_eq!(eve.receive(), json!({ "auth": { "user": "eve" } }));
    let deleted = admin.ask("DELETE /api/v1/users/eve", ANN, "");
    assert_eq!((deleted.status, &deleted.json()["disconnected"]), (200, &json!(1)), "{deleted:?}");
    assert_eq!(eve.receive()["error"]["code"], "not_authorized");
    eve.is_gone();
    assert_eq!(basic.ask(r#"{"ping":1}"#), json!({ "pong": 1 }));
}

#[test]
fn who_never_says_who_it_is_is_forgotten() {
    let config = format!("{USERS_CONFIG}\n[limits]\nfirst_bytes_timeout_s = 1\n");
    let folder = Hub::with_users(&[("ann", "secret")], "").leave("TERM");
    let hub = Hub::resume(folder, &config);
    let mut channel = Channel::open(hub.tcp_port(), "", "");
    channel.hearing.send(&format!("GET {}?after=0", channel.path()), "", "").unwrap();
    let answer = channel.hearing.receive().unwrap();
    assert_eq!(status(&answer), (410, "gone".to_owned()));
    channel.is_gone();
}

#[test]
fn a_name_is_said_when_the_channel_is_opened() {
    let hub = Hub::with_config(&CONFIG.replace("shards = 2", "shards = 4"));
    let port = hub.http_port();
    for n in 0..8 {
        let hello = json!({ "hello": { "client": format!("page-{n}"), "batch": true }, "id": 1 });
        let requests =
            json!([hello, { "sub": "named", "id": 2 }, { "pub": "named", "data": n, "qos": 1, "id": 3 }]);
        let mut channel = Channel::open(port, "", &requests.to_string());
        let welcome = channel.receive();
        assert_eq!((&welcome["hello"]["client"], &welcome["ack"]), (&json!(format!("page-{n}")), &json!(1)));
        assert_eq!(channel.receive()["sub"], "named");
        let both = [channel.receive(), channel.receive()];
        assert!(both.iter().any(|o| o["data"] == n) && both.iter().any(|o| o["ack"] == 3), "{both:?}");
        // The same page opens another one.
        let mut again = Channel::open(port, "", &json!([hello]).to_string());
        assert_eq!(again.receive()["hello"]["client"], format!("page-{n}"));
        assert_eq!(channel.receive()["error"]["code"], "unavailable");
        channel.is_gone();
        assert_eq!(again.ask(&json!({ "ping": n }).to_string()), json!({ "pong": n }));
        assert_eq!(again.saying.ask(&format!("POST {}/close", again.path()), "", "").status, 204);
    }
    assert_eq!(hub.metric("trefoil_connections{kind=\"poll\"}"), 0);
    // Later it is too late: the channel is where it is.
    let mut channel = Channel::open(port, "", "");
    let late = channel.ask(r#"{"hello":{"client":"late"},"id":4}"#);
    assert_eq!((&late["error"]["code"], &late["error"]["field"]), (&json!("bad_field"), &json!("client")));
    assert!(channel.ask(r#"{"hello":{"info":{"name":"Ann"}},"id":5}"#)["hello"]["client"].is_string());
}

#[test]
fn a_session_outlasts_its_channel() {
    let hub = Hub::start();
    let hello = r#"{"hello":{"client":"page","session_s":3600},"id":1}"#;
    let mut channel = Channel::open(hub.http_port(), "", hello);
    assert_eq!(channel.receive()["hello"]["resumed"], false);
    channel.ask(r#"{"sub":"c","qos":1,"id":2}"#);
    channel.saying.ask(&format!("POST {}/close", channel.path()), "", "");
    channel.is_gone();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"pub":"c","data":1,"qos":1,"id":3}"#);
    let mut channel = Channel::open(hub.http_port(), "", hello);
    assert_eq!(channel.receive()["hello"]["resumed"], true);
    assert_eq!(channel.receive()["data"], 1);
    let beats = channel.ask(r#"{"hello":{"heartbeat_s":1},"id":4}"#);
    assert_eq!(beats["error"]["code"], "bad_field");
}
