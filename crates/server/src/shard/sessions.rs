//! What those who look after the hub ask of its sessions: which are the largest, and to end one.

use super::ShardLoop;
use super::connection::{Form, Phase};
use super::keep::Answer;
use crate::stats::Kind;
use std::collections::VecDeque;
use tokio::sync::oneshot;
use trefoil_hub::{ConnectionKey, SessionOrder, SessionReport, SessionSurvey};
use trefoil_json::{Code, RequestError};
use trefoil_mqtt::ReasonCode;
use trefoil_websocket::CloseCode;

/// How many sessions are looked at in one round, so that nobody waits for it.
const SURVEY_STEPS: usize = 4096;

/// What a client is told whose session is ended.
const DROPPED: Dismissal = Dismissal {
    code: Code::Unavailable,
    close: CloseCode::GOING_AWAY,
    why: "the session was ended by an administrator",
};

/// What a client is told that has to go: MQTT 5 by 0x98 in any case, which is the one reason code for this in DISCONNECT.
#[derive(Clone, Copy)]
pub(super) struct Dismissal {
    /// In JSON.
    pub(super) code: Code,
    /// By WebSocket.
    pub(super) close: CloseCode,
    pub(super) why: &'static str,
}

/// The questions that have not been answered.
#[derive(Default)]
pub(super) struct Surveys(VecDeque<(SessionSurvey, oneshot::Sender<Vec<SessionReport>>)>);

impl Surveys {
    /// Whether there is nothing to go on with.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ShardLoop {
    /// Somebody wants to know the first sessions in an order.
    pub(super) fn begin_survey(
        &mut self,
        order: SessionOrder,
        sessions_max: usize,
        reply: oneshot::Sender<Vec<SessionReport>>,
    ) {
        self.surveys.0.push_back((SessionSurvey::new(order, sessions_max), reply));
    }

    /// Goes on with the oldest question, if there is any.
    pub(super) fn go_on_with_surveys(&mut self) {
        let Some((mut survey, reply)) = self.surveys.0.pop_front() else { return };
        if reply.is_closed() {
            return;
        }
        match self.hub.go_on_with_survey(self.net.now, &mut survey, SURVEY_STEPS) {
            // Whoever asked may have gone meanwhile.
            Some(sessions) => drop(reply.send(sessions)),
            None => self.surveys.0.push_front((survey, reply)),
        }
    }

    /// Ends a session and tells its client, if that is here. The reply says whether there was one, once its end is kept.
    pub(super) fn drop_session(&mut self, client_id: &str, reply: oneshot::Sender<bool>) {
        self.begin_event();
        self.finish_run();
        let session = self.hub.find(client_id);
        if let Some(session) = session {
            tracing::info!(client_id, "a session is ended by an administrator");
            if let Some(connection) = self.hub.connection(session) {
                self.dismiss_client(connection, DROPPED);
            }
            // Closing the connection may have been the end of it.
            if self.hub.find(client_id) == Some(session) {
                self.hub.end_session(self.net.now, session, &mut self.net);
            }
        }
        self.answer(Answer::Dropped { reply, was_there: session.is_some() });
    }

    /// Tells a client that it has to go, and closes its connection.
    pub(super) fn dismiss_client(&mut self, key: ConnectionKey, dismissal: Dismissal) {
        let Dismissal { code, close, why } = dismissal;
        let Some(connection) = self.net.get(key).filter(|c| c.phase == Phase::Open) else {
            return self.end_session(key, trefoil_hub::Ending::Lost);
        };
        let kind = connection.kind;
        match &connection.form {
            Form::Mqtt(_) => self.mqtt_end(key, ReasonCode::AdministrativeAction, Some(close), why),
            Form::MqttSn(_) => {
                self.sn_say_goodbye(key);
                self.flush(key);
                self.lose(key);
            }
            Form::Framed(_) => self.framed_end(key, "dismissed"),
            Form::Sse(_) | Form::None => {
                self.say_close(key, close, why);
                self.close(key);
            }
            Form::JsonLine | Form::JsonDatagram | Form::JsonText | Form::JsonShaped(_) => {
                // A goodbye waits for nothing that is to be kept.
                self.net.waits_for = 0;
                self.net.put_json(key, |out| RequestError::new(code, why).encode(out));
                self.say_close(key, close, why);
                if kind == Kind::JsonUdp {
                    self.flush(key);
                }
                self.close(key);
            }
        }
    }
}
