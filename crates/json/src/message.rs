//! A message on its way to a subscriber.

use crate::extras::ExtrasRef;
use crate::payload::push_payload;
use crate::since::Place;
use crate::write::{push_str, push_u64};

/// What all receivers of a message share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// The topic that it was published to.
    pub topic: &'a str,
    /// The payload, any bytes.
    pub payload: &'a [u8],
    /// Whether it is sent because it was retained.
    pub retain: bool,
    /// Its properties.
    pub extras: ExtrasRef<'a>,
    /// Where it stands in the history of its topic, if the receiver follows that.
    pub place: Option<Place>,
}

/// What belongs to one delivery: at QoS 1 the receiver answers with `{"ack":id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The QoS of this delivery. The protocol has 0 and 1, and a delivery at QoS 0 needs no `Delivery` at all.
    pub qos: u8,
    /// By which the receiver acknowledges.
    pub id: u64,
    /// Whether this is sent again, since no acknowledgement came.
    pub dup: bool,
}

impl Delivery {
    /// Appends `,"qos":1,"id":9}`, with `"dup":true` on a resend.
    ///
    /// This makes a message that was encoded once without a delivery into the text for one receiver: copy all of it
    /// but the closing brace, then append this.
    ///
    /// ```
    /// use trefoil_json::{Delivery, MessageView, encode_message};
    ///
    /// let view = MessageView { topic: "t", payload: b"1", ..MessageView::default() };
    /// let delivery = Delivery { qos: 1, id: 9, dup: false };
    /// let mut shared = Vec::new();
    /// encode_message(&view, None, &mut shared);
    ///
    /// let mut for_one = shared[..shared.len() - 1].to_vec();
    /// delivery.encode_tail(&mut for_one);
    ///
    /// let mut at_once = Vec::new();
    /// encode_message(&view, Some(delivery), &mut at_once);
    /// assert_eq!(for_one, at_once);
    /// ```
    pub fn encode_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"qos\":");
        push_u64(self.qos.into(), out);
        out.extend_from_slice(b",\"id\":");
        push_u64(self.id, out);
        if self.dup {
            out.extend_from_slice(b",\"dup\":true");
        }
        out.push(b'}');
    }
}

/// Appends `{"topic":…,"data":…}`, or `{"topic":…,"data_base64":…}` for a payload that is not UTF-8, with the
/// members that the message and the delivery give.
///
/// A payload that is JSON, other than a JSON string, is written as it is, save that line breaks become spaces and
/// the white space around it is left out. Any other UTF-8 becomes a JSON string, and so do two kinds of JSON that
/// strict readers refuse: what is nested deeper than [`Limits::default`](crate::Limits), and what has half of a
/// surrogate pair in a string.
pub fn encode_message(view: &MessageView<'_>, delivery: Option<Delivery>, out: &mut Vec<u8>) {
    // Room for the names as well, so that a small message costs at most one growth.
    out.reserve(view.topic.len() + view.payload.len() + 64);
    encode(view, true, out);
    match delivery {
        Some(delivery) => delivery.encode_tail(out),
        None => out.push(b'}'),
    }
}

/// The same without the payload, and without the end of the object.
pub(crate) fn encode_head(view: &MessageView<'_>, out: &mut Vec<u8>) {
    encode(view, false, out);
}

#[inline]
fn encode(view: &MessageView<'_>, with_payload: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    push_str(view.topic, out);
    if with_payload {
        push_payload(view.payload, out);
    }
    if view.retain {
        out.extend_from_slice(b",\"retain\":true");
    }
    view.extras.encode(out);
    if let Some(place) = view.place {
        place.encode(out);
    }
}
