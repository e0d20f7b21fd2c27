//! Users that are added, changed and deleted while the hub runs.

use super::bans::ask;
use serde_json::{Value, json};
use trefoil_tests::mqtt::property::{id, section, text};
use trefoil_tests::mqtt::{Connect, Connection, packet};
use trefoil_tests::scram::Scram;
use trefoil_tests::{Hub, Program, lines, set_user, trefoil, wait_until, websocket};

const ADMIN: [&str; 2] = ["-u", "admin:secret"];

/// MQTT 5: Administrative action, Not authorized, Bad user name or password.
const ADMINISTRATIVE: u8 = 0x98;
const NOT_AUTHORIZED: u8 = 0x87;
const WRONG_PASSWORD: u8 = 0x86;

fn hub() -> Hub {
    Hub::with_users(&[("admin", "secret")], "")
}

fn by_admin(hub: &Hub, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    ask(hub, method, path, body, &ADMIN)
}

/// Gives a user a password, which must succeed. Gives how many connections were ended.
fn set(hub: &Hub, name: &str, password: &str, status: u16) -> u64 {
    let (found, answer) =
        by_admin(hub, "PUT", &format!("/api/v1/users/{name}"), Some(&json!({"password": password})));
    assert_eq!((found, &answer["kept"]), (status, &json!(true)), "{answer}");
    answer["disconnected"].as_u64().unwrap()
}

fn request(user: &str, password: &str) -> Connect {
    Connect::new(5, user).user(user).password(password)
}

/// The code of CONNACK for a password that is sent.
fn code(hub: &Hub, user: &str, password: &str) -> u8 {
    Connection::asking(hub.tcp_port(), &request(user, password)).1.expect("a CONNACK").code
}

/// A connection in the middle of SCRAM, and the AUTH that comes next.
fn half_way(hub: &Hub, user: &str, password: &str) -> (Connection, Vec<u8>) {
    let mut scram = Scram::new(user, password);
    let said = |data: &[u8]| {
        [text(id::AUTHENTICATION_METHOD, "SCRAM-SHA-256"), text(id::AUTHENTICATION_DATA, data)].concat()
    };
    let mut connection = Connection::open(hub.tcp_port(), 5);
    connection.send(&Connect::new(5, user).property(said(&scram.first())).packet());
    let challenge = connection.receive().disconnect();
    let last = scram.last(challenge.properties.bytes(id::AUTHENTICATION_DATA).unwrap());
    (connection, packet(0xf0, &[&[0x18][..], &section(&said(&last))].concat()))
}

/// The same by SCRAM.
fn scram_code(hub: &Hub, user: &str, password: &str) -> u8 {
    let (mut connection, last) = half_way(hub, user, password);
    connection.send(&last);
    connection.receive().connack().code
}

