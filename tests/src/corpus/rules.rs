//! The specification as a reader of bytes: what has to become of a client that sends them.
//!
//! Where the specification leaves a choice between reason codes, each is right; where it leaves open whether something is
//! an error at all ([`End::Free`]), so does this.

/// What the hub has told the client in CONNACK.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The highest topic alias.
    pub topic_alias_max: u16,
    /// The longest packet.
    pub packet_bytes_max: usize,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It stays: all was right so far, or there is more to come.
    Open,
    /// It is closed for one of these reasons (MQTT 5.0; before, they are not said).
    Refused(&'static [u8]),
    /// The client has said goodbye.
    Goodbye {
        /// And asked for its will.
        with_will: bool,
    },
    /// The specification does not say.
    Free,
}

/// What has to become of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// It has, or has got, a connection that was accepted.
    pub is_accepted: bool,
    /// How many PINGREQ are answered before the end.
    pub pings: usize,
    /// The end.
    pub end: End,
}

/// Reasons that fit.
type Reasons = &'static [u8];
const MALFORMED: Reasons = &[0x81];
const PROTOCOL: Reasons = &[0x82];
const EITHER: Reasons = &[0x81, 0x82];
const TOPIC: Reasons = &[0x90, 0x81, 0x82];
const FILTER: Reasons = &[0x81, 0x82, 0x8F];
const ALIAS: Reasons = &[0x94, 0x82];
const TOO_LARGE: Reasons = &[0x95];
const VERSION: Reasons = &[0x84, 0x81, 0x82];
const CLIENT_ID: Reasons = &[0x85];
const METHOD: Reasons = &[0x8C, 0x87];

/// A rule that was broken; `None` where none covers the case.
type Fault = Option<Reasons>;
type Read<T> = Result<T, Fault>;

/// Judges all that a client sends: on a new connection, or on one that was accepted with this version.
pub fn judge(version: u8, is_new: bool, input: &[u8], terms: Terms) -> Outcome {
    let mut client = Client { version, is_new, terms, alias: None, lasts: false };
    let mut outcome = Outcome { is_accepted: !is_new, pings: 0, end: End::Open };
    let mut rest = input;
    while outcome.end == End::Open {
        match frame(version, rest, terms.packet_bytes_max) {
            Ok(None) => return outcome,
            Ok(Some((head, length))) => {
                let (packet, behind) = rest.split_at(head + length);
                rest = behind;
                outcome.end = match client.packet(packet[0], &mut Reader(&packet[head..])) {
                    Ok(end) => end,
                    Err(fault) => fault.map_or(End::Free, End::Refused),
                };
                outcome.is_accepted |= outcome.end == End::Open;
                outcome.pings += usize::from(packet == [0xC0, 0] && outcome.end == End::Open);
            }
            Err(fault) => outcome.end = fault.map_or(End::Free, End::Refused),
        }
    }
    outcome
}

/// Bytes of the fixed header and of what follows, when all of it is there (2.1.4).
fn frame(version: u8, input: &[u8], packet_bytes_max: usize) -> Read<Option<(usize, usize)>> {
    let Some(first_byte) = input.first() else { return Ok(None) };
    if first_byte >> 4 == 0 {
        return Err(Some(MALFORMED));
    }
    let mut length = 0;
    for place in 0..4 {
        let Some(&byte) = input.get(1 + place) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            if byte == 0 && place > 0 {
                // [MQTT-1.5.5-1]; MQTT 3.1.1 has no such rule.
                return Err((version == 5).then_some(MALFORMED));
            }
            let head = 2 + place;
            if head + length > packet_bytes_max {
                return Err(Some(TOO_LARGE));
            }
            return Ok((input.len() >= head + length).then_some((head, length)));
        }
    }
    Err(Some(MALFORMED))
}

struct Client {
    version: u8,
    is_new: bool,
    terms: Terms,
    /// The topic alias that has been set.
    alias: Option<u32>,
    /// Its session outlasts the connection.
    lasts: bool,
}

