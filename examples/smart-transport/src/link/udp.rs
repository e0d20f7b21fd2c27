//! Datagrams over a bad link.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fastrand::Rng;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::path::{Fate, Path};
use super::{Faults, Way};

/// The largest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Serves one device as long as the program runs. A cut is here what a router does that has forgotten its device: the
/// hub sees it from another address from then on.
pub(super) async fn serve(near: UdpSocket, way: Way, mut random: Rng) {
    let near = Arc::new(near);
    let now = Instant::now();
    let mut paths = [Path::new(random.fork(), now), Path::new(random.fork(), now)];
    let mut device = None;
    let mut cuts = way.clone();
    loop {
        let Ok(far) = open(way.hub).await else {
            // The system is short of sockets; it will not be for ever.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let far = Arc::new(far);
        tokio::select! {
            () = pass(&near, &far, &mut device, &mut paths, &way) => {}
            () = cuts.next_cut(&mut random) => Faults::count(&way.faults.cuts),
        }
    }
}

async fn open(hub: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if hub.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(hub).await?;
    Ok(socket)
}

/// Carries datagrams between the device, whose address is that of its last one, and the hub.
async fn pass(
    near: &Arc<UdpSocket>,
    far: &Arc<UdpSocket>,
    device: &mut Option<SocketAddr>,
    [up, down]: &mut [Path; 2],
    way: &Way,
) {
    let (mut from_device, mut from_hub) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
    loop {
        tokio::select! {
            // Errors tell of earlier datagrams that found nobody; they are lost like others.
            came = near.recv_from(&mut from_device) => if let Ok((count, from)) = came {
                *device = Some(from);
                send(far, None, &from_device[..count], up, way);
            },
            came = far.recv(&mut from_hub) => if let (Ok(count), Some(to)) = (came, *device) {
                send(near, Some(to), &from_hub[..count], down, way);
            },
        }
    }
}

/// Lets a datagram arrive when it does.
fn send(socket: &Arc<UdpSocket>, to: Option<SocketAddr>, bytes: &[u8], path: &mut Path, way: &Way) {
    let arrives = |at| {
        let (socket, bytes) = (socket.clone(), bytes.to_vec());
        tokio::spawn(async move {
            sleep_until(at).await;
            // What cannot be sent is lost.
            let _ = match to {
                Some(to) => socket.send_to(&bytes, to).await,
                None => socket.send(&bytes).await,
            };
        });
    };
    let lost = || _ = way.faults.lost.fetch_add(1, Ordering::Relaxed);
    if way.in_tunnel() {
        return lost();
    }
    match path.datagram(bytes.len(), &way.quality.borrow(), Instant::now()) {
        Fate::Lost => lost(),
        Fate::Arrives(at) => arrives(at),
        Fate::ArrivesLate(at) => {
            Faults::count(&way.faults.overtaken);
            arrives(at);
        }
        Fate::Doubled(first, second) => {
            Faults::count(&way.faults.doubled);
            arrives(first);
            arrives(second);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::{Network, Quality};
    use super::*;

    #[tokio::test]
    async fn datagrams_get_lost_doubled_and_out_of_order_and_their_sender_changes() {
        let hub = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let quality = Quality { loss_percent: 20.0, jitter_ms: 5, cut_every_s: 0.05, ..Quality::PERFECT };
        let network = Network::new(quality, 1);
        let link = network.udp(hub.local_addr().unwrap(), 1).await.unwrap();
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        device.connect(link.address).await.unwrap();
        let (mut numbers, mut senders) = (Vec::new(), BTreeSet::new());
        let mut number = 0u32;
        let mut buffer = [0; 16];
        // Until everything has been seen that can happen to a datagram.
        loop {
            device.send(&number.to_be_bytes()).await.unwrap();
            number += 1;
            let next = tokio::time::timeout(Duration::from_millis(2), hub.recv_from(&mut buffer)).await;
            let Ok(Ok((4, from))) = next else { continue };
            hub.send_to(&buffer[..4], from).await.unwrap();
            senders.insert(from);
            numbers.push(u32::from_be_bytes(buffer[..4].try_into().unwrap()));
            let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
            let missing = number as usize - distinct.len();
            if missing > 0 && distinct.len() < numbers.len() && !numbers.is_sorted() && senders.len() > 2 {
                break;
            }
        }
        network.quality.send_replace(Quality::PERFECT);
        let answered = tokio::time::timeout(Duration::from_secs(30), device.recv(&mut buffer)).await;
        assert_eq!(answered.unwrap().unwrap(), 4, "answers find the device");
        assert!(link.faults.lost.load(Ordering::Relaxed) > 0);
    }
}
