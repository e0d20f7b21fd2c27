//! Whom the doorman has seen, and what he says to them.

use serde_json::Value;

/// He remembers so many faces.
const GUESTS_MAX: usize = 100;
/// And calls so many by name.
const NAMED_MAX: usize = 12;

/// Who has spoken, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    names: Vec<String>,
}

impl Guests {
    /// What is to be answered when somebody has said this, if anything is.
    pub(crate) fn answer(&mut self, name: &str, said: &Value) -> Option<String> {
        if said.is_null() || said.as_str() == Some("") {
            return None;
        }
        let is_new = self.names.len() < GUESTS_MAX && !self.names.iter().any(|known| known == name);
        if is_new {
            self.names.push(name.to_owned());
        }
        if said.as_str().is_some_and(|text| text.to_lowercase().contains("who is here")) {
            let named: Vec<_> = self.names.iter().rev().take(NAMED_MAX).map(String::as_str).collect();
            return Some(format!("I have heard {}.", named.join(", ")));
        }
        is_new.then(|| format!("Welcome, {name}! Ask me who is here."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_welcomed_once_and_whoever_asks_is_told() {
        let mut guests = Guests::default();
        let welcome = |name: &str| Some(format!("Welcome, {name}! Ask me who is here."));
        assert_eq!(guests.answer("nora", &"hello".into()), welcome("nora"));
        assert_eq!(guests.answer("nora", &"hello again".into()), None);
        assert_eq!(guests.answer("sensor", &21.into()), welcome("sensor"));
        assert_eq!(guests.answer("silent", &"".into()), None);
        let told = guests.answer("mia", &"Who is here?".into());
        assert_eq!(told.as_deref(), Some("I have heard mia, sensor, nora."));
        for guest in 0..2 * GUESTS_MAX {
            guests.answer(&guest.to_string(), &guest.into());
        }
        assert_eq!(guests.names.len(), GUESTS_MAX);
        assert_eq!(guests.answer("late", &"hello".into()), None);
    }
}
