//! Who a client is: user name and password, and enhanced authentication (sections 3.15 and 4.12).

use trefoil_tests::mqtt::property::{id, number, section, text};
use trefoil_tests::mqtt::{Connect, Connection, Disconnect, VERSIONS, Will, packet, subscribe_packet};
use trefoil_tests::scram::Scram;
use trefoil_tests::{Hub, set_user, trefoil, wait_until, websocket};

const METHOD: &str = "SCRAM-SHA-256";

/// Reason codes.
const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;
const PROTOCOL_ERROR: u8 = 0x82;
const BAD_PASSWORD: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;
const BAD_METHOD: u8 = 0x8C;
const PACKET_TOO_LARGE: u8 = 0x95;

fn hub() -> Hub {
    Hub::with_users(&[("ann", "ann's password"), ("bob", "bob's password")], "")
}

/// CONNECT by password.
fn by_password(version: u8, client_id: &str, user: &str, password: &str) -> Connect {
    Connect::new(version, client_id).user(user).password(password)
}

/// CONNECT by a method, with what it says first.
fn by_method(client_id: &str, method: &str, data: &[u8]) -> Connect {
    let properties = [text(id::AUTHENTICATION_METHOD, method), text(id::AUTHENTICATION_DATA, data)].concat();
    Connect::new(5, client_id).property(properties)
}

/// AUTH.
fn auth(reason: u8, method: &str, data: &[u8]) -> Vec<u8> {
    let properties = [text(id::AUTHENTICATION_METHOD, method), text(id::AUTHENTICATION_DATA, data)].concat();
    packet(0xF0, &[&[reason][..], &section(&properties)].concat())
}

/// The next packet, which must be an AUTH of this method. Returns its reason and data.
fn receive_auth(connection: &mut Connection) -> (u8, Vec<u8>) {
    let packet = connection.receive();
    assert_eq!(packet.first_byte, 0xF0, "AUTH: {packet:?}");
    let Disconnect { reason, properties } = packet.disconnect();
    assert_eq!(properties.text(id::AUTHENTICATION_METHOD), Some(METHOD));
    (reason, properties.bytes(id::AUTHENTICATION_DATA).unwrap_or_default().to_vec())
}

/// Connects by SCRAM up to the challenge. Returns what is to be sent next.
fn begin(port: u16, client_id: &str, user: &str, password: &str) -> (Connection, Scram, Vec<u8>) {
    let mut scram = Scram::new(user, password);
    let mut connection = Connection::open(port, 5);
    connection.send(&by_method(client_id, METHOD, &scram.first()).packet());
    let (reason, challenge) = receive_auth(&mut connection);
    assert_eq!(reason, CONTINUE);
    let last = scram.last(&challenge);
    (connection, scram, last)
}

/// Connects by SCRAM.
fn connected(port: u16, client_id: &str, user: &str, password: &str) -> Connection {
    let (mut connection, scram, last) = begin(port, client_id, user, password);
    connection.send(&auth(CONTINUE, METHOD, &last));
    let answer = connection.receive().connack();
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(answer.properties.text(id::AUTHENTICATION_METHOD), Some(METHOD));
    scram.check(answer.properties.bytes(id::AUTHENTICATION_DATA).unwrap());
    connection
}

/// The code of the CONNACK that refuses, behind which nothing comes.
fn refusal(port: u16, request: &Connect) -> u8 {
    let (mut connection, answer) = Connection::asking(port, request);
    let code = answer.unwrap().code;
    assert!(connection.try_receive().is_none(), "behind a refusal comes nothing");
    code
}

/// [MQTT-3.1.4-2] [MQTT-3.1.4-5] [v3 MQTT-3.2.2-5]: who fails is closed, who does not is told so first.
#[test]
fn passwords_are_checked_in_every_version() {
    let hub = hub();
    let port = hub.tcp_port();
    for version in VERSIONS {
        let (bad, none) = if version == 5 { (BAD_PASSWORD, NOT_AUTHORIZED) } else { (4, 5) };
        for (user, password) in [("ann", "wrong"), ("ann", ""), ("nobody", "ann's password"), ("", "")] {
            let code = refusal(port, &by_password(version, "client", user, password));
            assert_eq!(code, bad, "version {version}, {user}, {password}");
        }
        assert_eq!(refusal(port, &Connect::new(version, "client").user("ann")), bad, "version {version}");
        assert_eq!(refusal(port, &Connect::new(version, "client")), none, "version {version}");
        // Sessions of these names belong to different shards.
        for number in 0..8 {
            let (mut client, answer) = Connection::with(
                port,
                &by_password(version, &format!("client-{number}"), "ann", "ann's password"),
            );
            assert_eq!(answer.properties.text(id::AUTHENTICATION_METHOD), None);
            client.ping();
        }
    }
    // A password without a user name is allowed in 5.0, and nobody's.
    assert_eq!(refusal(port, &Connect::new(5, "client").password("ann's password")), BAD_PASSWORD);
}

