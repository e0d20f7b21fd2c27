//! The crash test: real clients on a real hub with a store, which is killed at random moments and started again.
//!
//! [`run()`] takes one round: `victim` is the hub, `stage` what the threads of the clients share, and the clients are
//! publishers and subscribers from `tests/model` (`players`), publishers over JSON and HTTP (`requests`), those that
//! set and look at retained messages (`retained`), those that leave wills (`wills`), those whose sessions expire
//! (`guests`), those that speak MQTT-SN (`devices`), and those that read topics with a history (`follow`). What they saw
//! is the [`Evidence`]; [`judge()`] reads it and nothing else, and says whether every promise was kept.
//!
//! In some rounds only those play who are promised less, since nothing is synced before it is acknowledged, and some of
//! the hub's lives end with SIGTERM, which must cost nothing under `durability = "interval"`.
//!
//! All that is drawn by lot comes from the seed, the moments of the kills among it. Threads and processes meet as the
//! system lets them, so a seed that failed fails again soon, and not always at the same message.

mod devices;
mod evidence;
mod explain;
mod follow;
mod guests;
mod judge;
mod places;
mod players;
mod requests;
mod retained;
mod run;
mod shelf;
mod stage;
mod times;
mod transport;
mod victim;
mod weak;
mod wills;

pub use evidence::{End, Evidence, Fate, Left, Placed, Places, Removed, Weak};
pub use judge::{Tally, judge};
pub use places::PlacesTally;
pub use run::{Cast, Fault, Plan, Report, run};
pub use times::Times;
pub use weak::WeakTally;
