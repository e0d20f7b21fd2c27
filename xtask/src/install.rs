//! Brings in what the tests need and is missing: Debian packages, cargo components, a Python virtual
//! environment with pinned versions, npm packages from their lock files.

use crate::run::{Outcome, Tool, root, target};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders whose npm packages the checks need.
pub(crate) const NPM_FOLDERS: [&str; 2] = ["clients/js", "tests/node"];

/// The pinned versions of the Python clients.
const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// Node 18 is what Debian 12 has.
const NODE_MAJOR_MIN: u32 = 18;

/// Something outside that a check needs, how to see that it is there, and the Debian packages with it.
struct Need {
    shell_test: &'static str,
    packages: &'static str,
    why: &'static str,
}

const NEEDS: [Need; 8] = [
    Need {
        shell_test: "command -v mosquitto_pub && command -v mosquitto_sub",
        packages: "mosquitto-clients",
        why: "mosquitto_pub and mosquitto_sub, the MQTT command line clients of the black-box tests",
    },
    Need {
        // Other programs of the name lack -N, which ends the connection at the end of standard input.
        shell_test: "nc -h 2>&1 | grep -q OpenBSD",
        packages: "netcat-openbsd",
        why: "nc, which speaks JSON lines and datagrams by hand in the black-box tests",
    },
    Need {
        shell_test: "command -v curl",
        packages: "curl",
        why: "curl, the HTTP client of the black-box tests",
    },
    Need {
        shell_test: "command -v systemd-analyze",
        packages: "systemd",
        why: "systemd-analyze, which looks at the unit files of docs/systemd",
    },
    Need {
        shell_test: "test -x /usr/bin/chromium",
        packages: "chromium",
        why: "the browser that the web console is tested in",
    },
    Need {
        shell_test: "command -v node && command -v npm",
        packages: "nodejs npm",
        why: "the JavaScript client and its tests, MQTT.js, and the driver of the browser test",
    },
    Need {
        shell_test: "python3 -c 'import venv, ensurepip'",
        packages: "python3 python3-venv",
        why: "paho-mqtt, aiomqtt, websockets and two clients of MQTT-SN, the Python clients of the black-box tests",
    },
    Need {
        shell_test: "command -v c++ || command -v clang++",
        packages: "g++",
        why: "libFuzzer, which the fuzz targets are linked with, is C++",
    },
];

/// Installs everything that is missing. Says what and why; says so too when nothing is.
pub(crate) fn everything() -> Outcome {
    cargo_components()?;
    debian_packages()?;
    node_is_new_enough()?;
    python_environment()?;
    NPM_FOLDERS.iter().try_for_each(|folder| npm_packages(&root().join(folder)))
}

fn cargo_components() -> Outcome {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .iter()
        .filter(|(command, _)| !has_cargo(command))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        println!("rustfmt and clippy: there");
        return Ok(());
    }
    let names = missing.join(" ");
    println!("installing with rustup: {names} (the format and lint checks)");
    Tool::new("rustup").arguments("component add").arguments(&names).run().map_err(|error| {
        format!("{error}\nThe checks need {names}; install what your Rust distribution calls them.")
    })
}

/// Whether cargo has the subcommand.
pub(crate) fn has_cargo(subcommand: &str) -> bool {
    Tool::cargo().argument(subcommand).argument("--version").succeeds()
}

fn debian_packages() -> Outcome {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !shell(need.shell_test).succeeds()).collect();
    if missing.is_empty() {
        println!("Debian packages: all there");
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} ({})", need.packages, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.packages).collect();
    let packages = packages.join(" ");
    if Tool::new("id").argument("-u").output()?.trim() != "0" {
        return Err(format!(
            "Installing Debian packages needs root. Run as root:\n  \
             apt-get update && apt-get install --yes --no-install-recommends {packages}"
        ));
    }
    if !shell("command -v apt-get").succeeds() {
        return Err(format!("There is no apt-get here. Install what these Debian packages hold: {packages}"));
    }
    apt_get("update")?;
    apt_get(&format!("install --yes --no-install-recommends {packages}"))?;
    match missing.iter().find(|need| !shell(need.shell_test).succeeds()) {
        None => Ok(()),
        Some(need) => Err(format!("`{}` still fails with {} installed.", need.shell_test, need.packages)),
    }
}

