//! The end of a tick: what became dirty is written, each outbox with one call where the socket takes it all.

use super::ShardLoop;
use super::connection::{Input, Link, Phase};
use super::net::Net;
use crate::outbox::PIECES_PER_WRITE;
use std::io::{self, IoSlice, Write};
use trefoil_hub::ConnectionKey;

/// Writes to one connection in one tick; then others have their turn.
const WRITES_PER_TICK: usize = 8;

impl ShardLoop {
    pub(super) fn flush_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.net.dirty);
        let mut peers = std::mem::take(&mut self.peers);
        for key in dirty.drain(..) {
            let Some(connection) = self.net.get_mut(key) else { continue };
            connection.is_dirty = false;
            if connection.is_udp() && !connection.is_blocked {
                peers.push(key);
                continue;
            }
            if !connection.is_blocked {
                self.flush(key);
            }
            self.net.weigh_outbox(key);
        }
        self.flush_datagrams(&peers);
        for key in peers.drain(..) {
            self.after_flush(key);
            self.net.weigh_outbox(key);
        }
        self.peers = peers;
        // What became dirty while these were written goes out in the next tick, which comes at once.
        if self.net.dirty.is_empty() {
            self.net.dirty = dirty;
        }
    }

    /// Writes what a connection has yet to be sent.
    pub(super) fn flush(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get(key) else { return };
        let result = match connection.link {
            Link::Stream(_) => self.net.write_stream(key),
            Link::Udp(_) => {
                self.flush_datagrams(&[key]);
                Ok(())
            }
            Link::Channel(_) => {
                self.channel_flush(key);
                Ok(())
            }
        };
        match result {
            Ok(()) => self.after_flush(key),
            Err(_) => self.lose(key),
        }
    }

    fn after_flush(&mut self, key: ConnectionKey) {
        let limits = &self.net.context.limits;
        let (bytes_low, messages_low) = (limits.outbox_bytes_max / 2, limits.outbox_messages_max / 2);
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.phase == Phase::Closing && connection.has_sent_all() {
            return self.all_is_sent(key);
        }
        if connection.is_draining {
            return self.stream_drained(key);
        }
        if let Input::Stream(_) = connection.input {
            return self.stream_flushed(key);
        }
        if connection.outbox.is_empty() && matches!(connection.input, Input::ChannelReader(_)) {
            return self.channel_reader_has_room(key);
        }
        let has_room = connection.outbox.bytes() <= bytes_low && connection.outbox.messages() <= messages_low;
        if has_room && std::mem::take(&mut connection.is_held) {
            self.note_readable(key);
        }
        if has_room && self.net.get(key).is_some_and(|connection| connection.overflow.is_some()) {
            self.refill(key);
        }
        let Some(connection) = self.net.get_mut(key) else { return };
        if connection.is_weighed
            && let Some(session) = connection.session
        {
            self.hub.weigh(session, connection.outbox.messages());
        }
        if has_room
            && std::mem::take(&mut connection.is_starved)
            && let Some(session) = connection.session
        {
            self.hub.resume(self.net.now, session, &mut self.net);
        }
    }
}

impl Net {
    /// Writes what a connection over a stream has yet to be sent, as far as its socket takes it.
    pub(super) fn write_stream(&mut self, key: ConnectionKey) -> io::Result<()> {
        let net = self;
        let Some(connection) = net.connections.get_mut(key.0 as usize) else { return Ok(()) };
        if connection.is_mqtt_in_websocket() {
            Net::frame_packets(connection, &mut net.deflate, &mut net.pool);
        } else if connection.is_joined() {
            connection.join(&mut net.pool);
        }
        if let Some(own) = &mut connection.json {
            own.sent_at = net.now;
        }
        let Link::Stream(stream) = &mut connection.link else { return Ok(()) };
        if stream.has_unsent() {
            stream.flush()?;
        }
        let mut writes = 0;
        while !connection.outbox.is_empty() {
            if writes == WRITES_PER_TICK {
                net.mark_dirty(key);
                return Ok(());
            }
            writes += 1;
            let (wanted, written) = match connection.outbox.only() {
                Some(one) => (one.len(), stream.write(one)),
                None => {
                    let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
                    let count = connection.outbox.slices(&mut slices);
                    let wanted = slices[..count].iter().map(|s| s.len()).sum();
                    (wanted, stream.write_vectored(&slices[..count]))
                }
            };
            match written {
                Ok(written) => {
                    connection.outbox.advance(written, &mut net.pool);
                    net.context.stats[net.number].bytes_out.add(written as u64);
                    // A short write means that the socket is full, and it will say when it is not.
                    if written < wanted {
                        connection.is_blocked = true;
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.is_blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // What waits below, sealed already, goes out when the socket says that it takes more.
        connection.is_blocked |= stream.has_unsent();
        Ok(())
    }
}
