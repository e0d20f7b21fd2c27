//! Compression of WebSocket messages (RFC 7692): the compressors that all connections of a shard share.
//!
//! Since a shard does one thing at a time, a compressor for each size of window and one inflater serve all of its
//! connections, one message after the other: a hundred thousand of them hold no window. Only a connection that was promised
//! to keep its window from message to message has one of its own, and there are at most `websocket.contexts_max` of these.

use super::ShardLoop;
use super::connection::{Connection, Phase};
use super::net::Net;
use crate::context::Context;
use crate::outbox;
use crate::stats::Kind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use trefoil_config::WebSocket;
use trefoil_hub::ConnectionKey;
use trefoil_websocket::deflate::{
    Agreed, Deflater, Inflater, Policy, WINDOW_BITS_MAX, WINDOW_BITS_MIN, negotiate,
};
use trefoil_websocket::handshake::Refused;
use trefoil_websocket::{Opcode, Violation, encode_deflated_header, encode_frame};

/// What one connection may have inflated in a tick: then others have their turn. A message is inflated whole, however large
/// it is.
pub(super) const INFLATED_BYTES_PER_TICK: usize = 1 << 20;

/// What stands before the bytes of a stored block.
const STORED_HEAD_BYTES: usize = 5;

/// The end of what a [`Deflater`] makes, which it leaves out: needed where something follows.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Buffers do not stay larger than this.
const BUFFER_BYTES_KEPT: usize = 128 << 10;

/// Windows that connections keep, of all shards.
#[derive(Default)]
pub(crate) struct Contexts(Arc<AtomicUsize>);

/// The right to keep one window.
struct Place(Arc<AtomicUsize>);

