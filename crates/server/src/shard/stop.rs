//! The end: listeners first, then goodbyes, then what is left in the outboxes.

use super::ShardLoop;
use super::accept::Listener;
use super::connection::{Form, Phase};
use crate::stats::Kind;
use trefoil_hub::{ConnectionKey, Ending};
use trefoil_json::{Code, RequestError};
use trefoil_mqtt::{Disconnect, ReasonCode, Version};
use trefoil_websocket::CloseCode;

/// How long the last ones have to go, when others are on their way to another process.
const FROZEN_DRAIN_S: u64 = 1;

impl ShardLoop {
    /// Stops accepting, says goodbye to everybody, and lets what waits go out within the limit.
    pub(super) fn begin_stop(&mut self) {
        if self.stop_at.is_some() {
            return;
        }
        let mut drain_s = u64::from(self.net.context.limits.drain_s);
        if self.is_frozen() {
            // Others have been handed over and wait for the next process.
            drain_s = drain_s.min(FROZEN_DRAIN_S);
        }
        self.stop_at = Some(self.net.now.plus_s(drain_s));
        self.stop_listening();
        self.rooms_end();
        self.finish_run();
        let keys: Vec<_> = self.net.connections.iter().map(|(key, _)| ConnectionKey(key as u32)).collect();
        for &key in &keys {
            self.say_goodbye(key);
        }
        self.flush_all();
        for &key in &keys {
            self.end_session(key, Ending::Stopped);
            self.finish(key);
            self.set_deadline(key, self.stop_at);
        }
    }

    /// Accepts nothing more. Another process that has the sockets finds in them whoever comes from now on.
    pub(super) fn stop_listening(&mut self) {
        for listener in &mut self.listeners {
            match std::mem::replace(listener, Listener::Closed) {
                Listener::Tcp(mut sockets) => {
                    for socket in &mut sockets {
                        drop(self.poll.registry().deregister(socket));
                    }
                }
                Listener::Unix(mut sockets) => {
                    for socket in &mut sockets {
                        drop(self.poll.registry().deregister(socket));
                    }
                }
                // Peers are told with its last datagrams.
                udp @ (Listener::Udp(_) | Listener::MqttSn(_) | Listener::Framed(_)) => {
                    *listener = udp;
                }
                Listener::Closed => {}
            }
        }
    }

    /// Whether the hub stops and all that could be sent has been.
    pub(crate) fn is_stopped(&self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        self.net.now >= stop_at || self.net.connections.is_empty() && self.last_words.is_empty()
    }

    /// Sends an MQTT 5 client to another server, if there is one, and else only away.
    fn say_mqtt_goodbye(&mut self, key: ConnectionKey) {
        let context = self.net.context.clone();
        let away = Disconnect::new(ReasonCode::ServerShuttingDown);
        let goodbye = match context.mqtt.server_reference.as_deref() {
            None => away,
            server_reference => {
                Disconnect { server_reference, ..Disconnect::new(ReasonCode::UseAnotherServer) }
            }
        };
        if !self.net.answer(key, |out| goodbye.encode(Version::V5, out)) {
            // It takes no packet of that size.
            self.net.answer(key, |out| away.encode(Version::V5, out));
        }
    }

    pub(super) fn say_goodbye(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        self.json_give_up_asks(key);
        let Some(connection) = self.net.get_mut(key) else { return };
        match (&connection.form, connection.kind) {
            (Form::Mqtt(form), _) => {
                if form.version == Version::V5 {
                    self.say_mqtt_goodbye(key);
                }
            }
            (
                Form::JsonLine | Form::JsonDatagram | Form::JsonShaped(_),
                Kind::JsonTcp | Kind::JsonUdp | Kind::Poll | Kind::Sse,
            ) => {
                let goodbye = RequestError::new(Code::Unavailable, "the hub stops");
                self.net.put_json(key, |out| goodbye.encode(out));
            }
            (Form::MqttSn(_), _) => self.sn_say_goodbye(key),
            (Form::Framed(_), _) => self.framed_offline(key, "hub_stopped"),
            (_, _) => {}
        }
        self.say_close(key, CloseCode::GOING_AWAY, "the hub stops");
    }
}
