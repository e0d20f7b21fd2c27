//! Citations of statements in the sources, and the function that each of those in tests belongs to.
//!
//! The sources are formatted by rustfmt, so lines tell enough: a function begins at its `fn` and ends at the brace that
//! stands as far to the right.

use super::Spec;
use crate::tidy::File;
use std::fmt;

/// The folder whose tests count: they talk to the hub through sockets.
const TESTS: &str = "tests/tests/";

/// All citations of the tree.
#[derive(Debug, Default)]
pub(super) struct Citations {
    code: Vec<Citation<Place>>,
    tests: Vec<Citation<Test>>,
    /// Citations in unit tests. They count for nothing, but they must not cite what does not exist.
    unit_tests: Vec<Citation<Place>>,
    /// Citations in the black-box tests that belong to no test.
    astray: Vec<Citation<Place>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Citation<T> {
    spec: Spec,
    id: String,
    by: T,
}

/// A line of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: usize,
}

/// A test function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) path: String,
    pub(super) name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}

/// As a test runner names it, without the binary: `connect::names_are_checked`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.path.rsplit('/').next().unwrap_or(&self.path).trim_end_matches(".rs");
        write!(f, "{module}::{}", self.name)
    }
}

impl Citations {
    pub(super) fn in_files(files: &[File]) -> Self {
        let mut found = Self::default();
        for file in files.iter().filter(|file| file.extension() == "rs") {
            if file.path.starts_with(TESTS) {
                found.read_tests(file);
            } else if file.path.starts_with("crates/") {
                found.read_code(file);
            }
        }
        found
    }

    /// Where code outside of tests cites a statement.
    pub(super) fn code<'a>(&'a self, spec: Spec, id: &'a str) -> impl Iterator<Item = &'a Place> {
        of(&self.code, spec, id)
    }

    /// The tests that cite a statement, each once.
    pub(super) fn tests<'a>(&'a self, spec: Spec, id: &'a str) -> impl Iterator<Item = &'a Test> {
        let mut seen: Vec<&Test> = Vec::new();
        of(&self.tests, spec, id).filter(move |test| {
            let is_new = !seen.contains(test);
            seen.push(test);
            is_new
        })
    }

    /// Citations in black-box tests that no test function stands behind.
    pub(super) fn astray(&self) -> impl Iterator<Item = (Spec, &str, &Place)> {
        self.astray.iter().map(|citation| (citation.spec, citation.id.as_str(), &citation.by))
    }

    /// Everything that is cited, with the place in words.
    pub(super) fn all(&self) -> impl Iterator<Item = (Spec, &str, String)> {
        let places = [&self.code, &self.unit_tests, &self.astray].into_iter().flatten();
        let places = places.map(|citation| (citation.spec, citation.id.as_str(), citation.by.to_string()));
        places.chain(
            self.tests.iter().map(|c| (c.spec, c.id.as_str(), format!("{} in {}", c.by.name, c.by.path))),
        )
    }

    fn read_code(&mut self, file: &File) {
        let all_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
        let tests_from = if all_tests { 0 } else { unit_tests_at(&file.text) };
        for (index, line) in file.text.lines().enumerate() {
            for (spec, id) in cited(line) {
                let by = Place { path: file.path.clone(), line: index + 1 };
                let citation = Citation { spec, id: id.into(), by };
                let of = if index < tests_from { &mut self.code } else { &mut self.unit_tests };
                of.push(citation);
            }
        }
    }

    fn read_tests(&mut self, file: &File) {
        let functions = functions(&file.text);
        for (index, line) in file.text.lines().enumerate() {
            for (spec, id) in cited(line) {
                // What stands between functions belongs to the one that comes; the head of a file belongs to none.
                let function = functions.iter().find(|function| index <= function.last);
                let id = id.to_owned();
                match function.filter(|function| function.is_test && !line.starts_with("//!")) {
                    Some(function) => {
                        let by = Test { path: file.path.clone(), name: function.name.to_owned() };
                        self.tests.push(Citation { spec, id, by });
                    }
                    None => {
                        let by = Place { path: file.path.clone(), line: index + 1 };
                        self.astray.push(Citation { spec, id, by });
                    }
                }
            }
        }
    }
}

fn of<'a, T>(citations: &'a [Citation<T>], spec: Spec, id: &'a str) -> impl Iterator<Item = &'a T> {
    citations.iter().filter(move |c| c.spec == spec && c.id == id).map(|c| &c.by)
}

/// The statements that a line cites.
fn cited(line: &str) -> impl Iterator<Item = (Spec, &str)> {
    line.split('[').skip(1).filter_map(|rest| {
        let text = rest.split_once(']')?.0;
        let (spec, id) = match text.strip_prefix(Spec::V3.prefix()) {
            Some(id) => (Spec::V3, id),
            None => (Spec::V5, text),
        };
        let number = id.strip_prefix("MQTT-")?;
        number.starts_with(|c: char| c.is_ascii_digit()).then_some((spec, id))
    })
}

