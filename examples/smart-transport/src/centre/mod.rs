//! The control centre: a client on the hub's side of the bad network.
//!
//! It counts what arrives ([`tally`]), gives orders, tells the boards at the stops what comes next ([`boards`]), and does
//! what the page asks for, which reaches it through the hub like everything else.

mod boards;
pub(crate) mod tally;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use trefoil_client::{Client, Error, Message, Options, Publisher, QoS, Receiver};

use crate::device::Device;
use crate::link::{Network, Quality};
use crate::messages::{
    Doing, Done, Errand, IN_CONTACT, OUT_OF_SERVICE, Order, Position, ROOT, Ticket, Tunnel, json, topic,
};
use crate::vehicle::Vehicle;
use tally::Tally;

/// Orders that wait to be given.
const ORDERS_MAX: usize = 1_000;
/// A tunnel that somebody asks for is no longer than this.
const TUNNEL_S_MAX: f64 = 120.0;

/// What the parts of the program use of it.
#[derive(Debug)]
pub(crate) struct Centre {
    pub(crate) vehicles: Vec<Arc<Vehicle>>,
    pub(crate) devices: Vec<Arc<Device>>,
    pub(crate) network: Arc<Network>,
    tally: Mutex<Tally>,
    orders: mpsc::Sender<(String, Order)>,
    /// Who is lost is told to hold at once: the order waits for it at the hub.
    orders_the_lost: AtomicBool,
    /// No more notices for the boards.
    rests: AtomicBool,
}

/// The centre's connection, and what it has yet to do.
pub(crate) struct Desk {
    pub(crate) publisher: Publisher,
    receiver: Receiver,
    orders: mpsc::Receiver<(String, Order)>,
}

impl Centre {
    /// Connects, subscribes, and is then ready for the vehicles.
    pub(crate) async fn open(
        url: &str,
        vehicles: Vec<Arc<Vehicle>>,
        devices: Vec<Arc<Device>>,
        network: Arc<Network>,
        orders_the_lost: bool,
    ) -> Result<(Centre, Desk), Error> {
        let (publisher, receiver) = Client::connect(url, Options::default()).await?.split();
        let subscriptions = [
            ("vehicles/+/position", QoS::AtLeastOnce),
            ("vehicles/+/contact", QoS::AtLeastOnce),
            ("vehicles/+/done", QoS::ExactlyOnce),
            ("stops/+/ticket", QoS::AtLeastOnce),
            ("centre/+", QoS::ExactlyOnce),
        ];
        for (filter, qos) in subscriptions {
            publisher.subscribe(&format!("{ROOT}/{filter}"), qos).await?;
        }
        let tally = Mutex::new(Tally::new(vehicles.iter().map(|vehicle| vehicle.name.as_str())));
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let centre = Centre {
            vehicles,
            devices,
            network,
            tally,
            orders: sender,
            orders_the_lost: orders_the_lost.into(),
            rests: false.into(),
        };
        Ok((centre, Desk { publisher, receiver, orders }))
    }

