//! Messages that go out as frames.

use crate::framed::Profile;
use crate::shard::connection::Form;
use crate::shard::net::Net;
use crate::shard::run::messages;
use crate::stats::Drop;
use bytes::Bytes;
use trefoil_framing::EncodeError;
use trefoil_hub::{ConnectionKey, Message};

/// A run as frames.
#[derive(Default)]
pub(in crate::shard) struct FramedRun {
    pub(in crate::shard) bytes: Bytes,
    /// Messages in it, and the bytes of their payloads.
    pub(in crate::shard) count: u32,
    pub(in crate::shard) payload_bytes: usize,
    /// Messages that the framing cannot carry, and those that are too long for it.
    pub(in crate::shard) unframed: u64,
    pub(in crate::shard) too_large: u64,
}

impl FramedRun {
    pub(in crate::shard) fn new(profile: &Profile, wire: &[u8]) -> FramedRun {
        let (mut out, mut run) = (Vec::with_capacity(wire.len()), FramedRun::default());
        for publish in messages(wire) {
            match profile.encode(publish.payload, &mut out).map_err(why) {
                Ok(()) => {
                    run.count += 1;
                    run.payload_bytes += publish.payload.len();
                }
                Err(Drop::TooLarge) => run.too_large += 1,
                Err(_) => run.unframed += 1,
            }
        }
        run.bytes = out.into();
        run
    }
}

impl Net {
    pub(in crate::shard) fn send_framed(&mut self, to: ConnectionKey, message: &Message) -> Result<(), Drop> {
        self.put_frame(to, &message.payload)
    }

    /// Puts one message into an outbox that has room for it.
    pub(in crate::shard) fn put_frame(&mut self, to: ConnectionKey, payload: &[u8]) -> Result<(), Drop> {
        let connection = &mut self.connections[to.0 as usize];
        let Form::Framed(profile) = &connection.form else { return Err(Drop::Unframed) };
        let is_udp = profile.is_udp;
        self.text.clear();
        profile.encode(payload, &mut self.text).map_err(why)?;
        connection.open_rope().copy(&self.text, 1, &mut self.pool);
        if is_udp {
            connection.outbox.seal();
        }
        Ok(())
    }
}

fn why(error: EncodeError) -> Drop {
    match error {
        EncodeError::TooLong { .. } | EncodeError::TooLongForPrefix => Drop::TooLarge,
        _ => Drop::Unframed,
    }
}
