//! The leaves of every encoder: strings, numbers and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends a JSON string in quotes. Only what JSON forbids in a string is escaped.
pub(crate) fn push_str(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // Runs without an escape are copied whole: most strings are one such run.
    let mut run_at = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == PLAIN {
            continue;
        }
        out.extend_from_slice(&bytes[run_at..at]);
        run_at = at + 1;
        if escape == b'u' {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xf)]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[run_at..]);
    out.push(b'"');
}

/// Appends a number.
pub(crate) fn push_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a JSON string that is the base64 of `bytes`: standard alphabet, padded.
pub(crate) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let encoded_len = bytes.len().div_ceil(3) * 4;
    out.push(b'"');
    let start = out.len();
    out.resize(start + encoded_len, 0);
    let written =
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("the space was just made by the same formula");
    debug_assert_eq!(written, encoded_len);
    out.push(b'"');
}

/// Appends JSON text that is known to be valid. Line breaks, which can stand only between its tokens, become
/// spaces, so that a line stays a line.
pub(crate) fn push_json(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    // The assignment is unconditional so that the compiler can make it a vector select.
    for byte in &mut out[start..] {
        *byte = if matches!(*byte, b'\n' | b'\r') { b' ' } else { *byte };
    }
}

const PLAIN: u8 = 0;
const HEX: [u8; 16] = *b"0123456789abcdef";

/// For every byte of a string: `PLAIN`, or the letter that follows the backslash; `u` wants four digits more.
const ESCAPES: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_serde_json_does_it() {
        let every_ascii: String = (0..0x80_u8).map(char::from).collect();
        for text in ["", "plain", "\"", "a\\b", "ends\n", "\u{1f}x", "é 🦀 \u{2028}", &every_ascii] {
            let mut out = Vec::new();
            push_str(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in
            [(&b""[..], "\"\""), (b"a", "\"YQ==\""), (b"ab", "\"YWI=\""), (b"\xff\xfe\xfd", "\"//79\"")]
        {
            let mut out = b"x".to_vec();
            push_base64(bytes, &mut out);
            assert_eq!(out, format!("x{expected}").as_bytes());
        }
    }

    #[test]
    fn line_breaks_in_json_become_spaces() {
        let mut out = b"\n".to_vec();
        push_json("{\r\n\t\"a\\n\": 1\n}", &mut out);
        assert_eq!(out, b"\n{  \t\"a\\n\": 1 }");
    }
}
