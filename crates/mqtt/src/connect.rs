//! CONNECT: the first packet of a client.

use crate::property::{Property, Section, misplaced, once, put};
use crate::wire::{Reader, put_binary, put_packet, put_text, put_with_length};
use crate::{DecodeError, MessageProperties, PacketType, PropertyId, QoS, UserProperties, Version, frame};

const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

/// A client asks to connect (section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks from now on.
    pub version: Version,
    /// Begin with an empty session. Before 5.0 ("clean session") it also means to forget the session at the end.
    pub clean_start: bool,
    /// After how many seconds of silence the connection counts as dead; 0 for never.
    pub keep_alive_s: u16,
    /// The name of the session; may be empty. Which names are welcome is a matter for the server: MQTT 3.1 allows 1 to
    /// 23 characters, 3.1.1 an empty one only together with `clean_start`
    /// [v3 MQTT-3.1.3-8].
    pub client_id: &'a str,
    /// The message to publish when the connection breaks.
    pub will: Option<Will<'a>>,
    /// Who the client claims to be.
    pub user_name: Option<&'a str>,
    /// The proof of it. Before 5.0 only together with a user name, and otherwise left out when written.
    pub password: Option<&'a [u8]>,
    /// More about the connection. MQTT 5.0 only.
    pub properties: ConnectProperties<'a>,
}

/// The properties of CONNECT (section 3.1.2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// For how many seconds the session outlives the connection; absent means 0, `u32::MAX` for ever.
    pub session_expiry_s: Option<u32>,
    /// How many messages of QoS 1 and 2 the client takes at a time; absent means 65,535.
    pub receive_max: Option<u16>,
    /// The longest packet that the client takes; absent means no limit.
    pub packet_bytes_max: Option<u32>,
    /// The highest topic alias that the client takes; absent means none.
    pub topic_alias_max: Option<u16>,
    /// Whether CONNACK may carry response information.
    pub request_response_information: bool,
    /// Whether answers may carry reason strings and user properties; true unless said otherwise.
    pub request_problem_information: bool,
    /// Name and value pairs.
    pub user_properties: UserProperties<'a>,
    /// The method of extended authentication.
    pub authentication_method: Option<&'a str>,
    /// What the method has to say first.
    pub authentication_data: Option<&'a [u8]>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        ConnectProperties {
            session_expiry_s: None,
            receive_max: None,
            packet_bytes_max: None,
            topic_alias_max: None,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// The message that the server publishes when the connection breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where to publish it.
    pub topic: &'a str,
    /// The message itself.
    pub payload: &'a [u8],
    /// At which QoS to publish it.
    pub qos: QoS,
    /// Whether to retain it.
    pub retain: bool,
    /// How many seconds to wait, in case the client comes back. MQTT 5.0 only.
    pub delay_s: u32,
    /// What travels with the message. MQTT 5.0 only.
    pub properties: MessageProperties<'a>,
}

/// The version in which a CONNECT that cannot be decoded is best refused: the one it asks for, and for a level that does
/// not exist the nearest. `None` when the bytes are no CONNECT or name another protocol; then closing says enough.
pub fn connect_version(bytes: &[u8]) -> Option<Version> {
    // Only the start of the packet is looked at, so a packet that is too long or cut short can be answered as well.
    let found = frame(bytes, usize::MAX).ok()??;
    if PacketType::from_first_byte(found.first_byte) != Some(PacketType::Connect) {
        return None;
    }
    match read_protocol(&mut Reader::new(&bytes[found.header_len..])) {
        Ok(version) => Some(version),
        Err(DecodeError::UnsupportedProtocolLevel { level }) => {
            // Some bridges first try their level with the highest bit set, and go on in its form when refused.
            Some(if level & 0x7F < 5 { Version::V3_1_1 } else { Version::V5 })
        }
        Err(_) => None,
    }
}

fn read_protocol(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = reader.binary()?;
    // [MQTT-3.1.2-1] [v3 MQTT-3.1.2-1]
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(DecodeError::UnknownProtocolName);
    }
    // [MQTT-3.1.2-2] [v3 MQTT-3.1.2-2]
    match (name, reader.u8()?) {
        (b"MQIsdp", 3) => Ok(Version::V3_1),
        (b"MQTT", 4) => Ok(Version::V3_1_1),
        (b"MQTT", 5) => Ok(Version::V5),
        (_, level) => Err(DecodeError::UnsupportedProtocolLevel { level }),
    }
}

