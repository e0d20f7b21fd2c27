//! What the hub answers to a request that it has taken.

use crate::since::{Followed, Place};
use crate::write::{push_json, push_str, push_u64};

/// Appends `{"ack":id}`. The hub says so when it has accepted a publish as its QoS asks; a client says so when it
/// has taken a delivery.
pub fn encode_ack(id: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ack\":");
    push_u64(id, out);
    out.push(b'}');
}

/// Appends `{"sub":…,"qos":…,"ack":id}`, the answer to a subscribe.
///
/// `granted` is the QoS of each filter, in the same order. With `many` (as in
/// [`Request::Subscribe`](crate::Request::Subscribe)) both are arrays, as the request's were. The member `ack` is
/// there when the request had an id.
///
/// # Panics
///
/// When `granted` does not have one QoS for each filter, or when there are several filters without `many`.
pub fn encode_subscribed<S: AsRef<str>>(
    filters: &[S],
    granted: &[u8],
    id: Option<u64>,
    many: bool,
    out: &mut Vec<u8>,
) {
    encode_followed(filters, granted, id, many, Followed::default(), out);
}

/// The same with what is said of the histories of the topics.
///
/// # Panics
///
/// As [`encode_subscribed`].
pub fn encode_followed<S: AsRef<str>>(
    filters: &[S],
    granted: &[u8],
    id: Option<u64>,
    many: bool,
    followed: Followed,
    out: &mut Vec<u8>,
) {
    assert_eq!(filters.len(), granted.len(), "each filter has its QoS");
    out.extend_from_slice(b"{\"sub\":");
    push_filters(filters, many, out);
    out.extend_from_slice(b",\"qos\":");
    push_list(granted, many, out, |qos, out| push_u64(u64::from(*qos), out));
    followed.encode(out);
    push_ack_and_end(id, out);
}

/// Appends `{"gap":{"topic":…,"epoch":…,"offset":…}}`: of a topic that is followed some messages are not there any more. The
/// next one has this place, or a later one; without a place the topic has no history now.
pub fn encode_gap(topic: &str, next: Option<Place>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"gap\":{\"topic\":");
    push_str(topic, out);
    if let Some(next) = next {
        next.encode(out);
    }
    out.extend_from_slice(b"}}");
}

/// Appends `{"unsub":…,"ack":id}`, the answer to an unsubscribe.
///
/// # Panics
///
/// When there are several filters without `many`.
pub fn encode_unsubscribed<S: AsRef<str>>(filters: &[S], id: Option<u64>, many: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"unsub\":");
    push_filters(filters, many, out);
    push_ack_and_end(id, out);
}

/// Appends `{"auth":{"user":…},"ack":id}`: the client is this user from now on.
pub fn encode_authenticated(user: &str, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"auth\":{\"user\":");
    push_str(user, out);
    out.push(b'}');
    push_ack_and_end(id, out);
}

/// Appends `{"pong":…}` with the JSON text that came in [`Request::Ping`](crate::Request::Ping).
pub fn encode_pong(raw: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"pong\":");
    push_json(raw, out);
    out.push(b'}');
}

/// A single filter as a string, several as an array of strings.
pub(crate) fn push_filters<S: AsRef<str>>(filters: &[S], many: bool, out: &mut Vec<u8>) {
    push_list(filters, many, out, |filter, out| push_str(filter.as_ref(), out));
}

fn push_list<T>(items: &[T], many: bool, out: &mut Vec<u8>, push: impl Fn(&T, &mut Vec<u8>)) {
    assert!(many || items.len() == 1, "what is not an array is a single item");
    if many {
        out.push(b'[');
    }
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(item, out);
    }
    if many {
        out.push(b']');
    }
}

pub(crate) fn push_ack_and_end(id: Option<u64>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        out.extend_from_slice(b",\"ack\":");
        push_u64(id, out);
    }
    out.push(b'}');
}
