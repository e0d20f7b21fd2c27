//! Packets as they are sent: right unless a test makes them wrong.

use super::property::section;
use super::{packet, string};

/// A CONNECT to be: with a clean start, a keep-alive of a minute, and nothing else unless asked for.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Protocol level, which also says whether there are properties.
    pub version: u8,
    name: Vec<u8>,
    flags: Option<u8>,
    clean: bool,
    keep_alive_s: u16,
    properties: Vec<u8>,
    client_id: Vec<u8>,
    will: Option<Will>,
    user: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    more: Vec<u8>,
}

/// The will of a CONNECT.
#[derive(Clone, Debug)]
pub struct Will {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Vec<u8>,
}

impl Connect {
    /// With a protocol level (3, 4, 5 or what no version has) and a client id.
    pub fn new(version: u8, client_id: impl AsRef<[u8]>) -> Self {
        Self {
            version,
            name: if version == 3 { b"MQIsdp".to_vec() } else { b"MQTT".to_vec() },
            flags: None,
            clean: true,
            keep_alive_s: 60,
            properties: Vec::new(),
            client_id: client_id.as_ref().to_vec(),
            will: None,
            user: None,
            password: None,
            more: Vec::new(),
        }
    }

    /// Another protocol name than the one that goes with the version.
    pub fn name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.name = name.as_ref().to_vec();
        self
    }

    /// Resumes a session, if there is one.
    pub fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    /// Another client id.
    pub fn client_id(mut self, client_id: impl AsRef<[u8]>) -> Self {
        self.client_id = client_id.as_ref().to_vec();
        self
    }

    /// The keep-alive in seconds.
    pub fn keep_alive_s(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    /// One more property, written by [`super::property`] or by hand.
    pub fn property(mut self, property: impl AsRef<[u8]>) -> Self {
        self.properties.extend_from_slice(property.as_ref());
        self
    }

    /// The session outlives the connection by so many seconds: a property of MQTT 5.
    pub fn session_expiry_s(self, seconds: u32) -> Self {
        self.property(super::property::number(super::property::id::SESSION_EXPIRY, seconds))
    }

    /// With a will.
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// With a user name.
    pub fn user(mut self, name: impl AsRef<[u8]>) -> Self {
        self.user = Some(name.as_ref().to_vec());
        self
    }

    /// With a password.
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    /// The byte of flags, whatever the payload has.
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = Some(flags);
        self
    }

    /// Bytes behind the last field, inside the packet.
    pub fn more(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.more.extend_from_slice(bytes.as_ref());
        self
    }

    /// The byte of flags that goes with the fields.
    pub fn right_flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        let password = if self.password.is_some() { 0x40 } else { 0 };
        let user = if self.user.is_some() { 0x80 } else { 0 };
        u8::from(self.clean) << 1 | will | password | user
    }

    /// The bytes.
    pub fn packet(&self) -> Vec<u8> {
        let flags = self.flags.unwrap_or_else(|| self.right_flags());
        let mut body = [&string(&self.name)[..], &[self.version, flags]].concat();
        body.extend(self.keep_alive_s.to_be_bytes());
        let is_v5 = self.version == 5;
        if is_v5 {
            body.extend(section(&self.properties));
        }
        body.extend(string(&self.client_id));
        if let Some(will) = &self.will {
            if is_v5 {
                body.extend(section(&will.properties));
            }
            body.extend([string(&will.topic), string(&will.payload)].concat());
        }
        for field in [&self.user, &self.password].into_iter().flatten() {
            body.extend(string(field));
        }
        body.extend(&self.more);
        packet(0x10, &body)
    }
}