/// The properties of a packet, as far as something depends on them.
#[derive(Default)]
struct Found {
    ids: Vec<u32>,
    alias: Option<u32>,
    expiry_s: u32,
    packet_bytes_max: Option<u32>,
}

impl Found {
    fn has(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}

impl Client {
    fn packet(&mut self, first_byte: u8, body: &mut Reader<'_>) -> Read<End> {
        let (kind, flags) = (first_byte >> 4, first_byte & 0x0F);
        if self.is_new {
            // [MQTT-3.1.0-1]: what is no CONNECT need not be answered in any way.
            if first_byte != 0x10 {
                return Err(Some(EITHER));
            }
            self.is_new = false;
            return self.connect(body);
        }
        // [MQTT-2.1.3-1] [v3 MQTT-2.2.2-2]
        let wanted = if [6, 8, 10].contains(&kind) { 2 } else { 0 };
        if kind != 3 && flags != wanted {
            return Err(Some(if [1, 2, 9, 11, 13, 15].contains(&kind) { EITHER } else { MALFORMED }));
        }
        match kind {
            3 => self.publish(flags, body),
            4..=7 => self.answer(kind, body),
            8 | 10 => self.filters(kind == 8, body),
            12 => body.end().map(|()| End::Open),
            14 => self.disconnect(body),
            // [MQTT-3.1.0-2], packets of servers, and AUTH where no method was agreed on: an error, and when it is broken
            // as well, the one or the other.
            _ => Err(Some(if kind == 1 { &[0x82, 0x81, 0x84, 0x90] } else { &[0x82, 0x81] })),
        }
    }

    fn is_v5(&self) -> bool {
        self.version == 5
    }

    fn publish(&mut self, flags: u8, body: &mut Reader<'_>) -> Read<End> {
        let qos = flags >> 1 & 3;
        // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
        if qos == 3 || qos == 0 && flags & 8 > 0 {
            return Err(Some(EITHER));
        }
        let topic = body.text()?;
        let is_wild = topic.contains(['+', '#']);
        let has_id = qos == 0 || body.word()? > 0;
        if is_wild {
            return Err(Some(TOPIC));
        }
        if !has_id {
            return Err(Some(EITHER));
        }
        let found = if self.is_v5() { body.properties(3)? } else { Found::default() };
        if found.has(0x0B) {
            return Err(Some(PROTOCOL));
        }
        match found.alias {
            Some(alias) if alias == 0 || alias > self.terms.topic_alias_max.into() => {
                return Err(Some(ALIAS));
            }
            Some(alias) if topic.is_empty() && self.alias != Some(alias) => return Err(Some(ALIAS)),
            None if topic.is_empty() => return Err(Some(TOPIC)),
            Some(alias) => self.alias = Some(alias),
            None => {}
        }
        Ok(End::Open)
    }

    fn answer(&self, kind: u8, body: &mut Reader<'_>) -> Read<End> {
        if body.word()? == 0 {
            return Err(Some(EITHER));
        }
        if self.is_v5() && !body.0.is_empty() {
            let reason = body.byte()?;
            let allowed: &[u8] = match kind {
                4 | 5 => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
                _ => &[0x00, 0x92],
            };
            if !allowed.contains(&reason) {
                return Err(Some(EITHER));
            }
            if !body.0.is_empty() {
                body.properties(kind)?;
            }
        }
        body.end().map(|()| End::Open)
    }

    fn filters(&self, has_options: bool, body: &mut Reader<'_>) -> Read<End> {
        if body.word()? == 0 {
            return Err(Some(EITHER));
        }
        if self.is_v5() {
            body.properties(if has_options { 8 } else { 10 })?;
        }
        // [MQTT-3.8.3-2] [MQTT-3.10.3-2]
        if body.0.is_empty() {
            return Err(Some(EITHER));
        }
        let mut is_bad = false;
        while !body.0.is_empty() {
            let filter = body.text()?;
            is_bad |= !is_filter(filter);
            if has_options {
                let options = body.byte()?;
                let reserved = if self.is_v5() { 0xC0 } else { 0xFC };
                let is_shared = filter.starts_with("$share/");
                let no_local_shared = options & 4 > 0 && is_shared;
                let is_wrong = options & reserved > 0 || options & 3 == 3 || options & 0x30 == 0x30;
                if is_wrong || no_local_shared {
                    return Err(Some(if is_bad { FILTER } else { EITHER }));
                }
            }
        }
        if is_bad { Err(Some(FILTER)) } else { Ok(End::Open) }
    }

