//! The keys that make a listener a framed one, which `[[dial]]` has too.

use crate::settings::Kind::{Bool, Bytes, Choice, Count, Escaped, EscapedList, Seconds, Text, Texts};
use crate::settings::Preset::{self, Number, Required, Said};
use crate::settings::{Section, Setting};
use crate::table::{SLOW_READER, setting};

/// The names of framings.
pub(crate) const FRAMINGS: &[&str] =
    &["line", "delimiter", "length", "fixed", "idle_gap", "slip", "cobs", "datagram"];
/// The forms of a length.
pub(crate) const LENGTHS: &[&str] = &["u8", "u16be", "u16le", "u32be", "u32le", "varint"];

pub(crate) static LISTENER: [Setting; 25] = keys(Section::Listener);
pub(crate) static DIAL: [Setting; 25] = keys(Section::Dial);

/// What only `[[dial]]` has.
pub(crate) static DIAL_ONLY: &[Setting] = &[
    setting(
        Section::Dial,
        "address",
        Text,
        Required,
        "The device or terminal server to connect to, as `HOST:PORT`. A name is looked up at each attempt.",
    ),
    setting(
        Section::Dial,
        "retry_s_max",
        Seconds { min: 1, max: 86_400 },
        Number(60),
        "The longest wait between two attempts. The first is one of a second, each further one is twice as long, and each \
         is shortened by chance by up to a half.",
    ),
    setting(
        Section::Dial,
        "slow_reader",
        SLOW_READER,
        Preset::Text("drop_newest"),
        "What happens to messages for which the device is too slow, as for those that connect to a listener.",
    ),
];

