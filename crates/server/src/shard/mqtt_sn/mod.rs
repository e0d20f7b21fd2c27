//! The MQTT-SN gateway: MQTT-SN 1.2 over UDP. Sections are those of its specification.
//!
//! A client is a connection of the shard like any other (`Form::MqttSn`), and its session one of the hub, so messages,
//! wills, retained messages and queues are those of MQTT. What is the protocol's own is in [`client`] (the conversation
//! with one client: topic ids, what it has yet to answer, what is sent again, sleep) and [`topics`], both without
//! sockets and clock. [`entry`] leads datagrams to the shard that owns their client, [`connect`] and [`presence`] let
//! clients come and go, [`packets`] does what they ask, [`gateway`] is found.
//!
//! - **One at a time.** To a client one message above QoS 0 is on its way at a time, as the specification asks; so all
//!   that waits for an answer is one [`client::Exchange`], and one timer of the connection serves keep-alive, sleep and
//!   resends.
//! - **A client that sleeps keeps its connection in the hub**, which sees a connection without room: messages above
//!   QoS 0 wait in the session's queue, those of QoS 0 in the client's own, both bounded.
//! - **An address is not a client.** Behind a NAT an address can become another device's. Packets that name their
//!   client decide whose the address is; the one that had it before is sent nothing there any more.

mod client;
mod connect;
mod entry;
mod gateway;
mod packets;
mod presence;
mod topics;

pub(super) use client::Client;
pub(crate) use gateway::{Gateway, join};

use super::ShardLoop;
use super::connection::Form;
use super::net::Net;
use crate::outbox::{Outbox, Pool};
use crate::stats::Drop;
use client::{Flight, Settled, Stage, Step};
use std::sync::Arc;
use trefoil_config::MqttSn;
use trefoil_hub::{ConnectionKey, Delivery, Message, QoS, Time};
use trefoil_mqtt_sn::Packet;

/// What a shard has of the gateway for itself.
pub(super) struct Own {
    /// When the gateway advertises itself next; on the first shard only.
    pub(super) advertise_at: Option<Time>,
}

impl Own {
    pub(super) fn new(shard: usize, gateway: &Gateway) -> Own {
        let MqttSn { advertise_s, advertise_to, .. } = &gateway.settings;
        let advertises = shard == 0 && *advertise_s > 0 && advertise_to.is_some();
        Own { advertise_at: advertises.then(Time::default) }
    }
}

impl ShardLoop {
    /// The hub stops. Who sleeps would not hear it.
    pub(super) fn sn_say_goodbye(&mut self, key: ConnectionKey) {
        if self.sn_client(key).is_some_and(Client::is_reachable) {
            self.sn_answer(key, &Packet::Disconnect(None));
        }
    }

    fn sn_client(&self, key: ConnectionKey) -> Option<&Client> {
        match &self.net.get(key)?.form {
            Form::MqttSn(client) => Some(client),
            _ => None,
        }
    }

    fn sn_client_mut(&mut self, key: ConnectionKey) -> Option<&mut Client> {
        match &mut self.net.get_mut(key)?.form {
            Form::MqttSn(client) => Some(client),
            _ => None,
        }
    }

    /// Sends a packet to a client, if its address is its own.
    fn sn_answer(&mut self, key: ConnectionKey, packet: &Packet<'_>) {
        if self.sn_client(key).is_some_and(|client| client.way.is_some()) {
            self.settle();
            self.net.answer(key, |out| encode(packet, out));
        }
    }

    fn sn_ask(&mut self, key: ConnectionKey, step: Step) {
        self.net
            .with_client(key, 0, |client, gateway, now, send| client.ask(step, &gateway.settings, now, send));
    }

    /// Sends what waits for a client: what the gateway holds, then what the hub does. A client that was awake for it goes
    /// back to sleep when there is no more.
    fn sn_go_on(&mut self, key: ConnectionKey) {
        self.finish_run();
        let dropped = self
            .net
            .with_client(key, 0, |client, gateway, now, send| client.go_on(&gateway.settings, now, send))
            .unwrap_or(0);
        self.net.count_drop(Drop::NoTopicId, dropped);
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.is_starved = false;
        let session = connection.session;
        if let (Some(session), true) = (session, self.sn_client(key).is_some_and(Client::has_room)) {
            self.hub.resume(self.net.now, session, &mut self.net);
        }
        self.sn_sleep_again(key);
    }

