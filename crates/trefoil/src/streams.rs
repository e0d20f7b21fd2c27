//! What both ends of `trefoil listen` and `trefoil connect` do: carry bytes in two directions at a time.

use crate::descriptors;
use crate::failure::Failure;
use rustix::io::Errno;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use trefoil_client::streams::Stream;
use trefoil_client::{Code, ErrorKind};

/// How often it is looked whether there is room for one more stream.
const PAUSE: Duration = Duration::from_millis(20);

/// What is read at once where the kernel does not carry it itself.
const BUFFER_BYTES: usize = 128 << 10;

/// Streams that one process carries at a time.
const STREAMS_MAX: usize = 4096;

/// Descriptors that one stream takes: a socket on each side.
const DESCRIPTORS_EACH: usize = 2;

/// Descriptors that are for all else.
const DESCRIPTORS_SPARE: usize = 32;

/// Threads that carry streams, one each beside that of its other direction.
#[derive(Clone)]
pub(crate) struct Workers {
    count: Arc<AtomicUsize>,
    max: usize,
}

impl Workers {
    /// As many as the system has descriptors for, of which it is asked for as many as it gives.
    pub(crate) fn new() -> Workers {
        descriptors::raise();
        let has_room_for = descriptors::limit().saturating_sub(DESCRIPTORS_SPARE) / DESCRIPTORS_EACH;
        Workers { count: Arc::default(), max: has_room_for.clamp(1, STREAMS_MAX) }
    }

    /// Starts a thread; waits for one to end while there are as many as may be. If the system gives none, that is told, and
    /// those that there are go on.
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) {
        while self.count.load(Ordering::Acquire) >= self.max {
            thread::park_timeout(PAUSE);
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        let count = self.count.clone();
        let counted = move || {
            work();
            count.fetch_sub(1, Ordering::AcqRel);
        };
        if let Err(error) = thread::Builder::new().name("stream".into()).spawn(counted) {
            self.count.fetch_sub(1, Ordering::AcqRel);
            tell(&no_thread(error));
        }
    }
}

/// Accepts a connection. Where the system has no descriptor for it that is told, and it waits until there is one: the
/// streams that there are go on, and end some time.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut is_told = false;
    loop {
        let error = match listener.accept() {
            Ok((local, _)) => return Ok(local),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            // Who wanted to connect has gone meanwhile.
            Some(Errno::CONNABORTED | Errno::INTR) => {}
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                if !std::mem::replace(&mut is_told, true) {
                    tell(&Failure::failed(format!("a connection has to wait: {error}")));
                }
                thread::park_timeout(PAUSE);
            }
            _ => return Err(error),
        }
    }
}

/// Whether what kept somebody from listening may be over in a moment: the hub is started anew, or it has yet to notice that
/// a listener is gone.
pub(crate) fn may_pass(error: &trefoil_client::Error) -> bool {
    matches!(error.kind(), ErrorKind::Connect | ErrorKind::Lost | ErrorKind::TimedOut)
        || matches!(error.code(), Some(Code::Taken | Code::Overloaded | Code::Unavailable))
}

/// Carries bytes between a stream and a local connection until both directions have ended.
pub(crate) fn join(stream: Stream, local: TcpStream) -> io::Result<()> {
    let _ = local.set_nodelay(true);
    let is_broken = AtomicBool::new(false);
    let (far, near, is_broken) = (&stream, &local, &is_broken);
    thread::scope(|scope| {
        let back = thread::Builder::new().name("stream-back".into()).spawn_scoped(scope, move || {
            let result = copy(&mut &*far, &mut &*near);
            end(&result, is_broken, (far, near), || near.shutdown(Shutdown::Write));
            result
        });
        let back = back.inspect_err(|_| reset(near))?;
        let forth = copy(&mut &*near, &mut &*far);
        end(&forth, is_broken, (far, near), || far.shutdown(Shutdown::Write));
        let back = back
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the other direction is gone")));
        forth.and(back)
    })
}

/// Carries bytes between a stream and standard input and output until the other end has sent all that it will. What
/// standard input has goes on for as long as somebody takes it.
pub(crate) fn standard(stream: Stream) -> Result<(), Failure> {
    let far = stream.try_clone().map_err(Failure::failed)?;
    // It may wait for a person at a keyboard, so nobody waits for it.
    let forth = move || {
        let sent = copy(&mut io::stdin().lock(), &mut &far);
        if sent.is_ok() {
            let _ = far.shutdown(Shutdown::Write);
        }
        sent
    };
    let sender = thread::Builder::new().name("standard-input".into()).spawn(forth).map_err(no_thread)?;
    match copy(&mut &stream, &mut io::stdout().lock()) {
        Ok(()) => {}
        // Nobody reads standard output any more, which ends this well for whoever has cut it off.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(broken(&error)),
    }
    // The other end has sent all, and may still be reading.
    match sender.join() {
        Ok(Err(error)) => Err(broken(&error)),
        _ => Ok(()),
    }
}

/// Closes a connection so that its peer sees that something is missing.
pub(crate) fn reset(local: &TcpStream) {
    let _ = SockRef::from(local).set_linger(Some(Duration::ZERO));
}

/// Tells a person of one stream among many that has failed.
pub(crate) fn tell(failure: &Failure) {
    eprintln!("{}", failure.message());
}

/// Ends what a direction writes to, if it has read all. If it broke, the other direction cannot go on either, and neither
/// side is to take what it has for the whole: both connections are reset once both directions have let go of them.
fn end(
    result: &io::Result<()>,
    is_broken: &AtomicBool,
    (stream, local): (&Stream, &TcpStream),
    shut_down: impl FnOnce() -> io::Result<()>,
) {
    if result.is_ok() && !is_broken.load(Ordering::Acquire) {
        // The other side may have gone, which its own direction finds out.
        let _ = shut_down();
        return;
    }
    is_broken.store(true, Ordering::Release);
    reset(local);
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    // Whoever waits for something to be read of them reads their end.
    let _ = local.shutdown(Shutdown::Read);
    let _ = stream.shutdown(Shutdown::Read);
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush(),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Failure::unreachable("the stream broke: the other end, or the hub, broke it off")
        }
        _ => Failure::failed(error),
    }
}

fn no_thread(error: io::Error) -> Failure {
    Failure::failed(format!("cannot start a thread: {error}"))
}