impl Will {
    /// At QoS 0, not retained.
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        let (topic, payload) = (topic.as_ref().to_vec(), payload.as_ref().to_vec());
        Self { topic, payload, qos: 0, retain: false, properties: Vec::new() }
    }

    /// At this QoS.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// To be retained.
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// One more property.
    pub fn property(mut self, property: impl AsRef<[u8]>) -> Self {
        self.properties.extend_from_slice(property.as_ref());
        self
    }

    /// So many seconds after the connection: a property of MQTT 5.
    pub fn delay_s(self, seconds: u32) -> Self {
        self.property(super::property::number(super::property::id::WILL_DELAY, seconds))
    }
}

/// A PUBLISH to be: at QoS 0 unless asked for more.
#[derive(Clone, Debug)]
pub struct Message {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    packet_id: u16,
    dup: bool,
    retain: bool,
    properties: Vec<u8>,
}

impl Message {
    /// At QoS 0, not retained.
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        let (topic, payload) = (topic.as_ref().to_vec(), payload.as_ref().to_vec());
        Self { topic, payload, qos: 0, packet_id: 0, dup: false, retain: false, properties: Vec::new() }
    }

    /// At this QoS with this packet id, which is written at QoS 1 to 3.
    pub fn qos(mut self, qos: u8, packet_id: u16) -> Self {
        (self.qos, self.packet_id) = (qos, packet_id);
        self
    }

    /// With the retain flag.
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With the DUP flag.
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// One more property.
    pub fn property(mut self, property: impl AsRef<[u8]>) -> Self {
        self.properties.extend_from_slice(property.as_ref());
        self
    }

    /// With a topic alias.
    pub fn alias(self, alias: u16) -> Self {
        self.property(super::property::number(super::property::id::TOPIC_ALIAS, alias.into()))
    }

    /// The bytes.
    pub fn packet(&self, version: u8) -> Vec<u8> {
        let first_byte = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = string(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        if version == 5 {
            body.extend(section(&self.properties));
        }
        body.extend(&self.payload);
        packet(first_byte, &body)
    }
}

/// SUBSCRIBE to filters, each with its byte of options. `properties` are those of MQTT 5, without their length.
pub fn subscribe_with(version: u8, packet_id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == 5 {
        body.extend(section(properties));
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE from filters. `properties` are those of MQTT 5, without their length.
pub fn unsubscribe_with(version: u8, packet_id: u16, properties: &[u8], filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == 5 {
        body.extend(section(properties));
    }
    body.extend(filters.iter().flat_map(string));
    packet(0xA2, &body)
}

/// PUBACK (0x40), PUBREC (0x50), PUBREL (0x62) or PUBCOMP (0x70) without a reason.
pub fn ack(first_byte: u8, packet_id: u16) -> Vec<u8> {
    packet(first_byte, &packet_id.to_be_bytes())
}

/// The same with a reason: MQTT 5 only.
pub fn ack_with(first_byte: u8, packet_id: u16, reason: u8) -> Vec<u8> {
    packet(first_byte, &[&packet_id.to_be_bytes()[..], &[reason]].concat())
}

/// DISCONNECT with a reason and properties, given without their length: MQTT 5 only.
pub fn disconnect_with(reason: u8, properties: &[u8]) -> Vec<u8> {
    packet(0xE0, &[&[reason][..], &section(properties)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_is_as_the_specification_has_it() {
        let connect = Connect::new(4, "a").will(Will::new("t", "w").qos(1).retain()).user("u").password("p");
        let expected = b"\x10\x19\x00\x04MQTT\x04\xee\x00\x3c\x00\x01a\x00\x01t\x00\x01w\x00\x01u\x00\x01p";
        assert_eq!(connect.packet(), expected);
        let connect = Connect::new(5, "")
            .resume()
            .keep_alive_s(1)
            .session_expiry_s(2)
            .will(Will::new("", "").delay_s(3));
        let expected =
            b"\x10\x1c\x00\x04MQTT\x05\x04\x00\x01\x05\x11\0\0\0\x02\0\0\x05\x18\0\0\0\x03\0\0\0\0";
        assert_eq!(connect.packet(), expected);
    }
}
