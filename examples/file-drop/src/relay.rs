//! The network of one machine: a relay to the hub that lets so much through and no more, and can be cut.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

const PIECE_BYTES: usize = 16 << 10;
/// So much of what passed last is shown.
const SHOWN_BYTES: usize = 48;

pub(crate) struct Relay {
    /// Where the machine reaches the hub.
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

/// What a relay has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Bytes, in both directions.
    pub(crate) bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
    last: Mutex<Vec<u8>>,
}

impl Seen {
    /// The last bytes that passed, which is all that anybody on the way can know.
    pub(crate) fn last(&self) -> String {
        let last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        last.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    fn saw(&self, bytes: &[u8]) {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let shown = bytes[bytes.len().saturating_sub(SHOWN_BYTES)..].to_vec();
        *self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = shown;
    }
}

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// How much passes in each direction, in bytes a second.
    pub(crate) rate: f64,
    /// Until then nothing does, and connections break.
    pub(crate) cut_until: Option<Instant>,
}

impl Weather {
    fn is_cut(&self) -> bool {
        self.cut_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Opens one that listens there.
///
/// # Errors
/// When this machine does not have that address.
pub(crate) async fn open(
    at: SocketAddr,
    hub: SocketAddr,
    weather: watch::Receiver<Weather>,
) -> io::Result<Relay> {
    let listener = TcpListener::bind(at).await?;
    let (address, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
    let shared = seen.clone();
    tokio::spawn(async move {
        loop {
            // The system is short of sockets; it will not be for ever.
            let Ok((near, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Who comes while the network is cut is turned away by the close.
            if !weather.borrow().is_cut() {
                tokio::spawn(carry(near, hub, weather.clone(), shared.clone()));
            }
        }
    });
    Ok(Relay { address, seen })
}

async fn carry(near: TcpStream, hub: SocketAddr, weather: watch::Receiver<Weather>, seen: Arc<Seen>) {
    let Ok(far) = TcpStream::connect(hub).await else { return };
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let mut cut = weather.clone();
    // Small pieces are to pass as they come, as they do on a wire.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let both = async {
        tokio::join!(
            pass(near_in, far_out, weather.clone(), &seen),
            pass(far_in, near_out, weather.clone(), &seen),
        )
    };
    tokio::select! {
        _ = both => {}
        // Both connections go, with all that was on its way.
        _ = cut.wait_for(Weather::is_cut) => {}
    }
}

/// Carries one direction, no faster than it may.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    seen: &Seen,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut free_at = Instant::now();
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let rate = weather.borrow().rate;
        free_at = free_at.max(Instant::now()) + Duration::from_secs_f64(length as f64 / rate);
        sleep_until(free_at).await;
        seen.saw(&piece[..length]);
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_pass_until_it_is_cut_and_again_afterwards() {
        let hub = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sky, weather) = watch::channel(Weather { rate: 1e9, cut_until: None });
        let at = "127.0.0.1:0".parse().unwrap();
        let relay = open(at, hub.local_addr().unwrap(), weather).await.unwrap();
        let mut near = TcpStream::connect(relay.address).await.unwrap();
        let (mut far, _) = hub.accept().await.unwrap();
        near.write_all(b"there").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(far.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(
            (relay.seen.last(), relay.seen.bytes.load(Ordering::Relaxed)),
            ("74 68 65 72 65".into(), 5)
        );
        let until = Instant::now() + Duration::from_millis(50);
        sky.send_modify(|weather| weather.cut_until = Some(until));
        assert!(matches!(far.read(&mut buffer).await, Ok(0) | Err(_)));
        assert!(matches!(near.read(&mut buffer).await, Ok(0) | Err(_)));
        sleep_until(until).await;
        let mut near = TcpStream::connect(relay.address).await.unwrap();
        let (mut far, _) = hub.accept().await.unwrap();
        far.write_all(b"back").await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(near.read(&mut buffer).await.unwrap(), 0, "an end passes, too");
        assert_eq!(relay.seen.connections.load(Ordering::Relaxed), 2);
    }
}
