//! Connections that move: to the shard that owns their session, and back from beside the shards.

use super::ShardLoop;
use super::channel::Opening;
use super::connection::{Form, Input, Link, MqttInput};
use crate::mail::{Arrival, Mail, Stage};
use crate::stats::Kind;
use crate::stream::Stream;
use std::io::IoSlice;
use trefoil_hub::ConnectionKey;
use trefoil_websocket::Receiver;

impl ShardLoop {
    /// Takes a connection in that another thread has accepted.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Arrival { stream, listener, mut input, output, forwarded, user, stage } = arrival;
        let partner = match &stage {
            Stage::Stream(_, partner) => Some(*partner),
            _ => None,
        };
        if self.stop_at.is_some() {
            return self.dismiss(listener);
        }
        // It may have been banned while it was on its way.
        let address = forwarded.client().or_else(|| stream.peer().map(|peer| peer.ip()));
        if address.is_some_and(|address| self.net.context.bans.refuses_address(address)) {
            partner.into_iter().for_each(|partner| self.stream_lost_on_the_way(partner));
            return self.dismiss(listener);
        }
        let Some(key) = self.add_stream(stream, listener) else {
            return partner.into_iter().for_each(|partner| self.stream_lost_on_the_way(partner));
        };
        if let Some(connection) = self.net.get_mut(key) {
            connection.user = user;
            connection.forwarded = forwarded.client().map(|_| Box::new(forwarded));
        }
        match stage {
            Stage::First => {}
            Stage::Mqtt => self.set_input(key, Kind::Mqtt, Input::Mqtt(Box::default())),
            Stage::MqttWebSocket { receiver, connect, deflate } => {
                self.net.answer(key, |out| out.extend_from_slice(&output));
                if let Some(connection) = self.net.get_mut(key) {
                    connection.outbox.mark_framed();
                    connection.deflate = deflate;
                }
                let mut state = Box::<MqttInput>::default();
                self.set_input(key, Kind::MqttWebSocket, Input::Taken);
                self.mqtt_bytes(key, &mut state, &connect);
                self.put_back(key, Input::MqttWebSocket(receiver, state));
                self.begin_pings(key);
            }
            Stage::Stream(waiting, partner) => self.stream_arrive(key, *waiting, partner, &output),
            Stage::Framed(framed) => {
                if !self.framed_arrive(key, framed) {
                    return;
                }
            }
            Stage::Channel(opening) => input = self.channel_arrive(key, opening, input),
            Stage::Json { receiver, requests, deflate } => {
                self.net.answer(key, |out| out.extend_from_slice(&output));
                let is_websocket = receiver.is_some();
                if let Some(connection) = self.net.get_mut(key) {
                    connection.deflate = deflate;
                }
                self.json_arrive(key, receiver, &requests);
                if is_websocket {
                    self.begin_pings(key);
                }
            }
        }
        if self.is_leaving.is_some() {
            return self.leave_json_again(key, input);
        }
        // What came behind a password waits for that to be looked at.
        let consumed = if self.is_waiting(key) { 0 } else { self.feed(key, &mut input) };
        if let Some(connection) = self.net.get_mut(key) {
            connection.rest = input.split_off(consumed);
            // What came while it was on its way makes no event here.
            self.note_readable(key);
        }
    }

    /// Sends a connection to the shard in `is_leaving`. `input` is what has been read of it and not been dealt with.
    pub(super) fn leave(
        &mut self,
        key: ConnectionKey,
        websocket: Option<(Box<Receiver>, Box<MqttInput>)>,
        input: Vec<u8>,
    ) {
        let Some(shard) = self.is_leaving.take() else { return };
        let Some(connection) = self.net.get_mut(key) else { return };
        let (user, kind) = (connection.user.take(), connection.kind);
        let forwarded = connection.proxied();
        let deflate = std::mem::take(&mut connection.deflate);
        let (opening, input) = Opening::of(&mut connection.input, input);
        let Some((stream, listener, output)) = self.take_out(key) else { return };
        let stage = match websocket {
            Some((receiver, state)) => Stage::MqttWebSocket { receiver, connect: state.partial, deflate },
            None if opening.is_some() => opening.map_or(Stage::First, Stage::Channel),
            None if matches!(kind, Kind::New | Kind::Http) => Stage::First,
            None => Stage::Mqtt,
        };
        let arrival = Arrival { stream, listener, input, output, forwarded, user, stage };
        self.net.mail[shard].push(Mail::Arrival(Box::new(arrival)));
    }

    /// The same for one that speaks JSON and has said another name in what had waited. `input` is what comes behind that.
    pub(super) fn leave_json_again(&mut self, key: ConnectionKey, input: Vec<u8>) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let receiver = match std::mem::replace(&mut connection.input, Input::Ignored) {
            Input::JsonWebSocket(receiver) => Some(receiver),
            _ => None,
        };
        self.leave_json(key, receiver, input);
    }

    /// The same for a connection that speaks JSON, over WebSocket if there is a receiver.
    pub(super) fn leave_json(&mut self, key: ConnectionKey, receiver: Option<Box<Receiver>>, input: Vec<u8>) {
        let Some(shard) = self.is_leaving.take() else { return };
        let requests = self.json_take_pending(key);
        let Some(connection) = self.net.get_mut(key) else { return };
        connection.form = Form::None;
        let (user, deflate) = (connection.user.take(), std::mem::take(&mut connection.deflate));
        let forwarded = connection.proxied();
        let Some((stream, listener, output)) = self.take_out(key) else { return };
        let stage = Stage::Json { receiver, requests, deflate };
        let arrival = Arrival { stream, listener, input, output, forwarded, user, stage };
        self.net.mail[shard].push(Mail::Arrival(Box::new(arrival)));
    }

    /// Takes a connection out of this shard, still counted in. Returns its socket, listener and what it has yet to be
    /// sent.
    pub(super) fn take_out(&mut self, key: ConnectionKey) -> Option<(Stream, usize, Vec<u8>)> {
        let mut connection = self.net.connections.try_remove(key.0 as usize)?;
        self.net.outbox_bytes = self.net.outbox_bytes.saturating_sub(connection.counted_bytes);
        self.net.stats().connections[connection.kind as usize].add(1u64.wrapping_neg());
        debug_assert!(connection.session.is_none() && matches!(connection.form, Form::None));
        let mut output = Vec::new();
        while !connection.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[])];
            connection.outbox.slices(&mut slices);
            output.extend_from_slice(&slices[0]);
            connection.outbox.drop_first(&mut self.net.pool);
        }
        let Link::Stream(mut stream) = connection.link else { return None };
        if let Err(error) = self.poll.registry().deregister(&mut stream) {
            tracing::warn!(%error, "a connection is dropped since the kernel will not let go of it");
            self.dismiss(usize::from(connection.listener));
            return None;
        }
        Some((stream, usize::from(connection.listener), output))
    }
}
