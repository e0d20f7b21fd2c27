//! Files and lines of standard input, as payloads.

use crate::failure::Failure;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use tokio::sync::mpsc;

/// No MQTT packet is longer, and so no payload.
const PAYLOAD_BYTES_MAX: u64 = 256 << 20;

/// Lines that were read and not published yet. Then standard input is not read.
const LINES_MAX: usize = 256;

/// The whole of a file; `-` is standard input.
pub(crate) fn whole(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") { read(io::stdin().lock()) } else { read(File::open(path)?) }
}

fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    check_len(&bytes)?;
    Ok(bytes)
}

fn check_len(payload: &[u8]) -> io::Result<()> {
    if payload.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(io::Error::other("it is longer than 256 MiB, more than a message can be"));
    }
    Ok(())
}

/// Lines of standard input, read by a thread of their own, since reading waits.
pub(crate) struct Lines(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Lines {
    pub(crate) fn start() -> Result<Lines, Failure> {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        let reader = move || {
            let mut source = io::stdin().lock();
            while let Some(line) = next_line(&mut source).transpose() {
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("standard-input".into()).spawn(reader);
        thread.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
        Ok(Lines(receiver))
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.0.recv().await
    }
}

/// A line without its line feed. The last one may have none.
fn next_line(source: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if source.take(PAYLOAD_BYTES_MAX + 2).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    check_len(&line)?;
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_stands_before_its_end() {
        let mut source = &b"one\n\n\xff\r\nlast"[..];
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut source).expect("reading a slice works") {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"", b"\xff\r", b"last"]);
    }
}
