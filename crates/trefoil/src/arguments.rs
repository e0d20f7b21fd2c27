//! What may be written on the command line, and the help that it answers with.

mod files;
mod room;
mod stream;

pub(crate) use files::{Receive, Send};
pub(crate) use room::Room;
pub(crate) use stream::{Connect, Hub, Listen};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use trefoil_auth::scram;

/// What every help page ends with.
const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  something failed that has no code of its own, such as a port that is taken
  2  the command line or the configuration is wrong
  3  the hub cannot be reached, or the connection to it broke
  4  the hub refused: the connection, a message or a subscription
  5  time was up
  6  the store is damaged or of a newer format, and no other start helps";

const TRY_IT: &str = "\
Examples:
  trefoil                               run the hub; it says what to try
  trefoil sub 'home/#'                  in a second terminal: wait for messages
  trefoil pub home/temp 21.5            in a third: publish one
  trefoil sub --url ws://127.0.0.1:8080/ws 'home/#'
                                        the same over WebSocket
  trefoil COMMAND --help                more about a command, with examples";

const SERVE_EXAMPLES: &str = "\
Examples:
  trefoil                               with trefoil.toml of this folder, or the built-in settings
  trefoil serve --config hub.toml       with another file
  TREFOIL_LOG=debug trefoil             tell more on standard error

Standard output gets one line for each listener, such as
  listening on tcp://127.0.0.1:1883  mqtt, http, websocket, json
and standard error the log. SIGINT (Ctrl-C) and SIGTERM stop the hub cleanly; a second one ends it
at once. SIGUSR2 lets a new process take over, see `trefoil upgrade`. Every setting has an environment variable, too: docs/configuration.md lists them.";

const CHECK_EXAMPLES: &str = "\
Examples:
  trefoil check                         the trefoil.toml of this folder
  trefoil check hub.toml                another file

Each mistake gets a line on standard error, FILE:LINE:COLUMN: what is wrong. The environment is
looked at, too, as `trefoil serve` would.";

const STORE_EXAMPLES: &str = "\
Examples:
  trefoil store check                   the store of the trefoil.toml of this folder
  trefoil store check /var/lib/trefoil/trefoil-data  another folder
  trefoil store repair                  go on without what is damaged

A hub looks at its store when it starts, and cuts off what a crash left half-written. It does not start
when something is damaged that had been on disk: `check` says what is lost, `repair` goes on without it
and keeps the damaged files beside the others. Both need the hub stopped. Exit code 1 says that the hub
would not start with the store as it is, or that there is none.";

const UPGRADE_EXAMPLES: &str = "\
Examples:
  trefoil check && trefoil upgrade      to a new configuration, or a new program at the same path
  trefoil upgrade --pid 4711            where several hubs run
  kill -USR2 4711                       the same without waiting; the log says what came of it

The new process gets the sockets of the old one, checks its configuration, and takes over. Clients
are told to go and come back; none is refused. If anything is wrong, the old process goes on.";

const PASSWD_EXAMPLES: &str = "\
Examples:
  trefoil passwd users.txt ann          add ann, or change her password; it is asked for twice
  trefoil passwd users.txt ann --delete
  pwgen 20 1 | tee pump.password | trefoil passwd users.txt pump-7 --stdin

The file belongs into the configuration as users = \"users.txt\" under [auth]. A hub that runs reads
it again at SIGHUP.";

const PUB_EXAMPLES: &str = "\
Examples:
  trefoil pub home/temp 21.5            one message
  trefoil pub -r home/temp 21.5         the topic keeps it for those who subscribe later
  trefoil pub -r home/temp ''           an empty one clears what the topic keeps
  trefoil pub --file photo.jpg cam      the whole file as one message
  vmstat 1 | trefoil pub load           each line of standard input is a message, as it comes
  trefoil pub --url udp://127.0.0.1:1883 home/temp 21.5

Without a payload, lines are read from standard input when it is a pipe or a file. At a terminal
say so: `trefoil pub home/chat -`, and end with Ctrl-D.";