/// [MQTT-3.1.4-6] [v3 MQTT-3.1.4-5]: what follows a CONNECT that is refused is not looked at; what follows one that is
/// accepted waits.
#[test]
fn packets_behind_connect_wait_for_the_password() {
    let hub = hub();
    let mut witness = Connection::with(hub.tcp_port(), &by_password(5, "witness", "ann", "ann's password")).0;
    witness.subscribe("#", 0);
    for (number, password, is_right) in [(0, "wrong", false), (1, "bob's password", true), (2, "x", false)] {
        let mut client = Connection::open(hub.tcp_port(), 4);
        let connect = by_password(4, &format!("client-{number}"), "bob", password).packet();
        let publish = trefoil_tests::mqtt::publish_packet(4, "from", number.to_string().as_bytes());
        client.offer(&[connect, subscribe_packet(4, "x", 0), publish].concat());
        assert_eq!(client.receive().connack().code, if is_right { 0 } else { 4 });
        if is_right {
            assert_eq!(client.receive().first_byte, 0x90, "SUBACK");
            assert_eq!(witness.receive_publish().payload, b"1");
            client.ping();
        } else {
            assert!(client.try_receive().is_none());
        }
    }
    witness.ping();
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.2-1]
#[test]
fn scram_lets_in_who_knows_the_password() {
    let hub = hub();
    for number in 0..4 {
        let mut client = connected(hub.tcp_port(), &format!("client-{number}"), "ann", "ann's password");
        client.subscribe("t", 1);
        client.ping();
    }
    // A client that has nothing to say at first is asked.
    let mut scram = Scram::new("bob", "bob's password");
    let mut client = Connection::open(hub.tcp_port(), 5);
    client.send(&Connect::new(5, "late").property(text(id::AUTHENTICATION_METHOD, METHOD)).packet());
    assert_eq!(receive_auth(&mut client), (CONTINUE, Vec::new()));
    client.send(&auth(CONTINUE, METHOD, &scram.first()));
    let (_, challenge) = receive_auth(&mut client);
    client.send(&auth(CONTINUE, METHOD, &scram.last(&challenge)));
    assert_eq!(client.receive().connack().code, 0);
}

/// [MQTT-4.12.0-4]: the proof is wrong, or that of nobody, who is asked like anybody else.
#[test]
fn scram_keeps_others_out() {
    let hub = hub();
    let challenge = |user: &str, password: &str| {
        let (mut client, _, last) = begin(hub.tcp_port(), "client", user, password);
        client.send(&auth(CONTINUE, METHOD, &last));
        let answer = client.receive().connack();
        assert_eq!(answer.code, NOT_AUTHORIZED, "{user}");
        assert!(client.try_receive().is_none());
    };
    challenge("ann", "wrong");
    challenge("nobody", "ann's password");
    for bad in ["", "n,,n=ann", "p=tls-unique,,n=ann,r=x", "n,a=bob,n=ann,r=x", "n,,m=x,n=ann,r=x"] {
        let request = by_method("client", METHOD, bad.as_bytes());
        assert_eq!(refusal(hub.tcp_port(), &request), NOT_AUTHORIZED, "{bad}");
    }
    assert_eq!(hub.stat("auth_failures"), 7);
}

/// [MQTT-4.12.0-1]
#[test]
fn methods_that_nobody_knows_are_refused() {
    let hub = hub();
    for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN", ""] {
        assert_eq!(refusal(hub.tcp_port(), &by_method("client", method, b"x")), BAD_METHOD, "{method}");
    }
    let without_users = Hub::start();
    assert_eq!(refusal(without_users.tcp_port(), &by_method("client", METHOD, b"n,,n=a,r=x")), BAD_METHOD);
}

