//! The name of a channel, which is all that somebody needs who wants to use it: where it is, and a secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

const SECRET_BYTES: usize = 16;
const TOKEN_BYTES: usize = 2 + 4 + SECRET_BYTES;

/// 128 bits that nobody can guess.
#[derive(Clone)]
pub(super) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new one; none if the system has no randomness to give, which hardly any system lets happen.
    pub(super) fn new() -> Option<Secret> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Secret(bytes))
    }

    /// Compares in a time that says nothing of where the two differ.
    pub(super) fn is(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Where a channel is, and its secret. Shard and place only spare a search: whoever knows them knows nothing.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) shard: u16,
    pub(super) place: u32,
    pub(super) secret: Secret,
}

impl Token {
    /// Reads what stands in a path; none if it is no token.
    pub(super) fn read(text: &str) -> Option<Token> {
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let [a, b, c, d, e, f, secret @ ..] = bytes;
        let (shard, place) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
        Some(Token { shard, place, secret: Secret(secret) })
    }

    /// As it stands in a path.
    pub(super) fn text(&self) -> String {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..2].copy_from_slice(&self.shard.to_be_bytes());
        bytes[2..6].copy_from_slice(&self.place.to_be_bytes());
        bytes[6..].copy_from_slice(&self.secret.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let secret = Secret::new().expect("randomness");
        let token = Token { shard: 3, place: 70_000, secret };
        let text = token.text();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{text}");
        let read = Token::read(&text).expect("a token");
        assert_eq!((read.shard, read.place, read.secret.is(&token.secret)), (3, 70_000, true));
        let another = Secret::new().expect("randomness");
        assert!(!read.secret.is(&another), "no two are the same");
        assert!(!Secret([1; 16]).is(&Secret([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2])));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let text = Token { shard: 0, place: 1, secret: Secret([7; 16]) }.text();
        for other in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}=="), "../../etc/passwd"] {
            assert!(Token::read(other).is_none(), "{other}");
        }
    }
}
