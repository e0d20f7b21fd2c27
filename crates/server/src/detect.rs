//! One port for everything: what the first bytes of a connection say about its protocol.

use trefoil_config::Protocols;

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detected {
    /// MQTT: a CONNECT packet.
    Mqtt,
    /// HTTP: a request line.
    Http,
    /// JSON lines: an object, or an array of them.
    Json,
}

/// Why the first bytes are refused; displayed, it is the line that the peer gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A TLS handshake, and no certificate is configured, or TLS is spoken already.
    Tls,
    /// No TLS handshake, where nothing else is accepted.
    Plain,
    /// A header of the PROXY protocol, which is not expected here.
    Proxy,
    /// Nothing that is spoken here at all.
    Unknown,
    /// A protocol that this listener is configured not to speak.
    Narrowed(&'static str, Protocols),
}

/// Methods of HTTP requests, each with the space that follows.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];

/// White space that may come before a request; who sends nothing else is not waited for.
const BLANK_BYTES_MAX: usize = 64;

/// Type of a CONNECT packet.
const MQTT_CONNECT: u8 = 0x10;
/// Type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether these first bytes are those of a TLS handshake.
pub fn begins_tls(input: &[u8]) -> bool {
    input.first() == Some(&TLS_HANDSHAKE)
}

/// Looks at the first bytes of a connection. None: more are needed.
///
/// # Errors
/// When no protocol, or none that `allowed` has, starts like that.
pub fn detect(input: &[u8], allowed: Protocols) -> Result<Option<Detected>, Refused> {
    if input.starts_with(b"PROXY ") || input.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return Err(Refused::Proxy);
    }
    // Who types by hand may start with an empty line.
    let blank = input.iter().take(BLANK_BYTES_MAX + 1).take_while(|b| b.is_ascii_whitespace()).count();
    if blank > BLANK_BYTES_MAX {
        return Err(Refused::Unknown);
    }
    let Some(&first) = input.get(blank) else { return Ok(None) };
    let (detected, name, is_allowed) = match first {
        MQTT_CONNECT if blank == 0 => match starts_connect(input) {
            Some(true) => (Detected::Mqtt, "MQTT", allowed.mqtt),
            Some(false) => return Err(Refused::Unknown),
            None => return Ok(None),
        },
        TLS_HANDSHAKE if blank == 0 => return Err(Refused::Tls),
        // One object, or several in an array; or a line of help that has been pasted.
        b'{' | b'[' | b'#' => (Detected::Json, "JSON lines", allowed.json),
        _ if allowed.json && starts_word(&input[blank..]) != Some(false) => {
            match starts_word(&input[blank..]) {
                Some(true) => (Detected::Json, "JSON lines", true),
                _ => return Ok(None),
            }
        }
        _ => match starts_request(&input[blank..]) {
            Some(true) => (Detected::Http, "HTTP", allowed.http || allowed.websocket),
            // More may come of it.
            Some(false) if b"PROXY ".starts_with(input) => return Ok(None),
            Some(false) if b"\r\n\r\n\0\r\nQUIT\n".starts_with(input) => return Ok(None),
            Some(false) => return Err(Refused::Unknown),
            None => return Ok(None),
        },
    };
    if is_allowed { Ok(Some(detected)) } else { Err(Refused::Narrowed(name, allowed)) }
}

/// Whether this is the start of a CONNECT packet [MQTT-3.1.0-1] [v3 MQTT-3.1.0-1]: its length in one to four bytes, then
/// `MQTT` or `MQIsdp` with its length [MQTT-3.1.2-1] [v3 MQTT-3.1.2-1]. Whatever is wrong behind that is for MQTT to say.
fn starts_connect(input: &[u8]) -> Option<bool> {
    let continued = input[1..].iter().take(4).take_while(|&&b| b >= 0x80).count();
    if continued == 4 {
        return Some(false);
    }
    let name_at = 1 + continued + 1;
    let rest = input.get(name_at..).filter(|rest| !rest.is_empty())?;
    let starts = |name: &[u8]| rest.iter().zip(name).all(|(a, b)| a == b).then_some(rest.len() >= name.len());
    match starts(b"\0\x04MQTT").or(starts(b"\0\x06MQIsdp")) {
        Some(true) => Some(true),
        Some(false) => None,
        None => Some(false),
    }
}

/// Words by which somebody who types asks for help, or leaves, with what may follow.
const WORDS: [&[u8]; 4] = [b"help", b"?", b"quit", b"exit"];

