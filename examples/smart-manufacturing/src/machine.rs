//! A machine: makes pieces, answers requests, raises alarms.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use trefoil_client::{Client, Error, Message, Options, Properties, Publisher, QoS, Receiver};

use crate::piece::{NOMINAL_MM, Piece, TOLERANCE_MM};
use crate::plant::{Machine, Plant};
use crate::request::{Answer, Request};

/// How often pieces leave the machine; all that were made since leave together.
const TICK: Duration = Duration::from_millis(5);
/// A machine that makes more pieces in a second than this gets too hot.
const SPEED_COOL_MAX: u32 = 1500;
/// After how many seconds a tool wears out, on average.
const TOOL_LIFE_S: f64 = 60.0;

/// Connects a machine; it then hears requests, and has not begun to work.
pub(crate) async fn connect(plant: &Plant, number: usize) -> Result<Client, Error> {
    let name = &plant.machines[number].name;
    let client = plant.connect(name, Options::default()).await?;
    client.subscribe(&format!("plant/{name}/request"), QoS::AtLeastOnce).await?;
    Ok(client)
}

/// Makes pieces until `ends` says so; returns when the hub has all of them.
pub(crate) async fn run(
    plant: Arc<Plant>,
    number: usize,
    client: Client,
    mut ends: watch::Receiver<bool>,
) -> Result<(), Error> {
    let machine = &plant.machines[number];
    let (publisher, mut receiver) = client.split();
    let mut line = Line {
        plant: &plant,
        machine,
        publisher: publisher.clone(),
        chance: Rng::new(),
        owed: 0.0,
        hot: None,
    };
    tokio::select! {
        Err(error) = line.produce() => return Err(error),
        Err(error) = answer_all(&plant, machine, &publisher, &mut receiver) => return Err(error),
        // The sender lives as long as the report does, which waits for this.
        _ = ends.wait_for(|ends| *ends) => {}
    }
    publisher.close().await
}

struct Line<'a> {
    plant: &'a Plant,
    machine: &'a Machine,
    publisher: Publisher,
    chance: Rng,
    /// Pieces that are made and not yet published, the last one in part.
    owed: f64,
    /// Since when it has been known to be too hot.
    hot: Option<Instant>,
}

impl Line<'_> {
    async fn produce(&mut self) -> Result<Infallible, Error> {
        let topic = format!("plant/{}/pieces", self.machine.name);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Instant::now();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let seconds = (now - before).as_secs_f64();
            before = now;
            let speed = f64::from(self.machine.speed());
            // When the hub takes less than the machine makes, the machine stands still rather than pile up for more
            // than a second.
            self.owed = (self.owed + seconds * speed).min(speed);
            while self.owed >= 1.0 {
                self.owed -= 1.0;
                // Counted before it is sent: nobody may have handled more pieces than were made.
                let n = self.machine.made.fetch_add(1, Ordering::Relaxed) + 1;
                let piece = Piece { n, mm: self.measure() };
                let message = Message::new(&*topic, piece.json()).qos(QoS::AtLeastOnce);
                // The receipt is not waited for: as many pieces are on their way as the hub's window allows.
                drop(self.publisher.send(message).await?);
            }
            self.watch(seconds).await?;
        }
    }

    /// Nearly always within the tolerance.
    fn measure(&mut self) -> f64 {
        let spread = if self.chance.u32(0..200) == 0 { 2.0 } else { 1.0 };
        let off = (self.chance.f64() * 2.0 - 1.0) * TOLERANCE_MM * spread;
        ((NOMINAL_MM + off) * 1000.0).round() / 1000.0
    }

    /// Raises the alarms that are due; a standing one is raised again before it expires.
    async fn watch(&mut self, seconds: f64) -> Result<(), Error> {
        let valid_s = self.plant.settings.alarm_valid_s;
        let renew = Duration::from_secs(valid_s.into()) / 2;
        if self.machine.speed() <= SPEED_COOL_MAX {
            self.hot = None;
        } else if self.hot.is_none_or(|since| since.elapsed() >= renew) {
            self.hot = Some(Instant::now());
            raise(self.plant, self.machine, &self.publisher, "overheating", valid_s).await?;
        }
        if !self.plant.settings.quiet && self.chance.f64() < seconds / TOOL_LIFE_S {
            raise(self.plant, self.machine, &self.publisher, "tool-worn", valid_s).await?;
        }
        Ok(())
    }
}

/// Publishes an alarm. It is retained, so that an operator who comes later sees it, and it expires, so that nobody sees
/// it who comes too late.
async fn raise(
    plant: &Plant,
    machine: &Machine,
    publisher: &Publisher,
    kind: &str,
    valid_s: u32,
) -> Result<(), Error> {
    plant.alarms.fetch_add(1, Ordering::Relaxed);
    let text = serde_json::json!({ "machine": machine.name, "kind": kind, "valid_s": valid_s });
    let mut alarm = Message::new(format!("plant/alarms/{}/{kind}", machine.name), text.to_string())
        .qos(QoS::AtLeastOnce)
        .retain(true);
    alarm.properties.expiry_s = Some(valid_s);
    drop(publisher.send(alarm).await?);
    Ok(())
}

/// Does what is asked and answers, until the connection ends.
async fn answer_all(
    plant: &Plant,
    machine: &Machine,
    publisher: &Publisher,
    receiver: &mut Receiver,
) -> Result<Infallible, Error> {
    while let Some(message) = receiver.next_message().await {
        let reason = match Request::parse(&message.payload) {
            Ok(Request::Status) => None,
            Ok(Request::SetSpeed(speed)) => {
                machine.speed.store(speed, Ordering::Relaxed);
                None
            }
            Ok(Request::RaiseAlarm(alarm)) => {
                raise(plant, machine, publisher, &alarm.kind, alarm.valid_s).await?;
                None
            }
            Err(reason) => Some(reason),
        };
        plant.requests.fetch_add(1, Ordering::Relaxed);
        let Properties { response_topic, correlation_data, .. } = message.properties;
        let Some(response_topic) = response_topic else { continue };
        let answer = Answer { machine: &machine.name, ok: reason.is_none(), speed: machine.speed(), reason };
        let mut answer = Message::new(response_topic, answer.json()).qos(QoS::AtLeastOnce);
        // The asker knows its question by this; it comes back as it was.
        answer.properties.correlation_data = correlation_data;
        drop(publisher.send(answer).await?);
    }
    Err(receiver.error().expect("a connection that has ended says why"))
}
