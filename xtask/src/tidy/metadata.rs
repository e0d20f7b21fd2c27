//! What cargo knows of the packages, from `cargo metadata`.

use crate::run::Tool;
use serde_json::Value;

/// One package of the workspace or of what it depends on.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    /// Whether it is a member of this workspace.
    pub(super) ours: bool,
    pub(super) manifest: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// An entry of a package's manifest.
pub(super) struct Dependency {
    pub(super) name: String,
    /// Not a build or development dependency: it is part of the crate itself.
    pub(super) normal: bool,
}

/// The members of the workspace.
pub(super) fn members() -> Result<Vec<Package>, String> {
    Ok(packages("--no-deps")?.into_iter().filter(|package| package.ours).collect())
}

/// Members and everything that they bring in on the platform of the checks.
pub(super) fn all_packages() -> Result<Vec<Package>, String> {
    packages("--filter-platform x86_64-unknown-linux-gnu")
}

fn packages(options: &str) -> Result<Vec<Package>, String> {
    let tool =
        Tool::cargo().arguments("metadata --format-version 1 --all-features --locked").arguments(options);
    let text = tool.output().map_err(|error| format!("{error}\nIs Cargo.lock up to date?"))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    let members = list("workspace_members");
    Ok(list("packages").iter().map(|entry| package(entry, members.contains(&entry["id"]))).collect())
}

fn package(entry: &Value, ours: bool) -> Package {
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    let dependencies = entry["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    Package {
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        licence: text("license"),
        ours,
        manifest: text("manifest_path").unwrap_or_default(),
        dependencies: dependencies
            .iter()
            .map(|entry| Dependency {
                name: entry["name"].as_str().unwrap_or_default().to_owned(),
                normal: entry["kind"].is_null(),
            })
            .collect(),
    }
}
