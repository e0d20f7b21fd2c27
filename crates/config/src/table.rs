//! The one table of settings, section by section. Those of `[limits]` stand in `limits.rs`.

use crate::settings::Kind::{
    Address, Bool, Bytes, Choice, Choices, Count, Memory, Networks, Origins, Seconds, Text,
};
use crate::settings::Preset::{Number, Required, Said};
use crate::settings::Section::{
    Auth, Bans, Delayed, Durability, Exclusive, History, Listener, Log, Mqtt, MqttSn, MqttSnTopic, Retained,
    Rewrite, Shared, SlowReader, Store, Subscribe, Sys, Top,
};
use crate::settings::{Kind, Preset, Section, Setting};

/// MQTT-SN as it is written in the file.
pub(crate) const MQTT_SN: &str = "mqtt-sn";
/// Frames of raw sockets as they are written in the file.
pub(crate) const FRAMED: &str = "framed";

const HUNDRED_MILLION: u64 = 100_000_000;
const MIB: u64 = 1 << 20;

/// What may happen to messages for which a receiver is too slow.
pub(crate) const SLOW_READER: Kind =
    Choice(&["drop_newest", "drop_oldest", "latest_per_topic", "disconnect"]);

/// No setting that counts bytes can be larger.
const BYTES_MAX: u64 = 4095 * MIB;

pub(crate) const fn setting(
    section: Section,
    key: &'static str,
    kind: Kind,
    preset: Preset,
    help: &'static str,
) -> Setting {
    Setting { section, key, kind, preset, help }
}

