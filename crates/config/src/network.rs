//! Addresses and networks, as bans and lists of trusted proxies have them.

use std::fmt;
use std::net::IpAddr;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    /// The other bits are 0. An IPv4 address in IPv6 is one of IPv4.
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// # Errors
    /// Why it is neither.
    pub fn read(text: &str) -> Result<Network, String> {
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
                    None => return Err("it has addresses of IPv4 and of IPv6; write each by itself".into()),
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
    pub fn of(address: IpAddr, bits: u8) -> Network {
        let address = address.to_canonical();
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask_32(bits)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask_128(bits)).into()),
        };
        Network { first, bits }
    }

    /// Whether an address is of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Network::of(address, self.bits) == *self
    }

    /// How many bits its addresses have in common.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether its addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
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

    proptest! {
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
