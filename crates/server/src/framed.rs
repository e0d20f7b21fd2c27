//! What all shards know of a framed listener, or of a device that the hub connects to.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use trefoil_config::Framed;
use trefoil_framing::{Decoder, EncodeError, Encoder, FrameError, Telnet};

/// What one datagram can carry over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// A framed listener as the shards use it: all that can be prepared is.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) settings: Arc<Framed>,
    /// Copied for each connection; none where a datagram is a frame.
    pub(crate) decoder: Option<Decoder>,
    encoder: Option<Encoder>,
    pub(crate) is_udp: bool,
    /// For registrations; seeded.
    hasher: RandomState,
}

/// Why frames, or bytes, came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub(crate) enum Fault {
    /// Longer than frames may be, or announced to be.
    TooLong,
    /// A length that is none.
    BadLength,
    /// A SLIP frame with a bad escape, or a COBS frame with a bad code.
    BadStuffing,
    /// What follows a start mark is none.
    FalseStart,
    /// The stream ended in a frame.
    Truncated,
    /// It has no start mark.
    NoStart,
    /// The pattern finds nothing in it.
    NoMatch,
    /// The topic that it would go to is not valid, or the hub's own.
    BadTopic,
    /// Beyond the rate, over UDP.
    Rate,
    /// Memory was short, over UDP.
    Memory,
    /// The first frame is not what it has to be.
    Unregistered,
    /// It said a wrong secret or password.
    WrongSecret,
    /// It may not have the client id that it would have.
    Refused,
}

impl Fault {
    pub(crate) const ALL: [(Fault, &'static str); 13] = [
        (Fault::TooLong, "too_long"),
        (Fault::BadLength, "bad_length"),
        (Fault::BadStuffing, "bad_stuffing"),
        (Fault::FalseStart, "false_start"),
        (Fault::Truncated, "truncated"),
        (Fault::NoStart, "no_start"),
        (Fault::NoMatch, "no_match"),
        (Fault::BadTopic, "bad_topic"),
        (Fault::Rate, "rate"),
        (Fault::Memory, "memory"),
        (Fault::Unregistered, "unregistered"),
        (Fault::WrongSecret, "wrong_secret"),
        (Fault::Refused, "refused"),
    ];

    pub(crate) fn of(error: FrameError) -> Fault {
        match error {
            FrameError::TooLong { .. } | FrameError::LengthTooLong { .. } => Fault::TooLong,
            FrameError::BadEscape | FrameError::BadCode => Fault::BadStuffing,
            FrameError::FalseStart => Fault::FalseStart,
            FrameError::Truncated => Fault::Truncated,
            _ => Fault::BadLength,
        }
    }
}

impl Profile {
    pub(crate) fn new(settings: Arc<Framed>, is_udp: bool) -> Profile {
        let (decoder, encoder) = (settings.decoder(), settings.encoder());
        Profile { decoder, encoder, settings, is_udp, hasher: RandomState::new() }
    }

    /// What a payload is on the wire, appended to `out`.
    ///
    /// # Errors
    /// The framing cannot carry it. `out` is then as it was.
    pub(crate) fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        match &self.encoder {
            Some(encoder) => encoder.encode(payload, out)?,
            None => {
                let frame_bytes_max = self.settings.frame_bytes_max;
                let mark = self.settings.starts_with.as_deref().filter(|_| self.settings.adds_start());
                let mark = mark.unwrap_or_default();
                if mark.len() + payload.len() > frame_bytes_max {
                    return Err(EncodeError::TooLong { frame_bytes_max });
                }
                out.extend_from_slice(mark);
                out.extend_from_slice(payload);
            }
        }
        if self.is_udp && out.len() - start > DATAGRAM_BYTES_MAX {
            out.truncate(start);
            return Err(EncodeError::TooLong { frame_bytes_max: DATAGRAM_BYTES_MAX });
        }
        if self.settings.telnet {
            Telnet::escape(start, out);
        }
        Ok(())
    }

    /// What somebody says of itself, as a number by which it is known again, if a frame is a registration: with the right
    /// secret, or with a name and a password. One that comes again is no message, which everybody would read.
    pub(crate) fn registration(&self, frame: &[u8]) -> Option<u64> {
        let register = self.settings.register.as_ref()?;
        let pattern = &register.pattern.0;
        let is_one = match &register.secret {
            // Few frames have it in them, which is seen faster than what they are.
            Some((_, secret)) if memchr::memmem::find(frame, secret.0.as_bytes()).is_none() => false,
            Some((group, secret)) => {
                let found = pattern.captures(self.strip(frame))?.get(*group)?;
                found.as_bytes().ct_eq(secret.0.as_bytes()).into()
            }
            None => register.user.is_some() && pattern.is_match(self.strip(frame)),
        };
        is_one.then(|| self.hasher.hash_one(self.strip(frame)))
    }

    /// Whether registrations have a secret, by which they are told from all other frames.
    pub(crate) fn has_secret(&self) -> bool {
        self.settings.register.as_ref().is_some_and(|register| register.secret.is_some())
    }

    /// A frame without what is taken off its ends; empty where that is all, or it is one of those that are passed over.
    pub(crate) fn strip<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let Framed { strip, ignore, .. } = &*self.settings;
        let mut frame = frame;
        if !strip.is_empty() {
            let stays = |byte: &u8| !strip.contains(byte);
            let from = frame.iter().position(stays).unwrap_or(frame.len());
            let to = frame.iter().rposition(stays).map_or(from, |last| last + 1);
            frame = &frame[from..to];
        }
        if ignore.iter().any(|ignored| ignored == frame) { &[] } else { frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn profile(keys: &str) -> Profile {
        let text = format!("[[listener]]\nbind = \"udp://127.0.0.1:1\"\npublish = \"t\"\n{keys}");
        let file = Some((Path::new("t.toml"), text.as_str()));
        let config =
            trefoil_config::load(file, &mut std::iter::empty()).expect("the keys of this test are right");
        Profile::new(config.listeners[0].framed.clone().expect("it is a framed one"), true)
    }

    #[test]
    fn ends_are_taken_off_and_what_is_passed_over_is_nothing() {
        let profile = profile("framing = \"line\"\nstrip = \" \\\\x02\"\nignore = [\"ping\", \"p n\"]");
        for (frame, left) in
            [("\u{2} a b ", "a b"), (" ping", ""), ("  ", ""), ("", ""), ("p n", ""), ("pong", "pong")]
        {
            assert_eq!(profile.strip(frame.as_bytes()), left.as_bytes(), "{frame:?}");
        }
    }

    #[test]
    fn a_datagram_is_bounded_too() {
        let profile =
            profile("framing = \"datagram\"\nframe_bytes_max = 4\nstarts_with = \"$\"\nstrip = \"$\"");
        let mut out = b"x".to_vec();
        assert_eq!(profile.encode(b"abc", &mut out), Ok(()));
        assert_eq!(out, b"x$abc");
        assert!(profile.encode(b"abcd", &mut out).is_err());
        assert_eq!(out, b"x$abc");
    }
}
