//! The crash test: real clients on a real hub with a store, which is killed at random moments and started again.
//!
//! [`run()`] takes one round: `victim` is the hub, `stage` what the threads of the clients share, and the clients are
//! publishers and subscribers from `tests/model` (`players`), publishers over JSON and HTTP (`requests`), those that
//! set and look at retained messages (`retained`), and those that leave wills (`wills`). What they saw is the
//! [`Evidence`]; [`judge()`] reads it and nothing else, and says whether every promise was kept.
//!
//! All that is drawn by lot comes from the seed, the moments of the kills among it. Threads and processes meet as the
//! system lets them, so a seed that failed fails again soon, and not always at the same message.

mod evidence;
mod explain;
mod judge;
mod players;
mod requests;
mod retained;
mod run;
mod shelf;
mod stage;
mod victim;
mod wills;

pub use evidence::{Evidence, Fate, Left, Removed};
pub use judge::{Tally, judge};
pub use run::{Fault, Plan, Report, run};
