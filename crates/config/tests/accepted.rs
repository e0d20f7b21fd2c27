//! What is accepted, and what it means.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use trefoil_config::{
    Bans, Bind, Config, LogLevel, MqttSnTopic, RetainedLimit, Rewrite, Section, Setting, SharedStrategy, load,
};
use trefoil_hub::RewriteRule;

fn file(text: &str) -> Config {
    load(Some((Path::new("t.toml"), text)), &mut std::iter::empty()).unwrap()
}

fn with(text: &str, variables: &[(&str, &str)]) -> Config {
    let mut env = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load(Some((Path::new("t.toml"), text)), &mut env).unwrap()
}

/// Listeners as the server prints them.
fn shown(config: &Config) -> Vec<String> {
    config.listeners.iter().map(|l| format!("{}  {}", l.bind, l.protocols)).collect()
}

#[test]
fn bans() {
    let usual = Bans { apply: true, bans_max: 10_000, failures_ban_s: 0 };
    assert_eq!(file("").bans, usual);
    let said = file("[bans]\nbans_max = 7\nfailures_ban_s = \"1 h\"");
    assert_eq!(said.bans, Bans { bans_max: 7, failures_ban_s: 3600, ..usual.clone() });
    // For whoever has banned himself.
    assert_eq!(with("", &[("TREFOIL_BANS_APPLY", "false")]).bans, Bans { apply: false, ..usual });
}

#[test]
fn nothing_written_gives_the_defaults() {
    assert_eq!(load(None, &mut std::iter::empty()).unwrap(), Config::default());
    assert_eq!(file(""), Config::default());
    assert_eq!(with("", &[("PATH", "/bin"), ("TREFOIL_SHARDS", "")]), Config::default());
}

#[test]
fn with_users_any_address_will_do_and_anonymous_clients_need_a_word() {
    let config = file(
        r#"
        [[listener]]
        bind = "0.0.0.0:1883"
        [[listener]]
        bind = "127.0.0.1:1884"
        allow_anonymous = true
        [[listener]]
        bind = "udp://127.0.0.1:1884"
        protocols = ["mqtt-sn"]
        allow_anonymous = true
        [auth]
        users = "users.txt"
        failures_window_s = "5 min"
        "#,
    );
    assert_eq!(config.auth.users.as_deref(), Some(Path::new("users.txt")));
    assert_eq!((config.auth.failures_max, config.auth.failures_window_s), (30, 300));
    assert_eq!(config.auth.users_max, 10_000);
    let anonymous: Vec<bool> = config.listeners.iter().map(|l| l.allow_anonymous).collect();
    assert_eq!(anonymous, [false, true, true]);
    let usual = file("[auth]\nusers = \"users.txt\"");
    assert!(usual.listeners.iter().all(|l| !l.allow_anonymous));
    assert!(!usual.listeners.iter().any(|l| l.protocols.mqtt_sn), "it has no passwords");
    assert!(file("").listeners.iter().all(|l| l.allow_anonymous), "without users nobody is asked");
    let open = with("allow_anonymous = true", &[("TREFOIL_AUTH_USERS", "/etc/users")]);
    assert!(open.listeners.iter().all(|l| l.allow_anonymous));
    assert!(open.listeners.iter().any(|l| l.protocols.mqtt_sn));
    assert_eq!(open.auth.users.as_deref(), Some(Path::new("/etc/users")));
}

