//! What a client sends.

use crate::answer::push_filters;
use crate::extras::ExtrasRef;
use crate::payload::push_payload_exact;
use crate::request::SlowReader;
use crate::write::{push_json, push_str, push_u64};

/// A message to publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishView<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload, any bytes. They reach the hub exactly as they are.
    pub payload: &'a [u8],
    /// 0 or 1. The hub refuses QoS 1 without an id.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// By which the hub acknowledges it.
    pub id: Option<u64>,
    /// Its properties.
    pub extras: ExtrasRef<'a>,
}

/// A subscription to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeView<'a> {
    /// The topic filters: one goes as a string, any other number as an array.
    pub filters: &'a [&'a str],
    /// The highest QoS wanted, 0 or 1.
    pub qos: u8,
    /// Whether retained messages are wanted at once.
    pub retained: bool,
    /// Whether the client's own messages are to be left out.
    pub no_local: bool,
    /// What happens to messages for which the client is too slow; none: what the hub is set to.
    pub slow_reader: Option<SlowReader>,
    /// What the answer carries as `ack`.
    pub id: Option<u64>,
}

impl Default for SubscribeView<'_> {
    fn default() -> Self {
        SubscribeView { filters: &[], qos: 0, retained: true, no_local: false, slow_reader: None, id: None }
    }
}

/// Appends `{"pub":…,"data":…}`.
///
/// A payload that is UTF-8 goes as a JSON string even where it is JSON itself: the hub publishes a string as its
/// text, so that every byte of it stays as it is.
pub fn encode_publish(view: &PublishView<'_>, out: &mut Vec<u8>) {
    encode_publish_to(b"{\"pub\":", view, out);
    out.push(b'}');
}

/// The same with another operation, and without the end of the object.
pub(crate) fn encode_publish_to(operation: &[u8], view: &PublishView<'_>, out: &mut Vec<u8>) {
    out.reserve(view.topic.len() + view.payload.len() + 64);
    out.extend_from_slice(operation);
    push_str(view.topic, out);
    push_payload_exact(view.payload, out);
    push_rest(view, out);
}

/// The same without the payload.
pub(crate) fn encode_publish_head(view: &PublishView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"pub\":");
    push_str(view.topic, out);
    push_rest(view, out);
}

fn push_rest(view: &PublishView<'_>, out: &mut Vec<u8>) {
    if view.qos > 0 {
        out.extend_from_slice(b",\"qos\":");
        push_u64(view.qos.into(), out);
    }
    if view.retain {
        out.extend_from_slice(b",\"retain\":true");
    }
    push_id(view.id, out);
    view.extras.encode(out);
}

/// Appends `{"sub":…}`.
pub fn encode_subscribe(view: &SubscribeView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sub\":");
    push_filters(view.filters, view.filters.len() != 1, out);
    if view.qos > 0 {
        out.extend_from_slice(b",\"qos\":");
        push_u64(view.qos.into(), out);
    }
    if !view.retained {
        out.extend_from_slice(b",\"retained\":false");
    }
    if view.no_local {
        out.extend_from_slice(b",\"no_local\":true");
    }
    if let Some(policy) = view.slow_reader {
        out.extend_from_slice(b",\"slow_reader\":");
        push_str(policy.name(), out);
    }
    push_id(view.id, out);
    out.push(b'}');
}

/// Appends `{"unsub":…}`.
pub fn encode_unsubscribe(filters: &[&str], id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"unsub\":");
    push_filters(filters, filters.len() != 1, out);
    push_id(id, out);
    out.push(b'}');
}

/// Appends `{"auth":{"user":…,"password":…}}`.
pub fn encode_auth(user: &str, password: &str, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"auth\":{\"user\":");
    push_str(user, out);
    out.extend_from_slice(b",\"password\":");
    push_str(password, out);
    out.push(b'}');
    push_id(id, out);
    out.push(b'}');
}

/// Appends `{"ping":…}`, which the hub answers with the same value as `pong`. `raw` must be valid JSON text.
pub fn encode_ping(raw: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ping\":");
    push_json(raw, out);
    out.push(b'}');
}

pub(crate) fn push_id(id: Option<u64>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        push_u64(id, out);
    }
}
