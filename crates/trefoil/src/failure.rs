//! How a subcommand can fail, and the exit code of each way.

use std::process::ExitCode;
use trefoil_client::ErrorKind;

/// Why a subcommand ended early: one or more lines for the person in front of it, and the exit code for the script.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something failed that has no code of its own.
    pub(crate) fn failed(message: impl ToString) -> Failure {
        Failure { code: 1, message: message.to_string() }
    }

    /// The command line or the configuration is wrong. It is the code that `clap` uses for the command line, too.
    pub(crate) fn usage(message: impl ToString) -> Failure {
        Failure { code: 2, message: message.to_string() }
    }

    /// The hub cannot be reached.
    pub(crate) fn unreachable(message: impl ToString) -> Failure {
        Failure { code: 3, message: message.to_string() }
    }

    /// The hub, or whoever is at the other end, said no.
    pub(crate) fn refused(message: impl ToString) -> Failure {
        Failure { code: 4, message: message.to_string() }
    }

    /// Time was up.
    pub(crate) fn timed_out(message: impl ToString) -> Failure {
        Failure { code: 5, message: message.to_string() }
    }

    /// The store cannot be used as it is, and starting again cannot help.
    pub(crate) fn unusable(message: impl ToString) -> Failure {
        Failure { code: 6, message: message.to_string() }
    }

    /// What the person is told.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Tells the person, and gives the code for the script.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("{}", self.message);
        ExitCode::from(self.code)
    }
}

impl From<trefoil_client::Error> for Failure {
    fn from(error: trefoil_client::Error) -> Failure {
        let code = match error.kind() {
            ErrorKind::Usage => 2,
            ErrorKind::Connect | ErrorKind::Protocol | ErrorKind::Lost => 3,
            ErrorKind::Refused => 4,
            ErrorKind::TimedOut => 5,
            _ => 1,
        };
        Failure { code, message: error.to_string() }
    }
}
