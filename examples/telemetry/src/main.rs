//! Live telemetry.
#![allow(dead_code)]
mod counters;
mod cpu;
mod disk;
mod memory;
mod network;
mod page;
mod sampler;
fn main() {}
