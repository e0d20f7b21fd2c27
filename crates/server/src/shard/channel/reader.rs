//! Readers of a channel: a GET that is answered once, or a stream of events.

use super::Place;
use super::ask::{No, Read, Style, events};
use crate::shard::ShardLoop;
use crate::shard::connection::{Input, Link, Phase};
use crate::stats::Kind;
use trefoil_hub::ConnectionKey;

/// How often a comment is sent on a stream, so that proxies do not take it for dead.
const BEAT_S: u64 = 15;

/// A GET that waits.
pub(in crate::shard) struct Reader {
    /// For what comes on this channel.
    channel: Place,
    style: Style,
    /// What it has had: all objects below this number.
    after: u64,
    is_stream: bool,
}

impl ShardLoop {
    /// Lets a GET wait for what comes on a channel.
    pub(super) fn channel_read(
        &mut self,
        key: ConnectionKey,
        channel: ConnectionKey,
        style: Style,
        read: &Read,
    ) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(channel) else { return };
        let (is_over, serial) = (connection.phase == Phase::Lingering, connection.serial);
        let Link::Channel(part) = &mut connection.link else { return };
        let after = read.after.unwrap_or(part.kept.first());
        if let Err(misplaced) = part.kept.acknowledge(after) {
            return self.channel_refuse(key, style, &misplaced.into());
        }
        let earlier = part.reader.take();
        if is_over && !part.kept.has_more() {
            self.remove(channel);
            return self.channel_refuse(key, style, &No::gone());
        }
        if let Some(place) = earlier {
            self.channel_release(place);
        }
        let Some(carrier) = self.net.get(key).map(|c| c.serial) else { return };
        let Some(connection) = self.net.get_mut(channel) else { return };
        let Link::Channel(part) = &mut connection.link else { return };
        part.reader = Some((key, carrier));
        connection.heard_at = now;
        connection.is_blocked = false;
        let session = connection.session;
        self.set_input(channel, if read.is_stream { Kind::Sse } else { Kind::Poll }, Input::Ignored);
        if let Some(session) = session {
            self.hub.set_client_kind(session, self.client_kind(channel));
            self.resume(channel, session);
        }
        self.net.mark_dirty(channel);
        let wait_s = match read.is_stream {
            true => BEAT_S,
            false => self.net.context.limits.channel_poll_s.into(),
        };
        if read.is_stream {
            self.channel_say(key, |out| style.stream(out));
        }
        let reader = Reader { channel: (channel, serial), style, after, is_stream: read.is_stream };
        self.set_input(key, Kind::Http, Input::ChannelReader(Box::new(reader)));
        self.set_deadline(key, Some(now.plus_s(wait_s)));
    }

    /// Something has come on the connection of a reader. Returns how much of it is done with, and whether more can be done.
    pub(in crate::shard) fn channel_interrupt(
        &mut self,
        key: ConnectionKey,
        reader: Box<Reader>,
        input: &[u8],
    ) -> (usize, bool) {
        if reader.is_stream || input.is_empty() {
            self.put_back(key, Input::ChannelReader(reader));
            return (input.len(), false);
        }
        // The next request: who sends that does not wait any more.
        self.channel_forget(&reader, key);
        self.channel_empty(key, &reader);
        (0, true)
    }

    /// A reader has waited for as long as it may, or wants to hear that the hub is there.
    pub(in crate::shard) fn channel_reader_is_due(&mut self, key: ConnectionKey) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return };
        let Input::ChannelReader(reader) = &connection.input else { return };
        if !reader.is_stream {
            let Input::ChannelReader(reader) = std::mem::replace(&mut connection.input, Input::Taken) else {
                return;
            };
            self.channel_forget(&reader, key);
            return self.channel_empty(key, &reader);
        }
        let nothing_waits = connection.outbox.is_empty();
        self.set_deadline(key, Some(now.plus_s(BEAT_S)));
        if nothing_waits {
            self.channel_say(key, |out| out.extend_from_slice(b":\n\n"));
        }
    }

    /// The connection of a reader has ended, or waits for its channel no more.
    pub(in crate::shard) fn channel_forget(&mut self, reader: &Reader, key: ConnectionKey) {
        let (now, (channel, serial)) = (self.net.now, reader.channel);
        let Some(connection) = self.net.get_mut(channel).filter(|c| c.serial == serial) else { return };
        let Link::Channel(part) = &mut connection.link else { return };
        if part.reader.take_if(|(known, _)| *known == key).is_some() {
            connection.heard_at = now;
            connection.is_blocked = true;
        }
    }

    /// A stream has room for more.
    pub(in crate::shard) fn channel_reader_has_room(&mut self, key: ConnectionKey) {
        let Some(Input::ChannelReader(reader)) = self.net.get(key).map(|c| &c.input) else { return };
        let (channel, serial) = reader.channel;
        if let Some(connection) = self.net.get_mut(channel).filter(|c| c.serial == serial)
            && std::mem::take(&mut connection.is_blocked)
        {
            self.net.mark_dirty(channel);
        }
    }

    /// Whether somebody waits for what comes on a channel.
    pub(in crate::shard) fn channel_has_reader(&self, channel: ConnectionKey) -> bool {
        let Some((key, serial)) = self.channel_part(channel).and_then(|part| part.reader) else {
            return false;
        };
        let carrier = self.net.get(key).filter(|c| c.serial == serial);
        carrier.is_some_and(|c| matches!(c.input, Input::ChannelReader(_)))
    }

    /// Gives what has come on a channel to its reader, if there is one that can take it.
    pub(in crate::shard) fn channel_flush(&mut self, channel: ConnectionKey) {
        let place = self.channel_part(channel).and_then(|part| part.reader);
        let Some((key, reader)) = place.and_then(|place| self.channel_take_reader(place)) else {
            return self.channel_block(channel, None);
        };
        // What a stream has yet to be sent is counted nowhere, so that it is little.
        if reader.is_stream && self.net.get(key).is_some_and(|carrier| !carrier.outbox.is_empty()) {
            self.put_back(key, Input::ChannelReader(reader));
            return self.channel_block(channel, place);
        }
        let mut answer = Vec::new();
        let is_full = self.channel_give(channel, &reader, &mut answer);
        if answer.is_empty() {
            self.put_back(key, Input::ChannelReader(reader));
            return;
        }
        if let Some(carrier) = self.net.connections.get_mut(key.0 as usize) {
            carrier.outbox.append(0, &mut self.net.pool, |out| out.extend_from_slice(&answer));
        }
        match (reader.is_stream, is_full) {
            (true, false) => {
                self.put_back(key, Input::ChannelReader(reader));
            }
            // It comes again, and that says how much has come.
            (true, true) => {
                self.channel_block(channel, None);
                self.finish(key);
            }
            (false, _) => {
                self.channel_block(channel, None);
                self.channel_served(key, &reader.style);
            }
        }
        if self.net.get(key).is_some_and(|carrier| !carrier.is_blocked) {
            self.flush(key);
        }
    }

    /// Appends what a channel has for its reader. Returns whether nothing more may be given before some of it is
    /// acknowledged.
    fn channel_give(&mut self, channel: ConnectionKey, reader: &Reader, answer: &mut Vec<u8>) -> bool {
        let resend_bytes_max = self.net.context.limits.channel_resend_bytes_max;
        let Some(connection) = self.net.connections.get_mut(channel.0 as usize) else { return false };
        let Link::Channel(part) = &mut connection.link else { return false };
        while part.kept.bytes() < resend_bytes_max
            && let Some(lines) = connection.outbox.first()
        {
            let room = resend_bytes_max - part.kept.bytes();
            // Each piece is whole objects, and the one that goes beyond the bound goes along.
            let behind = lines.get(room - 1..).and_then(|behind| memchr::memchr(b'\n', behind));
            let taken = behind.map_or(lines.len(), |at| room + at);
            part.kept.push(&lines[..taken]);
            connection.outbox.advance(taken, &mut self.net.pool);
        }
        let is_full = part.kept.bytes() >= resend_bytes_max;
        if part.kept.has_more() {
            let next = part.kept.next();
            match part.kept.give() {
                (first, lines) if reader.is_stream => events(first, lines, answer),
                (_, lines) => reader.style.objects(next, lines, answer),
            }
        }
        is_full
    }

    /// Nothing can be given for now; the reader stays, if it is one.
    fn channel_block(&mut self, channel: ConnectionKey, reader: Option<Place>) {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(channel) else { return };
        let Link::Channel(part) = &mut connection.link else { return };
        connection.is_blocked = true;
        if reader.is_none() && part.reader.take().is_some() {
            connection.heard_at = now;
        }
    }

    /// Takes a reader from its connection, if it still waits there.
    fn channel_take_reader(&mut self, (key, serial): Place) -> Option<(ConnectionKey, Box<Reader>)> {
        let connection = self.net.get_mut(key).filter(|c| c.serial == serial)?;
        match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::ChannelReader(reader) => Some((key, reader)),
            other => {
                connection.input = other;
                None
            }
        }
    }

    /// Another reader has taken the place of this one.
    fn channel_release(&mut self, place: Place) {
        let Some((key, reader)) = self.channel_take_reader(place) else { return };
        match reader.is_stream {
            true => self.finish(key),
            false => self.channel_empty(key, &reader),
        }
    }

    /// Its channel has ended.
    pub(super) fn channel_dismiss_reader(&mut self, place: Place) {
        let Some((key, reader)) = self.channel_take_reader(place) else { return };
        match reader.is_stream {
            true => self.finish(key),
            false => self.channel_refuse(key, reader.style, &No::gone()),
        }
    }

    /// Nothing has come for a reader.
    fn channel_empty(&mut self, key: ConnectionKey, reader: &Reader) {
        self.channel_say(key, |out| reader.style.objects(reader.after, b"", out));
        self.channel_served(key, &reader.style);
    }
}
