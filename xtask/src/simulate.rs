//! The simulation of clients and the hub (`crates/hub/tests/simulation`), with seeds of one's own.

use crate::run::{Outcome, Tool};
use std::time::Duration;

/// What to run.
pub(crate) struct Options {
    /// How many seeds that nobody has tried.
    pub(crate) runs: u64,
    /// This seed instead.
    pub(crate) seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options { runs: 2000, seed: None }
    }
}

/// Runs it. A failure shows the seed, the fewest steps that fail, and what happened.
pub(crate) fn run(options: &Options) -> Outcome {
    let (name, value) = match options.seed {
        Some(seed) => ("TREFOIL_SIMULATE_SEED", seed),
        None => ("TREFOIL_SIMULATE_RUNS", options.runs),
    };
    Tool::cargo()
        .arguments(
            "test --quiet --locked --package trefoil-hub --test simulation every_promise -- --nocapture",
        )
        .environment(name, value.to_string())
        .limit(Duration::from_secs(24 * 3600))
        .run()
}
