//! The client's side of an exchange.

use super::message::{Attributes, base64, check_nonce, escape, text};
use super::verifier::{client_key, salted_password, server_key};
use super::{ITERATIONS_MAX, ITERATIONS_MIN, Key, NONCE_BYTES, ScramError, auth_message, hmac, sha256, xor};
use crate::prepare::prepare;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

/// No channel binding, no other identity.
const GS2_HEADER: &str = "n,,";

/// A client in the middle of an exchange.
pub struct Client {
    password: String,
    nonce: String,
    first_bare: String,
    /// What the server has to answer with in the end, once the proof is sent.
    expected: Option<Key>,
}

impl Client {
    /// Begins. Returns the first message, to be sent.
    ///
    /// # Errors
    /// When name or password cannot be prepared.
    pub fn begin(
        user_name: &str,
        password: &str,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<(Client, Vec<u8>), ScramError> {
        let name = prepare(user_name).map_err(ScramError::Name)?;
        let password = prepare(password).map_err(ScramError::Password)?.into_owned();
        let nonce = BASE64_STANDARD.encode(nonce);
        Ok(Client::with_nonce(&name, password, nonce))
    }

    fn with_nonce(name: &str, password: String, nonce: String) -> (Client, Vec<u8>) {
        let first_bare = format!("n={},r={nonce}", escape(name));
        let message = format!("{GS2_HEADER}{first_bare}").into_bytes();
        (Client { password, nonce, first_bare, expected: None }, message)
    }

    /// Answers the server's challenge with the proof, to be sent. Costs what the server's iterations cost.
    ///
    /// # Errors
    /// When the message is malformed, answers another exchange, or asks for fewer or more iterations than are good.
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        if self.expected.is_some() {
            return Err(ScramError::OutOfTurn);
        }
        let server_first = text(message)?;
        refusal(server_first)?;
        let mut attributes = Attributes::new(server_first);
        let nonce = check_nonce(attributes.next('r')?)?;
        if nonce.len() == self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Nonce);
        }
        let salt = base64(attributes.next('s')?)?;
        let iterations = attributes
            .next('i')?
            .parse()
            .map_err(|_| ScramError::Malformed("the iterations are not a number"))?;
        attributes.extensions()?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        let salted = salted_password(&self.password, &salt, iterations);
        let client_key = client_key(&salted);
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(GS2_HEADER));
        let signed = auth_message(&self.first_bare, server_first, &without_proof);
        let proof = xor(&client_key, &hmac(&sha256(&client_key), signed.as_bytes()));
        self.expected = Some(hmac(&server_key(&salted), signed.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes())
    }

    /// Checks the server's proof.
    ///
    /// # Errors
    /// When it refuses, or does not know the password either.
    pub fn check(&self, message: &[u8]) -> Result<(), ScramError> {
        let expected = self.expected.as_ref().ok_or(ScramError::OutOfTurn)?;
        let server_final = text(message)?;
        refusal(server_final)?;
        let mut attributes = Attributes::new(server_final);
        let signature = base64(attributes.next('v')?)?;
        attributes.extensions()?;
        if bool::from(signature.ct_eq(expected)) { Ok(()) } else { Err(ScramError::Server) }
    }
}

/// Nothing of the password goes into logs.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// `e=…`, by which a server says no.
fn refusal(text: &str) -> Result<(), ScramError> {
    match text.strip_prefix("e=") {
        Some(why) => Err(ScramError::Refused(why.chars().take(80).collect())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 §3.
    #[test]
    fn the_example_of_the_rfc() {
        let (mut client, first) = Client::with_nonce("user", "pencil".into(), "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = client
            .answer(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
            .expect("the server's nonce begins with the client's");
        assert_eq!(
            String::from_utf8_lossy(&last),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        client
            .check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .expect("the server knows the password");
        assert_eq!(client.check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Err(ScramError::Server));
        assert_eq!(client.check(b"e=other-error"), Err(ScramError::Refused("other-error".into())));
    }

    #[test]
    fn a_challenge_of_another_exchange_or_another_strength_is_refused() {
        let begin = || Client::with_nonce("user", "pencil".into(), "abc".into()).0;
        for (challenge, error) in [
            ("r=abc,s=AAAA,i=4096", ScramError::Nonce),
            ("r=abx123,s=AAAA,i=4096", ScramError::Nonce),
            ("r=abc123,s=AAAA,i=4095", ScramError::Iterations(4095)),
            ("r=abc123,s=AAAA,i=2000001", ScramError::Iterations(2_000_001)),
            ("m=1,r=abc123,s=AAAA,i=4096", ScramError::Extension),
            ("e=unknown-user", ScramError::Refused("unknown-user".into())),
        ] {
            assert_eq!(begin().answer(challenge.as_bytes()), Err(error), "{challenge}");
        }
        assert_eq!(begin().check(b"v=AAAA"), Err(ScramError::OutOfTurn));
    }
}
