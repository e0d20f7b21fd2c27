//! The workers, who share all pieces among them, and the office that hires, releases and kills them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trefoil_client::{Client, Error, Options, QoS};

use crate::piece::{Piece, machine_of};
use crate::plant::Plant;

/// A shared subscription: each piece goes to one of those who have it.
const SHARED: &str = "$share/workers/plant/+/pieces";
/// How long the hub keeps what a worker has left behind if there is nobody to give it to.
const SESSION_EXPIRY_S: u32 = 120;

/// How a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Working,
    /// It said goodbye.
    Released,
    /// Its connection was cut.
    Killed,
}

/// All who are or were workers, by number.
#[derive(Default)]
pub(crate) struct Crew {
    members: Mutex<BTreeMap<u32, Member>>,
}

struct Member {
    handled: Arc<AtomicU64>,
    standing: Standing,
    /// What it waits for to go home, and its task.
    at_work: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What the report says of a worker.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) standing: Standing,
    /// Pieces that it has entered into the ledger.
    pub(crate) handled: u64,
}

/// What `plant/crew` takes.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Hire,
    Release(u32),
    Kill(u32),
}

impl Crew {
    /// Connects a new worker; returns when it has its share of the subscription.
    pub(crate) async fn hire(&self, plant: &Arc<Plant>) -> Result<(), Error> {
        let number = self.members().keys().next_back().map_or(1, |last| last + 1);
        let options = Options { session_expiry_s: SESSION_EXPIRY_S, ..Options::default() };
        let client = plant.connect(&name(number), options).await?;
        let (leave, leaves) = oneshot::channel();
        let handled = Arc::new(AtomicU64::default());
        // It works before the subscription is answered: pieces come in between.
        let (publisher, receiver) = client.split();
        let worker = Worker { plant: plant.clone(), handled: handled.clone(), publisher, receiver };
        let subscriber = worker.publisher.clone();
        let task = tokio::spawn(worker.run(leaves));
        let member = Member { handled, standing: Standing::Working, at_work: Some((leave, task)) };
        self.members().insert(number, member);
        subscriber.subscribe(SHARED, QoS::AtLeastOnce).await.map(drop)
    }

    /// Lets a worker finish what it has in hand and go. What the hub had for it goes to the others.
    async fn release(&self, number: u32) {
        if let Some((leave, task)) = self.end(number, Standing::Released) {
            // It may be gone already.
            let _ = leave.send(());
            let _ = task.await;
        }
    }

    /// Cuts a worker's connection in the middle of its work.
    async fn kill(&self, number: u32) {
        if let Some((_, task)) = self.end(number, Standing::Killed) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Lets all go.
    pub(crate) async fn release_all(&self) {
        let numbers: Vec<u32> = self.members().keys().copied().collect();
        for number in numbers {
            self.release(number).await;
        }
    }

    fn end(&self, number: u32, standing: Standing) -> Option<(oneshot::Sender<()>, JoinHandle<()>)> {
        let mut members = self.members();
        let member = members.get_mut(&number)?;
        let at_work = member.at_work.take()?;
        member.standing = standing;
        Some(at_work)
    }

    /// How the work is divided.
    pub(crate) fn shares(&self) -> Vec<Share> {
        let share = |(number, member): (&u32, &Member)| Share {
            name: name(*number),
            standing: member.standing,
            handled: member.handled.load(Ordering::Relaxed),
        };
        self.members().iter().map(share).collect()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u32, Member>> {
        self.members.lock().expect("nobody panics while holding the list of workers")
    }
}

/// The office: does what `plant/crew` says until the connection ends.
pub(crate) async fn manage(plant: &Arc<Plant>, crew: &Crew, mut client: Client) -> Error {
    while let Some(message) = client.next_message().await {
        let done = match Order::parse(&message.payload) {
            Some(Order::Hire) => crew.hire(plant).await,
            Some(Order::Release(number)) => {
                crew.release(number).await;
                Ok(())
            }
            Some(Order::Kill(number)) => {
                crew.kill(number).await;
                Ok(())
            }
            None => {
                let _ = writeln!(io::stderr(), "plant/crew takes hire, release worker-N, kill worker-N");
                Ok(())
            }
        };
        if let Err(error) = done {
            return error;
        }
    }
    client.error().expect("a connection that has ended says why")
}

/// Connects the office.
pub(crate) async fn open_office(plant: &Plant) -> Result<Client, Error> {
    let client = plant.connect("office", Options::default()).await?;
    client.subscribe("plant/crew", QoS::AtLeastOnce).await?;
    Ok(client)
}

impl Order {
    fn parse(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        if text == "hire" {
            return Some(Self::Hire);
        }
        let (verb, name) = text.split_once(' ')?;
        let number = name.strip_prefix("worker-")?.parse().ok()?;
        match verb {
            "release" => Some(Self::Release(number)),
            "kill" => Some(Self::Kill(number)),
            _ => None,
        }
    }
}

fn name(number: u32) -> String {
    format!("worker-{number}")
}

struct Worker {
    plant: Arc<Plant>,
    handled: Arc<AtomicU64>,
    publisher: trefoil_client::Publisher,
    receiver: trefoil_client::Receiver,
}

impl Worker {
    async fn run(mut self, mut leaves: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                message = self.receiver.next_message() => match message {
                    Some(message) => self.inspect(&message.topic, &message.payload),
                    None => return,
                },
                // Acknowledges what it has inspected. The hub gives all else to the others.
                _ = &mut leaves => {
                    if let Err(error) = self.publisher.close().await {
                        let _ = writeln!(io::stderr(), "a worker could not say goodbye: {error}");
                    }
                    return;
                }
            }
        }
    }

    /// Between taking a piece and entering it nothing is waited for, so that no piece is taken and not entered, even if
    /// the worker is killed. It may still come again, when it was entered and the acknowledgement did not leave.
    fn inspect(&self, topic: &str, payload: &[u8]) {
        let machine = machine_of(topic).and_then(|name| self.plant.machine(name));
        let (Some(machine), Some(piece)) = (machine, Piece::parse(payload)) else { return };
        if machine.ledger().enter(piece.n, piece.is_good()) {
            self.handled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood() {
        for (text, order) in [
            ("hire", Some(Order::Hire)),
            ("release worker-2", Some(Order::Release(2))),
            ("kill worker-12", Some(Order::Kill(12))),
            ("kill 12", None),
            ("promote worker-1", None),
            ("", None),
        ] {
            assert_eq!(Order::parse(text.as_bytes()), order, "{text}");
        }
    }
}
