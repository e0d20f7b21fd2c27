//! An authenticated connection: messages in and out, sealed and opened by a thread for each direction.
//!
//! Both queues are bounded, so who is slow slows the other end down. Each end says something every few seconds; an end
//! that hears nothing for a while takes the connection for broken, whatever the network says.

use super::Stop;
use super::link::Link;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trefoil_transfer::{Keys, Message, MessageError, Opener, RecordError, Sealer, body_bytes};

/// How often an end says that it is there while it has nothing else to say.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(5);
/// Whoever has been silent for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long the last words may take to arrive.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// How many records wait in either queue. More would even out no more, since sockets hold some megabytes, and leave the
/// caches of the processor.
const QUEUE_RECORDS: usize = 4;

/// What small records are joined in, in bytes. The larger part of a large one passes it by.
const BUFFER_BYTES: usize = 16 << 10;

/// Of the tag that stands behind a message in what was opened.
const TAG_BYTES: usize = 16;

/// The connection. When it is dropped it is cut.
pub(crate) struct Channel {
    outbox: Option<SyncSender<Vec<u8>>>,
    /// Buffers that have been sent, to be used again: a few, since those of a long offer would otherwise all be kept, and
    /// one after the other grow to the size of a chunk.
    spare: Receiver<Vec<u8>>,
    inbox: Receiver<Result<Received, String>>,
    /// Buffers that have been read, to be used again.
    read: Sender<Vec<u8>>,
    pulse: Arc<Pulse>,
    cut: Arc<Cut>,
    /// Ends the watch when it is dropped.
    watch: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Ends a connection, in one or both directions.
pub(crate) type Cut = dyn Fn(Shutdown) + Send + Sync;

/// A record that was opened.
pub(crate) struct Received(Vec<u8>);

impl Received {
    pub(crate) fn message(&self) -> Result<Message<'_>, MessageError> {
        Message::decode(&self.0[..self.0.len().saturating_sub(TAG_BYTES)])
    }
}

/// When the other end was heard last.
pub(crate) struct Pulse {
    began: Instant,
    heard_ms: AtomicU64,
}

/// What [`Pulse::heard_ms`] is while it is this end that is slow.
const BUSY_HERE: u64 = u64::MAX;

impl Pulse {
    fn hear(&self) {
        self.heard_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// For how long nothing has been heard.
    pub(crate) fn silence(&self) -> Duration {
        match self.heard_ms.load(Ordering::Relaxed) {
            BUSY_HERE => Duration::ZERO,
            heard => self.began.elapsed().saturating_sub(Duration::from_millis(heard)),
        }
    }
}

impl Channel {
    /// Begins with a link over which the handshake has been made.
    pub(crate) fn start<L: Link>(link: L, keys: Keys) -> io::Result<Channel> {
        let (outbox, out) = mpsc::sync_channel(QUEUE_RECORDS);
        let (used, spare) = mpsc::sync_channel(QUEUE_RECORDS);
        let (deliver, inbox) = mpsc::sync_channel(QUEUE_RECORDS);
        let (read, free) = mpsc::channel();
        let (watch, unwatched) = mpsc::channel();
        let pulse = Arc::new(Pulse { began: Instant::now(), heard_ms: AtomicU64::new(0) });
        let (writing, reading, watched) = (link.another()?, link.another()?, link.another()?);
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let (heard, guarded) = (pulse.clone(), pulse.clone());
        let threads = vec![
            thread("seal").spawn(move || write_all(writing, keys.seal, &out, &used))?,
            thread("open").spawn(move || read_all(reading, keys.open, &deliver, &free, &heard))?,
            thread("watch").spawn(move || {
                while unwatched.recv_timeout(PING_EVERY) == Err(RecvTimeoutError::Timeout) {
                    if guarded.silence() > SILENCE_MAX {
                        return watched.end(Shutdown::Both);
                    }
                }
            })?,
        ];
        let cut = Arc::new(move |how| link.end(how));
        Ok(Channel { outbox: Some(outbox), spare, inbox, read, pulse, cut, watch: Some(watch), threads })
    }

    /// When the other end was heard, and a way to cut the connection, for others.
    pub(crate) fn pulse(&self) -> (Weak<Pulse>, Weak<Cut>) {
        (Arc::downgrade(&self.pulse), Arc::downgrade(&self.cut))
    }

    /// A buffer for a record, perhaps one that was used before.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Sends a record that is to be sealed. It waits while the queue is full.
    pub(crate) fn send(&self, record: Vec<u8>) -> Result<(), Stop> {
        let outbox = self.outbox.as_ref().expect("a channel that was closed is gone");
        outbox.send(record).map_err(|_| self.why_broken())
    }

