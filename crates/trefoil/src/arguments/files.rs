//! What may be written behind `trefoil send` and `trefoil receive`.

use super::{EXIT_CODES, Hub, seconds};
use crate::files::send::{Links, WAIT};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use trefoil_transfer::Code;

const SEND_EXAMPLES: &str = "\
Examples:
  trefoil send photos report.pdf        says a code such as 7-amber-canoe; tell it to the receiver
  trefoil send photos --code 7-amber-canoe
                                        goes on where an earlier run ended
  tar c src | trefoil send - --name src.tar
  trefoil send --url mqtt://hub.example:1883 photos

The hub sees neither names nor content: the code is the key, and who does not know it gets nothing.
After three wrong codes the command ends.";

const RECEIVE_EXAMPLES: &str = "\
Examples:
  trefoil receive 7-amber-canoe         shows what is offered and asks
  trefoil receive 7-amber-canoe --yes --output /tmp
  trefoil receive 7-amber-canoe --yes --overwrite

It may be started before the sender. What has not arrived yet stands under a name that ends with
.trefoil.part; the same command again goes on from there.";

/// Arguments of `trefoil send`.
#[derive(Debug, Args)]
#[command(after_help = SEND_EXAMPLES, after_long_help = format!("{SEND_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Send {
    /// Files and folders; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Use this code, such as 7-amber-canoe [without it: a new one]
    #[arg(long)]
    pub(crate) code: Option<Code>,
    /// How many words a new code has
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=8),
        conflicts_with = "code")]
    pub(crate) words: u8,
    /// The name under which standard input is received
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) name: String,
    /// What to do with symbolic links in folders
    #[arg(long, value_name = "HOW", default_value = "keep")]
    pub(crate) links: Links,
    /// How long to wait for the receiver [without it: an hour]
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds, default_value = WAIT)]
    pub(crate) wait: Duration,
    /// How long to try to come back when the connection breaks [without it: ten minutes]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    pub(crate) reconnect: Duration,
    /// Say nothing but the code and what went wrong
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) hub: Hub,
}

/// Arguments of `trefoil receive`.
#[derive(Debug, Args)]
#[command(after_help = RECEIVE_EXAMPLES, after_long_help = format!("{RECEIVE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Receive {
    /// What the sender said, such as 7-amber-canoe
    pub(crate) code: Code,
    /// The folder to write into; it is made if it is not there
    #[arg(short, long, value_name = "FOLDER", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Receive without asking; this alone overwrites nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Replace what has the same name, without asking
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// How long to wait for the sender [without it: an hour]
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds, default_value = WAIT)]
    pub(crate) wait: Duration,
    /// How long to try to come back when the connection breaks [without it: ten minutes]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    pub(crate) reconnect: Duration,
    /// Say nothing but what went wrong
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) hub: Hub,
}
