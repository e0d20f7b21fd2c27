//! Talking to the hub over a network that breaks: connect, say what waits, hear orders, and again.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use trefoil_client::{Client, Message, Options, QoS, Receipt, Session, Will};

use super::{Phase, Saying, Vehicle};
use crate::messages::{Done, IN_CONTACT, OUT_OF_CONTACT, OUT_OF_SERVICE, Order, ROOT, topic};

/// What is on its way at a time.
const FLIGHTS_MAX: usize = 16;
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// After one and a half times as long the hub counts a silent vehicle as out of contact.
const KEEP_ALIVE_S: u16 = 2;
/// Only vehicles with MQTT 5 can say so: who is back by then was never out of contact.
const WILL_DELAY_S: u32 = 1;
const SESSION_EXPIRY_S: u32 = 3_600;

/// What is on its way, in the order in which it was sent.
type Flights = VecDeque<(Saying, Receipt)>;

/// What a vehicle knows of its session from connection to connection, beside what its client keeps.
#[derive(Default)]
struct Talk {
    flights: Flights,
    /// The hub has said that it has the subscription. A session may be there and the subscription not, when the first
    /// connection broke early.
    is_subscribed: bool,
}

impl Vehicle {
    /// Talks until it has said goodbye.
    pub(super) async fn talk(&self, url: &str, mut phase: watch::Receiver<Phase>) {
        self.forget(url).await;
        let options = Options { session: Some(Session::new()), ..self.options() };
        let mut talk = Talk::default();
        while *phase.borrow() != Phase::Leave {
            if let Ok(client) = Client::connect(url, options.clone()).await {
                self.board().log.connections += 1;
                self.in_contact(client, &mut talk, &mut phase).await;
            }
            self.take_back(&mut talk.flights).await;
            let _ = timeout(RETRY, leaves(&mut phase)).await;
        }
        // Nobody keeps the session of a vehicle that does not come back.
        let _ = timeout(GOODBYE_TIMEOUT, self.forget(url)).await;
    }

    fn options(&self) -> Options {
        Options {
            version: self.version,
            client_id: Some(format!("{ROOT}-{}", self.name)),
            clean_start: false,
            session_expiry_s: SESSION_EXPIRY_S,
            keep_alive_s: KEEP_ALIVE_S,
            will: Some(Will { message: self.contact(OUT_OF_CONTACT), delay_s: WILL_DELAY_S }),
            timeout: CONNECT_TIMEOUT,
            ..Options::default()
        }
    }

    fn contact(&self, state: &str) -> Message {
        Message::new(topic(&self.name, "contact"), state).qos(QoS::AtLeastOnce).retain(true)
    }

    /// Lets the hub forget what it has kept for this vehicle.
    async fn forget(&self, url: &str) {
        let options = Options { clean_start: true, session_expiry_s: 0, will: None, ..self.options() };
        loop {
            if let Ok(client) = Client::connect(url, options.clone()).await
                && client.close().await.is_ok()
            {
                return;
            }
            sleep(RETRY).await;
        }
    }

    /// One connection, to its end.
    async fn in_contact(&self, client: Client, talk: &mut Talk, phase: &mut watch::Receiver<Phase>) {
        let Talk { flights, is_subscribed } = talk;
        // When the hub has no session, what was on its way is not any more: it goes first.
        self.take_back(flights).await;
        *is_subscribed &= client.session_present();
        let (publisher, mut receiver) = client.split();
        if !*is_subscribed {
            *is_subscribed = publisher.subscribe(&topic(&self.name, "order"), QoS::ExactlyOnce).await.is_ok();
        }
        if !*is_subscribed {
            return;
        }
        // The session takes care of it; nothing waits for it.
        drop(publisher.send(self.contact(IN_CONTACT)).await);
        loop {
            while flights.len() < FLIGHTS_MAX {
                let Some(saying) = self.board().to_say.pop_front() else { break };
                match publisher.send(saying.message(&self.name)).await {
                    Ok(receipt) => flights.push_back((saying, receipt)),
                    Err(_) => return self.board().to_say.push_front(saying),
                }
            }
            tokio::select! {
                order = receiver.next_message() => match order {
                    Some(order) => self.carry_out(&order),
                    None => return,
                },
                landed = first(flights) => {
                    let Some((saying, _)) = flights.pop_front() else { continue };
                    if landed.is_err() {
                        self.take_back(flights).await;
                        return self.board().to_say.push_front(saying);
                    }
                    self.board().log.unsettled -= 1;
                }
                () = self.news.notified(), if flights.len() < FLIGHTS_MAX => {}
                () = leaves(phase) => {
                    let goodbye = async {
                        publisher.publish(self.contact(OUT_OF_SERVICE)).await?;
                        publisher.close().await
                    };
                    // A vehicle whose network is gone leaves all the same.
                    let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
                    return;
                }
            }
        }
    }

    /// Does what it is told, as often as it is told so: that this is once is the network's business.
    fn carry_out(&self, message: &Message) {
        let Ok(order) = serde_json::from_slice::<Order>(&message.payload) else { return };
        let mut board = self.board();
        let times = board.log.executed.entry(order.id).or_default();
        *times += 1;
        let done = Done { id: order.id, times: *times };
        board.orders.push(order.doing);
        self.say(&mut board, Saying::Done(done));
    }

    /// After a connection: what never left goes back into the queue, in front. What the session has stays where it is.
    async fn take_back(&self, flights: &mut Flights) {
        let mut left = Flights::new();
        while let Some((saying, mut receipt)) = flights.pop_back() {
            let landed = tokio::select! {
                biased;
                landed = &mut receipt => Some(landed),
                () = ready(()) => None,
            };
            match landed {
                None => left.push_front((saying, receipt)),
                Some(Ok(())) => self.board().log.unsettled -= 1,
                Some(Err(_)) => self.board().to_say.push_front(saying),
            }
        }
        *flights = left;
    }
}

/// Returns when it is time to say goodbye.
pub(crate) async fn leaves(phase: &mut watch::Receiver<Phase>) {
    // It fails when the whole program ends.
    let _ = phase.wait_for(|phase| *phase == Phase::Leave).await;
}

/// Waits for the oldest of them. The hub acknowledges in their order.
async fn first(flights: &mut Flights) -> Result<(), trefoil_client::Error> {
    match flights.front_mut() {
        Some((_, receipt)) => receipt.await,
        None => std::future::pending().await,
    }
}
