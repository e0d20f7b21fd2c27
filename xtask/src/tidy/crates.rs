//! Crates: head comments, shared lints, the arrows between crates, and the purity of the sans-IO ones.

use super::File;
use super::metadata::{Package, members};
use crate::run::root;
use std::path::Path;

/// Which crates of the workspace each crate may depend on. Arrows go down only: a crate names none that
/// stands further down in this list than itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("trefoil-auth", &[]),
    ("trefoil-mqtt", &[]),
    ("trefoil-mqtt-sn", &[]),
    ("trefoil-websocket", &[]),
    ("trefoil-framing", &[]),
    ("trefoil-room", &[]),
    ("trefoil-json", &[]),
    ("trefoil-transfer", &[]),
    ("trefoil-hub", &["trefoil-mqtt"]),
    ("trefoil-config", &["trefoil-hub", "trefoil-framing"]),
    ("trefoil-store", &["trefoil-hub"]),
    ("trefoil-cluster", &["trefoil-hub", "trefoil-store"]),
    (
        "trefoil-server",
        &[
            "trefoil-auth",
            "trefoil-mqtt",
            "trefoil-mqtt-sn",
            "trefoil-websocket",
            "trefoil-framing",
            "trefoil-room",
            "trefoil-json",
            "trefoil-config",
            "trefoil-hub",
            "trefoil-store",
            "trefoil-cluster",
        ],
    ),
    (
        "trefoil-client",
        &[
            "trefoil-auth",
            "trefoil-mqtt",
            "trefoil-mqtt-sn",
            "trefoil-websocket",
            "trefoil-framing",
            "trefoil-room",
            "trefoil-json",
        ],
    ),
    (
        "trefoil",
        &[
            "trefoil-auth",
            "trefoil-server",
            "trefoil-client",
            "trefoil-config",
            "trefoil-json",
            "trefoil-transfer",
        ],
    ),
    ("example-shared", &["trefoil-server", "trefoil-client", "trefoil-config"]),
    ("smart-home", &["example-shared", "trefoil-client"]),
    ("market-quotes", &["example-shared", "trefoil-client"]),
    ("device-dashboard", &["example-shared", "trefoil-client"]),
    ("news-push", &["example-shared", "trefoil-client"]),
    ("chat", &["example-shared", "trefoil-client"]),
    ("talk", &["example-shared", "trefoil-client"]),
    ("legacy-devices", &["example-shared", "trefoil-client"]),
    ("pong", &["example-shared", "trefoil-client"]),
    ("file-drop", &["example-shared", "trefoil-client"]),
    ("behind-nat", &["example-shared", "trefoil-client"]),
    ("smart-manufacturing", &["example-shared", "trefoil-client"]),
    ("telemetry", &["example-shared", "trefoil-client", "trefoil-mqtt", "trefoil-json"]),
    ("smart-transport", &["example-shared", "trefoil-client", "trefoil-mqtt-sn"]),
    (
        "trefoil-benches",
        &["trefoil-mqtt", "trefoil-websocket", "trefoil-framing", "trefoil-json", "trefoil-hub"],
    ),
    ("trefoil-model", &[]),
    ("trefoil-tests", &["trefoil-model"]),
    ("xtask", &[]),
];

/// Bytes and time go in, bytes and effects come out: no socket, no clock, no thread.
const SANS_IO: [&str; 10] = [
    "trefoil-auth",
    "trefoil-mqtt",
    "trefoil-mqtt-sn",
    "trefoil-websocket",
    "trefoil-framing",
    "trefoil-room",
    "trefoil-json",
    "trefoil-transfer",
    "trefoil-hub",
    "trefoil-model",
];

/// Crates that would bring sockets, clocks or threads along.
const IO_CRATES: [&str; 8] = ["tokio", "mio", "socket2", "hyper", "axum", "async-nats", "rustls", "quinn"];

/// What reaching for a socket, a clock or a thread looks like.
const IO_CODE: [&str; 7] = [
    "std::net",
    "std::thread",
    "std::fs",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
];

pub(super) fn check(files: &[File]) -> Result<Vec<String>, String> {
    let members = members()?;
    let mut findings = Vec::new();
    for package in &members {
        let manifest = Path::new(&package.manifest);
        let folder =
            manifest.parent().and_then(|folder| folder.strip_prefix(root()).ok()).unwrap_or(manifest);
        let folder = folder.to_string_lossy();
        let own: Vec<&File> = files
            .iter()
            .filter(|file| file.path.strip_prefix(&*folder).is_some_and(|rest| rest.starts_with('/')))
            .collect();
        manners(&folder, &own, &mut findings);
        arrows(package, &members, &mut findings);
        if SANS_IO.contains(&package.name.as_str()) {
            purity(package, &folder, &own, &mut findings);
        }
    }
    Ok(findings)
}

