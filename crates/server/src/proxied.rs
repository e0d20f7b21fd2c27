//! Clients that come by way of proxies: what a trusted proxy says for whom it connects, by the PROXY protocol of HAProxy
//! (versions 1 and 2) at the beginning of a connection, or in requests by `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! Each proxy adds to the end of these headers who has connected to it. So they are read from the end, as long as what
//! stands there is a trusted proxy; what is before that anybody may have written.

use proxy_header::{Error, ParseConfig, ProxyHeader};
use std::net::{IpAddr, SocketAddr};
use trefoil_config::Network;

/// A header of the PROXY protocol is no longer; most have less than 110 bytes, and what a proxy tells of a certificate takes
/// the rest.
const HEADER_BYTES_MAX: usize = 4096;

/// Where the length of a header of version 2 stands, which counts what follows it.
const V2_LENGTH_AT: std::ops::Range<usize> = 14..16;

/// For whom a trusted proxy has made a connection, and the last request on it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Proxied {
    /// As the PROXY protocol has said at its beginning.
    pub(crate) connection: Option<IpAddr>,
    /// And its port there; 0 if that is not known.
    pub(crate) port: u16,
    /// As the headers of the last request have said; the next one may be somebody else's.
    pub(crate) request: Option<IpAddr>,
}

impl Proxied {
    /// As the PROXY protocol says it.
    pub(crate) fn of_connection(client: SocketAddr) -> Proxied {
        Proxied { connection: Some(client.ip()), port: client.port(), request: None }
    }

    /// Who it is, if that is not the peer itself.
    pub(crate) fn client(self) -> Option<IpAddr> {
        self.request.or(self.connection)
    }

    /// The same with the port, as far as it is known: two clients behind one address are told apart by it.
    pub(crate) fn peer(self) -> Option<String> {
        match (self.request, self.connection) {
            (None, Some(client)) if self.port > 0 => Some(SocketAddr::new(client, self.port).to_string()),
            (request, connection) => request.or(connection).map(|client| client.to_string()),
        }
    }
}

/// Whether an address is one of those.
pub(crate) fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// A header of the PROXY protocol, as far as it has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// More bytes are needed.
    Partial,
    /// It has `len` bytes. Without a client the proxy connects for itself, to see whether the hub is there.
    Whole { len: usize, client: Option<SocketAddr> },
    /// It is none, or a wrong one.
    Wrong(&'static str),
}

/// Reads the header at the beginning of a connection.
pub(crate) fn read_header(input: &[u8]) -> Header {
    let begins = |with: &[u8]| input.iter().zip(with).all(|(a, b)| a == b);
    if !begins(b"PROXY ") && !begins(b"\r\n\r\n\0\r\nQUIT\n") {
        return Header::Wrong("the connection does not begin with a header of the PROXY protocol");
    }
    let length = input.get(V2_LENGTH_AT).filter(|_| !begins(b"P"));
    let v2_len =
        length.map(|length| V2_LENGTH_AT.end + usize::from(u16::from_be_bytes([length[0], length[1]])));
    if v2_len.is_some_and(|len| len > HEADER_BYTES_MAX) {
        return Header::Wrong("the header of the PROXY protocol is too long");
    }
    match ProxyHeader::parse(input, ParseConfig { include_tlvs: false, ..ParseConfig::default() }) {
        Ok((header, len)) => {
            let source = header.proxied_address().map(|address| address.source);
            let client = source.map(|source| SocketAddr::new(source.ip().to_canonical(), source.port()));
            Header::Whole { len, client }
        }
        // One of version 2 that is here as a whole has too little in it for its addresses.
        Err(Error::BufferTooShort) if v2_len.is_none_or(|len| input.len() < len) => Header::Partial,
        Err(_) => Header::Wrong("the header of the PROXY protocol is malformed"),
    }
}

/// The two headers of a request name different clients: one of them was not written by the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict;

impl Conflict {
    pub(crate) const WHY: &'static str = "X-Forwarded-For and Forwarded name different clients; have the proxy remove the one that it \
                                          does not write";
}

/// For whom a request was made that came from `peer`: who stands in its headers if `peer` is trusted, else `peer`. `headers`
/// are all that the request has.
///
/// # Errors
/// When the headers contradict each other.
pub(crate) fn client_of<'a>(
    peer: IpAddr,
    trusted: &[Network],
    headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<IpAddr, Conflict> {
    if !is_trusted(trusted, peer) {
        return Ok(peer);
    }
    let values = |wanted: &'static str| {
        headers
            .clone()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            // Text that is none names nobody, and nobody before it counts.
            .map(|(_, value)| std::str::from_utf8(value).unwrap_or("?"))
    };
    let listed: Vec<_> = values("x-forwarded-for").flat_map(|value| value.split(',')).map(address).collect();
    let forwarded: Vec<_> =
        values("forwarded").flat_map(|value| value.split(',')).map(forwarded_for).collect();
    match (listed.is_empty(), forwarded.is_empty()) {
        (true, true) => Ok(peer),
        (false, true) => Ok(last_untrusted(peer, trusted, &listed)),
        (true, false) => Ok(last_untrusted(peer, trusted, &forwarded)),
        (false, false) => {
            let client = last_untrusted(peer, trusted, &listed);
            if client == last_untrusted(peer, trusted, &forwarded) { Ok(client) } else { Err(Conflict) }
        }
    }
}

