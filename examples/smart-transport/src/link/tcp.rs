//! Streams over a bad link.

use std::io;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::path::Path;
use super::{Faults, Way};

/// Pieces that are on their way in one direction. When there are so many, the sender has to wait.
const PIECES_MAX: usize = 64;
const PIECE_BYTES_MAX: usize = 4_096;

/// How a connection ends.
enum End {
    /// Both sides have said goodbye.
    Closed,
    /// One side is gone.
    Broken,
    /// The link breaks it.
    Cut,
    Tunnel,
}

/// Takes connections as long as the program runs.
pub(super) async fn serve(listener: TcpListener, way: Way, mut random: Rng) {
    loop {
        // An error is that of a connection which is gone already, or of a system that is short of files for now.
        let Ok((vehicle, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(carry(vehicle, way.clone(), random.fork()));
    }
}

/// Serves one connection to its end.
async fn carry(mut vehicle: TcpStream, mut way: Way, mut random: Rng) {
    if way.in_tunnel() {
        // Who calls from a tunnel hears nothing.
        way.tunnel_ends().await;
        return reset(vehicle);
    }
    let Ok(mut hub) = TcpStream::connect(way.hub).await else { return reset(vehicle) };
    // Small packets leave at once: all delay is this program's business.
    let _ = (vehicle.set_nodelay(true), hub.set_nodelay(true));
    match pass(&mut vehicle, &mut hub, &mut way, &mut random).await {
        End::Closed => return,
        End::Broken => {}
        End::Cut => Faults::count(&way.faults.cuts),
        // Meanwhile both sides go on and hear nothing of each other.
        End::Tunnel => way.tunnel_ends().await,
    }
    reset(vehicle);
    reset(hub);
}

async fn pass(vehicle: &mut TcpStream, hub: &mut TcpStream, way: &mut Way, random: &mut Rng) -> End {
    let now = Instant::now();
    let (up, down) = (Path::new(random.fork(), now), Path::new(random.fork(), now));
    let (from_vehicle, to_vehicle) = vehicle.split();
    let (from_hub, to_hub) = hub.split();
    let (mut cuts, mut tunnels) = (way.clone(), way.clone());
    let both = async {
        tokio::try_join!(pump(from_vehicle, to_hub, up, way), pump(from_hub, to_vehicle, down, way))
    };
    tokio::select! {
        ended = both => if ended.is_ok() { End::Closed } else { End::Broken },
        () = cuts.next_cut(random) => End::Cut,
        () = tunnels.tunnel_begins() => End::Tunnel,
    }
}

/// Carries bytes in one direction until their end. When it is dropped, what is on its way is lost.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut path: Path, way: &Way) -> io::Result<()> {
    let (sender, mut on_the_way) = mpsc::channel(PIECES_MAX);
    let sends = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES_MAX];
            let count = from.read(&mut piece).await?;
            piece.truncate(count);
            let passage = path.stream(count, &way.quality.borrow(), Instant::now());
            way.faults.lost.fetch_add(passage.lost, std::sync::atomic::Ordering::Relaxed);
            if passage.stalled {
                Faults::count(&way.faults.stalls);
            }
            if count == 0 || sender.send((passage.arrives_at, piece)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let arrives = async {
        while let Some((at, piece)) = on_the_way.recv().await {
            sleep_until(at).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(sends, arrives).map(|_| ())
}

/// Ends it so that the other side notices at once, whatever it is doing.
fn reset(stream: TcpStream) {
    // When it fails the connection ends in an orderly way; it ends.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::{Link, Network, Quality};
    use super::*;

    /// A link with something behind it that says everything again.
    async fn link(quality: Quality) -> (Network, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let network = Network::new(quality, 3);
        let link = network.tcp(address, 1).await.unwrap();
        (network, link)
    }

    async fn echo(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        let mut came = vec![0; bytes.len()];
        stream.read_exact(&mut came).await?;
        assert!(came == bytes, "bytes that arrive arrive as they are");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_lost_is_sent_again() {
        let quality = Quality { loss_percent: 20.0, jitter_ms: 2, ..Quality::PERFECT };
        let (_network, link) = link(quality).await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(30_000).collect();
        echo(&mut stream, &bytes).await.unwrap();
        assert!(link.faults.lost.load(std::sync::atomic::Ordering::Relaxed) > 0);
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "a goodbye passes, too");
    }

    #[tokio::test]
    async fn cuts_break_connections_and_the_next_one_works() {
        let (network, link) = link(Quality { cut_every_s: 0.05, ..Quality::PERFECT }).await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        while echo(&mut stream, b"x").await.is_ok() {}
        assert!(link.faults.cuts.load(std::sync::atomic::Ordering::Relaxed) > 0);
        network.quality.send_replace(Quality::PERFECT);
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        echo(&mut stream, b"x").await.unwrap();
    }

    #[tokio::test]
    async fn a_tunnel_is_silence_and_then_the_end() {
        let (_network, link) = link(Quality::PERFECT).await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        echo(&mut stream, b"before").await.unwrap();
        link.enter_tunnel(Duration::from_millis(200));
        let mut second = TcpStream::connect(link.address).await.unwrap();
        assert!(link.tunnel_left().is_some());
        for stream in [&mut stream, &mut second] {
            assert!(echo(stream, b"within").await.is_err());
            assert!(link.tunnel_left().is_none(), "nobody is told before its end");
        }
        echo(&mut TcpStream::connect(link.address).await.unwrap(), b"after").await.unwrap();
    }
}
