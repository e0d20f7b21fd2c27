//! A network between an end and the hub: it remembers all bytes, can hold them up after some, and cut every connection.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use trefoil_tests::{connect, wait_until};

pub(super) struct Wire {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    recorded: Vec<u8>,
    /// No more bytes than this pass.
    most: Option<usize>,
    is_held_up: bool,
    connections: Vec<TcpStream>,
}

impl Wire {
    /// In front of the hub.
    pub(super) fn start(hub_port: u16) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let hub = connect(hub_port);
                hub.set_read_timeout(None).unwrap();
                for (from, to) in [(&client, &hub), (&hub, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = shared.clone();
                    std::thread::spawn(move || carry(from, to, &state));
                }
                shared.0.lock().unwrap().connections.extend([client, hub]);
            }
        });
        Wire { port, state }
    }

    pub(super) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// From now on no more than so many bytes pass, together with those that have.
    pub(super) fn hold_after(&self, bytes: usize) {
        self.state.0.lock().unwrap().most = Some(bytes);
    }

    /// Waits until something is held up.
    pub(super) fn wait_held_up(&self) {
        wait_until("the wire holds something up", || self.state.0.lock().unwrap().is_held_up);
    }

    /// Cuts every connection, and lets those pass that are made after it.
    pub(super) fn cut(&self) {
        let mut state = self.state.0.lock().unwrap();
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        (state.most, state.is_held_up) = (None, false);
        self.state.1.notify_all();
    }

    /// Lets everything pass that has been held up.
    pub(super) fn go_on(&self) {
        self.state.0.lock().unwrap().most = None;
        self.state.1.notify_all();
    }

    /// How many bytes have passed, in both directions.
    pub(super) fn passed(&self) -> usize {
        self.state.0.lock().unwrap().recorded.len()
    }

    /// Whether 32 bytes have passed twice, but for text, as the lines of the hub are: a quarter of them is no ASCII.
    pub(super) fn repeats_itself(&self) -> bool {
        let state = self.state.0.lock().unwrap();
        let is_binary = |bytes: &&[u8]| bytes.iter().filter(|byte| !byte.is_ascii()).count() >= 8;
        let mut seen = HashSet::new();
        state.recorded.windows(32).filter(is_binary).any(|bytes| !seen.insert(bytes))
    }

    /// Whether these bytes have passed.
    pub(super) fn saw(&self, bytes: &[u8]) -> bool {
        self.state.0.lock().unwrap().recorded.windows(bytes.len()).any(|window| window == bytes)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, (state, changed): &(Mutex<State>, Condvar)) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        {
            let mut state = state.lock().unwrap();
            while state.most.is_some_and(|most| state.recorded.len() + count > most) {
                state.is_held_up = true;
                state = changed.wait(state).unwrap();
            }
            state.recorded.extend_from_slice(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
