//! Packets by hand: as much of MQTT 3.1.1 and 5.0 as a client needs, without a line of the codec under test.

/// The protocol level that CONNECT names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.0.
    V5,
}

/// The four answers to a PUBLISH; the number is the upper half of the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
}

/// A packet from the hub.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // As the specification names them.
pub enum Packet {
    ConnAck { session_present: bool, code: u8, receive_max: u16 },
    Publish(Publish),
    Ack { kind: Kind, packet_id: u16, code: u8 },
    SubAck { packet_id: u16, codes: Vec<u8> },
    UnsubAck { packet_id: u16 },
    PingResp,
    Disconnect { code: u8 },
}

/// A PUBLISH in either direction.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    pub packet_id: u16,
    pub expiry_s: Option<u32>,
    pub payload: Vec<u8>,
}

/// What a client says first.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Connect<'a> {
    pub version: Version,
    pub client_id: &'a str,
    pub clean: bool,
    pub expiry_s: u32,
    pub receive_max: u16,
    pub will: Option<&'a Will>,
}

/// What the hub is to publish when the client is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    /// MQTT 5.0 only.
    pub delay_s: u32,
}

impl Connect<'_> {
    /// Appends the packet.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut body = b"\0\x04MQTT".to_vec();
        let will = self.will.map_or(0, |will| 0x04 | will.qos << 3);
        let level = if self.version == Version::V5 { 5 } else { 4 };
        body.extend([level, will | if self.clean { 0x02 } else { 0 }, 0, 0]);
        if self.version == Version::V5 {
            body.extend([8, 0x11]);
            body.extend(self.expiry_s.to_be_bytes());
            body.push(0x21);
            body.extend(self.receive_max.to_be_bytes());
        }
        put_string(self.client_id.as_bytes(), &mut body);
        if let Some(will) = self.will {
            if self.version == Version::V5 {
                body.extend([5, 0x18]);
                body.extend(will.delay_s.to_be_bytes());
            }
            put_string(will.topic.as_bytes(), &mut body);
            put_string(&will.payload, &mut body);
        }
        put_packet(0x10, &body, out);
    }
}

impl Publish {
    /// Appends the packet.
    pub fn put(&self, version: Version, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_string(self.topic.as_bytes(), &mut body);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        if version == Version::V5 {
            match self.expiry_s {
                None => body.push(0),
                Some(seconds) => {
                    body.extend([5, 0x02]);
                    body.extend(seconds.to_be_bytes());
                }
            }
        }
        body.extend(&self.payload);
        put_packet(0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain), &body, out);
    }
}

/// Appends an answer to a PUBLISH; a reason other than success only MQTT 5.0 can say.
pub fn put_ack(kind: Kind, packet_id: u16, out: &mut Vec<u8>) {
    let flags = if kind == Kind::PubRel { 2 } else { 0 };
    put_packet((kind as u8) << 4 | flags, &packet_id.to_be_bytes(), out);
}

/// Appends a SUBSCRIBE. `options` is the byte behind the filter.
pub fn put_subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)], out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    for (filter, options) in filters {
        put_string(filter.as_bytes(), &mut body);
        body.push(*options);
    }
    put_packet(0x82, &body, out);
}

/// Appends an UNSUBSCRIBE.
pub fn put_unsubscribe(version: Version, packet_id: u16, filter: &str, out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    put_string(filter.as_bytes(), &mut body);
    put_packet(0xa2, &body, out);
}

/// Appends a DISCONNECT; `with_will` only in MQTT 5.0.
pub fn put_disconnect(with_will: bool, out: &mut Vec<u8>) {
    put_packet(0xe0, if with_will { &[4] } else { &[] }, out);
}

/// Appends a PINGREQ.
pub fn put_ping(out: &mut Vec<u8>) {
    out.extend([0xc0, 0]);
}

fn put_packet(first_byte: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first_byte);
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(body);
}

fn put_string(text: &[u8], out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

/// Takes the first packet out of `input`, if it is all there.
///
/// # Errors
/// When no hub may send what stands there.
pub fn take(input: &mut Vec<u8>, version: Version) -> Result<Option<Packet>, String> {
    let (mut length, mut head) = (0usize, 1);
    loop {
        let Some(&byte) = input.get(head) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if head > 4 {
            return Err("a remaining length of more than four bytes".into());
        }
    }
    if input.len() < head + length {
        return Ok(None);
    }
    let packet: Vec<u8> = input.drain(..head + length).collect();
    let mut fields = Fields { rest: &packet[head..], version };
    let found = fields.packet(packet[0]).ok_or_else(|| format!("cannot be read: {packet:02x?}"))?;
    if fields.rest.is_empty() { Ok(Some(found)) } else { Err(format!("bytes left over: {packet:02x?}")) }
}

struct Fields<'a> {
    rest: &'a [u8],
    version: Version,
}