    /// What came, if anything has.
    pub(crate) fn try_receive(&self) -> Result<Option<Received>, Stop> {
        match self.inbox.try_recv() {
            Ok(received) => received.map(Some).map_err(Stop::Broken),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Stop::Broken("it was closed".into())),
        }
    }

    /// Waits for what comes next.
    pub(crate) fn receive(&self) -> Result<Received, Stop> {
        let received = self.inbox.recv().map_err(|_| Stop::Broken("it was closed".into()))?;
        received.map_err(Stop::Broken)
    }

    /// Gives back what was received and is done with.
    pub(crate) fn recycle(&self, received: Received) {
        // If the thread has gone, so has the use for it.
        let _ = self.read.send(received.0);
    }

    /// Sends the last record, and waits until the other end has read all and closes, for some seconds.
    pub(crate) fn close(mut self, last: &Message<'_>) {
        let until = Instant::now() + LAST_WORDS_MAX;
        let Some(outbox) = self.outbox.take() else { return };
        let mut record = last.record();
        // The other end may have stopped reading. A buffer comes back for each record that it has taken.
        while let Err(TrySendError::Full(back)) = outbox.try_send(record) {
            if self.spare.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
                return;
            }
            record = back;
        }
        drop(outbox);
        // Unread bytes would make the system reset the connection, and the last words be lost.
        while let Ok(Ok(received)) = self.inbox.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.recycle(received);
        }
    }

    /// The reading thread knows why a connection broke, or will.
    fn why_broken(&self) -> Stop {
        let until = Instant::now() + LAST_WORDS_MAX;
        while let Ok(received) = self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            match received.as_ref().map(Received::message) {
                Ok(Ok(Message::Fail { fault, text })) => return super::given_up(fault, text),
                Ok(_) => {}
                Err(why) => return Stop::Broken(why.clone()),
            }
        }
        Stop::Broken("it was closed".into())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.outbox = None;
        self.watch = None;
        (self.cut)(Shutdown::Both);
        // A thread that waits for room in the inbox must find that nobody listens any more.
        let (_, nobody) = mpsc::sync_channel(1);
        self.inbox = nobody;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Seals and writes until nobody has anything more to say, then ends this direction.
fn write_all<L: Link>(link: L, mut sealer: Sealer, out: &Receiver<Vec<u8>>, used: &SyncSender<Vec<u8>>) {
    let Ok(ending) = link.another() else { return };
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, link);
    let mut pass = |mut record: Vec<u8>, writer: &mut BufWriter<L>| -> io::Result<()> {
        sealer.seal(&mut record).map_err(io::Error::other)?;
        writer.write_all(&record)?;
        // Where enough wait to be used again, it is not needed.
        let _ = used.try_send(record);
        Ok(())
    };
    loop {
        let next = match out.try_recv() {
            // Nothing waits, so what has been joined leaves now.
            Err(TryRecvError::Empty) if writer.flush().is_err() => break,
            Err(TryRecvError::Empty) => out.recv_timeout(PING_EVERY),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        let passed = match next {
            Ok(record) => pass(record, &mut writer),
            Err(RecvTimeoutError::Timeout) => pass(Message::Ping.record(), &mut writer),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if passed.is_err() {
            break;
        }
    }
    let _ = writer.flush();
    ending.end(Shutdown::Write);
}

/// Reads and opens until the end, of which the last thing in the inbox says why.
fn read_all<L: Link>(
    link: L,
    mut opener: Opener,
    deliver: &SyncSender<Result<Received, String>>,
    free: &Receiver<Vec<u8>>,
    pulse: &Pulse,
) {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, link);
    loop {
        let mut body = free.try_recv().unwrap_or_default();
        if let Err(why) = read_record(&mut reader, &mut opener, &mut body) {
            let _ = deliver.send(Err(why));
            return;
        }
        let received = Received(body);
        if received.message() != Ok(Message::Ping) {
            pulse.heard_ms.store(BUSY_HERE, Ordering::Relaxed);
            if deliver.send(Ok(received)).is_err() {
                return;
            }
        }
        pulse.hear();
    }
}

fn read_record(reader: &mut impl Read, opener: &mut Opener, body: &mut Vec<u8>) -> Result<(), String> {
    let in_words = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other end is gone".to_owned(),
        _ => error.to_string(),
    };
    let mut header = [0; 4];
    reader.read_exact(&mut header).map_err(in_words)?;
    let length = body_bytes(header).map_err(|error: RecordError| error.to_string())?;
    body.resize(length, 0);
    reader.read_exact(body).map_err(in_words)?;
    opener.open(header, body).map_err(|error| error.to_string())?;
    Ok(())
}
