//! Datagrams that come in (§5.2 to §5.5).

use crate::fields::{flag, text};
use crate::packet::packet_type as t;
use crate::{
    Advertise, ConnAck, Connect, DecodeError, Encapsulated, GwInfo, Packet, PubAck, Publish, QoS, RegAck,
    Register, ReturnCode, ShortName, SubAck, Subscribe, TopicFilter, TopicId, Unsubscribe, WillTopic,
};

/// The protocol id of MQTT-SN 1.2 in CONNECT (§5.3.8).
pub(crate) const PROTOCOL_ID: u8 = 0x01;

/// Reads the one packet in a datagram.
///
/// Flags that a packet does not use are not looked at, as the specification does not say what they must be.
///
/// # Errors
///
/// [`DecodeError`], if the datagram is anything but one whole packet.
pub fn decode(datagram: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (stated, rest) = length(datagram)?;
    let (&packet_type, body) = rest.split_first().ok_or(DecodeError::TooShort)?;
    if packet_type == t::ENCAPSULATED {
        return encapsulated(datagram).map(Packet::Encapsulated);
    }
    if stated != datagram.len() {
        return Err(DecodeError::Length { stated, actual: datagram.len() });
    }
    let mut body = Body { packet_type, rest: body };
    let packet = packet(&mut body)?;
    body.end()?;
    Ok(packet)
}

/// The length, of one octet or three, and what follows it (§5.2.1). The long form may state what fits the short one.
fn length(datagram: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    match datagram {
        [0x01, high, low, rest @ ..] => Ok((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        [] | [0x01, ..] => Err(DecodeError::TooShort),
        [len, rest @ ..] => Ok((usize::from(*len), rest)),
    }
}

/// Here the length is that of the head alone, and always one octet (§5.5).
fn encapsulated(datagram: &[u8]) -> Result<Encapsulated<'_>, DecodeError> {
    let stated = usize::from(datagram[0]);
    match datagram.split_at_checked(stated) {
        Some(([_, t::ENCAPSULATED, control, node_id @ ..], packet)) if !packet.is_empty() => {
            Ok(Encapsulated { radius: control & 0b11, node_id, packet })
        }
        Some(_) => Err(DecodeError::Body(t::ENCAPSULATED)),
        None => Err(DecodeError::Length { stated, actual: datagram.len() }),
    }
}

fn packet<'a>(body: &mut Body<'a>) -> Result<Packet<'a>, DecodeError> {
    Ok(match body.packet_type {
        t::ADVERTISE => Packet::Advertise(Advertise { gateway_id: body.u8()?, interval_s: body.u16()? }),
        t::SEARCHGW => Packet::SearchGw(body.u8()?),
        t::GWINFO => Packet::GwInfo(GwInfo { gateway_id: body.u8()?, address: body.rest() }),
        t::CONNECT => Packet::Connect(connect(body)?),
        t::CONNACK => Packet::ConnAck(ConnAck { return_code: body.return_code()? }),
        t::WILLTOPICREQ => Packet::WillTopicReq,
        t::WILLTOPIC => Packet::WillTopic(will_topic(body)?),
        t::WILLMSGREQ => Packet::WillMsgReq,
        t::WILLMSG => Packet::WillMsg(body.rest()),
        t::REGISTER => Packet::Register(Register {
            topic_id: body.u16()?,
            msg_id: body.u16()?,
            topic: body.topic_name()?,
        }),
        t::REGACK => Packet::RegAck(RegAck {
            topic_id: body.u16()?,
            msg_id: body.u16()?,
            return_code: body.return_code()?,
        }),
        t::PUBLISH => Packet::Publish(publish(body)?),
        t::PUBACK => Packet::PubAck(PubAck {
            topic_id: body.u16()?,
            msg_id: body.u16()?,
            return_code: body.return_code()?,
        }),
        t::PUBCOMP => Packet::PubComp(body.u16()?),
        t::PUBREC => Packet::PubRec(body.u16()?),
        t::PUBREL => Packet::PubRel(body.u16()?),
        t::SUBSCRIBE => {
            let flags = body.u8()?;
            Packet::Subscribe(Subscribe {
                dup: flags & flag::DUP != 0,
                qos: QoS::with_connection(flags)?,
                msg_id: body.u16()?,
                topic: body.topic_filter(flags)?,
            })
        }
        t::SUBACK => Packet::SubAck(SubAck {
            qos: QoS::with_connection(body.u8()?)?,
            topic_id: body.u16()?,
            msg_id: body.u16()?,
            return_code: body.return_code()?,
        }),
        t::UNSUBSCRIBE => {
            let flags = body.u8()?;
            Packet::Unsubscribe(Unsubscribe { msg_id: body.u16()?, topic: body.topic_filter(flags)? })
        }
        t::UNSUBACK => Packet::UnsubAck(body.u16()?),
        t::PINGREQ => Packet::PingReq(Some(text(body.rest())?).filter(|client_id| !client_id.is_empty())),
        t::PINGRESP => Packet::PingResp,
        t::DISCONNECT => Packet::Disconnect(if body.rest.is_empty() { None } else { Some(body.u16()?) }),
        t::WILLTOPICUPD => Packet::WillTopicUpd(will_topic(body)?),
        t::WILLTOPICRESP => Packet::WillTopicResp(body.return_code()?),
        t::WILLMSGUPD => Packet::WillMsgUpd(body.rest()),
        t::WILLMSGRESP => Packet::WillMsgResp(body.return_code()?),
        reserved => return Err(DecodeError::Type(reserved)),
    })
}

