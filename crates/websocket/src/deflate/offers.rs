//! The header in which extensions are offered (RFC 6455 §9.1).

use crate::handshake::is_token;

/// An extension that is offered, with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    pub(super) name: &'a [u8],
    pub(super) parameters: Vec<Parameter<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a [u8],
    /// Without the quotes that may stand around it.
    pub(super) value: Option<Vec<u8>>,
}

/// Offers in one header; what follows counts for nothing.
const OFFERS_MAX: usize = 32;

/// The offers of a `Sec-WebSocket-Extensions` header. `None` if it is not what the grammar says.
pub(super) fn parse(header: &[u8]) -> Option<Vec<Offer<'_>>> {
    let mut rest = header;
    let mut offers = Vec::new();
    while offers.len() < OFFERS_MAX {
        skip_blank(&mut rest);
        match rest.first() {
            None => break,
            // Elements of a list may be empty (RFC 9110 §5.6.1).
            Some(b',') => rest = &rest[1..],
            Some(_) => {
                let offer = offer(&mut rest)?;
                offers.push(offer);
                skip_blank(&mut rest);
                match rest.split_first() {
                    None => break,
                    Some((b',', after)) => rest = after,
                    Some(_) => return None,
                }
            }
        }
    }
    Some(offers)
}

fn offer<'a>(rest: &mut &'a [u8]) -> Option<Offer<'a>> {
    let name = token(rest)?;
    let mut parameters = Vec::new();
    loop {
        skip_blank(rest);
        let Some(after) = rest.strip_prefix(b";") else { return Some(Offer { name, parameters }) };
        *rest = after;
        skip_blank(rest);
        let name = token(rest)?;
        skip_blank(rest);
        let mut value = None;
        if let Some(after) = rest.strip_prefix(b"=") {
            *rest = after;
            skip_blank(rest);
            value = Some(if rest.starts_with(b"\"") { quoted(rest)? } else { token(rest)?.to_vec() });
        }
        parameters.push(Parameter { name, value });
    }
}

fn token<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = rest.iter().position(|&byte| !is_token(&[byte])).unwrap_or(rest.len());
    let (token, after) = rest.split_at(len);
    *rest = after;
    (len > 0).then_some(token)
}

/// A quoted string, which must hold a token.
fn quoted(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let mut bytes = rest.iter().enumerate().skip(1);
    loop {
        match bytes.next()? {
            (at, b'"') => {
                *rest = &rest[at + 1..];
                return is_token(&value).then_some(value);
            }
            (_, b'\\') => value.push(*bytes.next()?.1),
            (_, &byte) => value.push(byte),
        }
    }
}

fn skip_blank(rest: &mut &[u8]) {
    *rest = rest.trim_ascii_start();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> Option<String> {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let offers = parse(header.as_bytes())?;
        let offers = offers.iter().map(|offer| {
            let parameters = offer.parameters.iter().map(|parameter| match &parameter.value {
                None => format!(";{}", show(parameter.name)),
                Some(value) => format!(";{}={}", show(parameter.name), show(value)),
            });
            show(offer.name) + &parameters.collect::<String>()
        });
        Some(offers.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn what_the_grammar_has() {
        for (header, expected) in [
            ("", ""),
            ("a", "a"),
            (" a , b ", "a,b"),
            (",, a,,", "a"),
            ("a; b; c=1 ,d ;e = \"2\"", "a;b;c=1,d;e=2"),
            ("a;b=\"\\1\\5\"", "a;b=15"),
        ] {
            assert_eq!(shown(header).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_it_has_not() {
        for header in
            ["a b", "a;", "a;;b", "=1", "a;b=", "a;b=\"", "a;b=\"x y\"", "a;b=\"\"", ";a", "a;=1", "a@"]
        {
            assert_eq!(shown(header), None, "{header}");
        }
    }
}
