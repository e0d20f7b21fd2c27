//! Files from one person to another, end-to-end encrypted, without sockets and files.
//!
//! Two programs have a byte stream between them, which others may read and change, and a [`Code`] such as
//! `7-amber-canoe`, which only the two people know. What this crate makes of that:
//!
//! - [`Handshake`]: both prove that they know the code without saying it (SPAKE2), and get [`Keys`];
//! - [`Sealer`] and [`Opener`]: records, encrypted and numbered, so that nothing can be read, changed, left out or
//!   repeated on the way;
//! - [`Message`]: what stands in a record;
//! - [`Outgoing`] and [`Incoming`]: the two ends of a transfer. They say what is to be read and written next, hold what
//!   must be known to go on after a broken connection, and believe nothing that the other end says unchecked;
//! - [`Manifest`] and [`name`]: what is offered, and names that stay inside the folder that they are received in;
//! - [`Sums`]: BLAKE3 of every chunk, and of the whole made from those.
//!
//! Nothing here touches a socket, a file, a clock or a source of randomness. `docs/files.md` has the protocol byte by
//! byte, and what it protects from.
//!
//! ```
//! use trefoil_transfer::{Ciphers, Code, Handshake, Role, Step};
//!
//! let code: Code = "7-amber-canoe".parse()?;
//! let (mut sender, hello) = Handshake::begin(Role::Sender, &code, Ciphers::all(), [1; 32]);
//! let (mut receiver, answer) = Handshake::begin(Role::Receiver, &code, Ciphers::all(), [2; 32]);
//! let Step::Send(proof) = receiver.handle(&hello)? else { unreachable!("the receiver proves first") };
//! let Step::Wait = sender.handle(&answer)? else { unreachable!("the sender waits for the proof") };
//! let Step::Done { send: Some(verdict), keys: mut sender } = sender.handle(&proof)? else { unreachable!() };
//! let Step::Done { keys: mut receiver, .. } = receiver.handle(&verdict)? else { unreachable!() };
//!
//! let mut record = trefoil_transfer::Message::Ping.record();
//! sender.seal.seal(&mut record)?;
//! let (header, body) = record.split_at_mut(4);
//! let plain = receiver.open.open(header.try_into()?, body)?;
//! assert_eq!(trefoil_transfer::Message::decode(plain)?, trefoil_transfer::Message::Ping);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod code;
mod handshake;
mod incoming;
mod link;
mod manifest;
mod message;
pub mod name;
mod outgoing;
mod record;
mod sums;

pub use code::{Code, CodeError};
pub use handshake::{Ciphers, HELLO_BYTES, Handshake, HandshakeError, Keys, REFUSAL, Role, Step};
pub use incoming::{Arrival, Incoming};
pub use link::stays_inside;
pub use manifest::{Builder, ENTRIES_MAX, Entry, Kind, MANIFEST_BYTES_MAX, Manifest, ManifestError};
pub use message::{CHUNK_ROOM_BYTES, Fault, Message, MessageError};
pub use outgoing::{Notice, Outgoing, Task};
pub use record::{Opener, RECORD_BYTES_MAX, RecordError, Sealer, body_bytes};
pub use sums::{CHUNK_BYTES, Cv, Hash, Sums, chunks};

/// What the other end did that the protocol does not allow. It is at fault, or no Trefoil of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub(crate) String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Violation {
        Violation(what.into())
    }
}

impl From<MessageError> for Violation {
    fn from(error: MessageError) -> Violation {
        Violation(error.to_string())
    }
}

impl From<ManifestError> for Violation {
    fn from(error: ManifestError) -> Violation {
        Violation(error.to_string())
    }
}
