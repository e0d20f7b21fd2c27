//! Promises under bad conditions: clients that keep theirs, a network that breaks every connection, the real hub, and
//! the oracle that the simulation has too.

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use trefoil_model::wire::Version;
use trefoil_model::{Allowance, Client, History, Message, Options, Random, check};
use trefoil_tests::proxy::Proxy;
use trefoil_tests::{CONFIG, Hub, connect, wait_until};

/// Messages that each client publishes.
const MESSAGES: u64 = 250;

/// Bytes after which a connection is broken at the latest: some fifty packets.
const BYTES_MAX: usize = 2500;

/// What a client subscribes to: filter, QoS, and whether it wants retained messages.
type Filters = &'static [(&'static str, u8, bool)];

/// What the clients are: version, messages that they take at a time, subscriptions.
const CLIENTS: [(Version, u16, Filters); 4] = [
    (Version::V5, u16::MAX, &[("t/#", 2, true)]),
    (Version::V5, 3, &[("t/1", 1, true), ("t/+", 2, true)]),
    (Version::V4, u16::MAX, &[("#", 1, true)]),
    (Version::V4, u16::MAX, &[("t/0", 2, true), ("t/2", 0, true)]),
];

/// What the threads of the clients share.
struct Stage {
    history: Mutex<History>,
    port: u16,
    /// Clients that have everything through.
    done: AtomicUsize,
    is_over: AtomicBool,
}

/// Ends the play, however this test ends.
struct Curtain<'a>(&'a Stage);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// One client, from connection to connection.
fn play(stage: &Stage, number: usize, seed: u64) {
    let (version, receive_max, filters) = CLIENTS[number];
    let client_id = format!("chaos-{number}");
    let mut client = Client::new(Options { number, client_id, version, expiry_s: u32::MAX, receive_max });
    let mut random = Random::new(seed.wrapping_mul(100).wrapping_add(number as u64));
    let (mut published, mut is_done) = (0, false);
    while !stage.is_over.load(Ordering::SeqCst) {
        let mut stream = connect(stage.port);
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        client.connect(false, None, &mut stage.history.lock().unwrap());
        let mut buffer = [0; 2048];
        while !stage.is_over.load(Ordering::SeqCst) {
            {
                let mut history = stage.history.lock().unwrap();
                if client.is_ready() && client.take_new_session() {
                    client.subscribe(filters, &mut history);
                }
                if client.is_ready() && published < MESSAGES {
                    published += 1;
                    let qos = [0, 1, 1, 2, 2][random.below(5)];
                    client.publish(
                        Message {
                            number: published * CLIENTS.len() as u64 + number as u64,
                            topic: format!("t/{}", random.below(3)),
                            qos,
                            retain: false,
                            expiry_s: None,
                            payload_bytes: random.below(60),
                            delay_s: None,
                            clears: false,
                        },
                        &mut history,
                    );
                }
            }
            // Sometimes a client is slow to answer, so that more is under way.
            let owed = client.owed();
            client.answer(if published < MESSAGES && random.chance(30) { owed / 2 } else { owed });
            if stream.write_all(&client.output()).is_err() {
                break;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let taken = client.receive(&buffer[..count], &mut stage.history.lock().unwrap());
                    match taken {
                        Ok(()) => {}
                        // The CONNECT of the connection before this one came late and took the session over.
                        Err(why) if why.ends_with("goodbye with 0x8e") => break,
                        Err(why) => panic!("client {number}: {why}"),
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            if !is_done && published == MESSAGES && client.is_idle() {
                is_done = true;
                stage.done.fetch_add(1, Ordering::SeqCst);
            }
        }
        client.lose();
    }
}

fn verdict(stage: &Stage) -> Result<trefoil_model::Summary, String> {
    check(&stage.history.lock().unwrap().entries, Allowance::default())
}

#[test]
fn promises_are_kept_over_a_network_that_breaks() {
    let seed = std::env::var("TREFOIL_CHAOS_SEED").map_or_else(|_| 1, |text| text.parse().unwrap());
    eprintln!("seed {seed}; TREFOIL_CHAOS_SEED sets another");
    // Few in flight, or a broken connection would be followed by nothing but resends.
    let limits = "[limits]\ninflight_max = 40\nreceive_max = 40\n";
    let hub = Hub::with_config(&format!("{CONFIG}\n{limits}"));
    let proxy = Proxy::start(hub.tcp_port(), BYTES_MAX, seed);
    let stage = Stage {
        history: Mutex::default(),
        port: proxy.port(),
        done: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let _curtain = Curtain(&stage);
        let players: Vec<_> = (0..CLIENTS.len())
            .map(|number| {
                scope.spawn({
                    let stage = &stage;
                    move || play(stage, number, seed)
                })
            })
            .collect();
        let has_failed = || players.iter().any(|player| player.is_finished());
        wait_until("all is published and acknowledged", || {
            stage.done.load(Ordering::SeqCst) == CLIENTS.len() || has_failed()
        });
        // What is still owed to somebody comes over a network that holds.
        proxy.calm_down();
        wait_until("every promise is kept", || verdict(&stage).is_ok() || has_failed());
    });
    let summary = verdict(&stage).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    eprintln!("{summary:?}, {} cuts", proxy.cuts());
    assert!(
        proxy.cuts() > 20 && summary.resent > 10 && summary.repeated > 10,
        "{summary:?}, {} cuts",
        proxy.cuts()
    );
}
