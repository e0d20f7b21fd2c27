//! Project tasks: `cargo xtask test` installs what the tests need and runs every check of the project.
//!
//! Three parts meet here. `install` brings in the tools that are missing and says which and why. `checks`
//! has one function for each check, from the tidy test (`tidy`) to the short run of the fuzz targets (`fuzz`).
//! `run` carries them out: [`run::Steps`] prints a heading for each, takes its time and sums up, and
//! [`run::Tool`] starts an outside command with a limit on its time. A part that is missing is an error
//! that says what and how to get it, never a check left out in silence.

#![allow(clippy::print_stdout, reason = "talking to the person at the terminal is what this program is for")]

mod broken;
mod checks;
mod conformance;
mod crash;
mod fuzz;
mod install;
mod run;
mod simulate;
mod soak;
mod tidy;

use run::Steps;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Project tasks of Trefoil.

Usage: cargo xtask COMMAND

Commands:
  test        Install what is missing, then run every check below. This is what CI runs.
  install     Install what the tests need and is missing (Debian, npm and Python packages). Needs root
              only when a Debian package is missing.
  tidy        The order of the tree: file lengths, crate heads, arrows between crates, links, licences
  lint        rustfmt, clippy and the documentation build, warnings denied
  unit        Unit, property and documentation tests, and every benchmark once
  blackbox    Tests through the release binary with clients that are not ours
  js          Build and test the JavaScript client
  browser     The web console and the pages of the examples in Chromium
  conformance Every statement of MQTT with the code and the tests that cite it; fails on a gap
  fuzz        A short run of every fuzz target
  simulate    Clients and the hub through random losses, and an oracle that checks every promise
  crash       Kills of the hub under real clients, by the hundred or for hours; nothing acknowledged may be lost
  soak        Everything comes and goes, and what the hub holds afterwards
  broken      Connections that go wrong, by the million, and what the hub holds afterwards

Options:
  --seconds N   With `fuzz` and `test`: how long each fuzz target runs (default 5)
  --target T    With `fuzz`: only this target
  --write       With `conformance`: write docs/conformance.md instead
  --runs N      With `simulate`: try N seeds that nobody has tried (default 2000)
  --seed N      With `simulate`: this seed, step by step; with `crash`: this seed and those after it
  --hours N     With `crash`: how long
  --kills N     With `crash`: how many kills (default 150)
  --spare       With `crash`: break connections and let the hub live
  --minutes N   With `soak`: how long (default 10)
  --count N     With `broken`: how many connections (default 1000000)
  --help        This text

Everything that `install` adds beside Debian packages lies in target/ and in node_modules folders.
";

/// What the command line asked for.
struct Request {
    command: String,
    fuzz: fuzz::Options,
    simulate: simulate::Options,
    broken: broken::Options,
    crash: crash::Options,
    soak: soak::Options,
    write: bool,
}

