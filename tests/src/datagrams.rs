//! JSON over UDP, by hand.

use crate::DEADLINE;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use trefoil_model::Random;

/// How long an answer is waited for before it is asked for again.
const AGAIN: Duration = Duration::from_millis(100);

/// A peer that sends and gets datagrams.
pub struct Peer(UdpSocket);

impl Peer {
    /// Takes a port for itself, to talk to another one of this machine.
    pub fn new(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Sends a datagram.
    pub fn send(&self, datagram: impl AsRef<[u8]>) {
        self.0.send(datagram.as_ref()).expect("the system takes the datagram");
    }

    /// The next datagram, which must be JSON.
    pub fn receive(&self) -> Value {
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).expect("an answer before the deadline");
        serde_json::from_slice(&buffer[..length]).expect("an answer in JSON")
    }

    /// Sends a datagram and gives the next one that comes.
    pub fn ask(&self, datagram: impl AsRef<[u8]>) -> Value {
        self.send(datagram);
        self.receive()
    }
}

impl Peer {
    /// Sends a datagram again and again until one comes that is an answer to it, by `is_answer`; gives it, with all that came
    /// before.
    pub fn insist(
        &self,
        datagram: impl AsRef<[u8]>,
        is_answer: impl Fn(&Value) -> bool,
    ) -> (Value, Vec<Value>) {
        let started = Instant::now();
        let mut others = Vec::new();
        while started.elapsed() < DEADLINE {
            self.send(&datagram);
            let asked = Instant::now();
            while asked.elapsed() < AGAIN {
                match self.receive_within(AGAIN) {
                    Some(value) if is_answer(&value) => return (value, others),
                    Some(value) => others.push(value),
                    None => break,
                }
            }
        }
        panic!("{} was not answered", String::from_utf8_lossy(datagram.as_ref()));
    }

    /// The next datagram, if one comes soon.
    pub fn receive_within(&self, patience: Duration) -> Option<Value> {
        let mut buffer = vec![0; 65_536];
        self.0.set_read_timeout(Some(patience)).unwrap();
        let received = self.0.recv(&mut buffer);
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        received.ok().map(|length| serde_json::from_slice(&buffer[..length]).expect("an answer in JSON"))
    }
}

/// A bad network: a proxy for datagrams that loses some of them, in either direction. It lives as long as the process.
pub struct Lossy {
    port: u16,
    lost: Arc<AtomicU64>,
}

impl Lossy {
    /// A proxy in front of a port that loses so many of a hundred datagrams, as a seed says.
    pub fn start(hub_port: u16, percent: usize, seed: u64) -> Self {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let (port, lost) = (front.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
        let chance = Arc::new(Mutex::new(Random::new(seed)));
        let is_lost = {
            let lost = Arc::clone(&lost);
            move || {
                let is_lost = chance.lock().unwrap().below(100) < percent;
                lost.fetch_add(u64::from(is_lost), Ordering::SeqCst);
                is_lost
            }
        };
        std::thread::spawn(move || {
            let mut ways: Vec<(SocketAddr, Arc<UdpSocket>)> = Vec::new();
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = front.recv_from(&mut buffer) {
                let way = ways.iter().find(|(addr, _)| *addr == from).map(|(_, way)| Arc::clone(way));
                let way = way.unwrap_or_else(|| {
                    let way = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
                    way.connect((Ipv4Addr::LOCALHOST, hub_port)).unwrap();
                    let (back, front, is_lost) = (Arc::clone(&way), Arc::clone(&front), is_lost.clone());
                    std::thread::spawn(move || {
                        let mut buffer = vec![0; 65_536];
                        while let Ok(length) = back.recv(&mut buffer) {
                            if !is_lost() {
                                let _ = front.send_to(&buffer[..length], from);
                            }
                        }
                    });
                    ways.push((from, Arc::clone(&way)));
                    way
                });
                if !is_lost() {
                    let _ = way.send(&buffer[..length]);
                }
            }
        });
        Self { port, lost }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many datagrams it has lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }
}
