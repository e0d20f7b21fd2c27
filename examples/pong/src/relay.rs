//! A bad network for one player: a relay that loses datagrams and holds some up, so that others overtake them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::sleep;

/// What a room's datagram has at most, and some more.
const DATAGRAM_BYTES_MAX: usize = 2048;
/// Of so many datagrams one is held up.
const LATE_ONE_IN: u32 = 25;
const LATE: Duration = Duration::from_millis(90);

/// What has become of datagrams, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) late: AtomicU64,
}

/// Opens a relay to the hub for one player, and serves it for as long as the program runs. `loss` is in percent, and may
/// change.
pub(crate) async fn open(
    hub: SocketAddr,
    loss: watch::Receiver<f64>,
    mut rng: Rng,
) -> io::Result<(SocketAddr, Arc<Counts>)> {
    let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let far = Arc::new(UdpSocket::bind(if hub.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?);
    far.connect(hub).await?;
    let (address, counts) = (near.local_addr()?, Arc::new(Counts::default()));
    let count = counts.clone();
    tokio::spawn(async move {
        let (mut from_player, mut from_hub) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
        let mut player = None;
        loop {
            // Errors tell of earlier datagrams that found nobody; they are lost like others.
            tokio::select! {
                came = near.recv_from(&mut from_player) => if let Ok((length, from)) = came {
                    // Nobody else has any business here, and might have meant another program at this port.
                    if *player.get_or_insert(from) != from {
                        continue;
                    }
                    let percent = *loss.borrow();
                    pass(&far, None, &from_player[..length], percent, &mut rng, &count).await;
                },
                came = far.recv(&mut from_hub) => if let (Ok(length), Some(to)) = (came, player) {
                    let percent = *loss.borrow();
                    pass(&near, Some(to), &from_hub[..length], percent, &mut rng, &count).await;
                },
            }
        }
    });
    Ok((address, counts))
}

async fn pass(
    socket: &Arc<UdpSocket>,
    to: Option<SocketAddr>,
    bytes: &[u8],
    loss: f64,
    rng: &mut Rng,
    counts: &Counts,
) {
    if 100.0 * rng.f64() < loss {
        counts.lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    counts.passed.fetch_add(1, Ordering::Relaxed);
    if rng.u32(..LATE_ONE_IN) > 0 {
        return send(socket, to, bytes).await;
    }
    counts.late.fetch_add(1, Ordering::Relaxed);
    let (socket, bytes) = (socket.clone(), bytes.to_vec());
    tokio::spawn(async move {
        sleep(LATE).await;
        send(&socket, to, &bytes).await;
    });
}

async fn send(socket: &UdpSocket, to: Option<SocketAddr>, bytes: &[u8]) {
    // What cannot be sent is lost.
    let _ = match to {
        Some(to) => socket.send_to(bytes, to).await,
        None => socket.send(bytes).await,
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn some_get_lost_and_some_are_overtaken_and_the_rest_arrives() {
        let hub = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (worse, loss) = watch::channel(20.0);
        let (address, counts) = open(hub.local_addr().unwrap(), loss, Rng::with_seed(3)).await.unwrap();
        let player = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        player.connect(address).await.unwrap();
        let (mut numbers, mut buffer) = (Vec::new(), [0; 8]);
        for number in 0u64.. {
            player.send(&number.to_be_bytes()).await.unwrap();
            let came = tokio::time::timeout(Duration::from_millis(1), hub.recv_from(&mut buffer)).await;
            if came.is_ok() {
                numbers.push(u64::from_be_bytes(buffer));
            }
            if !numbers.is_sorted() && counts.lost.load(Ordering::Relaxed) > 10 {
                break;
            }
        }
        assert!(counts.late.load(Ordering::Relaxed) > 0);
        worse.send_replace(100.0);
        // Until what is still on its way has arrived.
        loop {
            player.send(b"x").await.unwrap();
            if tokio::time::timeout(2 * LATE, hub.recv_from(&mut buffer)).await.is_err() {
                break;
            }
        }
        worse.send_replace(0.0);
        player.send(b"again").await.unwrap();
        let (length, relay) = hub.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"again");
        hub.send_to(b"back", relay).await.unwrap();
        assert_eq!(player.recv(&mut buffer).await.unwrap(), 4);
    }
}
