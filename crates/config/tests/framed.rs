//! Framed listeners and devices to connect to: what they come to, and the exact lines of every refusal.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use trefoil_config::{Config, load};
use trefoil_framing::{Framing, LengthForm, LengthPrefix};
use trefoil_hub::SlowReader;

fn try_load(text: &str) -> Result<Config, String> {
    let result = load(Some((Path::new("t.toml"), text)), &mut std::iter::empty());
    result.map_err(|problems| problems.to_string())
}

/// The error of a framed listener with these keys.
fn refused(keys: &str) -> String {
    try_load(&format!("[[listener]]\nbind = \"127.0.0.1:1\"\n{keys}")).unwrap_err()
}

fn accepted(keys: &str) -> Config {
    let result = try_load(&format!("[[listener]]\nbind = \"127.0.0.1:1\"\npublish = \"t\"\n{keys}"));
    result.unwrap_or_else(|problems| panic!("{keys}: {problems}"))
}

fn framing(keys: &str) -> Framing {
    accepted(keys).listeners[0].framed.clone().unwrap().framing.clone().unwrap()
}

#[test]
fn every_framing_is_what_its_keys_say() {
    let length = |form, inclusive| LengthPrefix { form, inclusive };
    assert_eq!(framing("framing = 'line'"), Framing::Line);
    assert_eq!(framing("framing = 'slip'"), Framing::Slip);
    assert_eq!(framing("framing = 'cobs'"), Framing::Cobs);
    assert_eq!(framing("framing = 'fixed'\nframe_bytes = 7"), Framing::Fixed { frame_bytes: 7 });
    assert_eq!(
        framing("framing = 'length'\nlength = 'u32le'\nlength_counts_itself = true"),
        Framing::LengthPrefix(length(LengthForm::U32Le, true))
    );
    assert_eq!(
        framing("framing = 'length'\nlength = 'varint'\nlength_at = 2"),
        Framing::LengthField { head_bytes: 2, length: length(LengthForm::Varint, false) }
    );
    let gap = std::time::Duration::from_millis(20);
    assert_eq!(framing("framing = 'idle_gap'\ngap_ms = 20"), Framing::IdleGap { gap });
}