pub(crate) const BEFORE_LIMITS: &[Setting] = &[
    setting(
        Top,
        "allow_anonymous",
        Bool,
        Preset::Bool(false),
        "Lets anybody who can reach a listener connect to it, without saying who it is. Without it every listener \
         must be on a loopback address, where only this machine can reach it, or there must be users (`[auth]`).",
    ),
    setting(
        Top,
        "shards",
        Count { min: 0, max: 64 },
        Number(0),
        "Threads that serve connections. 0 means one per core.",
    ),
    setting(
        Top,
        "memory_max",
        Memory { max: 1 << 50 },
        Number(0),
        "The memory that the hub may take. From 80 % of it on new clients are refused, from 90 % on slow readers get no \
         QoS 0, and from 95 % on publishers are not read from.",
    ),
    setting(
        Top,
        "trusted_proxies",
        Networks,
        Said("nobody is"),
        "Addresses and networks of proxies that are believed when they say for whom they connect: by the PROXY protocol, \
         where a listener has `proxy_protocol = true`, and in requests by `X-Forwarded-For` or `Forwarded`. That address \
         is then the client's, for bans, for failures and in the log. From everybody else these headers mean nothing.",
    ),
    setting(
        Top,
        "allowed_origins",
        Origins,
        Said("pages of the same host only"),
        "Origins of web pages of other hosts that may use HTTP, server-sent events and WebSocket, such as \
         `https://app.example`. `*` lets in every page of the world, which matters most where nobody is asked who they \
         are. Pages of the same host may in any case, on whatever port.",
    ),
    setting(
        Listener,
        "bind",
        Address,
        Required,
        "Where to accept. Without `tcp://`, `udp://` or `unix://` it is TCP. Port 0 lets the system choose a free port, which \
         is printed at start. `unix://` and the absolute path of a file, as in `unix:///run/trefoil.sock`, is a Unix socket, \
         which carries all that TCP carries.",
    ),
    setting(
        Listener,
        "protocols",
        Choices(&["mqtt", "http", "websocket", "json", "rooms", MQTT_SN, FRAMED]),
        Said("`mqtt`, `http`, `websocket` and `json` on TCP and Unix sockets, `json` and `rooms` on UDP"),
        "What is spoken here. On TCP and Unix sockets the first bytes of a connection tell them apart: `mqtt` is MQTT 3.1, 3.1.1 and \
         5.0; `http` the console, the API, server-sent events and metrics; `websocket` MQTT on `/mqtt` and JSON on \
         `/ws`; `json` one JSON object per line. On UDP `json` is one JSON object per datagram, `rooms` are datagram channels, and the first byte tells them apart; `mqtt-sn` is \
         MQTT-SN 1.2, which needs a UDP listener for itself. `framed` is what `framing` says, and has its listener for \
         itself.",
    ),
    setting(
        Listener,
        "echo",
        Bool,
        Preset::Bool(false),
        "Also answers on `/ws/echo`, where every WebSocket message comes straight back. For outside test suites. \
         Needs `websocket` among the protocols.",
    ),
    setting(
        Listener,
        "allow_anonymous",
        Bool,
        Said("what the top level says"),
        "The same as at the top level, for this listener only.",
    ),
    setting(
        Listener,
        "proxy_protocol",
        Bool,
        Preset::Bool(false),
        "Each connection begins with a header of the PROXY protocol, version 1 or 2, from one of the `trusted_proxies`, \
         which have to be set. Whoever else connects is refused, and so is a connection whose header is missing, wrong or \
         does not come within `limits.first_bytes_timeout_s`. TCP only.",
    ),
    setting(
        Listener,
        "trusted_proxies",
        Networks,
        Said("what the top level says"),
        "The same as at the top level, for this listener only.",
    ),
    setting(
        Listener,
        "allowed_origins",
        Origins,
        Said("what the top level says"),
        "The same as at the top level, for this listener only.",
    ),
    setting(
        Listener,
        "connections_max",
        Count { min: 0, max: HUNDRED_MILLION },
        Number(0),
        "Connections (over UDP: peers) of this listener at one time. 0 means as many as the process may open files.",
    ),
    setting(
        Listener,
        "socket_mode",
        Text,
        Preset::Text("660"),
        "Who may connect to a Unix socket: the permissions of its file, in octal digits. `660` are its owner and its group, \
         `666` everybody on this machine.",
    ),
    setting(
        Listener,
        "slow_reader",
        SLOW_READER,
        Preset::Text("drop_newest"),
        "What happens to messages for which a client that connects here is too slow: its outbox (QoS 0) or its session's \
         queue (QoS 1 and 2) has no room. `drop_newest` and `drop_oldest` drop one; `latest_per_topic` keeps, of what \
         waits, the newest on each topic; `disconnect` ends the connection.",
    ),
    setting(
        Auth,
        "users",
        Text,
        Said("nobody is asked who they are"),
        "The file of users that `trefoil passwd` writes, one `name:record` a line; a relative path begins where the \
         hub is started. With it every listener asks its clients who they are, unless `allow_anonymous` lets them in \
         without, and may be on any address. The file is read again at SIGHUP.",
    ),
    setting(
        Auth,
        "failures_max",
        Count { min: 0, max: 1_000_000 },
        Number(30),
        "How often one address (of IPv6, one /64) may fail to prove who it is within `failures_window_s`. Beyond that \
         it is refused for the rest of that time, whatever it sends. What fails over UDP, where addresses can be forged, is \
         counted by itself, and refused over UDP only. 0 is no limit.",
    ),
    setting(
        Auth,
        "failures_window_s",
        Seconds { min: 1, max: 86_400 },
        Number(60),
        "The time in which failures are counted together.",
    ),
    setting(
        Auth,
        "users_max",
        Count { min: 0, max: 100_000 },
        Number(10_000),
        "Users that may be added over HTTP while the hub runs, beside those of the file. 0 lets nobody add any.",
    ),
    setting(
        Bans,
        "apply",
        Bool,
        Preset::Bool(true),
        "Whether anybody is held to the bans. With `false` they stay in the store, and can be listed and taken back: for \
         whoever has banned himself.",
    ),
    setting(
        Bans,
        "bans_max",
        Count { min: 0, max: 100_000 },
        Number(10_000),
        "Bans at one time. Those that the hub sets by itself (`failures_ban_s`) are at most half of them.",
    ),
    setting(
        Bans,
        "failures_ban_s",
        Seconds { min: 0, max: 31_536_000 },
        Number(0),
        "For how long an address (of IPv6, one /64) is banned that has failed to prove who it is as often as \
         `auth.failures_max` allows. 0 bans nobody: it is only not listened to for the rest of \
         `auth.failures_window_s`. Loopback addresses are never banned in this way, and nobody \
         for what failed over UDP.",
    ),
];

