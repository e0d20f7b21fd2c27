//! TLS without a socket of its own: what rustls makes of bytes, and what waits on either side of it.
//!
//! Nothing is kept for a connection on which nothing is under way but the state of rustls itself: records are opened in a
//! scratch of the thread, and sealed in another.

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

/// What is read from a socket at a time, and the most that is opened and not read yet.
const READ_BYTES: usize = 64 << 10;

/// Plain bytes that are sealed at a time: four of the largest records.
const SEAL_BYTES: usize = 64 << 10;

/// From this length on a piece is sealed by itself: it makes a record of the largest size.
const RECORD_BYTES: usize = 16 << 10;

/// Ciphertext that is no whole record or handshake message, at most: rustls takes no longer ones.
const SEALED_IN_BYTES_MAX: usize = 80 << 10;

/// A record of the alert `decode_error`, which is fatal (RFC 8446 §6.2).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// Reads in a row that bring nothing to be read, before others have their turn.
const READS_MAX: usize = 4;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static PLAIN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SEALED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The server's side of a TLS connection.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// What has come and is no whole record yet.
    sealed_in: Vec<u8>,
    /// It has come from elsewhere and nobody has looked at it.
    is_new: bool,
    /// What has been opened and found no room.
    opened: Waiting,
    /// What the socket has not taken.
    sealed_out: Waiting,
    /// The peer has said that it sends no more.
    has_peer_closed: bool,
    /// So has this side.
    has_closed: bool,
    /// What came was wrong. rustls is asked for nothing more.
    has_failed: bool,
}

/// Bytes of which the first have been taken already.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
}

impl Session {
    /// Begins with the first bytes of the peer.
    ///
    /// # Errors
    /// When rustls cannot make a connection of the configuration.
    pub(crate) fn new(config: Arc<ServerConfig>, first: &[u8]) -> io::Result<Session> {
        Ok(Session {
            connection: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            sealed_in: first.to_vec(),
            is_new: true,
            opened: Waiting::default(),
            sealed_out: Waiting::default(),
            has_peer_closed: false,
            has_closed: false,
            has_failed: false,
        })
    }

    /// Reads plain bytes, as from a socket: fewer than there is room for only if there are no more, and none at the peer's
    /// end. What the handshake wants to say is written meanwhile.
    ///
    /// # Errors
    /// `WouldBlock` when more has to come; `Interrupted` when others should have their turn before; `UnexpectedEof` when
    /// the peer goes without a goodbye; `InvalidData` when what comes is no TLS, or none that is spoken here: the peer has
    /// been told by an alert.
    pub(crate) fn read(&mut self, socket: &mut (impl Read + Write), buf: &mut [u8]) -> io::Result<usize> {
        let mut scratch = SCRATCH.take();
        let result = self.read_by(&mut scratch, socket, buf);
        SCRATCH.set(scratch);
        result
    }

