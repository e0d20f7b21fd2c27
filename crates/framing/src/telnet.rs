//! Bytes inside the telnet protocol (RFC 854), as terminal servers send them.

/// Interpret as command: what stands before all that is not data.
const IAC: u8 = 255;
/// The other side is not to use an option.
const DONT: u8 = 254;
/// The other side is to use an option.
const DO: u8 = 253;
/// This side does not use an option.
const WONT: u8 = 252;
/// This side wants to use an option.
const WILL: u8 = 251;
/// The beginning of what is said of an option, up to [`SE`].
const SB: u8 = 250;
const SE: u8 = 240;
const CR: u8 = b'\r';

/// One side of a telnet connection: takes the data out of what comes, and puts data into what goes. It agrees to no
/// option, so that both sides stay what RFC 854 calls a network virtual terminal. Holds one byte and nothing of what
/// comes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Telnet(State);

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum State {
    #[default]
    Data,
    /// Behind a carriage return, where a NUL means that nothing follows it.
    Return,
    Command,
    /// Behind the command with this byte, before its option.
    Option(u8),
    /// In what is said of an option.
    Sub,
    SubCommand,
}

impl Telnet {
    /// Moves the data in `bytes`, which is what has just come, to their beginning, and returns how many they are. What is
    /// to be answered goes to `answers`; it is never more than what has come.
    pub fn strip(&mut self, bytes: &mut [u8], answers: &mut Vec<u8>) -> usize {
        if self.0 == State::Data && memchr::memchr2(IAC, CR, bytes).is_none() {
            return bytes.len();
        }
        let mut len = 0;
        for at in 0..bytes.len() {
            if let Some(data) = self.take(bytes[at], answers) {
                bytes[len] = data;
                len += 1;
            }
        }
        len
    }

    fn take(&mut self, byte: u8, answers: &mut Vec<u8>) -> Option<u8> {
        let (next, data) = match (self.0, byte) {
            (State::Return, 0) => (State::Data, None),
            (State::Data | State::Return, IAC) => (State::Command, None),
            (State::Data | State::Return, CR) => (State::Return, Some(CR)),
            (State::Data | State::Return, data) => (State::Data, Some(data)),
            (State::Command, IAC) => (State::Data, Some(IAC)),
            (State::Command, DO | DONT | WILL | WONT) => (State::Option(byte), None),
            (State::Command, SB) => (State::Sub, None),
            (State::Command, _) => (State::Data, None),
            (State::Option(command), option) => {
                // What is refused already is not refused again, so that the two sides cannot go on for ever.
                match command {
                    DO => answers.extend([IAC, WONT, option]),
                    WILL => answers.extend([IAC, DONT, option]),
                    _ => {}
                }
                (State::Data, None)
            }
            (State::Sub, IAC) => (State::SubCommand, None),
            (State::SubCommand, SE) => (State::Data, None),
            (State::Sub | State::SubCommand, _) => (State::Sub, None),
        };
        self.0 = next;
        data
    }

    /// Makes of the data in `out` from `from` on what has to be sent for it.
    pub fn escape(from: usize, out: &mut Vec<u8>) {
        if memchr::memchr2(IAC, CR, &out[from..]).is_none() {
            return;
        }
        let data = out.split_off(from);
        let mut bytes = data.iter().peekable();
        while let Some(&byte) = bytes.next() {
            out.push(byte);
            match byte {
                IAC => out.push(IAC),
                CR if bytes.peek() != Some(&&b'\n') => out.push(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut telnet, mut data, mut answers) = (Telnet::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut bytes = piece.to_vec();
            let len = telnet.strip(&mut bytes, &mut answers);
            data.extend_from_slice(&bytes[..len]);
        }
        (data, answers)
    }

    #[test]
    fn options_are_refused_once_and_their_talk_is_passed_over() {
        let came = [
            b"a\xFF\xFB\x01b".as_slice(),
            b"\xFF\xFD\x2C\xFF\xFC\x03\xFF\xFE\x03c",
            b"\xFF\xFA\x2C\xFF\xFFx\xFF\xF0d\xFF\xF1e",
        ];
        let (data, answers) = strip(&came);
        assert_eq!(data, b"abcde");
        assert_eq!(answers, b"\xFF\xFE\x01\xFF\xFC\x2C");
    }

    #[test]
    fn carriage_returns_stand_alone_with_a_nul() {
        assert_eq!(strip(&[b"a\r", b"\0b\r\nc\rd\0"]).0, b"a\rb\r\nc\rd\0");
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_out_however_it_is_cut(
            data in prop::collection::vec(prop_oneof![prop::sample::select(b"\r\n\0\xFF\xFA\xF0".to_vec()), any::<u8>()], 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut wire = b"before".to_vec();
            wire.extend_from_slice(&data);
            Telnet::escape(6, &mut wire);
            let (head, tail) = wire[6..].split_at(cut.index(wire.len() - 5));
            let (found, answers) = strip(&[head, tail]);
            prop_assert_eq!(found, data);
            prop_assert!(answers.is_empty());
        }

        #[test]
        fn answers_are_no_longer_than_what_came(bytes in prop::collection::vec(prop_oneof![240_u8..=255, any::<u8>()], 0..200)) {
            let (data, answers) = strip(&[&bytes]);
            prop_assert!(data.len() + answers.len() <= bytes.len());
        }
    }
}
