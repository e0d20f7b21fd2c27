//! A program of `examples/`, run beside the hub under test.

use crate::hub::profile_folder;
use crate::{DEADLINE, Hub, Outcome, Program, Running, wait_until};
use std::path::PathBuf;

/// A running example with its page on a port that the system picks. It is ended when this goes out of scope.
pub struct Example {
    running: Running,
    page: String,
}

impl Example {
    /// Starts it against this hub, and waits until its page is served.
    pub fn start(name: &str, hub: &Hub, arguments: &str) -> Self {
        let mqtt = format!("mqtt://127.0.0.1:{}", hub.tcp_port());
        let websocket = format!("ws://127.0.0.1:{}/ws", hub.http_port());
        Self::run(name, &format!("--mqtt {mqtt} --websocket {websocket} {arguments}"))
    }

    /// Starts it without a hub: it has to start its own.
    pub fn start_alone(name: &str, arguments: &str) -> Self {
        Self::run(name, &format!("--own-hub {arguments}"))
    }

    fn run(name: &str, arguments: &str) -> Self {
        let program = Program::new(program(name)).words("--page 127.0.0.1:0").words(arguments);
        let running = program.limit(DEADLINE * 3).spawn();
        let mut example = Self { running, page: String::new() };
        example.page = example.after("the page is at ");
        example
    }

    /// What follows `start` on the first line of standard output that begins with it; waits for that line.
    pub fn after(&mut self, start: &str) -> String {
        let mut found = None;
        let mut ended = false;
        wait_until(&format!("the example has printed \"{start}…\""), || {
            let text = self.stdout();
            // Only whole lines: the last piece may be half of one.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            found = whole.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
            // Asked after its output was read: what it said last still counts.
            std::mem::replace(&mut ended, self.running.has_ended()) || found.is_some()
        });
        found.unwrap_or_else(|| panic!("the example ended early:\n{}{}", self.stdout(), self.stderr()))
    }

    /// The URL of its page.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// What standard output holds so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.running.stdout()).into_owned()
    }

    /// What standard error holds so far.
    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    pub fn stop(self) -> Outcome {
        self.running.signal("INT");
        self.running.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(self) -> Outcome {
        self.running.wait()
    }
}

/// The program, which cargo built beside these tests.
fn program(name: &str) -> PathBuf {
    let path = profile_folder().join(name);
    assert!(
        path.is_file(),
        "{} is not built. `cargo xtask blackbox` builds it and runs these tests; or build it with \
         `cargo build --package {name}`.",
        path.display()
    );
    path
}
