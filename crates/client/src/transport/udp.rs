//! JSON texts and MQTT-SN packets in datagrams.

use super::stream::in_words;
use super::{Sink, Stage};
use crate::error::{Error, Peer};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;

/// The most that IPv4 can carry in one datagram.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Datagrams taken at once, so that sending gets its turn.
const DATAGRAMS_AT_ONCE_MAX: usize = 64;

/// A UDP socket that talks to one peer only.
#[derive(Debug)]
pub(crate) struct Udp {
    pub(super) socket: UdpSocket,
    scratch: Box<[u8]>,
    out: VecDeque<Box<[u8]>>,
    waiting_bytes: usize,
    peer: Peer,
}

impl Udp {
    pub(super) async fn connect(to: SocketAddr, peer: &Peer) -> Result<Udp, Error> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let unreachable = |error: io::Error| peer.unreachable(in_words(&error));
        let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
        socket.connect(to).await.map_err(unreachable)?;
        let scratch = vec![0; DATAGRAM_BYTES_MAX + 1].into_boxed_slice();
        Ok(Udp { socket, scratch, out: VecDeque::new(), waiting_bytes: 0, peer: peer.clone() })
    }

    /// Waits, and fails when the system has heard that nobody listens there, which neither a read nor a write finds out
    /// by itself.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let ready = self.socket.ready(interest | Interest::ERROR).await?;
        if ready.is_error() {
            self.socket.take_error()?.map_or(Ok(()), Err)?;
        }
        Ok(ready)
    }

    pub(super) fn receive(&mut self, sink: Sink<'_>) -> Result<Stage, Error> {
        for _ in 0..DATAGRAMS_AT_ONCE_MAX {
            match self.socket.try_recv(&mut self.scratch) {
                Ok(count) => sink(&self.scratch[..count])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.peer.lost(in_words(&error))),
            }
        }
        Ok(Stage::Open)
    }

    pub(super) fn push(&mut self, unit: &[u8]) {
        self.waiting_bytes += unit.len();
        self.out.push_back(unit.into());
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        while let Some(unit) = self.out.front() {
            match self.socket.try_send(unit) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.peer.lost(in_words(&error))),
            }
            self.waiting_bytes -= unit.len();
            self.out.pop_front();
        }
        Ok(())
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}
