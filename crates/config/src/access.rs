//! Who may connect: the settings of `[auth]`.

use std::path::PathBuf;

use crate::settings::Section;
use crate::sheet::Sheet;

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The file of users. `None`: nobody is asked who they are.
    pub users: Option<PathBuf>,
    /// How often one address may fail within the window; 0 is no limit.
    pub failures_max: u32,
    /// The window in seconds, at least 1.
    pub failures_window_s: u32,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth::read(&Sheet::default())
    }
}

impl Auth {
    pub(crate) fn read(sheet: &Sheet) -> Auth {
        let answers = &sheet.answers;
        let number = |key| u32::try_from(answers.number_or_preset(Section::Auth, key)).unwrap_or(u32::MAX);
        Auth {
            users: answers.text(Section::Auth, "users").map(|(path, _)| path.into()),
            failures_max: number("failures_max"),
            failures_window_s: number("failures_window_s"),
        }
    }
}
