//! MQTT-SN clients with sessions that last: two that publish, one that listens, and one that sleeps.
//!
//! Datagrams need not arrive, so whatever has to be answered is sent again until it is. A hub that was started anew does
//! not know the address any more and says DISCONNECT; then the client connects again, and goes on.

use super::players::{DEVICE_PUBLISHERS, DEVICE_RECEIVERS, DEVICE_TOPICS};
use super::stage::Stage;
use crate::mqtt_sn::{connect_body, kind, publish_body, unpack};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::{Event, Message, Random};

/// How long an answer is waited for before the question is sent again.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a device waits for a datagram before it thinks of something else to do.
const TURN: Duration = Duration::from_millis(5);

/// It is a repetition.
const DUP: u8 = 0x80;

/// Accepted.
const FINE: u8 = 0;
/// The topic id stands for nothing.
const INVALID_TOPIC_ID: u8 = 2;

/// The hub does not know the device, or the round is over.
struct Lost;

struct Device<'a> {
    stage: &'a Stage,
    socket: UdpSocket,
    number: usize,
    id: String,
    last_msg_id: u16,
    /// What the hub's topic ids stand for, on this connection.
    names: HashMap<u16, String>,
    /// Messages at QoS 2 that came and are not released, by message id.
    held: BTreeMap<u16, u64>,
}

/// A device's part in a round.
pub(super) fn play(stage: &Stage, number: usize, seed: u64) {
    let mut device = match Device::new(stage, number) {
        Ok(device) => device,
        Err(error) => return stage.fail(format!("client {number} (MQTT-SN) has no socket: {error}")),
    };
    let random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    if DEVICE_PUBLISHERS.contains(&number) {
        device.publishes(1 + (number - DEVICE_PUBLISHERS.start) as u8, random);
    } else {
        // The one that sleeps takes messages at QoS 2.
        let sleeps = number > DEVICE_RECEIVERS.start;
        device.listens(1 + u8::from(sleeps), sleeps, random);
    }
}

