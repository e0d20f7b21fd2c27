//! MQTT 3.1, 3.1.1 and 5.0 packets: decode and encode, nothing else.
//!
//! This crate reads no socket and no clock. A receiver gives its bytes to [`frame()`], which says where the packet ends
//! (and refuses one that is too long, before anybody makes room for it); then [`decode`] turns exactly those bytes into
//! a [`Packet`] that borrows from them: no byte of a topic, payload or property is copied and nothing is allocated.
//! A sender fills in the same structs and calls `encode`, which appends to a `Vec<u8>`. Client and server use both ways.
//!
//! The main types:
//!
//! - [`Packet`] has one variant per packet type, each with a struct of its own: [`Connect`], [`Publish`], [`Ack`], …
//! - [`Version`] is passed to both ways, since the same packet looks different in each version. What a version has no
//!   place for (properties before 5.0, for instance) is left out when a packet is encoded.
//! - Lists on the wire ([`UserProperties`], [`SubscriptionIds`], [`Filters`], [`Reasons`]) stay where they are and are
//!   walked by `iter()`; a sender makes them from slices.
//! - [`DecodeError`] says which rule a packet broke and which [`ReasonCode`] the peer is to be told.
//!
//! What needs to know who is speaking or what was said before (a second CONNECT, a subscription identifier sent by a
//! client, a topic alias above the agreed maximum, the syntax of topic filters) is not decided here.
//!
//! ```
//! use trefoil_mqtt::{Packet, Publish, QoS, Version, decode, frame};
//!
//! let mut wire = Vec::new();
//! let publish = Publish { topic: "greenhouse/3/humidity", payload: b"61 %", qos: QoS::AtLeastOnce, packet_id: 7, ..Publish::default() };
//! publish.encode(Version::V5, &mut wire);
//!
//! // The receiver has the first two bytes only: enough to know how long the packet is.
//! let found = frame(&wire[..2], 64 * 1024)?.expect("a two-byte header is complete");
//! assert_eq!(found.len, wire.len());
//!
//! let Packet::Publish(received) = decode(&wire, Version::V5)? else { panic!("not a PUBLISH") };
//! assert_eq!(received, publish);
//! # Ok::<(), trefoil_mqtt::DecodeError>(())
//! ```

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod error;
mod frame;
mod message;
mod packet;
mod property;
mod publish;
mod reason;
mod suback;
mod subscribe;
mod subscription_ids;
mod unsubscribe;
mod user_properties;
mod version;
mod wire;

pub use ack::{Ack, ReasonProperties};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, connect_version};
pub use disconnect::Disconnect;
pub use error::DecodeError;
pub use frame::{Frame, PACKET_BYTES_MAX, frame};
pub use message::MessageProperties;
pub use packet::{Packet, PacketType, decode};
pub use property::PropertyId;
pub use publish::{Encoded, Publish, decode_publish};
pub use reason::ReasonCode;
pub use suback::{Reasons, SubAck, UnsubAck};
pub use subscribe::{Filters, RetainHandling, Subscribe, SubscribeFilter};
pub use subscription_ids::SubscriptionIds;
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters};
pub use user_properties::{UserProperties, UserPropertiesBuf};
pub use version::{QoS, Version};
pub use wire::{FIELD_BYTES_MAX, validate_text, validate_topic_filter, validate_topic_name};
