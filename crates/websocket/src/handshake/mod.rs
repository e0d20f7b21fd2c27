//! The opening handshake (RFC 6455 §4): [`accept`] for a server, [`ClientHandshake`] for a client.
//!
//! ```
//! use trefoil_websocket::handshake::{ClientHandshake, accept};
//!
//! let mut client = ClientHandshake::new(*b"the sample nonce");
//! let mut request = Vec::new();
//! client.write_request("hub.example", "/mqtt", &["mqtt"], &mut request)?;
//!
//! // The server's HTTP parser gives it method, version and headers.
//! let headers = [
//!     ("Host", "hub.example"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
//!     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
//!     ("Sec-WebSocket-Protocol", "mqtt"),
//! ];
//! let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes()));
//! let accepted = accept("GET", 1, headers, &["mqtt", "mqttv3.1"]).expect("nothing is wrong with it");
//! let mut response = Vec::new();
//! accepted.write_response(&mut response);
//!
//! assert_eq!(client.check_response(&response)?, Some("mqtt"));
//! # Ok::<(), trefoil_websocket::handshake::HandshakeError>(())
//! ```

mod client;
mod server;
mod tokens;

pub use client::{ClientHandshake, HandshakeError, response_len};
pub use server::{Accepted, Refused, accept};
pub(crate) use tokens::is_token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What `Sec-WebSocket-Accept` must be for a key: the base64 of the SHA-1 of the key and a fixed string (§4.2.2).
fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut encoded = [0; 28];
    STANDARD.encode_slice(sha1.finalize(), &mut encoded).expect("20 bytes are 28 characters of base64");
    encoded
}
