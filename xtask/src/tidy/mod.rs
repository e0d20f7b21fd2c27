//! The order of the tree, checked without building anything.
//!
//! `text` looks at lines, `crates` at manifests and the arrows between crates, `links` at the documents, and
//! `licences` at everything that Cargo.lock brings in. Each gives its findings as sentences that start with
//! the place.

mod crates;
mod licences;
mod links;
mod metadata;
mod text;

use crate::run::{Outcome, root};
use std::path::{Path, PathBuf};

/// Folders that hold nothing of the tree.
const NOT_OURS: [&str; 9] =
    [".git", "target", "node_modules", "dist", "corpus", "artifacts", "__pycache__", ".venv", "trefoil-data"];

/// A file of the tree, with its path from the root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }
}

/// Lines, crates, arrows, links and fuzz targets.
pub(crate) fn tree() -> Outcome {
    let files = files()?;
    let mut findings = text::check(&files);
    findings.extend(crates::check(&files)?);
    findings.extend(links::check(&files));
    if let Err(reason) = crate::fuzz::targets() {
        findings.push(reason);
    }
    println!("{} files", files.len());
    verdict(findings)
}

/// Licences, banned and doubled crates, as deny.toml says.
pub(crate) fn dependencies() -> Outcome {
    let rules = licences::Rules::read(&root().join("deny.toml"))?;
    let packages = metadata::all_packages()?;
    println!("{} packages", packages.len());
    verdict(licences::check(&rules, &packages))
}

fn verdict(findings: Vec<String>) -> Outcome {
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

/// All text files of the tree.
pub(crate) fn files() -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| format!("{}: {error}", path.display()))?;
            if kind.is_dir() && !NOT_OURS.contains(&entry.file_name().to_string_lossy().as_ref()) {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                // What is not UTF-8 is a picture or a seed of a fuzz target.
                if let Ok(text) = String::from_utf8(bytes) {
                    let path = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
                    files.push(File { path, text });
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}
