//! What is missing: statements that nobody looked at, carries out or tests, and citations that lead nowhere.

use super::table::{Binds, Statement};
use super::{Citations, Conformance, Spec};

/// One sentence for each gap.
pub(super) fn find(conformance: &Conformance) -> Vec<String> {
    let citations = &conformance.citations;
    let mut gaps = Vec::new();
    for (spec, table) in &conformance.tables {
        for statement in table {
            let missing = missing(*spec, statement, citations);
            if !missing.is_empty() {
                gaps.push(format!("{}{}: {}", spec.prefix(), statement.id, missing.join(", ")));
            }
        }
    }
    for (spec, id, place) in citations.all() {
        let is_known =
            conformance.tables.iter().any(|(of, table)| *of == spec && table.iter().any(|s| s.id == id));
        if !is_known {
            gaps.push(format!("{place}: {} has no statement `{id}`", spec.name()));
        }
    }
    for (spec, id, place) in citations.astray() {
        gaps.push(format!("{place}: [{}{id}] belongs to no test function", spec.prefix()));
    }
    gaps
}

fn missing(spec: Spec, statement: &Statement, citations: &Citations) -> Vec<&'static str> {
    let Some(binds) = statement.binds else { return vec!["nobody looked at it"] };
    let mut missing = Vec::new();
    if statement.says.is_empty() {
        missing.push("nothing says what it asks for");
    }
    if binds == Binds::Client {
        if statement.defence.is_empty() {
            missing.push("nothing says what happens when a client breaks it");
        }
        return missing;
    }
    // What our own client does is no proof of what the hub does.
    if citations.code(spec, &statement.id).all(|place| place.path.starts_with("crates/client/")) {
        missing.push("no code of the hub cites it");
    }
    if citations.tests(spec, &statement.id).next().is_none() {
        missing.push("no test cites it");
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use crate::tidy::File;

    fn gaps(table: &str, code: &str, test: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [file("crates/mqtt/src/a.rs", code), file("tests/tests/conformance/a.rs", test)];
        let tables = vec![(Spec::V5, table::parse(table).expect("a table")), (Spec::V3, Vec::new())];
        find(&Conformance { tables, citations: Citations::in_files(&files), page: None })
    }

    const TEST: &str = "// [MQTT-1.1.1-1]\n#[test]\nfn a() {\n}\n";
    const CODE: &str = "// [MQTT-1.1.1-1]";

    #[test]
    fn a_statement_needs_words_code_and_a_test() {
        let table = "[\"MQTT-1.1.1-1\"]\nbinds = \"both\"\nsays = \"a\"";
        assert!(gaps(table, CODE, TEST).is_empty());
        assert_eq!(gaps(table, "", ""), ["MQTT-1.1.1-1: no code of the hub cites it, no test cites it"]);
        assert_eq!(gaps(table, CODE, ""), ["MQTT-1.1.1-1: no test cites it"]);
        assert_eq!(gaps(table, "", TEST), ["MQTT-1.1.1-1: no code of the hub cites it"]);
        assert_eq!(
            gaps("[\"MQTT-1.1.1-1\"]\nbinds = \"\"", CODE, TEST),
            ["MQTT-1.1.1-1: nobody looked at it"]
        );
    }

    #[test]
    fn what_binds_clients_needs_a_defence() {
        let table = "[\"MQTT-1.1.1-1\"]\nbinds = \"client\"\nsays = \"a\"";
        assert_eq!(gaps(table, "", ""), ["MQTT-1.1.1-1: nothing says what happens when a client breaks it"]);
        assert!(gaps(&format!("{table}\ndefence = \"b\""), "", "").is_empty());
    }

    #[test]
    fn citations_lead_somewhere() {
        let found = gaps("", CODE, TEST);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|gap| gap.ends_with("MQTT 5.0 has no statement `MQTT-1.1.1-1`")),
            "{found:?}"
        );
        let table = "[\"MQTT-1.1.1-1\"]\nbinds = \"both\"\nsays = \"a\"";
        let found = gaps(table, CODE, &format!("{TEST}// [MQTT-1.1.1-1]\nfn helper() {{\n}}\n"));
        assert_eq!(found, ["tests/tests/conformance/a.rs:5: [MQTT-1.1.1-1] belongs to no test function"]);
    }
}
