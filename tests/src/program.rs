//! Foreign clients and the command line: programs with input, output and a limit on their time.

use crate::hub::{profile_folder, signal};
use crate::{DEADLINE, Example, Hub, wait_until};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A program about to be run.
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
}

/// What a program came to.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    line: String,
}

/// A program under way. It is ended when this goes out of scope.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    line: String,
    limit: Duration,
}

impl Program {
    /// A program by its name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::from(Command::new(program))
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds arguments without spaces in them, separated by spaces.
    pub fn words(self, arguments: &str) -> Self {
        self.args(arguments.split_whitespace())
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in this folder.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives standard input these bytes and then its end. Without a call it ends at once.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Leaves standard input open, for [`Running::write`].
    pub fn open_stdin(mut self) -> Self {
        self.input = None;
        self
    }

    /// Gives it more time than [`DEADLINE`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Running {
        let line = format!("{:?}", self.command);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| {
            panic!("{line} does not start: {error}. `cargo xtask install` brings in what the tests need.")
        });
        let (stdout, out) = collect(child.stdout.take().unwrap());
        let (stderr, err) = collect(child.stderr.take().unwrap());
        let mut readers = vec![out, err];
        let mut stdin = child.stdin.take();
        if let Some(input) = self.input {
            let mut pipe = stdin.take().unwrap();
            // A program that does not read its input must not hold the test up, nor fail it by that.
            readers.push(std::thread::spawn(move || drop(pipe.write_all(&input))));
        }
        Running { child, stdin, stdout, stderr, readers, line, limit: self.limit }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }
}

impl From<Command> for Program {
    /// A command that has been prepared elsewhere.
    fn from(command: Command) -> Self {
        Self { command, input: Some(Vec::new()), limit: DEADLINE }
    }
}

impl Running {
    /// Writes to standard input.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let pipe = self.stdin.as_mut().expect("the program was given open_stdin()");
        pipe.write_all(bytes.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", self.line));
    }

    /// Ends standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What standard output holds so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().unwrap().clone()
    }

    /// What standard error holds so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until that many lines stand on standard output, and gives them.
    pub fn lines(&self, count: usize) -> Vec<String> {
        wait_until(&format!("{} has printed {count} lines", self.line), || {
            self.stdout().iter().filter(|byte| **byte == b'\n').count() >= count
        });
        String::from_utf8_lossy(&self.stdout()).lines().take(count).map(str::to_owned).collect()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Outcome {
        let deadline = Instant::now() + self.limit;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                None => {
                    let _ = self.child.kill();
                    let out = String::from_utf8_lossy(&self.stdout()).into_owned();
                    panic!("{} is not done after {:?}:\n{out}{}", self.line, self.limit, self.stderr());
                }
            }
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        Outcome { status, stdout: self.stdout(), stderr: self.stderr(), line: self.line.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    /// Standard output of a program that must have succeeded.
    pub fn success(self) -> String {
        assert!(self.status.success(), "{self}");
        String::from_utf8(self.stdout).expect("UTF-8 on standard output")
    }

    /// Whether it ended with any exit code but 0.
    pub fn has_failed(&self) -> bool {
        !self.status.success()
    }

    /// Standard error of a program that must have ended with this exit code.
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self.stderr
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        write!(
            f,
            "{} ended with {}\n--- stdout\n{stdout}--- stderr\n{}---",
            self.line, self.status, self.stderr
        )
    }
}

/// Runs a scenario of a file in `tests/python` against the hub.
pub fn python(file: &str, scenario: &str, hub: &Hub) {
    show(python_program(file, scenario, hub).run());
}

/// The program that does so.
pub fn python_program(file: &str, scenario: &str, hub: &Hub) -> Program {
    let python = tools_folder().join("python/bin/python");
    let program = Program::new(python).folder(here("python")).args([&format!("{file}.py"), scenario]);
    program.args(hub.ports()).limit(DEADLINE * 4)
}

/// Runs a scenario of a file in `tests/node` against the hub.
pub fn node(file: &str, scenario: &str, hub: &Hub) {
    show(node_program(file, scenario, hub).run());
}

/// The same for a scenario that looks at the page of an example.
pub fn node_on_page(file: &str, scenario: &str, hub: &Hub, example: &Example) {
    show(node_program(file, scenario, hub).args([format!("page={}", example.page())]).run());
}

/// The same for an example with a hub of its own.
pub fn node_on_page_of(file: &str, scenario: &str, example: &mut Example) {
    let first = example.after("listening on tcp://127.0.0.1:");
    let port = first.split(' ').next().unwrap_or_default();
    let program = Program::new("node").folder(here("node")).args([&format!("{file}.mjs"), scenario]);
    let places = [format!("tcp={port}"), format!("page={}", example.page())];
    show(program.args(places).limit(DEADLINE * 4).run());
}

/// The program that runs a scenario of a file in `tests/node`.
pub fn node_program(file: &str, scenario: &str, hub: &Hub) -> Program {
    let program = Program::new("node").folder(here("node")).args([&format!("{file}.mjs"), scenario]);
    program.args(hub.ports()).limit(DEADLINE * 4)
}

/// Prints what a scenario said, for those who look at a passing test too.
fn show(outcome: Outcome) {
    eprint!("{}", outcome.success());
}

/// Where `cargo xtask install` puts the tools: in the target folder.
fn tools_folder() -> PathBuf {
    profile_folder().parent().expect("a profile's folder lies in the target folder").join("tools")
}

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn collect(mut source: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, std::thread::JoinHandle<()>) {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            shared.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    (bytes, reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_output_pass_through() {
        let outcome = Program::new("sh").args(["-c", "cat; echo oops >&2; exit 3"]).stdin("bytes").run();
        assert_eq!(outcome.stdout, b"bytes");
        assert_eq!(outcome.failure(3), "oops\n");
    }

    #[test]
    fn a_running_program_is_written_to_and_read_from() {
        let mut cat = Program::new("cat").open_stdin().spawn();
        cat.write("one\ntwo\n");
        assert_eq!(cat.lines(2), ["one", "two"]);
        cat.close_stdin();
        assert_eq!(cat.wait().success(), "one\ntwo\n");
    }

    #[test]
    #[should_panic(expected = "is not done")]
    fn a_program_that_takes_too_long_is_ended() {
        Program::new("sleep").words("1000").limit(Duration::from_millis(50)).run();
    }
}