pub(crate) const AFTER_LIMITS: &[Setting] = &[
    setting(
        Mqtt,
        "server_reference",
        Text,
        Said("none"),
        "Another server that clients may use instead, as `HOST:PORT`; several with blanks between them. MQTT 5 \
         clients are told when this one stops, when it refuses a connection because it has no room, and when \
         `server_moved` is set.",
    ),
    setting(
        Mqtt,
        "server_moved",
        Bool,
        Preset::Bool(false),
        "Refuses every MQTT client and, over MQTT 5, sends it to the `server_reference` for good.",
    ),
    setting(
        Shared,
        "strategy",
        Choice(&["round_robin", "least_loaded", "sticky", "hash_topic"]),
        Preset::Text("round_robin"),
        "Who of a shared subscription gets the next message: each in turn; the one for whom least waits; always the \
         same one while it is there; or the one that the topic chooses.",
    ),
    setting(
        Retained,
        "filter",
        Text,
        Required,
        "Which topics are counted together. Of several limits whose filters match a topic, the first holds.",
    ),
    setting(
        Retained,
        "messages_max",
        Count { min: 0, max: HUNDRED_MILLION },
        Said("no limit besides `limits.retained_messages_max`"),
        "Retained messages of these topics at one time. The oldest makes room for a new one.",
    ),
    setting(
        Retained,
        "bytes_max",
        Bytes { min: 0, max: BYTES_MAX },
        Said("no limit besides `limits.retained_bytes_max`"),
        "Bytes of the retained messages of these topics together. The oldest make room for a new one.",
    ),
    setting(
        Sys,
        "interval_s",
        Seconds { min: 0, max: 86_400 },
        Number(10),
        "How often the figures below `$SYS/broker` are brought up to date. 0 means that there are none.",
    ),
    setting(
        Delayed,
        "enabled",
        Bool,
        Preset::Bool(false),
        "Takes messages to `$delayed/SECONDS/TOPIC` and publishes them to `TOPIC` that many seconds later.",
    ),
    setting(
        Delayed,
        "messages_max",
        Count { min: 1, max: HUNDRED_MILLION },
        Number(100_000),
        "Delayed messages that may wait at one time. Who sends another is refused.",
    ),
    setting(
        Delayed,
        "bytes_max",
        Bytes { min: 1024, max: BYTES_MAX },
        Number(256 * MIB),
        "Bytes of all delayed messages that wait together. Who sends more is refused.",
    ),
    setting(
        Delayed,
        "delay_s_max",
        Seconds { min: 1, max: 4_294_967 },
        Number(4_294_967),
        "The longest delay. A message with a longer one is refused.",
    ),
    setting(
        Exclusive,
        "enabled",
        Bool,
        Preset::Bool(false),
        "Lets a client subscribe to `$exclusive/FILTER`, which is `FILTER` for one session at a time.",
    ),
    setting(Rewrite, "filter", Text, Required, "The topics and topic filters for which this rule holds."),
    setting(
        Rewrite,
        "pattern",
        Text,
        Required,
        "A regular expression for the topic. If it finds nothing there, the rule does not apply.",
    ),
    setting(
        Rewrite,
        "topic",
        Text,
        Required,
        "What the topic becomes. `$1` to `$9` stand for the groups of the pattern, `%c` for the client id, `%u` for \
         the user name.",
    ),
    setting(
        Rewrite,
        "on",
        Choices(&["publish", "subscribe"]),
        Said("both"),
        "Whether topics of messages are rewritten, or filters of subscriptions, or both.",
    ),
    setting(
        Subscribe,
        "filter",
        Text,
        Required,
        "What clients are subscribed to when they connect. `{client_id}` and `{user_name}` stand for those of the \
         client; who has none of the name is not subscribed.",
    ),
    setting(Subscribe, "qos", Count { min: 0, max: 2 }, Number(0), "The highest QoS of deliveries."),
    setting(
        Subscribe,
        "no_local",
        Bool,
        Preset::Bool(false),
        "Leaves out what the client itself has published.",
    ),
    setting(
        Subscribe,
        "retain_as_published",
        Bool,
        Preset::Bool(false),
        "Keeps the retain flag as the publisher set it.",
    ),
    setting(
        Subscribe,
        "retain_handling",
        Count { min: 0, max: 2 },
        Number(0),
        "Retained messages: 0 sends them at every connect, 1 only if the session did not have the subscription, 2 \
         never.",
    ),
    setting(
        Subscribe,
        "protocols",
        Choices(&["mqtt", "json", MQTT_SN]),
        Said("all of them"),
        "Which clients are subscribed.",
    ),
    setting(
        MqttSn,
        "gateway_id",
        Count { min: 1, max: 255 },
        Number(1),
        "The number by which MQTT-SN clients tell this gateway from others.",
    ),
    setting(
        MqttSn,
        "advertise_s",
        Seconds { min: 0, max: 65_535 },
        Number(0),
        "How often the gateway advertises itself. 0 means never.",
    ),
    setting(
        MqttSn,
        "advertise_to",
        Address,
        Said("nowhere"),
        "Where advertisements are sent: a multicast or broadcast address, as `udp://225.1.1.1:1884`. The gateway \
         joins a multicast group, to hear who looks for gateways there.",
    ),
    setting(
        MqttSn,
        "resend_s",
        Seconds { min: 1, max: 3600 },
        Number(10),
        "How long the gateway waits for the answer of an MQTT-SN client before it sends again (T_retry).",
    ),
    setting(
        MqttSn,
        "resends_max",
        Count { min: 0, max: 100 },
        Number(4),
        "How often the gateway sends again before it takes the client for lost (N_retry).",
    ),
    setting(
        MqttSn,
        "topics_max",
        Count { min: 1, max: 65_534 },
        Number(1000),
        "Topics that have an id for one client, by its wish or by the gateway's.",
    ),
    setting(
        MqttSn,
        "buffer_messages_max",
        Count { min: 0, max: HUNDRED_MILLION },
        Number(100),
        "Messages of QoS 0 that are kept for one client while it sleeps, or until it knows their topics. Those of QoS 1 \
         and 2 wait in its session.",
    ),
    setting(
        MqttSn,
        "buffer_bytes_max",
        Bytes { min: 0, max: BYTES_MAX },
        Number(65_536),
        "Bytes of the same messages.",
    ),
    setting(
        MqttSn,
        "will_bytes_max",
        Bytes { min: 0, max: 65_535 },
        Number(4096),
        "The largest payload of an MQTT-SN client's will.",
    ),
    setting(MqttSnTopic, "id", Count { min: 1, max: 65_534 }, Required, "The number of the topic."),
    setting(MqttSnTopic, "topic", Text, Required, "The topic that it stands for."),
    setting(
        MqttSnTopic,
        "client_id",
        Text,
        Said("all clients"),
        "For whom it holds. What is said of one client goes before what is said of all.",
    ),
    setting(
        Log,
        "level",
        Choice(&["error", "warn", "info", "debug", "trace"]),
        Preset::Text("info"),
        "The least important kind of line that is still written to standard error.",
    ),
    setting(
        Store,
        "path",
        Text,
        Preset::Text("trefoil-data"),
        "The folder in which is kept what outlives the hub. It is made if it is not there; one hub at a time may use it.",
    ),
    setting(
        Store,
        "durability",
        Choice(&["sync", "interval", "none"]),
        Preset::Text("sync"),
        "When something that is to outlive the hub is on disk: `sync`, before it is acknowledged; `interval`, within \
         `interval_ms`; `none`, never.",
    ),
    setting(
        Store,
        "interval_ms",
        Count { min: 1, max: 3_600_000 },
        Number(1000),
        "How long what nobody waits for may be on its way to the disk.",
    ),
    setting(
        Store,
        "slack_bytes",
        Bytes { min: MIB, max: BYTES_MAX },
        Number(64 * MIB),
        "How much more than twice what is live the store may take on disk before it is made smaller. Less saves disk, and \
         writes what is live more often.",
    ),
    setting(
        Durability,
        "filter",
        Text,
        Required,
        "Which topics it is for. Of several whose filters match a topic, the first holds.",
    ),
    setting(
        Durability,
        "durability",
        Choice(&["sync", "interval", "none"]),
        Required,
        "When the messages on these topics are on disk that are retained, delayed, or for sessions which outlast their \
         connection.",
    ),
    setting(
        SlowReader,
        "filter",
        Text,
        Required,
        "Which topics it is for. Of several whose filters match a topic, the first holds.",
    ),
    setting(
        SlowReader,
        "policy",
        SLOW_READER,
        Required,
        "What happens to messages on these topics for which a receiver is too slow, whichever listener it came by. What a \
         client says with its subscription, as JSON clients can, goes before.",
    ),
    setting(
        History,
        "filter",
        Text,
        Required,
        "Which topics it is for. Of several whose filters match a topic, the first holds. Topics of the hub itself (`$SYS`) \
         have no history.",
    ),
    setting(
        History,
        "messages",
        Count { min: 1, max: HUNDRED_MILLION },
        Said("no bound of its own"),
        "How many of the last messages of each topic are kept.",
    ),
    setting(
        History,
        "seconds",
        Seconds { min: 1, max: 4_294_967_295 },
        Said("no bound of its own"),
        "For how long a message is kept.",
    ),
    setting(
        History,
        "bytes",
        Bytes { min: 1, max: BYTES_MAX },
        Said("no bound of its own"),
        "How many bytes of the last messages of each topic are kept: payload, topic and properties, and what it takes to \
         hold them.",
    ),
];
