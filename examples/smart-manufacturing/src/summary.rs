//! What a shift came to: the last thing that the program says.

use std::fmt;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::crew::{Share, Standing};
use crate::plant::{Machine, Plant};

/// What it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    ok: bool,
    seconds: f64,
    machines: usize,
    /// Pieces that were made.
    pieces: u64,
    pieces_per_s: u64,
    /// Those that the recorder has heard of.
    recorded: u64,
    /// Those that it has not.
    missing: u64,
    out_of_order: u64,
    /// Different pieces that workers have handled.
    handled: u64,
    /// Pieces that came to a worker again and were refused by the ledger.
    repeats: u64,
    rejects: u64,
    alarms: u64,
    requests: u64,
    workers: Vec<Share>,
}

impl Summary {
    pub(crate) fn new(plant: &Plant, workers: Vec<Share>, seconds: f64) -> Self {
        let pieces = plant.sum(Machine::made);
        let recorded = plant.sum(|it| it.order().recorded);
        let mut summary = Self {
            ok: false,
            seconds: (seconds * 100.0).round() / 100.0,
            machines: plant.machines.len(),
            pieces,
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            pieces_per_s: (pieces as f64 / seconds.max(0.001)).round() as u64,
            recorded,
            missing: pieces.saturating_sub(recorded),
            out_of_order: plant.sum(|it| it.order().out_of_order),
            handled: plant.sum(|it| it.ledger().handled()),
            repeats: plant.sum(|it| it.ledger().repeats),
            rejects: plant.sum(|it| it.ledger().rejects),
            alarms: plant.alarms.load(Ordering::Relaxed),
            requests: plant.requests.load(Ordering::Relaxed),
            workers,
        };
        summary.ok = summary.is_sound();
        summary
    }

    /// Whether each piece was recorded in its turn and handled. At QoS 1 the piece that a worker had in hand when it was
    /// killed may come again to another; without that, none may.
    pub(crate) fn is_sound(&self) -> bool {
        let killed = self.workers.iter().any(|worker| worker.standing == Standing::Killed);
        self.missing == 0
            && self.out_of_order == 0
            && self.recorded == self.pieces
            && self.handled == self.pieces
            && (self.repeats == 0 || killed)
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names always have a JSON text")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, machines, pieces, pieces_per_s, missing, out_of_order, handled, .. } = self;
        writeln!(f, "{machines} machines made {pieces} pieces in {seconds} s, {pieces_per_s} a second")?;
        writeln!(f, "recorded: {}, {missing} missing, {out_of_order} out of order", self.recorded)?;
        writeln!(f, "handled: {handled}, {} came again, {} rejected", self.repeats, self.rejects)?;
        for Share { name, handled, .. } in &self.workers {
            writeln!(f, "  {name}: {handled}")?;
        }
        write!(f, "{} alarms, {} requests answered", self.alarms, self.requests)
    }
}
