//! What the shard has written down on its way to the disk, and what waits for that.

use super::ShardLoop;
use super::connection::{Form, Phase};
use crate::keeper::{Begun, Keeper};
use crate::mail::Mail;
use crate::stats::Kind;
use std::sync::Arc;
use tokio::sync::oneshot;
use trefoil_hub::{Batch, Ending, Published, Refusal};
use trefoil_json::{Code, RequestError};
use trefoil_mqtt::ReasonCode;

/// How long a checkpoint that must not go on yet waits.
const CHECKPOINT_RETRY_MS: u64 = 1;

/// How often the first shard looks whether the store has become too large for what is live, if nobody does since it grows.
const LOOK_MS: u64 = 500;

/// A checkpoint that is being made.
#[derive(Debug)]
pub(super) struct Checkpoint {
    ticket: u64,
    /// This shard has said all.
    is_said: bool,
    /// Shards whose mail from before the checkpoint may still be on its way here.
    unheard: usize,
}

/// Who waits for a batch of the shard to be on disk.
pub(super) struct HeldReply {
    batch: u64,
    answer: Answer,
}

/// What is answered to those who run beside the shards. They may have gone meanwhile.
pub(super) enum Answer {
    /// To a publish.
    Published { reply: oneshot::Sender<Published>, published: Published },
    /// To the wish that a session ends.
    Dropped { reply: oneshot::Sender<bool>, was_there: bool },
    /// To the wish that something is kept.
    Kept { reply: oneshot::Sender<()> },
}

impl Answer {
    fn send(self) {
        match self {
            Answer::Published { reply, published } => {
                let _ = reply.send(published);
            }
            Answer::Dropped { reply, was_there } => {
                let _ = reply.send(was_there);
            }
            Answer::Kept { reply } => {
                let _ = reply.send(());
            }
        }
    }

    /// It cannot be kept.
    fn refuse(self) {
        match self {
            Answer::Published { reply, published } => {
                let _ = reply.send(Published { refused: Some(Refusal::NotKept), ..published });
            }
            // Without an answer it is known to be done and not known to be kept.
            Answer::Dropped { .. } | Answer::Kept { .. } => {}
        }
    }
}

impl ShardLoop {
    /// A request of a client, or a piece of mail, is about to be dealt with.
    pub(super) fn begin_event(&mut self) {
        self.hub.begin_event();
        self.net.waits_for = 0;
    }

    /// Answers to what is being dealt with wait for what it has come to.
    pub(super) fn settle(&mut self) {
        self.net.waits_for = self.hub.waits_for();
    }

    /// Hands over what has been written down. To be called before mail leaves, which others write something down for.
    pub(super) fn hand_batch_over(&mut self) {
        let Some(keeper) = self.net.context.keeper.clone() else { return };
        let is_awaited = std::mem::take(&mut self.net.is_awaited);
        match self.hub.take_batch() {
            Some(batch) => {
                keeper.submit(self.net.number, batch, is_awaited);
                self.hub.handed_over();
                self.scarce.is_behind = keeper.is_behind(self.scarce.is_behind);
            }
            // What it waits for has been handed over before, and then nobody was in a hurry.
            None if is_awaited => {
                let batch = Batch { number: self.hub.last_batch(), records: Vec::new() };
                keeper.submit(self.net.number, batch, true);
            }
            None => {}
        }
    }

    /// Batches up to `durable` are on disk: what waits for them goes out.
    pub(super) fn let_out(&mut self, durable: u64) {
        self.net.durable = self.net.durable.max(durable);
        let durable = self.net.durable;
        self.hub.on_disk(self.net.now, durable, &mut self.net);
        while let Some((_, key, serial)) = self.net.holding.pop_front_if(|(batch, ..)| *batch <= durable) {
            let pool = &mut self.net.pool;
            let connection = self.net.connections.get_mut(key.0 as usize);
            if let Some(connection) = connection.filter(|c| c.serial == serial)
                && connection.let_out(durable, pool)
            {
                self.net.mark_dirty(key);
            }
        }
        self.say_last_words(durable);
        while let Some(held) = self.held_replies.pop_front_if(|held| held.batch <= durable) {
            held.answer.send();
        }
    }

    /// Answers what runs beside the shards, once what it asked for is kept.
    pub(super) fn answer(&mut self, answer: Answer) {
        let batch = self.hub.waits_for();
        if batch <= self.net.durable {
            answer.send();
        } else {
            self.net.is_awaited = true;
            self.held_replies.push_back(HeldReply { batch, answer });
        }
    }