/// [MQTT-3.1.2-30]: nothing but AUTH and DISCONNECT until CONNACK has come; [MQTT-4.12.0-3] [MQTT-4.12.0-5]: and AUTH
/// only with 0x18 and the same method.
#[test]
fn before_connack_only_the_exchange_goes_on() {
    let hub = hub();
    let (_, mut scram, _) = begin(hub.tcp_port(), "other", "ann", "ann's password");
    let wrong = [
        subscribe_packet(5, "t", 0),
        vec![0xC0, 0],
        Connect::new(5, "again").packet(),
        auth(AGAIN, METHOD, &scram.first()),
        auth(0, METHOD, &scram.first()),
        auth(CONTINUE, "SCRAM-SHA-1", &scram.first()),
        packet(0xF0, &[]),
    ];
    for bytes in wrong {
        let (mut client, _, _) = begin(hub.tcp_port(), "client", "ann", "ann's password");
        client.offer(&bytes);
        assert_eq!(client.receive().connack().code, PROTOCOL_ERROR, "{bytes:02x?}");
        assert!(client.try_receive().is_none());
    }
    // [MQTT-3.15.1-1]
    let (mut client, _, last) = begin(hub.tcp_port(), "client", "ann", "ann's password");
    let mut bytes = auth(CONTINUE, METHOD, &last);
    bytes[0] |= 1;
    client.offer(&bytes);
    assert_eq!(client.receive().connack().code, 0x81);
    // A goodbye is one.
    let (client, _, _) = begin(hub.tcp_port(), "client", "ann", "ann's password");
    client.leave();
    drop(scram.last(b"r=nonce-of-ann-and-as-much-again,s=AAAA,i=1"));
}

/// A client that begins and falls silent is not waited for.
#[test]
fn an_exchange_has_a_deadline() {
    let hub = Hub::with_users(&[("ann", "x")], "[limits]\nfirst_bytes_timeout_s = 1\n");
    let (mut client, _, _) = begin(hub.tcp_port(), "client", "ann", "x");
    assert!(client.try_receive().is_none());
    // The same for a client that wants to prove it again, which has no other deadline.
    let mut client = connected(hub.tcp_port(), "client", "ann", "x");
    client.send(&auth(AGAIN, METHOD, &Scram::new("ann", "x").first()));
    assert_eq!(receive_auth(&mut client).0, CONTINUE);
    client.expect_end(NOT_AUTHORIZED);
}

/// [MQTT-4.12.1-1]: the same method on a connection that stands, while everything else goes on.
#[test]
fn a_client_proves_once_more_who_it_is() {
    let hub = hub();
    let mut client = connected(hub.tcp_port(), "client", "ann", "ann's password");
    client.subscribe("t", 0);
    for _ in 0..2 {
        let mut scram = Scram::new("ann", "ann's password");
        client.send(&auth(AGAIN, METHOD, &scram.first()));
        let (reason, challenge) = receive_auth(&mut client);
        assert_eq!(reason, CONTINUE);
        client.publish("t", b"meanwhile");
        assert_eq!(client.receive_publish().payload, b"meanwhile");
        client.send(&auth(CONTINUE, METHOD, &scram.last(&challenge)));
        let (reason, last) = receive_auth(&mut client);
        assert_eq!(reason, 0);
        scram.check(&last);
        client.ping();
    }
}

