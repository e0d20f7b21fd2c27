//! Whom a ban is for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use trefoil_auth::check_name;

/// What is banned by client id is no longer, in bytes.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Whom a ban is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A client id, in which each `*` stands for any text.
    ClientId(Arc<str>),
    /// A user name in its prepared form.
    User(Arc<str>),
    /// An address, or all addresses of a network.
    Address(Network),
}

/// The kinds of targets by their names, as they are in JSON, in paths and in the store.
pub(crate) const KINDS: [&str; 3] = ["client_id", "user", "address"];

impl Target {
    /// Reads a target of one of the [kinds](KINDS).
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(crate) fn read(kind: &str, text: &str) -> Result<Target, String> {
        match kind {
            "client_id" => client_id(text),
            "user" => check_name(text).map(|name| Target::User(name.into())),
            "address" => Network::read(text).map(Target::Address),
            _ => Err(format!("there is no kind of ban {kind:?}; there are {}", KINDS.join(", "))),
        }
    }

    /// Whether it is for this client id.
    pub(crate) fn is_client_id(&self, client_id: &str) -> bool {
        matches!(self, Target::ClientId(pattern) if matches(pattern, client_id))
    }

    /// One of the [kinds](KINDS).
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Target::ClientId(_) => KINDS[0],
            Target::User(_) => KINDS[1],
            Target::Address(_) => KINDS[2],
        }
    }
}

/// Without its kind, as [`Target::read`] takes it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::ClientId(text) | Target::User(text) => f.write_str(text),
            Target::Address(network) => network.fmt(f),
        }
    }
}

fn client_id(text: &str) -> Result<Target, String> {
    if text.is_empty() {
        return Err("a client id has at least one character".into());
    }
    if text.len() > CLIENT_ID_BYTES_MAX {
        return Err(format!(
            "it is longer than {CLIENT_ID_BYTES_MAX} bytes; the beginning of a long client id and a * ban it too"
        ));
    }
    Ok(Target::ClientId(text.into()))
}

/// Whether a text is of a pattern in which each `*` stands for any text, the empty one too. It takes time in proportion to
/// the text, whatever the pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return pattern == text };
    let rest = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = rest.map(str::as_bytes) else { return false };
    for part in parts {
        // The first place is as good as any later one.
        let Some(at) = memchr::memmem::find(rest, part.as_bytes()) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Network {
    /// The other bits are 0. An IPv4 address in IPv6 is one of IPv4.
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// # Errors
    /// Why it is neither.
    pub(crate) fn read(text: &str) -> Result<Network, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
        let written: IpAddr = address.parse().map_err(|_| {
            format!("{address:?} is no IP address; write one like 192.0.2.7 or 2001:db8::7, or a network like 192.0.2.0/24")
        })?;
        let first = written.to_canonical();
        let width = width(first);
        let bits = match bits {
            None => width,
            Some(text) => {
                let most = if written.is_ipv4() { 32 } else { 128 };
                let number = text.parse().ok().filter(|bits| *bits <= most && !text.starts_with('+'));
                let number: u8 = number.ok_or_else(|| {
                    format!("the bits of a network are a number from 0 to {most}, not {text:?}")
                })?;
                match number.checked_sub(most - width) {
                    Some(bits) => bits,
                    None => return Err("it has addresses of IPv4 and of IPv6; ban each by itself".into()),
                }
            }
        };
        let network = Network::of(first, bits);
        if network.first != first {
            return Err(format!(
                "{address} is in the middle of a network of {bits} bits; write {network} for all of it, or {address} for this \
                 address"
            ));
        }
        Ok(network)
    }

    /// That of an address.
    pub(crate) fn of(address: IpAddr, bits: u8) -> Network {
        let address = address.to_canonical();
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask_32(bits)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask_128(bits)).into()),
        };
        Network { first, bits }
    }

    /// Whether an address is of it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Network::of(address, self.bits) == *self
    }

    /// How many bits its addresses have in common.
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.first) {
            true => self.first.fmt(f),
            false => write!(f, "{}/{}", self.first, self.bits),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask_32(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)
}

fn mask_128(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, yes, no) in [
            ("pump", &["pump"][..], &["pump-1", "", "Pump"][..]),
            ("pump-*", &["pump-", "pump-1", "pump-*"], &["pump", "a pump-1"]),
            ("*", &["", "x"], &[]),
            ("*-7", &["-7", "a-7"], &["-77"]),
            ("a*b*c", &["abc", "a-b-b-c", "abbc"], &["ac", "acb", "ab"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba"]),
            ("a**c", &["ac", "abc"], &["a"]),
            ("é*", &["é", "éa"], &["e"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    /// As slow as it can be told.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,7}", text in "[ab*]{0,9}") {
            prop_assert_eq!(matches(&pattern, &text), slowly(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn what_is_written_is_read(address: u128, is_v4: bool, bits in 0_u8..=128) {
            let address = if is_v4 { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) };
            let bits = bits.min(width(address.to_canonical()));
            let network = Network::of(address, bits);
            prop_assert!(network.contains(address));
            prop_assert_eq!(Network::read(&network.to_string()), Ok(network));
        }

        #[test]
        fn no_text_is_too_bad(text in "[0-9a-f:./+ ]{0,20}|.{0,9}") {
            let _ = Network::read(&text);
        }
    }

    #[test]
    fn networks() {
        let read = |text: &str| Network::read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address of this test") };
        for (text, shown, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7", "192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "::/0", "2001:db8::", "10.0.0.1"),
            ("2001:DB8::/32", "2001:db8::/32", "2001:db8:1::", "2001:db9::"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.1.1.1", "11.1.1.1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            let network = read(text);
            assert_eq!(network.to_string(), shown);
            assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{text}");
        }
        for bad in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "localhost",
            "10.0.0.7/8",
            "2001:db8::1/64",
            "::ffff:0.0.0.0/95",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "1.2.3.4:80",
        ] {
            assert!(Network::read(bad).is_err(), "{bad}");
        }
    }
}
