//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), written here once more so that it shares nothing with what is
//! tested.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A client in the middle of an exchange.
pub struct Scram {
    password: String,
    first_bare: String,
    signature: Vec<u8>,
}

impl Scram {
    /// Begins with a nonce that says which exchange it is.
    pub fn new(user: &str, password: &str) -> Self {
        let first_bare = format!("n={user},r=nonce-of-{user}");
        Self { password: password.to_owned(), first_bare, signature: Vec::new() }
    }

    /// The first message.
    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// The answer to the challenge.
    pub fn last(&mut self, challenge: &[u8]) -> Vec<u8> {
        let challenge = std::str::from_utf8(challenge).expect("the hub sends UTF-8");
        let part = |name: &str| {
            let found = challenge.split(',').find_map(|part| part.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {challenge}"))
        };
        let (nonce, salt) = (part("r="), BASE64_STANDARD.decode(part("s=")).expect("base64"));
        let own = self.first_bare.split_once("r=").expect("there is a nonce").1;
        assert!(nonce.starts_with(own) && nonce.len() > own.len() + 16, "{challenge}");
        let iterations: u32 = part("i=").parse().expect("a number");
        let salted = iterate(self.password.as_bytes(), &salt, iterations);
        let client_key = hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.first_bare);
        let mask = hmac(&Sha256::digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&mask).map(|(a, b)| a ^ b).collect();
        self.signature = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
        format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
    }

    /// The hub must know the password, too.
    pub fn check(&self, last: &[u8]) {
        let expected = format!("v={}", BASE64_STANDARD.encode(&self.signature));
        assert_eq!(String::from_utf8_lossy(last), expected);
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// PBKDF2 for one block.
fn iterate(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut block = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut result = block.clone();
    for _ in 1..iterations {
        block = hmac(password, &block);
        result.iter_mut().zip(&block).for_each(|(r, b)| *r ^= b);
    }
    result
}