    /// The disk has failed: what waits for it will not be kept. Whoever is owed an answer is told by the end of its
    /// connection, so that it tries again.
    pub(super) fn give_up_held(&mut self) {
        for held in std::mem::take(&mut self.held_replies) {
            held.answer.refuse();
        }
        self.give_up_last_words();
        for (_, key, serial) in std::mem::take(&mut self.net.holding) {
            let Some(connection) = self.net.get_mut(key).filter(|c| c.serial == serial) else { continue };
            if connection.held.take().is_none() || connection.phase != Phase::Open {
                continue;
            }
            let has_no_answer = std::mem::take(&mut connection.holds_all);
            let (kind, version) = match &connection.form {
                Form::Mqtt(form) => (connection.kind, Some(form.version)),
                _ => (connection.kind, None),
            };
            // Of its own: what is said now must not wait for what the one before has left, which nobody writes.
            self.begin_event();
            let why = "what was to be kept could not be written to disk";
            match version {
                Some(version) if has_no_answer => {
                    // CONNACK comes first in any case, and who gets this one has not been here, so that no will is due.
                    self.end_session(key, Ending::Normal { expiry_s: None });
                    self.mqtt_deny_unkept(key, version);
                }
                Some(_) => self.mqtt_fail(key, ReasonCode::QuotaExceeded, why),
                None if kind == Kind::MqttSn => self.lose(key),
                None => {
                    self.json_error(key, &RequestError::new(Code::Quota, why));
                    if kind != Kind::JsonUdp {
                        self.close(key);
                    }
                }
            }
        }
    }

    /// A checkpoint begins.
    pub(super) fn begin_checkpoint(&mut self, Begun { ticket, boundary, from }: Begun) {
        self.hub.set_place(self.net.context.keeper.as_ref().map_or(0, |keeper| keeper.place()));
        self.hub.begin_checkpoint(boundary, from);
        let unheard = self.net.context.mailboxes.len() - 1;
        // Others may have begun before, and said so already.
        let heard = self.fences.iter().filter(|fence| **fence == ticket).count();
        self.fences.clear();
        self.checkpoint = Some(Checkpoint { ticket, is_said: false, unheard: unheard - heard });
        let own = self.net.number;
        let others = self.net.mail.iter_mut().enumerate().filter(|(shard, _)| *shard != own);
        others.for_each(|(_, mail)| mail.push(Mail::Fence(ticket)));
    }

    /// All mail that another shard had sent before the checkpoint is here.
    pub(super) fn take_fence(&mut self, ticket: u64) {
        match &mut self.checkpoint {
            Some(checkpoint) if checkpoint.ticket == ticket => checkpoint.unheard -= 1,
            _ => self.fences.push(ticket),
        }
    }

    /// Says a bit more of all that is kept, if a checkpoint is being made.
    pub(super) fn go_on_with_checkpoint(&mut self) {
        let Some(keeper) = self.net.context.keeper.clone() else { return };
        if keeper.has_grown() || (self.net.number == 0 && self.look_at <= self.net.now) {
            self.look_at = self.net.now.plus_ms(LOOK_MS);
            keeper.look_after(&self.net.context);
        }
        let Some(checkpoint) = &mut self.checkpoint else { return };
        if !checkpoint.is_said {
            let bytes = keeper.may_say(checkpoint.ticket, self.net.now) as usize;
            if bytes > 0 {
                let before = self.hub.journal_bytes();
                self.hub.set_place(keeper.place());
                checkpoint.is_said = self.hub.go_on_with_checkpoint(before + bytes);
                let said = self.hub.journal_bytes() - before;
                self.net.is_awaited |= keeper.has_said(checkpoint.ticket, said as u64);
            }
            self.retry_at = Some(self.net.now.plus_ms(CHECKPOINT_RETRY_MS));
        }
    }

    /// Tells that the shard is through with the checkpoint, once all of it has been handed over.
    pub(super) fn end_checkpoint(&mut self) {
        let is_through = |c: &Checkpoint| c.is_said && c.unheard == 0;
        if let Some(checkpoint) = self.checkpoint.take_if(|checkpoint| is_through(checkpoint)) {
            self.keeper_is_told(checkpoint.ticket);
        }
    }

    fn keeper_is_told(&self, ticket: u64) {
        let keeper: Option<&Arc<Keeper>> = self.net.context.keeper.as_ref();
        if let Some(keeper) = keeper {
            keeper.shard_is_through(ticket);
        }
    }
}
