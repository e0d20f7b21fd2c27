//! Those who set, overwrite and clear retained messages, and those who look whether they are right.

use super::shelf::Look;
use super::stage::Stage;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use trefoil_model::wire::{self, Connect, Kind, Packet, Publish, Version};
use trefoil_model::{Message, Random};

/// Topics of each setter. All together are more than the hub looks up at a time.
const TOPICS: usize = 50;

/// How many setters there are.
pub(super) const SETTERS: usize = 3;

/// A connection that is read in packets.
struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    /// Connects, says hello, and gives what CONNACK says of the session.
    fn open(stage: &Stage, since: usize, hello: &Connect) -> Result<Option<(Wire, bool)>, String> {
        let Some(stream) = stage.connect() else { return Ok(None) };
        let mut wire = Wire { stream, input: Vec::new() };
        let mut output = Vec::new();
        hello.put(&mut output);
        if wire.stream.write_all(&output).is_err() {
            return Ok(None);
        }
        match wire.next(stage, since)? {
            None => Ok(None),
            Some(Packet::ConnAck { session_present, code: 0, .. }) => Ok(Some((wire, session_present))),
            Some(other) => Err(format!("{} gets {other:?} instead of CONNACK", hello.client_id)),
        }
    }

    /// The next packet; `None` when the connection has ended.
    fn next(&mut self, stage: &Stage, since: usize) -> Result<Option<Packet>, String> {
        let mut buffer = [0; 8192];
        loop {
            match wire::take(&mut self.input, Version::V5)? {
                // A connection of its own that was cut, and that the hub read late, took the session over.
                Some(Packet::Disconnect { code: 0x8e }) => return Ok(None),
                Some(packet) => return Ok(Some(packet)),
                None => {}
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Ok(None),
            }
            if stage.is_cut(since) {
                return Ok(None);
            }
        }
    }
}

/// What a setter has under way: one thing at a time.
struct Step {
    topic: String,
    message: Option<u64>,
    qos: u8,
    was_sent: bool,
    is_released: bool,
}

impl Step {
    fn put(&mut self, output: &mut Vec<u8>) {
        if self.is_released {
            return wire::put_ack(Kind::PubRel, 1, output);
        }
        let dup = std::mem::replace(&mut self.was_sent, true);
        let payload = self.message.map(|number| format!("{number} ").into_bytes()).unwrap_or_default();
        let (qos, topic) = (self.qos, self.topic.clone());
        Publish { dup, qos, retain: true, topic, packet_id: 1, expiry_s: None, payload }
            .put(Version::V5, output);
    }
}

/// Sets, overwrites and clears, each after the answer to the one before.
pub(super) fn set(stage: &Stage, place: usize, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(100 + place as u64));
    let client_id = format!("setter-{place}");
    let (mut step, mut was_accepted) = (None::<Step>, false);
    'connections: while !(stage.is_over() || stage.is_settling() && step.is_none()) {
        let since = stage.cuts();
        let hello = Connect {
            version: Version::V5,
            client_id: &client_id,
            clean: !was_accepted,
            expiry_s: u32::MAX,
            receive_max: u16::MAX,
            will: None,
        };
        let Some((mut wire, is_present)) = Wire::open(stage, since, &hello)? else { continue };
        if was_accepted && !is_present {
            return Err(format!("{client_id}: its session is gone: CONNACK says `session present` = 0"));
        }
        if !std::mem::replace(&mut was_accepted, true) {
            stage.sessions.fetch_add(1, SeqCst);
        }
        while !(stage.is_cut(since) || stage.is_settling() && step.is_none()) {
            let step_now = step.get_or_insert_with(|| draw(stage, place, &mut random));
            let mut output = Vec::new();
            step_now.put(&mut output);
            if wire.stream.write_all(&output).is_err() {
                continue 'connections;
            }
            let Some(answer) = wire.next(stage, since)? else { continue 'connections };
            // 0x10: nobody listens. 0x92: the release had come before, and the answer to it got lost.
            let (Packet::Ack { kind, packet_id: 1, code: 0 | 0x10 }
            | Packet::Ack { kind: kind @ Kind::PubComp, packet_id: 1, code: 0x92 }) = answer
            else {
                return Err(format!("{client_id} gets {answer:?} for packet id 1"));
            };
            match (kind, step_now.qos, step_now.is_released) {
                (Kind::PubAck, 1, _) => {
                    stage.shelf().acknowledged(&step_now.topic);
                    step = None;
                }
                (Kind::PubRec, 2, false) => {
                    stage.shelf().acknowledged(&step_now.topic);
                    step_now.is_released = true;
                }
                (Kind::PubComp, 2, true) => step = None,
                _ => return Err(format!("{client_id} gets {kind:?} at QoS {}", step_now.qos)),
            }
        }
    }
    stage.is_through(&client_id);
    Ok(())
}

fn draw(stage: &Stage, place: usize, random: &mut Random) -> Step {
    let topic = format!("r/{place}/{}", random.below(TOPICS));
    let message = (!random.chance(25)).then(|| stage.number());
    stage.shelf().sending(&topic, message);
    let qos = 1 + random.below(2) as u8;
    Step { topic, message, qos, was_sent: false, is_released: false }
}

/// Looks at all retained messages, after each restart and in between.
pub(super) fn look(stage: &Stage, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(99));
    let mut looks = 0_u64;
    while !stage.is_over() {
        looks += 1;
        let since = stage.cuts();
        let hello = Connect {
            version: Version::V5,
            client_id: &format!("looker-{looks}"),
            clean: true,
            expiry_s: 0,
            receive_max: u16::MAX,
            will: None,
        };
        let Some((mut wire, _)) = Wire::open(stage, since, &hello)? else { continue };
        let mut look = stage.shelf().look();
        let mut output = Vec::new();
        wire::put_subscribe(Version::V5, 1, &[("r/#", random.below(2) as u8)], &mut output);
        if wire.stream.write_all(&output).is_err() {
            continue;
        }
        let mut is_subscribed = false;
        let is_complete = loop {
            let missing = look.missing(&stage.shelf());
            let is_complete = is_subscribed && missing.is_none();
            stage.say_missing(missing);
            if is_complete {
                break true;
            }
            match wire.next(stage, since)? {
                None => break false,
                Some(Packet::SubAck { .. }) => is_subscribed = true,
                Some(Packet::Publish(publish)) => came(stage, &mut look, &publish, &mut wire)?,
                Some(other) => return Err(format!("who looks at retained messages gets {other:?}")),
            }
        };
        if is_complete {
            stage.evidence().retained_seen += look.seen() as u64;
            stage.looks.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(random.below(50) as u64));
        }
    }
    Ok(())
}

fn came(stage: &Stage, look: &mut Look, publish: &Publish, wire: &mut Wire) -> Result<(), String> {
    if publish.qos == 1 {
        let mut output = Vec::new();
        wire::put_ack(Kind::PubAck, publish.packet_id, &mut output);
        // Should it not arrive, the next packet does not come either.
        let _ = wire.stream.write_all(&output);
    }
    if !publish.retain {
        // Somebody is at it at this moment.
        return Ok(());
    }
    let number = Message::number_in(&publish.payload)
        .ok_or_else(|| format!("a retained message on {} that nobody sent", publish.topic))?;
    look.came(&stage.shelf(), &publish.topic, number)
}
