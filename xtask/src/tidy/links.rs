//! Links between documents: the file must exist, and so must the heading that an anchor names.

use super::File;
use crate::run::root;
use std::path::{Component, Path, PathBuf};

pub(super) fn check(files: &[File]) -> Vec<String> {
    let documents = files.iter().filter(|file| file.extension() == "md");
    documents.flat_map(|document| check_document(document, files)).collect()
}

fn check_document(document: &File, files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, target) in links(&document.text) {
        if let Some(reason) = broken(document, target, files) {
            findings.push(format!("{}:{line}: link to `{target}`: {reason}", document.path));
        }
    }
    findings
}

/// Why the link leads nowhere; `None` when it leads somewhere, or out of the tree.
fn broken(document: &File, target: &str, files: &[File]) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { PathBuf::from(&document.path) } else { beside(&document.path, path) };
    if !root().join(&path).exists() && !files.iter().any(|file| Path::new(&file.path) == path) {
        return Some("there is no such file");
    }
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let other = files.iter().find(|file| Path::new(&file.path) == path)?;
    (!anchors(&other.text).any(|found| found == anchor)).then_some("there is no such heading")
}

/// The path that `link` in `document` means, from the root.
fn beside(document: &str, link: &str) -> PathBuf {
    let mut path = Path::new(document).parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The targets of links and pictures, with their lines; code blocks and code spans hold none.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(line, text)| {
        let parts = text.split('`').step_by(2);
        parts.flat_map(move |part| {
            part.split("](").skip(1).filter_map(move |rest| {
                let target = rest.split(')').next()?.split_whitespace().next()?;
                Some((line, target))
            })
        })
    })
}

/// The anchors of the headings, as code hosts make them.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The lines outside fenced code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn only_links_that_lead_nowhere_are_found() {
        let text = "# Head\n[a](b.md) [b](b.md#what-it-is) [c](https://example.org/x)\n[d](../README.md) `[x](no.md)`\n\
                    ```\n[y](no.md)\n```\n![e](gone.png) [f](b.md#gone) [g](#head) [h](#gone)\n";
        let files = [
            file("docs/a.md", text),
            file("docs/b.md", "# Other\n## What it `is`\n"),
            file("README.md", "# Read me\n"),
        ];
        let findings = check(&files);
        assert_eq!(
            findings,
            [
                "docs/a.md:7: link to `gone.png`: there is no such file",
                "docs/a.md:7: link to `b.md#gone`: there is no such heading",
                "docs/a.md:7: link to `#gone`: there is no such heading",
            ]
        );
    }
}
