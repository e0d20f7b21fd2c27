//! What a case is, and how one is run.

use std::io::Write;
use std::net::Shutdown;
use trefoil_tests::Hub;
use trefoil_tests::websocket::{Connection, frame};

/// What comes back: the first byte of each frame and its payload; of a close frame only the code counts.
type Frames = Vec<(u8, Vec<u8>)>;

/// One case.
pub(crate) struct Case {
    name: String,
    /// More headers of the handshake.
    headers: String,
    sent: Vec<u8>,
    /// Sent in pieces of so many bytes.
    piece_bytes: usize,
    expected: Frames,
    /// How the connection ends: the code of the hub's close frame, or none if that is empty.
    end: Option<u16>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>) -> Case {
        Case {
            name: name.into(),
            headers: String::new(),
            sent: Vec::new(),
            piece_bytes: usize::MAX,
            expected: Vec::new(),
            end: Some(1000),
        }
    }

    /// Sends these bytes.
    pub(crate) fn sends(mut self, bytes: impl AsRef<[u8]>) -> Case {
        self.sent.extend_from_slice(bytes.as_ref());
        self
    }

    /// Sends a frame.
    pub(crate) fn frame(self, first_byte: u8, payload: impl AsRef<[u8]>) -> Case {
        self.sends(frame(first_byte, payload.as_ref()))
    }

    /// This frame must come next.
    pub(crate) fn gets(mut self, first_byte: u8, payload: impl Into<Vec<u8>>) -> Case {
        self.expected.push((first_byte, payload.into()));
        self
    }

    /// The same frame must come back.
    pub(crate) fn echoed(self, first_byte: u8, payload: impl AsRef<[u8]>) -> Case {
        let payload = payload.as_ref();
        self.frame(first_byte, payload).gets(first_byte, payload)
    }

    /// What is sent is wrong: the hub closes with this code.
    pub(crate) fn fails(mut self, code: u16) -> Case {
        self.end = Some(code);
        self
    }

    /// The hub closes with an empty close frame.
    pub(crate) fn ends_without_code(mut self) -> Case {
        self.end = None;
        self
    }

    /// Sends headers with the handshake.
    pub(crate) fn asking(mut self, header: &str) -> Case {
        self.headers = format!("{header}\r\n");
        self
    }

    fn in_pieces(&self, piece_bytes: usize) -> Case {
        Case {
            name: format!("{}, in pieces of {piece_bytes}", self.name),
            headers: self.headers.clone(),
            sent: self.sent.clone(),
            piece_bytes,
            expected: self.expected.clone(),
            end: self.end,
        }
    }

    /// What is wrong, if anything is.
    fn run(&self, port: u16) -> Option<String> {
        let mut connection = Connection::with_headers(port, "/ws/echo", &self.headers);
        let mut sent = self.sent.clone();
        if self.end == Some(1000) {
            sent.extend(close_frame(1000, ""));
        }
        let mut writer = connection.stream.try_clone().unwrap();
        let piece_bytes = self.piece_bytes;
        // At the same time, since what comes back may be more than sockets hold.
        let writing = std::thread::spawn(move || {
            for piece in sent.chunks(piece_bytes.min(sent.len().max(1))) {
                // The hub may have closed in the middle of it; what it says before that is what counts.
                if writer.write_all(piece).is_err() {
                    break;
                }
            }
        });
        let (mut found, mut ends) = (Vec::new(), Vec::new());
        while let Some((first_byte, payload)) = connection.receive() {
            if first_byte == 0x88 {
                ends.push(payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
            } else if ends.is_empty() {
                found.push((first_byte, payload));
            } else {
                return Some(format!("{}: a frame {first_byte:#x} came after the close frame", self.name));
            }
        }
        let _ = connection.stream.shutdown(Shutdown::Both);
        writing.join().unwrap();
        if ends != [self.end] {
            return Some(format!("{}: closed with {ends:?} and not {:?}", self.name, self.end));
        }
        (found != self.expected)
            .then(|| format!("{}: found {}, expected {}", self.name, shown(&found), shown(&self.expected)))
    }
}

fn shown(frames: &Frames) -> String {
    let one = |(first_byte, payload): &(u8, Vec<u8>)| {
        let start = payload[..payload.len().min(40)].escape_ascii();
        format!("{first_byte:#x} with {} bytes \"{start}\"", payload.len())
    };
    format!("{:?}", frames.iter().map(one).collect::<Vec<_>>())
}

/// Cases that are run one after the other.
#[derive(Default)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    pub(crate) fn add(&mut self, case: Case) {
        self.0.push(case);
    }

    /// Adds a case as it is and in pieces of each of these sizes.
    pub(crate) fn add_cut(&mut self, case: Case, pieces: &[usize]) {
        self.0.extend(pieces.iter().map(|&bytes| case.in_pieces(bytes)));
        self.0.push(case);
    }

    /// Runs all of them, of which there must be `count`, and panics with all that fail.
    pub(crate) fn run(self, hub: &Hub, count: usize) {
        assert_eq!(self.0.len(), count, "cases have come or gone");
        let faults: Vec<String> = self.0.iter().filter_map(|case| case.run(hub.http_port())).collect();
        assert!(faults.is_empty(), "{} of {count} cases fail:\n{}", faults.len(), faults.join("\n"));
    }
}

/// A client's close frame.
pub(crate) fn close_frame(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A frame whose length is written as `length_bytes` says, whatever its payload is, and with a mask or without.
pub(crate) fn frame_with(
    first_byte: u8,
    length_bytes: &[u8],
    mask: Option<[u8; 4]>,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    bytes.extend_from_slice(length_bytes);
    bytes[1] |= u8::from(mask.is_some()) << 7;
    bytes.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
