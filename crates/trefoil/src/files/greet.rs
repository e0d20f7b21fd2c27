//! The handshake over a connection, within a time.

use super::link::Link;
use std::io;
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;
use trefoil_transfer::{Ciphers, Code, Handshake, HandshakeError, Keys, REFUSAL, Role, Step};

/// Whoever takes longer to say what it knows has gone, or wants to keep us waiting.
const GREETING_MAX: Duration = Duration::from_secs(20);

/// Why there are no keys.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// The connection broke. If this end had proved itself by then, the other one may have tried a code.
    Broken { why: String, was_exposed: bool },
    /// The other end is not who it should be.
    Stranger(HandshakeError),
}

/// Greets the other end. `judge` is asked to take the other end's bytes to the handshake, one after the other.
pub(crate) fn greet<L: Link>(
    link: &mut L,
    role: Role,
    code: &Code,
    mut judge: impl FnMut(&mut Handshake, &[u8]) -> Result<Step, HandshakeError>,
) -> Result<Keys, Unknown> {
    let broken = |error: io::Error, was_exposed| Unknown::Broken { why: error.to_string(), was_exposed };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| broken(error.into(), false))?;
    let (mut handshake, hello) = Handshake::begin(role, code, ciphers(), random);
    let _limit = limit(link).map_err(|error| broken(error, false))?;
    link.write_all(&hello).map_err(|error| broken(error, false))?;
    loop {
        let mut bytes = vec![0; handshake.wants_bytes()];
        link.read_exact(&mut bytes).map_err(|error| broken(error, handshake.is_exposed()))?;
        match judge(&mut handshake, &bytes) {
            Ok(Step::Wait) => {}
            Ok(Step::Send(bytes)) => {
                link.write_all(&bytes).map_err(|error| broken(error, handshake.is_exposed()))?;
            }
            Ok(Step::Done { send, keys }) => {
                link.write_all(&send.unwrap_or_default()).map_err(|error| broken(error, false))?;
                return Ok(*keys);
            }
            Err(error) => {
                if (role, error) == (Role::Sender, HandshakeError::WrongCode) {
                    // It will read that it was wrong, or it has gone.
                    let _ = link.write_all(&REFUSAL);
                    link.end(Shutdown::Write);
                }
                return Err(Unknown::Stranger(error));
            }
        }
    }
}

/// Cuts the link when the time is up, unless what this gives is dropped before.
fn limit<L: Link>(link: &L) -> io::Result<mpsc::Sender<()>> {
    let (done, is_done) = mpsc::channel();
    let link = link.another()?;
    std::thread::Builder::new().name("greeting".into()).spawn(move || {
        if is_done.recv_timeout(GREETING_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            link.end(Shutdown::Both);
        }
    })?;
    Ok(done)
}

/// AES where the processor computes it, since it is several times as fast there; without that it is slow, and its time
/// could tell others about the key.
fn ciphers() -> Ciphers {
    #[cfg(target_arch = "x86_64")]
    let has_aes =
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes =
        std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    if has_aes { Ciphers::all() } else { Ciphers::portable() }
}
