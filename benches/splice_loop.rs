//! The floor for relaying a stream: two sockets joined with `splice`, and nothing else.
//!
//! Takes one connection on a port of its own, which it prints, connects to the address in its argument, and moves bytes
//! through a pipe for each direction until both have ended. Each direction has a thread that waits in the kernel.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use std::io::{self, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    const PIPE_BYTES: usize = 1 << 20;

    fn relay(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&writer, PIPE_BYTES)?;
        loop {
            let mut left = splice(from.as_fd(), None, &writer, None, PIPE_BYTES, SpliceFlags::MOVE)?;
            if left == 0 {
                return to.shutdown(Shutdown::Write);
            }
            while left > 0 {
                left -= splice(&reader, None, to.as_fd(), None, left, SpliceFlags::MOVE)?;
            }
        }
    }

    let to = std::env::args().nth(1).ok_or_else(|| io::Error::other("where to? HOST:PORT"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let (near, _) = listener.accept()?;
    let far = TcpStream::connect(to)?;
    std::thread::scope(|scope| {
        let back = scope.spawn(|| relay(&far, &near));
        relay(&near, &far)?;
        back.join().unwrap_or_else(|_| Err(io::Error::other("the other direction panicked")))
    })
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("splice is Linux's only");
}
