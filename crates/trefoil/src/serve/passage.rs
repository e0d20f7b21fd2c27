//! The way on which connections go from one process to the next: a stream through the new one's door, on which every
//! record comes behind its length, and the socket that it is for along with its first byte.
//!
//! Whatever fails on the way, what has come as a whole goes on in the new process, and the rest is closed.

use super::link::{Link, Word, Words};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use trefoil_server::{HandedConnection, RECORD_BYTES_MAX};

/// How long either side waits for the other to answer, to take something or to give more.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the new process waits for the first connection: until the old one has let go of it.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);

/// Read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Descriptors that may come with one read; no more than one does.
const DESCRIPTORS_MAX: usize = 4;

/// A way to a process that takes connections.
pub(super) struct Passage(UnixStream);

impl Passage {
    /// Asks whoever is behind a door to take connections.
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn new(stream: UnixStream) -> io::Result<Passage> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Link::new(stream.try_clone()?).say(&Word::Connections);
        match Words::new(stream.try_clone()?).next()? {
            Some(Word::Ready) => Ok(Passage(stream)),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "the new process takes no connections")),
        }
    }

    /// Gives connections, and returns when the other process has them.
    ///
    /// # Errors
    /// When it takes no more: which of them it has then nobody knows.
    pub(super) fn give(self, connections: &[HandedConnection]) -> io::Result<()> {
        for HandedConnection { socket, record } in connections {
            let length = u32::try_from(record.len()).map_err(io::Error::other)?.to_be_bytes();
            self.send(&length, socket)?;
            (&self.0).write_all(record)?;
        }
        (&self.0).write_all(&[0; 4])?;
        match Words::new(self.0).next()? {
            Some(Word::Taken) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say that it has them")),
        }
    }

    fn send(&self, bytes: &[u8], socket: &OwnedFd) -> io::Result<()> {
        let sockets = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let sent = sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        (&self.0).write_all(&bytes[sent..])
    }
}

/// Takes connections from the process before, after it has been told that it can give them. `with` gets them all before it
/// is told that they are here.
pub(super) fn take(stream: &UnixStream, with: impl FnOnce(Vec<HandedConnection>)) {
    let mut taken = Vec::new();
    let mut receiver = Receiver { stream, sockets: VecDeque::new() };
    let result = receiver.take_all(&mut taken);
    if let Err(error) = &result {
        tracing::warn!(%error, "not all connections of the process before have come");
    }
    with(taken);
    if result.is_ok()
        && let Ok(stream) = stream.try_clone()
    {
        Link::new(stream).say(&Word::Taken);
    }
}

/// The receiving end: bytes, and the sockets that came along with them.
struct Receiver<'a> {
    stream: &'a UnixStream,
    sockets: VecDeque<OwnedFd>,
}

impl Receiver<'_> {
    fn take_all(&mut self, taken: &mut Vec<HandedConnection>) -> io::Result<()> {
        self.stream.set_write_timeout(Some(PATIENCE))?;
        self.stream.set_read_timeout(Some(FIRST_PATIENCE))?;
        Link::new(self.stream.try_clone()?).say(&Word::Ready);
        let mut input = io::BufReader::with_capacity(CHUNK_BYTES, self);
        loop {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length == 0 {
                return Ok(());
            }
            if length > RECORD_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
            }
            input.get_ref().stream.set_read_timeout(Some(PATIENCE))?;
            let mut record = vec![0; length];
            input.read_exact(&mut record)?;
            let socket = input.get_mut().sockets.pop_front();
            let socket =
                socket.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a socket is missing"))?;
            taken.push(HandedConnection { socket, record });
        }
    }
}

impl Read for &mut Receiver<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let received = recvmsg(self.stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                self.sockets.extend(sockets);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("this process may open no more files (ulimit -n)"));
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    fn connections(count: usize) -> (Vec<HandedConnection>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("its address");
        let peers: Vec<_> = (0..count).map(|_| TcpStream::connect(at).expect("it listens")).collect();
        let accept = |n: usize| HandedConnection {
            socket: listener.accept().expect("somebody has come").0.into(),
            record: vec![n as u8; 1 + n * 50_000],
        };
        ((0..count).map(accept).collect(), peers)
    }

    #[test]
    fn each_record_comes_with_its_socket() {
        let (one, other) = UnixStream::pair().expect("the system has sockets");
        let (given, mut peers) = connections(20);
        let taken = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let asked = Words::new(other.try_clone().expect("a descriptor")).next();
                assert_eq!(asked.expect("a word"), Some(Word::Connections));
                take(&other, |connections| *taken.lock().expect("nobody has panicked") = connections);
            });
            Passage::new(one).expect("they are taken").give(&given).expect("all are taken");
        });
        drop(given);
        let taken = taken.into_inner().expect("nobody has panicked");
        assert_eq!(taken.len(), peers.len());
        for (n, (connection, peer)) in taken.into_iter().zip(&mut peers).enumerate() {
            assert_eq!(connection.record, vec![n as u8; 1 + n * 50_000]);
            TcpStream::from(connection.socket).write_all(&[n as u8]).expect("it is open");
            let mut got = Vec::new();
            peer.read_to_end(&mut got).expect("it is closed in order");
            assert_eq!(got, [n as u8]);
        }
    }

    #[test]
    fn what_came_before_the_end_is_kept() {
        let (one, other) = UnixStream::pair().expect("the system has sockets");
        let (given, _peers) = connections(3);
        let passage = Passage(one);
        for connection in &given[..2] {
            let length = (connection.record.len() as u32).to_be_bytes();
            passage.send(&length, &connection.socket).expect("there is room");
            (&passage.0).write_all(&connection.record).expect("there is room");
        }
        passage.send(&[0, 0, 1, 0], &given[2].socket).expect("there is room");
        drop(passage);
        let mut taken = 0;
        take(&other, |connections| taken = connections.len());
        assert_eq!(taken, 2);
    }
}