const fn keys(of: Section) -> [Setting; 25] {
    [
        setting(
            of,
            "framing",
            Choice(FRAMINGS),
            Said(
                "none: the listener is no framed one; `datagram` where `protocols` is `[\"framed\"]` on UDP",
            ),
            "Makes it a framed one: what comes is cut into frames, each of which is a message. `line` ends at a line feed, \
             with or without a carriage return before it; `delimiter` at the bytes of `delimiter`; `length` has its length \
             in front; `fixed` is `frame_bytes` long; `idle_gap` ends when nothing came for `gap_ms`; `slip` is RFC 1055, \
             `cobs` ends at a zero byte; with `datagram`, for UDP only, each datagram is one. [framed.md](framed.md) has \
             recipes.",
        ),
        setting(
            of,
            "delimiter",
            Escaped,
            Said("none"),
            "With `framing = \"delimiter\"`: what ends a frame, 1 to 16 bytes.",
        ),
        setting(
            of,
            "length",
            Choice(LENGTHS),
            Said("none"),
            "With `framing = \"length\"`: how the length is written.",
        ),
        setting(
            of,
            "length_counts_itself",
            Bool,
            Preset::Bool(false),
            "The length counts its own bytes too, and with `length_at` those before it: it is that of the whole frame.",
        ),
        setting(
            of,
            "length_at",
            Count { min: 0, max: 64 },
            Said("none: the length stands before the frame"),
            "The length stands within the frame, behind so many bytes, and is a part of it with them (Modbus/TCP: 4). A \
             message to the device then has to be a whole frame.",
        ),
        setting(
            of,
            "frame_bytes",
            Bytes { min: 1, max: 16 << 20 },
            Said("none"),
            "With `framing = \"fixed\"`: the length of every frame.",
        ),
        setting(
            of,
            "gap_ms",
            Count { min: 1, max: 60_000 },
            Said("none"),
            "With `framing = \"idle_gap\"`: for how many milliseconds nothing comes behind a frame.",
        ),
        setting(
            of,
            "frame_bytes_max",
            Bytes { min: 1, max: 16 << 20 },
            Number(64 << 10),
            "The largest frame, in and out, not counting what the framing adds. A longer one is skipped and counted; with a \
             length in front of it there is no way back, and the connection is closed.",
        ),
        setting(
            of,
            "starts_with",
            Escaped,
            Said("none"),
            "What a frame begins with, 1 to 16 bytes; with `framing = \"length\"` it stands before the length. What comes \
             before it is skipped and counted, and so is a frame without it. If `strip` takes it off, it is put in front of \
             what is sent.",
        ),
        setting(
            of,
            "strip",
            Escaped,
            Said("none"),
            "Bytes that are taken off both ends of each frame, as many as stand there: blanks, STX, the NULs of a fixed \
             length.",
        ),
        setting(
            of,
            "ignore",
            EscapedList,
            Said("none"),
            "Frames that are passed over in silence: heartbeats. They still count as a sign of life.",
        ),
        setting(
            of,
            "telnet",
            Bool,
            Preset::Bool(false),
            "The bytes come in the telnet protocol, as from terminal servers: what is negotiated is refused and taken out. \
             TCP only.",
        ),
        setting(
            of,
            "name",
            Text,
            Said("its address"),
            "What `{listener}` stands for. At most 64 characters, none of them `/`, `+` or `#`.",
        ),
        setting(
            of,
            "client_id",
            Text,
            Said("`{line:client_id}` if `register` has that group, else `{listener}-{peer}`"),
            "The client id of a connection. A second connection with the same one takes the place of the first.",
        ),
        setting(
            of,
            "publish",
            Text,
            Said("none: frames are not published"),
            "The topic that frames are published to. `{client_id}`, `{peer}` (address and port), `{peer_ip}`, `{listener}` \
             and `{line:GROUP}`, or `{GROUP}` for short, stand for what is known of the connection and, with `pattern`, of \
             the frame. In them `/`, `+`, `#` and control characters become `_`.",
        ),
        setting(
            of,
            "subscribe",
            Texts,
            Said("none: nothing is sent"),
            "What a connection is subscribed to, at QoS 0: each message is a frame. It gets the retained ones when it comes, \
             and never what it published itself. The same may stand in it as in `publish`, but for what is of a frame.",
        ),
        setting(
            of,
            "qos",
            Count { min: 0, max: 1 },
            Number(0),
            "The QoS at which frames are published. Nobody acknowledges anything to the device.",
        ),
        setting(of, "retain", Bool, Preset::Bool(false), "Whether frames are retained."),
        setting(
            of,
            "rate_max",
            Count { min: 0, max: 1_000_000_000 },
            Number(0),
            "Frames that one connection may send in a second. Over TCP it is not read from meanwhile; over UDP what comes \
             beyond that is dropped and counted. 0 is no limit.",
        ),
        setting(
            of,
            "idle_s",
            Seconds { min: 1, max: 31_536_000 },
            Said("for ever on TCP, `limits.udp_idle_s` on UDP"),
            "A connection on which nothing came for so long is ended.",
        ),
        setting(
            of,
            "register",
            Text,
            Said("none"),
            "A regular expression for the first frame, which says who the device is and is not published. It is held against bytes, \
             not characters, unless it begins with `(?u)`. Its groups may stand in templates. The group `client_id` is its client id, `secret` has to be the `secret`, and `user` and \
             `password` are held against the users of `[auth]`. Whoever begins otherwise is refused.",
        ),
        setting(
            of,
            "secret",
            Text,
            Said("none"),
            "What the group `secret` of `register` has to find. Wrong ones are counted and throttled like wrong passwords.",
        ),
        setting(
            of,
            "pattern",
            Text,
            Said("none: every frame is taken"),
            "A regular expression for all frames but the first one of `register`. Its groups may stand in `publish`. Frames \
             in which it finds nothing are dropped and counted.",
        ),
        setting(
            of,
            "status",
            Text,
            Said("none"),
            "The topic on which it is retained whether the device is there: `{\"status\":\"online\",…}`, `offline` when it \
             went in order, `lost` when it did not.",
        ),
        setting(of, "status_qos", Count { min: 0, max: 1 }, Number(1), "The QoS of these messages."),
    ]
}
