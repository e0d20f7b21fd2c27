//! Live telemetry.
fn main() {}