impl<'a> Connect<'a> {
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = read_protocol(&mut reader)?;
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive_s = reader.u16()?;
        let properties = if version.is_v5() {
            ConnectProperties::read(Section::open(&mut reader)?)?
        } else {
            ConnectProperties::default()
        };
        // [MQTT-3.1.3-1] [v3 MQTT-3.1.3-1] give the order, [MQTT-3.1.3-3] [v3 MQTT-3.1.3-3] want the client identifier in
        // any case, as a string [MQTT-3.1.3-4] [v3 MQTT-3.1.3-4].
        let client_id = reader.text()?;
        let will = if flags & WILL != 0 { Some(Will::read(flags, &mut reader, version)?) } else { None };
        let announced = |flag, reader: &Reader<'_>| {
            // MQTT 3.1 lets the packet end before the user name or password that its flags announce.
            flags & flag != 0 && !(version == Version::V3_1 && reader.is_empty())
        };
        // [MQTT-3.1.2-17] [v3 MQTT-3.1.2-19] [MQTT-3.1.3-12] [v3 MQTT-3.1.3-11]
        let user_name = if announced(USER_NAME, &reader) { Some(reader.text()?) } else { None };
        // [MQTT-3.1.2-19] [v3 MQTT-3.1.2-21]
        let password = if announced(PASSWORD, &reader) { Some(reader.binary()?) } else { None };
        // A field without its flag would be left over here [MQTT-3.1.2-16] [v3 MQTT-3.1.2-18] [MQTT-3.1.2-18]
        // [v3 MQTT-3.1.2-20], and what is missing has been missed [MQTT-3.1.4-1] [v3 MQTT-3.1.4-1].
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Connect { version, clean_start, keep_alive_s, client_id, will, user_name, password, properties })
    }

    /// Appends the packet to `out`. The version is `self.version`, the same that the packet announces; the argument is
    /// there so that all packets are written alike, and should be equal.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert_eq!(version, self.version, "a CONNECT is written in the version that it announces");
        let version = self.version;
        put_packet(PacketType::Connect.first_byte(), out, |out| {
            put_text(if version == Version::V3_1 { "MQIsdp" } else { "MQTT" }, out);
            out.push(version as u8);
            out.push(self.flags());
            out.extend_from_slice(&self.keep_alive_s.to_be_bytes());
            if version.is_v5() {
                put_with_length(out, |out| self.properties.put(out));
            }
            put_text(self.client_id, out);
            if let Some(will) = &self.will {
                will.put(version, out);
            }
            if let Some(user_name) = self.user_name {
                put_text(user_name, out);
            }
            if let Some(password) = self.expressible_password() {
                put_binary(password, out);
            }
        });
    }

    fn flags(&self) -> u8 {
        let flag = |present, flag| if present { flag } else { 0 };
        let will = self
            .will
            .as_ref()
            .map_or(0, |will| WILL | (will.qos as u8) << WILL_QOS_SHIFT | flag(will.retain, WILL_RETAIN));
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.expressible_password().is_some(), PASSWORD)
    }

    /// The password, unless the version has no way to send it without a user name [v3 MQTT-3.1.2-22].
    fn expressible_password(&self) -> Option<&'a [u8]> {
        self.password.filter(|_| self.version.is_v5() || self.user_name.is_some())
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    // [MQTT-3.1.2-3] [v3 MQTT-3.1.2-3]
    if flags & RESERVED != 0 {
        return Err(DecodeError::ReservedConnectFlag);
    }
    // [MQTT-3.1.2-11] [MQTT-3.1.2-13] [v3 MQTT-3.1.2-11] [v3 MQTT-3.1.2-13] [v3 MQTT-3.1.2-15]
    if flags & WILL == 0 && flags & (WILL_RETAIN | 0b11 << WILL_QOS_SHIFT) != 0 {
        return Err(DecodeError::WillFlagsWithoutWill);
    }
    // [v3 MQTT-3.1.2-22], which 5.0 has dropped.
    if !version.is_v5() && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn read(flags: u8, reader: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        // [MQTT-3.1.2-9] [v3 MQTT-3.1.2-9]: all of it has to be there. [MQTT-3.1.2-12] [v3 MQTT-3.1.2-14]
        let qos = QoS::from_bits(flags >> WILL_QOS_SHIFT & 0b11).ok_or(DecodeError::InvalidQoS)?;
        let mut will = Will { qos, retain: flags & WILL_RETAIN != 0, ..Will::default() };
        if version.is_v5() {
            will.read_properties(Section::open(reader)?)?;
        }
        // [MQTT-3.1.3-11] [v3 MQTT-3.1.3-10]; a will is published like any message, so its topic obeys the same rules.
        will.topic = reader.topic_name()?;
        if will.topic.is_empty() {
            return Err(DecodeError::EmptyTopicName);
        }
        will.payload = reader.binary()?;
        Ok(will)
    }

    fn read_properties(&mut self, mut section: Section<'a>) -> Result<(), DecodeError> {
        let mut delay_s = None;
        while let Some(property) = section.next()? {
            match self.properties.accept(property)? {
                None => {}
                Some(Property::WillDelay(seconds)) => once(&mut delay_s, seconds, PropertyId::WillDelay)?,
                Some(other) => return Err(misplaced(other, PacketType::Connect)),
            }
        }
        self.delay_s = delay_s.unwrap_or(0);
        self.properties.user_properties = section.user_properties();
        Ok(())
    }

    fn put(&self, version: Version, out: &mut Vec<u8>) {
        if version.is_v5() {
            put_with_length(out, |out| {
                put(out, Some(self.delay_s).filter(|&seconds| seconds > 0).map(Property::WillDelay));
                self.properties.put(out);
            });
        }
        put_text(self.topic, out);
        put_binary(self.payload, out);
    }
}

