//! Changing a file of users without touching the rest of it.

use crate::record::Record;
use crate::users::{check_name, split_line};

/// The text of a file of users, to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    lines: Vec<String>,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user was not there, and now is.
    Added,
    /// The user was there, with another password or the same.
    Replaced,
}

impl Editor {
    /// Takes the text; an empty one for a file that is not there yet.
    pub fn new(text: &str) -> Editor {
        Editor { lines: text.lines().map(str::to_owned).collect() }
    }

    /// Gives a user this record, in the place where it stood or at the end.
    ///
    /// # Errors
    /// Why the name cannot be one.
    pub fn set(&mut self, name: &str, record: &Record) -> Result<Change, String> {
        let name = check_name(name)?;
        let line = format!("{name}:{record}");
        match self.find(&name) {
            Some(index) => {
                self.lines[index] = line;
                Ok(Change::Replaced)
            }
            None => {
                self.lines.push(line);
                Ok(Change::Added)
            }
        }
    }

    /// Takes a user out. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let index = check_name(name).ok().and_then(|name| self.find(&name));
        if let Some(index) = index {
            self.lines.remove(index);
        }
        index.is_some()
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn find(&self, prepared: &str) -> Option<usize> {
        let is_it = |line: &String| {
            split_line(line).is_some_and(|(name, _)| check_name(name).is_ok_and(|name| name == prepared))
        };
        self.lines.iter().position(is_it)
    }
}
