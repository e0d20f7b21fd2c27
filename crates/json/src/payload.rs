//! The payload mapping: how the bytes of a message become a JSON value.

use serde::de::IgnoredAny;

use crate::request::DEPTH_MAX_DEFAULT;
use crate::value::{Unsound, check_sound};
use crate::write::{push_base64, push_json, push_str};

/// Appends `,"data":…` or `,"data_base64":…` for a subscriber, who wants to see JSON as JSON.
pub(crate) fn push_payload(payload: &[u8], out: &mut Vec<u8>) {
    match simdutf8::basic::from_utf8(payload) {
        Ok(text) => {
            out.extend_from_slice(b",\"data\":");
            match as_json(text) {
                Some(json) => push_json(json, out),
                None => push_str(text, out),
            }
        }
        Err(_) => push_binary(payload, out),
    }
}

/// Appends the same for a publisher, whose bytes must arrive as they are: a string does that for all UTF-8.
pub(crate) fn push_payload_exact(payload: &[u8], out: &mut Vec<u8>) {
    match simdutf8::basic::from_utf8(payload) {
        Ok(text) => {
            out.extend_from_slice(b",\"data\":");
            push_str(text, out);
        }
        Err(_) => push_binary(payload, out),
    }
}

fn push_binary(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"data_base64\":");
    push_base64(payload, out);
}

/// The text without the white space around it, if it is JSON that can stand in a message as it is.
fn as_json(text: &str) -> Option<&str> {
    let json = text.trim_matches([' ', '\t', '\n', '\r']);
    // Most payloads are told by their first byte, without reading the rest. A JSON string goes the way of all text,
    // so that the value that a subscriber reads is always the payload itself.
    let valid = match json.as_bytes().first()? {
        b'{' | b'[' | b'-' | b'0'..=b'9' => serde_json::from_str::<IgnoredAny>(json).is_ok(),
        b't' => json == "true",
        b'f' => json == "false",
        b'n' => json == "null",
        _ => false,
    };
    let sound =
        || !matches!(check_sound(json, DEPTH_MAX_DEFAULT), Err(Unsound::TooDeep | Unsound::LoneSurrogate));
    (valid && sound()).then_some(json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn encoded(payload: &[u8]) -> String {
        let mut out = Vec::new();
        push_payload(payload, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_stays_as_it_is_written() {
        for json in [
            "0",
            "-1.50e+3",
            "12345678901234567890123",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[1, 2 ,3]",
            r#"{"b":1,"a":"\u00e9\ud83e\udd80","b":2}"#,
        ] {
            assert_eq!(encoded(json.as_bytes()), format!(",\"data\":{json}"));
        }
    }

    #[test]
    fn white_space_around_json_goes_and_line_breaks_inside_become_spaces() {
        assert_eq!(encoded(b"\r\n {\n\"a\":\r\n1} \n"), ",\"data\":{ \"a\":  1}");
    }

    #[test]
    fn text_becomes_a_string() {
        for text in [
            "",
            " ",
            "hello",
            "truest",
            "tru",
            "007",
            "-",
            "1.",
            "[1",
            "{}{}",
            "\"json string\"",
            "nan",
            "\u{feff}1",
            "a\nb",
            r#"{"a":"\ud800"}"#,
            r#"["\udc00\ud800"]"#,
            "\u{a0}1",
        ] {
            assert_eq!(
                encoded(text.as_bytes()),
                format!(",\"data\":{}", serde_json::to_string(text).unwrap())
            );
        }
    }

    #[test]
    fn json_that_is_too_deep_to_be_safe_becomes_a_string() {
        let deepest = format!("{}{}", "[".repeat(DEPTH_MAX_DEFAULT), "]".repeat(DEPTH_MAX_DEFAULT));
        assert_eq!(encoded(deepest.as_bytes()), format!(",\"data\":{deepest}"));
        let deeper = format!("[{deepest}]");
        assert_eq!(encoded(deeper.as_bytes()), format!(",\"data\":\"{deeper}\""));
        let abyss = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(encoded(abyss.as_bytes()), format!(",\"data\":\"{abyss}\""));
    }

    #[test]
    fn bytes_that_are_not_utf8_become_base64() {
        assert_eq!(encoded(b"\xff\x00"), ",\"data_base64\":\"/wA=\"");
        assert_eq!(encoded(b"[\"\xed\xa0\x80\"]"), ",\"data_base64\":\"WyLtoIAiXQ==\"");
    }
}
