//! Every refusal, with the exact lines that a person sees.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use trefoil_config::load;

/// Loads a file that is wrong, and gives the errors.
fn refused(text: &str) -> String {
    load(Some((Path::new("t.toml"), text)), &mut std::iter::empty()).unwrap_err().to_string()
}

fn refused_environment(text: &str, variables: &[(&str, &str)]) -> String {
    let mut env = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load(Some((Path::new("t.toml"), text)), &mut env).unwrap_err().to_string()
}

#[test]
fn keys_that_are_not_known() {
    assert_eq!(
        refused("allow_anonymus = true"),
        "t.toml:1:1: `allow_anonymus` is not known at the top level; did you mean `allow_anonymous`?"
    );
    assert_eq!(
        refused("[[listeners]]\nbind = \"127.0.0.1:1\""),
        "t.toml:1:3: `listeners` is not known at the top level; did you mean `listener`?"
    );
    assert_eq!(
        refused("[limits]\n  packet_byte_max = 5000"),
        "t.toml:2:3: `packet_byte_max` is not known in [limits]; did you mean `packet_bytes_max`?"
    );
    assert_eq!(
        refused("packet_bytes_max = 5000"),
        "t.toml:1:1: `packet_bytes_max` is not known at the top level; it belongs into [limits]"
    );
    assert_eq!(
        refused("[limits]\nshards = 2"),
        "t.toml:2:1: `shards` is not known in [limits]; it stands at the top level, before the first [section]"
    );
    assert_eq!(
        refused("echo = true"),
        "t.toml:1:1: `echo` is not known at the top level; it belongs into a [[listener]]"
    );
    assert_eq!(
        refused("[log]\ncolour = true"),
        "t.toml:2:1: `colour` is not known in [log]; known here are level"
    );
}

#[test]
fn values_of_another_type() {
    assert_eq!(
        refused("shards = \"four\""),
        "t.toml:1:10: `shards` is \"four\"; it must be a whole number from 0 to 64"
    );
    assert_eq!(
        refused("shards = 1.5"),
        "t.toml:1:10: `shards` is a number with a fraction; it must be a whole number from 0 to 64"
    );
    assert_eq!(
        refused("allow_anonymous = \"yes\""),
        "t.toml:1:19: `allow_anonymous` is \"yes\"; it must be true or false"
    );
    assert_eq!(
        refused("allow_anonymous = \"true\""),
        "t.toml:1:19: `allow_anonymous` is \"true\"; it must be true or false"
    );
    assert_eq!(
        refused("[limits]\ndrain_s = 1979-05-27"),
        "t.toml:2:11: `drain_s` is a date or a time; it must be a duration from 0 to 1 h, in seconds or as text such \
         as \"10 s\""
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = \"mqtt\""),
        "t.toml:3:13: `protocols` is \"mqtt\"; it must be a list of any of \"mqtt\", \"http\", \"websocket\", \"json\", \"rooms\", \
         \"mqtt-sn\""
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = [[\"mqtt\"]]"),
        "t.toml:3:14: an entry of `protocols` is a list; it must be one of \"mqtt\", \"http\", \"websocket\", \"json\", \"rooms\", \
         \"mqtt-sn\""
    );
    assert_eq!(
        refused("limits = 5"),
        "t.toml:1:1: `limits` is a section; write [limits] on a line of its own"
    );
    assert_eq!(
        refused("[listener]\nbind = \"127.0.0.1:1\""),
        "t.toml:1:2: `listener` is a list, since there may be several; write [[listener]] in two brackets"
    );
    assert_eq!(
        refused("listener = [5]"),
        "t.toml:1:13: each listener is a table; write [[listener]] and its settings below it"
    );
    assert_eq!(
        refused("[store]\npath = \"\""),
        "t.toml:2:8: `path` is \"\"; it must be text that is not empty"
    );
}

