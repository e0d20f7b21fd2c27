//! The server's side of an exchange.

use super::message::{Attributes, base64, check_nonce, text, unescape};
use super::{Key, NONCE_BYTES, ScramError, Verifier, auth_message, hmac, sha256, xor};
use crate::prepare::prepare;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

/// The first message of a client: who it claims to be.
#[derive(Debug)]
pub struct ClientFirst {
    user_name: String,
    /// What the client's next message has to repeat as `c`, not yet in base64.
    gs2_header: String,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads it.
    ///
    /// # Errors
    /// When it is malformed, wants what is not offered, or names a user that cannot be one.
    pub fn parse(message: &[u8]) -> Result<ClientFirst, ScramError> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed("it has no header and name"));
        };
        match flag {
            // `y` is a client that could bind the channel and was not offered it, which is so.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed("it begins with none of n, y and p=")),
        }
        let mut attributes = Attributes::new(bare);
        let name = unescape(attributes.next('n')?)?;
        let user_name = prepare(&name).map_err(ScramError::Name)?.into_owned();
        let nonce = check_nonce(attributes.next('r')?)?.to_owned();
        attributes.extensions()?;
        if !authzid.is_empty() {
            let named = authzid
                .strip_prefix("a=")
                .ok_or(ScramError::Malformed("the header has more in it than a="))?;
            if prepare(&unescape(named)?).map_err(ScramError::Name)? != user_name {
                return Err(ScramError::Authzid);
            }
        }
        let gs2_header = message[..message.len() - bare.len()].to_owned();
        Ok(ClientFirst { user_name, gs2_header, bare: bare.to_owned(), nonce })
    }

    /// Who the client claims to be, prepared.
    pub fn user_name(&self) -> &str {
        &self.user_name
    }

    /// Goes on with what is known of that user; with a made-up verifier if there is none. Returns what to send.
    pub fn challenge(self, verifier: &Verifier, nonce: &[u8; NONCE_BYTES]) -> (Challenge, Vec<u8>) {
        let nonce = format!("{}{}", self.nonce, BASE64_STANDARD.encode(nonce));
        let salt = BASE64_STANDARD.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let message = server_first.clone().into_bytes();
        let (stored_key, server_key) = (verifier.stored_key, verifier.server_key);
        (Challenge { first: self, nonce, server_first, stored_key, server_key }, message)
    }
}

/// A client that has been asked for its proof.
pub struct Challenge {
    first: ClientFirst,
    nonce: String,
    server_first: String,
    stored_key: Key,
    server_key: Key,
}

impl Challenge {
    /// Who the client claims to be, prepared.
    pub fn user_name(&self) -> &str {
        &self.first.user_name
    }

    /// Checks the proof. Returns the server's, to be sent.
    ///
    /// # Errors
    /// When the message is malformed, or the client does not know the password.
    pub fn finish(self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let message = text(message)?;
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(ScramError::Malformed("there is no proof in it"))?;
        let mut attributes = Attributes::new(without_proof);
        if base64(attributes.next('c')?)? != self.first.gs2_header.as_bytes() {
            return Err(ScramError::ChannelBinding);
        }
        if attributes.next('r')? != self.nonce {
            return Err(ScramError::Nonce);
        }
        attributes.extensions()?;
        let proof =
            Key::try_from(base64(proof)?).map_err(|_| ScramError::Malformed("the proof has not 32 bytes"))?;
        let signed = auth_message(&self.first.bare, &self.server_first, without_proof);
        let client_key = xor(&proof, &hmac(&self.stored_key, signed.as_bytes()));
        if !bool::from(sha256(&client_key).ct_eq(&self.stored_key)) {
            return Err(ScramError::Proof);
        }
        let signature = hmac(&self.server_key, signed.as_bytes());
        Ok(format!("v={}", BASE64_STANDARD.encode(signature)).into_bytes())
    }
}

/// Nothing of the keys goes into logs.
impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenge").field("user_name", &self.first.user_name).finish_non_exhaustive()
    }
}
