//! What one process tells another of a connection. The head is JSON, so that a version which knows more or less of a
//! connection understands the rest: what it does not know it passes over, what it misses has a value that does no harm.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// All of it.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: Head,
    /// What has been read and not been dealt with.
    pub(crate) input: &'a [u8],
    /// MQTT bytes that came in WebSocket frames and are no whole packet yet.
    pub(crate) partial: &'a [u8],
    /// What has to be sent before anything else.
    pub(crate) output: &'a [u8],
    /// The session, for [`trefoil_hub::Shard::take_over`].
    pub(crate) session: &'a [u8],
}

/// What is known of the connection.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Head {
    /// The address of the listener that accepted it.
    pub(crate) listener: String,
    /// It is MQTT over WebSocket, and not over TCP.
    #[serde(default)]
    pub(crate) is_websocket: bool,
    pub(crate) client_id: String,
    /// Who the client proved to be.
    pub(crate) user: Option<String>,
    /// Where it is, as a proxy said that is trusted.
    #[serde(default)]
    pub(crate) forwarded: Option<IpAddr>,
    /// 3, 4 or 5, as in CONNECT.
    pub(crate) version: u8,
    /// The largest packet that the client takes.
    pub(crate) packet_bytes_max: u32,
    /// How long it may be silent, in milliseconds; 0 is for ever.
    pub(crate) silence_ms_max: u32,
    pub(crate) session_expiry_s: u32,
    pub(crate) uses_scram: bool,
    pub(crate) wants_reasons: bool,
    /// It has published something.
    pub(crate) is_publisher: bool,
    /// What CONNACK has promised; nothing less may hold from now on.
    pub(crate) promised: Promised,
    /// The topics of the client's aliases, number 1 first.
    pub(crate) aliases_in: Vec<Option<String>>,
    /// How many aliases it takes, and their topics, number 1 first.
    pub(crate) aliases_max: u16,
    pub(crate) aliases_out: Vec<String>,
    /// Messages among what has to be sent.
    pub(crate) output_messages: u32,
    /// Lengths of the parts that follow, the last one of which is all the rest.
    pub(crate) input_bytes: usize,
    pub(crate) partial_bytes: usize,
    pub(crate) output_bytes: usize,
}

/// Limits that a client of MQTT 5 has been told.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(crate) struct Promised {
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: usize,
    pub(crate) topic_alias_max: u16,
}

impl Promised {
    /// What is promised to whoever comes now.
    pub(crate) fn by(limits: &trefoil_config::Limits) -> Promised {
        Promised {
            receive_max: limits.receive_max,
            packet_bytes_max: limits.packet_bytes_max,
            topic_alias_max: limits.topic_alias_max,
        }
    }

    pub(crate) fn is_within(&self, now: Promised) -> bool {
        self.receive_max <= now.receive_max
            && self.packet_bytes_max <= now.packet_bytes_max
            && self.topic_alias_max <= now.topic_alias_max
    }
}

impl<'a> Record<'a> {
    /// None if it cannot be said, which has no reason that is known.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let head = serde_json::to_vec(&self.head).ok()?;
        let len = u32::try_from(head.len()).ok()?.to_be_bytes();
        Some([&len, &head[..], self.input, self.partial, self.output, self.session].concat())
    }

    /// None if it is of a version that says something else.
    pub(crate) fn decode(record: &'a [u8]) -> Option<Record<'a>> {
        let (len, rest) = record.split_first_chunk()?;
        let (head, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        let (input, rest) = rest.split_at_checked(head.input_bytes)?;
        let (partial, rest) = rest.split_at_checked(head.partial_bytes)?;
        let (output, session) = rest.split_at_checked(head.output_bytes)?;
        Some(Record { head, input, partial, output, session })
    }
}
