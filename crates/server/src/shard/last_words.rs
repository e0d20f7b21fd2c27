//! What is owed to UDP peers that have left: answers which wait for the disk, and go out when it has what they stand for.
//!
//! A stream stays open until all is sent. A UDP peer has nothing to stay open: its address may be another client's at once,
//! so its connection goes, and what it is still to be told is kept here.

use super::ShardLoop;
use super::connection::Held;
use crate::outbox::Outbox;
use std::net::SocketAddr;

/// Answers are kept for so many peers; beyond that they are lost and counted, as any datagram may be.
pub(super) const LAST_WORDS_MAX: usize = 4096;

/// The answers that one peer gets when one batch is on disk.
struct Words {
    batch: u64,
    listener: usize,
    to: SocketAddr,
    datagrams: Outbox,
}

/// Those of a shard.
#[derive(Default)]
pub(super) struct LastWords(Vec<Words>);

impl LastWords {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ShardLoop {
    /// The disk has failed: what they would have said is not true.
    pub(super) fn give_up_last_words(&mut self) {
        let unsaid = std::mem::take(&mut self.last_words.0).len();
        self.net.stats().answers_lost.add(unsaid as u64);
    }

    /// Keeps what a connection that is being removed has yet to be sent once it is on disk.
    pub(super) fn keep_last_words(&mut self, listener: usize, to: SocketAddr, held: Held) {
        for (batch, datagrams) in held.into_ropes() {
            if self.last_words.0.len() < LAST_WORDS_MAX {
                self.last_words.0.push(Words { batch, listener, to, datagrams });
            } else {
                self.net.stats().answers_lost.add(1);
            }
        }
    }

    /// Sends what has waited for batches up to `durable`.
    pub(super) fn say_last_words(&mut self, durable: u64) {
        for mut words in self.last_words.0.extract_if(.., |words| words.batch <= durable) {
            let Some(socket) = self.listeners[words.listener].udp() else { continue };
            while let Some(datagram) = words.datagrams.first() {
                match socket.send_to(datagram, words.to) {
                    Ok(sent) => self.net.stats().bytes_out.add(sent as u64),
                    Err(error) => {
                        self.net.stats().answers_lost.add(1);
                        tracing::debug!(%error, to = %words.to, "a datagram was not sent");
                    }
                }
                words.datagrams.drop_first(&mut self.net.pool);
            }
        }
    }
}
