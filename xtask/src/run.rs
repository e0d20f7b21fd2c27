//! Carrying out: steps with a heading and a time, and outside commands with a limit on their time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a step came to. The text of an error says what is wrong and what to do about it.
pub(crate) type Outcome = Result<(), String>;

/// The steps of one run with their times and outcomes. A failed step does not end the run: one run shows
/// everything that is wrong.
pub(crate) struct Steps {
    done: Vec<(String, Duration, Outcome)>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { done: Vec::new() }
    }

    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce() -> Outcome) {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = body();
        let time = start.elapsed();
        match &outcome {
            Ok(()) => println!("=== {name}: passed in {:.1} s", time.as_secs_f64()),
            Err(reason) => println!("=== {name}: FAILED after {:.1} s\n{reason}", time.as_secs_f64()),
        }
        self.done.push((name.to_owned(), time, outcome));
    }

    /// Prints the table of steps. True when none failed.
    pub(crate) fn summary(&self) -> bool {
        println!("\n=== summary");
        for (name, time, outcome) in &self.done {
            let word = if outcome.is_ok() { "passed" } else { "FAILED" };
            println!("{word}  {:>7.1} s  {name}", time.as_secs_f64());
        }
        let total: f64 = self.done.iter().map(|(_, time, _)| time.as_secs_f64()).sum();
        let failed = self.done.iter().filter(|(_, _, outcome)| outcome.is_err()).count();
        println!("all    {total:>8.1} s");
        println!("{} passed, {failed} failed", self.done.len() - failed);
        failed == 0
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the workspace root")
}

/// Where cargo puts what it builds, and where the tools of the tests are installed.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// An outside command: run in the workspace root, its output shown, its time limited.
pub(crate) struct Tool {
    command: Command,
    line: String,
    limit: Duration,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(root()).stdin(Stdio::null());
        let line = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        Self { command, line, limit: Duration::from_secs(15 * 60) }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .environment("CARGO_TERM_PROGRESS_WHEN", "never")
    }

    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.line.push(' ');
        self.line.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Arguments without spaces in them, separated by spaces.
    pub(crate) fn arguments(self, arguments: &str) -> Self {
        arguments.split_whitespace().fold(self, Self::argument)
    }

    pub(crate) fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Writes what it prints to a file instead of showing it.
    pub(crate) fn log(mut self, path: &Path) -> Result<Self, String> {
        let fault = |error| format!("{}: {error}", path.display());
        let file = std::fs::File::create(path).map_err(fault)?;
        self.command.stdout(file.try_clone().map_err(fault)?).stderr(file);
        Ok(self)
    }

    /// Runs to the end. An exit code other than zero and a time above the limit are errors.
    pub(crate) fn run(mut self) -> Outcome {
        println!("+ {}", self.line);
        let mut child =
            self.command.spawn().map_err(|error| format!("`{}` does not start: {error}", self.line))?;
        let deadline = Instant::now() + self.limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("`{}` ended with {status}", self.line)),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) => {
                    end_with_descendants(&mut child);
                    return Err(format!("`{}` took longer than {} s", self.line, self.limit.as_secs()));
                }
                Err(error) => return Err(format!("`{}` cannot be waited for: {error}", self.line)),
            }
        }
    }

    /// Runs to the end in silence. True when the command exists and succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        let status = self.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Runs to the end and gives what it wrote to standard output.
    pub(crate) fn output(mut self) -> Result<String, String> {
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("`{}` does not start: {error}", self.line))?;
        if !output.status.success() {
            return Err(format!("`{}` ended with {}", self.line, output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{}` did not print UTF-8", self.line))
    }
}

/// Ends a child and all that it started: cargo's children would otherwise outlive it.
fn end_with_descendants(child: &mut Child) {
    let mut family = vec![child.id()];
    let parents: Vec<(u32, u32)> = processes().collect();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    let pids: Vec<String> = family.iter().map(u32::to_string).collect();
    let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL {}", pids.join(" "))).status();
    let _ = child.wait();
    // A signal is on its way for a moment. What comes next may want the ports and files of those that go, so
    // it waits for them; a process that the kernel cannot end is left after a while.
    let deadline = Instant::now() + Duration::from_secs(30);
    while family.iter().any(|&pid| runs(pid)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is there and has not come to its end.
fn runs(pid: u32) -> bool {
    // The name stands in parentheses and may itself hold spaces; the state follows the last one.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Every process with its parent, from /proc.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name stands in parentheses and may itself hold spaces; state and parent follow the last one.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_hide_the_next() {
        let mut steps = Steps::new();
        steps.step("first", || Err("broken".into()));
        let mut ran = false;
        steps.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert!(!steps.summary());
    }

    #[test]
    fn a_tool_reports_its_exit_code_and_its_absence() {
        assert!(Tool::new("true").run().is_ok());
        assert!(Tool::new("false").run().is_err());
        assert!(
            Tool::new("no-such-program-here").run().is_err_and(|reason| reason.contains("no-such-program"))
        );
    }

    #[test]
    fn a_tool_that_takes_too_long_is_ended_with_its_children() {
        // Only this test's own child has this process's number in its line.
        let seconds = format!("321.{}", std::process::id());
        let line = format!("sleep {seconds} & wait");
        let outcome = Tool::new("sh").argument("-c").argument(line).limit(Duration::from_millis(100)).run();
        assert!(outcome.is_err_and(|reason| reason.contains("longer")));
        let sleeps = format!("sleep\0{seconds}\0");
        let sleeping = processes().find(|(pid, _)| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == sleeps.as_bytes())
        });
        assert_eq!(sleeping, None);
    }
}
