//! What two processes say to each other when one takes over from the other, and what a hub answers to `trefoil upgrade`:
//! one word a line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// By which the new process knows the link among the descriptors that it is handed.
pub(crate) const LINK_NAME: &str = "trefoil-upgrade";

/// No line is longer.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What stands for a line end inside of a word.
const LINE_END: char = '\u{1e}';

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Somebody asks for an upgrade.
    Upgrade,
    /// The old process asks whether the new one takes connections.
    Connections,
    /// The new one has all of them.
    Taken,
    /// The new process has checked and opened what it can, and waits.
    Ready,
    /// The old process has let go of everything.
    Go,
    /// The new process serves.
    Serving,
    /// The old process ends, and whoever watches it has been told of the new one.
    Yours,
    /// The process with this number serves now.
    Done(u32),
    /// It came to nothing, and why.
    Failed(String),
    /// The other side is gone.
    Gone,
}

impl Word {
    fn line(&self) -> String {
        match self {
            Word::Upgrade => "upgrade\n".into(),
            Word::Connections => "connections\n".into(),
            Word::Taken => "taken\n".into(),
            Word::Ready => "ready\n".into(),
            Word::Go => "go\n".into(),
            Word::Serving => "serving\n".into(),
            Word::Yours => "yours\n".into(),
            Word::Done(pid) => format!("done {pid}\n"),
            Word::Failed(why) => format!("failed {}\n", why.trim_end().replace('\n', &LINE_END.to_string())),
            Word::Gone => String::new(),
        }
    }

    fn parse(line: &str) -> Option<Word> {
        let line = line.strip_suffix('\n')?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "upgrade" => Word::Upgrade,
            "connections" => Word::Connections,
            "taken" => Word::Taken,
            "ready" => Word::Ready,
            "go" => Word::Go,
            "serving" => Word::Serving,
            "yours" => Word::Yours,
            "done" => Word::Done(rest.parse().ok()?),
            "failed" => Word::Failed(rest.replace(LINE_END, "\n")),
            _ => return None,
        })
    }
}

/// One end of a link.
#[derive(Debug)]
pub(crate) struct Link(UnixStream);

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Link {
        Link(stream)
    }

    /// The stream on which both talk.
    #[cfg(target_os = "linux")]
    pub(super) fn stream(&self) -> &UnixStream {
        &self.0
    }

    /// Says a word. If nobody listens any more, that is found out by listening.
    pub(crate) fn say(&self, word: &Word) {
        if let Err(error) = (&self.0).write_all(word.line().as_bytes()) {
            tracing::debug!(%error, ?word, "nobody listens");
        }
    }

    /// Calls `with` with every word that comes, and last with [`Word::Gone`], on a thread of its own.
    pub(crate) fn listen(&self, with: impl Fn(Word) + Send + 'static) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        std::thread::Builder::new().name("link".into()).spawn(move || {
            let mut words = Words::new(stream);
            while let Ok(Some(word)) = words.next() {
                with(word);
            }
            with(Word::Gone);
        })?;
        Ok(())
    }
}

/// The words that come from one end.
pub(crate) struct Words(BufReader<UnixStream>);

impl Words {
    pub(crate) fn new(stream: UnixStream) -> Words {
        Words(BufReader::new(stream))
    }

    /// The next word; `None` at the end.
    ///
    /// # Errors
    /// When the other side says something else, or nothing for as long as the stream allows.
    pub(crate) fn next(&mut self) -> io::Result<Option<Word>> {
        let mut line = String::new();
        if (&mut self.0).take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Word::parse(&line)
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it says what nobody understands"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_said() {
        let (one, other) = UnixStream::pair().expect("the system has sockets");
        let said = [
            Word::Upgrade,
            Word::Connections,
            Word::Taken,
            Word::Ready,
            Word::Go,
            Word::Serving,
            Word::Yours,
            Word::Done(4711),
            Word::Failed("hub.toml:2:1: one\nhub.toml:3:1: two".into()),
        ];
        let link = Link::new(one);
        said.iter().for_each(|word| link.say(word));
        drop(link);
        let mut words = Words::new(other);
        for word in said {
            assert_eq!(words.next().expect("a word"), Some(word));
        }
        assert_eq!(words.next().expect("the end"), None);
    }

    #[test]
    fn what_is_no_word_is_an_error() {
        for text in ["hello\n", "done soon\n", "ready"] {
            let (mut one, other) = UnixStream::pair().expect("the system has sockets");
            one.write_all(text.as_bytes()).expect("it is open");
            drop(one);
            assert!(Words::new(other).next().is_err(), "{text:?}");
        }
    }
}