const SUB_EXAMPLES: &str = "\
Examples:
  trefoil sub 'home/#'                  all topics below home, until Ctrl-C
  trefoil sub -v 'home/+/temp'          with the topic before each payload
  trefoil sub -n 1 -W 5 home/temp       one message, but wait no longer than 5 seconds
  trefoil sub --raw -n 1 cam > photo.jpg
  trefoil sub --json '#' | jq .data     one JSON object in each line

Quote filters: a shell has its own ideas of # and *. A payload is printed as it is, with a line end
behind it; --raw leaves the line end out.";

const REQ_EXAMPLES: &str = "\
Examples:
  trefoil req svc/time                  ask, and print what is answered first
  trefoil req svc/add '[1,2]' -W 2      wait no longer than 2 seconds
  trefoil req --file photo.jpg svc/scale --raw > small.jpg
  trefoil req --url tcp://127.0.0.1:1883 svc/add '[1,2]'

Who answers is subscribed to the topic, and publishes to the response topic of the message, with its
correlation. Asking takes JSON (ws://, tcp://, udp://) or MQTT 5.

Exit code 4 says that nobody is subscribed, 5 that nobody has answered in time.";

/// One server for MQTT, WebSocket and plain sockets.
///
/// Trefoil is a hub: who publishes to a topic reaches everybody who subscribes to it, whatever each of them speaks.
/// Without a subcommand it runs the hub.
#[derive(Debug, Parser)]
#[command(name = "trefoil", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(after_help = TRY_IT, after_long_help = format!("{TRY_IT}\n\n{EXIT_CODES}"))]
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
    /// Publish messages
    Pub(Box<Pub>),
    /// Subscribe, and print the messages that come
    Sub(Box<Sub>),
    /// Ask whoever is subscribed to a topic, and print the answer
    Req(Box<Req>),
    /// Wait under a name for callers, and be joined with each of them into a stream of bytes
    Listen(Box<Listen>),
    /// Be joined with whoever listens under a name into a stream of bytes
    Connect(Box<Connect>),
    /// Send files and folders to one person, encrypted from end to end
    Send(Box<Send>),
    /// Receive what somebody sends
    Receive(Box<Receive>),
    /// Join a datagram channel: lines become datagrams, and datagrams lines
    Room(Box<Room>),
    /// Look for mistakes in a configuration, without starting anything
    Check(Check),
    /// Look at what a hub has kept on disk, or repair it
    Store(Store),
    /// Let a new process take over from a hub that runs, so that nobody is refused meanwhile
    Upgrade(Upgrade),
    /// Add a user to a file of users, change a password, or delete a user
    Passwd(Passwd),
    /// Print a script that teaches a shell to complete commands and options
    Completions(Completions),
    /// Print the manual page of trefoil or of one of its subcommands
    Man(Man),
}

/// Arguments of `trefoil serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES, after_long_help = format!("{SERVE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Serve {
    /// Read the settings from FILE [without it: trefoil.toml in the current folder, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write the number of the process to FILE while it serves
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
}

/// Arguments of `trefoil upgrade`.
#[derive(Debug, Args)]
#[command(after_help = UPGRADE_EXAMPLES, after_long_help = format!("{UPGRADE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Upgrade {
    /// The process of the hub [without it: the only hub on this machine]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pid: Option<u32>,
    /// Read the number of the process from FILE, as `trefoil serve --pid-file` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Wait no longer than SECONDS for the outcome; the upgrade goes on
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,
}

/// Arguments of `trefoil check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES, after_long_help = format!("{CHECK_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Check {
    /// The file to check [without it: trefoil.toml in the current folder]
    pub(crate) file: Option<PathBuf>,
}

