//! What was answered to the table of settings, by the file first and then by the environment.

use std::collections::HashMap;

use crate::model::Bind;
use crate::network::Network;
use crate::origins::Origins;
use crate::problem::{Place, Problem};
use crate::settings::{Preset, Section, Setting};
use crate::value::{self, Raw, Value};

/// All answers, each allowed by its setting; whether they go together is seen later.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) answers: Answers,
    /// The sections of which there may be several. Without an entry nobody named one.
    pub(crate) repeated: HashMap<Section, Entries>,
}

/// All sections of one name.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) list: Vec<Entry>,
    /// Where they begin in the file, for an error about them as a whole.
    pub(crate) place: Option<Place>,
    /// Somebody tried to write one and did not succeed, so that "there is none" would only confuse.
    pub(crate) refused: bool,
}

/// One of several sections of one name.
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) answers: Answers,
}

/// Answers to the settings of one place.
#[derive(Default)]
pub(crate) struct Answers(HashMap<(Section, &'static str), Answer>);

/// One answer, and where it was given. Without a value something was written that is not allowed; the problem is
/// known already.
struct Answer {
    value: Option<Value>,
    place: Place,
}

impl Sheet {
    /// The numbers that were given in a section.
    pub(crate) fn numbers(&self, section: Section) -> impl Iterator<Item = (&'static str, u64)> {
        self.answers.0.iter().filter_map(move |((of, key), answer)| match answer.value {
            Some(Value::Number(number)) if *of == section => Some((*key, number)),
            _ => None,
        })
    }
}

impl Sheet {
    /// The sections of one name, in the order in which they were written.
    pub(crate) fn list(&self, section: Section) -> &[Entry] {
        self.repeated.get(&section).map_or(&[], |entries| &entries.list)
    }
}

impl Answers {
    /// Writes down an answer, over an earlier one; an answer that is not allowed goes to `problems`.
    pub(crate) fn put(
        &mut self,
        setting: &'static Setting,
        raw: &Raw<'_>,
        place: Place,
        problems: &mut Vec<Problem>,
    ) {
        let value = value::read(setting, raw, &place, problems);
        self.0.insert((setting.section, setting.key), Answer { value, place });
    }

    /// Something was written for it, allowed or not.
    pub(crate) fn was_written(&self, section: Section, key: &'static str) -> bool {
        self.0.contains_key(&(section, key))
    }

    /// What was answered, if it is allowed.
    pub(crate) fn get(&self, section: Section, key: &'static str) -> Option<(&Value, &Place)> {
        let answer = self.0.get(&(section, key))?;
        Some((answer.value.as_ref()?, &answer.place))
    }

    pub(crate) fn bool(&self, section: Section, key: &'static str) -> Option<(bool, &Place)> {
        match self.get(section, key)? {
            (Value::Bool(value), place) => Some((*value, place)),
            _ => None,
        }
    }

    pub(crate) fn number(&self, section: Section, key: &'static str) -> Option<u64> {
        match self.get(section, key)? {
            (Value::Number(number), _) => Some(*number),
            _ => None,
        }
    }

    /// What was answered, or what holds otherwise by the table.
    pub(crate) fn bool_or_preset(&self, section: Section, key: &'static str) -> bool {
        self.bool(section, key).map_or_else(|| preset(section, key) == Preset::Bool(true), |(value, _)| value)
    }

    /// What was answered, or what holds otherwise by the table.
    pub(crate) fn number_or_preset(&self, section: Section, key: &'static str) -> u64 {
        self.number(section, key).unwrap_or_else(|| match preset(section, key) {
            Preset::Number(number) => number,
            _ => 0,
        })
    }

    /// The text that was answered, if it is allowed.
    pub(crate) fn text(&self, section: Section, key: &'static str) -> Option<(&str, &Place)> {
        match self.get(section, key)? {
            (Value::Text(text), place) => Some((text, place)),
            _ => None,
        }
    }

    /// The texts of a list, if they are allowed.
    pub(crate) fn texts(&self, section: Section, key: &'static str) -> Option<(&[String], &Place)> {
        match self.get(section, key)? {
            (Value::Texts(texts), place) => Some((texts, place)),
            _ => None,
        }
    }

    /// The bytes that were answered, if they are allowed.
    pub(crate) fn bytes(&self, section: Section, key: &'static str) -> Option<(&[u8], &Place)> {
        match self.get(section, key)? {
            (Value::Bytes(bytes), place) => Some((bytes, place)),
            _ => None,
        }
    }

    /// The same for a list.
    pub(crate) fn byte_list(&self, section: Section, key: &'static str) -> Option<&[Vec<u8>]> {
        match self.get(section, key)? {
            (Value::ByteList(list), _) => Some(list),
            _ => None,
        }
    }

    /// Where an answer was given, allowed or not.
    pub(crate) fn place(&self, section: Section, key: &'static str) -> Option<&Place> {
        self.0.get(&(section, key)).map(|answer| &answer.place)
    }

    /// The words of a list, or the word of a choice.
    pub(crate) fn words(&self, section: Section, key: &'static str) -> Option<(&[&'static str], &Place)> {
        match self.get(section, key)? {
            (Value::Words(words), place) => Some((words, place)),
            (Value::Word(word), place) => Some((std::slice::from_ref(word), place)),
            _ => None,
        }
    }

    /// The networks that were answered, if they are some.
    pub(crate) fn networks(&self, section: Section, key: &'static str) -> Option<&[Network]> {
        match self.get(section, key)? {
            (Value::Networks(networks), _) => Some(networks),
            _ => None,
        }
    }

    /// The origins that were answered, if they are some.
    pub(crate) fn origins(&self, section: Section, key: &'static str) -> Option<&Origins> {
        match self.get(section, key)? {
            (Value::Origins(origins), _) => Some(origins),
            _ => None,
        }
    }

    /// The address that was answered, if it is one.
    pub(crate) fn bind(&self, section: Section, key: &'static str) -> Option<(&Bind, &Place)> {
        match self.get(section, key)? {
            (Value::Bind(bind), place) => Some((bind, place)),
            _ => None,
        }
    }
}

fn preset(section: Section, key: &str) -> Preset {
    Setting::find(section, key).expect("the caller names a setting of the table").preset
}
