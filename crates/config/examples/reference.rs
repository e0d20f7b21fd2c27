//! Writes the reference page of the configuration: `cargo run -p trefoil-config --example reference >
//! docs/configuration.md`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(trefoil_config::reference().as_bytes())
}
