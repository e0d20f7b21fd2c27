//! Why a server does not start.

use std::fmt;
use std::io;
use trefoil_config::Bind;

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    Listen {
        /// Its address.
        bind: Bind,
        /// What the system said.
        error: io::Error,
    },
    /// Sockets came from a service manager that are no listener's.
    Unwanted(Vec<Bind>),
    /// The file of users cannot be read, or something is wrong with it: each line of the text names file and line.
    Users(String),
    /// A certificate cannot be used: the text names the file.
    Certificate(String),
    /// The store cannot be opened now: the text says what to do about it.
    Store(String),
    /// Something is wrong with what is in the folder of the store, and no other start can change that: the text says what
    /// to do about it.
    Unusable(String),
    /// The system gave no thread, no poll or no runtime.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { bind, error } => match error.kind() {
                io::ErrorKind::AddrInUse => write!(
                    f,
                    "cannot listen on {bind}: the address is taken; is another hub or broker running there? \
                     Stop it, or choose another port with bind in the configuration"
                ),
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "cannot listen on {bind}: not allowed; ports below 1024 need the right to bind them, and a Unix \
                     socket the right to write into its folder"
                ),
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "cannot listen on {bind}: this machine has no such address")
                }
                io::ErrorKind::NotFound => write!(
                    f,
                    "cannot listen on {bind}: the folder is not there; make it, or choose another path with bind in the \
                     configuration"
                ),
                _ => write!(f, "cannot listen on {bind}: {error}"),
            },
            StartError::Unwanted(binds) => {
                for (number, bind) in binds.iter().enumerate() {
                    write!(
                        f,
                        "{}a socket for {bind} was handed in (LISTEN_FDS), but no listener is configured there: add a \
                         [[listener]] with bind = \"{bind}\", or take it out of the .socket unit",
                        if number > 0 { "\n" } else { "" }
                    )?;
                }
                Ok(())
            }
            StartError::Users(why)
            | StartError::Certificate(why)
            | StartError::Store(why)
            | StartError::Unusable(why) => f.write_str(why),
            StartError::System(error) => write!(f, "the system refuses what a server needs: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Listen { error, .. } | StartError::System(error) => Some(error),
            StartError::Users(_)
            | StartError::Certificate(_)
            | StartError::Store(_)
            | StartError::Unusable(_)
            | StartError::Unwanted(_) => None,
        }
    }
}
