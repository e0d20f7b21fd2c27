//! `trefoil upgrade`: asks a running hub to let a new process take over, and waits for the outcome.

use crate::arguments::Upgrade;
use crate::failure::Failure;
use crate::serve::link::{Word, Words};
use crate::serve::{door, pid_file};
use std::io::{self, ErrorKind, Write};

pub(crate) fn run(arguments: &Upgrade) -> Result<(), Failure> {
    let pid = find(arguments)?;
    let stream = door::ask(pid).map_err(|error| {
        Failure::unreachable(match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                format!("process {pid} is no hub on this machine that can be asked: {error}")
            }
            _ => format!("process {pid} cannot be asked: {error}"),
        })
    })?;
    let gone = |why: String| {
        Failure::unreachable(format!("process {pid} ended before it said what came of it{why}"))
    };
    stream.set_read_timeout(arguments.timeout).map_err(|error| gone(format!(": {error}")))?;
    match Words::new(stream).next() {
        Ok(Some(Word::Done(new))) => writeln!(io::stdout().lock(), "process {new} has taken over from {pid}")
            .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(Some(Word::Failed(why))) => {
            Err(Failure::failed(format!("the upgrade failed, and process {pid} goes on:\n{why}")))
        }
        Ok(None) => Err(gone(String::new())),
        Ok(Some(word)) => Err(gone(format!("; it said {word:?}"))),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Failure::timed_out(format!("process {pid} has not said yet what came of it; its log will")))
        }
        Err(error) => Err(gone(format!(": {error}"))),
    }
}

fn find(arguments: &Upgrade) -> Result<u32, Failure> {
    if let Some(pid) = arguments.pid {
        return Ok(pid);
    }
    if let Some(path) = &arguments.pid_file {
        return pid_file::read(path)
            .map_err(|error| Failure::unreachable(format!("{}: {error}", path.display())));
    }
    let all = door::all().map_err(|error| {
        Failure::unreachable(format!("cannot look for hubs: {error}; name one with --pid"))
    })?;
    match all[..] {
        [pid] => Ok(pid),
        [] => Err(Failure::unreachable("no hub runs on this machine that can be asked")),
        _ => {
            let all: Vec<String> = all.iter().map(u32::to_string).collect();
            Err(Failure::usage(format!(
                "several hubs run here, processes {}: name one with --pid or --pid-file",
                all.join(", ")
            )))
        }
    }
}