/// The line at which a file's unit tests begin: they stand last, unless they are a file of their own.
fn unit_tests_at(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_module = |from: usize| {
        let next = lines[from..].iter().find(|line| !line.starts_with("#["));
        next.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(|&at| lines[at] == "#[cfg(test)]" && is_module(at)).unwrap_or(lines.len())
}

/// A function of a test file, with the index of its last line.
#[derive(Debug)]
struct Function<'a> {
    name: &'a str,
    last: usize,
    is_test: bool,
}

/// The functions of a file in their order; those inside of others are part of them.
fn functions(text: &str) -> Vec<Function<'_>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let (mut index, mut is_test) = (0, false);
    while index < lines.len() {
        let line = lines[index].trim_start();
        if let Some(name) = function_name(line) {
            let indent = lines[index].len() - line.len();
            let end = format!("{:indent$}}}", "");
            let ends_here = line.ends_with('}') || line.ends_with(';');
            let length =
                if ends_here { 0 } else { lines[index..].iter().position(|l| *l == end).unwrap_or(0) };
            functions.push(Function { name, last: index + length, is_test });
            (index, is_test) = (index + length, false);
        } else if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
        index += 1;
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let line = line.strip_prefix("pub(super) ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(path: &str, text: &str) -> Citations {
        Citations::in_files(&[File { path: path.into(), text: text.into() }])
    }

    fn tests(citations: &Citations, spec: Spec, id: &str) -> Vec<String> {
        citations.tests(spec, id).map(ToString::to_string).collect()
    }

    #[test]
    fn a_citation_names_its_specification() {
        let line = "// [MQTT-3.1.0-1] [v3 MQTT-3.1.0-2]: `a[0]` [MQTT-…] [see MQTT-1.1.1-1] [text](link) [MQTT-4.2-1]";
        let found: Vec<_> = cited(line).collect();
        assert_eq!(found, [(Spec::V5, "MQTT-3.1.0-1"), (Spec::V3, "MQTT-3.1.0-2"), (Spec::V5, "MQTT-4.2-1")]);
        assert_eq!(cited("// [MQTT-3.1.0-1").count(), 0);
    }

    #[test]
    fn code_ends_where_unit_tests_begin() {
        let text = "#[cfg(test)]\nmod tests;\n// [MQTT-1.1.1-1]\n#[cfg(test)]\nfn helper() {}\n// [MQTT-1.1.1-2]\n#[cfg(test)]\n\
                    #[allow(clippy::unwrap_used)]\nmod tests {\n    // [MQTT-1.1.1-3]\n}\n";
        let found = scan("crates/mqtt/src/wire.rs", text);
        let lines = |id| found.code(Spec::V5, id).map(|place| place.line).collect::<Vec<_>>();
        assert_eq!(
            (lines("MQTT-1.1.1-1"), lines("MQTT-1.1.1-2"), lines("MQTT-1.1.1-3")),
            (vec![3], vec![6], vec![])
        );
        assert_eq!(found.all().count(), 3);
        for path in ["crates/mqtt/src/connect/tests.rs", "crates/mqtt/tests/round_trip.rs"] {
            assert_eq!(scan(path, "// [MQTT-1.1.1-1]").code(Spec::V5, "MQTT-1.1.1-1").count(), 0);
        }
        assert_eq!(scan("xtask/src/main.rs", "// [MQTT-1.1.1-1]").all().count(), 0);
    }

    #[test]
    fn a_citation_belongs_to_the_test_around_or_below_it() {
        let text = "/// [MQTT-1.1.1-1]\n#[test]\nfn first() {\n    // [v3 MQTT-1.1.1-2]\n    if a {\n    }\n}\n\n\
                    // [MQTT-1.1.1-1]\n#[test]\n#[should_panic]\nfn second() {\n    // [MQTT-1.1.1-1]\n}\n";
        let found = scan("tests/tests/conformance/connect.rs", text);
        assert_eq!(tests(&found, Spec::V5, "MQTT-1.1.1-1"), ["connect::first", "connect::second"]);
        assert_eq!(tests(&found, Spec::V3, "MQTT-1.1.1-2"), ["connect::first"]);
        assert_eq!(found.astray().count(), 0);
    }

    #[test]
    fn what_is_no_test_shows_nothing() {
        let text = "//! [MQTT-1.1.1-1]\n\n/// [MQTT-1.1.1-2]\npub(crate) fn helper() {\n    // [MQTT-1.1.1-3]\n}\n\n\
                    #[test]\nfn test() {\n    fn inner() {\n        // [MQTT-1.1.1-5]\n    }\n}\n\n\
                    fn one_line() {}\n// [MQTT-1.1.1-4]\n";
        let found = scan("tests/tests/conformance/connect.rs", text);
        let astray: Vec<_> = found.astray().map(|(_, id, place)| (id, place.line)).collect();
        assert_eq!(
            astray,
            [("MQTT-1.1.1-1", 1), ("MQTT-1.1.1-2", 3), ("MQTT-1.1.1-3", 5), ("MQTT-1.1.1-4", 16)]
        );
        assert_eq!(tests(&found, Spec::V5, "MQTT-1.1.1-5"), ["connect::test"]);
    }
}