#[test]
fn values_out_of_range() {
    assert_eq!(refused("shards = 65"), "t.toml:1:10: `shards` is 65; it must be a whole number from 0 to 64");
    assert_eq!(refused("shards = -1"), "t.toml:1:10: `shards` is -1; it must be a whole number from 0 to 64");
    assert_eq!(
        refused("shards = 99999999999999999999999999"),
        "t.toml:1:10: `shards` is 99999999999999999999999999; it must be a whole number from 0 to 64"
    );
    assert_eq!(
        refused("[limits]\ninflight_max = 0"),
        "t.toml:2:16: `inflight_max` is 0; it must be a whole number from 1 to 65535"
    );
    assert_eq!(
        refused("[limits]\npacket_bytes_max = \"1 GiB\""),
        "t.toml:2:20: `packet_bytes_max` is \"1 GiB\"; it must be a size from 1 KiB to 256 MiB, in bytes or as text \
         such as \"16 MiB\""
    );
    assert_eq!(
        refused("[limits]\nfirst_bytes_timeout_s = \"10 ms\""),
        "t.toml:2:25: `first_bytes_timeout_s` is \"10 ms\"; it must be a duration from 1 s to 1 h, in seconds or as \
         text such as \"10 s\""
    );
    assert_eq!(
        refused("[log]\nlevel = \"wran\""),
        "t.toml:2:9: `level` is \"wran\"; did you mean `warn`? It must be one of \"error\", \"warn\", \"info\", \
         \"debug\", \"trace\""
    );
}

#[test]
fn addresses_that_are_none() {
    let bind = |text: &str| {
        let error = refused(&format!("[[listener]]\nbind = \"{text}\""));
        error.strip_prefix(&format!("t.toml:2:8: `bind` is \"{text}\"; ")).expect(&error).to_owned()
    };
    assert_eq!(bind("127.0.0.1"), "the port is missing, as in \"127.0.0.1:1883\"");
    assert_eq!(bind("localhost"), "the port is missing, as in \"localhost:1883\"");
    assert_eq!(bind("[::1]"), "the port is missing, as in \"[::1]:1883\"");
    assert_eq!(bind("::1"), "write an IPv6 address in brackets and a port after it, as in \"[::1]:1883\"");
    assert_eq!(bind("127.0.0.1:70000"), "\"70000\" is no port; a port is a whole number from 0 to 65535");
    assert_eq!(bind("localhost:mqtt"), "\"mqtt\" is no port; a port is a whole number from 0 to 65535");
    assert_eq!(
        bind("hub.example:1883"),
        "\"hub.example\" is no IP address; write one, such as 127.0.0.1, or 0.0.0.0 for every interface"
    );
    assert_eq!(
        bind("tpc://127.0.0.1:1"),
        "\"tpc\" is no transport; did you mean `tcp`? write `tcp://`, `udp://` or `unix://`"
    );
    assert_eq!(
        bind("unix://127.0.0.1:1"),
        "a Unix socket has the absolute path of a file, as in \"unix:///run/trefoil.sock\""
    );
    assert_eq!(
        bind("mqtt://127.0.0.1:1"),
        "a listener is `tcp://`, `udp://` or `unix://`; for mqtt write \"tcp://127.0.0.1:1\" and the protocol into `protocols`"
    );
    assert_eq!(
        bind("mqtts://127.0.0.1:1"),
        "a listener is `tcp://`, `udp://` or `unix://`; for mqtts write \"tcp://127.0.0.1:1\", the protocol into `protocols`, and name a certificate in [tls]"
    );
    assert_eq!(
        bind(""),
        "it must be text such as \"127.0.0.1:1883\", \"[::1]:1883\", \"tcp://127.0.0.1:1883\", \
         \"udp://127.0.0.1:1883\" or \"unix:///run/trefoil.sock\""
    );
    assert_eq!(
        refused("[[listener]]\necho = false"),
        "t.toml:1:1: this listener has no `bind`; it must be text such as \"127.0.0.1:1883\", \"[::1]:1883\", \
         \"tcp://127.0.0.1:1883\", \"udp://127.0.0.1:1883\" or \"unix:///run/trefoil.sock\""
    );
}

