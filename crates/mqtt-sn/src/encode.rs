//! Packets to be sent (§5.2 to §5.5).

use crate::decode::PROTOCOL_ID;
use crate::fields::flag;
use crate::packet::packet_type as t;
use crate::{Connect, Encapsulated, PACKET_BYTES_MAX, Packet, Publish, TooLong, TopicFilter, WillTopic};

impl Packet<'_> {
    /// Appends the packet, with a length of one octet if that is enough and of three if not.
    ///
    /// # Errors
    ///
    /// [`TooLong`], with `out` as it was, if the packet would have more than 65535 octets.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if let Packet::Encapsulated(encapsulated) = self {
            return encapsulated.encode(out);
        }
        let start = out.len();
        out.push(0);
        self.encode_type_and_body(out);
        match out.len() - start {
            len @ ..=0xff => out[start] = len as u8,
            len if len + 2 <= PACKET_BYTES_MAX => {
                let [high, low] = ((len + 2) as u16).to_be_bytes();
                out.splice(start..=start, [0x01, high, low]);
            }
            _ => {
                out.truncate(start);
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn encode_type_and_body(&self, out: &mut Vec<u8>) {
        match self {
            Packet::Advertise(advertise) => {
                out.extend([t::ADVERTISE, advertise.gateway_id]);
                out.extend(advertise.interval_s.to_be_bytes());
            }
            Packet::SearchGw(radius) => out.extend([t::SEARCHGW, *radius]),
            Packet::GwInfo(info) => {
                out.extend([t::GWINFO, info.gateway_id]);
                out.extend_from_slice(info.address);
            }
            Packet::Connect(connect) => connect.encode(out),
            Packet::ConnAck(ack) => out.extend([t::CONNACK, ack.return_code.0]),
            Packet::WillTopicReq => out.push(t::WILLTOPICREQ),
            Packet::WillTopic(will) => encode_will(t::WILLTOPIC, will, out),
            Packet::WillMsgReq => out.push(t::WILLMSGREQ),
            Packet::WillMsg(payload) => {
                out.push(t::WILLMSG);
                out.extend_from_slice(payload);
            }
            Packet::Register(register) => {
                encode_ids(t::REGISTER, [register.topic_id, register.msg_id], out);
                out.extend_from_slice(register.topic.as_bytes());
            }
            Packet::RegAck(ack) => {
                encode_ids(t::REGACK, [ack.topic_id, ack.msg_id], out);
                out.push(ack.return_code.0);
            }
            Packet::Publish(publish) => publish.encode(out),
            Packet::PubAck(ack) => {
                encode_ids(t::PUBACK, [ack.topic_id, ack.msg_id], out);
                out.push(ack.return_code.0);
            }
            Packet::PubComp(msg_id) => encode_ids(t::PUBCOMP, [*msg_id], out),
            Packet::PubRec(msg_id) => encode_ids(t::PUBREC, [*msg_id], out),
            Packet::PubRel(msg_id) => encode_ids(t::PUBREL, [*msg_id], out),
            Packet::Subscribe(subscribe) => {
                let dup = if subscribe.dup { flag::DUP } else { 0 };
                out.extend([t::SUBSCRIBE, dup | subscribe.qos.to_flags() | subscribe.topic.to_flags()]);
                encode_filter(subscribe.msg_id, subscribe.topic, out);
            }
            Packet::SubAck(ack) => {
                out.extend([t::SUBACK, ack.qos.to_flags()]);
                out.extend(ack.topic_id.to_be_bytes());
                out.extend(ack.msg_id.to_be_bytes());
                out.push(ack.return_code.0);
            }
            Packet::Unsubscribe(unsubscribe) => {
                out.extend([t::UNSUBSCRIBE, unsubscribe.topic.to_flags()]);
                encode_filter(unsubscribe.msg_id, unsubscribe.topic, out);
            }
            Packet::UnsubAck(msg_id) => encode_ids(t::UNSUBACK, [*msg_id], out),
            Packet::PingReq(client_id) => {
                out.push(t::PINGREQ);
                out.extend_from_slice(client_id.unwrap_or_default().as_bytes());
            }
            Packet::PingResp => out.push(t::PINGRESP),
            Packet::Disconnect(None) => out.push(t::DISCONNECT),
            Packet::Disconnect(Some(duration_s)) => encode_ids(t::DISCONNECT, [*duration_s], out),
            Packet::WillTopicUpd(will) => encode_will(t::WILLTOPICUPD, will, out),
            Packet::WillTopicResp(return_code) => out.extend([t::WILLTOPICRESP, return_code.0]),
            Packet::WillMsgUpd(payload) => {
                out.push(t::WILLMSGUPD);
                out.extend_from_slice(payload);
            }
            Packet::WillMsgResp(return_code) => out.extend([t::WILLMSGRESP, return_code.0]),
            Packet::Encapsulated(_) => {
                unreachable!("it has a length of another kind and is encoded by itself")
            }
        }
    }
}

impl Connect<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let will = if self.will { flag::WILL } else { 0 };
        let clean_session = if self.clean_session { flag::CLEAN_SESSION } else { 0 };
        out.extend([t::CONNECT, will | clean_session, PROTOCOL_ID]);
        out.extend(self.keep_alive_s.to_be_bytes());
        out.extend_from_slice(self.client_id.as_bytes());
    }
}

impl Publish<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let dup = if self.dup { flag::DUP } else { 0 };
        let retain = if self.retain { flag::RETAIN } else { 0 };
        out.extend([t::PUBLISH, dup | self.qos.to_flags() | retain | self.topic.to_flags()]);
        out.extend(self.topic.as_u16().to_be_bytes());
        out.extend(self.msg_id.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

impl Encapsulated<'_> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let len = u8::try_from(3 + self.node_id.len()).map_err(|_| TooLong)?;
        out.extend([len, t::ENCAPSULATED, self.radius & 0b11]);
        out.extend_from_slice(self.node_id);
        out.extend_from_slice(self.packet);
        Ok(())
    }
}

/// A packet that begins with ids (or another number of two octets).
fn encode_ids<const N: usize>(packet_type: u8, ids: [u16; N], out: &mut Vec<u8>) {
    out.push(packet_type);
    out.extend(ids.into_iter().flat_map(u16::to_be_bytes));
}

fn encode_will(packet_type: u8, will: &Option<WillTopic<'_>>, out: &mut Vec<u8>) {
    out.push(packet_type);
    if let Some(will) = will {
        let retain = if will.retain { flag::RETAIN } else { 0 };
        out.push(will.qos.to_flags() | retain);
        out.extend_from_slice(will.topic.as_bytes());
    }
}

fn encode_filter(msg_id: u16, topic: TopicFilter<'_>, out: &mut Vec<u8>) {
    out.extend(msg_id.to_be_bytes());
    match topic {
        TopicFilter::Name(name) => out.extend_from_slice(name.as_bytes()),
        TopicFilter::Predefined(id) => out.extend(id.to_be_bytes()),
        TopicFilter::Short(name) => out.extend(name.octets()),
    }
}
