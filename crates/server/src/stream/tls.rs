//! A socket with TLS on it.

use super::Stream;
use super::session::Session;
use rustls::ServerConfig;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A stream whose bytes are sealed on the way.
pub(crate) struct Tls {
    /// What carries the ciphertext; never TLS itself.
    pub(super) below: Stream,
    pub(super) session: Session,
    /// The writing side is to be closed as soon as what waits has been written.
    pub(super) is_ending: bool,
}

impl Tls {
    /// Speaks TLS on a socket from which the first bytes have been read already.
    ///
    /// # Errors
    /// When the configuration makes no connection.
    pub(super) fn new(below: Stream, config: Arc<ServerConfig>, first: &[u8]) -> io::Result<Tls> {
        Ok(Tls { below, session: Session::new(config, first)?, is_ending: false })
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.session.read(&mut self.below, buf)
    }

    pub(super) fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.write(&mut self.below, bufs)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.session.flush(&mut self.below)?;
        if self.is_ending && !self.session.has_sealed() {
            self.is_ending = false;
            return self.below.shutdown_write();
        }
        Ok(())
    }

    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        self.session.close();
        self.is_ending = true;
        self.flush()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("below", &self.below).finish_non_exhaustive()
    }
}
