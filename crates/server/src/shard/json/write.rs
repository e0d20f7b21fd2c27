//! The way of JSON texts into outboxes, in the shape that a connection wants.

use super::own::Shape;
use crate::outbox::{LINK_BYTES_MIN, Pool};
use crate::shard::connection::{Connection, Form};
use crate::shard::net::Net;
use trefoil_hub::{ConnectionKey, Message};
use trefoil_json::push_binary_prefix;
use trefoil_websocket::{Opcode, encode_header};

/// An array of objects does not become longer than this by another one, since a client may have little room for a frame.
pub(in crate::shard) const JOINED_BYTES_MAX: usize = 64 << 10;

/// What stands in a binary frame before the header.
const PREFIX_BYTES: usize = 3;

impl Connection {
    /// Whether objects that leave together are joined.
    pub(in crate::shard) fn is_joined(&self) -> bool {
        matches!(&self.form, Form::JsonShaped(shape) if shape.is_joined)
    }

    /// Joins the objects that have come since the last call.
    pub(in crate::shard) fn join(&mut self, pool: &mut Pool) {
        match &self.form {
            Form::JsonShaped(Shape { is_lines: true, .. }) => self.outbox.join(b"\n", pool, |_, _| {}),
            _ => self.outbox.join(b"", pool, |len, out| encode_header(true, Opcode::Text, len, out)),
        }
    }

    /// Joins what is there already, if `bytes` more would be too much in one text.
    pub(in crate::shard) fn make_room_in_array(&mut self, bytes: usize, pool: &mut Pool) {
        if self.outbox.unframed_bytes() + bytes > JOINED_BYTES_MAX {
            self.join(pool);
        }
    }

    /// Appends an object of at most `bytes_max`, to be joined with others.
    pub(in crate::shard) fn push_object(
        &mut self,
        messages: u32,
        bytes_max: usize,
        pool: &mut Pool,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.make_room_in_array(bytes_max, pool);
        self.outbox.append(messages, pool, |out| {
            write(out);
            out.push(b',');
        });
        self.outbox.note_objects(1);
    }
}

impl Net {
    /// Appends an answer, or whatever else is no message of a subscription, in whatever stands around it.
    pub(in crate::shard) fn put_json(&mut self, key: ConnectionKey, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get(key.0 as usize) else { return };
        let is_joined = connection.is_joined() && self.waits_for <= self.durable && connection.held.is_none();
        let is_websocket = match &connection.form {
            Form::JsonShaped(shape) => !shape.is_lines,
            _ => connection.kind == crate::stats::Kind::JsonWebSocket,
        };
        if !is_joined && !is_websocket {
            let is_datagram = connection.is_udp();
            self.answer(key, |out| {
                write(out);
                if !is_datagram {
                    out.push(b'\n');
                }
            });
            return;
        }
        // What stands around it depends on how long it is.
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        write(&mut text);
        match is_joined {
            true => self.join_answer(key, &text),
            false => self.answer_text(key, &text),
        }
        self.text = text;
    }

    fn join_answer(&mut self, key: ConnectionKey, text: &[u8]) {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        connection.push_object(0, text.len(), &mut self.pool, |out| out.extend_from_slice(text));
        self.stats().answers.add(1);
        self.mark_dirty(key);
    }

    /// Appends a binary frame: a header, and the message's payload behind it.
    pub(in crate::shard) fn put_binary(
        &mut self,
        key: ConnectionKey,
        header: &[u8],
        message: &Message,
        messages: u32,
    ) {
        let Some(connection) = self.connections.get_mut(key.0 as usize) else { return };
        write_binary(connection, header, &message.payload, messages, &mut self.pool, |connection| {
            let shared = message.payload.shared().filter(|payload| payload.len() >= LINK_BYTES_MIN);
            shared.map(|payload| connection.outbox.link(payload.clone(), 0)).is_some()
        });
        self.mark_dirty(key);
    }
}

/// Appends a binary frame. `link` may put the payload behind the header without copying it, and says whether it has.
pub(in crate::shard) fn write_binary(
    connection: &mut Connection,
    header: &[u8],
    payload: &[u8],
    messages: u32,
    pool: &mut Pool,
    link: impl FnOnce(&mut Connection) -> bool,
) {
    let is_joined = connection.is_joined();
    if is_joined {
        connection.join(pool);
    }
    connection.outbox.append(messages, pool, |out| {
        encode_header(true, Opcode::Binary, PREFIX_BYTES + header.len() + payload.len(), out);
        push_binary_prefix(header.len(), out);
        out.extend_from_slice(header);
    });
    if !link(connection) {
        connection.outbox.copy(payload, 0, pool);
    }
    if is_joined {
        connection.outbox.mark_framed();
    }
}
