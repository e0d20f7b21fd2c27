//! Opens and breaks connections, a million unless told otherwise, and prints what the hub holds in between.
//!
//! `cargo xtask broken --count 1000000` builds the hub and runs it.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::time::Instant;
use trefoil_tests::broken::Breakage;
use trefoil_tests::{CONFIG, Holdings, Hub};

/// Rows of the table.
const STEPS: u64 = 10;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments.next().map_or(default, |text| text.parse().expect("arguments are whole numbers"))
    };
    let (count, seed) = (number(1_000_000), number(1));
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nsession_expiry_s_max = 1\n"));
    let breakage = Breakage::default();
    println!(
        "| connections | seconds | resident KiB | descriptors | sessions | retained | protocol errors |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let start = Instant::now();
    for step in 0..=STEPS {
        if step > 0 {
            breakage.make(hub.tcp_port(), count / STEPS, seed.wrapping_add(step));
        }
        let Holdings { resident_bytes, descriptors, sessions, retained, protocol_errors } = hub.at_rest();
        println!(
            "| {} | {:.0} | {} | {descriptors} | {sessions} | {retained} | {protocol_errors} |",
            step * (count / STEPS),
            start.elapsed().as_secs_f64(),
            resident_bytes / 1024,
        );
    }
}