#[test]
fn bytes_are_written_as_text_with_escapes_or_in_hexadecimal() {
    for (written, bytes) in [
        (r"'\r\n'", &b"\r\n"[..]),
        (r#""\r\n""#, b"\r\n"),
        (r"'0x020D'", b"\x02\r"),
        (r"'0x02 0d'", b"\x02\r"),
        (r"'\x02\t\0\\'", b"\x02\t\0\\"),
        (r"'||'", b"||"),
        (r"'ä'", "ä".as_bytes()),
    ] {
        let keys = format!("framing = 'delimiter'\ndelimiter = {written}");
        assert_eq!(framing(&keys), Framing::Delimiter(bytes.to_vec()), "{written}");
    }
    assert_eq!(
        refused("publish = 't'\nframing = 'delimiter'\ndelimiter = '\\q'"),
        "t.toml:5:13: `delimiter` is \"\\\\q\"; \\q stands for nothing; known are \\r, \\n, \\t, \\0, \\x02 and \\\\"
    );
    assert_eq!(
        refused("publish = 't'\nframing = 'delimiter'\ndelimiter = '0x123'"),
        "t.toml:5:13: `delimiter` is \"0x123\"; behind 0x each byte has two hexadecimal digits"
    );
}

#[test]
fn a_start_mark_is_put_in_front_where_it_is_not_published() {
    let adds = |keys: &str| accepted(keys).listeners[0].framed.clone().unwrap().adds_start();
    assert!(!adds("framing = 'line'\nstarts_with = '$'"));
    assert!(adds("framing = 'line'\nstarts_with = '$'\nstrip = '$ '"));
    assert!(adds("framing = 'length'\nlength = 'u8'\nstarts_with = '$'"));
}

#[test]
fn one_text_is_a_list_of_one_and_datagrams_are_usual_on_udp() {
    let config = try_load(
        "[[listener]]\nbind = \"udp://127.0.0.1:1\"\nprotocols = [\"framed\"]\nsubscribe = \"a/#\"\nignore = 'ping'",
    )
    .unwrap();
    let framed = config.listeners[0].framed.clone().unwrap();
    assert_eq!((framed.framing.clone(), framed.subscribe.len()), (None, 1));
    assert_eq!(framed.ignore, [b"ping"]);
    assert_eq!(framed.name, "127.0.0.1:1");
    assert_eq!(config.listeners[0].protocols.to_string(), "framed");
}

#[test]
fn keys_that_need_others() {
    assert_eq!(
        refused("publish = 't'"),
        "t.toml:3:11: `publish` is for framed listeners, and this one has no `framing`; write one, such as framing = \
         \"line\", or leave it out"
    );
    assert_eq!(
        refused("protocols = ['framed']\npublish = 't'"),
        "t.toml:2:8: it has no `framing`, so that nothing tells one frame from the next; write one, such as framing = \"line\""
    );
    assert_eq!(
        refused("framing = 'length'\npublish = 't'"),
        "t.toml:2:8: framing = \"length\" needs `length`, as in length = \"u16be\""
    );
    assert_eq!(
        refused("framing = 'line'\ndelimiter = ';'\npublish = 't'"),
        "t.toml:4:13: `delimiter` is for framing = \"delimiter\", and this one is \"line\"; leave one of them out"
    );
    assert_eq!(
        refused("framing = 'line'"),
        "t.toml:2:8: neither `publish` nor `subscribe` is written, so that nothing would come of a connection; write where \
         frames go, as in publish = \"devices/{client_id}\""
    );
    assert_eq!(
        refused("framing = 'line'\npublish = 't'\nprotocols = ['mqtt']"),
        "t.toml:5:13: tcp://127.0.0.1:1 has a `framing`, and nothing tells frames from other protocols; leave `protocols` \
         out, or give each a listener of its own"
    );
    assert_eq!(
        refused("framing = 'line'\npublish = 't'\ntls = 'optional'").lines().next().unwrap(),
        "t.toml:5:7: tcp://127.0.0.1:1 has a `framing`, and a device may begin with any byte, so nothing tells TLS from \
         frames; write `tls = \"required\"` or `tls = \"off\"`"
    );
    assert_eq!(
        refused("framing = 'datagram'\npublish = 't'"),
        "t.toml:2:8: framing = \"datagram\" is for UDP; a stream has none, choose another framing"
    );
    let found = refused("framing = 'idle_gap'\ngap_ms = 5\nrate_max = 1\npublish = 't'");
    assert!(found.contains("what comes meanwhile would become one frame; leave one of them out"), "{found}");
    accepted("framing = 'idle_gap'\ngap_ms = 5\nrate_max = 0");
    assert_eq!(
        refused("framing = 'fixed'\nframe_bytes = 9\nframe_bytes_max = 8\npublish = 't'"),
        "t.toml:4:15: `frame_bytes` is 9, more than `frame_bytes_max`, which is 8"
    );
    assert_eq!(
        refused("framing = 'lines'\npublish = 't'"),
        "t.toml:3:11: `framing` is \"lines\"; did you mean `line`? It must be one of \"line\", \"delimiter\", \"length\", \
         \"fixed\", \"idle_gap\", \"slip\", \"cobs\", \"datagram\""
    );
    assert_eq!(
        refused("framing = 'line'\npublsh = 't'\nsubscribe = 't'"),
        "t.toml:4:1: `publsh` is not known in [[listener]]; did you mean `publish`?"
    );
}

#[test]
fn templates_that_cannot_be() {
    for (keys, why) in [
        (
            "publish = 'a/{cliend_id}'",
            "`publish` is \"a/{cliend_id}\"; {cliend_id} is not known; did you mean `client_id`?",
        ),
        ("publish = 'a/#'", "`publish` is \"a/#\"; it has + or # in it; those are for filters"),
        ("publish = '$SYS/{peer}'", "`publish` is \"$SYS/{peer}\"; only the hub publishes below $SYS/"),
        (
            "publish = '{'",
            "`publish` is \"{\"; each { needs its }, and each } its {; write {{ and }} for the characters",
        ),
        ("publish = 't'\nclient_id = '{client_id}'", "`client_id` is \"{client_id}\"; it cannot name itself"),
    ] {
        let found = refused(&format!("framing = 'line'\n{keys}"));
        assert!(found.contains(why), "{found}");
    }
    // What is of each frame has no place where there is no frame.
    let found = refused("framing = 'line'\npattern = '(?<kind>.)'\nsubscribe = 'a/{kind}'");
    assert!(found.contains("{kind} is not known"), "{found}");
}

#[test]
fn registrations_that_cannot_be() {
    for (keys, why) in [
        ("secret = 's'", "`secret` is what the first frame has to say, and no `register` says where"),
        (
            "register = '(?<secret>.*)'",
            "`register` has a group `secret`; write what it has to find as `secret`",
        ),
        (
            "register = '.*'\nsecret = 's'",
            "`secret` is set, and `register` has no group (?<secret>…) to hold against it",
        ),
        (
            "register = '(?<user>.*)'",
            "`register` has one of the groups `user` and `password`; it needs both, or none",
        ),
        ("register = '(?<user>.) (?<password>.)'", "name a file of users in [auth]"),
        ("register = '('", "`register` is \"(\"; it is no regular expression: "),
    ] {
        let found = refused(&format!("framing = 'line'\npublish = 't'\n{keys}"));
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn a_secret_opens_a_listener_to_other_machines() {
    let open = "[[listener]]\nbind = \"0.0.0.0:1\"\nframing = 'line'\npublish = 't'\n";
    assert!(try_load(open).unwrap_err().contains("nobody would ask them who they are"));
    let secret = "register = '^(?<secret>.*)$'\nsecret = 's'\n";
    let config = try_load(&format!("{open}{secret}")).unwrap();
    assert!(!format!("{config:?}").contains("Secret(\"s\")"), "it is not shown");
    let users = "[auth]\nusers = 'users.txt'\n";
    assert!(try_load(&format!("{open}{users}")).unwrap_err().contains("nobody could say who it is"));
    try_load(&format!("{open}{secret}{users}")).unwrap();
    // Over UDP nobody looks at passwords.
    let password = "register = '^(?<user>.) (?<password>.)$'\n";
    try_load(&format!("{open}{password}{users}")).unwrap();
    let open = open.replace("0.0.0.0", "udp://0.0.0.0");
    let found = try_load(&format!("{open}{password}{users}")).unwrap_err();
    assert!(found.contains("over UDP nobody looks at them; let peers say a `secret`"), "{found}");
}

#[test]
fn devices_that_would_be_called_the_same() {
    let dial = |address: &str, keys: &str| {
        format!("[[dial]]\naddress = '{address}'\nframing = 'line'\npublish = 'a'\n{keys}\n")
    };
    let found = try_load(&(dial("a:1", "client_id = 'x-a:2'") + &dial("a:2", "name = 'x'"))).unwrap_err();
    assert_eq!(
        found,
        "t.toml:6:1: the device at a:2 would have the client id \"x-a:2\", as the one at t.toml:1:1, and each would end the \
         other's connection; give each a `client_id` of its own"
    );
    // What they say of themselves is known only then.
    let register = "register = '^(?<client_id>.*)$'";
    try_load(&(dial("a:1", register) + &dial("a:2", register) + &dial("a:3", ""))).unwrap();
}

#[test]
fn devices_to_connect_to() {
    let config =
        try_load("[[dial]]\naddress = 'plc.example:502'\nframing = 'line'\npublish = 'a'\nretry_s_max = 5")
            .unwrap();
    let dial = &config.dial[0];
    assert_eq!(dial.slow_reader, SlowReader::DropNewest);
    let of_other = "[[dial]]\naddress = 'a:1'\nframing = 'line'\npublish = 'a'\nslow_reader = 'disconnect'";
    assert_eq!(try_load(of_other).unwrap().dial[0].slow_reader, SlowReader::Disconnect);
    assert_eq!(
        (dial.address.as_str(), dial.retry_s_max, dial.framed.name.as_str()),
        ("plc.example:502", 5, "plc.example:502")
    );
    assert_eq!(config.listeners.len(), 4, "the usual listeners are there, too");
    let refused = |address: &str| {
        try_load(&format!("[[dial]]\naddress = '{address}'\nframing = 'line'\npublish = 'a'")).unwrap_err()
    };
    for address in ["plc.example", "tcp://a:1", ":5", "a:0", "a:x"] {
        let found = refused(address);
        assert!(found.contains("it must be a name or an address, and a port"), "{found}");
    }
    let found = try_load("[[dial]]\naddress = 'a:1'\npublish = 'a'").unwrap_err();
    assert!(found.contains("it has no `framing`"), "{found}");
    let found = try_load("[[dial]]\nframing = 'line'\npublish = 'a'").unwrap_err();
    assert_eq!(
        found,
        "t.toml:1:1: this device to connect to has no `address`; it must be text that is not empty"
    );
}
