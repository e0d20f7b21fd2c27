//! What the store has done and how it is.

use super::Page;
use crate::keeper::Keeper;
use crate::keeper::report::{STATES, StoreSummary};
use std::fmt;
use std::time::Duration;
use trefoil_store::SYNC_TIMES;

/// Of a hub that may keep nothing: then there is only that. `pauses` is how often publishers had to wait for the disk,
/// `refused` how many messages were refused of those who cannot be made to wait.
pub(super) fn figures(
    keeper: Option<&Keeper>,
    (pauses, refused): (u64, u64),
    page: &mut Page<'_, '_>,
) -> fmt::Result {
    let now = StoreSummary::of(keeper);
    let states = STATES.map(|state| (state, i64::from(state == now.state)));
    page.gauges("store_state", "How the store is: 1 for the state that it is in.", "state", states)?;
    let Some(figures) = keeper.map(Keeper::figures) else { return Ok(()) };
    for (name, help, value) in [
        ("store_disk_bytes", "Bytes of the store on disk, without its reserve.", now.disk_bytes),
        ("store_segments", "Files that the store consists of.", now.segments),
        ("store_waiting_bytes", "Bytes that wait to be written to the store.", now.waiting_bytes),
        (
            "store_checkpoint_under_way",
            "1 while what is live is written anew, so that the store becomes smaller.",
            keeper.is_some_and(Keeper::is_making_checkpoint).into(),
        ),
    ] {
        page.gauge(name, help, value.cast_signed())?;
    }
    for (name, help, value) in [
        ("store_batches", "Batches of records written to the store.", now.batches),
        ("store_records", "Records written to the store.", now.records),
        ("store_appended_bytes", "Bytes written to the store.", now.appended_bytes),
        ("store_syncs", "Syncs of the store that had something to make durable.", now.syncs),
        ("store_checkpoints", "Times that the store was made smaller.", now.checkpoints),
        ("store_failures", "Errors of the disk of the store, attempts to go on among them.", now.failures),
        (
            "store_pauses",
            "Times that a publisher was not read from, since too much was on its way to the disk.",
            pauses,
        ),
        (
            "store_refused",
            "Messages over HTTP and UDP refused since too much was on its way to the disk.",
            refused,
        ),
        (
            "store_discarded_batches",
            "Batches that were not written since the disk had failed; the state they led to is written when it works again.",
            now.discarded_batches,
        ),
    ] {
        page.counter(name, help, value)?;
    }
    let bounds = SYNC_TIMES.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(figures.sync_times).collect();
    let sum = (figures.sync_time_sum.as_secs_f64(), figures.syncs);
    page.histogram("store_sync_seconds", "How long a sync of the store took.", sum, &buckets)
}
