//! The log: lines on standard error.

use crate::failure::Failure;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use trefoil_config::LogLevel;

/// The environment variable that says more than the `log.level` of the configuration can: a level, or a list such as
/// `warn,trefoil_server=debug`.
const VARIABLE: &str = "TREFOIL_LOG";

/// Starts the log. What is logged before is lost.
pub(crate) fn start(level: LogLevel) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(format!(
                "environment variable {VARIABLE}: {error}; write a level (error, warn, info, debug, trace) or a \
                 list such as warn,trefoil_server=debug"
            ))
        })?,
        _ => EnvFilter::new(directives(level)),
    };
    let stderr = std::io::stderr;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    Ok(())
}

/// What developers of Trefoil want to know is not what those of the libraries below it do.
fn directives(level: LogLevel) -> String {
    let word = level.as_str();
    if level > LogLevel::Info { format!("info,trefoil={word}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_valid_filter() {
        for level in LogLevel::ALL {
            EnvFilter::try_new(directives(level)).expect("the filter is well formed");
        }
    }
}
