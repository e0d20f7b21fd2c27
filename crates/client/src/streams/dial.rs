//! Connections to the hub on which JSON lines are spoken until one of them becomes a stream.

use super::Stream;
use super::tls::{self, Bridge};
use crate::address::{Address, Transport};
use crate::error::{Error, Peer, shown};
use crate::options::Options;
use crate::transport::in_words;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use trefoil_json::{Reply, StreamReply, StreamRequest, check_stream_name, encode_auth, parse_reply};

/// What a listener may take to accept, and the hub to say so, beyond the patience of the options.
pub(super) const ACCEPT_PATIENCE: Duration = Duration::from_secs(15);

/// No line of the hub about streams is longer.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where the hub is and who dials it.
#[derive(Debug)]
pub(super) struct Dial {
    address: Address,
    options: Options,
    pub(super) peer: Peer,
}

/// A connection on which lines are spoken. Its answers are read byte by byte, so that nothing of the stream is read that
/// may follow them.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: Arc<Socket>,
    pub(super) peer: Peer,
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// One of a pair; the other is carried over TLS.
    Tls(UnixStream, Arc<Bridge>),
}

/// Whether a name can be that of a stream.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    check_stream_name(name)
        .map_err(|why| Error::usage(format!("the name of the stream {why}: \"{}\"", shown(name.as_bytes()))))
}

impl Dial {
    pub(super) fn new(address: &str, options: &Options) -> Result<Dial, Error> {
        let address = Address::parse(address)?;
        if !matches!(address.transport, Transport::Tcp | Transport::Unix) {
            let why = format!("{address} carries no streams; use tcp://, tcps:// or unix:// instead");
            return Err(Error::usage(why));
        }
        options.text_credentials(&address)?;
        let peer = Peer::new(&address.to_string());
        Ok(Dial { address, options: options.clone(), peer })
    }

    /// Connects, and says who the client is.
    pub(super) fn open(&self) -> Result<Line, Error> {
        let mut line = Line { socket: Arc::new(self.connect()?), peer: self.peer.clone() };
        line.be_patient(self.options.timeout)?;
        if let Some((user, password)) = self.options.text_credentials(&self.address)? {
            let mut text = Vec::new();
            encode_auth(user, password, Some(0), &mut text);
            line.send(text)?;
            let read = line.read()?;
            match line.parse(&read)? {
                Reply::Auth { .. } => {}
                Reply::Error(refusal) => {
                    let refused = self.peer.refused("the user", &refusal.reason);
                    return Err(refused.with_code(refusal.known_code()));
                }
                _ => return Err(self.peer.stranger(format!("it answered \"{}\"", shown(&read)))),
            }
        }
        Ok(line)
    }

    fn connect(&self) -> Result<Socket, Error> {
        if self.address.transport == Transport::Unix {
            let socket = UnixStream::connect(&self.address.host);
            return socket.map(Socket::Unix).map_err(|error| self.peer.unreachable(in_words(&error)));
        }
        self.address.try_each_waiting(&self.peer, |to| {
            self.connect_to(to).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => {
                    self.peer.timed_out("is the address right, and does a firewall let this through?")
                }
                _ => self.peer.unreachable(in_words(&error)),
            })
        })
    }

    fn connect_to(&self, to: SocketAddr) -> io::Result<Socket> {
        if self.address.is_tls {
            let (socket, bridge) = tls::connect(&self.address, to, &self.options)?;
            return Ok(Socket::Tls(socket, bridge));
        }
        let socket = TcpStream::connect_timeout(&to, self.options.timeout)?;
        // What is written leaves at once, as in any interactive protocol that a stream may carry.
        let _ = socket.set_nodelay(true);
        Ok(Socket::Tcp(socket))
    }
}

impl Line {
    pub(super) fn be_patient(&self, patience: Duration) -> Result<(), Error> {
        self.socket.set_read_timeout(Some(patience)).map_err(|error| self.peer.lost(in_words(&error)))
    }

