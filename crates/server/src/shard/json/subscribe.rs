//! What clients want to hear: the operations `sub` and `unsub`.

use crate::json_message::bad_topic;
use crate::refused;
use crate::shard::ShardLoop;
use std::borrow::Cow;
use trefoil_hub::{ConnectionKey, Filter, QoS, RetainHandling, SessionKey, SlowReader, SubscriptionOptions};
use trefoil_json::{Code, RequestError, SubscribeRequest};

/// What the filter of a shared subscription begins with.
const SHARED: &str = "$share/";

impl ShardLoop {
    pub(super) fn json_subscribe(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        request: &SubscribeRequest<'_>,
    ) -> Result<(), RequestError> {
        let SubscribeRequest { filters, qos, since, history, .. } = request;
        self.check_follows(key, session, request)?;
        self.check_since(session, filters, since.as_ref())?;
        if request.presence {
            self.check_presence(session, filters)?;
        }
        self.json_subscribe_all(session, request)?;
        if request.presence {
            self.json_watch(session, filters)?;
        }
        let granted = vec![*qos; filters.len()];
        let followed = self.json_follow(session, filters, since.as_ref(), *history);
        self.json_answer(key, |out| {
            trefoil_json::encode_followed(filters, &granted, request.id, request.many, followed, out);
        });
        self.resume(key, session);
        Ok(())
    }

    /// Whether a subscription may begin in the history of its topics.
    fn check_follows(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        request: &SubscribeRequest<'_>,
    ) -> Result<(), RequestError> {
        let field = match (&request.since, request.history) {
            (Some(_), _) => "since",
            (None, 1..) => "history",
            (None, 0) => return Ok(()),
        };
        let refuse = |why: &str| Err(RequestError::new(Code::BadField, why.to_owned()).field(field));
        if request.filters.iter().any(|filter| filter.starts_with(SHARED)) {
            return refuse(
                "a shared subscription gets what its turn brings, and has no place in the history of a topic",
            );
        }
        if self.net.get(key).and_then(|c| c.json.as_ref()).is_some_and(|own| own.stay.is_some()) {
            return refuse(
                "a session that outlasts its connection keeps messages itself, and has no place in the history of a topic; \
                 say hello without session_s for that",
            );
        }
        for filter in request.filters.iter().filter(|_| request.since.is_none()) {
            if self.hub.is_followed_already(session, filter) {
                let shown: String = filter.chars().take(80).collect();
                let why = format!(
                    "another subscription follows {shown:?} already, in the order of the offsets, and what is kept of it would \
                     come behind that; end that one first, or give the place of this topic in since"
                );
                return Err(RequestError::new(Code::BadField, why).field(field));
            }
        }
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
