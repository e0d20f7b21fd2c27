//! Good and bad URLs.

use super::*;

fn parse(url: &str) -> Address {
    Address::parse(url).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(url: &str) -> String {
    Address::parse(url).expect_err("it is no address").to_string()
}

#[test]
fn the_scheme_chooses_transport_protocol_and_port() {
    for (url, shown, transport, protocol) in [
        ("mqtt://h", "mqtt://h:1883", Transport::Tcp, Protocol::Mqtt),
        ("MQTT://h:1/", "mqtt://h:1", Transport::Tcp, Protocol::Mqtt),
        ("tcp://h", "tcp://h:1883", Transport::Tcp, Protocol::Json),
        ("udp://h:", "udp://h:1883", Transport::Udp, Protocol::Json),
        ("mqtt-sn://h", "mqtt-sn://h:1884", Transport::Udp, Protocol::MqttSn),
        ("ws://h", "ws://h:80/ws", Transport::WebSocket, Protocol::Json),
        ("ws://h:8080/", "ws://h:8080/ws", Transport::WebSocket, Protocol::Json),
        ("ws://h/mqtt", "ws://h:80/mqtt", Transport::WebSocket, Protocol::Mqtt),
        ("ws://h/behind/mqtt?a=b#c", "ws://h:80/behind/mqtt?a=b", Transport::WebSocket, Protocol::Mqtt),
        ("ws://h?a=/mqtt", "ws://h:80/?a=/mqtt", Transport::WebSocket, Protocol::Json),
        ("mqtts://h", "mqtts://h:8883", Transport::Tcp, Protocol::Mqtt),
        ("tcps://h:1883", "tcps://h:1883", Transport::Tcp, Protocol::Json),
        ("WSS://h", "wss://h:443/ws", Transport::WebSocket, Protocol::Json),
        ("wss://h:1883/mqtt", "wss://h:1883/mqtt", Transport::WebSocket, Protocol::Mqtt),
        ("unix:///run/hub.sock", "unix:///run/hub.sock", Transport::Unix, Protocol::Json),
    ] {
        let address = parse(url);
        assert_eq!((address.transport, address.protocol), (transport, protocol), "{url}");
        assert_eq!(address.to_string(), shown);
        assert_eq!(
            address.is_tls,
            shown.split(":").next().is_some_and(|scheme| scheme.ends_with('s') && scheme != "ws")
        );
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    let address = parse("mqtt://[::1]:1884");
    assert_eq!((address.host.as_str(), address.port), ("::1", 1884));
    assert_eq!(address.to_string(), "mqtt://[::1]:1884");
    assert!(refusal("mqtt://::1").contains("[::1]"));
    assert!(refusal("mqtt://[::1").contains("no ]"));
    assert!(refusal("mqtt://[x]").contains("x is not an IPv6 address"));
    assert!(refusal("mqtt://[::1]x").contains("cannot follow"));
}

#[test]
fn user_name_and_password_are_taken_and_never_shown() {
    let address = parse("mqtt://d%C3%A4ve:p%40ss:word@h");
    assert_eq!(address.user_name.as_deref(), Some("däve"));
    assert_eq!(address.password.as_deref(), Some("p@ss:word"));
    assert_eq!(address.to_string(), "mqtt://h:1883");
    assert_eq!(parse("mqtt://me@h").password, None);
    for bad in ["mqtt://me:secret@h:x", "mqtt://me:secret%@h", "xx://me:secret@h", "mqtt://me:secret%ff@h"] {
        assert!(!refusal(bad).contains("secret"), "{}", refusal(bad));
    }
}

#[test]
fn what_is_no_address_is_refused_with_a_way_out() {
    for (url, hint) in [
        ("127.0.0.1:1883", "mqtt://"),
        ("", "mqtt://"),
        ("unix://run/hub.sock", "absolute path"),
        ("http://h", "ws://"),
        ("ftp://h", "none of"),
        ("mqtt://", "names no host"),
        ("mqtt://h:0", "1 to 65535"),
        ("mqtt://h:65536", "1 to 65535"),
        ("mqtt://h/topic", "only ws:// has a path"),
        ("tcp://a b", "' '"),
    ] {
        assert!(refusal(url).contains(hint), "{url}: {}", refusal(url));
    }
}
