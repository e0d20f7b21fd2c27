//! Frames that come in.

use super::{Fault, FramedInput, Stage, Target, begin, clock};
use crate::memory::NO_PUBLISH;
use crate::shard::ShardLoop;
use crate::shard::connection::{Input, Phase};
use std::sync::Arc;
use trefoil_config::{Framed, Known};
use trefoil_framing::FrameError;
use trefoil_hub::{ConnectionKey, Message, Payload, QoS, SessionKey, Topic};

/// Whether a connection is what it was before a frame was dealt with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// Nothing can have happened to it.
    Same,
    /// It may have been ended, or has to move.
    Look,
}

impl ShardLoop {
    /// Takes the whole frames in `input`; returns how much of it they were.
    pub(in crate::shard) fn framed(
        &mut self,
        key: ConnectionKey,
        framed: &mut FramedInput,
        input: &mut [u8],
    ) -> usize {
        let mut consumed = self.framed_telnet(key, framed, input);
        let Some(mut decoder) = framed.decoder.take() else { return input.len() };
        let now = self.net.now;
        let mut after = After::Look;
        loop {
            if after == After::Look && !self.framed_goes_on(key) {
                break;
            }
            if consumed > 0 && self.net.is_limited && self.pauses_within(key) {
                break;
            }
            if let Err(until) = framed.may_send(now) {
                framed.wait_until(until);
                break;
            }
            let step = decoder.next(&input[consumed..], clock(now));
            self.framed_count_skipped(key, step.skipped);
            let used = step.consumed;
            after = match step.found {
                None if used == 0 => break,
                None => After::Same,
                Some(Ok(frame)) => {
                    framed.count_frame();
                    match self.framed_continues(framed, &frame) {
                        true => After::Same,
                        false => self.framed_frame(key, framed, &frame),
                    }
                }
                Some(Err(error)) => self.framed_error(key, error),
            };
            consumed += used;
        }
        framed.decoder = Some(decoder);
        framed.clean_bytes = input.len() - consumed.min(input.len());
        consumed
    }

    /// Takes what has just come out of the telnet protocol. Returns where what is left begins: `input` ends with it.
    fn framed_telnet(&mut self, key: ConnectionKey, framed: &mut FramedInput, input: &mut [u8]) -> usize {
        if !framed.profile.settings.telnet {
            return 0;
        }
        let mut answers = Vec::new();
        let clean = framed.clean_bytes.min(input.len());
        let data = clean + framed.telnet.strip(&mut input[clean..], &mut answers);
        if !answers.is_empty() {
            self.net.answer(key, |out| out.extend_from_slice(&answers));
        }
        let from = input.len() - data;
        input.copy_within(..data, from);
        from
    }

    fn framed_goes_on(&self, key: ConnectionKey) -> bool {
        self.is_leaving.is_none()
            && self.net.get(key).is_some_and(|c| {
                matches!(c.input, Input::Taken) && c.waiting.is_none() && c.phase == Phase::Open
            })
    }

    pub(super) fn framed_count_skipped(&mut self, key: ConnectionKey, bytes: usize) {
        if bytes > 0 {
            self.net.stats().framed_skipped_bytes.add(bytes as u64);
            self.framed_fault(
                key,
                Fault::NoStart,
                &"bytes came before a start mark, or without one, and are skipped",
            );
        }
    }

    /// Publishes a frame that only goes on a run, as most of a busy device do: nothing is left to be asked. Returns false if
    /// it is another one.
    fn framed_continues(&mut self, framed: &FramedInput, frame: &[u8]) -> bool {
        let (Stage::Open(session), Target::Topic(topic)) = (&framed.stage, &framed.target) else {
            return false;
        };
        let settings = &framed.profile.settings;
        if settings.qos > QoS::AtMostOnce || settings.retain || settings.pattern.is_some() {
            return false;
        }
        if framed.profile.registration(frame).is_some() {
            return false;
        }
        let frame = framed.profile.strip(frame);
        if frame.is_empty() || !self.run.continues(topic, Some(*session)) {
            return false;
        }
        self.run.push_payload(frame);
        let stats = self.net.stats();
        stats.packets_in.add(1);
        stats.messages_in.add(1);
        true
    }

