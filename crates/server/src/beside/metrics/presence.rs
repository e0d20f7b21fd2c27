//! The figures of who is on which topic.

use super::Page;
use std::fmt;
use trefoil_hub::Presence;

pub(super) fn figures(presence: &Presence, page: &mut Page<'_, '_>) -> fmt::Result {
    let figures = presence.figures();
    page.gauge(
        "presence_topics",
        "Topics now of which clients watch who is there, counted in each shard.",
        figures.topics as i64,
    )?;
    page.gauge(
        "presence_watchers",
        "Topics now that clients watch, added up over all clients.",
        figures.watchers as i64,
    )?;
    page.counter(
        "presence_events",
        "Clients that came to topics and went from them while somebody watched.",
        figures.events,
    )?;
    page.counter(
        "presence_behind",
        "Times that a client which watches had no room in its outbox and was to be told the whole later.",
        figures.behind,
    )?;
    page.counter("presence_questions", "Questions who is on a topic.", figures.questions)?;
    page.counter(
        "presence_refused",
        "Wishes to watch a topic, and questions, that went beyond a limit.",
        figures.refused,
    )
}