impl Fields<'_> {
    fn packet(&mut self, first_byte: u8) -> Option<Packet> {
        Some(match first_byte {
            0x20 => {
                let (flags, code) = (self.byte()?, self.byte()?);
                let mut receive_max = u16::MAX;
                self.properties(|id, value| {
                    if id == 0x21 {
                        receive_max = value as u16;
                    }
                })?;
                if flags > 1 || flags == 1 && code > 0 {
                    return None;
                }
                Packet::ConnAck { session_present: flags == 1, code, receive_max }
            }
            0x30..=0x3f => self.publish(first_byte)?,
            0x40 => self.ack(Kind::PubAck)?,
            0x50 => self.ack(Kind::PubRec)?,
            0x62 => self.ack(Kind::PubRel)?,
            0x70 => self.ack(Kind::PubComp)?,
            0x90 => {
                let packet_id = self.word()?;
                self.properties(|_, _| ())?;
                Packet::SubAck { packet_id, codes: std::mem::take(&mut self.rest).to_vec() }
            }
            0xb0 => {
                let packet_id = self.word()?;
                self.properties(|_, _| ())?;
                self.rest = &[];
                Packet::UnsubAck { packet_id }
            }
            0xd0 => Packet::PingResp,
            0xe0 if self.version == Version::V5 => {
                let code = if self.rest.is_empty() { 0 } else { self.byte()? };
                if !self.rest.is_empty() {
                    self.properties(|_, _| ())?;
                }
                Packet::Disconnect { code }
            }
            _ => return None,
        })
    }

    fn publish(&mut self, first_byte: u8) -> Option<Packet> {
        let (dup, qos, retain) = (first_byte & 8 > 0, first_byte >> 1 & 3, first_byte & 1 > 0);
        let topic = String::from_utf8(self.string()?.to_vec()).ok()?;
        let packet_id = if qos > 0 { self.word()? } else { 0 };
        let mut expiry_s = None;
        self.properties(|id, value| {
            if id == 2 {
                expiry_s = Some(value);
            }
        })?;
        let is_wrong = qos == 3 || qos == 0 && dup || qos > 0 && packet_id == 0 || topic.is_empty();
        let payload = std::mem::take(&mut self.rest).to_vec();
        (!is_wrong).then_some(Packet::Publish(Publish {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            expiry_s,
            payload,
        }))
    }

    fn ack(&mut self, kind: Kind) -> Option<Packet> {
        let packet_id = self.word()?;
        let mut code = 0;
        if self.version == Version::V5 && !self.rest.is_empty() {
            code = self.byte()?;
            if !self.rest.is_empty() {
                self.properties(|_, _| ())?;
            }
        }
        Some(Packet::Ack { kind, packet_id, code })
    }

    /// Calls `number` for each property that is one, and passes over the others.
    fn properties(&mut self, mut number: impl FnMut(u8, u32)) -> Option<()> {
        if self.version == Version::V4 {
            return Some(());
        }
        let length = self.varint()?;
        let after = self.rest.get(length..)?;
        self.rest = &self.rest[..length];
        while !self.rest.is_empty() {
            match self.byte()? {
                id @ (0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a) => {
                    number(id, self.byte()?.into())
                }
                id @ (0x13 | 0x21 | 0x22 | 0x23) => number(id, self.word()?.into()),
                id @ (0x02 | 0x11 | 0x18 | 0x27) => {
                    number(id, u32::from(self.word()?) << 16 | u32::from(self.word()?));
                }
                id @ 0x0b => number(id, self.varint()? as u32),
                0x26 => {
                    self.string()?;
                    self.string()?;
                }
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                    self.string()?;
                }
                _ => return None,
            }
        }
        self.rest = after;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<&[u8]> {
        let length = usize::from(self.word()?);
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_again() {
        for version in [Version::V4, Version::V5] {
            let publish = Publish {
                dup: true,
                qos: 2,
                topic: "a/b".into(),
                packet_id: 700,
                expiry_s: (version == Version::V5).then_some(9),
                payload: vec![7; 200],
                ..Publish::default()
            };
            let mut bytes = Vec::new();
            publish.put(version, &mut bytes);
            put_ack(Kind::PubRel, 700, &mut bytes);
            let mut partial = bytes[..100].to_vec();
            assert_eq!(take(&mut partial, version), Ok(None));
            assert_eq!(take(&mut bytes, version), Ok(Some(Packet::Publish(publish))));
            let release = Packet::Ack { kind: Kind::PubRel, packet_id: 700, code: 0 };
            assert_eq!(take(&mut bytes, version), Ok(Some(release)));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn nonsense_is_not_taken() {
        for bytes in [&[0x36, 5, 0, 1, b'a', 0, 1][..], &[0x38, 3, 0, 1, b'a'], &[0x20, 2, 2, 0], &[0x10, 0]]
        {
            assert!(take(&mut bytes.to_vec(), Version::V4).is_err(), "{bytes:?}");
        }
    }
}
