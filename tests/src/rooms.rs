//! A small peer of datagram channels that speaks them by hand, as `docs/rooms.md` has the bytes.

use crate::DEADLINE;
use std::cell::Cell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use trefoil_model::Random;

/// JOIN is padded to so many bytes.
pub const JOIN_BYTES: usize = 160;

/// A UDP socket that talks to the hub, and counts.
pub struct Peer {
    socket: UdpSocket,
    /// Of its JOINs.
    pub nonce: u32,
    /// Its number in the room; 0 before it is in one.
    pub number: u16,
    /// How many others were there, and their numbers.
    pub others: (u16, Vec<u16>),
    /// By which its JOIN was let in.
    pub join: Vec<u8>,
    /// Bytes sent and got so far.
    pub bytes: Cell<(usize, usize)>,
}

/// A JOIN.
pub fn join(nonce: u32, cookie: &[u8], room: &[u8], token: &[u8], bytes_min: usize) -> Vec<u8> {
    let mut out = vec![0x04, 1];
    out.extend_from_slice(&nonce.to_be_bytes());
    out.extend_from_slice(cookie);
    out.push(room.len() as u8);
    out.extend_from_slice(room);
    out.extend_from_slice(&(token.len() as u16).to_be_bytes());
    out.extend_from_slice(token);
    out.resize(out.len().max(bytes_min), 0);
    out
}

