//! What is written down, one entry for each thing that happened.
//!
//! Sessions and messages go by numbers that no other one ever has. Moments are milliseconds since 1970, since the clock
//! of the hub begins anew with each start.

mod delivery;

use delivery::{decode_group, encode_group};

use super::facts::{FACT, Fact};
use super::history::{self, HistoryEntry};
use super::wire::{Reader, Unreadable, put_bytes, put_number, put_optional, put_optional_text};
use crate::slow_reader::SlowReader;
use crate::subscriptions::SubscriptionOptions;
use std::num::NonZeroU32;
use trefoil_mqtt::{Publish, QoS, Version, decode_publish};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry<'a> {
    /// What holds for the whole journal, said again at each checkpoint.
    Meta {
        seed: u64,
    },
    /// A message that others speak of. `is_restated`: it was there before the checkpoint that says so.
    Message {
        number: u64,
        is_restated: bool,
        body: Body<'a>,
    },
    /// Another shard, one of so many, is still to give the message to those of its sessions that want it.
    Owed {
        message: u64,
        shard: u64,
        shards: u64,
    },
    /// It has.
    Paid {
        message: u64,
        shard: u64,
    },
    /// A member of a shared subscription is still to be found for it.
    OwedShare {
        message: u64,
        name: &'a str,
        filter: &'a str,
    },
    /// One has been, or there is none.
    PaidShare {
        message: u64,
        name: &'a str,
        filter: &'a str,
    },
    /// A client has come: to a new session or to the one that it has.
    Connect {
        session: u64,
        client: Client<'a>,
        will: Option<WillBody<'a>>,
    },
    /// It has gone. The session ends and its will is due at these moments, if ever.
    Away {
        session: u64,
        ends_at: Option<u64>,
        will_at: Option<u64>,
    },
    /// The session has another will, or none.
    Will {
        session: u64,
        will: Option<WillBody<'a>>,
    },
    End {
        session: u64,
    },
    Subscribe {
        session: u64,
        filter: FilterRef<'a>,
        options: SubscriptionOptions,
        is_exclusive: bool,
    },
    Unsubscribe {
        session: u64,
        filter: FilterRef<'a>,
    },
    /// How far the retained messages of a subscription have been looked up: from there on, or from behind there, they are
    /// owed. None: all have been.
    Replay {
        session: u64,
        filter: &'a str,
        at: Option<&'a str>,
        is_behind: bool,
        /// What the subscription asked for when they were: it may have been changed since.
        qos: QoS,
        id: Option<NonZeroU32>,
    },
    /// A delivery waits.
    Push {
        session: u64,
        delivery: Stored<'a>,
    },
    /// A delivery that did not wait has been given a packet id.
    Fly {
        session: u64,
        packet_id: u16,
        delivery: Stored<'a>,
    },
    /// The first delivery of this message that waits has been given a packet id.
    Launch {
        session: u64,
        packet_id: u16,
        message: u64,
    },
    /// The first delivery of this message that waits, and came by this shared subscription or by none, is not to be made
    /// any more.
    Drop {
        session: u64,
        message: u64,
        group: Option<(&'a str, &'a str)>,
    },
    /// The hub ended while the client was connected: what waits at QoS 1 may have been sent to it, and nothing was
    /// written down of that.
    Tried {
        session: u64,
    },
    /// A delivery at QoS 2 of a message that is not kept has been given a packet id: after a crash the client may still have
    /// that in use, and is told to let go of it.
    Exchange {
        session: u64,
        packet_id: u16,
    },
    /// PUBREC has come.
    Received {
        session: u64,
        packet_id: u16,
    },
    /// A delivery is done.
    Land {
        session: u64,
        packet_id: u16,
    },
    /// A message at QoS 2 has come in with this packet id.
    Incoming {
        session: u64,
        packet_id: u16,
    },
    /// PUBREL has come.
    Released {
        session: u64,
        packet_id: u16,
    },
    /// A message is the retained one of its topic. `publisher` stands for a client id.
    Retain {
        version: u64,
        publisher: Option<u64>,
        message: u64,
    },
    /// The topic has none any more.
    Unretain {
        version: u64,
        topic: &'a str,
    },
    /// All retained messages of at most this version follow, up to [`Entry::SweepEnd`].
    SweepBegin {
        version: u64,
    },
    SweepEnd,
    /// A message is to be published at that moment.
    Delay {
        message: u64,
        at: u64,
        publisher: u64,
    },
    /// It has been.
    Published {
        message: u64,
    },
    /// All that the session is follows, up to [`Entry::RestateEnd`], and takes the place of what was said of it before.
    RestateBegin {
        session: u64,
    },
    RestateEnd {
        session: u64,
    },
    /// Something happened to the history of a topic.
    History(HistoryEntry<'a>),
    /// What others have the hub keep for them.
    Fact(Fact<'a>),
    /// When the client of a session that never ends has gone. It stands behind [`Entry::Away`].
    Left {
        session: u64,
        at: u64,
    },
    /// What happens when there is no room for what a session, or one of its subscriptions, is to get. It stands behind
    /// [`Entry::Connect`] or [`Entry::Subscribe`], which without it say that nothing was asked for.
    SlowReader {
        session: u64,
        filter: Option<FilterRef<'a>>,
        policy: SlowReader,
    },
    /// The session is that of a client which speaks JSON, and is taken up from another address with this token. It stands
    /// behind [`Entry::Connect`], which without it speaks of any other client.
    Token {
        session: u64,
        token: [u8; 16],
    },
}

/// A message as it is written down: its properties and its payload as in a PUBLISH packet of MQTT 5.0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body<'a> {
    pub(crate) publish: Publish<'a>,
    pub(crate) expires_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Client<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) expiry_s: u32,
    pub(crate) identity: Option<&'a str>,
    pub(crate) user_name: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WillBody<'a> {
    pub(crate) body: Body<'a>,
    pub(crate) expiry_s: Option<u64>,
    pub(crate) delay_s: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FilterRef<'a> {
    pub(crate) share: Option<&'a str>,
    pub(crate) pattern: &'a str,
}