#[test]
fn combinations_that_cannot_be() {
    let udp = |protocol: &str| {
        refused(&format!(
            "[[listener]]\nbind = \"udp://127.0.0.1:1\"\nprotocols = [\"json\", \"{protocol}\"]"
        ))
    };
    for protocol in ["mqtt", "http", "websocket"] {
        assert_eq!(
            udp(protocol),
            format!(
                "t.toml:3:13: udp://127.0.0.1:1 cannot carry \"{protocol}\"; give it a listener of its own whose \
                 `bind` begins with tcp://"
            )
        );
    }
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = [\"mqtt-sn\"]"),
        "t.toml:3:13: tcp://127.0.0.1:1 cannot carry \"mqtt-sn\"; give it a listener of its own whose `bind` begins \
         with udp://"
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = [\"mqtt\"]\necho = true"),
        "t.toml:4:8: `echo` answers on WebSocket only, and tcp://127.0.0.1:1 does not speak that; add \"websocket\" \
         to `protocols` or leave `echo` out"
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"udp://127.0.0.1:1\"\necho = true"),
        "t.toml:3:8: `echo` answers on WebSocket only, and udp://127.0.0.1:1 does not speak that; leave it out"
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = []"),
        "t.toml:3:13: `protocols` is an empty list; it must be a list of any of \"mqtt\", \"http\", \"websocket\", \
         \"json\", \"rooms\", \"mqtt-sn\", and at least one"
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\n[[listener]]\nbind = \"tcp://localhost:1\""),
        "t.toml:4:8: tcp://127.0.0.1:1 is the address of another listener already, at t.toml:2:8"
    );
}

#[test]
fn protocols_that_are_not_known() {
    assert_eq!(
        refused("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = [\"mqqt\", \"json\", \"coap\"]"),
        "t.toml:3:14: an entry of `protocols` is \"mqqt\"; did you mean `mqtt`? It must be one of \"mqtt\", \"http\", \
         \"websocket\", \"json\", \"rooms\", \"mqtt-sn\"\n\
         t.toml:3:30: an entry of `protocols` is \"coap\"; it must be one of \"mqtt\", \"http\", \"websocket\", \
         \"json\", \"rooms\", \"mqtt-sn\""
    );
}

#[test]
fn nowhere_to_listen() {
    assert_eq!(
        refused("listener = []"),
        "t.toml:1:1: no listener is left to open, so nobody could connect; write a [[listener]], or leave the list out \
         for the usual ones"
    );
    assert_eq!(
        refused("[[listener]]\nbind = \"udp://127.0.0.1:1\"\nprotocols = [\"mqtt-sn\", \"json\"]"),
        "t.toml:3:13: udp://127.0.0.1:1 cannot speak \"json\" and \"mqtt-sn\" both, since nothing tells their datagrams \
         apart; give each a listener of its own"
    );
}

#[test]
fn open_doors() {
    let open = |at: &str, tail: &str| {
        format!(
            "{at}: other machines can reach tcp://0.0.0.0:1883, and nobody would ask them who they are; use a \
             loopback address such as 127.0.0.1, name a file of users in [auth], or, if anybody may connect, write \
             `allow_anonymous = true` in this [[listener]]{tail}"
        )
    };
    let listener = "[[listener]]\nbind = \"0.0.0.0:1883\"\n";
    assert_eq!(refused(listener), open("t.toml:2:8", " or at the top level"));
    assert_eq!(
        refused(&format!("allow_anonymous = true\n{listener}allow_anonymous = false")),
        open("t.toml:3:8", ", where it is false now")
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_LISTENER_0_BIND", "0.0.0.0:1883")]),
        open("environment variable TREFOIL_LISTENER_0_BIND", " or at the top level")
    );
}

#[test]
fn who_cannot_say_who_it_is() {
    let sn = "[[listener]]\nbind = \"udp://127.0.0.1:1\"\nprotocols = [\"mqtt-sn\"]\n";
    let users = "[auth]\nusers = \"users.txt\"\n";
    assert_eq!(
        refused(&format!("{sn}{users}")),
        "t.toml:3:13: MQTT-SN has no passwords, so that nobody could connect to udp://127.0.0.1:1; write \
         `allow_anonymous = true` in this [[listener]], or leave \"mqtt-sn\" out"
    );
    assert_eq!(
        refused("[auth]\nusers = \"\"\nfailures_max = -1"),
        "t.toml:2:9: `users` is \"\"; it must be text that is not empty\n\
         t.toml:3:16: `failures_max` is -1; it must be a whole number from 0 to 1000000"
    );
}

