//! A board at a stop: it sleeps, wakes up every few seconds, takes what has come meanwhile, and sleeps again.
//!
//! This is MQTT-SN as a microcontroller would speak it: one datagram at a time, each sent again until it is answered.

use std::io;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use trefoil_mqtt_sn::{
    Connect, Packet, PubAck, QoS, RegAck, ReturnCode, Subscribe, TopicFilter, TopicId, decode,
};

use super::{Device, State};
use crate::messages::{Notice, stop_topic};
use crate::vehicle::{Phase, leaves};

/// How long a board sleeps.
const SLEEP: Duration = Duration::from_secs(3);
/// What it tells the gateway. One that is silent for one and a half times as long is lost.
const SLEEP_S: u16 = 30;
const KEEP_ALIVE_S: u16 = 10;
/// How long it waits for an answer before it asks again.
const RETRY: Duration = Duration::from_millis(400);
/// How often it asks before it begins anew.
const TRIES: usize = 30;
/// How often it says goodbye when nobody answers.
const GOODBYES: usize = 5;

const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Why a conversation ended.
enum Lost {
    /// No answer, however often it asked, or the gateway does not know it.
    Gateway,
    /// The system gives no socket.
    Socket,
}

impl From<io::Error> for Lost {
    fn from(_: io::Error) -> Self {
        Lost::Socket
    }
}

impl Device {
    pub(super) async fn show(&self, mut phase: watch::Receiver<Phase>) {
        let mut clean_session = true;
        while *phase.borrow() != Phase::Leave {
            let talk = self.talk(&mut clean_session, &mut phase);
            if let Err(Lost::Socket) = talk.await {
                tokio::time::sleep(RETRY).await;
            }
        }
        self.enter(State::Gone);
    }

    /// From one CONNECT to the next. Only the first one begins a session; the others find what waits in it.
    async fn talk(&self, clean_session: &mut bool, phase: &mut watch::Receiver<Phase>) -> Result<(), Lost> {
        self.memory().state = State::Away;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(self.gateway()).await?;
        let client_id = self.client_id();
        let connect = Connect {
            will: false,
            clean_session: *clean_session,
            keep_alive_s: KEEP_ALIVE_S,
            client_id: &client_id,
        };
        self.ask(&socket, &Packet::Connect(connect), TRIES, |answer| matches!(answer, Packet::ConnAck(_)))
            .await?;
        let topic = stop_topic(&self.name, "board");
        let subscribe =
            Subscribe { dup: false, qos: QoS::AtLeastOnce, msg_id: 1, topic: TopicFilter::Name(&topic) };
        let is_subscribed = |answer: &Packet<'_>| matches!(answer, Packet::SubAck(ack) if ack.return_code == ReturnCode::ACCEPTED);
        self.ask(&socket, &Packet::Subscribe(subscribe), TRIES, is_subscribed).await?;
        *clean_session = false;
        self.memory().connections += 1;
        self.enter(State::Awake);
        let good_night = Packet::Disconnect(Some(SLEEP_S));
        self.ask(&socket, &good_night, TRIES, |answer| matches!(answer, Packet::Disconnect(_))).await?;
        loop {
            self.enter(State::Asleep);
            if timeout(SLEEP, leaves(phase)).await.is_ok() {
                return self.leave(&socket).await;
            }
            self.memory().wakes += 1;
            self.enter(State::Awake);
            // Asked again, the gateway gives again what it has given and this board has not acknowledged.
            let awake = Packet::PingReq(Some(&client_id));
            self.ask(&socket, &awake, TRIES, |answer| matches!(answer, Packet::PingResp)).await?;
        }
    }

    /// Nobody keeps anything for a board that does not come back.
    async fn leave(&self, socket: &UdpSocket) -> Result<(), Lost> {
        let client_id = self.client_id();
        let connect = Connect { will: false, clean_session: true, keep_alive_s: 1, client_id: &client_id };
        self.ask(socket, &Packet::Connect(connect), GOODBYES, |answer| matches!(answer, Packet::ConnAck(_)))
            .await?;
        let goodbye = Packet::Disconnect(None);
        self.ask(socket, &goodbye, GOODBYES, |answer| matches!(answer, Packet::Disconnect(_))).await
    }

    /// Sends a packet until its answer comes. Whatever else comes meanwhile is taken.
    async fn ask(
        &self,
        socket: &UdpSocket,
        question: &Packet<'_>,
        tries: usize,
        is_answer: impl Fn(&Packet<'_>) -> bool,
    ) -> Result<(), Lost> {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..tries {
            send(socket, question).await;
            let patience = Instant::now() + RETRY;
            while let Ok(came) = timeout_at(patience, socket.recv(&mut datagram)).await {
                // Errors tell of datagrams that found nobody; they are lost like others.
                let Ok(count) = came else { continue };
                match decode(&datagram[..count]) {
                    Ok(packet) if is_answer(&packet) => return Ok(()),
                    // It has to connect again.
                    Ok(Packet::Disconnect(_)) => return Err(Lost::Gateway),
                    Ok(packet) => self.take(socket, &packet).await,
                    Err(_) => {}
                }
            }
        }
        Err(Lost::Gateway)
    }

    async fn take(&self, socket: &UdpSocket, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => {
                let topic_id = match publish.topic {
                    TopicId::Registered(id) | TopicId::Predefined(id) => id,
                    TopicId::Short(_) => return,
                };
                if let Ok(notice) = serde_json::from_slice::<Notice>(publish.payload) {
                    let mut memory = self.memory();
                    // One that was overtaken is old.
                    if notice.n > memory.shown.count() {
                        memory.text = notice.text;
                    }
                    memory.shown.take(notice.n);
                }
                let ack = PubAck { topic_id, msg_id: publish.msg_id, return_code: ReturnCode::ACCEPTED };
                send(socket, &Packet::PubAck(ack)).await;
            }
            Packet::Register(register) => {
                let ack = RegAck {
                    topic_id: register.topic_id,
                    msg_id: register.msg_id,
                    return_code: ReturnCode::ACCEPTED,
                };
                send(socket, &Packet::RegAck(ack)).await;
            }
            _ => {}
        }
    }
}

/// What cannot be sent is lost, as other datagrams are.
async fn send(socket: &UdpSocket, packet: &Packet<'_>) {
    let mut datagram = Vec::new();
    if packet.encode(&mut datagram).is_ok() {
        let _ = socket.send(&datagram).await;
    }
}