/// [MQTT-4.12.1-2] [MQTT-4.12.1-1]: the connection is closed, and the will published, as behind any fault.
#[test]
fn who_cannot_prove_it_again_is_closed() {
    let hub = hub();
    let mut witness = Connection::with(hub.tcp_port(), &by_password(5, "witness", "bob", "bob's password")).0;
    witness.subscribe("gone", 0);
    let again = |user: &str, password: &str| {
        let mut scram = Scram::new("ann", "ann's password");
        let request = by_method("client", METHOD, &scram.first()).will(Will::new("gone", "gone"));
        let mut client = Connection::open(hub.tcp_port(), 5);
        client.send(&request.packet());
        let (_, challenge) = receive_auth(&mut client);
        client.send(&auth(CONTINUE, METHOD, &scram.last(&challenge)));
        assert_eq!(client.receive().connack().code, 0);
        let mut scram = Scram::new(user, password);
        client.send(&auth(AGAIN, METHOD, &scram.first()));
        let (_, challenge) = receive_auth(&mut client);
        client.send(&auth(CONTINUE, METHOD, &scram.last(&challenge)));
        client.expect_end(NOT_AUTHORIZED);
    };
    // Another user who knows the own password does not get this session either.
    for (user, password) in [("ann", "wrong"), ("nobody", "x"), ("bob", "bob's password")] {
        again(user, password);
        assert_eq!(witness.receive_publish().payload, b"gone");
    }
    for bytes in [
        auth(AGAIN, "SCRAM-SHA-1", b"n,,n=ann,r=x"),
        auth(CONTINUE, METHOD, b"n,,n=ann,r=x"),
        auth(0, METHOD, b"n,,n=ann,r=x"),
        packet(0xF0, &[]),
    ] {
        let mut client = connected(hub.tcp_port(), "client", "ann", "ann's password");
        client.send(&bytes);
        client.expect_end(PROTOCOL_ERROR);
    }
    // Twice at a time is once too often.
    let mut client = connected(hub.tcp_port(), "client", "ann", "ann's password");
    let first = auth(AGAIN, METHOD, &Scram::new("ann", "x").first());
    client.send(&[first.clone(), first].concat());
    assert_eq!(receive_auth(&mut client).0, CONTINUE);
    client.expect_end(PROTOCOL_ERROR);
}

/// [MQTT-4.12.0-6] [MQTT-4.12.0-7]: without a method in CONNECT there is no AUTH from either side.
#[test]
fn auth_needs_a_method_in_connect() {
    for hub in [hub(), Hub::start()] {
        let (mut client, answer) =
            Connection::with(hub.tcp_port(), &by_password(5, "client", "ann", "ann's password"));
        assert_eq!(answer.properties.text(id::AUTHENTICATION_METHOD), None);
        assert_eq!(answer.properties.bytes(id::AUTHENTICATION_DATA), None);
        client.send(&auth(AGAIN, METHOD, &Scram::new("ann", "x").first()));
        client.expect_end(PROTOCOL_ERROR);
    }
    // Before 5.0 there is no AUTH at all.
    let hub = Hub::start();
    let mut client = Connection::new(hub.tcp_port(), 4, "client");
    client.send(&auth(AGAIN, METHOD, b"x"));
    client.expect_end(0);
}

/// [MQTT-3.15.2-2] [MQTT-3.15.2-3] [MQTT-3.1.2-24]: a client that takes no packet as long as AUTH gets none.
#[test]
fn no_auth_is_longer_than_the_client_takes() {
    let hub = hub();
    let scram = Scram::new("ann", "ann's password");
    let ask = |bytes_max: u32| {
        let request = by_method("client", METHOD, &scram.first());
        let mut client = Connection::open(hub.tcp_port(), 5);
        client.send(&request.property(number(id::PACKET_BYTES_MAX, bytes_max)).packet());
        client.try_receive()
    };
    let challenge = ask(1000).unwrap();
    let length = challenge.bytes().len() as u32;
    assert_eq!(challenge.disconnect().properties.ids(), [id::AUTHENTICATION_METHOD, id::AUTHENTICATION_DATA]);
    assert!(ask(length).is_some());
    // A refusal says why, as long as that fits.
    assert_eq!(ask(length - 1).unwrap().connack().code, PACKET_TOO_LARGE);
    assert_eq!(ask(5).unwrap().connack().code, PACKET_TOO_LARGE);
    assert!(ask(4).is_none());
}