#[test]
fn the_example_of_the_design_is_accepted_with_a_warning() {
    let config = file(
        r#"
        [[listener]]
        bind = "127.0.0.1:1883"
        [[listener]]
        bind = "127.0.0.1:8080"
        protocols = ["http", "websocket"]
        echo = true
        [[listener]]
        bind = "udp://127.0.0.1:1884"
        protocols = ["mqtt-sn"]
        [store]
        path = "trefoil-data"
        durability = "interval"
        interval_ms = 250
        slack_bytes = "2 MiB"
        [[durability]]
        filter = "alarms/#"
        durability = "sync"
        "#,
    );
    assert_eq!(
        shown(&config),
        [
            "tcp://127.0.0.1:1883  mqtt, http, websocket, json",
            "tcp://127.0.0.1:8080  http, websocket",
            "udp://127.0.0.1:1884  mqtt-sn"
        ]
    );
    assert_eq!(config.listeners.iter().map(|l| l.echo).collect::<Vec<_>>(), [false, true, false]);
    let store = trefoil_config::Store {
        path: "trefoil-data".into(),
        durability: trefoil_config::Durability::Interval,
        interval_ms: 250,
        slack_bytes: 2 << 20,
        topics: vec![("alarms/#".to_owned(), trefoil_config::Durability::Sync)],
    };
    assert_eq!(config.store, store);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn addresses_in_every_spelling() {
    let bind = |text: &str| file(&format!("[[listener]]\nbind = \"{text}\"")).listeners[0].bind.clone();
    assert_eq!(bind("127.0.0.1:1883"), Bind::Tcp("127.0.0.1:1883".parse().unwrap()));
    assert_eq!(bind("tcp://[::1]:0"), Bind::Tcp("[::1]:0".parse().unwrap()));
    assert_eq!(bind("localhost:7"), Bind::Tcp("127.0.0.1:7".parse().unwrap()));
    assert_eq!(bind("udp://127.0.0.1:1883"), Bind::Udp("127.0.0.1:1883".parse().unwrap()));
}

#[test]
fn an_address_may_serve_both_transports_and_port_0_as_often_as_one_likes() {
    let config = file(
        "[[listener]]\nbind = \"127.0.0.1:1\"\n[[listener]]\nbind = \"udp://127.0.0.1:1\"\n\
         [[listener]]\nbind = \"127.0.0.1:0\"\n[[listener]]\nbind = \"127.0.0.1:0\"",
    );
    assert_eq!(config.listeners.len(), 4);
}

#[test]
fn an_open_listener_needs_one_word_in_either_place() {
    let open = "[[listener]]\nbind = \"0.0.0.0:1\"\n";
    assert!(file(&format!("allow_anonymous = true\n{open}")).allow_anonymous);
    assert!(!file(&format!("{open}allow_anonymous = true")).allow_anonymous);
    assert_eq!(with(open, &[("TREFOIL_ALLOW_ANONYMOUS", "true")]).listeners.len(), 1);
}

#[test]
fn sizes_and_durations_as_numbers_and_as_text() {
    let limits = file("[limits]\npacket_bytes_max = 5000\noutbox_bytes_max = \"2 MiB\"\nudp_idle_s = \"2 min\"\ndrain_s = 0").limits;
    assert_eq!((limits.packet_bytes_max, limits.outbox_bytes_max), (5000, 2 << 20));
    assert_eq!((limits.udp_idle_s, limits.drain_s), (120, 0));
}

#[test]
fn variables_go_over_the_file() {
    let text = "shards = 1\n[[listener]]\nbind = \"127.0.0.1:1\"\n[limits]\ninflight_max = 5";
    let config = with(
        text,
        &[
            ("TREFOIL_SHARDS", "3"),
            ("TREFOIL_LISTENER_1_PROTOCOLS", "http,websocket"),
            ("TREFOIL_LISTENER_1_BIND", "127.0.0.1:2"),
            ("TREFOIL_LISTENER_1_ECHO", "true"),
            ("TREFOIL_LISTENER_0_CONNECTIONS_MAX", "9"),
            ("TREFOIL_LIMITS_INFLIGHT_MAX", "7"),
            ("TREFOIL_LIMITS_PACKET_BYTES_MAX", "1 MiB"),
            ("TREFOIL_LOG_LEVEL", "debug"),
        ],
    );
    assert_eq!((config.shards, config.limits.inflight_max, config.limits.packet_bytes_max), (3, 7, 1 << 20));
    assert_eq!(shown(&config)[1], "tcp://127.0.0.1:2  http, websocket");
    assert_eq!((config.listeners[0].connections_max, config.listeners[1].echo), (9, true));
    assert_eq!(config.log.level, LogLevel::Debug);
}

#[test]
fn sections_of_which_there_may_be_several_come_from_file_and_environment() {
    let config = with(
        r#"
        [[rewrite]]
        filter = "old/#"
        pattern = "^old/(.+)$"
        topic = "new/$1"
        on = ["publish"]
        [[subscribe]]
        filter = "clients/{client_id}/#"
        qos = 1
        retain_handling = 2
        protocols = ["mqtt", "mqtt-sn"]
        [[retained]]
        filter = "a/#"
        messages_max = 5
        "#,
        &[
            ("TREFOIL_REWRITE_0_TOPIC", "newer/$1"),
            ("TREFOIL_SUBSCRIBE_1_FILTER", "news"),
            ("TREFOIL_RETAINED_1_FILTER", "#"),
            ("TREFOIL_RETAINED_1_BYTES_MAX", "1 KiB"),
            ("TREFOIL_MQTT_SN_TOPIC_0_ID", "7"),
            ("TREFOIL_MQTT_SN_TOPIC_0_TOPIC", "t"),
            ("TREFOIL_MQTT_SN_ADVERTISE_TO", "udp://225.1.1.1:1884"),
        ],
    );
    let rule = RewriteRule::new("old/#", "^old/(.+)$", "newer/$1").unwrap();
    let rewrite = Rewrite { rule, publish: true, subscribe: false };
    assert_eq!(config.rewrite, [rewrite]);
    let filters: Vec<&str> = config.subscribe.iter().map(|subscribe| subscribe.filter.as_str()).collect();
    assert_eq!(filters, ["clients/{client_id}/#", "news"]);
    let first = &config.subscribe[0];
    assert_eq!((first.mqtt, first.json, first.mqtt_sn), (true, false, true));
    let limit = |filter: &str, messages_max, bytes_max| RetainedLimit {
        filter: filter.into(),
        messages_max,
        bytes_max,
    };
    assert_eq!(config.retained, [limit("a/#", Some(5), None), limit("#", None, Some(1024))]);
    let topic = MqttSnTopic { id: 7, topic: "t".into(), client_id: None };
    assert_eq!(config.mqtt_sn.topics, [topic]);
    assert_eq!(config.mqtt_sn.advertise_to, Some("225.1.1.1:1884".parse().unwrap()));
}

#[test]
fn sections_with_a_switch_are_off_and_have_bounds() {
    let config = file(
        "[delayed]\nenabled = true\ndelay_s_max = \"1 h\"\n[exclusive]\nenabled = true\n[sys]\ninterval_s = 0\n\
         [shared]\nstrategy = \"sticky\"\n[mqtt]\nserver_reference = \"other:1883\"\nserver_moved = true",
    );
    let off = Config::default();
    assert!(config.delayed.enabled && !off.delayed.enabled);
    assert_eq!((config.delayed.delay_s_max, config.delayed.messages_max), (3600, off.delayed.messages_max));
    assert!(config.exclusive.enabled && !off.exclusive.enabled);
    assert_eq!((config.sys.interval_s, off.sys.interval_s), (0, 10));
    assert_eq!(
        (config.shared.strategy, off.shared.strategy),
        (SharedStrategy::Sticky, SharedStrategy::RoundRobin)
    );
    assert_eq!(config.mqtt.server_reference.as_deref(), Some("other:1883"));
    assert!(config.mqtt.server_moved && off.mqtt == Default::default());
}

#[test]
fn variables_of_a_container_host_only_lead_to_a_warning() {
    let config = with(
        "",
        &[("TREFOIL_SERVICE_HOST", "10.0.0.1"), ("TREFOIL_MQTT_PORT_1883_TCP", "tcp://10.0.0.1:1883")],
    );
    assert_eq!(config.listeners, Config::default().listeners);
    assert_eq!(
        config.warnings[0],
        "the environment variable TREFOIL_SERVICE_HOST begins like a setting of Trefoil and is none; it has no effect"
    );
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn every_limit_can_be_set_in_both_ways() {
    for setting in Setting::of(Section::Limits) {
        let written = file(&format!("[limits]\n{} = 2048", setting.key).replace("2048", &fitting(setting)));
        let given = with("", &[(&setting.environment(), &fitting(setting))]);
        assert_eq!(written, given, "{}", setting.key);
        assert_ne!(written, Config::default(), "{} was read and not kept", setting.key);
    }
}

/// A number that a setting allows and that is not its default.
fn fitting(setting: &Setting) -> String {
    match setting.kind {
        trefoil_config::Kind::Bytes { .. } => "2048".into(),
        _ => "77".into(),
    }
}

#[test]
fn the_reference_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == trefoil_config::reference(),
        "docs/configuration.md is stale; write it anew with\n  cargo run -p trefoil-config --example reference > \
         docs/configuration.md"
    );
}

