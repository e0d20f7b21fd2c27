//! Framed listeners, and devices that the hub connects to: how the bytes of raw sockets become messages, and messages
//! bytes.

pub(crate) mod keys;
mod read;
mod template;

pub(crate) use read::{Place, read};
pub use template::{Known, Template};

use regex::bytes::Regex;
use std::fmt;
use std::sync::Arc;
use trefoil_framing::{Decoder, Encoder, Framing};
use trefoil_hub::{QoS, SlowReader};

/// What makes a listener a framed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// What `{listener}` stands for.
    pub name: String,
    /// How frames are told apart; none where each datagram is one.
    pub framing: Option<Framing>,
    /// The largest frame.
    pub frame_bytes_max: usize,
    /// What frames begin with.
    pub starts_with: Option<Arc<[u8]>>,
    /// Bytes that are taken off both ends of frames.
    pub strip: Vec<u8>,
    /// Frames that are passed over.
    pub ignore: Vec<Vec<u8>>,
    /// The bytes come in the telnet protocol.
    pub telnet: bool,
    /// Where frames are published.
    pub publish: Option<Template>,
    /// What is sent: valid filters, whatever is put into them.
    pub subscribe: Vec<Template>,
    /// The QoS at which frames are published: 0 or 1.
    pub qos: QoS,
    /// Whether they are retained.
    pub retain: bool,
    /// Frames in a second; 0 is no limit.
    pub rate_max: u32,
    /// How long nothing may come; 0 is for ever.
    pub idle_s: u32,
    /// What the first frame has to be.
    pub register: Option<Register>,
    /// What the others have to be.
    pub pattern: Option<Pattern>,
    /// The client id.
    pub client_id: Template,
    /// Where it is said whether a device is there.
    pub status: Option<Template>,
    /// The QoS of that.
    pub status_qos: QoS,
}

impl Framed {
    /// What takes frames out of a stream, or out of a datagram; none where a datagram is one. All that could be wrong has
    /// been seen when the configuration was read.
    pub fn decoder(&self) -> Option<Decoder> {
        let decoder = Decoder::new(self.framing.clone()?, self.frame_bytes_max).ok()?;
        match &self.starts_with {
            Some(mark) => decoder.starting_with(mark.clone()).ok(),
            None => Some(decoder),
        }
    }

    /// What puts frames into a stream, or into a datagram; none where a datagram is one.
    pub fn encoder(&self) -> Option<Encoder> {
        let start = self.starts_with.clone().filter(|_| self.adds_start());
        Some(Encoder::new(self.framing.clone()?, self.frame_bytes_max, start))
    }

    /// Whether a start mark is put in front of what is sent: where it is no part of what is published.
    pub fn adds_start(&self) -> bool {
        let is_before_length = matches!(self.framing, Some(Framing::LengthPrefix(_)));
        let is_stripped = |mark: &Arc<[u8]>| mark.iter().all(|byte| self.strip.contains(byte));
        self.starts_with.as_ref().is_some_and(|mark| is_before_length || is_stripped(mark))
    }
}

/// A device, or a terminal server, that the hub connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Name or address, and port.
    pub address: String,
    /// The longest wait between two attempts.
    pub retry_s_max: u32,
    /// What is spoken with it.
    pub framed: Arc<Framed>,
    /// What happens to messages for which it is too slow.
    pub slow_reader: SlowReader,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// What the first frame has to be, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// What it has to be.
    pub pattern: Pattern,
    /// The secret that its group has to find, and which group that is.
    pub secret: Option<(usize, Secret)>,
    /// The groups with the name of a user and the password.
    pub user: Option<(usize, usize)>,
}

/// Something that is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