#[test]
fn broken_toml_is_reported_with_all_else() {
    let error = refused("shards = = 3\n[limits]\ndrain_s = -1\nudp_idle = \n");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("t.toml:1:10: this is not TOML: "), "{error}");
    assert!(lines[1].starts_with("t.toml:3:11: `drain_s` is -1; it must be"), "{error}");
    assert!(lines[2].starts_with("t.toml:4:"), "{error}");
    assert!(refused("shards = 1\nshards = 2").starts_with("t.toml:2:1: this is not TOML: duplicate key"));
}

#[test]
fn variables_of_the_environment() {
    assert_eq!(
        refused_environment("", &[("TREFOIL_SHARDS", "many")]),
        "environment variable TREFOIL_SHARDS: `shards` is \"many\"; it must be a whole number from 0 to 64"
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_LIMITS_PACKET_BYTE_MAX", "5000")]),
        "environment variable TREFOIL_LIMITS_PACKET_BYTE_MAX: there is no setting of that name; did you mean \
         TREFOIL_LIMITS_PACKET_BYTES_MAX?"
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_ALLOW_ANONYMUS", "true")]),
        "environment variable TREFOIL_ALLOW_ANONYMUS: there is no setting of that name; did you mean \
         TREFOIL_ALLOW_ANONYMOUS?"
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_LISTENER_0_BINDS", "127.0.0.1:1")]),
        "environment variable TREFOIL_LISTENER_0_BINDS: there is no setting of that name; did you mean \
         TREFOIL_LISTENER_0_BIND?"
    );
    assert_eq!(
        refused_environment(
            "[[listener]]\nbind = \"127.0.0.1:1\"",
            &[("TREFOIL_LISTENER_2_BIND", "127.0.0.1:2")]
        ),
        "environment variable TREFOIL_LISTENER_2_BIND: there is no [[listener]] 1; they are counted from 0, those of \
         the file first, and without gaps"
    );
    assert_eq!(
        refused_environment(
            "",
            &[("TREFOIL_LISTENER_0_BIND", "127.0.0.1:1"), ("TREFOIL_LISTENER_0_PROTOCOLS", "mqtt, htp")]
        ),
        "environment variable TREFOIL_LISTENER_0_PROTOCOLS: an entry of `protocols` is \"htp\"; did you mean `http`? \
         It must be one of \"mqtt\", \"http\", \"websocket\", \"json\", \"rooms\", \"mqtt-sn\""
    );
}

#[test]
fn sections_of_which_there_may_be_several() {
    assert_eq!(
        refused("[rewrite]\nfilter = \"a\""),
        "t.toml:1:2: `rewrite` is a list, since there may be several; write [[rewrite]] in two brackets"
    );
    assert_eq!(
        refused("[[subscribe]]\nfilter = \"a\"\n[[subscribe]]\nqos = 1"),
        "t.toml:3:1: this automatic subscription has no `filter`; it must be text that is not empty"
    );
    assert_eq!(
        refused("[[retained]]\nfilter = \"a/#\"\nmessage_max = 1"),
        "t.toml:3:1: `message_max` is not known in [[retained]]; did you mean `messages_max`?"
    );
    assert_eq!(
        refused("[retain]\nfilter = \"a/#\""),
        "t.toml:1:2: `retain` is not known at the top level; did you mean `retained`?"
    );
    assert_eq!(
        refused("pattern = \"x\""),
        "t.toml:1:1: `pattern` is not known at the top level; it belongs into a [[rewrite]]"
    );
    assert!(
        refused_environment("", &[("TREFOIL_LISTENER_0_PORT", "1883")])
            .contains("there is no setting of that name")
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_MQTT_SN_TOPIC_0_TOPICS", "a")]),
        "environment variable TREFOIL_MQTT_SN_TOPIC_0_TOPICS: there is no setting of that name; did you mean \
         TREFOIL_MQTT_SN_TOPIC_0_TOPIC?"
    );
    assert_eq!(
        refused_environment("", &[("TREFOIL_SUBSCRIBE_1_FILTER", "a")]),
        "environment variable TREFOIL_SUBSCRIBE_1_FILTER: there is no [[subscribe]] 0; they are counted from 0, those \
         of the file first, and without gaps"
    );
}