fn connect<'a>(body: &mut Body<'a>) -> Result<Connect<'a>, DecodeError> {
    let flags = body.u8()?;
    match body.u8()? {
        PROTOCOL_ID => {}
        other => return Err(DecodeError::ProtocolId(other)),
    }
    Ok(Connect {
        will: flags & flag::WILL != 0,
        clean_session: flags & flag::CLEAN_SESSION != 0,
        keep_alive_s: body.u16()?,
        client_id: text(body.rest())?,
    })
}

/// An empty WILLTOPIC, or one with flags alone, deletes the will (§5.4.7, §6.4).
fn will_topic<'a>(body: &mut Body<'a>) -> Result<Option<WillTopic<'a>>, DecodeError> {
    if body.rest.len() <= 1 {
        body.rest();
        return Ok(None);
    }
    let flags = body.u8()?;
    let (qos, retain) = (QoS::with_connection(flags)?, flags & flag::RETAIN != 0);
    Ok(Some(WillTopic { qos, retain, topic: body.topic_name()? }))
}

fn publish<'a>(body: &mut Body<'a>) -> Result<Publish<'a>, DecodeError> {
    let flags = body.u8()?;
    let qos = QoS::from_flags(flags);
    let topic = TopicId::from_wire(flags, body.octets()?)?;
    if qos == QoS::MinusOne && matches!(topic, TopicId::Registered(_)) {
        return Err(DecodeError::TopicIdType);
    }
    Ok(Publish {
        dup: flags & flag::DUP != 0,
        qos,
        retain: flags & flag::RETAIN != 0,
        topic,
        msg_id: body.u16()?,
        payload: body.rest(),
    })
}

/// What of a packet has yet to be read.
struct Body<'a> {
    packet_type: u8,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn octets<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Body(self.packet_type))?;
        self.rest = rest;
        Ok(*octets)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.octets().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.octets().map(u16::from_be_bytes)
    }

    fn return_code(&mut self) -> Result<ReturnCode, DecodeError> {
        self.u8().map(ReturnCode)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        match text(self.rest())? {
            "" => Err(DecodeError::TopicEmpty),
            topic => Ok(topic),
        }
    }

    fn topic_filter(&mut self, flags: u8) -> Result<TopicFilter<'a>, DecodeError> {
        match flags & flag::TOPIC_ID_TYPE {
            flag::NORMAL => self.topic_name().map(TopicFilter::Name),
            flag::PREDEFINED => self.u16().map(TopicFilter::Predefined),
            flag::SHORT => ShortName::from_octets(self.octets()?).map(TopicFilter::Short),
            _ => Err(DecodeError::TopicIdType),
        }
    }

    /// Nothing may be left over.
    fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Body(self.packet_type)) }
    }
}
