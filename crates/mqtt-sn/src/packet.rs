//! The packets (§5.4). Sections are those of the specification of MQTT-SN 1.2.

use crate::{QoS, ReturnCode, TopicFilter, TopicId};

/// Any packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A gateway is here (§5.4.1).
    Advertise(Advertise),
    /// A client looks for a gateway; the field is the broadcast radius in hops, 0 for all nodes (§5.4.2).
    SearchGw(u8),
    /// Where a gateway is (§5.4.3).
    GwInfo(GwInfo<'a>),
    /// A client wants a session (§5.4.4).
    Connect(Connect<'a>),
    /// The answer to it (§5.4.5).
    ConnAck(ConnAck),
    /// The gateway asks for the will topic (§5.4.6).
    WillTopicReq,
    /// The will topic; `None`: there is to be no will (§5.4.7).
    WillTopic(Option<WillTopic<'a>>),
    /// The gateway asks for the will's payload (§5.4.8).
    WillMsgReq,
    /// The will's payload (§5.4.9).
    WillMsg(&'a [u8]),
    /// A topic name is to have an id (§5.4.10).
    Register(Register<'a>),
    /// The answer to it (§5.4.11).
    RegAck(RegAck),
    /// A message (§5.4.12).
    Publish(Publish<'a>),
    /// Answers a message of QoS 1, or refuses one of any QoS (§5.4.13).
    PubAck(PubAck),
    /// QoS 2, third answer, with its message id (§5.4.14).
    PubComp(u16),
    /// QoS 2, first answer, with its message id (§5.4.14).
    PubRec(u16),
    /// QoS 2, second step, with its message id (§5.4.14).
    PubRel(u16),
    /// A client subscribes (§5.4.15).
    Subscribe(Subscribe<'a>),
    /// The answer to it (§5.4.16).
    SubAck(SubAck),
    /// A client unsubscribes (§5.4.17).
    Unsubscribe(Unsubscribe<'a>),
    /// The answer to it, with its message id (§5.4.18).
    UnsubAck(u16),
    /// A sign of life. With a client id: that client, asleep, is awake to take what waits for it (§5.4.19).
    PingReq(Option<&'a str>),
    /// The answer to it; ends the delivery to a client that sleeps (§5.4.20).
    PingResp,
    /// An end. With a duration in seconds: the client goes to sleep for so long (§5.4.21).
    Disconnect(Option<u16>),
    /// Another will topic; `None`: the will is to be deleted (§5.4.22).
    WillTopicUpd(Option<WillTopic<'a>>),
    /// The answer to it (§5.4.24).
    WillTopicResp(ReturnCode),
    /// Another payload for the will (§5.4.23).
    WillMsgUpd(&'a [u8]),
    /// The answer to it (§5.4.25).
    WillMsgResp(ReturnCode),
    /// A packet that a forwarder sends on (§5.5).
    Encapsulated(Encapsulated<'a>),
}

/// A gateway is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Which gateway.
    pub gateway_id: u8,
    /// Seconds until it says so again.
    pub interval_s: u16,
}

/// Where a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GwInfo<'a> {
    /// Which gateway.
    pub gateway_id: u8,
    /// Its address when another client answers for it; empty when it answers itself.
    pub address: &'a [u8],
}

/// A client wants a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The client has a will, which the gateway is to ask for.
    pub will: bool,
    /// What was kept for the client is to be forgotten, its will included.
    pub clean_session: bool,
    /// Seconds of silence after which the gateway may take the client for lost.
    pub keep_alive_s: u16,
    /// The specification has 1 to 23 characters. As any text that fits a packet is decoded, also an empty one, it is
    /// for the gateway to say how long an id may be.
    pub client_id: &'a str,
}

/// The answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// How it went.
    pub return_code: ReturnCode,
}

/// The topic of a will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillTopic<'a> {
    /// Never [`QoS::MinusOne`].
    pub qos: QoS,
    /// Whether the will is to be retained.
    pub retain: bool,
    /// Never empty.
    pub topic: &'a str,
}

/// A topic name is to have an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// The id when the gateway registers; 0 when a client does, which wants to be given one.
    pub topic_id: u16,
    /// Repeated in the answer.
    pub msg_id: u16,
    /// Never empty.
    pub topic: &'a str,
}

/// The answer to REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegAck {
    /// The id for the topic.
    pub topic_id: u16,
    /// That of the REGISTER.
    pub msg_id: u16,
    /// How it went.
    pub return_code: ReturnCode,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It is sent again.
    pub dup: bool,
    /// With [`QoS::MinusOne`] the topic is never [`TopicId::Registered`] (§6.8).
    pub qos: QoS,
    /// To be retained, or sent since it was.
    pub retain: bool,
    /// Where to.
    pub topic: TopicId,
    /// 0 and without meaning at QoS 0 and −1.
    pub msg_id: u16,
    /// What it says.
    pub payload: &'a [u8],
}

/// Answers a message of QoS 1, or refuses one of any QoS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck {
    /// The topic of the PUBLISH as it stood there ([`TopicId::as_u16`]).
    pub topic_id: u16,
    /// That of the PUBLISH.
    pub msg_id: u16,
    /// How it went.
    pub return_code: ReturnCode,
}

/// A client subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// It is sent again.
    pub dup: bool,
    /// The most that the client wants; never [`QoS::MinusOne`].
    pub qos: QoS,
    /// Repeated in the answer.
    pub msg_id: u16,
    /// What it subscribes to.
    pub topic: TopicFilter<'a>,
}

/// The answer to SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// What the gateway grants; never [`QoS::MinusOne`].
    pub qos: QoS,
    /// The id under which messages will come; 0 if the topic has wildcards or a short name.
    pub topic_id: u16,
    /// That of the SUBSCRIBE.
    pub msg_id: u16,
    /// How it went.
    pub return_code: ReturnCode,
}

/// A client unsubscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Repeated in the answer.
    pub msg_id: u16,
    /// What it no longer subscribes to.
    pub topic: TopicFilter<'a>,
}

