//! The arguments of `trefoil listen` and `trefoil connect`.

use super::{Access, EXIT_CODES, seconds};
use clap::Args;

const LISTEN_EXAMPLES: &str = "\
Examples:
  trefoil listen shed/ssh --tcp 127.0.0.1:22
                                        each caller gets a connection to the ssh server here
  trefoil listen notes > notes.txt      the first caller's bytes, until it has sent all
  tar c photos | trefoil listen photos  the other way round

Both ends dial the hub, so neither has to be reachable. Without --tcp one caller is taken: standard input
goes to it, and what it sends to standard output. With --tcp callers are served until Ctrl-C, many at a time.";

const CONNECT_EXAMPLES: &str = "\
Examples:
  trefoil connect shed/ssh --tcp 127.0.0.1:2222
                                        then: ssh -p 2222 127.0.0.1
  ssh -o ProxyCommand='trefoil connect shed/ssh' shed
  trefoil connect notes < notes.txt     send a file
  trefoil connect photos --wait 60 | tar x
                                        and get one, from whoever comes within a minute

Without --tcp standard input goes to the other end, and what it sends to standard output. With --tcp each
connection to that address becomes a stream of its own, until Ctrl-C.";

/// Arguments of `trefoil listen`.
#[derive(Debug, Args)]
#[command(after_help = LISTEN_EXAMPLES, after_long_help = format!("{LISTEN_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Listen {
    /// The name at which callers find this, such as shed/ssh
    pub(crate) name: String,
    /// Connect each caller to this address
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) tcp: Option<String>,
    /// End after the first caller; without --tcp there is no other in any case
    #[arg(long)]
    pub(crate) once: bool,
    /// Fail if somebody listens under this name already, and let nobody else do so meanwhile
    #[arg(long)]
    pub(crate) exclusive: bool,
    #[command(flatten)]
    pub(crate) hub: Hub,
}

/// Arguments of `trefoil connect`.
#[derive(Debug, Args)]
#[command(after_help = CONNECT_EXAMPLES, after_long_help = format!("{CONNECT_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Connect {
    /// The name under which somebody listens, such as shed/ssh
    pub(crate) name: String,
    /// Accept connections at this address; each becomes a stream. Port 0 is any that is free, which is printed
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) tcp: Option<String>,
    /// End after the first connection; without --tcp there is no other in any case
    #[arg(long)]
    pub(crate) once: bool,
    /// If nobody listens, wait for somebody, at most SECONDS
    #[arg(short, long, value_name = "SECONDS", value_parser = waiting_seconds)]
    pub(crate) wait: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) hub: Hub,
}

/// How to reach the hub for streams, and for what is built on them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Hub {
    /// Where the hub is: tcp://HOST:PORT (mqtt:// means the same here), tcps:// for TLS, or unix:///PATH
    #[arg(long, env = "TREFOIL_URL", default_value = "tcp://127.0.0.1:1883")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// An address that looks like one; whether there is such a host is seen when it is needed.
fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("it is no address such as 127.0.0.1:8000 or [::1]:8000".into()),
    }
}

/// A time for which the hub lets somebody wait.
fn waiting_seconds(text: &str) -> Result<std::time::Duration, String> {
    let wait = seconds(text)?;
    if wait.as_secs_f64() > f64::from(trefoil_json::WAIT_S_MAX) {
        return Err(format!("nobody may wait for more than {} s", trefoil_json::WAIT_S_MAX));
    }
    Ok(wait)
}