#[test]
fn the_example_on_the_reference_page_is_accepted() {
    let page = trefoil_config::reference();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = file(example);
    assert_eq!(config.limits.packet_bytes_max, 16_777_216);
    assert_eq!(config.limits.udp_idle_s, 120);
}

/// Lines out of which files are made that are nearly right.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<String> =
        Setting::all().map(|setting| setting.key.to_owned()).chain(["listener".into(), "x".into()]).collect();
    let values = prop_oneof![
        Just("true".to_owned()),
        Just("\"udp://127.0.0.1:1\"".to_owned()),
        Just("[\"mqtt\", \"x\", 1]".to_owned()),
        Just("[{bind = \"[::1]:0\", protocols = [\"mqtt-sn\"]}]".to_owned()),
        Just("0xffff_ffff_ffff_ffff".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,12}",
    ];
    prop_oneof![
        4 => (prop::sample::select(keys), values).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => prop::sample::select(vec!["[[listener]]", "[limits]", "[store]", "[log]", "[listener]", "[["])
            .prop_map(str::to_owned),
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_never_panics(
        text in prop_oneof![any::<String>(), prop::collection::vec(line(), 0..12).prop_map(|lines| lines.join("\n"))],
        name in "TREFOIL_(LISTENER_[0-3]{0,2}_)?[A-Z_]{0,12}", value in any::<String>(),
    ) {
        match load(Some((Path::new("t.toml"), &text)), &mut std::iter::once((name, value))) {
            Ok(config) => prop_assert!(!config.listeners.is_empty()),
            Err(problems) => prop_assert!(problems.iter().count() > 0 && !problems.to_string().is_empty()),
        }
    }
}

