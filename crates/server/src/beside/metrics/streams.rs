//! The figures of streams.

use super::Page;
use crate::streams::Streams;
use std::fmt;

pub(super) fn figures(streams: &Streams, page: &mut Page<'_, '_>) -> fmt::Result {
    let counts = streams.counts();
    page.gauge("streams", "Streams now: two connections each.", counts.joined as i64)?;
    page.gauge(
        "stream_listeners",
        "Names now on which connections listen for callers.",
        counts.listeners as i64,
    )?;
    page.gauge("stream_callers", "Callers now that wait to be joined.", counts.callers as i64)?;
    page.counter("streams_opened", "Streams joined.", streams.opened.get())?;
    page.counter(
        "streams_refused",
        "Callers and listeners who did not get what they wanted.",
        streams.refused.get(),
    )?;
    page.counter("streams_broken", "Streams that ended before both ends had said so.", streams.broken.get())?;
    page.counter(
        "streams_idle",
        "Those of them on which nothing had moved for too long.",
        streams.idle.get(),
    )?;
    page.counter(
        "stream_bytes",
        "Bytes that went from one end of a stream to the other.",
        streams.bytes_moved(),
    )
}
