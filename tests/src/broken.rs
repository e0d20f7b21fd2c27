//! Connections that go wrong, as many as one likes: pieces of the corpus of broken packets, handshakes that stop half
//! way in every protocol, and resets.

use crate::corpus::{Case, cases, connects};
use crate::mqtt::{Connect, Will};
use crate::{DEADLINE, websocket};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use trefoil_model::Random;

/// Threads that open connections.
const THREADS: u64 = 4;

/// Connections that a thread has open at a time.
const OPEN: usize = 32;

/// Loopback addresses that connections come from, since each has some ten thousand ports only.
const ADDRESSES: usize = 200;

/// What one connection does.
struct Attempt {
    bytes: Vec<u8>,
    /// Ends with a reset and not in peace.
    resets: bool,
}

/// Everything that connections are made of.
pub struct Breakage {
    cases: [Vec<Case>; 2],
    connects: [Vec<Case>; 2],
    texts: Vec<Vec<u8>>,
}

impl Default for Breakage {
    fn default() -> Self {
        let upgrade = websocket::handshake("/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n");
        let json = websocket::handshake("/ws", "");
        let texts = vec![
            Vec::new(),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"topic\":"
                .to_vec(),
            b"GET /sse?topic=t HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            [&upgrade[..], &websocket::frame(0x82, &Connect::new(5, "").packet())].concat(),
            [&upgrade[..], &[0xFF; 40]].concat(),
            [&json[..], &websocket::frame(0x81, b"{\"sub\":\"t/#\"}")].concat(),
            [&json[..], &websocket::frame(0xC1, b"{\"sub\"")].concat(),
            b"{\"sub\":\"t/#\",\"qos\":1,\"session\":\"gone\"}\n{\"pub\":\"t/1\",\"data\":1}\n".to_vec(),
            b"{\"pub\":\"t\",\"data\":{\"a\":[1,2,{\"b\":\"unfinished".to_vec(),
            b"{]\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            b"nonsense\r\n\r\n".to_vec(),
            vec![0xFF; 3000],
        ];
        Self { cases: [cases(4), cases(5)], connects: [connects(4), connects(5)], texts }
    }
}

impl Breakage {
    /// Opens `count` connections to the hub and breaks them, each in a way that the seed says.
    pub fn make(&self, port: u16, count: u64, seed: u64) {
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let next = &next;
                scope.spawn(move || {
                    let mut random = Random::new(seed.wrapping_mul(THREADS).wrapping_add(thread));
                    let mut open = Vec::with_capacity(OPEN);
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        let attempt = self.attempt(&mut random);
                        open.push((start(port, &attempt.bytes, &mut random), attempt.resets));
                        if open.len() == OPEN {
                            open.drain(..).for_each(|(socket, resets)| end(socket, resets));
                        }
                    }
                    open.drain(..).for_each(|(socket, resets)| end(socket, resets));
                });
            }
        });
    }

    fn attempt(&self, random: &mut Random) -> Attempt {
        let version = random.below(2);
        let accepted = |random: &mut Random| {
            let name = format!("broken-{:x}", random.bits());
            let will = Will::new("wills/of/the/broken", name.clone()).qos(1);
            Connect::new([4, 5][version], name).will(will).packet()
        };
        let mut bytes = match random.below(6) {
            0 | 1 => {
                let mut bytes = accepted(random);
                bytes.extend(&random.one_of(&self.cases[version]).bytes);
                bytes
            }
            2 => random.one_of(&self.connects[version]).bytes.clone(),
            3 => accepted(random),
            _ => random.one_of(&self.texts).clone(),
        };
        if random.chance(50) {
            bytes.truncate(random.below(bytes.len() + 1));
        }
        Attempt { bytes, resets: random.chance(60) }
    }
}

/// Connects from one of many addresses and sends what there is to be sent.
fn start(port: u16, bytes: &[u8], random: &mut Random) -> TcpStream {
    let from = Ipv4Addr::new(127, 0, 1 + random.below(4) as u8, 1 + random.below(ADDRESSES / 4) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::from(SocketAddrV4::new(from, 0))).expect("every loopback address is there");
    let hub = SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    socket.connect_timeout(&hub, DEADLINE).expect("the hub accepts connections");
    let mut stream = TcpStream::from(socket);
    // The hub may have closed it already.
    let _ = stream.write_all(bytes);
    stream
}

fn end(mut stream: TcpStream, resets: bool) {
    if resets {
        // Closing it now makes a reset of it.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket can linger");
        return;
    }
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(DEADLINE)).expect("a limit that is not zero");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the hub does not close: {error}"),
        }
    }
}
