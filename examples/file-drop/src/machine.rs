//! The two machines: an address and a folder each, and the network between them and the hub.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::relay::{self, Relay, Weather};

const MIB: f64 = 1_048_576.0;
/// How long a cut lasts.
const CUT: Duration = Duration::from_millis(1500);
/// Below that nobody would wait for it.
const RATE_MIN: f64 = 0.05;

/// A machine.
pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) relay: Relay,
}

/// Both of them.
pub(crate) struct Network {
    pub(crate) ann: Machine,
    pub(crate) bob: Machine,
    weather: watch::Sender<Weather>,
}

impl Network {
    /// Opens both ways to the hub, with so many MiB a second on each.
    ///
    /// # Errors
    /// When an address cannot be had.
    pub(crate) async fn open(hub: SocketAddr, mib_a_second: f64) -> io::Result<Network> {
        let (weather, seen) = watch::channel(Weather { rate: bytes_a_second(mib_a_second), cut_until: None });
        let ann = machine(Ipv4Addr::new(127, 0, 0, 2), hub, seen.clone()).await?;
        let bob = machine(Ipv4Addr::new(127, 0, 0, 3), hub, seen).await?;
        Ok(Network { ann, bob, weather })
    }

    /// Breaks all connections, and lets none be made for a while.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut_until = Some(Instant::now() + CUT));
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.weather.borrow().cut_until.is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn set_rate(&self, mib_a_second: f64) {
        self.weather.send_modify(|weather| weather.rate = bytes_a_second(mib_a_second));
    }

    /// In MiB a second.
    pub(crate) fn rate(&self) -> f64 {
        self.weather.borrow().rate / MIB
    }
}

/// A machine with an address of its own, where the system lets it have one: all of 127.0.0.0/8 is this machine on Linux,
/// and 127.0.0.1 alone elsewhere.
async fn machine(ip: Ipv4Addr, hub: SocketAddr, weather: watch::Receiver<Weather>) -> io::Result<Machine> {
    let folder = tempfile::Builder::new().prefix("file-drop-").tempdir()?;
    let relay = match relay::open((ip, 0).into(), hub, weather.clone()).await {
        Ok(relay) => relay,
        Err(_) => relay::open((Ipv4Addr::LOCALHOST, 0).into(), hub, weather).await?,
    };
    Ok(Machine { folder, relay })
}

fn bytes_a_second(mib: f64) -> f64 {
    MIB * if mib.is_finite() { mib.max(RATE_MIN) } else { RATE_MIN }
}
