//! Who may connect: the settings of `[auth]` and `[bans]`.

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
    /// Users that may be added while the hub runs.
    pub users_max: usize,
}

/// Who may not, although they could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bans {
    /// Whether anybody is held to them.
    pub apply: bool,
    /// How many there may be.
    pub bans_max: usize,
    /// For how many seconds an address is banned that has failed too often to prove who it is; 0: it is not.
    pub failures_ban_s: u32,
}

impl Default for Bans {
    fn default() -> Bans {
        Bans::read(&Sheet::default())
    }
}

impl Bans {
    pub(crate) fn read(sheet: &Sheet) -> Bans {
        let answers = &sheet.answers;
        let number = |key| answers.number_or_preset(Section::Bans, key);
        Bans {
            apply: answers.bool_or_preset(Section::Bans, "apply"),
            bans_max: number("bans_max") as usize,
            failures_ban_s: number("failures_ban_s") as u32,
        }
    }
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
            users_max: answers.number_or_preset(Section::Auth, "users_max") as usize,
        }
    }
}