/// A DATA packet.
pub fn data(flags: u8, peer: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x06, flags];
    out.extend_from_slice(&peer.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A control packet with one number.
pub fn control(kind: u8, number: u32) -> Vec<u8> {
    let mut out = vec![0x07, kind];
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// A control packet with two numbers, and a reason if there is one.
pub fn told(kind: u8, peer: u16, peers: u16, why: Option<u8>) -> Vec<u8> {
    let mut out = vec![0x07, kind];
    out.extend_from_slice(&peer.to_be_bytes());
    out.extend_from_slice(&peers.to_be_bytes());
    out.extend(why);
    out
}

impl Peer {
    /// A socket that has said nothing yet.
    pub fn new(port: u16) -> Peer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("port 0 is always free");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("a loopback address");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let nonce = u32::from(socket.local_addr().expect("it is bound").port());
        Peer { socket, nonce, number: 0, others: (0, Vec::new()), join: Vec::new(), bytes: Cell::default() }
    }

    /// One that is in a room.
    pub fn joined(port: u16, room: &str, token: &str) -> Peer {
        let mut peer = Peer::new(port);
        let answer = peer.try_join(room, token);
        peer.welcomed(&answer);
        peer
    }

    /// Asks to join, with the cookie that the hub gives for it. Returns the answer.
    pub fn try_join(&mut self, room: &str, token: &str) -> Vec<u8> {
        let cookie = self.cookie(room, token);
        self.join = join(self.nonce, &cookie, room.as_bytes(), token.as_bytes(), JOIN_BYTES);
        self.ask(&self.join)
    }

    /// The cookie for a JOIN.
    pub fn cookie(&self, room: &str, token: &str) -> Vec<u8> {
        let first = join(self.nonce, &[0; 16], room.as_bytes(), token.as_bytes(), JOIN_BYTES);
        let challenge = self.ask(&first);
        assert_eq!(challenge[..2], [0x05, 0], "{}", challenge.escape_ascii());
        assert_eq!(challenge[2..6], self.nonce.to_be_bytes());
        assert_eq!(challenge.len(), 22);
        challenge[6..].to_vec()
    }

    /// Takes a WELCOME.
    #[track_caller]
    pub fn welcomed(&mut self, answer: &[u8]) {
        assert_eq!(answer[..2], [0x05, 1], "{}", answer.escape_ascii());
        assert_eq!(answer[2..6], self.nonce.to_be_bytes());
        let number = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        self.number = number(6);
        self.others = (number(8), (14..answer.len()).step_by(2).map(number).collect());
    }

    /// Sends a datagram.
    pub fn send(&self, datagram: &[u8]) {
        let (sent, got) = self.bytes.get();
        self.bytes.set((sent + datagram.len(), got));
        self.socket.send(datagram).expect("the hub is there");
    }

    /// Says something to all others.
    pub fn say(&self, payload: impl AsRef<[u8]>) {
        self.send(&data(0, 0, 0, payload.as_ref()));
    }

    /// The next datagram.
    #[track_caller]
    pub fn next(&self) -> Vec<u8> {
        let mut buffer = [0; 65_536];
        let len = self.socket.recv(&mut buffer).expect("a datagram comes");
        let (sent, got) = self.bytes.get();
        self.bytes.set((sent, got + len));
        buffer[..len].to_vec()
    }

    /// Sends a datagram, and gives what comes.
    #[track_caller]
    pub fn ask(&self, datagram: &[u8]) -> Vec<u8> {
        self.send(datagram);
        self.next()
    }

    /// The next datagram, which is this one.
    #[track_caller]
    pub fn expect(&self, datagram: &[u8]) {
        let came = self.next();
        assert_eq!(came, datagram, "{} in place of {}", came.escape_ascii(), datagram.escape_ascii());
    }

    /// The payload of the next datagram, and who has said it.
    #[track_caller]
    pub fn hear(&self) -> (u16, Vec<u8>) {
        let came = self.next();
        assert_eq!(came[0], 0x06, "{}", came.escape_ascii());
        (u16::from_be_bytes([came[2], came[3]]), came[8..].to_vec())
    }

    /// What has come until the hub answers a question: PONG to who is in a room, RESET to who is in none.
    pub fn all_until_now(&self) -> Vec<Vec<u8>> {
        let number = 0x7fff_0000 + self.bytes.get().0 as u32;
        self.send(&control(1, number));
        let mut all = Vec::new();
        loop {
            let came = self.next();
            if came == control(2, number) || came == control(0, number) {
                return all;
            }
            all.push(came);
        }
    }

    /// Asserts that nothing has come until now.
    #[track_caller]
    pub fn nothing(&self) {
        assert_eq!(self.all_until_now(), Vec::<Vec<u8>>::new());
    }

    /// Asks whether it is in a room, which it is; nothing has come before.
    #[track_caller]
    pub fn expect_pong(&self) {
        let number = 0x7fff_0000 + self.bytes.get().0 as u32;
        let came = self.ask(&control(1, number));
        assert_eq!(came, control(2, number), "{}", came.escape_ascii());
    }

    /// The same, and hands over what has come before.
    #[track_caller]
    pub fn expect_pong_or(&self, mut other: impl FnMut(Vec<u8>)) {
        self.all_until_now().into_iter().for_each(&mut other);
    }

    /// Its own address, as text.
    pub fn address(&self) -> String {
        self.socket.local_addr().expect("it is bound").to_string()
    }

    /// Whether nothing is left to be read at this moment.
    pub fn is_quiet(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a deadline");
        let mut buffer = [0; 1];
        let quiet = self
            .socket
            .recv(&mut buffer)
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        quiet
    }
}

/// A bad network for datagrams: a proxy that loses some of them, says others twice, and lets others be overtaken by the
/// next one, as a seed says.
pub struct Lossy {
    port: u16,
    lost: Arc<AtomicUsize>,
}

impl Lossy {
    /// In front of a port. Of a thousand datagrams `per_mille` are lost, as many come twice, and as many come late.
    pub fn start(hub_port: u16, per_mille: usize, seed: u64) -> Lossy {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("port 0 is always free"));
        let port = front.local_addr().expect("it is bound").port();
        let lost = Arc::new(AtomicUsize::new(0));
        let count = lost.clone();
        std::thread::spawn(move || {
            let mut backs: HashMap<SocketAddr, (Arc<UdpSocket>, Fate)> = HashMap::new();
            let mut buffer = [0; 65_536];
            while let Ok((len, client)) = front.recv_from(&mut buffer) {
                let number = backs.len() as u64;
                let (back, fate) = backs.entry(client).or_insert_with(|| {
                    let back =
                        Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("port 0 is always free"));
                    back.connect((Ipv4Addr::LOCALHOST, hub_port)).expect("a loopback address");
                    let fate =
                        |seed| Fate { random: Random::new(seed), per_mille, late: None, lost: count.clone() };
                    let (from, to, mut way_back) = (back.clone(), front.clone(), fate(seed + 2 * number));
                    std::thread::spawn(move || {
                        let mut buffer = [0; 65_536];
                        loop {
                            // A hub that is not there at the moment is no end.
                            let Ok(len) = from.recv(&mut buffer) else { continue };
                            way_back.carry(&buffer[..len], |datagram| drop(to.send_to(datagram, client)));
                        }
                    });
                    (back, fate(seed + 2 * number + 1))
                });
                fate.carry(&buffer[..len], |datagram| drop(back.send(datagram)));
            }
        });
        Lossy { port, lost }
    }

    /// Where it takes datagrams.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many it has lost.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// What becomes of datagrams in one direction.
struct Fate {
    random: Random,
    per_mille: usize,
    /// One that comes behind the next.
    late: Option<Vec<u8>>,
    lost: Arc<AtomicUsize>,
}

impl Fate {
    fn carry(&mut self, datagram: &[u8], mut send: impl FnMut(&[u8])) {
        match self.random.below(1000) / self.per_mille {
            0 => drop(self.lost.fetch_add(1, Ordering::SeqCst)),
            1 => (0..2).for_each(|_| send(datagram)),
            2 if self.late.is_none() => return self.late = Some(datagram.to_vec()),
            _ => send(datagram),
        }
        if let Some(late) = self.late.take() {
            send(&late);
        }
    }
}