/// Runs apt-get with its output in a file: it is long, and of interest only when something is wrong.
fn apt_get(arguments: &str) -> Outcome {
    let log = target().join("tools/apt-get.log");
    std::fs::create_dir_all(target().join("tools")).map_err(|error| format!("{}: {error}", log.display()))?;
    Tool::new("apt-get")
        // Another apt may be at work; wait for its lock rather than fail.
        .arguments("-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0")
        .arguments(arguments)
        .environment("DEBIAN_FRONTEND", "noninteractive")
        .limit(Duration::from_secs(1200))
        .log(&log)?
        .run()
        .map_err(|reason| format!("{}\n{reason}", std::fs::read_to_string(&log).unwrap_or_default()))
}

fn shell(line: &str) -> Tool {
    Tool::new("sh").argument("-c").argument(line)
}

fn node_is_new_enough() -> Outcome {
    let version = Tool::new("node").arguments("-p process.versions.node").output()?;
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < NODE_MAJOR_MIN {
        return Err(format!("node is {}; the tests need {NODE_MAJOR_MIN} or newer.", version.trim()));
    }
    Ok(())
}

fn python_folder() -> PathBuf {
    target().join("tools/python")
}

fn python_environment() -> Outcome {
    let wanted = std::fs::read_to_string(root().join(REQUIREMENTS))
        .map_err(|error| format!("{REQUIREMENTS}: {error}"))?;
    let folder = python_folder();
    let stamp = folder.join("installed.txt");
    let python = folder.join("bin/python");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python_works(&python) {
        println!("Python packages: all there");
        return Ok(());
    }
    println!("installing into {}: what {REQUIREMENTS} names (the Python clients)", folder.display());
    Tool::new("python3").arguments("-m venv --clear").argument(&folder).run()?;
    Tool::new(&python)
        .arguments("-m pip install --quiet --disable-pip-version-check --no-deps --requirement")
        .argument(REQUIREMENTS)
        .limit(Duration::from_secs(600))
        .run()?;
    Tool::new(&python).arguments("-m pip --disable-pip-version-check check").run()?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// A virtual environment stops working when the Python that it was made from goes.
fn python_works(python: &Path) -> bool {
    Tool::new(python)
        .arguments("-c")
        .argument("import paho.mqtt, aiomqtt, websockets, mqttsn12, mqttsn")
        .succeeds()
}

fn npm_packages(folder: &Path) -> Outcome {
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read_to_string(&lock).map_err(|error| {
        format!("{}: {error}. Every npm folder has its lock file in the tree.", lock.display())
    })?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("npm packages of {}: all there", folder.display());
        return Ok(());
    }
    println!("installing npm packages of {}, as its lock file says", folder.display());
    Tool::new("npm")
        .arguments("ci --no-audit --no-fund --ignore-scripts")
        .folder(folder)
        .limit(Duration::from_secs(600))
        .run()?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_packages_and_a_reason() {
        for need in &NEEDS {
            assert!(!need.packages.is_empty() && need.why.len() > 10, "{}", need.shell_test);
            assert!(
                shell(&format!("sh -n -c \"$0\" {:?}", need.shell_test)).succeeds(),
                "{}",
                need.shell_test
            );
        }
    }

    #[test]
    fn python_versions_are_pinned() {
        let text = std::fs::read_to_string(root().join(REQUIREMENTS)).expect("the file is in the tree");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(lines.clone().count() >= 3);
        lines.for_each(|line| assert!(line.contains("=="), "{line}"));
    }
}
