//! Packets that are right, with every field and property that their type may have.

use crate::mqtt::property::{any, number, pair, section, text};
use crate::mqtt::{Connect, Message, Will, ack, packet, subscribe_with, unsubscribe_with};

/// What stands in every string, so that it is found again: as long as a character of UTF-8 may be.
pub(super) const MARK: &str = "mark";

/// A packet with one section of properties to be.
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The properties that may stand there, right ones.
    pub(super) allowed: Vec<Vec<u8>>,
    /// The packet with this section, its length included.
    pub(super) build: fn(&[u8]) -> Vec<u8>,
}

/// Packets for a connection that has been accepted. Those that only servers send are among them.
pub(super) fn after_connect(version: u8) -> Vec<(&'static str, Vec<u8>)> {
    let is_v5 = version == 5;
    let v5 = |bytes: &[u8]| if is_v5 { bytes.to_vec() } else { Vec::new() };
    let message = |qos| {
        let message = Message::new(MARK, MARK).qos(qos, 0x0103);
        let properties = message_properties().concat();
        if is_v5 { message.property(properties).alias(1).packet(5) } else { message.packet(4) }
    };
    let reasoned = |first_byte: u8, start: &[u8], reason: u8| {
        let more = if is_v5 { [&[reason][..], &section(&words())].concat() } else { Vec::new() };
        packet(first_byte, &[start, &more].concat())
    };
    let mut all = vec![
        ("PUBLISH at QoS 0", message(0)),
        ("PUBLISH at QoS 1", message(1)),
        ("PUBLISH at QoS 2", message(2)),
        ("PUBLISH, retained", Message::new(MARK, "").retain().packet(version)),
        ("PUBACK", reasoned(0x40, &[0, 9], 0)),
        ("PUBREC", reasoned(0x50, &[0, 9], 0)),
        ("PUBREL", reasoned(0x62, &[0, 9], 0x92)),
        ("PUBCOMP", reasoned(0x70, &[0, 9], 0)),
        ("PUBACK, short", ack(0x40, 9)),
        ("SUBSCRIBE", subscribe_with(version, 5, &v5(&subscribing()), &[(MARK, 1), ("mark/+/#", 2)])),
        ("UNSUBSCRIBE", unsubscribe_with(version, 6, &v5(&pair(MARK, MARK)), &[MARK, "mark/#"])),
        ("PINGREQ", vec![0xC0, 0]),
        ("DISCONNECT", reasoned(0xE0, &[], 0)),
        ("DISCONNECT with the will", if is_v5 { packet(0xE0, &[4]) } else { packet(0xE0, &[]) }),
        ("CONNECT again", Connect::new(version, MARK).packet()),
        ("CONNACK", packet(0x20, &[&[0, 0][..], &v5(&[0])].concat())),
        ("SUBACK", packet(0x90, &[&[0, 5][..], &v5(&[0]), &[0]].concat())),
        ("UNSUBACK", packet(0xB0, &[&[0, 6][..], &v5(&[0, 0])].concat())),
        ("PINGRESP", vec![0xD0, 0]),
    ];
    if is_v5 {
        let options = 0b0010_1110;
        all.push(("SUBSCRIBE with options", subscribe_with(5, 5, &[], &[(MARK, options)])));
        all.push(("SUBSCRIBE, shared", subscribe_with(5, 5, &[], &[("$share/mark/mark", 1)])));
        all.push(("DISCONNECT, plain", packet(0xE0, &[])));
        let auth = [&[0x19][..], &section(&[text(0x15, MARK), text(0x16, MARK), words()].concat())].concat();
        all.push(("AUTH", packet(0xF0, &auth)));
    }
    all
}

/// CONNECT packets.
pub(super) fn connects(version: u8) -> Vec<(&'static str, Vec<u8>)> {
    let plain = Connect::new(version, MARK);
    let will = Will::new(MARK, MARK).qos(1).retain();
    let full = plain.clone().user(MARK).password(MARK);
    let full = if version == 5 {
        let properties = message_properties().concat();
        full.property(connecting().concat()).will(will.property(properties).delay_s(1))
    } else {
        full.will(will)
    };
    vec![("CONNECT", plain.packet()), ("CONNECT with everything", full.packet())]
}

/// Packets of MQTT 5 with their sections of properties, for a connection that has been accepted.
pub(super) fn sections() -> Vec<Section> {
    let answer = || vec![text(0x1F, MARK), pair(MARK, MARK)];
    let of = |name, allowed, build| Section { name, allowed, build };
    let publishing = [message_properties(), vec![number(0x23, 2)]].concat();
    vec![
        of("PUBLISH", publishing, |section| {
            packet(0x32, &[b"\0\x04mark\0\x07", section, MARK.as_bytes()].concat())
        }),
        of("PUBACK", answer(), |section| packet(0x40, &[&[0, 9, 0], section].concat())),
        of("PUBREC", answer(), |section| packet(0x50, &[&[0, 9, 0], section].concat())),
        of("PUBREL", answer(), |section| packet(0x62, &[&[0, 9, 0], section].concat())),
        of("PUBCOMP", answer(), |section| packet(0x70, &[&[0, 9, 0], section].concat())),
        of("SUBSCRIBE", vec![number(0x0B, 3), pair(MARK, MARK)], |section| {
            packet(0x82, &[&[0, 5], section, b"\0\x04mark\x01"].concat())
        }),
        of("UNSUBSCRIBE", vec![pair(MARK, MARK)], |section| {
            packet(0xA2, &[&[0, 6], section, b"\0\x04mark"].concat())
        }),
        of("DISCONNECT", [answer(), vec![number(0x11, 0)]].concat(), |section| {
            packet(0xE0, &[&[4], section].concat())
        }),
        of("AUTH", [answer(), vec![text(0x15, MARK), text(0x16, MARK)]].concat(), |section| {
            packet(0xF0, &[&[0x19], section].concat())
        }),
    ]
}

/// The two sections of CONNECT.
pub(super) fn connect_sections() -> Vec<Section> {
    let own = |section: &[u8]| packet(0x10, &[b"\0\x04MQTT\x05\x02\0\x3c", section, b"\0\x04mark"].concat());
    let will = |section: &[u8]| {
        let start = b"\0\x04MQTT\x05\x06\0\x3c\0\0\x04mark";
        packet(0x10, &[start, section, b"\0\x04mark\0\x04mark"].concat())
    };
    let of_will = [message_properties(), vec![number(0x18, 1)]].concat();
    vec![
        Section { name: "CONNECT", allowed: connecting(), build: own },
        Section { name: "CONNECT, of the will", allowed: of_will, build: will },
    ]
}

/// Properties of a message.
fn message_properties() -> Vec<Vec<u8>> {
    let texts = [0x03, 0x08, 0x09].map(|id| text(id, MARK));
    [vec![any(0x01), number(0x02, 60)], texts.to_vec(), vec![pair(MARK, MARK)]].concat()
}

/// Properties of CONNECT, save those of authentication, which would be refused for another reason.
fn connecting() -> Vec<Vec<u8>> {
    let numbers = [(0x11, 1), (0x21, 9), (0x22, 9), (0x27, 9999), (0x17, 1), (0x19, 0)];
    let numbers = numbers.map(|(id, value)| number(id, value));
    [numbers.to_vec(), vec![pair(MARK, MARK)]].concat()
}

fn words() -> Vec<u8> {
    [text(0x1F, MARK), pair(MARK, MARK)].concat()
}

fn subscribing() -> Vec<u8> {
    [number(0x0B, 300), pair(MARK, MARK)].concat()
}