    /// Tells the hub what a client's answer means, and goes on with what waits.
    fn sn_settle(&mut self, key: ConnectionKey, settled: Settled) {
        self.finish_run();
        let Some(session) = self.net.get(key).and_then(|connection| connection.session) else { return };
        let now = self.net.now;
        match settled {
            Settled::Nothing => {}
            Settled::Arrived { packet_id, qos: QoS::ExactlyOnce } => {
                self.hub.complete(now, session, packet_id, &mut self.net);
            }
            Settled::Arrived { packet_id, qos } | Settled::Refused { packet_id, qos } => {
                if matches!(settled, Settled::Refused { .. }) {
                    self.net.count_drop(Drop::Unacknowledged, 1);
                }
                if qos > QoS::AtMostOnce {
                    self.hub.acknowledge(now, session, packet_id, qos, &mut self.net);
                }
            }
        }
        self.sn_go_on(key);
    }
}

impl Net {
    /// Lets the conversation with a client go on; what it sends goes out once the batch `waits_for` is on disk.
    fn with_client<T>(
        &mut self,
        key: ConnectionKey,
        waits_for: u64,
        run: impl FnOnce(&mut Client, &Gateway, Time, &mut dyn FnMut(&Packet<'_>)) -> T,
    ) -> Option<T> {
        let connection = self.connections.get_mut(key.0 as usize)?;
        // Taken out for the time being, so that it can write to the connection that it is part of.
        let mut client = match std::mem::replace(&mut connection.form, Form::None) {
            Form::MqttSn(client) => client,
            other => {
                connection.form = other;
                return None;
            }
        };
        let (rope, batch) = connection.rope(waits_for, self.durable);
        let result = {
            let mut send = sink(rope, &mut self.pool);
            run(&mut client, &self.context.gateway, self.now, &mut send)
        };
        if client.exchange.is_some() {
            self.untimed.push(key);
        }
        connection.form = Form::MqttSn(client);
        self.note_held(key, batch);
        self.mark_dirty(key);
        Some(result)
    }

    /// Sends a message to an MQTT-SN client.
    pub(super) fn send_mqtt_sn(
        &mut self,
        to: ConnectionKey,
        message: &Arc<Message>,
        delivery: &Delivery<'_>,
    ) -> Result<(), Drop> {
        let &Delivery { qos, retain, dup, packet_id, .. } = delivery;
        let flight = Flight { message: message.clone(), qos, retain, dup, packet_id };
        self.with_client(to, delivery.waits_for, |client, gateway, now, send| {
            client.deliver(flight, &gateway.settings, now, send)
        })
        .unwrap_or(Err(Drop::OutboxFull))
    }

    /// Sends PUBREL to an MQTT-SN client.
    pub(super) fn release_mqtt_sn(&mut self, to: ConnectionKey, packet_id: u16, waits_for: u64) {
        self.with_client(to, waits_for, |client, gateway, now, send| {
            client.release(packet_id, &gateway.settings, now, send);
        });
    }
}

/// Puts each packet into an outbox as a datagram.
fn sink(outbox: &mut Outbox, pool: &mut Pool) -> impl FnMut(&Packet<'_>) {
    |packet| {
        outbox.append(0, pool, |out| encode(packet, out));
        outbox.seal();
    }
}

fn encode(packet: &Packet<'_>, out: &mut Vec<u8>) {
    let fits = packet.encode(out);
    debug_assert!(fits.is_ok(), "what is sent was measured before");
}

/// QoS −1 is 0 for whoever has a connection.
fn qos(qos: trefoil_mqtt_sn::QoS) -> QoS {
    match qos {
        trefoil_mqtt_sn::QoS::AtMostOnce | trefoil_mqtt_sn::QoS::MinusOne => QoS::AtMostOnce,
        trefoil_mqtt_sn::QoS::AtLeastOnce => QoS::AtLeastOnce,
        trefoil_mqtt_sn::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}
