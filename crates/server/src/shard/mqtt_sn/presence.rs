//! Whether a client is here: its address, its sleep (§6.14), its goodbye (§6.12), its loss (§6.11).

use super::client::{Client, Due, Stage};
use crate::shard::ShardLoop;
use crate::shard::connection::{Form, Link};
use crate::shard::ways::{Place, Way};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_mqtt_sn::Packet;

impl ShardLoop {
    /// Gives a client its address. If it had another one, it takes its session along; if another client had this one,
    /// that client gets nothing there from now on.
    pub(super) fn sn_bind(&mut self, key: ConnectionKey, number: usize, from: SocketAddr, way: Way) {
        if let Some(Place::Here(other)) = self.place(number, from)
            && other != key
        {
            self.sn_unbind(other);
        }
        let Some((old_number, old_addr)) = self.sn_address(key) else { return };
        let Some(client) = self.sn_client_mut(key) else { return };
        let old_way = client.way.replace(way);
        if let Some(old_way) = old_way.filter(|_| (old_number, old_addr) != (number, from)) {
            self.clear_place(old_number, old_addr, key);
            self.end_way(old_number, old_addr, Some(old_way));
        }
        if old_number != number {
            let listeners = &self.net.context.listeners;
            listeners[old_number].connections.fetch_sub(1, Ordering::Relaxed);
            listeners[number].connections.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(connection) = self.net.get_mut(key) {
            connection.listener = u16::try_from(number).expect("it is the number of a listener");
            if let Link::Udp(peer) = &mut connection.link {
                peer.addr = from;
            }
        }
        self.set_place(number, from, Place::Here(key));
    }

    /// Somebody else has the address of a client, or may have it: nothing is sent there for it any more. It is not lost
    /// for that: it may sleep, and it has its keep-alive to come back from another address.
    pub(super) fn sn_unbind(&mut self, key: ConnectionKey) {
        let Some((number, addr)) = self.sn_address(key) else { return };
        self.clear_place(number, addr, key);
        let Some(client) = self.sn_client_mut(key) else { return };
        client.way = None;
        let is_connecting = matches!(client.stage, Stage::Connecting(_));
        let Some(connection) = self.net.get(key) else { return };
        if is_connecting && connection.session.is_none() {
            return self.remove(key);
        }
        if connection.silence_ms_max == 0 {
            // Nobody would ever notice that it is gone.
            return self.sn_end(key, Ending::Lost);
        }
        if let Some(session) = connection.session {
            self.hub.set_available(session, false);
        }
    }

    /// PINGREQ with a client id: a client that sleeps asks for what has come together (§6.14).
    pub(super) fn sn_wake(&mut self, number: usize, from: SocketAddr, way: Way, client_id: &str) {
        let now = self.net.now;
        let Some(key) = self.sn_connection(client_id) else {
            // It has no session, so it has to connect; and whoever had the address does not have it now.
            if let Some(Place::Here(other)) = self.place(number, from) {
                self.sn_unbind(other);
            }
            self.sn_tell(number, from, &Packet::Disconnect(None));
            return self.end_way(number, from, Some(way));
        };
        self.sn_bind(key, number, from, way);
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.heard_at = now;
        let session = connection.session;
        let woken = self.net.with_client(key, 0, |client, gateway, now, send| match client.stage {
            Stage::Connecting(_) => None,
            Stage::Active => Some(false),
            Stage::Asleep { duration_s } | Stage::Awake { duration_s } => {
                client.stage = Stage::Awake { duration_s };
                client.forgive();
                client.repeat(&gateway.settings, now, send);
                Some(true)
            }
        });
        match woken.flatten() {
            None => return,
            Some(true) => {}
            Some(false) => {
                // It is not asleep here: its address had become another's, or it always says who it is.
                self.sn_answer(key, &Packet::PingResp);
                if let Some(session) = session {
                    self.hub.set_available(session, true);
                }
            }
        }
        self.sn_go_on(key);
    }

    /// DISCONNECT: the end, or sleep.
    pub(super) fn sn_disconnect(&mut self, key: ConnectionKey, duration_s: Option<u16>) {
        let session = self.net.get(key).and_then(|connection| connection.session);
        self.sn_answer(key, &Packet::Disconnect(None));
        let Some((session, duration_s)) = session.zip(duration_s.filter(|&s| s > 0)) else {
            return self.sn_end(key, Ending::Normal { expiry_s: None });
        };
        if let Some(client) = self.sn_client_mut(key) {
            client.stage = Stage::Asleep { duration_s };
        }
        self.hub.set_available(session, false);
        self.set_silence(key, u32::from(duration_s) * 1500);
    }

    /// Everything has been given to a client that was awake: it may go on sleeping.
    pub(super) fn sn_sleep_again(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get(key) else { return };
        let Form::MqttSn(client) = &connection.form else { return };
        if let Stage::Awake { duration_s } = client.stage
            && client.is_idle()
            && !connection.is_starved
        {
            self.sn_answer(key, &Packet::PingResp);
            if let Some(client) = self.sn_client_mut(key) {
                client.stage = Stage::Asleep { duration_s };
            }
        }
    }

    /// What the passing of time does to a client.
    pub(in crate::shard) fn sn_due(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let settings = &self.net.context.gateway.settings;
        let Some(connection) = self.net.connections.get_mut(key.0 as usize) else { return };
        let silence = u64::from(connection.silence_ms_max);
        if silence > 0 && connection.heard_at.plus_ms(silence) <= now {
            return self.sn_lose(key, "nothing came for one and a half times what was agreed");
        }
        let Form::MqttSn(client) = &mut connection.form else { return };
        let due = client.resend(settings, now, &mut super::sink(&mut connection.outbox, &mut self.net.pool));
        match (due, &client.stage) {
            (Due::Nothing, _) => {}
            (Due::Resent, _) => {
                self.net.stats().mqtt_sn_resends.add(1);
                self.net.mark_dirty(key);
            }
            // It has gone to sleep without an answer, and gets the message again when it asks.
            (Due::GivenUp, &Stage::Awake { duration_s }) => client.stage = Stage::Asleep { duration_s },
            (Due::GivenUp, _) => self.sn_lose(key, "it did not answer, however often it was asked"),
        }
    }

    fn sn_lose(&mut self, key: ConnectionKey, why: &str) {
        let Some(connection) = self.net.get(key) else { return };
        let client_id = connection.session.and_then(|s| self.hub.client_id(s)).map_or("", |id| id);
        tracing::debug!(client_id, why, "an MQTT-SN client is lost");
        self.net.stats().mqtt_sn_lost.add(1);
        if self.sn_client(key).is_some_and(|client| client.is_reachable()) {
            // Should it be there after all, it learns that it has to connect again.
            self.sn_answer(key, &Packet::Disconnect(None));
        }
        self.sn_end(key, Ending::Lost);
    }

    /// The client is gone. Its will outlasts it if its session does (§6.3).
    pub(super) fn sn_end(&mut self, key: ConnectionKey, ending: Ending) {
        let session = self.net.get(key).and_then(|connection| connection.session);
        let kept = session.and_then(|session| {
            Some((self.hub.client_id(session)?.clone(), self.hub.will(session)?.clone()))
        });
        self.end_session(key, ending);
        if let (Some(session), Some((client_id, will))) = (session, kept)
            && self.hub.find(&client_id) == Some(session)
        {
            self.hub.set_will(session, Some(will));
        }
        self.flush(key);
        self.remove(key);
    }

    /// The connection ends, or its session goes to another one: the hub learns what had not left yet.
    pub(in crate::shard) fn sn_hold_back(&mut self, key: ConnectionKey) {
        let Some(packet_id) = self.sn_client(key).and_then(Client::unsent) else { return };
        if let Some(session) = self.net.get(key).and_then(|connection| connection.session) {
            self.hub.held_back(session, packet_id);
        }
    }

    /// A client of another protocol is about to take the session of this client id.
    pub(in crate::shard) fn sn_before_takeover(&mut self, client_id: &str) {
        if let Some(key) = self.sn_connection(client_id) {
            self.sn_hold_back(key);
        }
    }

    /// It has: the client hears at once that it has to connect again.
    pub(in crate::shard) fn sn_taken_over(&mut self, key: ConnectionKey) {
        self.sn_say_goodbye(key);
        self.flush(key);
        self.remove(key);
    }

    fn sn_address(&self, key: ConnectionKey) -> Option<(usize, SocketAddr)> {
        let connection = self.net.get(key)?;
        match &connection.link {
            Link::Udp(peer) => Some((usize::from(connection.listener), peer.addr)),
            Link::Stream(_) | Link::Channel(_) => None,
        }
    }
}
