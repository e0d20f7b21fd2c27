//! A bad network: a proxy that breaks every connection after some bytes that a seed says.

use crate::connect;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use trefoil_model::Random;

/// How long a connection goes on in the other direction when one has broken.
const LAST_ANSWERS: Duration = Duration::from_millis(3);

/// The proxy. It takes connections as long as the process lives.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_calm: AtomicBool,
    cuts: AtomicU64,
}

impl Proxy {
    /// A proxy in front of a port. Each connection breaks after at most `bytes_max` bytes in either direction, at any byte:
    /// what the proxy holds then is lost.
    pub fn start(hub_port: u16, bytes_max: usize, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let mut random = Random::new(seed);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let hub = connect(hub_port);
                let mut budget = || Arc::new(AtomicI64::new(1 + random.below(bytes_max) as i64));
                for (from, to, budget) in [(&client, &hub, budget()), (&hub, &client, budget())] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&shared);
                    std::thread::spawn(move || carry(from, to, &budget, &state));
                }
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing breaks any more.
    pub fn calm_down(&self) {
        self.state.is_calm.store(true, Ordering::SeqCst);
    }

    /// How many connections it has broken.
    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, budget: &AtomicI64, state: &State) {
    from.set_read_timeout(None).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let left = budget.fetch_sub(count as i64, Ordering::SeqCst);
        let is_cut = left <= count as i64 && !state.is_calm.load(Ordering::SeqCst);
        let arrives = if is_cut { left.max(0) as usize } else { count };
        if to.write_all(&buffer[..arrives]).is_err() {
            break;
        }
        if is_cut {
            state.cuts.fetch_add(1, Ordering::SeqCst);
            // The other direction holds a little longer: a flood would break every connection before its first answer.
            std::thread::sleep(LAST_ANSWERS);
            break;
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