impl<'a> ConnectProperties<'a> {
    fn read(mut section: Section<'a>) -> Result<Self, DecodeError> {
        use {Property as P, PropertyId as Id};
        let mut found = ConnectProperties::default();
        let (mut response_information, mut problem_information) = (None, None);
        while let Some(property) = section.next()? {
            match property {
                P::SessionExpiry(value) => once(&mut found.session_expiry_s, value, Id::SessionExpiry)?,
                P::ReceiveMaximum(value) => once(&mut found.receive_max, value, Id::ReceiveMaximum)?,
                P::MaximumPacketSize(value) => {
                    once(&mut found.packet_bytes_max, value, Id::MaximumPacketSize)?
                }
                P::TopicAliasMaximum(value) => {
                    once(&mut found.topic_alias_max, value, Id::TopicAliasMaximum)?
                }
                P::RequestResponseInformation(value) => {
                    once(&mut response_information, value, Id::RequestResponseInformation)?;
                }
                P::RequestProblemInformation(value) => {
                    once(&mut problem_information, value, Id::RequestProblemInformation)?;
                }
                P::AuthenticationMethod(value) => {
                    once(&mut found.authentication_method, value, Id::AuthenticationMethod)?;
                }
                P::AuthenticationData(value) => {
                    once(&mut found.authentication_data, value, Id::AuthenticationData)?;
                }
                other => return Err(misplaced(other, PacketType::Connect)),
            }
        }
        // Section 3.1.2.11.10: data belongs to a method.
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        found.request_response_information = response_information.unwrap_or(false);
        found.request_problem_information = problem_information.unwrap_or(true);
        found.user_properties = section.user_properties();
        Ok(found)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.session_expiry_s.map(Property::SessionExpiry));
        put(out, self.receive_max.map(Property::ReceiveMaximum));
        put(out, self.packet_bytes_max.map(Property::MaximumPacketSize));
        put(out, self.topic_alias_max.map(Property::TopicAliasMaximum));
        // What is the default need not be said.
        put(out, self.request_response_information.then_some(Property::RequestResponseInformation(true)));
        put(out, (!self.request_problem_information).then_some(Property::RequestProblemInformation(false)));
        put(out, self.authentication_method.map(Property::AuthenticationMethod));
        put(out, self.authentication_data.map(Property::AuthenticationData));
        self.user_properties.put(out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
