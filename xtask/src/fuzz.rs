//! A short run of every fuzz target, on the stable toolchain.
//!
//! cargo-fuzz asks for a nightly compiler, for the address sanitizer. Safe Rust has little use for that one;
//! what libFuzzer needs is coverage, and the pass that records it is in stable rustc as well.

use crate::checks::FUZZ_MANIFEST;
use crate::run::{Outcome, Tool, root, target};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every decoder of bytes that come from strangers has a target.
const REQUIRED: [&str; 13] = [
    "config_load",
    "detect",
    "framing_decode",
    "journal",
    "json_parse",
    "mqtt_decode",
    "mqtt_sn_decode",
    "room_decode",
    "scram",
    "transfer_handshake",
    "transfer_messages",
    "websocket_handshake",
    "websocket_receive",
];

/// Inputs up to this size reach every branch of the decoders; larger ones only take longer.
const INPUT_BYTES_MAX: u32 = 4096;

/// A decoder that needs more than this for such an input trusts a length that it has not checked.
const MEMORY_MIB_MAX: u32 = 512;

/// An input that takes longer than this is reported as a fault.
const INPUT_SECONDS_MAX: u32 = 5;

/// How long, and which.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) only: Option<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let targets = targets()?;
    let chosen: Vec<&String> =
        targets.iter().filter(|name| options.only.as_ref().is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("There is no such fuzz target; there are: {}", targets.join(", ")));
    }
    let folder = build()?;
    let mut failed = Vec::new();
    for name in chosen {
        if let Err(reason) = run_one(&folder.join(name), name, options.time) {
            println!("{reason}");
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("Found by fuzzing: {}. The inputs are in {}.", failed.join(", "), artifacts().display()))
}

/// The targets that the manifest lists. It is an error when a file is not listed or a decoder has none.
pub(crate) fn targets() -> Result<Vec<String>, String> {
    let path = root().join(FUZZ_MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{FUZZ_MANIFEST}: {error}"))?;
    let manifest: toml::Table = text.parse().map_err(|error| format!("{FUZZ_MANIFEST}: {error}"))?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let listed: Vec<String> =
        bins.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned)).collect();
    if let Some(missing) = REQUIRED.iter().find(|name| !listed.iter().any(|listed| listed == *name)) {
        return Err(format!("{FUZZ_MANIFEST} lists no target `{missing}`. Every decoder has one."));
    }
    let folder = root().join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files.flatten() {
        let path = file.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && !listed.contains(&name) {
            return Err(format!("{FUZZ_MANIFEST} does not list fuzz_targets/{name}.rs."));
        }
    }
    Ok(listed)
}

/// Builds all targets with coverage counters. Gives the folder of the programs.
fn build() -> Result<PathBuf, String> {
    let flags = [
        "--cfg fuzzing",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        // Counters of one crate spread over several units confuse the linker's section bounds.
        "-Ccodegen-units=1",
    ];
    let host = host()?;
    let folder = target().join("fuzz");
    // Naming the target keeps the flags away from build scripts and procedural macros.
    Tool::cargo()
        .arguments("build --quiet --locked --bins --manifest-path")
        .argument(FUZZ_MANIFEST)
        .argument("--target")
        .argument(&host)
        .argument("--target-dir")
        .argument(&folder)
        .environment("RUSTFLAGS", flags.join(" "))
        .run()?;
    Ok(folder.join(host).join("debug"))
}

fn host() -> Result<String, String> {
    let version = Tool::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).argument("-vV").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".into())
}

fn artifacts() -> PathBuf {
    target().join("fuzz/artifacts")
}

/// Runs one target. New inputs go to its corpus under target/; the seeds in the tree are only read.
fn run_one(program: &Path, name: &str, time: Duration) -> Outcome {
    let corpus = target().join("fuzz/corpus").join(name);
    for folder in [&corpus, &artifacts()] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let seeds = root().join("fuzz/seeds").join(name);
    let mut tool = Tool::new(program)
        .argument(format!("-max_total_time={}", time.as_secs()))
        .argument(format!("-max_len={INPUT_BYTES_MAX}"))
        .argument(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .argument(format!("-timeout={INPUT_SECONDS_MAX}"))
        .argument(format!("-artifact_prefix={}/{name}-", artifacts().display()))
        .arguments("-verbosity=0 -print_final_stats=1")
        .argument(&corpus);
    if seeds.is_dir() {
        tool = tool.argument(&seeds);
    }
    let log = artifacts().join(format!("{name}.log"));
    let outcome = tool.log(&log)?.limit(time * 2 + Duration::from_secs(120)).run();
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let figure = |name: &str| {
        let line =
            said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    match outcome {
        // Zero inputs would be a target that does not run at all.
        Ok(()) if figure("number_of_executed_units") == 0 => Err(format!("{name} tried no input:\n{said}")),
        Ok(()) => {
            let (inputs, new) = (figure("number_of_executed_units"), figure("new_units_added"));
            println!("{name}: {inputs} inputs, {new} of them reached something new");
            Ok(())
        }
        Err(reason) => Err(format!("{said}\n{reason}")),
    }
}