/// A delivery as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    pub(crate) message: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// It may have been sent before the hub was started.
    pub(crate) was_tried: bool,
    pub(crate) subscription_ids: Ids<'a>,
    /// Name and filter of the shared subscription that it came by.
    pub(crate) group: Option<(&'a str, &'a str)>,
}

/// Subscription identifiers: given by who writes, or still to be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ids<'a> {
    Given(&'a [u32]),
    Read(Vec<u32>),
}

impl Ids<'_> {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Ids::Given(ids) => ids,
            Ids::Read(ids) => ids,
        }
    }
}

/// The kinds of [`Entry::SlowReader`], [`Entry::Left`] and [`Entry::Token`].
const SLOW_READER: u8 = 33;
const LEFT: u8 = 34;
const TOKEN: u8 = 35;

const HAS_GROUP: u8 = 0b1_0000;
const NO_LOCAL: u8 = 0b0100;
const AS_PUBLISHED: u8 = 0b1000;
const EXCLUSIVE: u8 = 0b1_0000;
const BEHIND: u8 = 0b0100;
const HAS_FILTER: u8 = 0b0100;
const SHARED: u8 = 0b10_0000;

impl<'a> Entry<'a> {
    /// Appends the entry.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut numbers = |kind: u8, numbers: &[u64]| {
            out.push(kind);
            numbers.iter().for_each(|&n| put_number(n, out));
        };
        match self {
            Entry::Meta { seed } => numbers(1, &[*seed]),
            Entry::Message { number, is_restated, body } => {
                numbers(if *is_restated { 3 } else { 2 }, &[*number]);
                body.encode(out);
            }
            Entry::Owed { message, shard, shards } => numbers(4, &[*message, *shard, *shards]),
            Entry::Paid { message, shard } => numbers(5, &[*message, *shard]),
            Entry::OwedShare { message, name, filter } | Entry::PaidShare { message, name, filter } => {
                let is_owed = matches!(self, Entry::OwedShare { .. });
                numbers(if is_owed { 6 } else { 7 }, &[*message]);
                put_bytes(name.as_bytes(), out);
                put_bytes(filter.as_bytes(), out);
            }
            Entry::Connect { session, client, will } => {
                numbers(8, &[*session, client.expiry_s.into()]);
                put_bytes(client.client_id.as_bytes(), out);
                put_optional_text(client.identity, out);
                put_optional_text(client.user_name, out);
                encode_will(will.as_ref(), out);
            }
            Entry::Away { session, ends_at, will_at } => {
                numbers(9, &[*session]);
                put_optional(*ends_at, out);
                put_optional(*will_at, out);
            }
            Entry::Will { session, will } => {
                numbers(10, &[*session]);
                encode_will(will.as_ref(), out);
            }
            Entry::End { session } => numbers(11, &[*session]),
            Entry::Subscribe { session, filter, options, is_exclusive } => {
                numbers(12, &[*session]);
                let flags = options.qos as u8
                    | flag(NO_LOCAL, options.no_local)
                    | flag(AS_PUBLISHED, options.retain_as_published)
                    | flag(EXCLUSIVE, *is_exclusive)
                    | flag(SHARED, filter.share.is_some());
                out.push(flags);
                put_number(options.id.map_or(0, |id| id.get().into()), out);
                filter.encode(out);
            }
            Entry::Unsubscribe { session, filter } => {
                numbers(13, &[*session]);
                out.push(flag(SHARED, filter.share.is_some()));
                filter.encode(out);
            }
            Entry::Replay { session, filter, at, is_behind, qos, id } => {
                numbers(14, &[*session, id.map_or(0, |id| id.get().into())]);
                out.push(*qos as u8 | flag(BEHIND, *is_behind));
                put_bytes(filter.as_bytes(), out);
                put_optional_text(*at, out);
            }
            Entry::Push { session, delivery } => {
                numbers(15, &[*session]);
                delivery.encode(out);
            }
            Entry::Fly { session, packet_id, delivery } => {
                numbers(16, &[*session, (*packet_id).into()]);
                delivery.encode(out);
            }
            Entry::Launch { session, packet_id, message } => {
                numbers(17, &[*session, (*packet_id).into(), *message]);
            }
            Entry::Drop { session, message, group } => {
                numbers(18, &[*session, *message]);
                out.push(flag(HAS_GROUP, group.is_some()));
                encode_group(*group, out);
            }
            Entry::Received { session, packet_id } => numbers(19, &[*session, (*packet_id).into()]),
            Entry::Land { session, packet_id } => numbers(20, &[*session, (*packet_id).into()]),
            Entry::Incoming { session, packet_id } => numbers(21, &[*session, (*packet_id).into()]),
            Entry::Released { session, packet_id } => numbers(22, &[*session, (*packet_id).into()]),
            Entry::Retain { version, publisher, message } => {
                numbers(23, &[*version, *message]);
                put_optional(*publisher, out);
            }
            Entry::Unretain { version, topic } => {
                numbers(24, &[*version]);
                put_bytes(topic.as_bytes(), out);
            }
            Entry::SweepBegin { version } => numbers(25, &[*version]),
            Entry::SweepEnd => numbers(26, &[]),
            Entry::Delay { message, at, publisher } => numbers(27, &[*message, *at, *publisher]),
            Entry::Published { message } => numbers(28, &[*message]),
            Entry::RestateBegin { session } => numbers(29, &[*session]),
            Entry::RestateEnd { session } => numbers(30, &[*session]),
            Entry::Tried { session } => numbers(31, &[*session]),
            Entry::History(entry) => {
                numbers(history::KIND, &[]);
                entry.encode(out);
            }
            Entry::Exchange { session, packet_id } => numbers(32, &[*session, (*packet_id).into()]),
            Entry::Fact(fact) => fact.encode(out),
            Entry::Left { session, at } => numbers(LEFT, &[*session, *at]),
            Entry::Token { session, token } => {
                numbers(TOKEN, &[*session]);
                out.extend_from_slice(token);
            }
            Entry::SlowReader { session, filter, policy } => {
                numbers(SLOW_READER, &[*session]);
                let is_shared = filter.is_some_and(|filter| filter.share.is_some());
                out.push(*policy as u8 | flag(HAS_FILTER, filter.is_some()) | flag(SHARED, is_shared));
                if let Some(filter) = filter {
                    filter.encode(out);
                }
            }
        }
    }

    /// Takes the first entry off `record`.
    pub(super) fn decode(record: &mut Reader<'a>) -> Result<Entry<'a>, Unreadable> {
        Ok(match record.byte()? {
            1 => Entry::Meta { seed: record.number()? },
            kind @ (2 | 3) => Entry::Message {
                number: record.number()?,
                is_restated: kind == 3,
                body: Body::decode(record)?,
            },
            4 => {
                let (message, shard) = (record.number()?, record.number()?);
                Entry::Owed { message, shard, shards: record.number()? }
            }
            5 => Entry::Paid { message: record.number()?, shard: record.number()? },
            6 => Entry::OwedShare { message: record.number()?, name: record.text()?, filter: record.text()? },
            7 => Entry::PaidShare { message: record.number()?, name: record.text()?, filter: record.text()? },
            8 => {
                let (session, expiry_s) = (record.number()?, record.small()?);
                let client = Client {
                    client_id: record.text()?,
                    expiry_s,
                    identity: record.optional_text()?,
                    user_name: record.optional_text()?,
                };
                Entry::Connect { session, client, will: decode_will(record)? }
            }
            9 => Entry::Away {
                session: record.number()?,
                ends_at: record.optional()?,
                will_at: record.optional()?,
            },
            10 => Entry::Will { session: record.number()?, will: decode_will(record)? },
            11 => Entry::End { session: record.number()? },
            12 => {
                let (session, flags) = (record.number()?, record.byte()?);
                let options = SubscriptionOptions {
                    qos: qos(flags)?,
                    no_local: flags & NO_LOCAL != 0,
                    retain_as_published: flags & AS_PUBLISHED != 0,
                    id: NonZeroU32::new(record.small()?),
                    ..SubscriptionOptions::default()
                };
                let filter = FilterRef::decode(record, flags & SHARED != 0)?;
                Entry::Subscribe { session, filter, options, is_exclusive: flags & EXCLUSIVE != 0 }
            }
            13 => {
                let (session, flags) = (record.number()?, record.byte()?);
                Entry::Unsubscribe { session, filter: FilterRef::decode(record, flags & SHARED != 0)? }
            }
            14 => {
                let (session, id, flags) = (record.number()?, record.small()?, record.byte()?);
                Entry::Replay {
                    session,
                    filter: record.text()?,
                    at: record.optional_text()?,
                    is_behind: flags & BEHIND != 0,
                    qos: qos(flags)?,
                    id: NonZeroU32::new(id),
                }
            }
            15 => Entry::Push { session: record.number()?, delivery: Stored::decode(record)? },
            16 => Entry::Fly {
                session: record.number()?,
                packet_id: record.small()?,
                delivery: Stored::decode(record)?,
            },
            17 => Entry::Launch {
                session: record.number()?,
                packet_id: record.small()?,
                message: record.number()?,
            },
            18 => {
                let (session, message) = (record.number()?, record.number()?);
                let flags = record.byte()?;
                Entry::Drop { session, message, group: decode_group(record, flags)? }
            }
            19 => Entry::Received { session: record.number()?, packet_id: record.small()? },
            20 => Entry::Land { session: record.number()?, packet_id: record.small()? },
            21 => Entry::Incoming { session: record.number()?, packet_id: record.small()? },
            22 => Entry::Released { session: record.number()?, packet_id: record.small()? },
            23 => {
                let (version, message) = (record.number()?, record.number()?);
                Entry::Retain { version, publisher: record.optional()?, message }
            }
            24 => Entry::Unretain { version: record.number()?, topic: record.text()? },
            25 => Entry::SweepBegin { version: record.number()? },
            26 => Entry::SweepEnd,
            27 => {
                Entry::Delay { message: record.number()?, at: record.number()?, publisher: record.number()? }
            }
            28 => Entry::Published { message: record.number()? },
            29 => Entry::RestateBegin { session: record.number()? },
            30 => Entry::RestateEnd { session: record.number()? },
            31 => Entry::Tried { session: record.number()? },
            history::KIND => Entry::History(HistoryEntry::decode(record)?),
            32 => Entry::Exchange { session: record.number()?, packet_id: record.small()? },
            FACT => Entry::Fact(Fact::decode(record)?),
            LEFT => Entry::Left { session: record.number()?, at: record.number()? },
            TOKEN => Entry::Token { session: record.number()?, token: record.array()? },
            SLOW_READER => {
                let (session, flags) = (record.number()?, record.byte()?);
                let (policy, _) = SlowReader::ALL[usize::from(flags & 0b11)];
                let filter = match flags & HAS_FILTER {
                    0 => None,
                    _ => Some(FilterRef::decode(record, flags & SHARED != 0)?),
                };
                Entry::SlowReader { session, filter, policy }
            }
            _ => return Err(Unreadable("its kind is not known")),
        })
    }
}

