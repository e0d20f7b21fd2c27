//! Which web pages may talk to the hub.
//!
//! A browser lets every page in the world send requests to `localhost` and to machines of the local network, and open
//! WebSockets to them; it only says from where in the `Origin` header. So that a page on the internet cannot publish
//! into a hub that trusts its own machine, only pages that come from the same host are let in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use trefoil_config::Origins;

/// Whether a page of this `Origin` may use a server that it reached under this `Host`: both name the same host, on
/// whatever port, or both are names or addresses of this machine itself.
///
/// `null`, which stands for local files and sandboxed frames of any site, may not.
/// A configuration may let in others.
pub(crate) fn is_allowed(origin: &str, host: &str, others: &Origins) -> bool {
    others.has(origin) || is_own(origin, host)
}

fn is_own(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let (Some(page), Some(server)) = (authority.and_then(Host::parse), Host::parse(host)) else {
        return false;
    };
    page == server || (page.is_loopback() && server.is_loopback())
}

#[derive(PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

impl Host {
    /// Takes the host out of `host` or `host:port`.
    fn parse(authority: &str) -> Option<Host> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (Host::Ip(IpAddr::V6(address).to_canonical()), port)
            }
            None => {
                let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                (Host::named(name)?, port)
            }
        };
        let is_port =
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        is_port.then_some(host)
    }

    fn named(name: &str) -> Option<Host> {
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Host::Ip(address.into()));
        }
        // Anything else, such as a user name before the host, is a trick and no host.
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        is_name.then(|| Host::Name(name.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(address) => address.is_loopback(),
            // All names below `localhost` are the machine itself (RFC 6761 §6.3).
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn pages_of_the_same_host_are_let_in() {
        for (origin, host) in [
            ("http://hub.example", "hub.example"),
            ("https://hub.example", "hub.example:8080"),
            ("http://hub.example:3000", "HUB.example:8080"),
            ("http://192.168.1.4:8080", "192.168.1.4:8080"),
            ("http://[fd00::1]:8080", "[fd00:0::1]:1883"),
        ] {
            assert!(is_own(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn pages_of_this_machine_are_let_in_under_all_its_names() {
        let local = ["localhost", "127.0.0.1", "[::1]", "127.8.8.8", "app.localhost", "[::ffff:127.0.0.1]"];
        for page in local {
            for host in local {
                let origin = format!("http://{page}:5173");
                assert!(is_own(&origin, &format!("{host}:8080")), "{origin} at {host}");
            }
        }
    }

    #[test]
    fn all_others_are_not() {
        for (origin, host) in [
            ("null", "localhost"),
            ("", "localhost"),
            ("http://evil.example", "localhost:8080"),
            ("http://evil.example", "127.0.0.1:8080"),
            ("http://localhost:8080", "hub.example"),
            ("http://hub.example.evil.example", "hub.example"),
            ("http://localhost.evil.example", "localhost"),
            ("http://127.0.0.1.evil.example", "127.0.0.1"),
            ("http://evil-localhost", "localhost"),
            ("http://localhost@evil.example", "localhost"),
            ("http://evil.example/localhost", "localhost"),
            ("http://localhost:80:80", "localhost"),
            ("http://localhost:port", "localhost"),
            ("http://[::1", "localhost"),
            ("http://[::1]x", "localhost"),
            ("http://", ""),
            ("file://", "localhost"),
            ("chrome-extension://localhost", "localhost"),
            ("http://192.168.1.5", "192.168.1.4"),
            ("http://0.0.0.0", "127.0.0.1"),
        ] {
            assert!(!is_own(origin, host), "{origin} at {host}");
        }
    }
}
