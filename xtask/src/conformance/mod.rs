//! What of the MQTT specifications is carried out where, and which test shows it.
//!
//! `xtask/conformance/*.toml` has one entry for each normative statement: whom it binds and, in our words, what it asks
//! for (`table`). Code and tests cite statements by their identifiers, `[MQTT-…]` for 5.0 and `[v3 MQTT-…]` for 3.1.1
//! (`citations`). `gaps` says what is missing; `page` writes `docs/conformance.md`.

mod citations;
mod gaps;
mod page;
mod table;

use crate::run::{Outcome, root};
use crate::tidy::{File, files};
use citations::Citations;
use table::{Statement, Table};

/// The page for people, generated.
const PAGE: &str = "docs/conformance.md";

/// A specification. Its statements have identifiers of their own, although many are the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spec {
    V5,
    V3,
}

impl Spec {
    const ALL: [Self; 2] = [Self::V5, Self::V3];

    fn name(self) -> &'static str {
        match self {
            Self::V5 => "MQTT 5.0",
            Self::V3 => "MQTT 3.1.1",
        }
    }

    fn table_file(self) -> &'static str {
        match self {
            Self::V5 => "xtask/conformance/mqtt-5.0.toml",
            Self::V3 => "xtask/conformance/mqtt-3.1.1.toml",
        }
    }

    /// What stands in front of the identifier in a citation.
    fn prefix(self) -> &'static str {
        match self {
            Self::V5 => "",
            Self::V3 => "v3 ",
        }
    }
}

/// Both tables, and who cites them.
struct Conformance {
    tables: Vec<(Spec, Table)>,
    citations: Citations,
    page: Option<String>,
}

impl Conformance {
    fn read() -> Result<Self, String> {
        let files = files()?;
        let find = |path: &str| files.iter().find(|file: &&File| file.path == path);
        let tables = Spec::ALL.into_iter().map(|spec| {
            let path = spec.table_file();
            let file = find(path).ok_or_else(|| format!("{path}: there is no such file"))?;
            let table = table::parse(&file.text).map_err(|reason| format!("{path}: {reason}"))?;
            Ok((spec, table))
        });
        Ok(Self {
            tables: tables.collect::<Result<_, String>>()?,
            citations: Citations::in_files(&files),
            page: find(PAGE).map(|file| file.text.clone()),
        })
    }
}

/// Prints the table; fails with a list of what is missing.
pub(crate) fn check() -> Outcome {
    let conformance = Conformance::read()?;
    for (spec, table) in &conformance.tables {
        println!("\n{}: statement | binds | says | code | tests", spec.name());
        for statement in table {
            println!("{}", row(*spec, statement, &conformance.citations));
        }
    }
    let mut findings = gaps::find(&conformance);
    let gaps = findings.len();
    if conformance.page.as_deref() != Some(&page::write(&conformance)) {
        findings.push(format!("{PAGE} is not what `cargo xtask conformance --write` writes"));
    }
    println!();
    for (spec, table) in &conformance.tables {
        println!("{}: {}", spec.name(), page::counts(*spec, table, &conformance.citations));
    }
    println!("{gaps} gaps");
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

/// Writes the page.
pub(crate) fn write() -> Outcome {
    let conformance = Conformance::read()?;
    let path = root().join(PAGE);
    std::fs::write(&path, page::write(&conformance)).map_err(|error| format!("{}: {error}", path.display()))
}

fn row(spec: Spec, statement: &Statement, citations: &Citations) -> String {
    let code = citations.code(spec, &statement.id).map(|place| format!("{}:{}", place.path, place.line));
    let tests = citations.tests(spec, &statement.id).map(|test| test.to_string());
    let (code, tests): (Vec<_>, Vec<_>) = (code.collect(), tests.collect());
    format!(
        "{} | {} | {} | {} | {}",
        statement.id,
        statement.binds.map_or("?", table::Binds::word),
        statement.says,
        code.join(", "),
        tests.join(", ")
    )
}
