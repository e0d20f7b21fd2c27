//! Connections that go wrong, as many as one likes (`tests/src/broken.rs`), and a table of what the hub holds.

use crate::checks::binary;
use crate::run::{Outcome, Tool};
use std::time::Duration;

/// What to run.
pub(crate) struct Options {
    /// How many connections.
    pub(crate) count: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { count: 1_000_000 }
    }
}

/// Runs it against the release binary.
pub(crate) fn run(options: &Options) -> Outcome {
    Tool::cargo()
        .arguments("run --quiet --locked --release --package trefoil-tests --bin broken --")
        .argument(options.count.to_string())
        .environment("TREFOIL_BIN", binary()?)
        .limit(Duration::from_secs(3600))
        .run()
}
