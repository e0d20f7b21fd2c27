//! What all parts of the plant know: its settings, and the figures that they count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use trefoil_client::{Client, Error, Options};

use crate::ledger::Ledger;
use crate::order::Order;

/// How many pieces a client holds until somebody takes them. A worker's share of what is on its way is not larger, so
/// that one that is slow does not keep many from the others.
const QUEUE_MESSAGES_MAX: u16 = 250;

/// What the command line says.
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) machines: u16,
    pub(crate) speed: u32,
    pub(crate) alarm_valid_s: u32,
    pub(crate) quiet: bool,
}

/// The whole plant.
pub(crate) struct Plant {
    pub(crate) settings: Settings,
    pub(crate) machines: Vec<Machine>,
    by_name: HashMap<String, usize>,
    pub(crate) alarms: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// The figures of one machine.
pub(crate) struct Machine {
    pub(crate) name: String,
    /// Pieces in a second that it is to make.
    pub(crate) speed: AtomicU32,
    /// Pieces that it has published.
    pub(crate) made: AtomicU64,
    order: Mutex<Order>,
    ledger: Mutex<Ledger>,
}

impl Plant {
    pub(crate) fn new(settings: Settings) -> Self {
        const KINDS: [&str; 8] = ["press", "mill", "lathe", "drill", "saw", "oven", "robot", "packer"];
        let machine = |number: usize| Machine {
            name: format!("{}-{}", KINDS[number % KINDS.len()], number / KINDS.len() + 1),
            speed: settings.speed.into(),
            made: AtomicU64::default(),
            order: Mutex::default(),
            ledger: Mutex::default(),
        };
        let machines: Vec<Machine> = (0..settings.machines.into()).map(machine).collect();
        let by_name = machines.iter().enumerate().map(|(number, it)| (it.name.clone(), number)).collect();
        Self { settings, machines, by_name, alarms: AtomicU64::default(), requests: AtomicU64::default() }
    }

    /// One of its machines. Others may publish too; they are not this plant's business.
    pub(crate) fn machine(&self, name: &str) -> Option<&Machine> {
        self.by_name.get(name).map(|number| &self.machines[*number])
    }

    /// The sum of a figure over all machines.
    pub(crate) fn sum(&self, figure: fn(&Machine) -> u64) -> u64 {
        self.machines.iter().map(figure).sum()
    }

    pub(crate) async fn connect(&self, client_id: &str, options: Options) -> Result<Client, Error> {
        let client_id = Some(format!("plant-{client_id}"));
        let options = Options { client_id, queue_messages_max: QUEUE_MESSAGES_MAX, ..options };
        Client::connect(&self.settings.url, options).await
    }
}

impl Machine {
    pub(crate) fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().expect("nobody panics while counting")
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while counting")
    }

    pub(crate) fn speed(&self) -> u32 {
        self.speed.load(Ordering::Relaxed)
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}
