//! The environment: variables that begin with `TREFOIL_`, to answers that go over those of the file.

use std::collections::BTreeMap;

use crate::nearest::nearest;
use crate::problem::{Place, Problem};
use crate::settings::{Section, Setting};
use crate::sheet::{Answers, ListenerSheet, Sheet};
use crate::value::Raw;

const PREFIX: &str = "TREFOIL_";
const LISTENER: &str = "TREFOIL_LISTENER_";

/// Reads all variables into `sheet`. An empty one counts as not set, as service managers and compose files expect.
pub(crate) fn read(
    variables: &mut dyn Iterator<Item = (String, String)>,
    sheet: &mut Sheet,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let mut listeners: BTreeMap<usize, Vec<(&'static Setting, String, String)>> = BTreeMap::new();
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || text.trim().is_empty() {
            continue;
        }
        match recognise(&name) {
            Known::Setting(setting) => {
                let place = Place::Environment(name);
                if setting.section == Section::Store {
                    sheet.store.get_or_insert_with(|| place.clone());
                }
                sheet.answers.put(setting, &Raw::Untyped(&text), place, problems);
            }
            Known::Listener(index, setting) => {
                listeners.entry(index).or_default().push((setting, name, text));
            }
            Known::Nearly(hint) => {
                let reason = format!("there is no setting of that name; {hint}");
                problems.push(Problem { place: Place::Environment(name), reason });
            }
            Known::Not => warnings.push(format!(
                "the environment variable {name} begins like a setting of Trefoil and is none; it has no effect"
            )),
        }
    }
    for (index, variables) in listeners {
        put_listener(index, variables, sheet, problems);
    }
}

fn put_listener(
    index: usize,
    variables: Vec<(&'static Setting, String, String)>,
    sheet: &mut Sheet,
    problems: &mut Vec<Problem>,
) {
    let Some(place) = variables.first().map(|(_, name, _)| Place::Environment(name.clone())) else { return };
    let count = sheet.listeners.as_ref().map_or(0, Vec::len);
    if index > count {
        let reason = format!(
            "there is no listener {}; listeners are counted from 0, those of the file first, and without gaps",
            index - 1
        );
        // It was an attempt at a listener, so that "there is none" would only confuse.
        sheet.listeners_refused = true;
        problems.push(Problem { place, reason });
        return;
    }
    let listeners = sheet.listeners.get_or_insert_default();
    if index == count {
        listeners.push(ListenerSheet { place, answers: Answers::default() });
    }
    for (setting, name, text) in variables {
        listeners[index].answers.put(setting, &Raw::Untyped(&text), Place::Environment(name), problems);
    }
}

enum Known {
    Setting(&'static Setting),
    Listener(usize, &'static Setting),
    /// It cannot be anything but a mistaken setting; the text says which was probably meant.
    Nearly(String),
    /// It may belong to something else: container hosts set variables such as `TREFOIL_SERVICE_HOST`.
    Not,
}

fn recognise(name: &str) -> Known {
    if let Some((index, key)) = name.strip_prefix(LISTENER).and_then(|rest| rest.split_once('_')) {
        let setting = Setting::of(Section::Listener).find(|setting| setting.key.to_uppercase() == key);
        let number = index.parse::<usize>().ok().filter(|number| number.to_string() == index);
        if let (Some(number), Some(setting)) = (number, setting) {
            return Known::Listener(number, setting);
        }
        // Held against the names for this very number, so that the hint can be copied.
        let number = number.unwrap_or(0);
        let names: Vec<String> = Setting::of(Section::Listener)
            .map(|setting| format!("{LISTENER}{number}_{}", setting.key.to_uppercase()))
            .collect();
        return Known::Nearly(hint(name, &names));
    }
    let plain = || Setting::all().filter(|setting| setting.section != Section::Listener);
    if let Some(setting) = plain().find(|setting| setting.environment() == name) {
        return Known::Setting(setting);
    }
    let names: Vec<String> = plain().map(Setting::environment).collect();
    let in_a_section = [Section::Listener, Section::Limits, Section::Log, Section::Store]
        .into_iter()
        .any(|section| name.starts_with(&format!("{PREFIX}{}_", section.name().to_uppercase())));
    if in_a_section || nearest(name, names.iter().map(String::as_str)).is_some_and(|near| close(name, near)) {
        return Known::Nearly(hint(name, &names));
    }
    Known::Not
}

/// Two slips at most: the common prefix makes all names of this kind somewhat alike.
fn close(name: &str, known: &str) -> bool {
    strsim::damerau_levenshtein(name, known) <= 2
}

fn hint(name: &str, names: &[String]) -> String {
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "docs/configuration.md lists them all".into(),
    }
}