/// All users with where they stand.
fn list(hub: &Hub) -> Vec<(String, String)> {
    let (status, answer) = by_admin(hub, "GET", "/api/v1/users", None);
    assert_eq!(status, 200, "{answer}");
    let shown = answer.to_string();
    assert!(!shown.contains('$') && !shown.contains("SCRAM"), "nothing of a password: {shown}");
    let users = answer["users"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    users.map(|user| (text(&user["user"]), text(&user["source"]))).collect()
}

fn named<const N: usize>(users: [(&str, &str); N]) -> Vec<(String, String)> {
    users.map(|(user, source)| (user.to_owned(), source.to_owned())).to_vec()
}

#[test]
fn a_user_is_added_and_comes_in_by_every_way() {
    let hub = hub();
    assert_eq!(code(&hub, "bob", "b"), WRONG_PASSWORD);
    let (status, answer) =
        by_admin(&hub, "POST", "/api/v1/users", Some(&json!({"user": "bob", "password": "b"})));
    let expected = json!({"user": "bob", "changed": false, "disconnected": 0, "kept": true});
    assert_eq!((status, answer), (201, expected));
    assert_eq!(list(&hub), named([("bob", "store"), ("admin", "file")]));
    let port = hub.tcp_port().to_string();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let arguments = ["-p", &port, "-V", version, "-u", "bob", "-P", "b", "-t", "t", "-m", "x"];
        Program::new("mosquitto_pub").args(arguments).run().success();
    }
    assert_eq!((scram_code(&hub, "bob", "b"), scram_code(&hub, "bob", "x")), (0, NOT_AUTHORIZED));
    assert_eq!(ask(&hub, "GET", "/api/v1/stats", None, &["-u", "bob:b"]).0, 200);
    let mut line = lines::Connection::new(hub.tcp_port());
    assert_eq!(line.ask(r#"{"auth":{"user":"bob","password":"b"}}"#), json!({"auth": {"user": "bob"}}));
    let mut socket = websocket::Connection::new(hub.tcp_port(), "/ws");
    socket.send_text(r#"{"auth":{"user":"bob","password":"b"}}"#);
    assert_eq!(socket.receive().unwrap().1, br#"{"auth":{"user":"bob"}}"#);
    assert_eq!(hub.metric("trefoil_users{source=\"store\"}"), 1);
    assert_eq!(hub.metric("trefoil_users{source=\"file\"}"), 1);
    assert!(hub.log().contains("the user \"bob\" is added by=\"admin\""), "{}", hub.log());
}

#[test]
fn another_password_ends_what_stands_unless_that_is_not_wanted() {
    let hub = hub();
    assert_eq!(set(&hub, "bob", "one", 201), 0);
    let connected = |password: &str| Connection::with(hub.tcp_port(), &request("bob", password)).0;
    let mut bob = connected("one");
    let mut line = lines::Connection::new(hub.tcp_port());
    line.ask(r#"{"auth":{"user":"bob","password":"one"}}"#);
    let mut admin = Connection::with(hub.tcp_port(), &request("admin", "secret")).0;
    let (mut half, last) = half_way(&hub, "bob", "one");
    assert_eq!(set(&hub, "bob", "two", 200), 2);
    bob.expect_end(ADMINISTRATIVE);
    assert_eq!(line.receive()["error"]["reason"], "the user was given another password");
    assert_eq!(line.line(), None);
    admin.ping();
    // What began with the old password does not end with it.
    half.send(&last);
    assert_eq!(half.receive().connack().code, NOT_AUTHORIZED);
    assert_eq!((code(&hub, "bob", "one"), code(&hub, "bob", "two")), (WRONG_PASSWORD, 0));
    assert_eq!((scram_code(&hub, "bob", "one"), scram_code(&hub, "bob", "two")), (NOT_AUTHORIZED, 0));

    let mut bob = connected("two");
    let body = json!({"password": "three", "keep_connections": true});
    let (status, answer) = by_admin(&hub, "PUT", "/api/v1/users/bob", Some(&body));
    assert_eq!((status, &answer["disconnected"]), (200, &json!(0)));
    bob.ping();
    assert_eq!((code(&hub, "bob", "two"), code(&hub, "bob", "three")), (WRONG_PASSWORD, 0));
    bob.expect_end(0x8e);

    let mut bob = connected("three");
    assert_eq!(by_admin(&hub, "DELETE", "/api/v1/users/bob?keep_connections=true", None).0, 200);
    bob.ping();
    assert_eq!(code(&hub, "bob", "three"), WRONG_PASSWORD);
    set(&hub, "bob", "four", 201);
    let (status, answer) = by_admin(&hub, "DELETE", "/api/v1/users/bob", None);
    assert_eq!((status, answer), (200, json!({"removed": true, "disconnected": 1, "kept": true})));
    bob.expect_end(ADMINISTRATIVE);
    assert_eq!(code(&hub, "bob", "four"), WRONG_PASSWORD);
    assert_eq!(by_admin(&hub, "DELETE", "/api/v1/users/bob", None).0, 404);
    admin.ping();
}

#[test]
fn a_password_that_http_knows_is_forgotten_too() {
    let hub = hub();
    set(&hub, "bob", "one", 201);
    // Two requests on one connection: the second would not be hashed again, were it not for the change in between.
    let mut stream = trefoil_tests::connect(hub.http_port());
    let mut status = || {
        use std::io::{Read, Write};
        let request =
            "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".replace("/livez", "/api/v1/users?limit=1");
        let request = request.replace("\r\n\r\n", "\r\nAuthorization: Basic Ym9iOm9uZQ==\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = [0; 12];
        stream.read_exact(&mut bytes).unwrap();
        let mut rest = [0; 65_536];
        let _ = stream.read(&mut rest).unwrap();
        String::from_utf8(bytes[9..].to_vec()).unwrap()
    };
    assert_eq!(status(), "200");
    set(&hub, "bob", "two", 200);
    assert_eq!(status(), "401");
}

#[test]
fn users_are_kept_through_a_crash() {
    let hub = hub();
    for name in ["bob", "eve", "zoe"] {
        set(&hub, name, "one", 201);
    }
    set(&hub, "bob", "two", 200);
    assert_eq!(by_admin(&hub, "DELETE", "/api/v1/users/eve", None).0, 200);
    let config = std::fs::read_to_string(hub.folder().join("trefoil.toml")).unwrap();
    let mut hub = Hub::resume(hub.leave("KILL"), &config);
    for _ in 0..2 {
        assert_eq!(list(&hub), named([("bob", "store"), ("zoe", "store"), ("admin", "file")]));
        assert_eq!((code(&hub, "bob", "two"), code(&hub, "zoe", "one")), (0, 0));
        assert_eq!((code(&hub, "bob", "one"), code(&hub, "eve", "one")), (WRONG_PASSWORD, WRONG_PASSWORD));
        hub.upgrade();
    }
}

#[test]
fn the_file_has_the_last_word() {
    let hub = hub();
    for (method, path) in [("PUT", "/api/v1/users/admin"), ("DELETE", "/api/v1/users/admin")] {
        let (status, answer) = by_admin(&hub, method, path, Some(&json!({"password": "x"})));
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{method}: {answer}");
    }
    assert_eq!(
        by_admin(&hub, "POST", "/api/v1/users", Some(&json!({"user": "admin", "password": "x"}))).0,
        409
    );
    set(&hub, "bob", "store", 201);
    let (status, answer) =
        by_admin(&hub, "POST", "/api/v1/users", Some(&json!({"user": "bob", "password": "x"})));
    assert_eq!(status, 409, "{answer}");
    // Whoever has forgotten a password, or was robbed of it, writes another one into the file.
    set_user(hub.folder(), "bob", "file");
    hub.signal("HUP");
    wait_until("the file is read again", || code(&hub, "bob", "file") == 0);
    assert_eq!(code(&hub, "bob", "store"), WRONG_PASSWORD);
    assert_eq!(list(&hub), named([("bob", "store"), ("admin", "file"), ("bob", "file")]));
    assert_eq!(by_admin(&hub, "GET", "/api/v1/users", None).1["users"][0]["hidden"], true);
    let mut bob = Connection::with(hub.tcp_port(), &request("bob", "file")).0;
    assert_eq!(
        by_admin(&hub, "DELETE", "/api/v1/users/bob", None).0,
        200,
        "the hidden one can be cleared away"
    );
    bob.ping();
    assert_eq!(list(&hub), named([("admin", "file"), ("bob", "file")]));
    // A file that is read again leaves those of the store.
    set(&hub, "zoe", "z", 201);
    trefoil(["passwd", "--delete", "users.txt", "bob"]).folder(hub.folder()).run().success();
    hub.signal("HUP");
    wait_until("bob is gone", || code(&hub, "bob", "file") == WRONG_PASSWORD);
    assert_eq!(code(&hub, "zoe", "z"), 0);
}

#[test]
fn what_is_no_user_is_refused_with_the_reason() {
    let hub = Hub::with_users(&[("admin", "secret")], "users_max = 2\n");
    let (long_name, long_password) = ("x".repeat(256), "x".repeat(1025));
    for (body, code, field) in [
        (json!({}), "missing_field", "user"),
        (json!({"user": "bob"}), "missing_field", "password"),
        (json!({"user": "bob", "password": "b", "role": "admin"}), "unknown_field", "role"),
        (json!({"user": "", "password": "b"}), "bad_field", "user"),
        (json!({"user": "a:b", "password": "b"}), "bad_field", "user"),
        (json!({"user": "#a", "password": "b"}), "bad_field", "user"),
        (json!({"user": long_name, "password": "b"}), "bad_field", "user"),
        (json!({"user": "bob", "password": ""}), "bad_field", "password"),
        (json!({"user": "bob", "password": 7}), "bad_field", "password"),
        (json!({"user": "bob", "password": "a\u{7}"}), "bad_field", "password"),
        (json!({"user": "bob", "password": long_password}), "bad_field", "password"),
        (json!({"user": "bob", "record": "plain"}), "bad_field", "record"),
        (json!({"user": "bob", "password": "b", "keep_connections": 1}), "bad_field", "keep_connections"),
    ] {
        let (status, answer) = by_admin(&hub, "POST", "/api/v1/users", Some(&body));
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{body}: {answer}");
        assert_eq!(answer["error"]["field"], field, "{body}: {answer}");
    }
    assert_eq!(list(&hub), named([("admin", "file")]));
    set(&hub, "one", "x", 201);
    // A record that was made elsewhere: nobody sends the password to the hub.
    set_user(hub.folder(), "two", "the password");
    let file = std::fs::read_to_string(hub.folder().join("users.txt")).unwrap();
    let record = file.lines().find_map(|line| line.strip_prefix("two:")).unwrap();
    assert_eq!(by_admin(&hub, "PUT", "/api/v1/users/two", Some(&json!({"record": record}))).0, 201);
    assert_eq!(code(&hub, "two", "the password"), 0);
    let (status, answer) = by_admin(&hub, "PUT", "/api/v1/users/three", Some(&json!({"password": "x"})));
    assert_eq!(status, 507, "{answer}");
    set(&hub, "one", "y", 200);
    // Names with what paths have a meaning for.
    assert_eq!(by_admin(&hub, "DELETE", "/api/v1/users/one", None).0, 200);
    set(&hub, "a%2Fb%20c", "x", 201);
    assert_eq!(code(&hub, "a/b c", "x"), 0);
    assert_eq!(by_admin(&hub, "DELETE", "/api/v1/users/a%2Fb%20c", None).0, 200);
}

#[test]
fn who_is_no_user_makes_none() {
    let hub = hub();
    let body = json!({"user": "eve", "password": "e"});
    // The listener lets in who says nothing, to look at figures.
    assert_eq!(ask(&hub, "GET", "/api/v1/stats", None, &[]).0, 200);
    for more in [&[][..], &["-u", "admin:wrong"], &["-u", "eve:e"]] {
        assert_eq!(ask(&hub, "POST", "/api/v1/users", Some(&body), more).0, 401, "{more:?}");
        assert_eq!(ask(&hub, "PUT", "/api/v1/users/eve", Some(&json!({"password": "e"})), more).0, 401);
        assert_eq!(ask(&hub, "DELETE", "/api/v1/users/admin", None, more).0, 401);
        assert_eq!(ask(&hub, "GET", "/api/v1/users", None, more).0, 401);
    }
    assert_eq!(list(&hub), named([("admin", "file")]));
    // Where nobody is asked who they are, users would be of no use.
    let hub = Hub::start();
    let none = json!({"total": 0, "asked": false, "kept": true, "users": []});
    assert_eq!(ask(&hub, "GET", "/api/v1/users", None, &[]), (200, none));
    for (method, path, body) in
        [("POST", "/api/v1/users", Some(&body)), ("DELETE", "/api/v1/users/eve", None)]
    {
        let (status, answer) = ask(&hub, method, path, body, &[]);
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{answer}");
    }
}
