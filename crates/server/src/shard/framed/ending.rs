//! Whether a device is there: what its status topic says, and how its connection ends.

use super::{FramedInput, Stage};
use crate::shard::ShardLoop;
use crate::shard::connection::{Form, Input, Phase};
use std::sync::Arc;
use trefoil_config::Framed;
use trefoil_hub::{ConnectionKey, Ending, Message, Topic, Will};

/// What is retained of a device.
pub(super) fn status(
    settings: &Framed,
    topic: &Topic,
    status: &str,
    client_id: &str,
    peer: &str,
    reason: Option<&str>,
) -> Message {
    let mut text = serde_json::json!({
        "status": status,
        "client": client_id,
        "peer": peer,
        "listener": settings.name,
    });
    if let Some(reason) = reason {
        text["reason"] = reason.into();
    }
    Message {
        topic: topic.clone(),
        payload: text.to_string().into_bytes().into(),
        qos: settings.status_qos,
        retain: true,
        expires_at: None,
        properties: None,
    }
}

/// What is said if it goes without a goodbye, also when the hub does: the store has it then.
pub(super) fn will(settings: &Framed, topic: &Topic, client_id: &str, peer: &str) -> Will {
    Will { message: status(settings, topic, "lost", client_id, peer, None), expiry_s: None, delay_s: 0 }
}

impl ShardLoop {
    /// Says that a device is not there any more, if anybody is to know, and ends its session.
    pub(in crate::shard) fn framed_offline(&mut self, key: ConnectionKey, reason: &str) {
        let Some(connection) = self.net.get(key) else { return };
        let (Some(session), Form::Framed(profile)) = (connection.session, &connection.form) else { return };
        let settings = profile.settings.clone();
        let known = self.hub.will(session).and_then(|will| {
            let said: serde_json::Value = serde_json::from_slice(&will.message.payload).ok()?;
            let text = |name: &str| said[name].as_str().map(String::from);
            Some((will.message.topic.clone(), text("client")?, text("peer")?))
        });
        if let Some((topic, client_id, peer)) = known {
            self.begin_event();
            let message = status(&settings, &topic, "offline", &client_id, &peer, Some(reason));
            self.publish(Some(session), &Arc::new(message));
        }
        self.end_session(key, Ending::Normal { expiry_s: None });
    }

    /// Ends a connection in order: what is in its outbox still goes out.
    pub(in crate::shard) fn framed_end(&mut self, key: ConnectionKey, reason: &str) {
        self.framed_offline(key, reason);
        self.finish(key);
    }

    /// The peer sends nothing more: what it has begun is taken for what it is worth.
    pub(in crate::shard) fn framed_peer_closed(&mut self, key: ConnectionKey) {
        let Some(connection) = self.net.get_mut(key) else { return };
        let rest = std::mem::take(&mut connection.rest);
        let mut framed = match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::Framed(framed) => framed,
            other => {
                connection.input = other;
                return self.lose(key);
            }
        };
        if let Stage::Open(_) = framed.stage {
            self.framed_finish(key, &mut framed, &rest);
        }
        if self.net.get(key).is_some_and(|connection| connection.phase == Phase::Open) {
            self.framed_end(key, "closed");
        }
    }

    /// The end of a stream, or of a datagram.
    pub(super) fn framed_finish(&mut self, key: ConnectionKey, framed: &mut FramedInput, rest: &[u8]) {
        let last = framed.decoder.as_mut().and_then(|decoder| decoder.finish(rest));
        match last {
            Some(Ok(frame)) => {
                self.framed_frame(key, framed, &frame);
            }
            Some(Err(error)) => self.framed_fault(key, super::Fault::of(error), &error),
            None => {}
        }
    }

    /// What was waited for has come: the end of a gap, or of a second.
    pub(in crate::shard) fn framed_due(&mut self, key: ConnectionKey) -> bool {
        let now = self.net.now;
        let Some(connection) = self.net.get_mut(key) else { return false };
        let Input::Framed(framed) = &mut connection.input else { return false };
        if framed.next_at().is_none_or(|at| at > now) {
            return false;
        }
        if framed.has_waited(now) {
            // It was not listened to.
            connection.heard_at = now;
        }
        self.go_on(key);
        true
    }
}
