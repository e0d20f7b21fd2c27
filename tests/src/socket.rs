//! A plain TCP connection with a deadline on every wait.

use crate::DEADLINE;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// Connects to a port of this machine.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .unwrap_or_else(|error| panic!("port {port}: {error}"));
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What a read gave; `None` at the end of the connection. A hub that neither says anything nor closes is at fault.
pub fn or_end<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
        Err(error) => panic!("the hub neither goes on nor closes: {error}"),
    }
}

/// What tests do with a raw connection.
pub trait Exchange {
    /// Sends bytes that the hub may already not want any more.
    fn offer(&mut self, bytes: &[u8]);

    /// Reads until the hub closes, which it must, and gives what it said before that.
    fn rest(&mut self) -> Vec<u8>;
}

impl Exchange for TcpStream {
    fn offer(&mut self, bytes: &[u8]) {
        // The hub may close in the middle of it; what it says before that is what counts.
        let _ = self.write_all(bytes);
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return bytes,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("the hub does not close: {error}; it said {bytes:?}"),
            }
        }
    }
}
