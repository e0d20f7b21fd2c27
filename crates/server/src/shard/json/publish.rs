//! Messages that clients publish: the operation `pub`.

use crate::json_message::{self, bad_topic};
use crate::memory::NO_PUBLISH;
use crate::refused;
use crate::shard::ShardLoop;
use crate::shard::scarce;
use std::sync::Arc;
use trefoil_hub::topic::HUB_TOPICS;
use trefoil_hub::{ConnectionKey, SessionKey};
use trefoil_json::{Code, PublishRequest, RequestError};

impl ShardLoop {
    pub(super) fn json_publish(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        publish: &PublishRequest<'_>,
    ) -> Result<(), RequestError> {
        let levels_max = self.net.context.limits.topic_levels_max;
        let topic: &str = &publish.topic;
        let continues = self.run.continues(topic, Some(session));
        if !continues {
            trefoil_hub::topic::check_topic(topic, levels_max).map_err(|e| bad_topic("pub", topic, &e))?;
        }
        check_publish("pub", topic)?;
        self.note_publisher(key);
        self.check_memory(key)?;
        self.net.stats().messages_in.add(1);
        if publish.qos == 0 && !publish.retain && publish.extras.is_empty() {
            if let Some(why) = self.publish_plain(Some(session), topic, &publish.payload, None) {
                return Err(not_published(why));
            }
        } else {
            let message = json_message::message(publish, "pub", levels_max, self.net.now)?;
            let published = self.publish(Some(session), &Arc::new(message));
            if let Some(why) = published.refused {
                return Err(not_published(why));
            }
            if published.not_retained {
                let why = "the message was delivered but not retained: there are as many retained messages as there may be";
                return Err(RequestError::new(Code::Quota, why).field("retain"));
            }
        }
        if let Some(id) = publish.id {
            self.json_answer(key, |out| trefoil_json::encode_ack(id, out));
        }
        Ok(())
    }

    /// Whether there is memory for what a client publishes.
    pub(super) fn check_memory(&self, key: ConnectionKey) -> Result<(), RequestError> {
        if self.net.memory_stage >= NO_PUBLISH && self.net.get(key).is_some_and(|c| c.is_udp()) {
            // There is no connection that one could stop reading from.
            return Err(RequestError::new(Code::Overloaded, scarce::WHY));
        }
        Ok(())
    }
}

/// Whether a client may publish to a topic.
pub(super) fn check_publish(field: &'static str, topic: &str) -> Result<(), RequestError> {
    if topic.starts_with(HUB_TOPICS) {
        let why = format!("only the hub publishes below {HUB_TOPICS}");
        return Err(RequestError::new(Code::NotAuthorized, why).field(field));
    }
    Ok(())
}

fn not_published(why: trefoil_hub::Refusal) -> RequestError {
    RequestError::new(refused::publish(why).json, why.to_string()).field("pub")
}