impl Contexts {
    fn take(&self, max: usize) -> Option<Place> {
        let more = |count| (count < max).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How messages of a connection are compressed.
#[derive(Default)]
pub(crate) struct Deflate {
    /// The bits of the window with which those towards the client are compressed; 0: they are not.
    pub(super) window_bits: u8,
    own: Option<Box<Own>>,
}

/// Windows that are kept from message to message, where that was agreed on.
struct Own {
    deflater: Option<(Deflater, Place)>,
    inflater: Option<(Inflater, Place)>,
}

impl Deflate {
    /// For everybody with this window who keeps none.
    pub(super) fn shared(window_bits: u8) -> Deflate {
        Deflate { window_bits, own: None }
    }

    /// Whether anything of it was agreed on with the client.
    pub(super) fn is_agreed(&self) -> bool {
        self.window_bits > 0 || self.own.is_some()
    }

    /// Whether messages towards the client refer to those before them. Then all that are compressed have to be so in the
    /// order in which they are sent.
    pub(super) fn keeps_context(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.deflater.is_some())
    }
}

/// The compressors of a shard.
pub(super) struct Pool {
    level: u8,
    bytes_min: usize,
    deflaters: [Option<Deflater>; (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize],
    inflater: Option<Inflater>,
    /// Kept for their memory.
    inflated: Vec<u8>,
    deflated: Vec<u8>,
}

impl Pool {
    pub(super) fn new(settings: &WebSocket) -> Pool {
        Pool {
            level: settings.compression_level,
            bytes_min: settings.compression_bytes_min,
            deflaters: [const { None }; (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize],
            inflater: None,
            inflated: Vec::new(),
            deflated: Vec::new(),
        }
    }

    /// Whether a message of so many bytes is worth it.
    pub(super) fn wants(&self, bytes: usize) -> bool {
        bytes >= self.bytes_min.max(1)
    }

    /// Appends a message's compressed form, for everybody with this window.
    pub(super) fn deflate(&mut self, window_bits: u8, payload: &[u8], out: &mut Vec<u8>) {
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let level = self.level;
        self.deflaters[usize::from(window_bits - WINDOW_BITS_MIN)]
            .get_or_insert_with(|| Deflater::new(level, window_bits, false))
            .message(payload, out);
    }

    /// The compressed form of what many messages begin with, to which [the rest](Self::frame_joined) can be joined; empty
    /// if it is not worth it.
    pub(super) fn beginning(&mut self, window_bits: u8, text: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::new();
        if self.wants(text.len()) {
            self.deflate(window_bits, text, &mut deflated);
            deflated.extend_from_slice(&TAIL);
            if deflated.len() + STORED_HEAD_BYTES > text.len() {
                deflated.clear();
            }
        }
        deflated
    }

    /// Appends a frame with a message, compressed if that makes it smaller.
    pub(super) fn frame(&mut self, deflate: &mut Deflate, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        if deflate.window_bits == 0 || !self.wants(payload.len()) {
            return encode_frame(opcode, payload, out);
        }
        let mut deflated = std::mem::take(&mut self.deflated);
        deflated.clear();
        let own = deflate.own.as_mut().and_then(|own| own.deflater.as_mut());
        // What has gone into a window that is kept has to be sent as it came out.
        let has_to_go = own.is_some();
        match own {
            Some((deflater, _)) => deflater.message(payload, &mut deflated),
            None => self.deflate(deflate.window_bits, payload, &mut deflated),
        }
        if has_to_go || deflated.len() < payload.len() {
            encode_deflated_header(opcode, deflated.len(), out);
            out.extend_from_slice(&deflated);
        } else {
            encode_frame(opcode, payload, out);
        }
        self.deflated = kept(deflated);
    }

    /// Appends a frame with a message that may be sent in another order than it is made in.
    pub(super) fn frame_apart(
        &mut self,
        deflate: &Deflate,
        opcode: Opcode,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        if deflate.keeps_context() {
            // The client's window would not be what the compressor takes it for.
            return encode_frame(opcode, payload, out);
        }
        self.frame(&mut Deflate::shared(deflate.window_bits), opcode, payload, out);
    }

    /// Appends a frame with a message whose beginning has been compressed already: the rest is put behind that as it is.
    pub(super) fn frame_joined(deflated: &[u8], rest: &[u8], out: &mut Vec<u8>) {
        let rest_len = rest.len() as u16;
        debug_assert_eq!(usize::from(rest_len), rest.len());
        encode_deflated_header(Opcode::Text, deflated.len() + STORED_HEAD_BYTES + rest.len() + 1, out);
        out.extend_from_slice(deflated);
        // A stored block (RFC 1951 §3.2.4), and the first byte of the empty one that ends a message (RFC 7692 §7.2.1).
        out.push(0);
        out.extend_from_slice(&rest_len.to_le_bytes());
        out.extend_from_slice(&(!rest_len).to_le_bytes());
        out.extend_from_slice(rest);
        out.push(0);
    }

    /// A message as it was before it was compressed, in a buffer to be [given back](Self::give_back).
    fn inflate(
        &mut self,
        deflate: &mut Deflate,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, Violation> {
        let mut inflated = std::mem::take(&mut self.inflated);
        let inflater = match deflate.own.as_mut().and_then(|own| own.inflater.as_mut()) {
            Some((inflater, _)) => inflater,
            None => self.inflater.get_or_insert_with(|| Inflater::new(WINDOW_BITS_MAX, false)),
        };
        match inflater.message(payload, bytes_max, &mut inflated) {
            Ok(()) => Ok(inflated),
            Err(violation) => {
                self.give_back(inflated);
                Err(violation)
            }
        }
    }

    pub(super) fn give_back(&mut self, inflated: Vec<u8>) {
        self.inflated = kept(inflated);
    }

    /// Gives back all memory.
    pub(super) fn clear(&mut self) {
        self.deflaters = [const { None }; (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize];
        (self.inflater, self.inflated, self.deflated) = (None, Vec::new(), Vec::new());
    }
}

fn kept(buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() <= BUFFER_BYTES_KEPT { buffer } else { Vec::new() }
}

/// Chooses among what a client offers in its handshake.
///
/// # Errors
/// When its headers are wrong.
pub(super) fn agree<'a>(
    context: &Context,
    kind: Kind,
    headers: impl Iterator<Item = &'a [u8]>,
) -> Result<(Option<Agreed>, Deflate), Refused> {
    let settings = &context.websocket;
    let is_on = match kind {
        Kind::MqttWebSocket => settings.mqtt_compression,
        // What the bytes of a stream are is not known, and many will not become fewer.
        Kind::StreamWebSocket => false,
        _ => settings.compression,
    };
    let take = || is_on.then(|| context.contexts.take(settings.contexts_max)).flatten();
    let (for_deflater, for_inflater) = (take(), take());
    let policy = Policy {
        window_bits_max: settings.window_bits_max,
        keeps_server_context: for_deflater.is_some(),
        keeps_client_context: for_inflater.is_some(),
    };
    let Some(agreed) = negotiate(headers, &policy)?.filter(|_| is_on) else {
        return Ok((None, Deflate::default()));
    };
    let bits = |said: Option<u8>| said.unwrap_or(WINDOW_BITS_MAX);
    let (server_bits, client_bits) =
        (bits(agreed.server_max_window_bits), bits(agreed.client_max_window_bits));
    let deflater = for_deflater
        .filter(|_| !agreed.server_no_context_takeover)
        .map(|place| (Deflater::new(settings.compression_level, server_bits, true), place));
    let inflater = for_inflater
        .filter(|_| !agreed.client_no_context_takeover)
        .map(|place| (Inflater::new(client_bits, true), place));
    let own = (deflater.is_some() || inflater.is_some()).then(|| Box::new(Own { deflater, inflater }));
    Ok((Some(agreed), Deflate { window_bits: server_bits, own }))
}

impl Net {
    /// Inflates a message that a client has sent.
    pub(super) fn inflate(
        &mut self,
        key: ConnectionKey,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, Violation> {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return Ok(Vec::new()) };
        self.deflate.inflate(&mut connection.deflate, payload, bytes_max)
    }

    /// Answers with a text frame.
    pub(super) fn answer_text(&mut self, key: ConnectionKey, text: &[u8]) {
        self.answer_message(key, Opcode::Text, text, false);
    }

    /// Answers with a message. `is_in_order`: nothing is sent to this connection but by this.
    pub(super) fn answer_message(
        &mut self,
        key: ConnectionKey,
        opcode: Opcode,
        payload: &[u8],
        is_in_order: bool,
    ) {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        if connection.deflate.window_bits == 0 || !self.deflate.wants(payload.len()) {
            self.answer(key, |out| encode_frame(opcode, payload, out));
            return;
        }
        let mut frame = Vec::new();
        match is_in_order {
            true => self.deflate.frame(&mut connection.deflate, opcode, payload, &mut frame),
            false => self.deflate.frame_apart(&connection.deflate, opcode, payload, &mut frame),
        }
        self.answer(key, |out| out.extend_from_slice(&frame));
    }

    /// Puts one frame around all MQTT packets that have been appended to an outbox since the last.
    pub(super) fn frame_packets(connection: &mut Connection, pool: &mut Pool, buffers: &mut outbox::Pool) {
        let Connection { outbox, deflate, .. } = connection;
        if deflate.window_bits > 0 && pool.wants(outbox.unframed_bytes()) {
            let frame = |packets: &[u8], out: &mut Vec<u8>| pool.frame(deflate, Opcode::Binary, packets, out);
            outbox.replace_unframed(buffers, frame);
        } else {
            let head =
                |len, out: &mut Vec<u8>| trefoil_websocket::encode_header(true, Opcode::Binary, len, out);
            outbox.frame(buffers, head);
        }
    }
}

impl ShardLoop {
    /// Whether a connection has had so much inflated that what else was read of it waits for the next tick.
    pub(super) fn gives_way(&mut self, key: ConnectionKey, inflated_bytes: usize) -> bool {
        if inflated_bytes < INFLATED_BYTES_PER_TICK {
            return false;
        }
        let Some(connection) = self.net.get_mut(key).filter(|c| c.phase == Phase::Open) else { return false };
        connection.has_more = true;
        self.note_readable(key);
        true
    }
}