#[test]
fn a_session_belongs_to_its_user() {
    let hub = hub();
    let port = hub.tcp_port();
    let ann = |version| by_password(version, "device", "ann", "ann's password");
    let bob = |version| by_password(version, "device", "bob", "bob's password");
    let (mut first, _) = Connection::with(port, &ann(5).session_expiry_s(3600));
    first.subscribe("t", 1);
    // While it is connected, and after.
    for version in VERSIONS {
        let refused = if version == 5 { NOT_AUTHORIZED } else { 5 };
        assert_eq!(refusal(port, &bob(version)), refused);
        assert_eq!(refusal(port, &bob(version).resume()), refused);
    }
    first.ping();
    first.leave();
    assert_eq!(refusal(port, &bob(5).resume()), NOT_AUTHORIZED);
    let scram = Scram::new("bob", "bob's password");
    let mut by_scram = Connection::open(port, 5);
    by_scram.send(&by_method("device", METHOD, &scram.first()).packet());
    let mut scram = scram;
    let (_, challenge) = receive_auth(&mut by_scram);
    by_scram.send(&auth(CONTINUE, METHOD, &scram.last(&challenge)));
    assert_eq!(by_scram.receive().connack().code, NOT_AUTHORIZED);
    // Its own user finds it as it was, by whatever way.
    let (_, answer) = Connection::with(port, &ann(5).resume());
    assert_eq!(answer.flags, 1, "session present");
}

#[test]
fn who_fails_too_often_is_not_listened_to() {
    let hub = Hub::with_users(&[("ann", "right")], "failures_max = 4\nfailures_window_s = \"1 h\"\n");
    let port = hub.tcp_port();
    for _ in 0..3 {
        assert_eq!(refusal(port, &by_password(5, "client", "ann", "wrong")), BAD_PASSWORD);
    }
    assert_eq!(refusal(port, &by_method("client", METHOD, b"nonsense")), NOT_AUTHORIZED);
    wait_until("the log says so", || hub.log().contains("127.0.0.1: 4 attempts have failed"));
    // Now not even the right one helps.
    assert_eq!(refusal(port, &by_password(5, "client", "ann", "right")), 0x9F);
    assert_eq!(refusal(port, &by_password(4, "client", "ann", "right")), 3);
    assert_eq!(refusal(port, &by_method("client", METHOD, &Scram::new("ann", "right").first())), 0x9F);
    assert_eq!(hub.stat("auth_failures"), 4);
}

#[test]
fn who_guesses_many_times_at_once_is_judged_no_more_often() {
    let hub = Hub::with_users(&[("ann", "right")], "failures_max = 3\nfailures_window_s = \"1 h\"\n");
    let port = hub.tcp_port();
    // All have begun before anything has failed.
    let exchanges: Vec<_> = (0..10).map(|n| begin(port, &format!("scram{n}"), "ann", "wrong")).collect();
    let (mut honest, _, proof) = begin(port, "honest", "ann", "right");
    let (mut known, mut again, once_more) = {
        let connection = connected(port, "known", "ann", "right");
        let again = Scram::new("ann", "right");
        let first = auth(AGAIN, METHOD, &again.first());
        (connection, again, first)
    };
    let mut guesses: Vec<_> = (0..12).map(|_| Connection::open(port, 5)).collect();
    for (number, guess) in guesses.iter_mut().enumerate() {
        guess.send(&by_password(5, &format!("client{number}"), "ann", "wrong").packet());
    }
    let mut codes: Vec<u8> = guesses.iter_mut().map(|guess| guess.receive().connack().code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [&[BAD_PASSWORD; 3][..], &[0x9F; 9]].concat());
    for (mut connection, _, last) in exchanges {
        connection.send(&auth(CONTINUE, METHOD, &last));
        assert_eq!(connection.receive().connack().code, 0x9F);
    }
    honest.send(&auth(CONTINUE, METHOD, &proof));
    assert_eq!(honest.receive().connack().code, 0x9F, "not even the right one is told");
    assert_eq!(hub.stat("auth_failures"), 3);
    // Who was there before stays, and may prove it again.
    known.send(&once_more);
    let (_, challenge) = receive_auth(&mut known);
    known.send(&auth(CONTINUE, METHOD, &again.last(&challenge)));
    assert_eq!(receive_auth(&mut known).0, 0);
}

