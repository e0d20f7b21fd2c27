//! The soak (`tests/src/soak.rs`): what the hub holds after everything came and went.

use crate::checks::binary;
use crate::run::{Outcome, Tool};
use std::time::Duration;

/// What to run.
pub(crate) struct Options {
    /// For how long.
    pub(crate) minutes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { minutes: 10 }
    }
}

/// Runs it against the release binary. The clients are built as tests are, so that a panic ends the hub too.
pub(crate) fn run(options: &Options) -> Outcome {
    Tool::cargo()
        .arguments("run --quiet --locked --package trefoil-tests --bin soak --")
        .argument(options.minutes.to_string())
        .environment("TREFOIL_BIN", binary()?)
        .limit(Duration::from_secs(options.minutes * 60 + 1800))
        .run()
}