    fn disconnect(&self, body: &mut Reader<'_>) -> Read<End> {
        if !self.is_v5() || body.0.is_empty() {
            return body.end().map(|()| End::Goodbye { with_will: false });
        }
        let reason = body.byte()?;
        // Some are for servers to give.
        let is_of_servers = matches!(reason, 0x87 | 0x89 | 0x8B..=0x8F | 0x9A..=0xA2);
        if !is_of_servers && !matches!(reason, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99) {
            return Err(Some(EITHER));
        }
        let found = if body.0.is_empty() { Found::default() } else { body.properties(14)? };
        body.end()?;
        if is_of_servers {
            return Err(None);
        }
        // [MQTT-3.14.2-2]
        if found.expiry_s > 0 && !self.lasts {
            return Err(Some(PROTOCOL));
        }
        // The server reference is for servers to send.
        if found.has(0x1C) { Err(None) } else { Ok(End::Goodbye { with_will: reason != 0 }) }
    }

    fn connect(&mut self, body: &mut Reader<'_>) -> Read<End> {
        let name = body.bytes()?;
        // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
        let level = body.byte().ok();
        if name != b"MQTT" || level != Some(self.version) {
            // Another version that there is: a packet of that one, which need not be right.
            let is_other = name == b"MQTT" && matches!(level, Some(4 | 5));
            return Err(if is_other || level.is_none() { None } else { Some(VERSION) });
        }
        let flags = body.byte()?;
        body.word()?;
        let (has_will, has_user, has_password) = (flags & 4 > 0, flags & 0x80 > 0, flags & 0x40 > 0);
        // [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-12] [v3 MQTT-3.1.2-22]
        let is_wrong = flags & 1 > 0
            || !has_will && flags & 0x38 > 0
            || flags & 0x18 == 0x18
            || !self.is_v5() && has_password && !has_user;
        if is_wrong {
            return Err(Some(EITHER));
        }
        let found = if self.is_v5() { body.properties(1)? } else { Found::default() };
        if found.has(0x16) && !found.has(0x15) {
            return Err(Some(PROTOCOL));
        }
        self.lasts = found.expiry_s > 0;
        let is_nameless = body.text()?.is_empty();
        if has_will {
            if self.is_v5() {
                body.properties(WILL)?;
            }
            let topic = body.text()?;
            if topic.is_empty() || topic.contains(['+', '#']) {
                return Err(Some(TOPIC));
            }
            body.bytes()?;
        }
        if has_user {
            body.text()?;
        }
        if has_password {
            body.bytes()?;
        }
        body.end()?;
        if is_nameless && !self.is_v5() && flags & 2 == 0 {
            // [v3 MQTT-3.1.3-8]
            return Err(Some(CLIENT_ID));
        }
        if found.packet_bytes_max.is_some_and(|max| max < ANSWER_BYTES) {
            return Err(None);
        }
        if found.has(0x15) { Err(Some(METHOD)) } else { Ok(End::Open) }
    }
}

/// Who takes no packet of this size may have no answer at all [MQTT-3.1.2-24].
const ANSWER_BYTES: u32 = 100;

/// Stands for the properties of a will, which belong to no packet type.
const WILL: u8 = 0;

/// The packets that may carry a property (2.2.2.2), by their types.
fn belongs(id: u32) -> Option<&'static [u8]> {
    Some(match id {
        0x01 | 0x02 | 0x03 | 0x08 | 0x09 => &[3, WILL],
        0x0B => &[3, 8],
        0x11 => &[1, 2, 14],
        0x12 | 0x13 | 0x1A | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => &[2],
        0x15 | 0x16 => &[1, 2, 15],
        0x17 | 0x19 => &[1],
        0x18 => &[WILL],
        0x1C => &[2, 14],
        0x1F => &[2, 4, 5, 6, 7, 9, 11, 14, 15],
        0x21 | 0x22 | 0x27 => &[1, 2],
        0x23 => &[3],
        0x26 => &[WILL, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15],
        _ => return None,
    })
}

