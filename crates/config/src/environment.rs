//! The environment: variables that begin with `TREFOIL_`, to answers that go over those of the file.

use std::collections::BTreeMap;

use crate::nearest::nearest;
use crate::problem::{Place, Problem};
use crate::settings::{Section, Setting};
use crate::sheet::{Answers, Entry, Sheet};
use crate::value::Raw;

const PREFIX: &str = "TREFOIL_";

/// A setting, the name of its variable, and what that says.
type Variable = (&'static Setting, String, String);

/// Reads all variables into `sheet`. An empty one counts as not set, as service managers and compose files expect.
pub(crate) fn read(
    variables: &mut dyn Iterator<Item = (String, String)>,
    sheet: &mut Sheet,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let mut entries: BTreeMap<(Section, usize), Vec<Variable>> = BTreeMap::new();
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || text.trim().is_empty() {
            continue;
        }
        match recognise(&name) {
            Known::Setting(setting) => {
                let place = Place::Environment(name);
                sheet.answers.put(setting, &Raw::Untyped(&text), place, problems);
            }
            Known::Numbered(index, setting) => {
                entries.entry((setting.section, index)).or_default().push((setting, name, text));
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
    for ((section, index), variables) in entries {
        put_entry(section, index, variables, sheet, problems);
    }
}

fn put_entry(
    section: Section,
    index: usize,
    variables: Vec<Variable>,
    sheet: &mut Sheet,
    problems: &mut Vec<Problem>,
) {
    let Some(place) = variables.first().map(|(_, name, _)| Place::Environment(name.clone())) else { return };
    let entries = sheet.repeated.entry(section).or_default();
    let count = entries.list.len();
    if index > count {
        let reason = format!(
            "there is no {section} {}; they are counted from 0, those of the file first, and without gaps",
            index - 1
        );
        // It was an attempt at one, so that "there is none" would only confuse.
        entries.refused = true;
        problems.push(Problem { place, reason });
        return;
    }
    if index == count {
        entries.list.push(Entry { place, answers: Answers::default() });
    }
    for (setting, name, text) in variables {
        entries.list[index].answers.put(setting, &Raw::Untyped(&text), Place::Environment(name), problems);
    }
}

enum Known {
    Setting(&'static Setting),
    /// One of a section of which there may be several, and the number of that section.
    Numbered(usize, &'static Setting),
    /// It cannot be anything but a mistaken setting; the text says which was probably meant.
    Nearly(String),
    /// It may belong to something else: container hosts set variables such as `TREFOIL_SERVICE_HOST`.
    Not,
}

fn recognise(name: &str) -> Known {
    let plain = || Setting::all().filter(|setting| setting.section.one().is_none());
    if let Some(setting) = plain().find(|setting| setting.environment() == name) {
        return Known::Setting(setting);
    }
    for section in Section::ALL.into_iter().filter(|section| section.one().is_some()) {
        let Some((index, key)) = after_section(name, section).and_then(|rest| rest.split_once('_')) else {
            continue;
        };
        let setting = Setting::of(section).find(|setting| setting.key.to_uppercase() == key);
        let number = index.parse::<usize>().ok().filter(|number| number.to_string() == index);
        if let (Some(number), Some(setting)) = (number, setting) {
            return Known::Numbered(number, setting);
        }
        if number.is_none() && is_of_a_container_host(name) {
            return Known::Not;
        }
        // Held against the names for this very number, so that the hint can be copied.
        let number = number.unwrap_or(0).to_string();
        let names: Vec<String> =
            Setting::of(section).map(|setting| setting.environment_of(&number)).collect();
        return Known::Nearly(hint(name, &names));
    }
    if is_of_a_container_host(name) {
        return Known::Not;
    }
    let names: Vec<String> = plain().map(Setting::environment).collect();
    let in_a_section = Section::ALL.into_iter().any(|section| after_section(name, section).is_some());
    if in_a_section || nearest(name, names.iter().map(String::as_str)).is_some_and(|near| close(name, near)) {
        return Known::Nearly(hint(name, &names));
    }
    Known::Not
}

/// The rest of a name that begins as the variables of a section do.
fn after_section(name: &str, section: Section) -> Option<&str> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix(&section.name().to_uppercase())?;
    rest.strip_prefix('_').filter(|_| section != Section::Top)
}

/// A service called `trefoil-mqtt` leads to variables such as `TREFOIL_MQTT_SERVICE_HOST` and `TREFOIL_MQTT_PORT` in
/// every container beside it, and nobody can help that.
fn is_of_a_container_host(name: &str) -> bool {
    name.ends_with("_PORT")
        || ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
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