/// Arguments of `trefoil store`.
#[derive(Debug, Args)]
#[command(after_help = STORE_EXAMPLES, after_long_help = format!("{STORE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) action: StoreAction,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreAction {
    /// Say what is in the store and whether anything is damaged; nothing is changed
    Check(StorePlace),
    /// Make a damaged store usable again, without what cannot be read
    Repair(StorePlace),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StorePlace {
    /// The folder of the store [without it: the one that the configuration names]
    pub(crate) path: Option<PathBuf>,
    /// Read the settings from FILE [without it: trefoil.toml in the current folder, if it is there]
    #[arg(short, long, value_name = "FILE", conflicts_with = "path")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `trefoil pub`.
#[derive(Debug, Args)]
#[command(after_help = PUB_EXAMPLES, after_long_help = format!("{PUB_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Pub {
    /// Where to publish, such as home/temp
    pub(crate) topic: String,
    /// The message. `-`, or none when standard input is no terminal: each line of standard input is one
    #[arg(conflicts_with_all = ["lines", "file"], allow_hyphen_values = true)]
    pub(crate) payload: Option<String>,
    /// Read lines from standard input; each is a message, without its line end
    #[arg(short, long, conflicts_with = "file")]
    pub(crate) lines: bool,
    /// Publish the whole of FILE as one message; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// 0: sent once. 1: the hub acknowledges. 2: exactly once (MQTT and MQTT-SN). -1: without a connection (MQTT-SN)
    #[arg(short, long, value_name = "0|1|2|-1", default_value_t = 0, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i8).range(-1..=2))]
    pub(crate) qos: i8,
    /// Let the topic keep the message for those who subscribe later
    #[arg(short, long)]
    pub(crate) retain: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `trefoil sub`.
#[derive(Debug, Args)]
#[command(after_help = SUB_EXAMPLES, after_long_help = format!("{SUB_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Sub {
    /// Which topics: `+` stands for one level, `#` at the end for all that follow
    #[arg(required = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// The highest QoS wanted; over JSON the highest is 1
    #[arg(short, long, value_name = "0|1|2", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// What the hub does with messages for which this client is too slow [without it: what the hub is set to]; not with
    /// MQTT 3.1.1 and MQTT-SN
    #[arg(long, value_name = "POLICY")]
    pub(crate) slow_reader: Option<SlowReader>,
    /// Print the topic and a space before each payload
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) verbose: bool,
    /// Print each message as a JSON object in one line, as in docs/json-protocol.md
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no line end behind a payload: its bytes exactly as they are
    #[arg(long, visible_alias = "no-newline", conflicts_with_all = ["json", "verbose"])]
    pub(crate) raw: bool,
    /// End after N messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after SECONDS, with exit code 5
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `trefoil req`.
#[derive(Debug, Args)]
#[command(after_help = REQ_EXAMPLES, after_long_help = format!("{REQ_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Req {
    /// What to ask, such as svc/add
    pub(crate) topic: String,
    /// What to send along [without it: nothing]; `-` is all of standard input
    #[arg(conflicts_with = "file", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// Send the whole of FILE along; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// 0: sent once. 1: the hub acknowledges. 2: exactly once (MQTT). Over MQTT it is known at once from 1 on that nobody could answer
    #[arg(short, long, value_name = "0|1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Print no line end behind the answer: its bytes exactly as they are
    #[arg(long, visible_alias = "no-newline")]
    pub(crate) raw: bool,
    /// Wait no longer than SECONDS for the answer, at most 300
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "10", value_parser = answer_seconds)]
    pub(crate) timeout: std::time::Duration,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A policy for slow readers, named as in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SlowReader {
    /// Drop the newest
    DropNewest,
    /// Drop what has waited longest
    DropOldest,
    /// Of what waits, keep the newest on each topic
    LatestPerTopic,
    /// End the connection
    Disconnect,
}

/// Arguments of `trefoil passwd`.
#[derive(Debug, Args)]
#[command(after_help = PASSWD_EXAMPLES, after_long_help = format!("{PASSWD_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Passwd {
    /// The file that `users` names in the section `auth` of the configuration; it is made if it is not there
    pub(crate) file: PathBuf,
    /// The user name, without a colon
    pub(crate) user: String,
    /// Delete the user
    #[arg(long, conflicts_with_all = ["kind", "iterations", "stdin"])]
    pub(crate) delete: bool,
    /// What to keep of the password: scram-sha-256 serves SCRAM and passwords that are sent, argon2id only the latter
    #[arg(long, value_name = "KIND", default_value = "scram-sha-256")]
    pub(crate) kind: RecordKind,
    /// How often to hash with scram-sha-256: more is harder to guess, and slower for clients and hub
    #[arg(long, value_name = "N", default_value_t = scram::ITERATIONS_DEFAULT,
          value_parser = clap::value_parser!(u32).range(i64::from(scram::ITERATIONS_MIN)..=i64::from(scram::ITERATIONS_MAX)))]
    pub(crate) iterations: u32,
    /// Read the password from the first line of standard input, instead of asking for it
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// A kind of password record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordKind {
    /// A SCRAM verifier
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// An Argon2id hash
    Argon2id,
}

