//! A server without shards, and clients of it.

use crate::beside::testing::{Bench, next_mail};
use crate::beside::{Beside, HandOver};
use crate::context::Context;
use crate::mail::{Arrival, Mail};
use crate::stats::Kind;
use socket2::SockRef;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use trefoil_config::{Limits, Protocols};

/// How long anything may take before a test fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What runs beside one shard that nobody runs.
pub(super) struct Hub {
    pub(super) bench: Bench,
    pub(super) beside: Beside,
}

impl Hub {
    pub(super) fn start(limits: Limits) -> Hub {
        let bench = Bench::limited(Protocols { http: true, websocket: true, ..Protocols::NONE }, limits);
        let beside = Beside::start(bench.context.clone()).unwrap();
        Hub { bench, beside }
    }

    /// Hands a connection over as a shard does, and returns the client's end.
    pub(super) fn hand_over(&self, input: &[u8]) -> TcpStream {
        self.hand_over_pair(pair(), input)
    }

    /// The same with socket buffers as small as the system allows.
    pub(super) fn hand_over_narrow(&self, input: &[u8]) -> TcpStream {
        let (client, server) = pair();
        SockRef::from(&client).set_recv_buffer_size(1).unwrap();
        SockRef::from(&server).set_send_buffer_size(1).unwrap();
        self.hand_over_pair((client, server), input)
    }

    fn hand_over_pair(&self, (client, server): (TcpStream, TcpStream), input: &[u8]) -> TcpStream {
        let context: &Arc<Context> = &self.bench.context;
        context.connections.fetch_add(1, Ordering::Relaxed);
        context.listeners[0].connections.fetch_add(1, Ordering::Relaxed);
        let peer = server.peer_addr().ok();
        let hand_over =
            HandOver { stream: server.into(), peer, forwarded: None, listener: 0, input: input.to_vec() };
        assert!(self.beside.hands().take(hand_over).is_ok());
        client
    }

    /// The next connection that comes back.
    pub(super) fn arrival(&self) -> Arrival {
        match eventually_some(|| next_mail(&self.bench.context.mailboxes[0])) {
            Mail::Arrival(arrival) => *arrival,
            _ => panic!("a connection was to come back"),
        }
    }

    /// HTTP connections, all connections, connections of the listener.
    pub(super) fn counted(&self) -> (u64, usize, usize) {
        let context = &self.bench.context;
        let http = context.stats_beside().connections[Kind::Http as usize].get();
        let of_listener = context.listeners[0].connections.load(Ordering::Relaxed);
        (http, context.connections.load(Ordering::Relaxed), of_listener)
    }
}

/// Both ends of a connection: the client's, and the server's as a shard has it.
pub(in crate::beside) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (client, server)
}

/// Reads until what was read ends with `end`.
pub(super) fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut some = [0; 4096];
        let n = client.read(&mut some).unwrap();
        assert!(n > 0, "it ended after {}", all.escape_ascii());
        all.extend_from_slice(&some[..n]);
    }
    String::from_utf8(all).unwrap()
}

pub(super) fn eventually(mut is_so: impl FnMut() -> bool) {
    eventually_some(|| is_so().then_some(()));
}

pub(super) fn eventually_some<T>(mut get: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(got) = get() {
            return got;
        }
        assert!(Instant::now() < give_up, "it did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
