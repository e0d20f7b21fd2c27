//! How the plant stands, twice a second on `plant/report`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use trefoil_client::{Client, Error, Message, Options};

use crate::crew::{Crew, Share};
use crate::plant::{Machine, Plant};

const PERIOD: Duration = Duration::from_millis(500);
/// How long the pieces that are on their way at the end may stand still before they count as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a machine stands.
#[derive(Clone, Debug, Serialize)]
struct MachineReport {
    name: String,
    /// Pieces in a second that it is to make.
    speed: u32,
    /// Pieces in a second that were recorded since the report before.
    rate: u64,
    made: u64,
    recorded: u64,
    missing: u64,
    out_of_order: u64,
    handled: u64,
    rejects: u64,
    repeats: u64,
}

/// How the plant stands.
#[derive(Debug, Serialize)]
struct Report {
    /// False when it is the last one.
    running: bool,
    machines: Vec<MachineReport>,
    workers: Vec<Share>,
}

/// Writes the reports.
pub(crate) struct Reporter<'a> {
    plant: &'a Plant,
    crew: &'a Crew,
    desk: Client,
    /// What was recorded of each machine at the last report, and when that was.
    before: Vec<u64>,
    at: Instant,
}

impl<'a> Reporter<'a> {
    pub(crate) async fn new(plant: &'a Plant, crew: &'a Crew) -> Result<Self, Error> {
        let desk = plant.connect("desk", Options::default()).await?;
        Ok(Self { plant, crew, desk, before: vec![0; plant.machines.len()], at: Instant::now() })
    }

    pub(crate) async fn report_forever(&mut self) -> Result<Infallible, Error> {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish(true).await?;
        }
    }

    /// Reports until every piece is recorded and handled, or nothing moves any more.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        let mut ticks = interval(PERIOD / 10);
        let (mut moved, mut last) = (Instant::now(), 0);
        loop {
            ticks.tick().await;
            let made = self.plant.sum(Machine::made);
            let recorded = self.plant.sum(|it| it.order().recorded);
            let handled = self.plant.sum(|it| it.ledger().handled());
            if recorded + handled != last {
                (moved, last) = (Instant::now(), recorded + handled);
            }
            if (recorded >= made && handled >= made) || moved.elapsed() > PATIENCE {
                return Ok(());
            }
            if self.at.elapsed() > PERIOD {
                self.publish(true).await?;
            }
        }
    }

    /// Leaves the last report.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        self.publish(false).await?;
        self.desk.close().await
    }

    async fn publish(&mut self, running: bool) -> Result<(), Error> {
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        self.at = Instant::now();
        let machines = self.plant.machines.iter().zip(&mut self.before);
        let machines = machines.map(|(machine, before)| machine_report(machine, before, seconds)).collect();
        let report = Report { running, machines, workers: self.crew.shares() };
        let text = serde_json::to_string(&report).expect("numbers and names always have a JSON text");
        self.desk.publish(Message::new("plant/report", text).retain(true)).await
    }
}

fn machine_report(machine: &Machine, before: &mut u64, seconds: f64) -> MachineReport {
    let order = *machine.order();
    let ledger = machine.ledger();
    // Rounded to what can be read at a glance.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rate = ((order.recorded - *before) as f64 / seconds).round() as u64;
    *before = order.recorded;
    MachineReport {
        name: machine.name.clone(),
        speed: machine.speed(),
        rate,
        made: machine.made(),
        recorded: order.recorded,
        missing: order.missing,
        out_of_order: order.out_of_order,
        handled: ledger.handled(),
        rejects: ledger.rejects,
        repeats: ledger.repeats,
    }
}
