//! How long opening a log of two million small records takes: `cargo run --release -p trefoil-store --example opening`.

use std::io::Write as _;
use std::time::Instant;

use trefoil_store::{Log, Options};

/// A queued message of a telemetry client, with its topic.
const RECORD_BYTES: usize = 230;
const RECORDS: u64 = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (mut log, _) = Log::open(folder.path(), Options::default())?;
    let begun = Instant::now();
    for i in 0..RECORDS {
        log.append(&[i as u8; RECORD_BYTES])?;
    }
    log.sync()?;
    let mut out = std::io::stdout();
    writeln!(out, "wrote {RECORDS} records, {} MB, in {:.2?}", log.bytes() / 1_000_000, begun.elapsed())?;
    drop(log);
    let begun = Instant::now();
    let mut bytes = 0;
    let (_, recovery) = Log::open_with(folder.path(), Options::default(), |_, payload| {
        bytes += payload.len();
        Ok(())
    })?;
    writeln!(
        out,
        "opened {} records, {bytes} bytes of payload, in {:.2?}",
        recovery.records,
        begun.elapsed()
    )?;
    Ok(())
}
