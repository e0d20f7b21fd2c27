//! How the store is, in the words that figures, health and the console have for it.

use super::Keeper;
use serde::Serialize;
use trefoil_store::State;

/// What the store may be, in the words of all interfaces.
pub(crate) const STATES: [&str; 5] = ["off", "working", "full", "failed", "healing"];

/// The store at one moment: a part of what `$SYS/trefoil/stats` and `/api/v1/stats` say.
#[derive(Serialize, Clone, Default, Debug)]
pub(crate) struct StoreSummary {
    /// One of [`STATES`].
    pub(crate) state: &'static str,
    /// What is wrong, unless nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) syncs: u64,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) segments: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) checkpoints: u64,
    pub(crate) failures: u64,
    pub(crate) discarded_batches: u64,
    pub(crate) sync_ms_mean: f64,
    pub(crate) sync_ms_max: f64,
}

impl StoreSummary {
    /// Of a hub that may keep nothing.
    pub(crate) fn of(keeper: Option<&Keeper>) -> StoreSummary {
        let Some(keeper) = keeper else { return StoreSummary { state: "off", ..StoreSummary::default() } };
        let (state, figures) = (keeper.state(), keeper.figures());
        let ms = |seconds: f64| (seconds * 1e6).round() / 1e3;
        StoreSummary {
            state: name(&state),
            reason: reason(&state),
            syncs: figures.syncs,
            batches: figures.batches,
            records: figures.records,
            appended_bytes: figures.appended_bytes,
            disk_bytes: figures.disk_bytes,
            segments: figures.segments,
            waiting_bytes: figures.waiting_bytes,
            checkpoints: figures.checkpoints,
            failures: figures.failures,
            discarded_batches: figures.discarded_batches,
            sync_ms_mean: ms(figures.sync_time_sum.as_secs_f64() / figures.syncs.max(1) as f64),
            sync_ms_max: ms(figures.sync_time_max.as_secs_f64()),
        }
    }
}

/// The word for a state.
pub(crate) fn name(state: &State) -> &'static str {
    match state {
        State::Working => "working",
        State::Full => "full",
        State::Failed { .. } => "failed",
        State::Healed => "healing",
    }
}

/// What is wrong and what follows from it, for people; none if nothing is.
pub(crate) fn reason(state: &State) -> Option<String> {
    match state {
        State::Working => None,
        State::Full => Some(
            "the disk of the store is full: what has to be kept is refused, all else goes on; make room, and the hub \
             goes on by itself"
                .to_owned(),
        ),
        State::Failed { why } => Some(failed(&format!(" ({why})"))),
        State::Healed => Some(
            "the disk of the store works again, and all that is to be kept is written anew; until that is done, what \
             has to be kept is refused"
                .to_owned(),
        ),
    }
}

/// The same for anybody who asks: nothing of files and devices.
pub(crate) fn open_reason(state: &State) -> Option<String> {
    match state {
        State::Failed { .. } => Some(failed("")),
        other => reason(other),
    }
}

fn failed(why: &str) -> String {
    format!(
        "the store cannot be written{why}: what has to be kept is refused, all else goes on; it is tried again every \
         second"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_word_and_only_trouble_a_reason() {
        let failed = State::Failed { why: "no such device".into() };
        for (state, word) in [
            (State::Working, "working"),
            (State::Full, "full"),
            (failed.clone(), "failed"),
            (State::Healed, "healing"),
        ] {
            assert_eq!(name(&state), word);
            assert!(STATES.contains(&word));
            assert_eq!(reason(&state).is_none(), state == State::Working);
        }
        assert!(reason(&failed).is_some_and(|reason| reason.contains("no such device")));
        assert!(open_reason(&failed).is_some_and(|reason| !reason.contains("no such device")));
        assert_eq!(StoreSummary::of(None).state, "off");
    }
}
