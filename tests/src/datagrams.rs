//! JSON over UDP, by hand.

use crate::DEADLINE;
use serde_json::Value;
use std::net::{Ipv4Addr, UdpSocket};

/// A peer that sends and gets datagrams.
pub struct Peer(UdpSocket);

impl Peer {
    /// Takes a port for itself, to talk to another one of this machine.
    pub fn new(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Sends a datagram.
    pub fn send(&self, datagram: impl AsRef<[u8]>) {
        self.0.send(datagram.as_ref()).expect("the system takes the datagram");
    }

    /// The next datagram, which must be JSON.
    pub fn receive(&self) -> Value {
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).expect("an answer before the deadline");
        serde_json::from_slice(&buffer[..length]).expect("an answer in JSON")
    }

    /// Sends a datagram and gives the next one that comes.
    pub fn ask(&self, datagram: impl AsRef<[u8]>) -> Value {
        self.send(datagram);
        self.receive()
    }
}