    /// One frame of a connection.
    pub(super) fn framed_frame(
        &mut self,
        key: ConnectionKey,
        framed: &mut FramedInput,
        frame: &[u8],
    ) -> After {
        let frame = framed.profile.strip(frame);
        if frame.is_empty() {
            // A sign of life, and no message.
            return After::Same;
        }
        let session = match framed.stage {
            Stage::Open(session) => session,
            Stage::Registering => {
                framed.registration = framed.profile.registration(frame).unwrap_or_default();
                self.framed_register(key, framed, frame);
                return After::Look;
            }
            Stage::Opening(_) | Stage::Over => return After::Look,
        };
        let stats = self.net.stats();
        stats.packets_in.add(1);
        match framed.profile.registration(frame) {
            None => {}
            Some(again) if again == framed.registration => return After::Same,
            // Who says another password may be a user who sends what looks like one.
            Some(_) if !framed.profile.has_secret() => {}
            Some(_) => {
                let why = "a device says that it is another one than before, and the connection is closed";
                self.framed_fault(key, Fault::Refused, &why);
                self.framed_end(key, "protocol");
                return After::Look;
            }
        }
        let settings = &*framed.profile.settings;
        match &mut framed.target {
            Target::Nowhere => After::Same,
            Target::Topic(topic) => {
                if let Some(pattern) = &settings.pattern
                    && !pattern.0.is_match(frame)
                {
                    self.framed_no_match(key);
                    return After::Same;
                }
                self.framed_publish(key, session, settings, topic, frame)
            }
            Target::Each(each) => {
                let (template, last) = &mut **each;
                let captures = settings.pattern.as_ref().and_then(|pattern| pattern.0.captures(frame));
                let Some(captures) = captures else {
                    self.framed_no_match(key);
                    return After::Same;
                };
                let mut text = std::mem::take(&mut self.framed.text);
                template.topic(Known::default(), None, Some(&captures), &mut text);
                let topic = match last {
                    Some(last) if last.as_str() == text => Ok(last.clone()),
                    _ => begin::topic(&text, self.net.context.limits.topic_levels_max),
                };
                self.framed.text = text;
                match topic {
                    Ok(topic) => self.framed_publish(key, session, settings, last.insert(topic), frame),
                    Err(why) => {
                        self.framed_fault(key, Fault::BadTopic, &format!("a frame is dropped, {why}"));
                        After::Same
                    }
                }
            }
        }
    }

    fn framed_no_match(&mut self, key: ConnectionKey) {
        self.framed_fault(key, Fault::NoMatch, &"frames are dropped in which `pattern` finds nothing");
    }

    fn framed_publish(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        settings: &Framed,
        topic: &Topic,
        frame: &[u8],
    ) -> After {
        self.net.stats().messages_in.add(1);
        self.note_publisher(key);
        if !self.framed_has_memory(key) {
            return After::Look;
        }
        if settings.qos == QoS::AtMostOnce && !settings.retain {
            // If it is refused, nobody waits to hear that.
            self.publish_plain(Some(session), topic, frame, None);
            return After::Look;
        }
        self.begin_event();
        let message = Message {
            topic: topic.clone(),
            payload: Payload::copy_from_slice(frame),
            qos: settings.qos,
            retain: settings.retain,
            expires_at: None,
            properties: None,
        };
        self.publish(Some(session), &Arc::new(message));
        self.settle();
        After::Look
    }

    /// Whether there is memory for what comes over UDP, where there is no connection that one could stop reading from.
    fn framed_has_memory(&mut self, key: ConnectionKey) -> bool {
        let is_udp = self.net.get(key).is_some_and(|connection| connection.is_udp());
        let is_short = self.net.memory_stage >= NO_PUBLISH && is_udp;
        if is_short {
            self.framed_fault(key, Fault::Memory, &crate::shard::scarce::WHY);
        }
        !is_short
    }

    /// Something is wrong with a frame. Where there is no way back the connection ends.
    pub(super) fn framed_error(&mut self, key: ConnectionKey, error: FrameError) -> After {
        self.net.stats().protocol_errors.add(u64::from(error.is_final()));
        if !error.is_final() {
            self.framed_fault(key, Fault::of(error), &error);
            return After::Same;
        }
        self.framed_fault(key, Fault::of(error), &format!("{error}, and the connection is closed"));
        self.framed_end(key, "protocol");
        After::Look
    }
}
