//! What an example does at the hub for as long as that is there, and begins again when it comes back.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use tokio::time::sleep;

const RETRY: Duration = Duration::from_secs(2);

/// Makes an attempt that only ends by failing, tells on standard error what happened to `who`, and after a while makes it
/// again.
pub async fn forever<E: Display>(
    who: &str,
    mut attempt: impl AsyncFnMut() -> Result<Infallible, E>,
) -> Infallible {
    loop {
        let Err(error) = attempt().await;
        // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
        let _ = writeln!(io::stderr(), "{who}: {error}; trying again");
        sleep(RETRY).await;
    }
}
