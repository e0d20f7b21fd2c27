//! Puts messages at QoS 1 on a broker for sessions that are away, or retained ones, and times the acknowledgements.
//!
//! `benches/durable.py` and `benches/compaction.py` start it; `--help` says how to do so by hand. The result is a line of
//! JSON on standard output.
//!
//! With one thread, so that the broker has the other core. A publisher has `--window` messages out; with `--rate` messages
//! are due at fixed times, and what is timed is from then to the PUBACK, however late it was sent.

use clap::Parser;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use trefoil_mqtt::{Connect, Publish, QoS, Subscribe, SubscribeFilter, Version};

const VERSION: Version = Version::V3_1_1;

/// What stays out when it is late with `--rate`; what is due beyond it waits its turn.
const OUT_MAX: usize = 1000;

/// How long nothing may come before the run is given up.
const STALL: Duration = Duration::from_secs(30);

/// Times the acknowledgements of messages at QoS 1.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// Connections that publish
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Sessions that are away and get each message in turn; 0 for retained messages
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Topics for retained messages
    #[arg(long, default_value_t = 1000)]
    topics: usize,
    /// Takes topics at random instead of in turn
    #[arg(long)]
    scattered: bool,
    /// Messages that each publisher has out
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Messages a second, all told, instead of as many as there can be
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Messages at most
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// Payload bytes
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Also gives the figures of each so many milliseconds
    #[arg(long)]
    slice_ms: Option<u64>,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    leave_sessions(&options)?;
    let mut load = Load::new(&options)?;
    load.run()?;
    writeln!(io::stdout(), "{}", load.report())
}

/// Makes the sessions, each with a topic of its own, and goes.
fn leave_sessions(options: &Options) -> io::Result<()> {
    for n in 0..options.sessions {
        let mut packets = connect(&format!("away-{n}"), false);
        let filter = [SubscribeFilter {
            filter: &topic(options, n),
            qos: QoS::AtLeastOnce,
            ..SubscribeFilter::default()
        }];
        Subscribe { packet_id: 1, filters: filter.as_slice().into(), ..Subscribe::default() }
            .encode(VERSION, &mut packets);
        talk(options, &packets, 4 + 5)?;
    }
    Ok(())
}

fn connect(client_id: &str, clean_start: bool) -> Vec<u8> {
    let mut packet = Vec::new();
    Connect { version: VERSION, clean_start, client_id, ..Connect::default() }.encode(VERSION, &mut packet);
    packet
}

/// Sends packets on a connection of their own and waits for so many bytes.
fn talk(options: &Options, packets: &[u8], answer_bytes: usize) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", options.port))?;
    stream.set_nodelay(true)?;
    stream.write_all(packets)?;
    stream.read_exact(&mut vec![0; answer_bytes])?;
    Ok(stream)
}

fn topic(options: &Options, n: usize) -> String {
    if options.sessions > 0 { format!("durable/{n}") } else { format!("durable/{}/{n}/state", n / 1000) }
}

/// A number that has nothing to do with `n` to look at (the mixing steps of SplitMix64).
fn scatter(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (n ^ (n >> 31)) >> 1
}

struct Publisher {
    stream: TcpStream,
    /// When each message that is out was due. A broker acknowledges them in order [MQTT-4.6.0-2].
    out: VecDeque<Instant>,
    packet_id: u16,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    /// Bytes of a PUBACK whose rest has not come.
    partial: usize,
}

struct Load<'a> {
    options: &'a Options,
    poll: Poll,
    publishers: Vec<Publisher>,
    sent: u64,
    began: Instant,
    ended: Instant,
    /// Made once, so that the load costs little beside the broker.
    topics: Vec<String>,
    payload: Vec<u8>,
    scratch: Vec<u8>,
    /// When each acknowledgement came, in microseconds since the beginning, and how long after its message was due.
    times: Vec<(u64, u32)>,
}

