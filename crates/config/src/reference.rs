//! The reference page, out of the table.

use std::fmt::Write as _;

use crate::settings::{Preset, Section, Setting};
use crate::units::Shown;

/// The page `docs/configuration.md`. A test compares; after a change of the table write it anew with
/// `cargo run -p trefoil-config --example reference > docs/configuration.md`.
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    for section in Section::ALL {
        let (title, text) = introduction(section);
        write!(page, "\n## {title}\n\n{text}\n").expect("writing to a String cannot fail");
        for setting in Setting::of(section) {
            entry(&mut page, setting);
        }
    }
    page.push_str(TAIL);
    page
}

fn entry(page: &mut String, setting: &Setting) {
    let shown = Shown(setting.preset, setting.kind);
    let default = match setting.preset {
        Preset::Said(_) | Preset::Required => shown.to_string(),
        _ => format!("`{shown}`"),
    };
    write!(
        page,
        "\n### `{}`\n\n{}\n\n- allowed: {}\n- default: {default}\n- environment: `{}`\n",
        setting.key,
        setting.help,
        setting.kind,
        setting.environment()
    )
    .expect("writing to a String cannot fail");
}

fn introduction(section: Section) -> (&'static str, &'static str) {
    match section {
        Section::Top => ("Top level", "Before the first section of the file."),
        Section::Listener => (
            "`[[listener]]`",
            "One for each address on which Trefoil accepts. As soon as one is written, the usual three are no longer \
             opened.",
        ),
        Section::Tls => (
            "`[tls]`",
            "The certificate of the hub: [security.md](security.md#tls). With it every TCP listener speaks TLS too, beside what it \
             spoke before, unless its `tls` says otherwise.",
        ),
        Section::Dial => (
            "`[[dial]]`",
            "One for each device that is a TCP server, and that the hub connects to: [framed.md](framed.md). It has the keys of \
             a framed listener.",
        ),
        Section::Auth => ("`[auth]`", "Who may connect. [security.md](security.md) has more."),
        Section::Bans => {
            ("`[bans]`", "Who may not connect. The bans themselves are set [over HTTP](http.md#bans).")
        }
        Section::Limits => (
            "`[limits]`",
            "How much of everything there may be. Names end in the unit: `_bytes_max` are sizes, `_s` and `_s_max` \
             durations in seconds, `_max` alone counts.",
        ),
        Section::WebSocket => (
            "`[websocket]`",
            "How WebSocket messages are compressed: [websocket.md](websocket.md#compression).",
        ),
        Section::Mqtt => ("`[mqtt]`", "What MQTT clients are told about other servers."),
        Section::Shared => ("`[shared]`", "How shared subscriptions choose among their members."),
        Section::Retained => (
            "`[[retained]]`",
            "One for each set of topics whose retained messages have a bound of their own.",
        ),
        Section::Sys => {
            ("`[sys]`", "The figures below `$SYS/broker`, by the names that mosquitto gives them.")
        }
        Section::Delayed => {
            ("`[delayed]`", "Messages that are published later, by a topic `$delayed/SECONDS/TOPIC`.")
        }
        Section::Exclusive => ("`[exclusive]`", "Subscriptions that only one session may hold."),
        Section::Rewrite => (
            "`[[rewrite]]`",
            "One for each rule that changes topics. They are tried in their order, and the first one that applies \
             holds.",
        ),
        Section::Subscribe => (
            "`[[subscribe]]`",
            "One for each subscription that clients get when they connect, without asking for it.",
        ),
        Section::MqttSn => {
            ("`[mqtt_sn]`", "The gateway for MQTT-SN clients, on listeners that speak `mqtt-sn`.")
        }
        Section::MqttSnTopic => (
            "`[[mqtt_sn_topic]]`",
            "One for each topic that has a number beforehand, so that MQTT-SN clients need not register it.",
        ),
        Section::Log => ("`[log]`", "What is written to standard error."),
        Section::Store => ("`[store]`", "What outlives the hub: [durability.md](durability.md)."),
        Section::Durability => (
            "`[[durability]]`",
            "One for each set of topics whose messages are kept otherwise than `store.durability` says.",
        ),
        Section::History => (
            "`[[history]]`",
            "One for each set of topics of which the last messages are kept, so that JSON clients and streams of events can go \
             on where they were: [delivery.md](delivery.md#history). At least one of the bounds must be written; what goes \
             beyond any of them gives way, the oldest first.",
        ),
        Section::Rooms => {
            ("`[rooms]`", "Datagram channels, on listeners that speak `rooms`: [rooms.md](rooms.md).")
        }
        Section::Room => (
            "`[[room]]`",
            "One for each set of rooms whose datagrams are published to topics as well, so that others can watch.",
        ),
        Section::SlowReader => (
            "`[[slow_reader]]`",
            "One for each set of topics with a policy of their own for receivers that are too slow: \
             [delivery.md](delivery.md#slow-readers).",
        ),
    }
}

const HEAD: &str = r#"# Configuration

<!-- Written from the table of settings by `cargo run -p trefoil-config --example reference`. Do not edit. -->

Trefoil needs no configuration. Without one it listens on this machine only:

| listener | speaks |
| --- | --- |
| `tcp://127.0.0.1:1883` | MQTT, HTTP, WebSocket and JSON lines, told apart by their first bytes |
| `udp://127.0.0.1:1883` | JSON datagrams |
| `udp://127.0.0.1:1884` | MQTT-SN |
| `tcp://127.0.0.1:8080` | HTTP and WebSocket |

A file `trefoil.toml` says no more than what differs from that:

```toml
[[listener]]
bind = "127.0.0.1:1883"

[[listener]]
bind = "0.0.0.0:8080"
protocols = ["http", "websocket"]
allow_anonymous = true        # anybody who reaches this machine may connect here

[limits]
packet_bytes_max = "16 MiB"   # or 16777216
udp_idle_s = "2 min"          # or 120
```

Each setting also has an **environment variable**, which goes over the file. Lists are written with commas:
`TREFOIL_LISTENER_0_PROTOCOLS=http,websocket`. An empty variable counts as not set. Where there may be several sections
of one name, `N` in the name of the variable is the number of one, counted from 0, those of the file first.

**Sizes** are bytes, or text with one of `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`. **Durations** are seconds, or text
with one of `s`, `min`, `h`, `d`.

`trefoil check FILE` says what is wrong with a file without starting anything: every problem at once, each with its
line, what is allowed there and the name that was probably meant. `trefoil serve` refuses to start with the same words.
"#;

const TAIL: &str = r#"
## What is refused

- a key that is not known, a value of another type or out of range, an address that is none;
- a variable whose name begins with `TREFOIL_` and the name of a section (`TREFOIL_LIMITS_`) and is not one of the above,
  or that looks like one of the others mistyped (other variables that begin with `TREFOIL_`, and those that container
  hosts set for a service, such as `TREFOIL_MQTT_SERVICE_HOST`, only lead to a warning);
- a section in two brackets without a setting that must be written there, a filter or a topic that is not valid;
- `server_moved` without a `server_reference`;
- `mqtt`, `http` or `websocket` on `udp://`, and `mqtt-sn` on `tcp://`;
- `tls` without a certificate or on `udp://`, a certificate without its key, `socket_mode` without a Unix socket;
- `echo` without `websocket`;
- a list of protocols with nothing in it;
- the same address twice, or one beside every address (`0.0.0.0`) of the same port, unless the port is 0;
- no listener at all, or none that this version opens;
- an address that other machines can reach, unless there are users or `allow_anonymous = true` is written for that listener or at the
  top level.
"#;
