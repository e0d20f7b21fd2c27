//! `[websocket]`: compression of messages.

use crate::settings::Kind::{Bool, Bytes, Count};
use crate::settings::{Preset, Section, Setting};
use crate::sheet::Sheet;

/// How WebSocket messages are compressed (RFC 7692).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Clients that offer it are met on the paths of the JSON protocol.
    pub compression: bool,
    /// The same for MQTT.
    pub mqtt_compression: bool,
    /// From 1, fast, to 9, small.
    pub compression_level: u8,
    /// Messages with fewer bytes are sent as they are.
    pub compression_bytes_min: usize,
    /// The largest window, from 9 to 15.
    pub window_bits_max: u8,
    /// Windows that are kept from message to message, of all connections together.
    pub contexts_max: usize,
}

const fn setting(
    key: &'static str,
    kind: crate::settings::Kind,
    preset: Preset,
    help: &'static str,
) -> Setting {
    Setting { section: Section::WebSocket, key, kind, preset, help }
}

pub(crate) const TABLE: &[Setting] = &[
    setting(
        "compression",
        Bool,
        Preset::Bool(true),
        "Compresses messages (permessage-deflate, RFC 7692) for clients that offer it, on `/ws` and `/ws/echo`. A message to \
         many is compressed once.",
    ),
    setting(
        "mqtt_compression",
        Bool,
        Preset::Bool(false),
        "The same on `/mqtt`. What goes to several clients at QoS 0 is compressed once for all of them, all else for each client \
         by itself. That costs many times what sending it costs, and is worth it on slow networks only.",
    ),
    setting(
        "compression_level",
        Count { min: 1, max: 9 },
        Preset::Number(3),
        "How hard to try: from 1, fast, to 9, small.",
    ),
    setting(
        "compression_bytes_min",
        Bytes { min: 0, max: 1 << 30 },
        Preset::Number(256),
        "Messages with fewer bytes are sent as they are: they would hardly become smaller.",
    ),
    setting(
        "window_bits_max",
        Count { min: 9, max: 15 },
        Preset::Number(15),
        "How far back a message may refer to itself when it is compressed, as a power of two in bytes. A client may ask for \
         less.",
    ),
    setting(
        "contexts_max",
        Count { min: 0, max: 100_000 },
        Preset::Number(0),
        "How many windows are kept from message to message for clients that want that, of all connections together. Each is \
         one direction of one connection and takes up to 300 KiB, for small messages that resemble each other; a message to \
         such a client is compressed for it alone. With 0, and beyond it, clients are told that there is none.",
    ),
];

impl Default for WebSocket {
    fn default() -> Self {
        WebSocket::read(&Sheet::default())
    }
}

impl WebSocket {
    pub(crate) fn read(sheet: &Sheet) -> WebSocket {
        let bool = |key| sheet.answers.bool_or_preset(Section::WebSocket, key);
        let number = |key| sheet.answers.number_or_preset(Section::WebSocket, key);
        // The table's bounds fit all of them.
        WebSocket {
            compression: bool("compression"),
            mqtt_compression: bool("mqtt_compression"),
            compression_level: number("compression_level") as u8,
            compression_bytes_min: number("compression_bytes_min") as usize,
            window_bits_max: number("window_bits_max") as u8,
            contexts_max: number("contexts_max") as usize,
        }
    }
}
