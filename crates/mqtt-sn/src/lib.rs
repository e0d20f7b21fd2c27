//! MQTT-SN 1.2 packets: decode and encode, nothing else.
//!
//! [`decode()`] reads one datagram into a [`Packet`], which borrows its texts and payloads from it and allocates
//! nothing; [`Packet::encode`] appends a packet to a buffer. What a packet means for a session is not known here.
//!
//! - [`TopicId`] is what a message is published to, [`TopicFilter`] what a subscription names: MQTT-SN has registered
//!   and predefined topic ids and [`ShortName`]s of two octets beside full names.
//! - [`QoS`] has the level −1 (a publish without a connection) beside the three of MQTT.
//! - [`Encapsulated`] is what a forwarder sends on for a device; the packet inside is decoded by itself.
//! - [`DecodeError`] says what is wrong with a datagram, [`TooLong`] that a packet does not fit MQTT-SN's lengths.
//!
//! # Example
//!
//! A device publishes to a predefined topic without having connected, and then connects:
//!
//! ```
//! use trefoil_mqtt_sn::{ConnAck, Packet, QoS, ReturnCode, TopicId, decode};
//!
//! let datagram = b"\x0b\x0c\x61\x00\x07\x00\x0021.5";
//! let Packet::Publish(publish) = decode(datagram)? else { panic!("another packet") };
//! assert_eq!((publish.qos, publish.topic), (QoS::MinusOne, TopicId::Predefined(7)));
//! assert_eq!(publish.payload, b"21.5");
//!
//! let Packet::Connect(connect) = decode(b"\x0c\x04\x04\x01\x00\x3csensor")? else { panic!("another packet") };
//! assert_eq!((connect.client_id, connect.keep_alive_s, connect.clean_session), ("sensor", 60, true));
//! let mut out = Vec::new();
//! Packet::ConnAck(ConnAck { return_code: ReturnCode::ACCEPTED }).encode(&mut out)?;
//! assert_eq!(out, b"\x03\x05\x00");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;
mod error;
mod fields;
mod packet;

pub use decode::decode;
pub use error::{DecodeError, TooLong};
pub use fields::{QoS, ReturnCode, ShortName, TopicFilter, TopicId};
pub use packet::{
    Advertise, ConnAck, Connect, Encapsulated, GwInfo, Packet, PubAck, Publish, RegAck, Register, SubAck,
    Subscribe, Unsubscribe, WillTopic,
};

/// The most octets that one packet can have (§5.2.1).
pub const PACKET_BYTES_MAX: usize = 65_535;
