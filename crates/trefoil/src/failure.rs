//! How a subcommand can fail, and the exit code of each way.

use std::process::ExitCode;

/// Why a subcommand ended early: one or more lines for the person in front of it, and the exit code for the script.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something went wrong that has no code of its own.
    pub(crate) const FAILED: u8 = 1;
    /// The command line or the configuration is wrong. It is what `clap` uses for the command line too.
    pub(crate) const USAGE: u8 = 2;

    pub(crate) fn new(code: u8, message: impl ToString) -> Failure {
        Failure { code, message: message.to_string() }
    }

    /// Something went wrong that has no code of its own.
    pub(crate) fn failed(message: impl ToString) -> Failure {
        Failure::new(Failure::FAILED, message)
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn usage(message: impl ToString) -> Failure {
        Failure::new(Failure::USAGE, message)
    }

    /// Tells the person, and gives the code for the script.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("{}", self.message);
        ExitCode::from(self.code)
    }
}