/// How to reach the hub for messages.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Where the hub is: mqtt://HOST:PORT, tcp:// (JSON lines), udp:// (JSON datagrams), ws://HOST:PORT/ws (JSON),
    /// ws://HOST:PORT/mqtt, mqtt-sn://HOST:PORT or unix:///PATH (JSON lines); with TLS mqtts://, tcps:// or wss://
    #[arg(long, env = "TREFOIL_URL", default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) url: String,
    /// The version of MQTT
    #[arg(long, value_name = "VERSION", default_value = "5")]
    pub(crate) mqtt: MqttVersion,
    /// The name of this client [without it the hub makes one up]
    #[arg(long, value_name = "NAME")]
    pub(crate) client_id: Option<String>,
    /// A topic that has a number at the MQTT-SN gateway beforehand; may be given several times
    #[arg(long, value_name = "NUMBER=TOPIC", value_parser = predefined)]
    pub(crate) topic_id: Vec<(u16, String)>,
    #[command(flatten)]
    pub(crate) access: Access,
    /// How to prove who this is: password sends it; scram-sha-256 does not, and makes the hub prove itself (MQTT 5 only)
    #[arg(long, value_name = "METHOD", default_value = "password")]
    pub(crate) auth: AuthMethod,
    /// Go on with the session of --client-id, and let the hub keep it for SECONDS after the end
    #[arg(long, value_name = "SECONDS", requires = "client_id")]
    pub(crate) session_expiry: Option<u32>,
    /// After how many seconds of silence to ask whether the hub is still there; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) keep_alive: u16,
}

/// Who asks the hub, whom to take for the hub, and how long to wait for it: whatever is spoken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Access {
    /// User name
    #[arg(long, env = "TREFOIL_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Password. Others on this machine can read a command line, but not the environment
    #[arg(long, env = "TREFOIL_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Read the password from the first line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// With TLS, trust the hub for which the certificates in FILE vouch (PEM) [without it: those that the system trusts]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// With TLS, trust whoever answers. Whoever stands between can read and change everything
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How long to wait for the hub: for the connection and its answers, and at the end for acknowledgements
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) patience: std::time::Duration,
}

/// A way to prove who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthMethod {
    /// The password is sent
    Password,
    /// SCRAM-SHA-256
    #[value(name = "scram-sha-256")]
    ScramSha256,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MqttVersion {
    /// MQTT 3.1.1
    #[value(name = "3.1.1", alias = "3", alias = "4")]
    V3_1_1,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

/// Arguments of `trefoil completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trefoil completions bash > /etc/bash_completion.d/trefoil")]
pub(crate) struct Completions {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `trefoil man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trefoil man pub | man -l -")]
pub(crate) struct Man {
    /// A subcommand [without it: the page of trefoil itself]
    pub(crate) subcommand: Option<String>,
}

/// A number and the topic that it stands for.
fn predefined(text: &str) -> Result<(u16, String), String> {
    let parts = text.split_once('=').and_then(|(id, topic)| Some((id.parse().ok()?, topic)));
    match parts {
        Some((id, topic)) if id > 0 && !topic.is_empty() => Ok((id, topic.to_owned())),
        _ => Err("it is not a number and a topic, such as 7=home/temp".into()),
    }
}

/// A duration of more than nothing and no more than anybody waits for.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    const YEAR: f64 = 365.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR => Ok(std::time::Duration::from_secs_f64(seconds)),
        Ok(_) => Err("it must be more than 0 and at most a year".into()),
        Err(_) => Err("it is not a number of seconds, such as 5 or 0.5".into()),
    }
}

/// The same for an answer, for which the hub waits five minutes at most.
fn answer_seconds(text: &str) -> Result<std::time::Duration, String> {
    let timeout = seconds(text)?;
    if timeout.as_secs_f64() > f64::from(trefoil_json::TIMEOUT_S_MAX) {
        return Err(format!("it must be at most {}", trefoil_json::TIMEOUT_S_MAX));
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests;