    fn read_by(
        &mut self,
        scratch: &mut Vec<u8>,
        socket: &mut (impl Read + Write),
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let mut got = self.opened.take(buf);
        for _ in 0..READS_MAX {
            if got == buf.len() || self.has_peer_closed {
                return Ok(got);
            }
            let kept = self.sealed_in.len();
            if scratch.len() < kept + READ_BYTES {
                scratch.resize(kept + READ_BYTES, 0);
            }
            scratch[..kept].copy_from_slice(&self.sealed_in);
            let read = if std::mem::take(&mut self.is_new) {
                0
            } else {
                match socket.read(&mut scratch[kept..kept + READ_BYTES]) {
                    Ok(0) if got == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if got == 0 => return Err(error),
                    Ok(0) | Err(_) => return Ok(got),
                    Ok(read) => read,
                }
            };
            let opened = self.open(&mut scratch[..kept + read], &mut buf[got..]);
            // Answers of the handshake, or an alert that says what is wrong.
            self.flush(socket)?;
            got += opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if got > 0 && 0 < read && read < READ_BYTES {
                // A short read means that there is no more.
                return Ok(got);
            }
        }
        if got > 0 { Ok(got) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    /// Whether the handshake is over.
    pub(crate) fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Whether a read gives something, or the end, though the socket may have nothing.
    pub(crate) fn has_opened(&self) -> bool {
        self.is_new || self.has_peer_closed || !self.opened.is_empty()
    }

    /// Gives ciphertext to rustls. What is opened goes into `room` and, if there is too little, behind it.
    fn open(&mut self, input: &mut [u8], room: &mut [u8]) -> Result<usize, rustls::Error> {
        if self.has_failed {
            return Err(rustls::Error::General("it has failed before".into()));
        }
        let (mut at, mut got) = (0, 0);
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut input[at..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record?.payload;
                        let fits = payload.len().min(room.len() - got);
                        room[got..got + fits].copy_from_slice(&payload[..fits]);
                        got += fits;
                        self.opened.bytes.extend_from_slice(&payload[fits..]);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.sealed_out.bytes);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.has_peer_closed = true,
                // There is no more, or no early data, which nobody was offered.
                Ok(_) => {
                    at += discard;
                    break;
                }
                Err(error) => {
                    self.fail(&error, &mut input[at + discard..]);
                    return Err(error);
                }
            }
            at += discard;
        }
        self.sealed_in = if at < input.len() { input[at..].to_vec() } else { Vec::new() };
        if self.sealed_in.len() > SEALED_IN_BYTES_MAX {
            self.has_failed = true;
            return Err(rustls::Error::General("a handshake message is too long".into()));
        }
        Ok(got)
    }

    /// Takes the alert out that says what was wrong, if there is one. It comes before `rest` is looked at.
    fn fail(&mut self, error: &rustls::Error, rest: &mut [u8]) {
        (self.has_failed, self.sealed_in) = (true, Vec::new());
        let is_handshaking = self.connection.is_handshaking();
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = self.connection.process_tls_records(rest).state
        {
            encode(&mut data, &mut self.sealed_out.bytes);
        } else if is_handshaking && matches!(error, rustls::Error::InvalidMessage(_)) {
            // For some messages rustls has none.
            self.sealed_out.bytes.extend_from_slice(&DECODE_ERROR);
        }
    }