#[test]
fn whose_turn_does_not_come_is_told_so() {
    let hub = Hub::with_users(&[], "[limits]\nfirst_bytes_timeout_s = 1\n");
    // One that takes longer to look at than anybody waits.
    let slow = trefoil(["passwd", "users.txt", "ann", "--stdin", "--kind", "argon2id"]).folder(hub.folder());
    slow.stdin("right\n").run().success();
    let users = std::fs::read_to_string(hub.folder().join("users.txt")).unwrap();
    let (cost, rest) = users.split_once("$v=19$").and_then(|(_, rest)| rest.split_once('$')).unwrap();
    let users = format!("ann:$argon2id$v=19$m=65536,t=64,p=1${rest}");
    assert!(cost.starts_with("m="), "{cost}");
    std::fs::write(hub.folder().join("users.txt"), users).unwrap();
    hub.signal("HUP");
    wait_until("it is read", || hub.log().contains("1 users"));
    let ask = |number: usize, version: u8| {
        let mut connection = Connection::open(hub.tcp_port(), version);
        connection.send(&by_password(version, &format!("client{number}"), "ann", "wrong").packet());
        connection
    };
    let mut clients: Vec<_> = (0..20).map(|number| ask(number, 4 + (number % 2) as u8)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let expected = if number % 2 == 0 { 3 } else { 0x89 };
        assert_eq!(client.receive().connack().code, expected, "{number}");
    }
}

#[test]
fn exchanges_of_scram_that_began_at_once_are_judged_no_more_often() {
    let hub = Hub::with_users(&[("ann", "right")], "failures_max = 3\nfailures_window_s = \"1 h\"\n");
    let port = hub.tcp_port();
    let exchanges: Vec<_> = (0..10).map(|n| begin(port, &format!("scram{n}"), "ann", "wrong")).collect();
    for (number, (mut connection, _, last)) in exchanges.into_iter().enumerate() {
        connection.send(&auth(CONTINUE, METHOD, &last));
        let expected = if number < 3 { NOT_AUTHORIZED } else { 0x9F };
        assert_eq!(connection.receive().connack().code, expected, "{number}");
    }
}

#[test]
fn over_websocket_it_is_the_same() {
    let hub = hub();
    let mut socket = websocket::Connection::offering(hub.tcp_port(), "/mqtt", &["mqtt"]);
    let mut scram = Scram::new("ann", "ann's password");
    socket.send(&websocket::frame(0x82, &by_method("web", METHOD, &scram.first()).packet()));
    let receive = |socket: &mut websocket::Connection| {
        let (_, bytes) = socket.receive().unwrap();
        trefoil_tests::mqtt::Packet { version: 5, first_byte: bytes[0], body: bytes[2..].to_vec() }
    };
    let challenge = receive(&mut socket).disconnect();
    let last = scram.last(challenge.properties.bytes(id::AUTHENTICATION_DATA).unwrap());
    // In two frames, as MQTT over WebSocket may be cut.
    let bytes = auth(CONTINUE, METHOD, &last);
    socket.send(&websocket::frame(0x82, &bytes[..10]));
    socket.send(&websocket::frame(0x82, &bytes[10..]));
    let answer = receive(&mut socket).connack();
    scram.check(answer.properties.bytes(id::AUTHENTICATION_DATA).unwrap());
    let mut socket = websocket::Connection::offering(hub.tcp_port(), "/mqtt", &["mqtt"]);
    // All of it in one frame: what follows CONNECT waits for the password.
    let connect = by_password(5, "web-2", "bob", "bob's password").packet();
    socket.send(&websocket::frame(0x82, &[connect, vec![0xC0, 0]].concat()));
    let (_, answers) = socket.receive().unwrap();
    assert!(
        answers.starts_with(&[0x20]) && answers[3] == 0 && answers.ends_with(&[0xD0, 0]),
        "{answers:02x?}"
    );
}

#[test]
fn the_file_of_users_is_read_again() {
    let hub = hub();
    let port = hub.tcp_port();
    let mut before = Connection::with(port, &by_password(5, "before", "ann", "ann's password")).0;
    set_user(hub.folder(), "ann", "another");
    set_user(hub.folder(), "eve", "eve's password");
    hub.signal("HUP");
    wait_until("it is read", || hub.log().contains("3 users"));
    assert_eq!(refusal(port, &by_password(5, "after", "ann", "ann's password")), BAD_PASSWORD);
    Connection::with(port, &by_password(5, "after", "ann", "another"));
    connected(port, "after", "eve", "eve's password");
    before.ping();
    // A broken one changes nothing.
    std::fs::write(hub.folder().join("users.txt"), "ann:nonsense\n").unwrap();
    hub.signal("HUP");
    wait_until("it is refused", || hub.log().contains("users.txt:1: the record begins"));
    Connection::with(port, &by_password(5, "after", "ann", "another"));
}