/// The last of the list that is no trusted proxy; the first, if all are. Behind somebody without an address nothing is
/// known.
fn last_untrusted(peer: IpAddr, trusted: &[Network], hops: &[Option<IpAddr>]) -> IpAddr {
    let mut client = peer;
    for hop in hops.iter().rev() {
        let Some(hop) = hop else { break };
        client = *hop;
        if !is_trusted(trusted, client) {
            break;
        }
    }
    client
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7` or `[2001:db8::7]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// What `for=` says in an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node = node.trim();
    address(node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address of this test")
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::read(text).expect("a network of this test")).collect()
    }

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\x07\x5b";

    #[test]
    fn headers_of_the_proxy_protocol_are_read() {
        let v1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 1883\r\n";
        let v6: &[u8] = b"PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n";
        let local: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        for (header, client) in [
            (v1, Some("192.0.2.7:4711")),
            (v6, Some("[2001:db8::7]:4711")),
            (V2, Some("192.0.2.7:4660")),
            (b"PROXY UNKNOWN\r\n", None),
            (local, None),
        ] {
            let whole = Header::Whole {
                len: header.len(),
                client: client.map(|client| client.parse().expect("one with a port")),
            };
            assert_eq!(read_header(&[header, b"\x10\x00"].concat()), whole);
            for len in 0..header.len() {
                assert_eq!(read_header(&header[..len]), Header::Partial, "{}", header[..len].escape_ascii());
            }
        }
        for wrong in [
            &b"\x10\x10\0\x04MQTT"[..],
            b"GET / HTTP/1.1\r\n",
            b"{",
            b"PROXYUNKNOWN",
            b"PROXY TCP4 192.0.2.700 10.0.0.1 4711 1883\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 99999\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 4711 1883\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\x01\x02\x03\x04",
        ] {
            assert!(matches!(read_header(wrong), Header::Wrong(_)), "{}", wrong.escape_ascii());
        }
        assert!(matches!(read_header(&[b"PROXY TCP4 ", &[b'1'; 200][..]].concat()), Header::Wrong(_)));
    }

    #[test]
    fn clients_behind_one_address_are_told_apart() {
        let connection = Some(ip("2001:db8::7"));
        let proxied = Proxied { connection, port: 7, request: None };
        assert_eq!(proxied.peer().as_deref(), Some("[2001:db8::7]:7"));
        assert_eq!(Proxied { port: 0, ..proxied }.peer().as_deref(), Some("2001:db8::7"));
        // The port is not that of whom a request is made for.
        let request = Some(ip("192.0.2.7"));
        assert_eq!(Proxied { request, ..proxied }.peer().as_deref(), Some("192.0.2.7"));
        assert_eq!(Proxied::default().peer(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_bad(cut in 0..V2.len(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            read_header(&bytes);
            read_header(&[&V2[..cut], &bytes[..]].concat());
            read_header(&[b"PROXY TCP", &bytes[..]].concat());
        }
    }

    #[test]
    fn only_what_trusted_proxies_have_written_counts() {
        let trusted = networks(&["127.0.0.1", "10.0.0.0/8"]);
        let of = |peer: &str, headers: &[(&str, &str)]| {
            client_of(ip(peer), &trusted, headers.iter().map(|(name, value)| (*name, value.as_bytes())))
        };
        let xff = "X-Forwarded-For";
        for (peer, headers, client) in [
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.7")], "192.0.2.7"),
            ("127.0.0.1", &[(xff, "203.0.113.1, 192.0.2.7, 10.1.1.1")], "192.0.2.7"),
            ("127.0.0.1", &[(xff, "203.0.113.1"), (xff, "192.0.2.7:80")], "192.0.2.7"),
            ("127.0.0.1", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("127.0.0.1", &[(xff, "192.0.2.7, unknown")], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.7, unknown, 10.0.0.2")], "10.0.0.2"),
            ("127.0.0.1", &[(xff, "[2001:db8::7]:4711")], "2001:db8::7"),
            ("192.0.2.1", &[(xff, "203.0.113.1")], "192.0.2.1"),
            (
                "10.0.0.1",
                &[("forwarded", "for=\"[2001:db8::7]:1\";proto=https, For=10.0.0.2")],
                "2001:db8::7",
            ),
            ("10.0.0.1", &[("Forwarded", "by=10.0.0.9;for=192.0.2.7")], "192.0.2.7"),
            ("10.0.0.1", &[("Forwarded", "for=192.0.2.7, for=_hidden")], "10.0.0.1"),
            ("10.0.0.1", &[("Forwarded", "for=192.0.2.7"), (xff, "::ffff:192.0.2.7")], "192.0.2.7"),
        ] {
            assert_eq!(of(peer, headers), Ok(ip(client)), "{headers:?} from {peer}");
        }
        let two = [("Forwarded", "for=203.0.113.1"), (xff, "192.0.2.7")];
        assert_eq!(of("10.0.0.1", &two), Err(Conflict));
        assert_eq!(of("192.0.2.1", &two), Ok(ip("192.0.2.1")));
    }
}
