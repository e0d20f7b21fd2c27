//! What may be written on the command line, and the help that it answers with.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// One server for MQTT, WebSocket and plain sockets.
#[derive(Debug, Parser)]
#[command(name = "trefoil", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to do; without one, `serve`.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the hub (this is what happens without a subcommand)
    Serve(Serve),
    /// Look for mistakes in a configuration, without starting anything
    Check(Check),
}

/// Arguments of `trefoil serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Read the settings from FILE [without it: trefoil.toml in the current folder, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `trefoil check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file to check [without it: trefoil.toml in the current folder]
    pub(crate) file: Option<PathBuf>,
}
