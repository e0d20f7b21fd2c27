//! What entries hold, as the hub has it.

use super::entry::{Body, WillBody};
use super::image::Owed;
use super::wire::Unreadable;
use crate::message::{Message, Properties};
use crate::payload::Payload;
use crate::session::Will;
use crate::time::Time;
use crate::topic::Topic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The highest number that is taken for one that has been counted up to.
const COUNTED_MAX: u64 = u64::MAX / 2;

/// Numbers are counted on from the highest one, so there has to be room above it.
pub(super) fn countable(number: u64) -> Result<u64, Unreadable> {
    if number <= COUNTED_MAX { Ok(number) } else { Err(Unreadable("a number is too large")) }
}

/// What was due before the hub was started is due at once.
pub(super) fn moment(at: u64, start_ms: u64) -> Time {
    Time::from_ms(at.saturating_sub(start_ms))
}

pub(super) fn message(body: &Body<'_>, start_ms: u64) -> Result<Message, Unreadable> {
    let publish = &body.publish;
    // How many levels a topic may have may have been changed since.
    let topic = Topic::new(publish.topic, usize::MAX).map_err(|_| Unreadable("a topic is not valid"))?;
    Ok(Message {
        topic,
        payload: Payload::copy_from_slice(publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        expires_at: body.expires_at.map(|at| moment(at, start_ms)),
        properties: Properties::copy(&publish.properties),
    })
}

pub(super) fn will_of(will: &WillBody<'_>, start_ms: u64) -> Result<Will, Unreadable> {
    let expiry_s = will.expiry_s.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    Ok(Will { message: message(&will.body, start_ms)?, expiry_s, delay_s: will.delay_s })
}

/// The one debt of a message that a shard pays.
pub(super) trait RetainOne {
    fn retain_one(&mut self, message: u64, is_paid: impl Fn(&Owed) -> bool);
}

impl RetainOne for BTreeMap<(u64, Owed), Arc<Message>> {
    fn retain_one(&mut self, message: u64, is_paid: impl Fn(&Owed) -> bool) {
        let first = (message, Owed::Shard { shard: 0, of: 0 });
        let debts = self.range(first..).take_while(|((number, _), _)| *number == message);
        let paid = debts.map(|(key, _)| key).find(|(_, owed)| is_paid(owed)).cloned();
        if let Some(paid) = paid {
            self.remove(&paid);
        }
    }
}
