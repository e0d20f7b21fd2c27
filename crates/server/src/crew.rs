//! The threads that go round the shards' loops: as many as there is work for.
//!
//! There is a shard for each core and a thread for each shard, but while one thread can do the work the others sleep, and
//! it takes all shards in turn. Waking a second thread for each message that crosses from shard to shard would cost more
//! than the message: at 5,000 messages a second between pairs of clients, a fifth to two thirds more of the hub's time
//! (`docs/decisions/crew.md`). When a thread is busy most of the time, the next one takes its share of the shards over.
//!
//! Nothing of this is seen by the shards. Thread `n` of `k` that work holds the locks of shards `n`, `n + k`, and so on,
//! as long as it is `k` that work; so a lock is taken when the number changes and not on the way of a message.

mod shares;

use crate::context::Context;
use crate::shard::ShardLoop;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use shares::Shares;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1024;

/// Over how long a thread's load is measured.
const WINDOW: Duration = Duration::from_millis(10);

/// From this share of its time on a thread is too busy, and one more is put to work.
const BUSY_MAX: f64 = 0.6;

/// One thread less is enough when all of them together are less busy than this share for each that would be left ...
const IDLE_MAX: f64 = 0.3;

/// ... for so long.
const IDLE_TIME: Duration = Duration::from_millis(500);

/// How long the first thread sleeps at most while others work, since it is the one that sends them to sleep.
const NAP: Duration = Duration::from_millis(100);

/// What the threads share.
struct Crew {
    shards: Shares<ShardLoop>,
    context: Arc<Context>,
    /// How long each has worked since the start, in nanoseconds.
    busy_ns: Vec<AtomicU64>,
    /// Which shards have stopped.
    stopped: Vec<AtomicBool>,
}

/// Starts a thread for each shard.
///
/// # Errors
/// When the system has no thread or no poll to give.
pub(crate) fn start(
    shards: Vec<ShardLoop>,
    context: &Arc<Context>,
) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    let count = shards.len();
    let crew = Arc::new(Crew {
        shards: Shares::new(shards),
        context: context.clone(),
        busy_ns: (0..count).map(|_| AtomicU64::new(0)).collect(),
        stopped: (0..count).map(|_| AtomicBool::new(false)).collect(),
    });
    let mut threads = Vec::new();
    // The first one last: only it works from the start, and all that it may put to work must be known by then.
    for number in (0..count).rev() {
        let mut worker = Worker::new(number, crew.clone())?;
        let thread = std::thread::Builder::new().name(format!("shard-{number}"));
        let handle = thread.spawn(move || worker.run())?;
        crew.shards.introduce(number, handle.thread());
        threads.push(handle);
    }
    Ok(threads)
}

impl Crew {
    fn is_stopped(&self) -> bool {
        self.stopped.iter().all(|s| s.load(Ordering::Acquire))
    }

    /// Changes how many threads work, unless another thread has just done so.
    fn set_working(&self, from: usize, to: usize) {
        if self.shards.set_working(from, to) {
            tracing::debug!(from, to, "the number of threads at work changes");
            self.wake_shards();
        }
    }

    /// Makes all threads look around.
    fn wake_all(&self) {
        self.shards.wake_all();
        self.wake_shards();
    }

    /// Makes all threads look around that wait for something to come in.
    fn wake_shards(&self) {
        self.context.mailboxes.iter().for_each(crate::mail::Mailbox::wake);
    }
}

/// One thread.
struct Worker {
    number: usize,
    crew: Arc<Crew>,
    /// Where it waits for several shards at once.
    poll: Poll,
    events: Events,
    load: Load,
}

