//! About what all that is live takes in the store.

use super::extent::Sizes;
use crate::context::Context;
use crate::stats::{Figure, Stats, total};
use trefoil_hub::Message;

/// About what a session takes beside what it has.
const SESSION_BYTES: u64 = 256;

/// About what a subscription takes.
const SUBSCRIPTION_BYTES: u64 = 64;

/// About what a delivery, a retained or delayed message, or a place in a history takes beside its message.
const PLACE_BYTES: u64 = 24;

/// About what the history of a topic takes beside that.
const HISTORY_BYTES: u64 = 128;

/// About what a message takes beside topic, payload and properties.
const HEAD_BYTES: u64 = 16;

/// About what a message in flight takes where that is not counted.
const IN_FLIGHT_BYTES: u64 = 256;

/// How large the store is and may be. What is live is too much where sessions are not kept, and where a message waits for
/// several or is retained as well.
pub(super) fn sizes(context: &Context, disk: u64, slack: u64) -> Sizes {
    let total = |of: fn(&Stats) -> &Figure| total(&context.stats, of);
    let hub = &context.hub;
    let (queued, queued_bytes) = hub.queued();
    let (in_flight, in_flight_bytes) = hub.in_flight();
    let in_flight_bytes = match in_flight_bytes {
        0 => in_flight as u64 * IN_FLIGHT_BYTES,
        counted => counted as u64,
    };
    let (retained, retained_bytes) = hub.retained.size();
    let (delayed, delayed_bytes) = hub.delayed_size();
    let history = hub.history.figures();
    let places = (queued + in_flight + retained + delayed + history.messages) as u64;
    let counted = (queued_bytes + retained_bytes + delayed_bytes + history.bytes) as u64 + in_flight_bytes;
    // What a message takes in memory is no part of what it takes here.
    let messages = counted.saturating_sub(places * size_of::<Message>() as u64) + places * HEAD_BYTES;
    let beside = places * PLACE_BYTES
        + history.topics as u64 * HISTORY_BYTES
        + total(|s| &s.sessions) * SESSION_BYTES
        + (total(|s| &s.subscriptions) + total(|s| &s.shared_subscriptions)) * SUBSCRIPTION_BYTES;
    Sizes { disk, live: messages + beside, beside, slack }
}
