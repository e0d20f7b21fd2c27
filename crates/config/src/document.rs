//! The file: TOML, to answers with their places.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::nearest::did_you_mean;
use crate::problem::{Place, Problem};
use crate::settings::{Section, Setting};
use crate::sheet::{Answers, Entries, Entry, Sheet};
use crate::value::{LIST_ENTRIES_MAX, Raw};

/// A file larger than this is not a configuration.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Reads the whole file into `sheet`. False when its syntax is broken, so that what is missing may be there after all.
pub(crate) fn read(path: &Path, text: &str, sheet: &mut Sheet, problems: &mut Vec<Problem>) -> bool {
    let file = File::new(path, text);
    if text.len() > FILE_BYTES_MAX {
        let reason =
            format!("the file has {} bytes; a configuration has at most {FILE_BYTES_MAX}", text.len());
        problems.push(Problem { place: file.place(0), reason });
        return false;
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut broken_lines = HashSet::new();
    for error in &errors {
        let place = file.place(error.span().map_or(0, |span| span.start));
        // One line is reported once: what follows a first mistake there is mostly its consequence.
        if broken_lines.insert(line(&place)) {
            let reason = format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
            problems.push(Problem { place, reason });
        }
    }
    let mut found = Vec::new();
    Reader { file, problems: &mut found }.root(root.get_ref(), sheet);
    problems.extend(found.into_iter().filter(|problem| !broken_lines.contains(&line(&problem.place))));
    errors.is_empty()
}

fn line(place: &Place) -> usize {
    match place {
        Place::File { line, .. } => *line,
        Place::Environment(_) => 0,
    }
}

struct Reader<'a> {
    file: File<'a>,
    problems: &'a mut Vec<Problem>,
}

type Key<'i> = Spanned<Cow<'i, str>>;
type Item<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>, sheet: &mut Sheet) {
        for (key, item) in root {
            let place = self.file.place(key.span().start);
            let section = Section::ALL.into_iter().find(|section| section.name() == key.get_ref().as_ref());
            let Some(section) = section else {
                self.setting(Section::Top, key, item, &mut sheet.answers);
                continue;
            };
            match (section.one(), item.get_ref()) {
                (Some(one), DeValue::Array(list)) => {
                    let entries = sheet.repeated.entry(section).or_default();
                    entries.place = Some(place);
                    self.entries(section, one, list, entries);
                }
                (Some(_), _) => {
                    // An attempt counts as one, so that the only error is this one.
                    sheet.repeated.entry(section).or_default().refused = true;
                    let name = section.name();
                    let reason = format!(
                        "`{name}` is a list, since there may be several; write {section} in two brackets"
                    );
                    self.fail(place, reason);
                }
                (None, DeValue::Table(table)) => {
                    self.table(section, table, &mut sheet.answers);
                }
                (None, _) => {
                    let name = section.name();
                    self.fail(place, format!("`{name}` is a section; write {section} on a line of its own"));
                }
            }
        }
    }

    fn entries(&mut self, section: Section, one: &str, list: &DeArray<'_>, entries: &mut Entries) {
        for item in list {
            let place = self.file.place(item.span().start);
            let mut answers = Answers::default();
            match item.get_ref() {
                DeValue::Table(table) => {
                    self.table(section, table, &mut answers);
                    entries.list.push(Entry { place, answers });
                }
                _ => {
                    entries.refused = true;
                    let reason = format!("each {one} is a table; write {section} and its settings below it");
                    self.fail(place, reason);
                }
            }
        }
    }

    fn table(&mut self, section: Section, table: &DeTable<'_>, answers: &mut Answers) {
        for (key, item) in table {
            self.setting(section, key, item, answers);
        }
    }

    fn setting(&mut self, section: Section, key: &Key<'_>, item: &Item<'_>, answers: &mut Answers) {
        match Setting::find(section, key.get_ref()) {
            Some(setting) => {
                let raw = self.raw(item, true);
                answers.put(setting, &raw, self.file.place(item.span().start), self.problems);
            }
            None => {
                let place = self.file.place(key.span().start);
                self.fail(place, unknown(section, key.get_ref(), is_table(item)));
            }
        }
    }

    /// Lists inside lists are not looked into: no setting takes one.
    fn raw<'a>(&self, item: &'a Item<'_>, lists: bool) -> Raw<'a> {
        match item.get_ref() {
            DeValue::Boolean(value) => Raw::Bool(*value),
            DeValue::Integer(number) => {
                Raw::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok(), number.to_string())
            }
            DeValue::String(text) => Raw::Text(text),
            DeValue::Array(list) if lists => {
                let entries = list.iter().take(LIST_ENTRIES_MAX + 1);
                Raw::List(
                    entries
                        .map(|entry| (self.raw(entry, false), self.file.place(entry.span().start)))
                        .collect(),
                )
            }
            DeValue::Array(_) => Raw::Other("a list"),
            DeValue::Float(_) => Raw::Other("a number with a fraction"),
            DeValue::Datetime(_) => Raw::Other("a date or a time"),
            DeValue::Table(_) => Raw::Other("a table"),
        }
    }

    fn fail(&mut self, place: Place, reason: impl Into<String>) {
        self.problems.push(Problem { place, reason: reason.into() });
    }
}

fn is_table(item: &Item<'_>) -> bool {
    match item.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(list) => list.iter().any(|entry| matches!(entry.get_ref(), DeValue::Table(_))),
        _ => false,
    }
}

/// The error for a key that is none: the place where it would be known, the nearest name, or all names. What is written as a
/// section was meant as one.
fn unknown(section: Section, key: &str, is_table: bool) -> String {
    let shown: String = key.chars().take(60).flat_map(char::escape_debug).collect();
    let at = if section == Section::Top { "at" } else { "in" };
    let keys = Setting::of(section).map(|setting| setting.key);
    let sections = Section::ALL.into_iter().filter(|_| section == Section::Top).map(Section::name);
    let known: Vec<&str> = keys.chain(sections).filter(|name| !name.is_empty()).collect();
    let elsewhere: Vec<Section> =
        Section::ALL.into_iter().filter(|other| !is_table && Setting::find(*other, key).is_some()).collect();
    let hint = match elsewhere[..] {
        [] => did_you_mean(key, known.iter().copied())
            .unwrap_or_else(|| format!("known here are {}", known.join(", "))),
        [Section::Top, ..] => "it stands at the top level, before the first [section]".to_owned(),
        [first, ref others @ ..] => {
            let a = |section: Section| if section.one().is_some() { "a " } else { "" };
            let mut hint = format!("it belongs into {}{first}", a(first));
            for (i, other) in others.iter().enumerate() {
                let joint = if i + 1 == others.len() { " or" } else { "," };
                hint += &format!("{joint} {}{other}", a(*other));
            }
            hint
        }
    };
    format!("`{shown}` is not known {at} {section}; {hint}")
}

/// Turns offsets into lines and columns.
struct File<'a> {
    path: String,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> File<'a> {
    fn new(path: &Path, text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        File {
            path: path.display().to_string(),
            text,
            line_starts: std::iter::once(0).chain(starts).collect(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        // An offset inside a character does not occur; if it did, the column would be off and nothing worse.
        let before = self.text.get(start..offset).unwrap_or_default();
        Place::File { path: self.path.clone(), line, column: before.chars().count() + 1 }
    }
}
