//! What is owed to UDP peers that have left: answers which wait for the disk, and go out when it has what they stand for.
//!
//! A stream stays open until all is sent. A UDP peer has nothing to stay open: its address may be another client's at once,
//! so its connection goes, and what it is still to be told is kept here.

use super::ShardLoop;
use super::connection::Held;
use crate::outbox::Outbox;
use crate::udp::{self, Outgoing, Target};
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

impl Words {
    /// How many answers they are.
    fn count(&self) -> u64 {
        self.datagrams.datagrams().count() as u64
    }
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
    /// Keeps what a connection that is being removed has yet to be sent once it is on disk.
    pub(super) fn keep_last_words(&mut self, listener: usize, to: SocketAddr, held: Held) {
        for (batch, datagrams) in held.into_ropes() {
            let words = Words { batch, listener, to, datagrams };
            if self.last_words.0.len() < LAST_WORDS_MAX {
                self.last_words.0.push(words);
            } else {
                self.net.stats().answers_lost.add(words.count());
            }
        }
    }

    /// Sends what has waited for batches up to `durable`.
    pub(super) fn say_last_words(&mut self, durable: u64) {
        for words in self.last_words.0.extract_if(.., |words| words.batch <= durable) {
            let stats = self.net.stats();
            let Some(socket) = self.listeners[words.listener].udp() else {
                stats.answers_lost.add(words.count());
                continue;
            };
            let to = Target::new(words.to);
            let outgoing = |bytes| Outgoing { to: &to, bytes, segment_bytes: usize::MAX };
            let all: Vec<Outgoing<'_>> = words.datagrams.datagrams().map(outgoing).collect();
            let tally = udp::send(socket, &all);
            stats.bytes_out.add(tally.sent_bytes as u64);
            stats.answers_lost.add((tally.full + tally.failed) as u64);
        }
    }

    /// The disk has failed: what they would have said is not true.
    pub(super) fn give_up_last_words(&mut self) {
        let unsaid: u64 = std::mem::take(&mut self.last_words.0).iter().map(Words::count).sum();
        self.net.stats().answers_lost.add(unsaid);
    }
}
