//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use example_shared::HubArguments;

use crate::device::Device;
use crate::link::Quality;
use crate::vehicle::Timetable;

/// Sends buses and trams through a city with a bad network, and shows on a page that what they say and are told arrives
/// whole, in order, and once.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8093")]
    pub(crate) page: SocketAddr,
    /// How many vehicles there are.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) vehicles: u16,
    /// How many boards and counters of tickets there are at stops, which speak MQTT-SN.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(0..=i64::from(Device::COUNT_MAX)))]
    pub(crate) devices: u16,
    /// The hub's gateway for MQTT-SN. Without it port 1884 of the machine on which the hub is.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "own_hub")]
    pub(crate) mqtt_sn: Option<String>,
    /// How often each vehicle says where it is.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    every_ms: u64,
    /// Positions that wait on board until the network is back.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    queue_max: usize,
    /// End when each vehicle has published so many positions.
    #[arg(long, value_name = "N")]
    positions: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "S")]
    duration: Option<u64>,
    /// At the end, how long to wait without anything arriving before it counts as missing.
    #[arg(long, value_name = "S", default_value_t = 60)]
    patience_s: u64,
    /// Print what was counted as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How often some vehicle is told to do something; 0 for never.
    #[arg(long, value_name = "MS", default_value_t = 4_000)]
    order_every_ms: u64,
    /// How often, in the mean, some vehicle enters a tunnel; 0 for never.
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    tunnel_every_s: f64,
    /// Of a hundred packets so many are lost.
    #[arg(long, value_name = "PERCENT", default_value_t = Quality::default().loss_percent)]
    loss: f64,
    /// How long everything takes in one direction.
    #[arg(long, value_name = "MS", default_value_t = Quality::default().delay_ms)]
    delay_ms: u64,
    /// By how much more, at most, it may take.
    #[arg(long, value_name = "MS", default_value_t = Quality::default().jitter_ms)]
    jitter_ms: u64,
    /// What passes in one direction; 0 for any amount.
    #[arg(long, value_name = "KBIT", default_value_t = Quality::default().kbit_per_s)]
    kbit_per_s: u64,
    /// How often, in the mean, nothing passes on a link for a moment; 0 for never.
    #[arg(long, value_name = "S", default_value_t = Quality::default().stall_every_s)]
    stall_every_s: f64,
    /// How often, in the mean, a connection breaks; 0 for never.
    #[arg(long, value_name = "S", default_value_t = Quality::default().cut_every_s)]
    cut_every_s: f64,
    /// The links' dice: the same seed gives each link the same faults again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Arguments {
    pub(crate) fn quality(&self) -> Quality {
        Quality {
            loss_percent: self.loss,
            delay_ms: self.delay_ms,
            jitter_ms: self.jitter_ms,
            kbit_per_s: self.kbit_per_s,
            stall_every_s: self.stall_every_s,
            cut_every_s: self.cut_every_s,
        }
    }

    pub(crate) fn timetable(&self) -> Timetable {
        Timetable {
            period: Duration::from_millis(self.every_ms),
            positions: self.positions,
            queue_max: self.queue_max,
        }
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration.map(Duration::from_secs)
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_s)
    }

    pub(crate) fn tunnel_every_s(&self) -> Option<f64> {
        Some(self.tunnel_every_s).filter(|mean| *mean > 0.0)
    }

    pub(crate) fn order_every(&self) -> Option<Duration> {
        (self.order_every_ms > 0).then(|| Duration::from_millis(self.order_every_ms))
    }
}
