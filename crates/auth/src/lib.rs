//! Who a client is: passwords, and how they are proved.
//!
//! Three things, none of which touches a socket, a clock or a source of randomness:
//!
//! - [`scram`]: the two sides of SCRAM-SHA-256 (RFC 5802, RFC 7677), by which a client proves that it knows a password
//!   without sending it, and a server that it knows it, too;
//! - [`Record`]: what is kept of a password, as a SCRAM verifier or as an Argon2id hash;
//! - [`Users`]: a file of them, one `name:record` a line, and [`Editor`], which changes such a file and keeps the rest
//!   of it.
//!
//! Names and passwords are prepared with SASLprep (RFC 4013) before anything is made of them, so that it does not
//! matter how a keyboard composes an `é`.
//!
//! ```
//! use trefoil_auth::{Record, Secret, Users, scram};
//!
//! let record = Record::scram("pencil", &[7; 16], scram::ITERATIONS_MIN)?;
//! let users = Users::parse(&format!("ann:{record}\n"), Secret::new([1; 32]))?;
//! assert_eq!(users.check("ann", b"pencil").as_deref(), Some("ann"));
//!
//! // The same without sending the password.
//! let (mut client, first) = scram::Client::begin("ann", "pencil", &[2; 18])?;
//! let first = scram::ClientFirst::parse(&first)?;
//! let verifier = users.verifier(first.user_name());
//! let (challenge, answer) = first.challenge(&verifier, &[3; 18]);
//! let answer = challenge.finish(&client.answer(&answer)?)?;
//! client.check(&answer)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod argon2id;
mod editor;
mod prepare;
mod record;
pub mod scram;
mod users;

pub use argon2id::Argon2id;
pub use editor::{Change, Editor};
pub use prepare::{PrepareError, prepare};
pub use record::{Kind, Record, RecordError};
pub use users::{NAME_BYTES_MAX, Secret, Users, UsersError, check_name};

/// No longer password is looked at, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