fn main() -> ExitCode {
    let request = match parse(std::env::args().skip(1)) {
        Ok(Some(request)) => request,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("{reason}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let mut steps = Steps::new();
    if !carry_out(&request, &mut steps) {
        eprintln!("There is no task named `{}`.\n\n{HELP}", request.command);
        return ExitCode::from(2);
    }
    if steps.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the steps of one command. False when the command is unknown.
fn carry_out(request: &Request, steps: &mut Steps) -> bool {
    match request.command.as_str() {
        "test" => {
            steps.step("install what is missing", install::everything);
            tidy(steps);
            lint(steps);
            steps.step("conformance", conformance::check);
            unit(steps);
            steps.step("release build", checks::release_build);
            steps.step("examples", checks::examples_build);
            steps.step("black-box tests", checks::blackbox);
            steps.step("JavaScript client", checks::javascript_client);
            steps.step("browser test in Chromium", checks::browser);
            steps.step("fuzz targets, a short run of each", || fuzz::run(&request.fuzz));
        }
        "install" => steps.step("install what is missing", install::everything),
        "tidy" => tidy(steps),
        "lint" => lint(steps),
        "unit" => unit(steps),
        "blackbox" => {
            prepare(steps);
            steps.step("examples", checks::examples_build);
            steps.step("black-box tests", checks::blackbox);
        }
        "js" => {
            prepare(steps);
            steps.step("JavaScript client", checks::javascript_client);
        }
        "browser" => {
            prepare(steps);
            steps.step("examples", checks::examples_build);
            steps.step("browser test in Chromium", checks::browser);
        }
        "conformance" if request.write => steps.step("conformance page", conformance::write),
        "conformance" => steps.step("conformance", conformance::check),
        "broken" => {
            steps.step("release build", checks::release_build);
            steps.step("broken connections", || broken::run(&request.broken));
        }
        "crash" => {
            steps.step("release build", checks::release_build);
            steps.step("crash test", || crash::run(&request.crash));
        }
        "soak" => {
            steps.step("release build", checks::release_build);
            steps.step("soak", || soak::run(&request.soak));
        }
        "simulate" => steps.step("simulation", || simulate::run(&request.simulate)),
        "fuzz" => steps.step("fuzz targets", || fuzz::run(&request.fuzz)),
        _ => return false,
    }
    true
}

fn tidy(steps: &mut Steps) {
    steps.step("tidy", tidy::tree);
    steps.step("dependencies: licences, bans, duplicates", tidy::dependencies);
}

fn lint(steps: &mut Steps) {
    steps.step("rustfmt", checks::format);
    steps.step("clippy, warnings denied", checks::clippy);
    steps.step("documentation build, warnings denied", checks::documentation);
}

fn unit(steps: &mut Steps) {
    steps.step("unit and property tests", checks::unit_tests);
    steps.step("documentation tests", checks::documentation_tests);
    steps.step("every benchmark once", checks::benches);
}

/// What every test through the binary needs.
fn prepare(steps: &mut Steps) {
    steps.step("install what is missing", install::everything);
    steps.step("release build", checks::release_build);
}

/// `None` asks for the help text.
fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Request>, String> {
    let (mut command, mut write) = (None, false);
    let mut fuzz = fuzz::Options { time: Duration::from_secs(5), only: None };
    let mut simulate = simulate::Options::default();
    let mut broken = broken::Options::default();
    let (mut crash, mut soak) = (crash::Options::default(), soak::Options::default());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value."));
        match argument.as_str() {
            "--help" | "-h" | "help" => return Ok(None),
            "--seconds" => {
                fuzz.time = Duration::from_secs(whole_number(&argument, &value()?)?);
            }
            "--runs" => simulate.runs = whole_number(&argument, &value()?)?,
            "--count" => broken.count = whole_number(&argument, &value()?)?,
            "--seed" => {
                let seed = Some(whole_number(&argument, &value()?)?);
                (simulate.seed, crash.seed) = (seed, seed);
            }
            "--hours" => crash.hours = Some(whole_number(&argument, &value()?)?),
            "--kills" => crash.kills = Some(whole_number(&argument, &value()?)?),
            "--spare" => crash.spare = true,
            "--minutes" => soak.minutes = whole_number(&argument, &value()?)?,
            "--write" => write = true,
            "--target" => fuzz.only = Some(value()?),
            option if option.starts_with('-') => return Err(format!("There is no option `{option}`.")),
            _ if command.is_some() => {
                return Err(format!("One command at a time: `{argument}` is one more."));
            }
            _ => command = Some(argument),
        }
    }
    Ok(command.map(|command| Request { command, fuzz, simulate, broken, crash, soak, write }))
}

fn whole_number(option: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{option} {text}`: not a whole number."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split_whitespace().map(str::to_owned)
    }

    #[test]
    fn options_are_read_and_mistakes_named() {
        let request = parse(words("fuzz --seconds 9 --target detect")).ok().flatten().expect("a request");
        assert_eq!(request.command, "fuzz");
        assert_eq!(request.fuzz.time, Duration::from_secs(9));
        assert_eq!(request.fuzz.only.as_deref(), Some("detect"));
        assert!(parse(words("")).is_ok_and(|request| request.is_none()));
        assert!(parse(words("fuzz --seconds soon")).is_err_and(|reason| reason.contains("soon")));
        assert!(parse(words("fuzz --seconds")).is_err());
        let request = parse(words("simulate --seed 7")).ok().flatten().expect("a request");
        assert_eq!(request.simulate.seed, Some(7));
        let request = parse(words("crash --hours 2 --seed 7")).ok().flatten().expect("a request");
        assert_eq!((request.crash.hours, request.crash.kills, request.crash.seed), (Some(2), None, Some(7)));
        let request = parse(words("soak --minutes 3")).ok().flatten().expect("a request");
        assert_eq!(request.soak.minutes, 3);
        assert!(parse(words("tidy lint")).is_err_and(|reason| reason.contains("lint")));
        assert!(parse(words("--quick")).is_err_and(|reason| reason.contains("--quick")));
    }

    #[test]
    fn an_unknown_command_is_no_success() {
        let request = Request {
            command: "tests".into(),
            fuzz: fuzz::Options::default(),
            simulate: simulate::Options::default(),
            broken: broken::Options::default(),
            crash: crash::Options::default(),
            soak: soak::Options::default(),
            write: false,
        };
        assert!(!carry_out(&request, &mut Steps::new()));
    }
}
