//! The `trefoil` binary: the hub, and the tools of its command line.
//!
//! [`arguments`] says what may be written on the command line; each subcommand has a module of its own with a `run`
//! that comes to an end or to a [`Failure`], and a `Failure` knows its exit code. `serve` runs a
//! [`trefoil_server::Server`], `check` only reads its configuration, `store` looks at what it has kept, `upgrade` lets a
//! new process take over from it, `passwd` changes its file of users. `pub`, `sub` and `req` are a
//! [`trefoil_client::Client`], `listen` and `connect` the ends of [`trefoil_client::streams`], `room` a
//! [`trefoil_client::Room`]; `send` and `receive` bring files from one person to another over streams.
//!
//! ```sh
//! trefoil                          # the hub, with the settings of trefoil.toml if there is one
//! trefoil sub 'home/#'             # in a second terminal
//! trefoil pub home/temp 21.5       # in a third
//! ```

mod arguments;
mod banner;
mod check;
mod connect;
mod connection;
mod descriptors;
mod failure;
mod files;
mod input;
mod listen;
mod logging;
mod manual;
mod passwd;
mod publish;
mod request;
mod room;
mod serve;
mod settings;
mod store;
mod streams;
mod subscribe;
mod upgrade;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(serve)) => serve::run(&serve),
        Some(Command::Pub(publish)) => publish::run(&publish),
        Some(Command::Sub(subscribe)) => subscribe::run(&subscribe),
        Some(Command::Listen(listen)) => listen::run(&listen),
        Some(Command::Connect(connect)) => connect::run(&connect),
        Some(Command::Send(send)) => files::send::run(&send),
        Some(Command::Receive(receive)) => files::receive::run(&receive),
        Some(Command::Room(room)) => room::run(&room),
        Some(Command::Req(request)) => request::run(&request),
        Some(Command::Check(check)) => check::run(&check),
        Some(Command::Store(store)) => store::run(&store),
        Some(Command::Upgrade(upgrade)) => upgrade::run(&upgrade),
        Some(Command::Passwd(passwd)) => passwd::run(&passwd),
        Some(Command::Completions(completions)) => manual::completions(&completions),
        Some(Command::Man(man)) => manual::man(&man),
    };
    result.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}
