//! Basic authentication of HTTP (RFC 7617): user name and password in a header.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

/// What `WWW-Authenticate` asks for.
pub(crate) const CHALLENGE: &str = "Basic realm=\"trefoil\", charset=\"UTF-8\"";

/// What a client says about itself.
#[derive(PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user_name: String,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// Reads the value of an `Authorization` header. None: it is of another scheme, or malformed.
    pub(crate) fn read(header: &[u8]) -> Option<Credentials> {
        let header = std::str::from_utf8(header).ok()?;
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        Credentials::split(&BASE64_STANDARD.decode(encoded.trim()).ok()?)
    }

    /// Reads the same as a token without scheme, in the alphabet for URLs and without padding: for where there is no header.
    pub(crate) fn read_url(encoded: &[u8]) -> Option<Credentials> {
        Credentials::split(&BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?)
    }

    fn split(decoded: &[u8]) -> Option<Credentials> {
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let user_name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        Some(Credentials { user_name, password: decoded[colon + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (header, user_name, password) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
            ("basic dGVzdDoxMjPCow==", "test", "123£"),
            ("Basic YTpiOmM=", "a", "b:c"),
            ("Basic Og==", "", ""),
        ] {
            let found = Credentials::read(header.as_bytes()).expect("well-formed");
            assert_eq!(
                (found.user_name.as_str(), found.password.as_slice()),
                (user_name, password.as_bytes())
            );
        }
        let found = Credentials::read_url(b"dGVzdDoxMjPCow").expect("well-formed");
        assert_eq!((found.user_name.as_str(), found.password.as_slice()), ("test", "123£".as_bytes()));
        for bad in ["dGVzdDoxMjPCow==", "dGVzdA", "+/+/", ""] {
            assert!(Credentials::read_url(bad.as_bytes()).is_none(), "{bad}");
        }
        for bad in ["", "Basic", "Basic ", "Basic QQ==", "Basic ???", "Bearer QTpC", "Basic /zo="] {
            assert!(Credentials::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
