//! What carries the bytes: a stream through the hub, or a pair of sockets in a test.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use trefoil_client::streams;

/// A byte stream in both directions that can be used from several threads, and cut by any of them.
pub(crate) trait Link: Read + Write + Send + Sync + Sized + 'static {
    /// The same stream for another thread.
    fn another(&self) -> io::Result<Self>;
    /// Ends one or both directions.
    fn end(&self, how: Shutdown);
}

impl Link for streams::Stream {
    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self, how: Shutdown) {
        // A stream that has ended already needs no end.
        let _ = self.shutdown(how);
    }
}

#[cfg(test)]
impl Link for std::os::unix::net::UnixStream {
    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}