#[test]
fn policies_for_slow_readers() {
    use trefoil_hub::SlowReader;
    let text = r#"
[[listener]]
bind = "127.0.0.1:1"
slow_reader = "latest_per_topic"
[[listener]]
bind = "127.0.0.1:2"
[[slow_reader]]
filter = "log/#"
policy = "drop_oldest"
[[slow_reader]]
filter = "jobs/+"
policy = "disconnect"
"#;
    let config = file(text);
    let of_listeners: Vec<_> = config.listeners.iter().map(|listener| listener.slow_reader).collect();
    assert_eq!(of_listeners, [SlowReader::LatestPerTopic, SlowReader::DropNewest]);
    let rules = [("log/#", SlowReader::DropOldest), ("jobs/+", SlowReader::Disconnect)];
    assert_eq!(config.slow_readers, rules.map(|(filter, policy)| (filter.to_owned(), policy)));
    let variables = [
        ("TREFOIL_LISTENER_0_SLOW_READER", "disconnect"),
        ("TREFOIL_SLOW_READER_0_FILTER", "log/#"),
        ("TREFOIL_SLOW_READER_0_POLICY", "drop_oldest"),
    ];
    let config = with("[[listener]]\nbind = \"127.0.0.1:1\"", &variables);
    assert_eq!(config.listeners[0].slow_reader, SlowReader::Disconnect);
    assert_eq!(config.slow_readers, [("log/#".to_owned(), SlowReader::DropOldest)]);
}

#[test]
fn memory_is_a_size_or_a_part_of_the_machines() {
    use trefoil_config::MemoryMax::{Bytes, Percent, Unlimited};
    for (written, expected) in [
        ("0", Unlimited),
        ("1048576", Bytes(1 << 20)),
        ("\"2 GiB\"", Bytes(2 << 30)),
        ("\"80 %\"", Percent(80)),
        ("\"100%\"", Percent(100)),
    ] {
        assert_eq!(file(&format!("memory_max = {written}")).memory_max, expected, "{written}");
        let given = with("", &[("TREFOIL_MEMORY_MAX", written.trim_matches('"'))]);
        assert_eq!(given.memory_max, expected, "{written}");
    }
    for wrong in ["\"0 %\"", "\"101 %\"", "\"much\"", "true", "-1"] {
        let text = format!("memory_max = {wrong}");
        assert!(load(Some((Path::new("t.toml"), &text)), &mut std::iter::empty()).is_err(), "{wrong}");
    }
}

#[test]
fn histories_have_one_bound_or_several() {
    use trefoil_hub::HistoryRule;
    let text = r##"
[[history]]
filter = "room/#"
messages = 50
seconds = "7 d"
[[history]]
filter = "#"
bytes = "1 KiB"
"##;
    let rules = [
        HistoryRule {
            filter: "room/#".into(),
            messages_max: 50,
            age_ms_max: Some(7 * 24 * 3600 * 1000),
            bytes_max: usize::MAX,
        },
        HistoryRule { filter: "#".into(), messages_max: usize::MAX, age_ms_max: None, bytes_max: 1024 },
    ];
    assert_eq!(file(text).history, rules);
    let variables = [("TREFOIL_HISTORY_0_FILTER", "a"), ("TREFOIL_HISTORY_0_MESSAGES", "3")];
    assert_eq!(with("", &variables).history[0].messages_max, 3);
    assert!(file("").history.is_empty(), "nobody pays for what is not asked for");
}
