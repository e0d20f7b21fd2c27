//! What was answered to the table of settings, by the file first and then by the environment.

use std::collections::HashMap;

use crate::model::Bind;
use crate::problem::{Place, Problem};
use crate::settings::{Section, Setting};
use crate::value::{self, Raw, Value};

/// All answers, each allowed by its setting; whether they go together is seen later.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) answers: Answers,
    /// `None` when nobody named a listener, so that the usual ones hold.
    pub(crate) listeners: Option<Vec<ListenerSheet>>,
    /// Where the list of listeners stands, for an error about the list as a whole.
    pub(crate) listeners_place: Option<Place>,
    /// Somebody tried to write a listener and did not succeed, so that "there is none" would only confuse.
    pub(crate) listeners_refused: bool,
    /// Where `[store]` stands, if it does.
    pub(crate) store: Option<Place>,
}

/// The answers of one listener.
pub(crate) struct ListenerSheet {
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

    pub(crate) fn bind(&self) -> Option<(Bind, &Place)> {
        match self.get(Section::Listener, "bind")? {
            (Value::Bind(bind), place) => Some((*bind, place)),
            _ => None,
        }
    }

    pub(crate) fn protocols(&self) -> Option<(&[&'static str], &Place)> {
        match self.get(Section::Listener, "protocols")? {
            (Value::Words(words), place) => Some((words, place)),
            _ => None,
        }
    }
}