    /// Takes plain bytes and seals them, as many as the socket can still take at this moment and what goes into one piece
    /// more. Fewer than all are taken only if [`has_sealed`](Self::has_sealed) holds then.
    ///
    /// # Errors
    /// `WouldBlock` when the socket has not taken what was sealed before; `NotConnected` before the handshake is over.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(socket)?;
        if self.has_sealed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (mut plain, mut sealed) = (PLAIN.take(), SEALED.take());
        let result = self.write_by((&mut plain, &mut sealed), socket, bufs);
        PLAIN.set(plain);
        SEALED.set(sealed);
        result
    }

    fn write_by(
        &mut self,
        (plain, sealed): (&mut Vec<u8>, &mut Vec<u8>),
        socket: &mut impl Write,
        bufs: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let (mut taken, mut pieces) = (0, Pieces { bufs, at: 0 });
        while let Some(piece) = pieces.next(plain) {
            sealed.clear();
            self.seal(piece, sealed)?;
            taken += piece.len();
            let written = write_all(socket, sealed)?;
            if written < sealed.len() {
                self.sealed_out = Waiting { bytes: sealed[written..].to_vec(), taken: 0 };
                break;
            }
        }
        Ok(taken)
    }

    fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        /// The head of a record, its tag, its type and, before TLS 1.3, its nonce.
        const OVERHEAD_BYTES: usize = 5 + 16 + 1 + 8;
        let expected = plain.len() + (plain.len() / RECORD_BYTES + 1) * OVERHEAD_BYTES;
        self.write_traffic(sealed, expected, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Lets rustls write behind `sealed`, once all else that it wants is done.
    fn write_traffic(
        &mut self,
        sealed: &mut Vec<u8>,
        expected: usize,
        write: impl Fn(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut input = std::mem::take(&mut self.sealed_in);
        self.open(&mut input, &mut []).map_err(invalid)?;
        if self.has_sealed() {
            // What it wanted to say of itself, as new keys, goes before.
            sealed.extend_from_slice(self.sealed_out.rest());
            self.sealed_out = Waiting::default();
        }
        match self.connection.process_tls_records(&mut self.sealed_in).state.map_err(invalid)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let is_written = append(sealed, expected, |room| match write(&mut traffic, room) {
                    Err(EncryptError::InsufficientSize(needed)) => Err(Some(needed.required_size)),
                    result => result.map_err(|_| None),
                });
                is_written.then_some(()).ok_or_else(|| io::Error::other("TLS has come to its end"))
            }
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes what the socket did not take before, as far as it takes it now.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        if !self.sealed_out.is_empty() {
            self.sealed_out.taken += write_all(socket, self.sealed_out.rest())?;
            if self.sealed_out.is_empty() {
                self.sealed_out = Waiting::default();
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take it.
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed_out.is_empty()
    }

    /// Says that nothing more will be written. It still has to be flushed.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.has_closed, true) {
            return;
        }
        let Waiting { bytes: mut sealed, taken } = std::mem::take(&mut self.sealed_out);
        // Before the handshake is over there is nothing to end.
        let said = self.write_traffic(&mut sealed, 64, |traffic, room| traffic.queue_close_notify(room));
        tracing::trace!(is_said = said.is_ok(), "the end of a TLS connection");
        sealed.append(&mut self.sealed_out.bytes);
        self.sealed_out = Waiting { bytes: sealed, taken };
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Moves bytes to the front of a buffer, as many as fit.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        if self.is_empty() {
            return 0;
        }
        let fits = self.rest().len().min(buf.len());
        buf[..fits].copy_from_slice(&self.rest()[..fits]);
        self.taken += fits;
        if self.is_empty() {
            *self = Waiting::default();
        }
        fits
    }
}

/// Cuts slices into pieces to be sealed: many small ones are joined, since each piece makes a record of its own.
struct Pieces<'a> {
    bufs: &'a [IoSlice<'a>],
    /// What has been taken of the first.
    at: usize,
}

impl<'a> Pieces<'a> {
    fn next<'b>(&mut self, plain: &'b mut Vec<u8>) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        plain.clear();
        while let Some((first, others)) = self.bufs.split_first() {
            let first: &'a [u8] = &first[self.at..];
            let fits = first.len().min(SEAL_BYTES - plain.len());
            if plain.is_empty() && fits >= RECORD_BYTES {
                self.at += fits;
                return Some(&first[..fits]);
            }
            plain.extend_from_slice(&first[..fits]);
            if fits < first.len() {
                self.at += fits;
                break;
            }
            (self.bufs, self.at) = (others, 0);
        }
        (!plain.is_empty()).then_some(plain)
    }
}

/// Writes what rustls has to say behind `bytes`.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, bytes: &mut Vec<u8>) {
    append(bytes, 0, |room| match data.encode(room) {
        Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed.required_size)),
        result => result.map_err(|_| None),
    });
}

/// Lets `write` write behind `bytes`, into as much room as it says it needs. Returns whether it could.
fn append(
    bytes: &mut Vec<u8>,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let at = bytes.len();
    bytes.resize(at + expected, 0);
    let mut result = write(&mut bytes[at..]);
    if let Err(Some(needed)) = result {
        bytes.resize(at + needed, 0);
        result = write(&mut bytes[at..]);
    }
    bytes.truncate(at + result.unwrap_or(0));
    result.is_ok()
}

/// Writes as much as the socket takes, and says how much that is.
fn write_all(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
