//! Whom the doorman has seen, and what he says to them.

/// He remembers so many faces.
const GUESTS_MAX: usize = 100;
/// And calls so many by name.
const NAMED_MAX: usize = 12;
const NAME_BYTES_MAX: usize = 40;

/// Who has spoken, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    names: Vec<String>,
}

impl Guests {
    /// What is to be answered when somebody has said this, if anything is.
    pub(crate) fn answer(&mut self, said: &str) -> Option<String> {
        let (name, text) =
            said.split_once(": ").filter(|(name, _)| (1..=NAME_BYTES_MAX).contains(&name.len()))?;
        let is_new = self.names.len() < GUESTS_MAX && !self.names.iter().any(|known| known == name);
        if is_new {
            self.names.push(name.to_owned());
        }
        if text.to_lowercase().contains("who is here") {
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
        assert_eq!(guests.answer("nora: hello"), welcome("nora"));
        assert_eq!(guests.answer("nora: hello again"), None);
        assert_eq!(guests.answer("sensor 4: 21"), welcome("sensor 4"));
        for nobody in ["hello", ": hello", "", &format!("{}: hello", "x".repeat(41))] {
            assert_eq!(guests.answer(nobody), None, "{nobody}");
        }
        let told = guests.answer("mia: Who is here?");
        assert_eq!(told.as_deref(), Some("I have heard mia, sensor 4, nora."));
        for guest in 0..2 * GUESTS_MAX {
            guests.answer(&format!("{guest}: hello"));
        }
        assert_eq!(guests.names.len(), GUESTS_MAX);
        assert_eq!(guests.answer("late: hello"), None);
    }
}
