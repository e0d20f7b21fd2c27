//! What clients want to hear: the operations `sub` and `unsub`.

use crate::json_message::bad_topic;
use crate::refused;
use crate::shard::ShardLoop;
use std::borrow::Cow;
use trefoil_hub::{ConnectionKey, Filter, QoS, RetainHandling, SessionKey, SlowReader, SubscriptionOptions};
use trefoil_json::{RequestError, SubscribeRequest};

impl ShardLoop {
    pub(super) fn json_subscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        request: &SubscribeRequest<'_>,
    ) -> Result<(), RequestError> {
        let SubscribeRequest { filters, qos, since, history, .. } = request;
        self.check_since(session, filters, since.as_ref())?;
        self.json_subscribe_all(session, request)?;
        let granted = vec![*qos; filters.len()];
        let followed = self.json_follow(session, filters, since.as_ref(), *history);
        self.json_answer(key, |out| {
            trefoil_json::encode_followed(filters, &granted, request.id, request.many, followed, out);
        });
        self.resume(key, session);
        Ok(())
    }

    /// All of them or none.
    fn json_subscribe_all(
        &mut self,
        session: SessionKey,
        request: &SubscribeRequest<'_>,
    ) -> Result<(), RequestError> {
        self.finish_run();
        let levels_max = self.net.context.limits.topic_levels_max;
        for filter in &request.filters {
            Filter::parse(filter, levels_max).map_err(|e| bad_topic("sub", filter, &e))?;
        }
        let options = SubscriptionOptions {
            qos: if request.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            no_local: request.no_local,
            slow_reader: request.slow_reader.and_then(|policy| SlowReader::from_name(policy.name())),
            ..SubscriptionOptions::default()
        };
        let retained = if request.retained { RetainHandling::Send } else { RetainHandling::DoNotSend };
        for filter in &request.filters {
            self.hub
                .subscribe(session, filter, options, retained)
                .map_err(|e| RequestError::new(refused::subscribe(e).json, e.to_string()).field("sub"))?;
        }
        Ok(())
    }

    pub(super) fn json_unsubscribe(
        &mut self,
        session: SessionKey,
        filters: &[Cow<'_, str>],
    ) -> Result<(), RequestError> {
        self.finish_run();
        for filter in filters {
            let (now, net) = (self.net.now, &mut self.net);
            self.hub.unsubscribe(now, session, filter, net).map_err(|e| bad_topic("unsub", filter, &e))?;
        }
        Ok(())
    }
}