impl<'a> Body<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_optional(self.expires_at, out);
        put_number(self.publish.encoded_len(Version::V5) as u64, out);
        self.publish.encode(Version::V5, out);
    }

    fn decode(record: &mut Reader<'a>) -> Result<Body<'a>, Unreadable> {
        let expires_at = record.optional()?;
        let publish = decode_publish(record.bytes()?, Version::V5)
            .map_err(|_| Unreadable("a message is not well-formed"))?;
        Ok(Body { publish, expires_at })
    }
}

fn encode_will(will: Option<&WillBody<'_>>, out: &mut Vec<u8>) {
    out.push(u8::from(will.is_some()));
    if let Some(will) = will {
        put_optional(will.expiry_s, out);
        put_number(will.delay_s.into(), out);
        will.body.encode(out);
    }
}

fn decode_will<'a>(record: &mut Reader<'a>) -> Result<Option<WillBody<'a>>, Unreadable> {
    if record.byte()? == 0 {
        return Ok(None);
    }
    let (expiry_s, delay_s) = (record.optional()?, record.small()?);
    Ok(Some(WillBody { expiry_s, delay_s, body: Body::decode(record)? }))
}

impl<'a> FilterRef<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(share) = self.share {
            put_bytes(share.as_bytes(), out);
        }
        put_bytes(self.pattern.as_bytes(), out);
    }

    fn decode(record: &mut Reader<'a>, is_shared: bool) -> Result<FilterRef<'a>, Unreadable> {
        let share = if is_shared { Some(record.text()?) } else { None };
        Ok(FilterRef { share, pattern: record.text()? })
    }
}

fn flag(bit: u8, is_set: bool) -> u8 {
    if is_set { bit } else { 0 }
}

fn qos(flags: u8) -> Result<QoS, Unreadable> {
    QoS::from_bits(flags & 0b11).ok_or(Unreadable("a QoS is not one"))
}

#[cfg(test)]
mod tests;