/// Whether this is the start of a line with one of the words that JSON lines know: the word as a whole, and what ends it.
fn starts_word(input: &[u8]) -> Option<bool> {
    let is_cut =
        WORDS.iter().any(|word| input.len() <= word.len() && word[..input.len()].eq_ignore_ascii_case(input));
    let is_whole = WORDS.iter().any(|word| {
        let rest = input.get(word.len()..).filter(|_| input[..word.len()].eq_ignore_ascii_case(word));
        rest.and_then(<[u8]>::first).is_some_and(u8::is_ascii_whitespace)
    });
    if is_whole {
        Some(true)
    } else if is_cut {
        None
    } else {
        Some(false)
    }
}

fn starts_request(input: &[u8]) -> Option<bool> {
    let starts =
        |method: &[u8]| input.iter().zip(method).all(|(a, b)| a == b).then_some(input.len() >= method.len());
    match METHODS.iter().find_map(|method| starts(method)) {
        Some(true) => Some(true),
        Some(false) => None,
        None => Some(false),
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Tls => {
                f.write_str("this listener has no certificate, so it does not speak TLS; connect without it")
            }
            Refused::Plain => f.write_str(
                "this listener speaks nothing but TLS: connect with it, as with mqtts://, wss:// or https://",
            ),
            Refused::Proxy => f.write_str(
                "this listener does not take the PROXY protocol; set proxy_protocol = true for it, or have the proxy \
                 connect without",
            ),
            Refused::Unknown => f.write_str(
                "these first bytes are no protocol that is spoken here: start with an MQTT CONNECT packet, \
                 an HTTP request, or a JSON object such as {\"sub\":\"#\"}; or type help",
            ),
            Refused::Narrowed(name, allowed) => {
                write!(f, "{name} is not spoken on this listener, which is configured for: {allowed}")
            }
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Protocols =
        Protocols { mqtt: true, http: true, websocket: true, json: true, ..Protocols::NONE };

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        let cases: [(&[u8], Detected); 14] = [
            (b"\x10\x10\0\x04MQTT\x04", Detected::Mqtt),
            (b"\x10\x90\x01\0\x04MQTT\x05", Detected::Mqtt),
            (b"\x10\x12\0\x06MQIsdp\x03", Detected::Mqtt),
            (b"GET / HTTP/1.1\r\n", Detected::Http),
            (b"POST /x", Detected::Http),
            (b"{\"sub\":", Detected::Json),
            (b"\r\n {", Detected::Json),
            (b" [{\"sub\":", Detected::Json),
            (b"\nGET / HTTP/1.1\r\n", Detected::Http),
            (b"help\n", Detected::Json),
            (b"HELP sub\r\n", Detected::Json),
            (b" ?\n", Detected::Json),
            (b"quit\n", Detected::Json),
            (b"HEAD / HTTP/1.1\r\n", Detected::Http),
        ];
        for (input, expected) in cases {
            assert_eq!(detect(input, ALL), Ok(Some(expected)), "{}", input.escape_ascii());
            // However it is cut, the start never says something else.
            for end in 0..input.len() {
                let early = detect(&input[..end], ALL);
                assert!(early == Ok(None) || early == Ok(Some(expected)), "{}", input[..end].escape_ascii());
            }
        }
    }

    #[test]
    fn what_nobody_claims_is_refused_at_once() {
        for input in [
            &b"hello\n"[..],
            b"\x16\x03\x01",
            b"\x10\xff\xff\xff\xff\x01",
            b"\x10\x10\0\x04MQXX",
            b"\0",
            b"PROXX",
            b"PROXY TCP4 ",
            b"\r\n\r\n\0\r\nQUIT\n\x21",
            b"(1)",
            b"helpless",
            b"?x",
        ] {
            assert!(detect(input, ALL).is_err(), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_narrowed_listener_names_what_it_speaks() {
        let only_mqtt = Protocols { mqtt: true, ..Protocols::NONE };
        let refused = detect(b"{", only_mqtt).expect_err("JSON is not spoken");
        assert_eq!(
            refused.to_string(),
            "JSON lines is not spoken on this listener, which is configured for: mqtt"
        );
        let only_websocket = Protocols { websocket: true, ..Protocols::NONE };
        assert_eq!(detect(b"GET / ", only_websocket), Ok(Some(Detected::Http)));
    }
}
