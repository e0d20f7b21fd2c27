//! The limits: every queue, buffer and wait of the server has its bound here, with its unit last in the name.

use crate::settings::{Kind, Preset, Section, Setting};

/// Writes the struct, its defaults and its part of the table from one list, so that they cannot disagree.
macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $preset:expr, $kind:ident $min:literal..=$max:expr; )+) => {
        /// How much of everything there may be. Names end in the unit; `max` without one counts things.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $( $key: $preset, )+ }
            }
        }

        impl Limits {
            /// Sets one by its name in the file. The table's bounds were checked, and they fit the field.
            pub(crate) fn set(&mut self, key: &str, number: u64) {
                match key {
                    $( stringify!($key) => {
                        self.$key = number.try_into().expect("the table's bounds fit the field's type");
                    } )+
                    other => unreachable!("{other} is not in the table of limits"),
                }
            }
        }

        pub(crate) const TABLE: &[Setting] = &[ $( Setting {
            section: Section::Limits,
            key: stringify!($key),
            kind: Kind::$kind { min: $min, max: $max },
            preset: Preset::Number($preset),
            help: concat!($($doc),+).trim_ascii_start(),
        } ),+ ];
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HUNDRED_MILLION: u64 = 100_000_000;

limits! {
    /// Connections at one time, of all listeners together. 0 means as many as the process may open files.
    connections_max: usize = 0, Count 0..=HUNDRED_MILLION;
    /// How long a new connection may stay silent, or leave its handshake unfinished, before it is closed.
    first_bytes_timeout_s: u32 = 10, Seconds 1..=3600;
    /// The largest MQTT packet and the largest WebSocket message that is taken in.
    packet_bytes_max: usize = 4_194_304, Bytes 1024..=256 * MIB;
    /// The largest JSON object that is taken in, as a line or as a WebSocket message. A datagram cannot be larger
    /// than 65,507 bytes in any case.
    json_bytes_max: usize = 1_048_576, Bytes 1024..=256 * MIB;
    /// The largest head (request line and headers) of an HTTP request.
    http_header_bytes_max: usize = 16_384, Bytes 1024..=MIB;
    /// The largest body of an HTTP request.
    http_body_bytes_max: usize = 4_194_304, Bytes 1024..=256 * MIB;
    /// Messages that may wait in the outbox of one connection. A reader that is slower than that loses what comes
    /// beyond it, and each loss is counted.
    outbox_messages_max: usize = 100_000, Count 1..=HUNDRED_MILLION;
    /// Bytes that may wait in the outbox of one connection.
    outbox_bytes_max: usize = 16_777_216, Bytes 1024..=4095 * MIB;
    /// Messages of QoS 0 that wait, beyond what is in the outbox, for one connection that is too slow and whose policy
    /// (`slow_reader`) is `drop_oldest` or `latest_per_topic`. What stands in the outbox cannot be taken back.
    overflow_messages_max: usize = 10_000, Count 0..=HUNDRED_MILLION;
    /// Bytes of the same messages.
    overflow_bytes_max: usize = 4_194_304, Bytes 0..=4095 * MIB;
    /// Messages that are kept for one session whose client is away or does not acknowledge fast enough.
    session_queue_messages_max: usize = 10_000, Count 0..=HUNDRED_MILLION;
    /// Bytes that are kept for one session whose client is away or does not acknowledge fast enough.
    session_queue_bytes_max: usize = 16_777_216, Bytes 0..=4095 * MIB;
    /// Messages that are kept for all sessions together. Who would get one more is treated as if its own queue were full.
    /// 0 is no limit.
    queued_messages_max: usize = 0, Count 0..=HUNDRED_MILLION;
    /// Bytes that are kept for all sessions together. 0 is no limit.
    queued_bytes_max: usize = 0, Bytes 0..=4095 * MIB;
    /// Messages of QoS 1 and 2 that are on their way to one session and not yet acknowledged. A client that asks
    /// for fewer gets fewer.
    inflight_max: u16 = 1000, Count 1..=65_535;
    /// Messages of QoS 1 and 2 that one publisher may have on their way to the server and not yet acknowledged. MQTT
    /// 5 clients are told.
    receive_max: u16 = 65_535, Count 1..=65_535;
    /// Topic aliases that an MQTT 5 client may use towards the server on one connection.
    topic_alias_max: u16 = 64, Count 0..=65_535;
    /// Topic aliases that are given to one MQTT 5 client at most, however many it takes: the hub remembers the topics.
    topic_alias_out_max: u16 = 64, Count 0..=65_535;
    /// MQTT sessions at one time, of clients that are connected and of those that are away. A client that would make
    /// one more is refused.
    sessions_max: usize = 1_000_000, Count 1..=HUNDRED_MILLION;
    /// The longest time that a session outlives its connection. A client that asks for more gets this, and MQTT 5
    /// clients are told.
    session_expiry_s_max: u32 = 604_800, Seconds 0..=4_294_967_295;
    /// The longest keep-alive. A client that asks for more, or for none, gets this, and MQTT 5 clients are told. 0
    /// means as the client asks.
    keep_alive_s_max: u16 = 0, Seconds 0..=65_535;
    /// Retained messages at one time.
    retained_messages_max: usize = 2_000_000, Count 0..=HUNDRED_MILLION;
    /// Bytes of all retained messages together.
    retained_bytes_max: usize = 1_073_741_824, Bytes 0..=4095 * MIB;
    /// Topics that have a history (`[[history]]`) at one time. Messages of further ones are delivered and not kept.
    history_topics_max: usize = 100_000, Count 0..=HUNDRED_MILLION;
    /// Messages in the histories of all topics together. A topic that would go beyond it gives up its own oldest ones.
    history_messages_max: usize = 1_000_000, Count 0..=HUNDRED_MILLION;
    /// Bytes of all histories together.
    history_bytes_max: usize = 268_435_456, Bytes 0..=4095 * MIB;
    /// Topics with a history whose places are remembered for one JSON client or stream of events. Messages of further ones
    /// are delivered to it without a place, as those of topics without a history.
    history_followed_max: usize = 10_000, Count 1..=HUNDRED_MILLION;
    /// Clients on one topic that are listed for those who ask or watch who is there. With more of them only their number is
    /// told.
    presence_clients_max: usize = 1000, Count 1..=100_000;
    /// Topics of which one JSON client may watch who is there.
    presence_watched_max: usize = 1024, Count 0..=HUNDRED_MILLION;
    /// Topics of which it may be watched who is there, by all clients together. One that is watched by clients of two shards
    /// counts twice.
    presence_topics_max: usize = 100_000, Count 0..=HUNDRED_MILLION;
    /// Subscriptions of one session at one time.
    subscriptions_per_session_max: usize = 10_000, Count 1..=HUNDRED_MILLION;
    /// Levels (the parts between slashes) of a topic or of a topic filter.
    topic_levels_max: usize = 128, Count 1..=65_535;
    /// How often the system of a JSON client over TCP that sends no more and has subscribed is asked whether the client is
    /// still there. One that has closed its socket is so noticed once its system has forgotten the socket (a minute on
    /// Linux), and a machine that is gone after three questions without an answer.
    half_closed_probe_s: u32 = 15, Seconds 1..=3600;
    /// Channels (the JSON protocol over single HTTP requests) at one time. Each is one of the connections, too, and has no
    /// socket that would bound them.
    channels_max: usize = 10_000, Count 0..=HUNDRED_MILLION;
    /// How long a request waits for something to come on a channel before it is answered with nothing.
    channel_poll_s: u32 = 25, Seconds 1..=3600;
    /// How long a channel is kept that nobody asks for what has come. Its session ends with it.
    channel_expires_s: u32 = 60, Seconds 1..=86_400;
    /// Bytes that one channel has given to a reader and keeps until a later request says that they came. Nothing more is
    /// given meanwhile: an answer holds about as much at most, and a stream of events ends, so that its reader connects again.
    channel_resend_bytes_max: usize = 1_048_576, Bytes 1024..=4095 * MIB;
    /// Streams (two connections that are joined by a name) at one time. Each is two of the connections, too.
    streams_max: usize = 100_000, Count 0..=HUNDRED_MILLION;
    /// Callers that wait at one time for one listener to accept them, or for somebody to listen on one name.
    stream_waiting_max: usize = 128, Count 1..=HUNDRED_MILLION;
    /// How long a listener may take to accept or refuse a caller.
    stream_accept_s: u32 = 10, Seconds 1..=3600;
    /// How long nothing may move on a stream in either direction before it is broken off. 0 is for ever.
    stream_idle_s: u32 = 0, Seconds 0..=4_294_967;
    /// Bytes that wait for one end of a stream and came from the other, where the kernel does not move them itself. Nothing
    /// more is read from the other end meanwhile.
    stream_buffer_bytes_max: usize = 262_144, Bytes 1024..=256 * MIB;
    /// How long a WebSocket peer may send nothing before the hub pings it, so that proxies which cut what is silent for a
    /// minute do not. One that has sent nothing for twice that is closed. 0 pings nobody.
    websocket_ping_s: u32 = 25, Seconds 0..=3600;
    /// How long a UDP peer is remembered after its last datagram.
    udp_idle_s: u32 = 60, Seconds 1..=86_400;
    /// How long the server waits for the acknowledgement of a QoS 1 datagram before it sends it again.
    udp_resend_s: u32 = 2, Seconds 1..=3600;
    /// How often a QoS 1 datagram is sent again before it is given up and counted as dropped.
    udp_resends_max: u32 = 3, Count 0..=100;
    /// How long the server goes on sending what is in the outboxes after it was told to stop.
    drain_s: u32 = 5, Seconds 0..=3600;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_takes_its_least_and_its_most() {
        let mut limits = Limits::default();
        for setting in TABLE {
            let (Kind::Count { min, max } | Kind::Bytes { min, max } | Kind::Seconds { min, max }) =
                setting.kind
            else {
                panic!("{} is not a number", setting.key);
            };
            limits.set(setting.key, min);
            limits.set(setting.key, max);
        }
        assert_eq!(limits.inflight_max, 65_535);
        assert_eq!(limits.drain_s, 3600);
    }

    #[test]
    fn names_say_their_unit() {
        for setting in TABLE {
            match setting.kind {
                Kind::Bytes { .. } => assert!(setting.key.contains("_bytes_"), "{}", setting.key),
                Kind::Seconds { .. } => assert!(setting.key.contains("_s"), "{}", setting.key),
                _ => assert!(setting.key.ends_with("_max"), "{}", setting.key),
            }
        }
    }
}
