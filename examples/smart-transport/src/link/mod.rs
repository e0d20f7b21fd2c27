//! The bad network: one link for each vehicle and each device, between it and the hub.
//!
//! A [`Link`] is a proxy in user space. [`tcp`] delays what passes, lets it wait behind itself when there is too much of
//! it, and breaks connections off, with the bytes that are on their way; [`udp`] loses, doubles and reorders datagrams.
//! What happens to which bytes is decided by a [`path::Path`], from a seed. All links of the program share one
//! [`Quality`], which the page can change while they are in use.

mod path;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How bad the network is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Quality {
    /// Of a hundred packets so many are lost. TCP sends them again, and all that is behind them waits so long.
    pub(crate) loss_percent: f64,
    /// How long everything takes in one direction.
    pub(crate) delay_ms: u64,
    /// By how much more, at most, it may take.
    pub(crate) jitter_ms: u64,
    /// What passes in a second, in one direction; 0 for any amount.
    pub(crate) kbit_per_s: u64,
    /// Every so many seconds, in the mean, nothing passes for a moment; 0 for never.
    pub(crate) stall_every_s: f64,
    /// Every so many seconds, in the mean, a connection breaks; 0 for never.
    pub(crate) cut_every_s: f64,
}

impl Default for Quality {
    fn default() -> Self {
        Quality {
            loss_percent: 5.0,
            delay_ms: 60,
            jitter_ms: 40,
            kbit_per_s: 64,
            stall_every_s: 15.0,
            cut_every_s: 20.0,
        }
    }
}

impl Quality {
    /// A network without faults.
    pub(crate) const PERFECT: Quality = Quality {
        loss_percent: 0.0,
        delay_ms: 0,
        jitter_ms: 0,
        kbit_per_s: 0,
        stall_every_s: 0.0,
        cut_every_s: 0.0,
    };

    /// The same within what makes sense: a page may send anything. Half of all packets still gets everything through.
    pub(crate) fn bounded(self) -> Quality {
        let sound = |value: f64, max: f64| if value.is_finite() { value.clamp(0.0, max) } else { 0.0 };
        Quality {
            loss_percent: sound(self.loss_percent, 50.0),
            delay_ms: self.delay_ms.min(2_000),
            jitter_ms: self.jitter_ms.min(2_000),
            kbit_per_s: self.kbit_per_s,
            stall_every_s: sound(self.stall_every_s, 3_600.0),
            cut_every_s: sound(self.cut_every_s, 3_600.0),
        }
    }
}

/// What the links of the program have in common.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) quality: watch::Sender<Quality>,
    seed: u64,
}

/// What has gone wrong on a link so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) cuts: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) tunnels: AtomicU64,
    /// Datagrams that came twice.
    pub(crate) doubled: AtomicU64,
    /// Datagrams that later ones may have overtaken.
    pub(crate) overtaken: AtomicU64,
}

/// The way of one vehicle or device to the hub. Clones are the same link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Where the vehicle finds the hub.
    pub(crate) address: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    tunnel: Arc<watch::Sender<Option<Instant>>>,
}

/// What a proxy needs to know of its link.
#[derive(Clone, Debug)]
struct Way {
    hub: SocketAddr,
    quality: watch::Receiver<Quality>,
    tunnel: watch::Receiver<Option<Instant>>,
    faults: Arc<Faults>,
}

impl Network {
    pub(crate) fn new(quality: Quality, seed: u64) -> Network {
        Network { quality: watch::Sender::new(quality.bounded()), seed }
    }

    /// Opens a link for TCP. `number` tells it from all others of the program.
    pub(crate) async fn tcp(&self, hub: SocketAddr, number: u64) -> io::Result<Link> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (link, way) = self.link(hub, listener.local_addr()?);
        tokio::spawn(tcp::serve(listener, way, self.random(number)));
        Ok(link)
    }

    /// Opens a link for UDP.
    pub(crate) async fn udp(&self, hub: SocketAddr, number: u64) -> io::Result<Link> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (link, way) = self.link(hub, socket.local_addr()?);
        tokio::spawn(udp::serve(socket, way, self.random(number)));
        Ok(link)
    }

    fn link(&self, hub: SocketAddr, address: SocketAddr) -> (Link, Way) {
        let (tunnel, faults) = (Arc::new(watch::Sender::new(None)), Arc::new(Faults::default()));
        let (quality, in_tunnel) = (self.quality.subscribe(), tunnel.subscribe());
        let way = Way { hub, quality, tunnel: in_tunnel, faults: faults.clone() };
        (Link { address, faults, tunnel }, way)
    }

    /// The same seed gives every link the same dice again.
    fn random(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number))
    }
}

impl Link {
    /// Nothing passes for so long, and nobody is told. Then what was connected is broken off.
    pub(crate) fn enter_tunnel(&self, duration: Duration) {
        let until = Instant::now() + duration;
        Faults::count(&self.faults.tunnels);
        self.tunnel.send_modify(|end| *end = (*end).max(Some(until)));
    }

    /// How long the tunnel still is.
    pub(crate) fn tunnel_left(&self) -> Option<Duration> {
        let end = (*self.tunnel.borrow())?;
        Some(end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

impl Faults {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Way {
    fn in_tunnel(&self) -> bool {
        self.tunnel.borrow().is_some_and(|end| Instant::now() < end)
    }

    /// Returns when the link is in a tunnel, which may be never.
    async fn tunnel_begins(&mut self) {
        while !self.in_tunnel() {
            if self.tunnel.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when the link is in no tunnel any more.
    async fn tunnel_ends(&self) {
        loop {
            // It may become longer while it lasts.
            let end = *self.tunnel.borrow();
            match end {
                Some(end) if Instant::now() < end => sleep_until(end).await,
                _ => return,
            }
        }
    }

    /// Returns when it is time for the next cut, which may be never. A change of the quality rolls the dice anew.
    async fn next_cut(&mut self, random: &mut Rng) {
        loop {
            let cut_every_s = self.quality.borrow_and_update().cut_every_s;
            tokio::select! {
                () = sleep(path::wait(cut_every_s, random)), if cut_every_s > 0.0 => return,
                changed = self.quality.changed() => if changed.is_err() { return },
            }
        }
    }
}
