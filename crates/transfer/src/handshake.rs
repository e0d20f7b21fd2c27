//! Both ends prove that they know the code, and get keys that nobody else has.
//!
//! ```text
//! both      HELLO    magic (8), version (1), ciphers (1), share (33)
//! receiver  PROOF    32 bytes
//! sender    VERDICT  1 and 32 bytes of proof, or 33 zeros: the code was wrong
//! ```
//!
//! The shares are those of SPAKE2 over edwards25519. Who sees them, or sends his own, can try one code by that and not
//! a list of them. The receiver proves first: so a sender that has said nothing of its proof has not helped anybody who
//! guessed wrong, and knows how often somebody did.

use crate::code::Code;
use crate::record::{Opener, Sealer};
use rand_core::{TryCryptoRng, TryRng};
use ring::{aead, hkdf};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use std::convert::Infallible;
use std::fmt;
use subtle::ConstantTimeEq;

const MAGIC: &[u8; 8] = b"TREFOILF";
const VERSION: u8 = 1;
const SHARE_BYTES: usize = 33;
const PROOF_BYTES: usize = 32;

/// How long a HELLO is.
pub const HELLO_BYTES: usize = MAGIC.len() + 2 + SHARE_BYTES;

/// What a sender answers to a wrong proof.
pub const REFUSAL: [u8; 1 + PROOF_BYTES] = [0; 1 + PROOF_BYTES];

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has the files.
    Sender,
    /// It wants them.
    Receiver,
}

/// The ciphers that an end can use well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ciphers(u8);

impl Ciphers {
    const CHACHA20_POLY1305: u8 = 1;
    const AES_128_GCM: u8 = 2;

    /// ChaCha20-Poly1305 only, which every machine computes fast enough and in constant time.
    #[must_use]
    pub fn portable() -> Ciphers {
        Ciphers(Self::CHACHA20_POLY1305)
    }

    /// AES-128-GCM as well, which is several times as fast where the processor has instructions for it. The keys come
    /// from a group of 128 bits of strength, so a longer AES key would add nothing.
    #[must_use]
    pub fn all() -> Ciphers {
        Ciphers(Self::CHACHA20_POLY1305 | Self::AES_128_GCM)
    }

    /// The best that both have.
    fn choose(self, other: u8) -> Option<&'static aead::Algorithm> {
        match self.0 & other {
            both if both & Self::AES_128_GCM != 0 => Some(&aead::AES_128_GCM),
            both if both & Self::CHACHA20_POLY1305 != 0 => Some(&aead::CHACHA20_POLY1305),
            _ => None,
        }
    }
}

/// The keys of one connection, one for each direction.
#[derive(Debug)]
pub struct Keys {
    /// For what this end sends.
    pub seal: Sealer,
    /// For what the other end sends.
    pub open: Opener,
}

/// What comes of bytes of the other end.
#[derive(Debug)]
pub enum Step {
    /// Nothing is to be sent; more must come.
    Wait,
    /// These bytes are to be sent; more must come.
    Send(Vec<u8>),
    /// The other end knows the code. If there are bytes they are to be sent; records follow.
    Done {
        /// The last bytes of the handshake.
        send: Option<Vec<u8>>,
        /// For the records.
        keys: Box<Keys>,
    },
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Whoever it is speaks something else.
    NotTrefoil,
    /// It speaks another version of this protocol.
    Version(u8),
    /// It has none of our ciphers.
    NoCipher,
    /// What it sent is no share of a key, or our own, sent back.
    BadShare,
    /// The two codes differ. A sender has [`REFUSAL`] to send yet, and has been guessed at once.
    WrongCode,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::NotTrefoil => f.write_str("the other end does not speak Trefoil's file protocol"),
            HandshakeError::Version(version) => write!(
                f,
                "the other end speaks version {version} of the file protocol, and this program version {VERSION}: \
                 use the same version of trefoil at both ends"
            ),
            HandshakeError::NoCipher => f.write_str("the other end has no cipher that this program has, too"),
            HandshakeError::BadShare => f.write_str("the other end sent no valid share of a key"),
            HandshakeError::WrongCode => f.write_str("the code is wrong"),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// The handshake of one connection, seen from one end.
pub struct Handshake {
    role: Role,
    ciphers: Ciphers,
    state: State,
}

enum State {
    Hello { exchange: Box<Spake2<Ed25519Group>>, own: [u8; HELLO_BYTES] },
    Proof(Box<Secrets>),
    Over,
}

impl Handshake {
    /// Begins with a code, the ciphers that this end can use well, and 32 random bytes that nobody else knows and that
    /// are used once. Gives the bytes to send first.
    #[must_use]
    pub fn begin(role: Role, code: &Code, ciphers: Ciphers, random: [u8; 32]) -> (Handshake, Vec<u8>) {
        let password = Password::new(code.password());
        let receiver = Identity::new(b"trefoil file receiver");
        let sender = Identity::new(b"trefoil file sender");
        let mut random = Stream(blake3::Hasher::new_keyed(&random).finalize_xof());
        let (exchange, share) = match role {
            Role::Receiver => Spake2::start_a_with_rng(&password, &receiver, &sender, &mut random),
            Role::Sender => Spake2::start_b_with_rng(&password, &receiver, &sender, &mut random),
        };
        let mut own = [0; HELLO_BYTES];
        own[..8].copy_from_slice(MAGIC);
        own[8..10].copy_from_slice(&[VERSION, ciphers.0]);
        own[10..].copy_from_slice(&share);
        let state = State::Hello { exchange: Box::new(exchange), own };
        (Handshake { role, ciphers, state }, own.to_vec())
    }

