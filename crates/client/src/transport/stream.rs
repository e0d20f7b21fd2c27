//! A stream socket with the bytes that wait on both sides of it.

use super::input::Input;
use super::socket::Socket;
use super::{Place, Stage};
use crate::address::Address;
use crate::error::{Error, Peer};
use crate::options::Options;
use std::io;

/// A connection over a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: Socket,
    pub(super) input: Input,
    /// What waits to be sent, from `sent` on.
    pub(super) out: Vec<u8>,
    sent: usize,
    pub(super) peer: Peer,
}

impl Stream {
    pub(super) async fn connect(
        address: &Address,
        to: &Place,
        options: &Options,
        peer: &Peer,
    ) -> Result<Stream, Error> {
        let socket = Socket::connect(address, to, options)
            .await
            .map_err(|error| peer.unreachable(in_words(&error)))?;
        Ok(Stream { socket, input: Input::default(), out: Vec::new(), sent: 0, peer: peer.clone() })
    }

    /// Reads once, without waiting.
    pub(super) fn fill(&mut self) -> Result<Stage, Error> {
        match self.input.fill(|room| self.socket.try_read(room)) {
            Ok(0) => Ok(Stage::Ended),
            Ok(_) => Ok(Stage::Open),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Stage::Open),
            Err(error) => Err(self.peer.lost(in_words(&error))),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        while self.sent < self.out.len() {
            match self.socket.try_write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.out.drain(..std::mem::take(&mut self.sent));
                    return Ok(());
                }
                Err(error) => return Err(self.peer.lost(in_words(&error))),
            }
        }
        self.out.clear();
        self.sent = 0;
        self.socket.flush().map_err(|error| self.peer.lost(in_words(&error)))
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.out.len() - self.sent + usize::from(self.socket.has_unsent())
    }

    pub(super) async fn shut_down(&mut self) -> bool {
        self.socket.shut_down().await.is_ok()
    }
}

/// What the system says, in words that help.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there; is the hub running? `trefoil serve` starts one".into()
        }
        // A Unix socket, for which nothing else than its path is looked for.
        io::ErrorKind::NotFound if error.raw_os_error().is_some() => {
            "there is no such file; is the hub running? `trefoil serve` starts one".into()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the other side closed it".into(),
        _ => error.to_string(),
    }
}
