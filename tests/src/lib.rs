//! The rig of the black-box tests: the real binary on one side, clients that are not ours on the other.
//!
//! [`Hub`] runs the binary in a folder of its own on ports that the system picks, and fails the test that it was
//! started by when the hub panics. [`Program`] runs a foreign client (mosquitto_pub, nc, curl, a scenario in
//! Python or Node) with a limit on its time. For bytes that no decent client would send there are small clients over
//! plain sockets: [`mqtt::Connection`], [`websocket::Connection`], [`lines::Connection`], [`datagrams::Peer`] and
//! [`channel::Channel`]; none of them shares a line with the codecs under test. [`Example`] runs a program of `examples/`
//! beside the hub. [`Bystander`] is a pair of such clients that must not notice what is done to the hub beside them.
//!
//! Everything here panics with a message when something is not as it should be: it is called by tests only.
//!
//! ```no_run
//! use trefoil_tests::{Hub, Program};
//!
//! let hub = Hub::start();
//! let port = hub.tcp_port().to_string();
//! let sub = Program::new("mosquitto_sub").args(["-p", &port, "-t", "t", "-C", "1"]).spawn();
//! # let _ = sub;
//! ```

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod broken;
mod bystander;
mod certificates;
pub mod channel;
pub mod corpus;
pub mod crash;
pub mod datagrams;
mod disk;
mod example;
mod hub;
pub mod lines;
pub mod mqtt;
pub mod mqtt_sn;
mod program;
pub mod proxy;
pub mod rooms;
pub mod scram;
pub mod soak;
mod socket;
pub mod websocket;

pub use bystander::Bystander;
pub use certificates::Authority;
pub use disk::Disk;
pub use example::Example;
pub use hub::{CONFIG, DEVICES, Holdings, Hub, USERS_CONFIG, binary, set_user, trefoil};
pub use program::{
    Outcome, Program, Running, node, node_on_page, node_on_page_of, node_program, python, python_program,
};
pub use socket::{Exchange, connect, or_end};

use std::time::{Duration, Instant};

/// How long anything is waited for. Far above what anything takes: only a fault lets a wait last that long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the condition holds; panics with `what` when it does not within [`DEADLINE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
