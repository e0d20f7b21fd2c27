//! Where deliveries go: the hub decides who gets what, the outlet puts it into bytes and onto connections.

use crate::group::{Address, Group, Member};
use crate::history::{Place, Placed};
use crate::journal::Debt;
use crate::key::ConnectionKey;
use crate::message::Message;
use crate::presence::{Letter, PresenceAnswer, PresenceNews, PresenceQuestion};
use crate::shard::Turn;
use crate::slow_reader::SlowReader;
use std::sync::Arc;
use trefoil_mqtt::QoS;

/// The way out of a shard's hub.
pub trait Outlet {
    /// Whether a connection can take one more message now. If not, the outlet remembers that, and
    /// [`Shard::resume`](crate::Shard::resume) is called when it can.
    ///
    /// `once_bytes` is how long the payload is of a message that waits here and goes out at QoS 0: such a one must fit as
    /// a whole, since [`deliver`](Self::deliver) would drop it. Above, one message may go beyond the bound.
    fn has_room(&mut self, to: ConnectionKey, once_bytes: Option<usize>) -> bool;

    /// Sends a message to a connection. Above QoS 0, and for what has waited,
    /// [`has_room`](Self::has_room) has been asked before.
    fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, delivery: &Delivery<'_>) -> Delivered;

    /// Sends the PUBREL of a QoS 2 delivery, once the shard's batch `waits_for` is on disk.
    fn release(&mut self, to: ConnectionKey, packet_id: u16, waits_for: u64);

    /// Ends a connection whose client does not keep up, once what is being dealt with is done: its session has asked for
    /// that ([`SlowReader::Disconnect`]).
    fn disconnect(&mut self, to: ConnectionKey) {
        let _ = to;
    }

    /// Tells a connection that follows a topic that some of its messages are not there any more. The next one that it gets
    /// has this place, or a later one; none if the topic has no history now.
    fn tell_gap(&mut self, to: ConnectionKey, topic: &str, next: Option<Place>) {
        let _ = (to, topic, next);
    }

    /// Tells connections something of who is on a topic, which they call `name`. Gives those back that have no room for it;
    /// the outlet remembers that, and [`Shard::resume`](crate::Shard::resume) is called when they have.
    fn tell_presence(
        &mut self,
        to: &[ConnectionKey],
        name: &str,
        news: &PresenceNews<'_>,
    ) -> Vec<ConnectionKey> {
        let _ = (to, name, news);
        Vec::new()
    }

    /// Tells somebody who is on a topic, since it has asked.
    fn answer_presence(&mut self, question: &PresenceQuestion, answer: &PresenceAnswer) {
        let _ = (question, answer);
    }

    /// Takes a message to another shard.
    fn forward(&mut self, shard: usize, parcel: Parcel);
}

/// How one receiver gets a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// It may have been delivered before [MQTT-3.3.1-1] [MQTT-3.3.1-3] [v3 MQTT-3.3.1-3].
    pub dup: bool,
    /// Its packet id; 0 at QoS 0.
    pub packet_id: u16,
    /// Identifiers of the subscriptions that it is delivered for.
    pub subscription_ids: &'a [u32],
    /// It must not go out before this batch of the shard is on disk; 0 for at once. Else a receiver could get it again
    /// under another packet id after a crash, and QoS 2 would not be exactly once.
    pub waits_for: u64,
    /// What the subscription says of it in case that there is no room; at QoS 0 only, since above the hub sees to it.
    pub slow_reader: Option<SlowReader>,
    /// The message's place in the history of its topic, if the receiver follows that: room has been asked for then, at any
    /// QoS.
    pub place: Option<Place>,
}

/// What became of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// It is in the connection's outbox.
    Sent,
    /// It was dropped and counted: the outbox is full, or the receiver takes no packet of that size. Above QoS 0
    /// the hub goes on as if it had been acknowledged [MQTT-3.1.2-25].
    Dropped,
}

/// What one shard sends to another.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A message for all sessions of the shard that want it.
    Message {
        /// The message.
        message: Arc<Message>,
        /// The number by which it is kept; 0 if it is not, or not owed.
        number: u64,
        /// It is written down that the shard is still to deal with it.
        debt: Option<Debt>,
        /// Where it stands in the history of its topic, if that has one.
        placed: Option<Placed>,
    },
    /// A message for one member of a shared subscription.
    Turn(Turn, Member),
    /// A member has lost its connection: this one may take what waits for it.
    Fetch(Address),
    /// Somebody of the group may take what waits for this member, which has no connection.
    Redistribute {
        /// The group.
        group: Arc<Group>,
        /// The member.
        from: Address,
        /// How many of its messages.
        messages_max: usize,
    },
    /// Something of who is on a topic.
    Presence(Box<Letter>),
}

impl Parcel {
    /// The message that it carries, if it does.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Parcel::Message { message, .. } | Parcel::Turn(Turn { message, .. }, _) => Some(message),
            Parcel::Fetch(_) | Parcel::Redistribute { .. } | Parcel::Presence(_) => None,
        }
    }
}