    /// What it has counted.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds the lock")
    }

    /// Works until the connection ends, and says why it did.
    pub(crate) async fn run(&self, desk: Desk) -> Option<Error> {
        let Desk { publisher, mut receiver, mut orders } = desk;
        let mut given = VecDeque::new();
        let tells = self.tell_boards(&publisher);
        let gives = async {
            while let Some((vehicle, order)) = orders.recv().await {
                let message = Message::new(topic(&vehicle, "order"), json(&order)).qos(QoS::ExactlyOnce);
                match publisher.send(message).await {
                    Ok(receipt) => given.push_back(receipt),
                    Err(_) => break,
                }
                // As many as may be on their way at a time.
                if given.len() > usize::from(Options::default().in_flight_max)
                    && let Some(receipt) = given.pop_front()
                {
                    let _ = receipt.await;
                }
            }
            std::future::pending::<()>().await;
        };
        let hears = async {
            while let Some(message) = receiver.next_message().await {
                self.hear(&message);
            }
        };
        tokio::select! {
            () = gives => {}
            () = tells => {}
            () = hears => {}
        }
        receiver.error()
    }

    fn hear(&self, message: &Message) {
        let mut levels = message.topic.split('/').skip(1);
        match (levels.next(), levels.next(), levels.next()) {
            (Some("vehicles"), Some(vehicle), Some("position")) => {
                let mut tally = self.tally();
                if let (Some(heard), Some(position)) =
                    (tally.heard.get_mut(vehicle), read::<Position>(message))
                {
                    heard.positions.take(position.n);
                    heard.last = Some(position);
                }
            }
            (Some("vehicles"), Some(vehicle), Some("contact")) if !message.retain => {
                // Who leaves in order is not lost.
                let is_here = [IN_CONTACT, OUT_OF_SERVICE].map(str::as_bytes).contains(&&message.payload[..]);
                let is_lost = self.tally().contact(vehicle, is_here);
                if is_lost && self.orders_the_lost.load(Ordering::Relaxed) {
                    self.order(vehicle, Doing::Hold);
                }
            }
            (Some("vehicles"), Some(vehicle), Some("done")) => {
                if let Some(done) = read::<Done>(message) {
                    self.tally().confirm(vehicle, done.id);
                }
            }
            (Some("stops"), Some(stop), Some("ticket")) => {
                if let Some(ticket) = read::<Ticket>(message) {
                    self.tally().tickets.entry(stop.to_owned()).or_default().take(ticket.n);
                }
            }
            (Some("centre"), Some("order"), None) => {
                if let Some(errand) = read::<Errand>(message) {
                    self.order(&errand.vehicle, errand.doing);
                }
            }
            (Some("centre"), Some("tunnel"), None) => {
                if let Some(tunnel) = read::<Tunnel>(message).filter(|tunnel| tunnel.s > 0.0) {
                    let duration = Duration::from_secs_f64(tunnel.s.min(TUNNEL_S_MAX));
                    let vehicle = self.vehicles.iter().find(|vehicle| vehicle.name == tunnel.vehicle);
                    vehicle.inspect(|vehicle| vehicle.link.enter_tunnel(duration));
                }
            }
            (Some("centre"), Some("link"), None) => {
                self.network.quality.send_if_modified(|quality| {
                    let changed = change(quality, message);
                    changed.map(|changed| *quality = changed).is_some()
                });
            }
            _ => {}
        }
    }

    /// No more notices, and no more orders but those that somebody asks for.
    pub(crate) fn rest(&self) {
        self.rests.store(true, Ordering::Relaxed);
        self.orders_the_lost.store(false, Ordering::Relaxed);
    }

    /// Orders a vehicle to do something. It is not waited for: QoS 2 and the vehicle's session see to it.
    pub(crate) fn order(&self, vehicle: &str, doing: Doing) {
        // An order that has no place any more is not given.
        if let Ok(place) = self.orders.try_reserve()
            && let Some(id) = self.tally().give(vehicle)
        {
            place.send((vehicle.to_owned(), Order { id, doing }));
        }
    }
}

/// What strangers send may be anything; what makes no sense is not for the centre.
fn read<T: DeserializeOwned>(message: &Message) -> Option<T> {
    serde_json::from_slice(&message.payload).ok()
}

/// A quality in which those fields are changed that the message names.
fn change(quality: &Quality, message: &Message) -> Option<Quality> {
    let mut fields = serde_json::to_value(quality).ok()?;
    let changes: serde_json::Map<String, Value> = read(message)?;
    fields.as_object_mut()?.extend(changes);
    serde_json::from_value::<Quality>(fields).ok().map(Quality::bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_link_leaves_the_rest_as_it_is_and_stays_in_bounds() {
        let change = |text: &str| change(&Quality::PERFECT, &Message::new("t", text));
        let expected = Quality { loss_percent: 50.0, delay_ms: 80, ..Quality::PERFECT };
        assert_eq!(change(r#"{"loss_percent":99,"delay_ms":80}"#), Some(expected));
        for broken in ["", "7", r#"{"delay_ms":"x"}"#, r#"{"delay_ms":-1}"#] {
            assert_eq!(change(broken), None, "{broken}");
        }
    }
}
