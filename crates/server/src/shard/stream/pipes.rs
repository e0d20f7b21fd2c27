//! The pipes through which the kernel moves bytes from one socket to another, so that they never come to this process.
//!
//! A stream has a pipe only while something is in it: most of the time none at all, and one across rounds only if its
//! reader is slower than its writer. There are few of them, each is large, and a stream for which there is none is copied.

#[cfg(target_os = "linux")]
pub(super) use linux::{Pipe, Pipes};
#[cfg(not(target_os = "linux"))]
pub(super) use none::{Pipe, Pipes};

#[cfg(target_os = "linux")]
mod linux {
    use crate::descriptors::Descriptors;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    /// Pipes of a shard at one time.
    const PIPES_MAX: usize = 32;

    /// Those that are kept for the next stream.
    const PIPES_KEPT: usize = 8;

    /// What a pipe holds, where the system lets it: as much as an unprivileged process gets by default. A smaller one costs
    /// more calls for the same bytes.
    const PIPE_BYTES: usize = 1 << 20;

    /// Small enough for any system to give.
    const PIPE_BYTES_MIN: usize = 64 << 10;

    #[derive(Debug)]
    pub(in crate::shard::stream) struct Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
        bytes_max: usize,
    }

    /// The pipes of a shard.
    #[derive(Default)]
    pub(in crate::shard::stream) struct Pipes {
        free: Vec<Pipe>,
        count: usize,
    }

    impl Pipes {
        /// An empty pipe; none if as many are in use as may be, or descriptors are short.
        pub(in crate::shard::stream) fn take(&mut self, descriptors: &Descriptors) -> Option<Pipe> {
            if let Some(pipe) = self.free.pop() {
                return Some(pipe);
            }
            if self.count >= PIPES_MAX {
                return None;
            }
            let pipe = Pipe::new().ok().filter(|pipe| !descriptors.is_spare(pipe.writer.as_raw_fd()))?;
            self.count += 1;
            Some(pipe)
        }

        /// Takes a pipe back, which is thrown away if something is in it.
        pub(in crate::shard::stream) fn give_back(&mut self, pipe: Pipe, bytes_in_it: usize) {
            if bytes_in_it == 0 && self.free.len() < PIPES_KEPT {
                self.free.push(pipe);
            } else {
                self.count -= 1;
            }
        }
    }

    impl Pipe {
        fn new() -> io::Result<Pipe> {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
            let sizes = [PIPE_BYTES, PIPE_BYTES / 4, PIPE_BYTES_MIN];
            let size = sizes.into_iter().find_map(|size| fcntl_setpipe_size(&writer, size).ok());
            Ok(Pipe { reader, writer, bytes_max: size.unwrap_or(PIPE_BYTES_MIN) })
        }

        /// Moves what a socket has into the pipe, which is empty. 0: the peer sends no more.
        pub(in crate::shard::stream) fn fill(&self, from: impl AsFd) -> io::Result<usize> {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(from, None, &self.writer, None, self.bytes_max, flags)?)
        }

        /// Moves what has come to the socket meanwhile into the pipe, in which there are `bytes`. Gives how much; whether there
        /// is no more or no room for it, whether the peer has ended or the socket failed, says the next [`fill`](Self::fill).
        pub(in crate::shard::stream) fn top_up(&self, from: impl AsFd, bytes: usize) -> usize {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let mut more = 0;
            while let room @ 1.. = self.bytes_max.saturating_sub(bytes + more)
                && let Ok(moved @ 1..) = splice(&from, None, &self.writer, None, room, flags)
            {
                more += moved;
            }
            more
        }

        /// Moves so many bytes that are in the pipe into a socket, as far as that takes them.
        pub(in crate::shard::stream) fn drain(&self, to: impl AsFd, bytes: usize) -> io::Result<usize> {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&self.reader, None, to, None, bytes, flags)?)
        }
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    mod tests {
        use super::*;
        use std::io::{Read, Write};
        use std::os::unix::net::UnixStream;

        #[test]
        fn bytes_go_through_a_pipe_and_there_are_not_more_than_may_be() {
            let descriptors = Descriptors::new(1);
            let mut pipes = Pipes::default();
            let taken: Vec<_> = std::iter::from_fn(|| pipes.take(&descriptors)).collect();
            assert_eq!(taken.len(), PIPES_MAX);
            let (mut ann, from) = UnixStream::pair().unwrap();
            let (to, mut bob) = UnixStream::pair().unwrap();
            from.set_nonblocking(true).unwrap();
            assert_eq!(taken[0].fill(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            ann.write_all(b"hello").unwrap();
            assert_eq!(taken[0].fill(&from).unwrap(), 5);
            assert_eq!(taken[0].drain(&to, 5).unwrap(), 5);
            let mut room = [0; 5];
            bob.read_exact(&mut room).unwrap();
            assert_eq!(&room, b"hello");
            ann.write_all(b"hel").unwrap();
            assert_eq!(taken[0].fill(&from).unwrap(), 3);
            assert_eq!(taken[0].top_up(&from, 3), 0, "nothing has come meanwhile");
            ann.write_all(b"lo").unwrap();
            assert_eq!(taken[0].top_up(&from, 3), 2);
            ann.write_all(b"x").unwrap();
            assert_eq!(taken[0].top_up(&from, taken[0].bytes_max), 0, "there is no room");
            assert_eq!(taken[0].drain(&to, 5).unwrap(), 5);
            bob.read_exact(&mut room).unwrap();
            assert_eq!(&room, b"hello");
            assert_eq!(taken[0].fill(&from).unwrap(), 1);
            drop(ann);
            assert_eq!(taken[0].top_up(&from, 1), 0, "the end is found by who reads");
            assert_eq!(taken[0].fill(&from).unwrap(), 0);
            for (at, pipe) in taken.into_iter().enumerate() {
                pipes.give_back(pipe, at % 2);
            }
            assert_eq!((pipes.free.len(), pipes.count), (PIPES_KEPT, PIPES_KEPT));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use crate::descriptors::Descriptors;
    use std::io;

    /// There are none where the kernel does not move bytes itself.
    #[derive(Debug)]
    pub(in crate::shard::stream) enum Pipe {}

    #[derive(Default)]
    pub(in crate::shard::stream) struct Pipes;

    impl Pipes {
        pub(in crate::shard::stream) fn take(&mut self, _: &Descriptors) -> Option<Pipe> {
            None
        }

        pub(in crate::shard::stream) fn give_back(&mut self, pipe: Pipe, _: usize) {
            match pipe {}
        }
    }

    impl Pipe {
        pub(in crate::shard::stream) fn fill<F>(&self, _: F) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::shard::stream) fn top_up<F>(&self, _: F, _: usize) -> usize {
            match *self {}
        }

        pub(in crate::shard::stream) fn drain<F>(&self, _: F, _: usize) -> io::Result<usize> {
            match *self {}
        }
    }
}