/// A head comment in the crate's root, and the lints of the workspace.
fn manners(folder: &str, own: &[&File], findings: &mut Vec<String>) {
    let text_of =
        |name: &str| own.iter().find(|file| file.path == format!("{folder}/{name}")).map(|file| &file.text);
    if !text_of("Cargo.toml").is_some_and(|text| text.contains("[lints]\nworkspace = true")) {
        findings.push(format!("{folder}/Cargo.toml: without `[lints] workspace = true`"));
    }
    let roots: Vec<&str> =
        ["src/lib.rs", "src/main.rs"].into_iter().filter(|name| text_of(name).is_some()).collect();
    if roots.is_empty() {
        findings.push(format!("{folder}: neither src/lib.rs nor src/main.rs"));
    }
    for name in roots {
        if !text_of(name).is_some_and(|text| text.starts_with("//!")) {
            findings.push(format!("{folder}/{name}: does not start with a head comment (`//!`)"));
        }
    }
}

fn arrows(package: &Package, members: &[Package], findings: &mut Vec<String>) {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
        findings.push(format!("{}: the table of arrows in xtask does not know this crate", package.name));
        return;
    };
    // What only the tests of a crate depend on may stand anywhere: a client is tested against the server.
    for dependency in package.dependencies.iter().filter(|dependency| dependency.normal) {
        let ours = members.iter().any(|member| member.name == dependency.name);
        if ours && dependency.name != package.name && !allowed.contains(&dependency.name.as_str()) {
            findings.push(format!("{} depends on {}: arrows go down only", package.name, dependency.name));
        }
    }
}

fn purity(package: &Package, folder: &str, own: &[&File], findings: &mut Vec<String>) {
    for dependency in package.dependencies.iter().filter(|dependency| dependency.normal) {
        if IO_CRATES.contains(&dependency.name.as_str()) {
            findings.push(format!(
                "{} touches no socket, clock or thread, but depends on {}",
                package.name, dependency.name
            ));
        }
    }
    let source = format!("{folder}/src/");
    for file in own.iter().filter(|file| file.path.starts_with(&source) && file.extension() == "rs") {
        for (index, line) in code_before_tests(&file.text) {
            if let Some(what) = IO_CODE.iter().find(|what| line.contains(*what)) {
                findings.push(format!(
                    "{}:{}: `{what}` in a crate without sockets, clocks and threads",
                    file.path,
                    index + 1
                ));
            }
        }
    }
}

/// The lines of a module without comments, up to its tests, which stand last.
fn code_before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::super::metadata::Dependency;
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            version: "0.1.0".into(),
            licence: None,
            ours: true,
            manifest: String::new(),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency { name: (*name).into(), normal: true })
                .collect(),
        }
    }

    #[test]
    fn the_table_itself_points_down() {
        for (index, (name, allowed)) in ARROWS.iter().enumerate() {
            for target in *allowed {
                let place = ARROWS.iter().position(|(name, _)| name == target);
                assert!(place.is_some_and(|place| place < index), "{name} -> {target}");
            }
        }
    }

    #[test]
    fn an_arrow_upward_is_found() {
        let members = [package("trefoil-mqtt", &["trefoil-hub"]), package("trefoil-hub", &["bytes"])];
        let mut findings = Vec::new();
        members.iter().for_each(|member| arrows(member, &members, &mut findings));
        assert_eq!(findings, ["trefoil-mqtt depends on trefoil-hub: arrows go down only"]);
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_found_outside_its_tests_only() {
        let text = "//! Head.\nfn f() {\n    let t = std::time::Instant::now();\n}\n#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n";
        let own = file("crates/hub/src/lib.rs", text);
        let mut findings = Vec::new();
        purity(&package("trefoil-hub", &["mio"]), "crates/hub", &[&own], &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[1].starts_with("crates/hub/src/lib.rs:3:"));
    }

    #[test]
    fn a_crate_without_head_and_lints_is_found() {
        let own = [file("crates/a/Cargo.toml", "[package]\n"), file("crates/a/src/lib.rs", "mod a;\n")];
        let mut findings = Vec::new();
        manners("crates/a", &[&own[0], &own[1]], &mut findings);
        assert_eq!(findings.len(), 2);
    }
}
