//! The figures of the histories of topics.

use super::Page;
use std::fmt;
use trefoil_hub::History;

pub(super) fn figures(history: &History, page: &mut Page<'_, '_>) -> fmt::Result {
    let figures = history.figures();
    page.gauge("history_topics", "Topics that have a history now.", figures.topics as i64)?;
    page.gauge("history_messages", "Messages in the histories of all topics now.", figures.messages as i64)?;
    page.gauge("history_bytes", "Bytes of the messages in all histories now.", figures.bytes as i64)?;
    page.counter("history_appended", "Messages that were entered into a history.", figures.appended)?;
    page.counters(
        "history_evicted",
        "Messages that gave way: to the bounds of their history, or since all histories together were too large.",
        "reason",
        [("bounds".to_owned(), figures.evicted_rule), ("total".to_owned(), figures.evicted_total)].into_iter(),
    )?;
    page.counter(
        "history_refused",
        "Messages not entered into a history since too many topics had one.",
        figures.refused,
    )?;
    page.counter("history_gaps", "Gaps that clients were told of.", figures.gaps)?;
    page.counter(
        "history_unfollowed",
        "Messages delivered without their place to clients that follow too many topics.",
        figures.unfollowed,
    )
}
