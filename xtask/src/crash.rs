//! The crash test (`tests/src/crash`), for as long as one likes.

use crate::checks::binary;
use crate::run::{Outcome, Tool};
use std::time::Duration;

/// Beside the time that was asked for: building, and the last round.
const MORE_S: u64 = 1800;

/// What to run.
#[derive(Default)]
pub(crate) struct Options {
    /// For how long.
    pub(crate) hours: Option<u64>,
    /// How many kills.
    pub(crate) kills: Option<u64>,
    /// This seed, and those after it.
    pub(crate) seed: Option<u64>,
    /// Break connections, and let the hub live.
    pub(crate) spare: bool,
}

/// Runs it against the release binary. The clients are built as tests are, so that a panic ends the hub too.
pub(crate) fn run(options: &Options) -> Outcome {
    let Options { hours, kills, seed, spare } = options;
    let mut tool = Tool::cargo()
        .arguments("run --quiet --locked --package trefoil-tests --bin crash --")
        .environment("TREFOIL_BIN", binary()?);
    for (name, value) in [("--hours", hours), ("--kills", kills), ("--seed", seed)] {
        if let Some(value) = value {
            tool = tool.argument(name).argument(value.to_string());
        }
    }
    if *spare {
        tool = tool.argument("--spare");
    }
    // A kill takes less than a second.
    let seconds = hours.unwrap_or(0) * 3600 + kills.unwrap_or(0);
    tool.limit(Duration::from_secs(seconds + MORE_S)).run()
}
