//! Kills the hub, as often or as long as it is told to, and checks what it promised (`tests/src/crash`).
//!
//! `cargo xtask crash --hours 2`, `--kills 1000` or `--seed 7` builds the hub and runs it. `--spare` breaks connections
//! instead, which shows whether a fault has to do with the store.

#![allow(clippy::print_stdout, reason = "a summary is what this program is for")]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use trefoil_tests::crash::{Cast, Plan, run};

/// Kills in one round: enough for a history that still is read within seconds.
const KILLS_OF_A_ROUND: usize = 150;

fn main() -> ExitCode {
    let (mut hours, mut kills, mut seed, mut spares_the_hub) = (None, None, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> f64 {
            let text = arguments.next().unwrap_or_default();
            text.parse().unwrap_or_else(|_| panic!("`{argument} {text}`: not a number"))
        };
        match argument.as_str() {
            "--hours" => hours = Some(number()),
            "--kills" => kills = Some(number() as usize),
            "--seed" => seed = Some(number() as u64),
            "--spare" => spares_the_hub = true,
            other => panic!("There is no option `{other}`."),
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed.
    let seed: u64 = seed.unwrap_or(now.as_millis() as u64 % 1_000_000_007);
    let kills = kills.unwrap_or(if hours.is_some() { usize::MAX } else { KILLS_OF_A_ROUND });
    let deadline = hours.map(|hours| Instant::now() + Duration::from_secs_f64(hours * 3600.0));
    let (mut done, mut round) = (0, 0);
    let (mut checkpoints, mut in_checkpoints, mut of_all) = (0, 0, 0);
    while done < kills && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let of_this = KILLS_OF_A_ROUND.min(kills - done);
        let plan = Plan { spares_the_hub, ..Plan::new(seed.wrapping_add(round), of_this) };
        println!("seed {}, {of_this} kills, {:?}", plan.seed, plan.cast);
        match run(&plan) {
            Ok(report) => {
                println!("{report}");
                checkpoints += report.checkpoints;
                in_checkpoints += report.kills_in_checkpoints;
                of_all += if plan.cast == Cast::Whole { of_this } else { 0 };
            }
            Err(fault) => {
                println!("{fault}");
                return ExitCode::FAILURE;
            }
        }
        (done, round) = (done + of_this, round + 1);
    }
    if of_all >= KILLS_OF_A_ROUND && !spares_the_hub && (checkpoints == 0 || in_checkpoints == 0) {
        println!(
            "{checkpoints} checkpoints, {in_checkpoints} kills in the middle of one: the rounds tried too little"
        );
        return ExitCode::FAILURE;
    }
    println!("{done} kills in {round} rounds: every promise was kept");
    ExitCode::SUCCESS
}