#[test]
fn filters_and_topics_that_are_not_valid() {
    assert_eq!(
        refused("[[retained]]\nfilter = \"a/#/b\""),
        "t.toml:2:10: `filter` is \"a/#/b\"; # must be alone in the last level, as in a/b/#"
    );
    assert_eq!(
        refused("[[retained]]\nfilter = \"$share/g/a\""),
        "t.toml:2:10: `filter` chooses topics; leave `$share/NAME/` out"
    );
    assert_eq!(
        refused("[[rewrite]]\nfilter = \"a\"\npattern = \"(a\"\ntopic = \"b\""),
        "t.toml:3:11: `pattern` is \"(a\"; it is no regular expression: unclosed group"
    );
    assert_eq!(
        refused("[[rewrite]]\nfilter = \"a\"\npattern = \"a\"\ntopic = \"$1\""),
        "t.toml:4:9: `topic` is \"$1\"; $1 stands for a group of the pattern, which has 0"
    );
    assert_eq!(
        refused("[[subscribe]]\nfilter = \"a/{client_id}+\""),
        "t.toml:2:10: `filter` is \"a/{client_id}+\"; + must be alone in its level, as in a/+/c"
    );
    assert_eq!(
        refused("[[mqtt_sn_topic]]\nid = 1\ntopic = \"a/+\""),
        "t.toml:3:9: `topic` is \"a/+\"; it has + or # in it; those are for filters, a message goes to one topic"
    );
    assert_eq!(
        refused(
            "[[mqtt_sn_topic]]\nid = 1\ntopic = \"a\"\n[[mqtt_sn_topic]]\nid = 1\ntopic = \"b\"\nclient_id = \"c\"\n\
             [[mqtt_sn_topic]]\nid = 1\ntopic = \"d\""
        ),
        "t.toml:8:1: the id 1 stands for another predefined topic already"
    );
    assert_eq!(
        refused("[mqtt_sn]\nadvertise_to = \"225.1.1.1:1884\""),
        "t.toml:2:16: `advertise_to` is tcp://225.1.1.1:1884; write it with udp:// in front"
    );
    assert_eq!(
        refused("[mqtt]\nserver_moved = true"),
        "t.toml:2:16: `server_moved` sends every client elsewhere; write where to, as in server_reference = \
         \"hub.example.org:1883\""
    );
}

#[test]
fn everything_at_once_in_the_order_of_the_file() {
    let error = refused_environment(
        "\"\u{e9}clair\" = 1\nshards = 100 # ä\n[[listener]]\nbind = \"0.0.0.0:1\"\nprotocols = [\"mqtt\", \"jason\"]\n[limits]\nudp_idle_s = \"soon\"\n",
        &[("TREFOIL_LOG_LEVEL", "loud")],
    );
    let places: Vec<&str> = error.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "t.toml:1:1",
            "t.toml:2:10",
            "t.toml:4:8",
            "t.toml:5:22",
            "t.toml:7:14",
            "environment variable TREFOIL_LOG_LEVEL"
        ],
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_configuration() {
    let error = refused(&"x".repeat(2 << 20));
    assert_eq!(error, "t.toml:1:1: the file has 2097152 bytes; a configuration has at most 1048576");
    let list = "\"mqtt\",".repeat(1000);
    let error = refused(&format!("[[listener]]\nbind = \"127.0.0.1:1\"\nprotocols = [{list}]"));
    assert!(error.starts_with("t.toml:3:13: `protocols` is a list with far too many entries; "), "{error}");
}

#[test]
fn a_history_needs_a_bound() {
    let reason = refused("[[history]]\nfilter = \"a/#\"");
    assert!(reason.contains("this history has no bound; write `messages`, `seconds` or `bytes`"), "{reason}");
    assert!(refused("[[history]]\nmessages = 5").contains("this history of some topics has no `filter`"));
    assert!(
        refused("[[history]]\nfilter = \"$share/g/a\"\nmessages = 5").contains("leave `$share/NAME/` out")
    );
    assert!(refused("[[history]]\nfilter = \"a\"\nmessages = 0").contains("messages"));
}
