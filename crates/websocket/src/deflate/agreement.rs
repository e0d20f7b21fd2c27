//! What both sides agree on in the handshake (RFC 7692 §5, §7.1).

use super::offers::{Offer, parse};
use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::handshake::Refused;

const NAME: &[u8] = b"permessage-deflate";

/// What a server is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The largest window that it compresses with, and wants a client to compress with that lets itself be told.
    pub window_bits_max: u8,
    /// It keeps its window from message to message, unless the client will not have it.
    pub keeps_server_context: bool,
    /// It lets the client do so.
    pub keeps_client_context: bool,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// The window of the server, if anything is said of it: it has to be where the client did (§7.1.2.1).
    pub server_max_window_bits: Option<u8>,
    /// The window of the client; it may only be told if it has said that it understands that.
    pub client_max_window_bits: Option<u8>,
}

/// Chooses the first of a client's offers that can be met. `headers` are the values of all headers
/// `Sec-WebSocket-Extensions` of its request. `None`: there is none, and nothing is compressed.
///
/// An offer with a parameter that is unknown, comes twice or has a value that it must not have is passed over (§5.1, §7.1).
/// That the client keeps no window is asked for whether it has offered it or not, as §7.1.1.2 allows.
///
/// # Errors
///
/// [`Refused`] with 400 if a header does not follow the grammar (RFC 6455 §9.1).
pub fn negotiate<'a>(
    headers: impl Iterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Agreed>, Refused> {
    let mut agreed = None;
    for header in headers {
        let reason = "Sec-WebSocket-Extensions is not a list of extensions";
        let offers = parse(header).ok_or(Refused { status: 400, reason })?;
        // All headers are looked at, since a wrong one is refused wherever it stands.
        agreed = agreed.or_else(|| offers.iter().find_map(|offer| meet(offer, policy)));
    }
    Ok(agreed)
}

/// The answer to an offer, if it can be met.
fn meet(offer: &Offer<'_>, policy: &Policy) -> Option<Agreed> {
    if !offer.name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut server_no_context_takeover = None;
    let mut client_no_context_takeover = None;
    let mut server_max_window_bits = None;
    let mut client_max_window_bits = None;
    for parameter in &offer.parameters {
        let value = parameter.value.as_deref();
        let is_new = match parameter.name {
            b"server_no_context_takeover" if value.is_none() => {
                server_no_context_takeover.replace(()).is_none()
            }
            b"client_no_context_takeover" if value.is_none() => {
                client_no_context_takeover.replace(()).is_none()
            }
            b"server_max_window_bits" => server_max_window_bits.replace(bits(value?)?).is_none(),
            b"client_max_window_bits" => {
                let bits = value.map_or(Some(WINDOW_BITS_MAX), bits)?;
                client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    let bits_max = policy.window_bits_max.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    Some(Agreed {
        server_no_context_takeover: server_no_context_takeover.is_some() || !policy.keeps_server_context,
        client_no_context_takeover: client_no_context_takeover.is_some() || !policy.keeps_client_context,
        server_max_window_bits: server_max_window_bits
            .or((bits_max < WINDOW_BITS_MAX).then_some(bits_max))
            .map(|bits| bits.min(bits_max)),
        client_max_window_bits: client_max_window_bits.map(|bits| bits.min(bits_max)),
    })
}

/// A number from 8 to 15 without a zero before it.
fn bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

impl Agreed {
    /// The value of the response's `Sec-WebSocket-Extensions` header. What holds anyway is not said.
    pub fn header(&self) -> String {
        let mut header = String::from("permessage-deflate");
        if self.server_no_context_takeover {
            header.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            header.push_str("; client_no_context_takeover");
        }
        if let Some(bits) = self.server_max_window_bits {
            header.push_str(&format!("; server_max_window_bits={bits}"));
        }
        if let Some(bits) = self.client_max_window_bits.filter(|&bits| bits < WINDOW_BITS_MAX) {
            header.push_str(&format!("; client_max_window_bits={bits}"));
        }
        header
    }
}