    /// How many bytes [`Handshake::handle`] takes next.
    #[must_use]
    pub fn wants_bytes(&self) -> usize {
        match (&self.state, self.role) {
            (State::Hello { .. }, _) => HELLO_BYTES,
            (State::Proof(_), Role::Sender) => PROOF_BYTES,
            (State::Proof(_), Role::Receiver) => REFUSAL.len(),
            (State::Over, _) => 0,
        }
    }

    /// Whether this end has said its proof, and has not seen the other's: whoever breaks off now may have tried a code.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.role == Role::Receiver && matches!(self.state, State::Proof(_))
    }

    /// Takes the bytes that were [wanted](Handshake::wants_bytes).
    ///
    /// # Errors
    /// When the other end is not who it should be. The handshake is over then.
    pub fn handle(&mut self, bytes: &[u8]) -> Result<Step, HandshakeError> {
        match (std::mem::replace(&mut self.state, State::Over), self.role) {
            (State::Hello { exchange, own }, role) => {
                let secrets = self.agree(*exchange, &own, bytes)?;
                let step = match role {
                    Role::Receiver => Step::Send(secrets.receiver_proof.to_vec()),
                    Role::Sender => Step::Wait,
                };
                self.state = State::Proof(Box::new(secrets));
                Ok(step)
            }
            (State::Proof(secrets), Role::Sender) => {
                if !bool::from(secrets.receiver_proof[..].ct_eq(bytes)) {
                    return Err(HandshakeError::WrongCode);
                }
                let verdict = [&[1][..], &secrets.sender_proof].concat();
                Ok(Step::Done { send: Some(verdict), keys: secrets.keys })
            }
            (State::Proof(secrets), Role::Receiver) => {
                let [1, proof @ ..] = bytes else { return Err(HandshakeError::WrongCode) };
                if !bool::from(secrets.sender_proof[..].ct_eq(proof)) {
                    return Err(HandshakeError::WrongCode);
                }
                Ok(Step::Done { send: None, keys: secrets.keys })
            }
            (State::Over, _) => Err(HandshakeError::BadShare),
        }
    }

    fn agree(
        &self,
        exchange: Spake2<Ed25519Group>,
        own: &[u8; HELLO_BYTES],
        other: &[u8],
    ) -> Result<Secrets, HandshakeError> {
        let Some((magic, [version, ciphers, share @ ..])) = other.split_first_chunk::<8>() else {
            return Err(HandshakeError::NotTrefoil);
        };
        if magic != MAGIC {
            return Err(HandshakeError::NotTrefoil);
        }
        if *version != VERSION {
            return Err(HandshakeError::Version(*version));
        }
        let cipher = self.ciphers.choose(*ciphers).ok_or(HandshakeError::NoCipher)?;
        let shared = exchange.finish(share).map_err(|_| HandshakeError::BadShare)?;
        // Both hellos go into the keys, so nobody can change the list of ciphers on the way.
        let (receiver, sender) = match self.role {
            Role::Receiver => (&own[..], other),
            Role::Sender => (other, &own[..]),
        };
        Ok(Secrets::derive(self.role, cipher, &shared, &[receiver, sender].concat()))
    }
}

/// What both ends derive from the shared secret.
struct Secrets {
    receiver_proof: [u8; PROOF_BYTES],
    sender_proof: [u8; PROOF_BYTES],
    keys: Box<Keys>,
}

impl Secrets {
    fn derive(role: Role, cipher: &'static aead::Algorithm, shared: &[u8], hellos: &[u8]) -> Secrets {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, hellos).extract(shared);
        let proof = |label: &'static [u8]| {
            let mut bytes = [0; PROOF_BYTES];
            let okm = secret.expand(std::slice::from_ref(&label), hkdf::HKDF_SHA256);
            let filled = okm.and_then(|okm| okm.fill(&mut bytes));
            filled.expect("HKDF gives as many bytes as its hash has");
            bytes
        };
        let key = |label: &'static [u8]| {
            let okm = secret.expand(std::slice::from_ref(&label), cipher);
            let okm = okm.expect("HKDF gives as many bytes as a key has");
            aead::LessSafeKey::new(aead::UnboundKey::from(okm))
        };
        let (receiver, sender) = (key(b"trefoil file receiver key"), key(b"trefoil file sender key"));
        let (seal, open) = match role {
            Role::Receiver => (receiver, sender),
            Role::Sender => (sender, receiver),
        };
        Secrets {
            receiver_proof: proof(b"trefoil file receiver proof"),
            sender_proof: proof(b"trefoil file sender proof"),
            keys: Box::new(Keys { seal: Sealer::new(seal), open: Opener::new(open) }),
        }
    }
}

/// Random bytes that were passed in, stretched to as many as the exchange takes.
struct Stream(blake3::OutputReader);

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(target);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

#[cfg(test)]
mod tests;