/// A packet that a forwarder sends on between a device and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulated<'a> {
    /// The broadcast radius in hops, 0 to 3; from the gateway to the forwarder only.
    pub radius: u8,
    /// Which device, in the forwarder's own words; at most 252 octets.
    pub node_id: &'a [u8],
    /// The device's packet, still encoded; never empty.
    pub packet: &'a [u8],
}

/// The packet types (§5.2.2).
pub(crate) mod packet_type {
    pub(crate) const ADVERTISE: u8 = 0x00;
    pub(crate) const SEARCHGW: u8 = 0x01;
    pub(crate) const GWINFO: u8 = 0x02;
    pub(crate) const CONNECT: u8 = 0x04;
    pub(crate) const CONNACK: u8 = 0x05;
    pub(crate) const WILLTOPICREQ: u8 = 0x06;
    pub(crate) const WILLTOPIC: u8 = 0x07;
    pub(crate) const WILLMSGREQ: u8 = 0x08;
    pub(crate) const WILLMSG: u8 = 0x09;
    pub(crate) const REGISTER: u8 = 0x0a;
    pub(crate) const REGACK: u8 = 0x0b;
    pub(crate) const PUBLISH: u8 = 0x0c;
    pub(crate) const PUBACK: u8 = 0x0d;
    pub(crate) const PUBCOMP: u8 = 0x0e;
    pub(crate) const PUBREC: u8 = 0x0f;
    pub(crate) const PUBREL: u8 = 0x10;
    pub(crate) const SUBSCRIBE: u8 = 0x12;
    pub(crate) const SUBACK: u8 = 0x13;
    pub(crate) const UNSUBSCRIBE: u8 = 0x14;
    pub(crate) const UNSUBACK: u8 = 0x15;
    pub(crate) const PINGREQ: u8 = 0x16;
    pub(crate) const PINGRESP: u8 = 0x17;
    pub(crate) const DISCONNECT: u8 = 0x18;
    pub(crate) const WILLTOPICUPD: u8 = 0x1a;
    pub(crate) const WILLTOPICRESP: u8 = 0x1b;
    pub(crate) const WILLMSGUPD: u8 = 0x1c;
    pub(crate) const WILLMSGRESP: u8 = 0x1d;
    pub(crate) const ENCAPSULATED: u8 = 0xfe;
}