fn is_filter(filter: &str) -> bool {
    let mut pattern = filter;
    if let Some(shared) = filter.strip_prefix("$share/") {
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        match shared.split_once('/') {
            Some((name, rest)) if !name.is_empty() && !name.contains(['+', '#']) => pattern = rest,
            _ => return false,
        }
    }
    let levels: Vec<&str> = pattern.split('/').collect();
    let is_level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    !pattern.is_empty() && levels.iter().enumerate().all(is_level)
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Some(MALFORMED))?;
        self.0 = rest;
        Ok(taken)
    }

    fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Some(MALFORMED)) }
    }

    fn number(&mut self, count: usize) -> Read<u32> {
        Ok(self.take(count)?.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    fn word(&mut self) -> Read<u32> {
        self.number(2)
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.word()?;
        self.take(length as usize)
    }

    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    fn text(&mut self) -> Read<&'a str> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Some(MALFORMED))?;
        if text.contains('\0') { Err(Some(MALFORMED)) } else { Ok(text) }
    }

    fn varint(&mut self) -> Read<u32> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                // [MQTT-1.5.5-1]
                return if byte == 0 && place > 0 { Err(Some(MALFORMED)) } else { Ok(value) };
            }
        }
        Err(Some(MALFORMED))
    }

    /// The properties of a packet of this type.
    fn properties(&mut self, kind: u8) -> Read<Found> {
        let length = self.varint()?;
        let mut section = Reader(self.take(length as usize)?);
        let mut found = Found::default();
        while !section.0.is_empty() {
            let id = section.varint()?;
            let allowed = belongs(id).ok_or(Some(MALFORMED))?;
            let is_wrong = section.value(id, &mut found)?;
            // [MQTT-2.2.2.2]: which of two faults of one property comes first is not said.
            let is_misplaced = !allowed.contains(&kind);
            let is_again = found.ids.contains(&id) && id != 0x26;
            if is_misplaced || is_again || is_wrong {
                return Err(Some(match (is_misplaced, id) {
                    (true, _) => EITHER,
                    (_, 0x23) => &[0x94, 0x82],
                    (_, 0x08) => &[0x82, 0x81, 0x90],
                    _ if is_again && !is_wrong => PROTOCOL,
                    _ => EITHER,
                }));
            }
            found.ids.push(id);
        }
        Ok(found)
    }

    /// Reads the value of a property; whether it is one that the property must not have.
    fn value(&mut self, id: u32, found: &mut Found) -> Read<bool> {
        Ok(match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => self.byte()? > 1,
            0x13 | 0x22 => self.word().map(|_| false)?,
            0x21 => self.word()? == 0,
            0x23 => {
                found.alias = Some(self.word()?);
                false
            }
            0x02 | 0x18 => self.number(4).map(|_| false)?,
            0x11 => {
                found.expiry_s = self.number(4)?;
                false
            }
            0x27 => {
                found.packet_bytes_max = Some(self.number(4)?);
                found.packet_bytes_max == Some(0)
            }
            0x0B => self.varint()? == 0,
            0x08 => {
                let topic = self.text()?;
                topic.is_empty() || topic.contains(['+', '#'])
            }
            0x03 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => self.text().map(|_| false)?,
            0x09 | 0x16 => self.bytes().map(|_| false)?,
            _ => {
                self.text()?;
                self.text()?;
                false
            }
        })
    }
}
