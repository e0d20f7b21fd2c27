//! The arguments of `trefoil room`.

use super::{Access, EXIT_CODES, seconds};
use clap::Args;

const ROOM_EXAMPLES: &str = "\
Examples:
  trefoil room pong/7                   type lines, and see what the others send; Ctrl-D leaves
  trefoil room -v --listen pong/7       only watch: who sends what, who comes and goes
  sensor | trefoil room --newest field  telemetry: what comes too late is dropped
  trefoil room --url udp://hub.example:1883 --user ann pong/7

Nothing is queued and nothing is sent again: what the network loses is lost. A line that is longer than
the room takes is an error. docs/rooms.md has the protocol, for clients of your own.";

/// Arguments of `trefoil room`.
#[derive(Debug, Args)]
#[command(after_help = ROOM_EXAMPLES, after_long_help = format!("{ROOM_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Room {
    /// Which room, such as pong/7
    pub(crate) name: String,
    /// Where the hub takes datagrams
    #[arg(long, env = "TREFOIL_ROOM_URL", default_value = "udp://127.0.0.1:1883")]
    pub(crate) url: String,
    /// Send to this peer only, in place of all others
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) to: Option<u16>,
    /// Have what comes too late dropped on its way: only the newest counts
    #[arg(long, conflicts_with = "to")]
    pub(crate) newest: bool,
    /// Send nothing, and leave standard input alone
    #[arg(short, long, conflicts_with_all = ["to", "newest"])]
    pub(crate) listen: bool,
    /// Print the sender's number and a space before each payload, and on standard error who comes and goes
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// End after N datagrams
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after SECONDS, with exit code 5
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// The token that lets in, in place of a user for whom the hub is asked for one. Others on this machine can read a
    /// command line, but not the environment
    #[arg(long, env = "TREFOIL_ROOM_TOKEN", hide_env_values = true, conflicts_with = "user")]
    pub(crate) token: Option<String>,
    /// Where to ask for the token of --user: tcp://HOST:PORT or ws://HOST:PORT/ws; tcps:// and wss:// for TLS [without it: tcp:// at the host and port of --url]
    #[arg(long, value_name = "URL")]
    pub(crate) token_url: Option<String>,
    #[command(flatten)]
    pub(crate) access: Access,
}
