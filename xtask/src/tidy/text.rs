//! Lines: length of files, white space, unfinished or hidden things, `unsafe`, paths of one machine.

use super::File;
use crate::run::root;
use std::path::Path;

/// A file above this is more than a reader holds in mind.
const LINES_MAX: usize = 600;

/// Longer files, each with the reason why it is.
const LONG_FILES: [(&str, &str); 0] = [];

/// Files that may say `unsafe`, each with the measurement that calls for it.
const UNSAFE_FILES: [(&str, &str); 0] = [];

/// Files that nobody writes by hand.
const GENERATED: [&str; 2] = ["package-lock.json", "Cargo.lock"];

/// Extensions of what a person reads as source.
const SOURCE: [&str; 8] = ["rs", "ts", "js", "mjs", "py", "css", "html", "sh"];

/// Extensions in which space at the end of a line means nothing.
const PLAIN_TEXT: [&str; 6] = ["toml", "md", "json", "yaml", "yml", "txt"];

/// What unfinished or hidden code looks like. Written in two halves, since this file is checked too.
const UNFINISHED: [(&str, &str); 6] = [
    (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
    (concat!("tod", "o!("), "finish it or leave it out"),
    (concat!("unimpl", "emented!("), "finish it or leave it out"),
    (concat!("db", "g!("), "left over from a search"),
    (concat!("FIX", "ME"), "mend it or write an issue"),
    (concat!("XX", "X:"), "mend it or write an issue"),
];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let machine_paths = machine_paths();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !GENERATED.iter().any(|name| file.path.ends_with(name))) {
        let extension = file.extension();
        let source = SOURCE.contains(&extension);
        if source {
            length(file, &mut findings);
        }
        for (index, line) in file.text.lines().enumerate() {
            let mut found = |what: String| findings.push(format!("{}:{}: {what}", file.path, index + 1));
            if (source || PLAIN_TEXT.contains(&extension)) && line.ends_with([' ', '\t']) {
                found("space at the end of the line".into());
            }
            if extension == "rs" {
                rust_line(&file.path, line, &mut found);
            }
            if let Some(path) = machine_paths.iter().find(|path| starts_in(line, path)) {
                found(format!("`{path}` is a path of one machine"));
            }
        }
        if (source || PLAIN_TEXT.contains(&extension)) && !file.text.is_empty() && !file.text.ends_with('\n')
        {
            findings.push(format!("{}: the last line does not end", file.path));
        }
    }
    findings
}

fn length(file: &File, findings: &mut Vec<String>) {
    let lines = file.text.lines().count();
    let allowed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    if lines > LINES_MAX && !allowed {
        findings.push(format!("{}: {lines} lines; more than {LINES_MAX} want a reason or a cut", file.path));
    }
}

fn rust_line(path: &str, line: &str, found: &mut impl FnMut(String)) {
    if line.contains('\t') {
        found("a tab".into());
    }
    if let Some((pattern, why)) = UNFINISHED.iter().find(|(pattern, _)| line.contains(pattern)) {
        found(format!("`{pattern}`: {why}"));
    }
    if says_unsafe(line) && !UNSAFE_FILES.iter().any(|(allowed, _)| *allowed == path) {
        found("`unsafe` outside the files that have a stated reason for it".into());
    }
}

/// Whether the line uses the keyword: as a word of its own, outside comments and strings.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '`' | '"');
    code.split(|c| !word(c)).any(|token| token == concat!("un", "safe"))
}

/// Whether an absolute path that starts like this stands in the line.
fn starts_in(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}+$".contains(c)))
}

/// Paths that mean something on this machine, or on somebody's, and nowhere else: where the tree lies, and the
/// folders of people. Folders that every machine has are no sign of one.
fn machine_paths() -> Vec<String> {
    let common = ["/", "/tmp", "/usr", "/opt", "/srv", "/var", "/var/tmp"].map(Path::new);
    let mut paths = vec![concat!("/ho", "me/").to_owned(), concat!("/Us", "ers/").to_owned()];
    for folder in [root().parent().map(Path::to_owned), std::env::home_dir()].into_iter().flatten() {
        if !common.contains(&folder.as_path()) {
            paths.push(format!("{}/", folder.display()));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn each_disorder_is_found_with_its_place() {
        let bad = [
            ("a.rs", "fn a() {}\n\tlet x = 1;\n", "a.rs:2: a tab"),
            ("a.rs", concat!("#[ign", "ore]\n"), "a.rs:1:"),
            ("a.rs", concat!("    db", "g!(x)\n"), "a.rs:1:"),
            ("a.rs", concat!("un", "safe { x() }\n"), "a.rs:1: `unsafe`"),
            ("a.md", "text \n", "a.md:1: space"),
            ("a.toml", concat!("path = \"/ho", "me/me/x\"\n"), "a.toml:1:"),
            ("a.py", "print()", "a.py: the last line"),
        ];
        for (path, text, expected) in bad {
            let findings = check(&[file(path, text)]);
            assert!(
                findings.len() == 1 && findings[0].starts_with(expected),
                "{path} {text:?}: {findings:?}"
            );
        }
    }

    #[test]
    fn long_files_are_found_and_long_lock_files_are_not() {
        let text = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(check(&[file("a.rs", &text)]).len(), 1);
        assert!(check(&[file("a/package-lock.json", &text)]).is_empty());
    }

    #[test]
    fn a_path_in_the_tree_is_none_of_a_machine() {
        let path = concat!("/ho", "me/");
        assert!(starts_in(&format!("see {path}me"), path) && starts_in(&format!("\"{path}me\""), path));
        assert!(!starts_in(&format!("topic at{path}me"), path));
    }

    #[test]
    fn the_keyword_is_told_from_its_mention() {
        assert!(!says_unsafe("#![forbid(unsafe_code)]"));
        assert!(!says_unsafe("// never unsafe"));
        assert!(says_unsafe(concat!("pub un", "safe fn f() {}")));
    }
}
