//! Clients that come by way of a proxy: the address that a trusted one names is the client's, and nobody else is believed.

use super::bans::ask;
use serde_json::json;
use std::io::Write;
use trefoil_tests::mqtt::{Connect, Connection};
use trefoil_tests::{Exchange, Hub, Program, connect, lines, wait_until, websocket};

/// In this order: one that begins with the PROXY protocol, one that nobody may connect to, one that believes nobody, one
/// that believes this machine.
const CONFIG: &str = r#"
shards = 2
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]

[[listener]]
bind = "127.0.0.1:0"
proxy_protocol = true

[[listener]]
bind = "127.0.0.1:0"
proxy_protocol = true
trusted_proxies = ["192.0.2.0/24"]
protocols = ["mqtt"]

[[listener]]
bind = "127.0.0.1:0"
trusted_proxies = ["192.0.2.0/24"]
protocols = ["http"]

[[listener]]
bind = "127.0.0.1:0"
protocols = ["http", "websocket"]

[limits]
first_bytes_timeout_s = 1
"#;

const GUEST: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

/// Version 1 of the header.
fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 10.0.0.1 4711 1883\r\n").into_bytes()
}

/// Version 2, with something behind the addresses that nobody needs.
fn v2(client: &str) -> Vec<u8> {
    let client: std::net::Ipv4Addr = client.parse().unwrap();
    let addresses = [&client.octets()[..], &[10, 0, 0, 1, 0x12, 0x34, 0x07, 0x5b], &[0x04, 0, 1, 0]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", &[addresses.len() as u8][..], &addresses].concat()
}

/// A client that comes by a proxy; none if the hub has closed.
fn mqtt(hub: &Hub, header: &[u8], client_id: &str) -> Option<Connection> {
    let mut connection = Connection::open(hub.tcp_port(), 5);
    connection.send(&[header, &Connect::new(5, client_id).packet()].concat());
    connection.try_receive().map(|packet| {
        assert_eq!(packet.connack().code, 0);
        connection
    })
}

/// What a request by this proxy is answered with, in its first line.
fn first_line(port: u16, bytes: &[u8]) -> String {
    let mut stream = connect(port);
    stream.offer(bytes);
    let mut line = Vec::new();
    let mut byte = [0];
    while std::io::Read::read(&mut stream, &mut byte).is_ok_and(|count| count > 0) && byte != *b"\r" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn request(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}

fn ban(hub: &Hub, address: &str) -> u64 {
    let (status, answer) = ask(hub, "POST", "/api/v1/bans", Some(&json!({"address": address})), &[]);
    assert_eq!(status, 201, "{answer}");
    answer["disconnected"].as_u64().unwrap()
}

#[test]
fn the_header_of_the_proxy_protocol_says_who_it_is() {
    let hub = Hub::with_config(CONFIG);
    // Whichever shard they come to and move to.
    let mut guests: Vec<_> = (0..8)
        .map(|n| mqtt(&hub, &[v1, v2][n % 2](GUEST), &format!("guest-{n}")).expect("nobody is banned yet"))
        .collect();
    let mut other = mqtt(&hub, &v1(OTHER), "other").unwrap();
    let mut itself = mqtt(&hub, b"PROXY UNKNOWN\r\n", "proxy").unwrap();
    let mut line = lines::Connection::new(hub.tcp_port());
    line.send([&v2(GUEST)[..], b"{\"ping\":1}"].concat());
    assert_eq!(line.receive(), json!({"pong": 1}));
    let in_websocket = [&v1(GUEST)[..], &websocket::handshake("/ws", "")].concat();
    let mut page = connect(hub.tcp_port());
    page.write_all(&in_websocket).unwrap();
    wait_until("the page is there", || hub.metric("trefoil_connections{kind=\"json_ws\"}") == 1);
    // The header comes in pieces, and what is spoken behind it is not looked at before.
    let mut slow = Connection::open(hub.tcp_port(), 5);
    for byte in v2(GUEST) {
        slow.send(&[byte]);
    }
    slow.send(&Connect::new(5, "slow").packet());
    assert_eq!(slow.receive().connack().code, 0);

    assert_eq!(ban(&hub, GUEST), 11, "eight guests, a line, a page, and one in pieces");
    guests.iter_mut().for_each(|guest| assert_eq!(guest.receive().disconnect().reason, 0x98));
    for header in [v1(GUEST), v2(GUEST)] {
        assert!(mqtt(&hub, &header, "again").is_none(), "who is banned is not let in");
        let http = [&header[..], &request("/healthz", "")].concat();
        assert_eq!(first_line(hub.tcp_port(), &http), "");
    }
    assert_eq!(first_line(hub.tcp_port(), &in_websocket), "");
    // All others are not concerned, the proxy among them.
    other.ping();
    itself.ping();
    let http = [&v2(OTHER)[..], &request("/healthz", "")].concat();
    assert_eq!(first_line(hub.tcp_port(), &http), "HTTP/1.1 200 OK");
    // An address of a proxy behind the proxy is believed in turn.
    let http = [&v1("10.0.0.9")[..], &request("/healthz", &format!("X-Forwarded-For: {GUEST}\r\n"))].concat();
    assert_eq!(first_line(hub.tcp_port(), &http), "HTTP/1.1 403 Forbidden");
    let http = [&v1(OTHER)[..], &request("/healthz", &format!("X-Forwarded-For: {GUEST}\r\n"))].concat();
    assert_eq!(first_line(hub.tcp_port(), &http), "HTTP/1.1 200 OK");
    assert_eq!(hub.metric("trefoil_proxy_refused_total"), 0);
}

#[test]
fn who_brings_no_header_or_a_wrong_one_is_refused_and_so_is_who_is_not_trusted() {
    let hub = Hub::with_config(CONFIG);
    let refused = || hub.metric("trefoil_proxy_refused_total");
    let mut count = 0;
    let connect_packet = Connect::new(5, "direct").packet();
    let too_long = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    let malformed = b"PROXY TCP4 203.0.113.700 10.0.0.1 4711 1883\r\n".to_vec();
    for bytes in
        [connect_packet.clone(), request("/healthz", ""), b"{\"ping\":1}\n".to_vec(), too_long, malformed]
    {
        let mut stream = connect(hub.tcp_port());
        stream.offer(&bytes);
        assert_eq!(stream.rest(), b"", "{}", bytes.escape_ascii());
        count += 1;
        wait_until("it is counted", || refused() == count);
    }
    // One that does not come to its end.
    let mut stream = connect(hub.tcp_port());
    stream.offer(b"PROXY TCP4 ");
    assert_eq!(stream.rest(), b"");
    wait_until("it is counted", || refused() == count + 1);
    // Where this machine is no trusted proxy.
    let mut stream = connect(hub.port_of("mqtt"));
    stream.offer(&[&v1(GUEST)[..], &connect_packet].concat());
    assert_eq!(stream.rest(), b"");
    wait_until("it is counted", || refused() == count + 2);
    let log = hub.log();
    assert!(log.contains("a connection of 127.0.0.1 is refused where the PROXY protocol is spoken"), "{log}");
    // Elsewhere it is no protocol.
    let mut stream = connect(hub.http_port());
    stream.offer(&v1(GUEST));
    let said = String::from_utf8(stream.rest()).unwrap();
    assert!(said.contains("PROXY protocol"), "{said}");
    assert_eq!(refused(), count + 2);
}

#[test]
fn headers_of_requests_count_from_trusted_addresses_only() {
    let hub = Hub::with_config(CONFIG);
    let handshake = |header: &str| websocket::handshake("/ws", header);
    let mqtt_handshake =
        |header: &str| websocket::handshake("/mqtt", &format!("Sec-WebSocket-Protocol: mqtt\r\n{header}"));
    let mut page = connect(hub.http_port());
    page.write_all(&mqtt_handshake(&format!("X-Forwarded-For: {GUEST}\r\n"))).unwrap();
    wait_until("the page is there", || hub.metric("trefoil_connections{kind=\"mqtt_ws\"}") == 1);
    page.write_all(&websocket::frame(0x82, &Connect::new(5, "page").packet())).unwrap();
    wait_until("the page has a session", || hub.stat("sessions") == 1);
    assert_eq!(ban(&hub, GUEST), 1);
    page.rest();
    for (header, is_guest) in [
        (format!("X-Forwarded-For: {GUEST}\r\n"), true),
        (format!("X-Forwarded-For: {OTHER}, {GUEST}, 10.1.2.3\r\n"), true),
        (format!("Forwarded: for={GUEST};proto=https\r\n"), true),
        (format!("X-Forwarded-For: {GUEST}, {OTHER}\r\n"), false),
        (format!("Forwarded: for={GUEST}, for=\"{OTHER}:80\"\r\n"), false),
        (String::new(), false),
    ] {
        let expected =
            |good: &str| if is_guest { "HTTP/1.1 403 Forbidden".to_owned() } else { good.to_owned() };
        let answer = |bytes: &[u8]| first_line(hub.http_port(), bytes);
        assert_eq!(answer(&request("/healthz", &header)), expected("HTTP/1.1 200 OK"), "{header}");
        assert_eq!(answer(&request("/sse?topic=a", &header)), expected("HTTP/1.1 200 OK"), "{header}");
        let switching = "HTTP/1.1 101 Switching Protocols";
        assert_eq!(answer(&handshake(&header)), expected(switching), "{header}");
        assert_eq!(answer(&mqtt_handshake(&header)), expected(switching), "{header}");
        let stranger = first_line(hub.port_of("http"), &request("/healthz", &header));
        assert_eq!(stranger, "HTTP/1.1 200 OK", "{header}");
    }
    let both = format!("X-Forwarded-For: {OTHER}\r\nForwarded: for={GUEST}\r\n");
    for bytes in [request("/healthz", &both), request("/sse?topic=a", &both), handshake(&both)] {
        assert_eq!(first_line(hub.http_port(), &bytes), "HTTP/1.1 400 Bad Request");
    }
}

/// Proxies keep connections open, and send over each the requests of whoever has one.
#[test]
fn each_request_on_a_connection_has_a_client_of_its_own() {
    let hub = Hub::with_config(CONFIG);
    ban(&hub, GUEST);
    let open = |client: &str| {
        let head = "POST /channel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-Forwarded-For: ";
        format!("{head}{client}\r\n\r\n").into_bytes()
    };
    for (port, header) in [(hub.http_port(), Vec::new()), (hub.tcp_port(), v1("10.0.0.9"))] {
        let mut stream = connect(port);
        stream.offer(&[header, open(OTHER), open(GUEST)].concat());
        let said = String::from_utf8(stream.rest()).unwrap();
        let is_each_for_itself =
            said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("HTTP/1.1 403 Forbidden\r\n");
        assert!(is_each_for_itself, "{said}");
    }
}

#[test]
fn each_client_behind_a_proxy_fails_for_itself() {
    let more = "failures_max = 3\n\n[bans]\nfailures_ban_s = 0\n";
    let folder = Hub::with_users(&[("ann", "right")], more).leave("TERM");
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{}{more}", trefoil_tests::USERS_CONFIG);
    let hub = Hub::resume(folder, &config);
    let status = |password: &str, client: &str| {
        let url = format!("http://127.0.0.1:{}/api/v1/stats", hub.http_port());
        let (user, header) = (format!("ann:{password}"), format!("X-Forwarded-For: {client}"));
        let text = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-u", &user, "-H", &header, &url];
        Program::new("curl").args(text).run().success()
    };
    for _ in 0..3 {
        assert_eq!(status("wrong", GUEST), "401");
    }
    assert_eq!(status("right", GUEST), "429");
    assert_eq!(status("right", OTHER), "200");
}
