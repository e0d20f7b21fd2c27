//! Lets everything come and go for as many minutes as it is told to, and prints what the hub holds after each cycle
//! (`tests/src/soak.rs`).
//!
//! `cargo xtask soak --minutes 10` builds the hub and runs it.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use trefoil_tests::soak::Soak;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: f64| {
        arguments.next().map_or(default, |text| text.parse().expect("arguments are minutes and a seed"))
    };
    let (minutes, seed) = (number(10.0), number(1.0) as u64);
    let deadline = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut soak = Soak::start(seed);
    println!("seed {seed}, {minutes} minutes\nat the start: {}", soak.level_at_start());
    let mut failure = None;
    while Instant::now() < deadline {
        let (done, level) = soak.cycle();
        let verdict = soak.check(&level);
        println!("{done:?}\n  then: {level}");
        // What is held once may be given back later; the last cycle decides.
        failure = verdict.err();
        if let Some(why) = &failure {
            println!("  {why}");
        }
    }
    match failure {
        Some(why) => {
            println!("not back at the start: {why}");
            ExitCode::FAILURE
        }
        None => {
            println!("everything is back at the start");
            ExitCode::SUCCESS
        }
    }
}
