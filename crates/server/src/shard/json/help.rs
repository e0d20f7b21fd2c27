//! Help for who types by hand: the operation `help`, and the words that may stand in a line in place of JSON.

use crate::shard::ShardLoop;
use crate::shard::connection::Link;
use crate::stats::Kind;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Code, RequestError, encode_help, help_text};

/// End of transmission: what Ctrl-D is where a terminal sends it as it is.
const CTRL_D: u8 = 0x04;

/// What a datagram is answered that asks for help and is shorter than that, as far as there is room.
const TOO_SHORT: &str =
    "# tcp: help is there over TCP, or for a datagram that is as long as the answer (put blanks behind it)\n";

/// The same in JSON: no longer than any request for help.
const TOO_SHORT_JSON: &[u8] = b"{\"help\":null}";

/// What a line is that is not JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::shard) enum Word<'a> {
    /// `help`, `?`, and what more is to be said of.
    Help(Option<&'a str>),
    Quit,
    /// A line of help that has been pasted: what stands behind the mark, if it is a request.
    Pasted(&'a [u8]),
    /// A line that somebody has marked as none of ours.
    Remark,
}

impl Word<'_> {
    /// Reads the words that may stand in a line in place of JSON; none if it is none of them.
    pub(in crate::shard) fn read(line: &[u8]) -> Option<Word<'_>> {
        let line = line.trim_ascii();
        match line.first()? {
            b'{' | b'[' => return None,
            b'#' => {
                let rest = line[1..].trim_ascii_start();
                let is_request = matches!(rest.first(), Some(b'{' | b'['));
                return Some(if is_request { Word::Pasted(rest) } else { Word::Remark });
            }
            &CTRL_D if line.len() == 1 => return Some(Word::Quit),
            _ => {}
        }
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let (first, second, rest) = (words.next()?, words.next(), words.next());
        let is = |word: &str| first.eq_ignore_ascii_case(word);
        match (first, second, rest) {
            (_, name, None) if is("help") || first == "?" => Some(Word::Help(name)),
            (_, None, _) if is("quit") || is("exit") => Some(Word::Quit),
            _ => None,
        }
    }
}

impl ShardLoop {
    /// Does what a word asks for that stands in a line.
    pub(super) fn json_word(&mut self, key: ConnectionKey, word: Word<'_>) {
        match word {
            Word::Help(name) => {
                self.settle();
                self.net.answer(key, |out| help_text(name, out));
            }
            Word::Quit => {
                self.end_session(key, Ending::Normal { expiry_s: None });
                self.finish(key);
            }
            Word::Pasted(request) => self.json_request(key, request),
            Word::Remark => {}
        }
    }

    /// Says in JSON what can be asked for.
    pub(super) fn json_help(&mut self, key: ConnectionKey, operation: Option<&str>, id: Option<u64>) {
        let is_brief = match self.net.get(key).map(|connection| &connection.link) {
            Some(Link::Udp(peer)) => !peer.is_proven,
            _ => false,
        };
        self.json_answer(key, |out| match is_brief {
            // It may have been somebody else who wrote this address on the datagram.
            true => out.extend_from_slice(TOO_SHORT_JSON),
            false => encode_help(operation, id, out),
        });
    }

    /// What is wrong with a text, with what helps who types by hand.
    pub(super) fn json_with_hint(&self, key: ConnectionKey, error: RequestError) -> RequestError {
        let is_typed = self.net.get(key).is_some_and(|connection| connection.kind == Kind::JsonTcp);
        if !is_typed || error.code != Code::BadJson {
            return error;
        }
        let reason = format!("{}; type help to see what can be sent", error.reason);
        RequestError { reason: reason.into(), ..error }
    }
}

/// The answer to a datagram that asks for help: no longer than that, unless the peer `is_proven`.
pub(in crate::shard) fn datagram_of_text(name: Option<&str>, asked_bytes: usize, is_proven: bool) -> Vec<u8> {
    let mut text = Vec::new();
    help_text(name, &mut text);
    if text.len() > asked_bytes && !is_proven {
        text.clear();
        text.extend_from_slice(&TOO_SHORT.as_bytes()[..TOO_SHORT.len().min(asked_bytes)]);
    }
    text
}

/// The same for a request in JSON.
pub(in crate::shard) fn datagram_of_json(
    operation: Option<&str>,
    id: Option<u64>,
    asked_bytes: usize,
    is_proven: bool,
) -> Vec<u8> {
    let mut text = Vec::new();
    encode_help(operation, id, &mut text);
    if text.len() > asked_bytes && !is_proven { TOO_SHORT_JSON.to_vec() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_json_and_from_everything_else() {
        for (line, word) in [
            (&b"help"[..], Some(Word::Help(None))),
            (b"HELP sub\r", Some(Word::Help(Some("sub")))),
            (b" ? ", Some(Word::Help(None))),
            (b"?  pub", Some(Word::Help(Some("pub")))),
            (b"quit", Some(Word::Quit)),
            (b"\x04", Some(Word::Quit)),
            (b"#   {\"ping\":1}", Some(Word::Pasted(b"{\"ping\":1}"))),
            (b"# only words", Some(Word::Remark)),
            (b"#", Some(Word::Remark)),
            (b"{\"help\":true}", None),
            (b"help me please", None),
            (b"helpless", None),
            (b"quit now", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(Word::read(line), word, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn help_by_datagram_is_never_longer_than_what_asked_for_it() {
        for asked_bytes in 0..200 {
            assert!(datagram_of_text(None, asked_bytes, false).len() <= asked_bytes);
        }
        for request in [r#"{"help":true}"#, r#"{"help":"ack"}"#, r#"{"help":true,"id":1}"#] {
            assert!(datagram_of_json(None, Some(1), request.len(), false).len() <= request.len());
        }
        let whole = datagram_of_text(None, 0, true);
        assert_eq!(datagram_of_text(None, whole.len(), false), whole);
    }
}
