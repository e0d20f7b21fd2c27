//! The checks that are an outside command or a few: cargo's own and npm's.

use crate::install::{NPM_FOLDERS, has_cargo};
use crate::run::{Outcome, Tool, root, target};
use std::path::PathBuf;
use std::time::Duration;

/// Where the fuzz targets are; a workspace of its own.
pub(crate) const FUZZ_MANIFEST: &str = "fuzz/Cargo.toml";

pub(crate) fn format() -> Outcome {
    Tool::cargo().arguments("fmt --all --check").run()?;
    Tool::cargo().arguments("fmt --check --manifest-path").argument(FUZZ_MANIFEST).run()
}

pub(crate) fn clippy() -> Outcome {
    // Warnings are denied behind `--`, not in RUSTFLAGS, so that dependencies are built once for all steps.
    Tool::cargo().arguments("clippy --quiet --locked --workspace --all-targets -- --deny warnings").run()
}

pub(crate) fn documentation() -> Outcome {
    Tool::cargo()
        .arguments("doc --quiet --locked --workspace --no-deps --document-private-items")
        .environment("RUSTDOCFLAGS", "--deny warnings")
        .run()
}

pub(crate) fn unit_tests() -> Outcome {
    if has_cargo("nextest") {
        return Tool::cargo()
            .arguments("nextest run --locked --workspace -E")
            .argument("not package(trefoil-tests)")
            .run();
    }
    println!("cargo-nextest is not installed; cargo test does as well, one crate after the other.");
    Tool::cargo()
        .arguments("test --quiet --locked --workspace --exclude trefoil-tests --lib --bins --tests --examples --no-fail-fast")
        .run()
}

pub(crate) fn documentation_tests() -> Outcome {
    Tool::cargo().arguments("test --quiet --locked --workspace --doc --no-fail-fast").run()
}

/// Without `--bench` the benchmark programs run each benchmark once: enough to see that they work.
pub(crate) fn benches() -> Outcome {
    Tool::cargo().arguments("test --quiet --locked --package trefoil-benches --benches").run()
}

/// The hub as people run it.
pub(crate) fn release_build() -> Outcome {
    Tool::cargo().arguments("build --quiet --locked --release --package trefoil").run()
}

/// The examples as the tests are built, whose dependencies they share: to optimize each of them across all crates takes
/// longer than the tests that run them.
pub(crate) fn examples_build() -> Outcome {
    // Features, and with them all that is built, are those of the unit tests only if the tests are selected, too.
    let build = Tool::cargo().arguments("build --quiet --locked --workspace --tests");
    examples()?.iter().fold(build, |build, example| build.arguments("--bin").argument(example)).run()
}

/// The names of the examples that are programs.
fn examples() -> Result<Vec<String>, String> {
    let folder = root().join("examples");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let programs = entries.flatten().filter(|entry| entry.path().join("src/main.rs").is_file());
    let mut names: Vec<String> = programs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    if names.is_empty() { Err(format!("{}: no examples", folder.display())) } else { Ok(names) }
}

/// The binary that the black-box tests run.
pub(crate) fn binary() -> Result<PathBuf, String> {
    let binary = target().join("release/trefoil");
    if binary.is_file() { Ok(binary) } else { Err(format!("{}: not built", binary.display())) }
}

pub(crate) fn blackbox() -> Outcome {
    black_box_tests(
        "package(trefoil-tests) & not binary(browser)",
        "--lib --test blackbox --test conformance",
    )
}

/// The console and the pages of the examples, driven through Chromium by a test of the black-box package.
pub(crate) fn browser() -> Outcome {
    black_box_tests("package(trefoil-tests) & binary(browser)", "--test browser")
}

fn black_box_tests(nextest_filter: &str, cargo_test_targets: &str) -> Outcome {
    let tool = if has_cargo("nextest") {
        // The whole workspace is selected and then filtered, so that features, and with them all that is
        // built, are the same as for the unit tests.
        Tool::cargo().arguments("nextest run --locked --workspace -E").argument(nextest_filter)
    } else {
        Tool::cargo()
            .arguments("test --locked --package trefoil-tests --no-fail-fast")
            .arguments(cargo_test_targets)
    };
    tool.environment("TREFOIL_BIN", binary()?).limit(Duration::from_secs(20 * 60)).run()
}

pub(crate) fn javascript_client() -> Outcome {
    let folder = root().join(NPM_FOLDERS[0]);
    for task in ["run build", "test"] {
        Tool::new("npm")
            .arguments(task)
            .folder(&folder)
            .environment("TREFOIL_BIN", binary()?)
            .limit(Duration::from_secs(300))
            .run()?;
    }
    Ok(())
}
