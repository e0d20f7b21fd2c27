//! Clients that follow the histories of topics: what they ask for, and how gaps are told.

use super::ShardLoop;
use super::connection::Form;
use super::net::Net;
use crate::json_message::bad_topic;
use std::borrow::Cow;
use trefoil_hub::{ConnectionKey, Epoch, Place, Resume, SessionKey};
use trefoil_json::{Code, Followed, RequestError, Since, encode_gap};
use trefoil_websocket::{Opcode, encode_header};

/// A place as the JSON protocol has it.
pub(crate) fn json_place(place: Place) -> trefoil_json::Place {
    trefoil_json::Place { epoch: place.epoch.number(), offset: place.offset }
}

/// What a request says, as the hub takes it.
fn resume_of(since: Option<&Since<'_>>, history: u32) -> Resume {
    let mut resume = Resume { last: history as usize, ..Resume::default() };
    if let Some(since) = since {
        resume.time = since.time;
        let place = |place: &trefoil_json::Place| Place {
            epoch: Epoch::from_number(place.epoch),
            offset: place.offset,
        };
        resume.topics = since.topics.iter().map(|(topic, at)| (topic.to_string(), place(at))).collect();
    }
    resume
}

impl ShardLoop {
    /// Checks that the places of a request are those of topics, and of such as its filters are for.
    pub(super) fn check_since(
        &self,
        session: SessionKey,
        filters: &[Cow<'_, str>],
        since: Option<&Since<'_>>,
    ) -> Result<(), RequestError> {
        let levels_max = self.net.context.limits.topic_levels_max;
        for (topic, _) in since.iter().flat_map(|since| &since.topics) {
            trefoil_hub::topic::check_topic(topic, levels_max).map_err(|e| bad_topic("since", topic, &e))?;
            if !filters.iter().any(|filter| self.hub.is_of_filter(session, filter, topic)) {
                let shown: String = topic.chars().take(80).collect();
                let reason =
                    format!("since has a place of {shown:?}, which no filter of this request is for");
                return Err(RequestError::new(Code::BadField, reason).field("since"));
            }
        }
        Ok(())
    }

    /// Says from where on a session that has just subscribed wants its topics.
    pub(super) fn json_follow(
        &mut self,
        session: SessionKey,
        filters: &[Cow<'_, str>],
        since: Option<&Since<'_>>,
        history: u32,
    ) -> Followed {
        let resume = resume_of(since, history);
        let (mut time, mut gap) = (None, false);
        for filter in filters {
            match self.hub.follow_from(self.net.now, session, filter, &resume) {
                Some(following) => {
                    time = time.or(Some(following.time));
                    gap |= following.gap;
                }
                // Nothing is kept of its topics.
                None => gap |= since.is_some(),
            }
        }
        Followed { time, gap: since.map(|_| gap) }
    }

    /// The same for a stream of events. `id` is that of the last event that its client had, if it had any.
    pub(super) fn sse_follow(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        filters: &[Cow<'_, str>],
        id: Option<&str>,
    ) {
        use super::trail::Trail;
        let resume = id.map(Trail::read);
        let from = resume.clone().flatten();
        let mut began = None;
        for filter in filters {
            let following = self.hub.follow_from(
                self.net.now,
                session,
                filter,
                from.as_ref().unwrap_or(&Resume::default()),
            );
            began = began.or(following.map(|following| following.time));
            // Of single topics it is told when they come, if it can be known there.
            let is_unknown = resume == Some(None) || id.is_some() && following.is_none();
            let is_wide = filter.contains(['+', '#']);
            if is_unknown || is_wide && following.is_some_and(|following| following.gap) {
                self.net.say_gap(key, filter, None);
            }
        }
        if let (Some(time), Some(connection)) = (began, self.net.get_mut(key)) {
            connection.form = Form::Sse(Some(Box::new(Trail::new(time, from.as_ref()))));
        }
    }
}

impl Net {
    /// Tells a connection that some messages of a topic are not there any more. It goes where deliveries go, so that it
    /// stands before those that come next.
    pub(super) fn say_gap(&mut self, to: ConnectionKey, topic: &str, next: Option<Place>) {
        let mut text = Vec::new();
        encode_gap(topic, next.map(json_place), &mut text);
        let Some(connection) = self.connections.get_mut(to.0 as usize) else { return };
        if connection.is_joined() {
            connection.push_object(0, text.len(), &mut self.pool, |out| out.extend_from_slice(&text));
            return self.mark_dirty(to);
        }
        let form = &connection.form;
        connection.outbox.append(0, &mut self.pool, |out| match form {
            Form::JsonText | Form::JsonShaped(_) => {
                encode_header(true, Opcode::Text, text.len(), out);
                out.extend_from_slice(&text);
            }
            Form::Sse(_) => {
                out.extend_from_slice(b"event: gap\ndata: ");
                out.extend_from_slice(&text);
                out.extend_from_slice(b"\n\n");
            }
            Form::JsonLine => {
                out.extend_from_slice(&text);
                out.push(b'\n');
            }
            Form::JsonDatagram => out.extend_from_slice(&text),
            // They follow nothing.
            Form::None | Form::Mqtt(_) | Form::MqttSn(_) | Form::Framed(_) => {}
        });
        if connection.is_udp() {
            connection.outbox.seal();
        }
        self.mark_dirty(to);
    }
}