impl Device<'_> {
    fn new(stage: &Stage, number: usize) -> std::io::Result<Device<'_>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, stage.devices_port))?;
        socket.set_read_timeout(Some(TURN))?;
        let (names, held, id) = (HashMap::new(), BTreeMap::new(), format!("device-{number}"));
        Ok(Device { stage, socket, number, id, last_msg_id: 0, names, held })
    }

    /// Sends a packet; it is lost if the hub is not there.
    fn send(&self, kind: u8, body: &[u8]) {
        let length = u8::try_from(body.len() + 2).expect("all packets here are short");
        let _ = self.socket.send(&[&[length, kind], body].concat());
    }

    /// What comes within a moment.
    fn receive(&self) -> Option<(u8, Vec<u8>)> {
        let mut buffer = [0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(count) => Some(unpack(&buffer[..count])),
            Err(error) => {
                // The hub is not there, and says so at once.
                if error.kind() == std::io::ErrorKind::ConnectionRefused {
                    std::thread::sleep(TURN);
                }
                None
            }
        }
    }

    /// Sends until the answer comes, and gives it. What else comes is handled as usual.
    fn ask(
        &mut self,
        kind: u8,
        mut body: impl FnMut(usize) -> Vec<u8>,
        is_answer: impl Fn(u8, &[u8]) -> bool,
    ) -> Result<(u8, Vec<u8>), Lost> {
        // A hub that does not know the device leaves a goodbye without an answer.
        let tries = if kind == kind::DISCONNECT { 4 } else { usize::MAX };
        for count in 0..tries {
            self.send(kind, &body(count));
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                if self.stage.is_over() {
                    return Err(Lost);
                }
                match self.receive() {
                    None => {}
                    Some((kind, body)) if is_answer(kind, &body) => return Ok((kind, body)),
                    Some((kind::DISCONNECT, _)) => return Err(Lost),
                    Some((kind, body)) => self.handle(kind, &body),
                }
            }
        }
        Err(Lost)
    }

    /// Connects, to the session that it has. Until it is there only the answer to that counts.
    fn connect(&mut self, was_connected: &mut bool) -> Result<(), Lost> {
        self.names.clear();
        let hello = connect_body(0, 600, &self.id);
        loop {
            // An answer to what was sent before may still say that the hub does not know the address.
            let asked = self.ask(kind::CONNECT, |_| hello.clone(), |kind, _| kind == kind::CONNACK);
            match asked {
                Ok((_, body)) if body == [FINE] => break,
                Ok((_, body)) => {
                    self.fail(&format!("is refused with {body:?}"));
                    return Err(Lost);
                }
                Err(Lost) if self.stage.is_over() => return Err(Lost),
                Err(Lost) => {}
            }
        }
        if !std::mem::replace(was_connected, true) {
            self.stage.sessions.fetch_add(1, SeqCst);
        }
        Ok(())
    }

    fn msg_id(&mut self) -> u16 {
        self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
        self.last_msg_id
    }

    fn fail(&self, why: &str) {
        self.stage.fail(format!("client {} (MQTT-SN): {why}", self.number));
    }

    // Publishing.

    fn publishes(&mut self, qos: u8, mut random: Random) {
        let mut was_connected = false;
        let mut pending: Option<Pending> = None;
        let stage = self.stage;
        while !(stage.is_over() || stage.is_settling() && pending.is_none()) {
            let _ = self.publishes_on_a_connection(qos, &mut random, &mut pending, &mut was_connected);
        }
        stage.is_through(&format!("client {}", self.number));
    }

    /// Until the hub does not know the device any more.
    fn publishes_on_a_connection(
        &mut self,
        qos: u8,
        random: &mut Random,
        pending: &mut Option<Pending>,
        was_connected: &mut bool,
    ) -> Result<(), Lost> {
        self.connect(was_connected)?;
        let mut ids = HashMap::new();
        for topic in DEVICE_TOPICS {
            let msg_id = self.msg_id();
            let [high, low] = msg_id.to_be_bytes();
            let body = [&[0, 0, high, low], topic.as_bytes()].concat();
            let is_answer = |kind: u8, body: &[u8]| kind == kind::REGACK && body[2..4] == [high, low];
            let (_, answer) = self.ask(kind::REGISTER, |_| body.clone(), is_answer)?;
            if answer[4] != FINE {
                self.fail(&format!("REGACK {answer:02x?} for {topic}"));
                return Err(Lost);
            }
            ids.insert(topic.to_owned(), [answer[0], answer[1]]);
        }
        while !(self.stage.is_settling() && pending.is_none()) {
            let mut now = match pending.take() {
                Some(pending) => pending,
                None => {
                    std::thread::sleep(Duration::from_millis(random.below(10) as u64));
                    self.draw(qos, random)
                }
            };
            let sent = self.hand_over(&mut now, &ids);
            if sent.is_err() {
                *pending = Some(now);
                return sent;
            }
        }
        Ok(())
    }

    fn draw(&mut self, qos: u8, random: &mut Random) -> Pending {
        let message = Message {
            number: self.stage.number(),
            topic: (*random.one_of(&DEVICE_TOPICS)).into(),
            qos,
            retain: false,
            expiry_s: None,
            payload_bytes: 0,
            delay_s: None,
            clears: false,
        };
        Pending { message, msg_id: self.msg_id(), was_sent: false, is_released: false }
    }

    /// Publishes one message, or goes on with it.
    fn hand_over(&mut self, pending: &mut Pending, ids: &HashMap<String, [u8; 2]>) -> Result<(), Lost> {
        let (stage, number) = (self.stage, self.number);
        let Pending { message, msg_id, was_sent, is_released } = pending;
        let name = msg_id.to_be_bytes();
        if !*is_released {
            let (id, payload) = (ids[&message.topic], format!("{} ", message.number));
            let body = |_| {
                let mut evidence = stage.evidence();
                let is_again = std::mem::replace(was_sent, true);
                evidence.main.add(
                    number,
                    if is_again { Event::Resent(message.number) } else { Event::Sent(message.clone()) },
                );
                let dup = if is_again { DUP } else { 0 };
                publish_body(message.qos << 5 | dup, id, *msg_id, &payload)
            };
            let is_answer = |kind: u8, body: &[u8]| match kind {
                kind::PUBACK => body[2..4] == name,
                kind::PUBREC => body[..2] == name,
                _ => false,
            };
            match self.ask(kind::PUBLISH, body, is_answer)? {
                (kind::PUBACK, body) if message.qos == 1 && body[4] == FINE => {}
                (kind::PUBREC, _) if message.qos == 2 => {}
                (kind, body) => {
                    self.fail(&format!(
                        "message {} is answered with {kind:#04x} {body:02x?}",
                        message.number
                    ));
                    return Err(Lost);
                }
            }
            stage.evidence().main.add(number, Event::Acknowledged(message.number));
            if message.qos == 1 {
                return Ok(());
            }
            *is_released = true;
        }
        let is_answer = |kind: u8, body: &[u8]| kind == kind::PUBCOMP && body[..2] == name;
        self.ask(kind::PUBREL, |_| name.to_vec(), is_answer).map(drop)
    }

    // Listening.

    fn listens(&mut self, qos: u8, sleeps: bool, mut random: Random) {
        let (mut was_connected, mut is_subscribed, mut is_through) = (false, false, false);
        while !self.stage.is_over() {
            if self.connect(&mut was_connected).is_err() {
                continue;
            }
            if !is_subscribed && self.subscribe(qos).is_err() {
                continue;
            }
            is_subscribed = true;
            if !std::mem::replace(&mut is_through, true) {
                self.stage.is_through(&format!("client {}", self.number));
            }
            // Either goes on until the hub does not know the device any more.
            let _ = if sleeps { self.sleeps(&mut random) } else { self.stays_awake() };
        }
    }

    fn subscribe(&mut self, qos: u8) -> Result<(), Lost> {
        let (stage, number, filter) = (self.stage, self.number, "m/#");
        let asking = Event::Subscribing { filter: filter.into(), qos, wants_retained: false, request: 1 };
        stage.evidence().main.add(number, asking);
        let name = self.msg_id().to_be_bytes();
        let body = [&[qos << 5], &name[..], filter.as_bytes()].concat();
        let is_answer = |kind: u8, body: &[u8]| kind == kind::SUBACK && body[3..5] == name;
        let (_, answer) = self.ask(kind::SUBSCRIBE, |_| body.clone(), is_answer)?;
        if answer[5] != FINE || answer[0] >> 5 & 3 != qos {
            self.fail(&format!("SUBACK {answer:02x?} for QoS {qos}"));
        }
        stage.evidence().main.add(number, Event::Subscribed { filter: filter.into(), qos, request: 1 });
        Ok(())
    }

    /// Takes what comes, and asks now and then whether the hub is still there.
    fn stays_awake(&mut self) -> Result<(), Lost> {
        loop {
            self.ask(kind::PINGREQ, |_| Vec::new(), |kind, _| kind == kind::PINGRESP)?;
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until && !self.stage.is_over() {
                match self.receive() {
                    None => {}
                    Some((kind::DISCONNECT, _)) => return Err(Lost),
                    Some((kind, body)) => self.handle(kind, &body),
                }
            }
        }
    }

    /// Sleeps, and fetches what has come meanwhile.
    fn sleeps(&mut self, random: &mut Random) -> Result<(), Lost> {
        let duration = 600_u16.to_be_bytes();
        // The answer to a goodbye for a while is a DISCONNECT, as it is from a hub that knows of nothing.
        self.ask(kind::DISCONNECT, |_| duration.to_vec(), |kind, _| kind == kind::DISCONNECT)?;
        loop {
            std::thread::sleep(Duration::from_millis(random.between(5, 150) as u64));
            let id = self.id.clone().into_bytes();
            self.ask(kind::PINGREQ, |_| id.clone(), |kind, _| kind == kind::PINGRESP)?;
        }
    }

    /// What the hub sends by itself.
    fn handle(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (kind::REGISTER, [high, low, first, second, topic @ ..]) => {
                let topic = String::from_utf8_lossy(topic).into_owned();
                self.names.insert(u16::from_be_bytes([*high, *low]), topic);
                self.send(kind::REGACK, &[*high, *low, *first, *second, FINE]);
            }
            (kind::PUBLISH, [flags, high, low, first, second, payload @ ..]) => {
                let (topic_id, msg_id) = ([*high, *low], [*first, *second]);
                let Some(topic) = self.names.get(&u16::from_be_bytes(topic_id)).cloned() else {
                    let answer = [topic_id, msg_id].concat();
                    return self.send(kind::PUBACK, &[&answer[..], &[INVALID_TOPIC_ID]].concat());
                };
                self.came(*flags, topic, topic_id, msg_id, payload);
            }
            (kind::PUBREL, [first, second]) => {
                self.held.remove(&u16::from_be_bytes([*first, *second]));
                self.send(kind::PUBCOMP, body);
            }
            // Answers to what was sent twice.
            _ => {}
        }
    }

    fn came(&mut self, flags: u8, topic: String, topic_id: [u8; 2], msg_id: [u8; 2], payload: &[u8]) {
        let (qos, dup) = (flags >> 5 & 3, flags & DUP > 0);
        let Some(number) = Message::number_in(payload) else {
            return self.fail(&format!("gets a message on {topic} that nobody sent"));
        };
        let is_new = match qos {
            2 => match self.held.insert(u16::from_be_bytes(msg_id), number) {
                None => true,
                Some(known) if known == number => false,
                Some(known) => {
                    return self
                        .fail(&format!("message id {msg_id:?} of message {known} is used for {number}"));
                }
            },
            _ => true,
        };
        if is_new {
            let delivered = Event::Delivered { number, topic, qos, retain: false, dup };
            self.stage.evidence().main.add(self.number, delivered);
        }
        match qos {
            1 => self.send(kind::PUBACK, &[&topic_id[..], &msg_id, &[FINE]].concat()),
            2 => self.send(kind::PUBREC, &msg_id),
            _ => {}
        }
    }
}

/// A message that a device has under way.
struct Pending {
    message: Message,
    msg_id: u16,
    was_sent: bool,
    is_released: bool,
}
