//! What travels with a message beside its topic and payload: the message properties of MQTT 5.0 under JSON names.

use std::borrow::Cow;

use crate::write::{push_base64, push_str, push_u64};

/// The properties of a message that came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras<'a> {
    /// `content_type`: what the payload is, usually a media type.
    pub content_type: Option<Cow<'a, str>>,
    /// `response_topic`: where an answer is expected.
    pub response_topic: Option<Cow<'a, str>>,
    /// `correlation_base64`: the bytes by which the asker will know the answer.
    pub correlation: Option<Cow<'a, [u8]>>,
    /// `expiry`: for how many seconds the message is worth delivering.
    pub expiry_s: Option<u32>,
    /// `user_properties`: names and values in their order; a name may stand more than once.
    pub user_properties: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Extras<'_> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Extras::default()
    }
}

/// The properties of a message that goes out, borrowed from wherever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtrasRef<'a> {
    /// `content_type`: what the payload is, usually a media type.
    pub content_type: Option<&'a str>,
    /// `response_topic`: where an answer is expected.
    pub response_topic: Option<&'a str>,
    /// `correlation_base64`: the bytes by which the asker will know the answer.
    pub correlation: Option<&'a [u8]>,
    /// `expiry`: for how many more seconds the message is worth delivering.
    pub expiry_s: Option<u32>,
    /// `user_properties`: names and values in their order; a name may stand more than once.
    pub user_properties: &'a [(&'a str, &'a str)],
}

impl ExtrasRef<'_> {
    /// Appends a member, with a comma before it, for each property that is there.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(content_type) = self.content_type {
            out.extend_from_slice(b",\"content_type\":");
            push_str(content_type, out);
        }
        if let Some(response_topic) = self.response_topic {
            out.extend_from_slice(b",\"response_topic\":");
            push_str(response_topic, out);
        }
        if let Some(correlation) = self.correlation {
            out.extend_from_slice(b",\"correlation_base64\":");
            push_base64(correlation, out);
        }
        if let Some(expiry_s) = self.expiry_s {
            out.extend_from_slice(b",\"expiry\":");
            push_u64(expiry_s.into(), out);
        }
        for (index, (name, value)) in self.user_properties.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"user_properties\":[[" } else { b",[" });
            push_str(name, out);
            out.push(b',');
            push_str(value, out);
            out.push(b']');
        }
        if !self.user_properties.is_empty() {
            out.push(b']');
        }
    }
}