impl<'a> Load<'a> {
    fn new(options: &'a Options) -> io::Result<Load<'a>> {
        let poll = Poll::new()?;
        let mut publishers = Vec::with_capacity(options.publishers);
        for n in 0..options.publishers {
            let stream = talk(options, &connect(&format!("publisher-{n}"), true), 4)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(n), Interest::READABLE | Interest::WRITABLE)?;
            publishers.push(Publisher {
                stream,
                out: VecDeque::new(),
                packet_id: 0,
                unsent: Vec::new(),
                partial: 0,
            });
        }
        let now = Instant::now();
        let topics = if options.sessions > 0 { options.sessions } else { options.topics };
        Ok(Load {
            options,
            poll,
            publishers,
            sent: 0,
            began: now,
            ended: now,
            topics: (0..topics).map(|n| topic(options, n)).collect(),
            payload: vec![b'x'; options.size],
            scratch: vec![0; 64 << 10],
            times: Vec::with_capacity(1 << 20),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        self.began = Instant::now();
        let end = self.began + Duration::from_secs_f64(self.options.seconds);
        let mut last = self.began;
        let mut next = 0;
        if self.options.rate.is_none() {
            let began = self.began;
            for n in 0..self.publishers.len() {
                (0..self.options.window).for_each(|_| self.publish(n, began));
                self.flush(n)?;
            }
        }
        let mut events = Events::with_capacity(4096);
        let is_on = |load: &Self| Instant::now() < end && load.sent < load.options.count;
        while is_on(self) || self.publishers.iter().any(|publisher| !publisher.out.is_empty()) {
            let wait = if self.options.rate.is_some() { 1 } else { 1000 };
            self.poll.poll(&mut events, Some(Duration::from_millis(wait)))?;
            let goes_on = is_on(self);
            for event in &events {
                let n = event.token().0;
                let came = self.read(n)?;
                if came > 0 {
                    last = self.ended;
                }
                if goes_on && self.options.rate.is_none() {
                    let now = self.ended;
                    (0..came).for_each(|_| self.publish(n, now));
                }
                self.flush(n)?;
            }
            if goes_on && let Some(rate) = self.options.rate {
                next = self.publish_what_is_due(rate, next)?;
            }
            if last.elapsed() > STALL {
                return Err(io::Error::other(format!("no acknowledgement for {STALL:?}")));
            }
        }
        Ok(())
    }

    /// Returns whose turn it is next.
    fn publish_what_is_due(&mut self, rate: f64, mut next: usize) -> io::Result<usize> {
        let elapsed = self.began.elapsed().as_secs_f64();
        while (self.sent as f64) < elapsed * rate {
            if self.publishers[next].out.len() >= OUT_MAX {
                break;
            }
            let due = self.began + Duration::from_secs_f64(self.sent as f64 / rate);
            self.publish(next, due);
            next = (next + 1) % self.publishers.len();
        }
        (0..self.publishers.len()).try_for_each(|n| self.flush(n))?;
        Ok(next)
    }

    fn publish(&mut self, n: usize, due: Instant) {
        if self.sent == self.options.count {
            return;
        }
        let place = if self.options.scattered { scatter(self.sent) } else { self.sent };
        let topic = &self.topics[place as usize % self.topics.len()];
        self.sent += 1;
        let publisher = &mut self.publishers[n];
        publisher.packet_id = publisher.packet_id.checked_add(1).unwrap_or(1);
        Publish {
            topic,
            payload: &self.payload,
            qos: QoS::AtLeastOnce,
            retain: self.options.sessions == 0,
            packet_id: publisher.packet_id,
            ..Publish::default()
        }
        .encode(VERSION, &mut publisher.unsent);
        publisher.out.push_back(due);
    }

    fn flush(&mut self, n: usize) -> io::Result<()> {
        let publisher = &mut self.publishers[n];
        while !publisher.unsent.is_empty() {
            match publisher.stream.write(&publisher.unsent) {
                Ok(written) => drop(publisher.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns how many acknowledgements came.
    fn read(&mut self, n: usize) -> io::Result<usize> {
        let mut came = 0;
        loop {
            let publisher = &mut self.publishers[n];
            match publisher.stream.read(&mut self.scratch) {
                Ok(0) => {
                    return Err(io::Error::other(format!(
                        "the broker closed the connection of publisher {n}"
                    )));
                }
                Ok(read) => {
                    // Nothing but PUBACK comes, which has four bytes.
                    let bytes = publisher.partial + read;
                    publisher.partial = bytes % 4;
                    let now = Instant::now();
                    for _ in 0..bytes / 4 {
                        let due = publisher.out.pop_front().expect("there is no PUBACK without a PUBLISH");
                        let since_began = (now - self.began).as_micros() as u64;
                        self.times.push((since_began, (now - due).as_micros() as u32));
                        came += 1;
                    }
                    self.ended = now;
                    if read < self.scratch.len() {
                        return Ok(came);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(came),
                Err(error) => return Err(error),
            }
        }
    }

    fn report(&self) -> serde_json::Value {
        let seconds = (self.ended - self.began).as_secs_f64();
        let all = summary(self.times.iter().map(|(_, took)| *took).collect());
        let mut report = json!({
            "publishers": self.options.publishers, "acked": self.times.len(), "seconds": seconds,
            "acked_per_s": self.times.len() as f64 / seconds, "ack_us": all,
        });
        if let Some(slice_ms) = self.options.slice_ms {
            let slices = self.times.chunk_by(|a, b| a.0 / 1000 / slice_ms == b.0 / 1000 / slice_ms);
            let slices = slices.map(|slice| {
                let took = slice.iter().map(|(_, took)| *took).collect();
                json!({ "at_ms": slice[0].0 / 1000 / slice_ms * slice_ms, "ack_us": summary(took) })
            });
            report["slices"] = slices.collect();
        }
        report
    }
}

fn summary(mut took: Vec<u32>) -> serde_json::Value {
    took.sort_unstable();
    let at = |part: f64| took.get(((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1)));
    json!({ "n": took.len(), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": took.last() })
}