impl Worker {
    fn new(number: usize, crew: Arc<Crew>) -> io::Result<Worker> {
        Ok(Worker {
            number,
            crew,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            load: Load::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let crew = self.crew.clone();
        crew.shards.introduce(self.number, &std::thread::current());
        while !crew.is_stopped() {
            let working = crew.shards.working();
            if self.number >= working {
                std::thread::park();
                continue;
            }
            let Some(mut shards) = crew.shards.take(self.number, working, || !crew.is_stopped()) else {
                continue;
            };
            match &mut shards[..] {
                [one] => self.go_round(one, working)?,
                several => self.go_round_several(several, working)?,
            }
        }
        Ok(())
    }

    /// Goes round one shard, until the number of threads changes or the hub stops.
    fn go_round(&mut self, shard: &mut ShardLoop, working: usize) -> io::Result<()> {
        let shard_number = self.number;
        while self.goes_on(working) {
            if shard.is_stopped() {
                shard.reset_what_drains();
                self.stop(shard_number);
                std::thread::park();
                continue;
            }
            let wait = self.sleepiness(shard.wait(), working, || shard.mailbox().fall_asleep());
            self.load.pause();
            let ready = shard.wait_ready(&mut self.events, wait);
            let now = Instant::now();
            self.load.resume(now);
            ready?;
            shard.take_in(&self.events, now);
            shard.take_mail();
            shard.give_out();
            self.rate(working);
        }
        Ok(())
    }

    /// As [`go_round`](Self::go_round), for several shards in turn.
    fn go_round_several(
        &mut self,
        shards: &mut [MutexGuard<'_, ShardLoop>],
        working: usize,
    ) -> io::Result<()> {
        self.watch(shards)?;
        // What came before they were watched makes no event.
        let mut ready = vec![true; shards.len()];
        while self.goes_on(working) {
            let now = self.load.resumed_at;
            for (i, shard) in shards.iter_mut().enumerate() {
                shard.set_time(now);
                if shard.is_stopped() {
                    shard.reset_what_drains();
                    self.stop(self.number + i * working);
                } else if std::mem::take(&mut ready[i]) {
                    shard.wait_ready(&mut self.events, Some(Duration::ZERO))?;
                    shard.take_in(&self.events, now);
                } else if shard.wait().is_some_and(|wait| wait.is_zero()) {
                    self.events.clear();
                    shard.take_in(&self.events, now);
                }
            }
            // All that has come in has crossed before anything goes out, so that a connection whose messages come from
            // several shards is written to once.
            shards.iter_mut().filter(|s| !s.mailbox().is_empty()).for_each(|s| s.take_mail());
            shards.iter_mut().for_each(|s| s.give_out());
            let is_on = |i: usize| !self.crew.stopped[self.number + i * working].load(Ordering::Relaxed);
            let shortest =
                shards.iter().enumerate().filter(|(i, _)| is_on(*i)).filter_map(|(_, s)| s.wait()).min();
            let wait = self.sleepiness(shortest, working, || {
                let asleep = shards.iter().filter(|s| s.mailbox().fall_asleep()).count();
                asleep == shards.len()
            });
            self.rate(working);
            self.load.pause();
            let result = self.poll.poll(&mut self.events, wait);
            self.load.resume(Instant::now());
            shards.iter().for_each(|s| s.mailbox().wake_up());
            interrupted_is_fine(result)?;
            self.events.iter().for_each(|event| ready[event.token().0] = true);
        }
        for shard in shards {
            self.poll.registry().deregister(&mut SourceFd(&shard.poll_fd()))?;
        }
        Ok(())
    }

    fn watch(&self, shards: &[MutexGuard<'_, ShardLoop>]) -> io::Result<()> {
        for (i, shard) in shards.iter().enumerate() {
            self.poll.registry().register(&mut SourceFd(&shard.poll_fd()), Token(i), Interest::READABLE)?;
        }
        Ok(())
    }

    /// How long to sleep, given how long there is nothing to do. `fall_asleep` says no if mail has come.
    fn sleepiness(
        &self,
        wait: Option<Duration>,
        working: usize,
        fall_asleep: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let naps = self.number == 0 && working > 1;
        let wait = if naps { Some(wait.map_or(NAP, |wait| wait.min(NAP))) } else { wait };
        let is_zero = wait.is_some_and(|wait| wait.is_zero());
        if is_zero || !fall_asleep() { Some(Duration::ZERO) } else { wait }
    }

    fn goes_on(&self, working: usize) -> bool {
        self.crew.shards.working() == working && !self.crew.is_stopped()
    }

    fn stop(&self, shard: usize) {
        if !self.crew.stopped[shard].swap(true, Ordering::AcqRel) && self.crew.is_stopped() {
            self.crew.wake_all();
        }
    }

    /// Looks, once a window, whether more or fewer threads should work.
    fn rate(&mut self, working: usize) {
        let crew = &self.crew;
        let Some((busy, elapsed)) = self.load.end_window() else { return };
        crew.busy_ns[self.number].fetch_add(busy.as_nanos() as u64, Ordering::Relaxed);
        if busy.as_secs_f64() > BUSY_MAX * elapsed.as_secs_f64() {
            self.load.idle_since = None;
            if working < crew.shards.len() {
                crew.set_working(working, working + 1);
            }
        } else if self.number == 0 && working > 1 {
            let all_ns: u64 = crew.busy_ns.iter().map(|b| b.load(Ordering::Relaxed)).sum();
            let before_ns = std::mem::replace(&mut self.load.all_ns, all_ns);
            let share = (all_ns - before_ns) as f64 / elapsed.as_nanos() as f64;
            if share >= IDLE_MAX * (working - 1) as f64 {
                self.load.idle_since = None;
            } else if self.load.window_at - *self.load.idle_since.get_or_insert(self.load.window_at)
                >= IDLE_TIME
            {
                self.load.idle_since = None;
                crew.set_working(working, working - 1);
            }
        }
    }
}

/// How busy a thread is.
struct Load {
    /// When the window began.
    window_at: Instant,
    /// When it last began to work.
    resumed_at: Instant,
    /// How long it has worked in this window, up to then.
    busy: Duration,
    /// The first thread's: how long all had worked at the end of the last window, and since when that is little.
    all_ns: u64,
    idle_since: Option<Instant>,
}

impl Load {
    fn new() -> Load {
        let now = Instant::now();
        Load { window_at: now, resumed_at: now, busy: Duration::ZERO, all_ns: 0, idle_since: None }
    }

    fn pause(&mut self) {
        self.busy += self.resumed_at.elapsed();
    }

    fn resume(&mut self, now: Instant) {
        self.resumed_at = now;
    }

    /// How long the thread has worked in this window, and how long it was, if it is over.
    fn end_window(&mut self) -> Option<(Duration, Duration)> {
        let elapsed = self.resumed_at - self.window_at;
        if elapsed < WINDOW {
            return None;
        }
        self.window_at = self.resumed_at;
        Some((std::mem::take(&mut self.busy), elapsed))
    }
}

fn interrupted_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}