    pub(super) fn say(&mut self, request: &StreamRequest<'_>) -> Result<(), Error> {
        let mut text = Vec::new();
        request.encode(&mut text);
        self.send(text)
    }

    pub(super) fn send(&mut self, mut text: Vec<u8>) -> Result<(), Error> {
        text.push(b'\n');
        self.socket.write_all(&text).map_err(|error| self.peer.lost(in_words(&error)))
    }

    /// Waits for the answer to a request: `wanted` picks it out.
    pub(super) fn expect<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(StreamReply<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        let line = self.read()?;
        match self.parse(&line)? {
            Reply::Stream(reply) => {
                wanted(reply).ok_or_else(|| self.peer.stranger(format!("it answered \"{}\"", shown(&line))))
            }
            Reply::Error(refusal) => {
                let refused = self.peer.refused(what, shown(refusal.reason.as_bytes()));
                Err(refused.with_code(refusal.known_code()))
            }
            _ => Err(self.peer.stranger(format!("it answered \"{}\"", shown(&line)))),
        }
    }

    fn read(&mut self) -> Result<Vec<u8>, Error> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < LINE_BYTES_MAX {
            match self.socket.read(&mut byte) {
                Ok(0) => return Err(self.peer.lost("the hub closed it without an answer")),
                Ok(_) if byte == *b"\n" => return Ok(line),
                Ok(_) => line.extend_from_slice(&byte),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    return Err(self.peer.timed_out("the connection stands, but no answer came"));
                }
                Err(error) => return Err(self.peer.lost(in_words(&error))),
            }
        }
        Err(self.peer.stranger(format!("it answered \"{}\"", shown(&line))))
    }

    pub(super) fn parse<'a>(&self, line: &'a [u8]) -> Result<Reply<'a>, Error> {
        parse_reply(line).map_err(|error| self.peer.stranger(format!("{error} (\"{}\")", shown(line))))
    }

    pub(super) fn into_stream(self, name: &str) -> Result<Stream, Error> {
        let waits = self.socket.set_read_timeout(None);
        waits.map_err(|error| self.peer.lost(in_words(&error)))?;
        Ok(Stream { socket: self.socket, name: name.into() })
    }
}

/// Whether a read was given up since its time was over.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Socket {
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.shutdown(how),
            Socket::Unix(socket) => socket.shutdown(how),
            Socket::Tls(socket, _) => socket.shutdown(how),
        }
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_read_timeout(timeout),
            Socket::Unix(socket) => socket.set_read_timeout(timeout),
            Socket::Tls(socket, _) => socket.set_read_timeout(timeout),
        }
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_write_timeout(timeout),
            Socket::Unix(socket) => socket.set_write_timeout(timeout),
            Socket::Tls(socket, _) => socket.set_write_timeout(timeout),
        }
    }

    pub(super) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).read(room),
            Socket::Unix(socket) => (&*socket).read(room),
            Socket::Tls(socket, bridge) => match (&*socket).read(room) {
                Ok(0) if !room.is_empty() && bridge.is_broken() => Err(io::ErrorKind::ConnectionReset.into()),
                result => result,
            },
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).write(bytes),
            Socket::Unix(socket) => (&*socket).write(bytes),
            Socket::Tls(socket, _) => (&*socket).write(bytes),
        }
    }

    pub(super) fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).write_vectored(pieces),
            Socket::Unix(socket) => (&*socket).write_vectored(pieces),
            Socket::Tls(socket, _) => (&*socket).write_vectored(pieces),
        }
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => (&*socket).write_all(bytes),
            Socket::Unix(socket) => (&*socket).write_all(bytes),
            Socket::Tls(socket, _) => (&*socket).write_all(bytes),
        }
    }

    #[cfg(unix)]
    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tls(socket, _) => socket.as_fd(),
        }
    }
}
