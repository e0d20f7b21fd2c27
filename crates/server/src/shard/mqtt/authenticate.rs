//! Who an MQTT client is: user name and password, or SCRAM by way of AUTH (MQTT 5.0 §4.12).

use crate::shard::ShardLoop;
use crate::shard::access::Unheard;
use crate::shard::connection::{Input, MqttInput, Scram, Waiting};
use std::sync::Arc;
use trefoil_auth::scram::{self, ClientFirst, ScramError};
use trefoil_hub::ConnectionKey;
use trefoil_mqtt::{Auth, Connect, Packet, ReasonCode, Version, decode};

/// What came of asking a client who it is.
#[derive(Default)]
pub(super) struct Proof {
    /// Who it is; nobody in particular where nobody was asked.
    pub(super) user: Option<Arc<str>>,
    /// What SCRAM has to say last.
    pub(super) scram_final: Option<Vec<u8>>,
}

impl ShardLoop {
    /// Finds out who a client is that wants to connect. None: it was refused, or the answer comes later.
    pub(super) fn mqtt_authenticate(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        packet: &[u8],
        connect: &Connect<'_>,
    ) -> Option<Proof> {
        if let Some(method) = connect.properties.authentication_method {
            if self.access().is_some() && method == scram::NAME {
                self.mqtt_begin_scram(key, state, packet, connect);
            } else {
                // [MQTT-4.12.0-1]
                let why = format!("the authentication method {method:?} is not known here");
                self.mqtt_refuse_connect(key, Some(Version::V5), ReasonCode::BadAuthenticationMethod, &why);
            }
            return None;
        }
        if self.access().is_none() {
            return Some(Proof::default());
        }
        if connect.user_name.is_none() && connect.password.is_none() {
            // Who came by WebSocket may have said it before.
            let user = self.net.get(key).and_then(|c| c.user.clone());
            if user.is_none() && self.is_unknown(key) {
                let why = "user name and password are needed, or the authentication method SCRAM-SHA-256";
                self.mqtt_deny(key, connect.version, ReasonCode::NotAuthorized, why);
                return None;
            }
            return Some(Proof { user, scram_final: None });
        }
        // A password may come without a user name in 5.0; here it is nobody's.
        let (name, password) = (connect.user_name.unwrap_or_default(), connect.password.unwrap_or_default());
        if let Err(unheard) = self.ask(key, name, password, Waiting::Mqtt(packet.into())) {
            self.mqtt_unheard(key, connect.version, unheard);
        }
        None
    }

    /// The password of a CONNECT has been looked at.
    pub(in crate::shard) fn mqtt_verdict(
        &mut self,
        key: ConnectionKey,
        packet: &[u8],
        user: Result<Option<Arc<str>>, Unheard>,
    ) {
        let Some(connection) = self.net.get_mut(key) else { return };
        match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::Mqtt(mut state) => {
                self.mqtt_connect_as(key, &mut state, packet, user);
                self.put_back(key, Input::Mqtt(state));
            }
            Input::MqttWebSocket(receiver, mut state) => {
                self.mqtt_connect_as(key, &mut state, packet, user);
                if !state.partial.is_empty() {
                    self.mqtt_bytes(key, &mut state, &[]);
                }
                self.put_back(key, Input::MqttWebSocket(receiver, state));
            }
            other => connection.input = other,
        }
    }

    fn mqtt_connect_as(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        packet: &[u8],
        user: Result<Option<Arc<str>>, Unheard>,
    ) {
        let Ok(Packet::Connect(connect)) = decode(packet, Version::V5) else { return };
        match user {
            Err(unheard) => self.mqtt_unheard(key, connect.version, unheard),
            Ok(Some(user)) => {
                let proof = Proof { user: Some(user), scram_final: None };
                self.mqtt_connect(key, state, packet, &connect, Some(proof));
            }
            Ok(None) => {
                let why = "user name or password is wrong";
                self.mqtt_deny(key, connect.version, ReasonCode::BadUserNameOrPassword, why);
            }
        }
    }

    fn mqtt_begin_scram(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        packet: &[u8],
        connect: &Connect<'_>,
    ) {
        if let Err(unheard) = self.check_barred(key) {
            return self.mqtt_unheard(key, Version::V5, unheard);
        }
        let mut run = Scram { connect: Some(packet.into()), challenge: None, users: None };
        let step = match connect.properties.authentication_data {
            Some(data) => self.scram_step(&mut run, data),
            // SCRAM begins with the client; one that says nothing yet is asked to.
            None => Ok(Step::Ask(Vec::new())),
        };
        self.mqtt_go_on(key, state, run, step);
    }

    /// A packet came while a client that wants to connect has yet to prove who it is.
    pub(super) fn mqtt_before_connack(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        mut run: Scram,
        packet: &[u8],
    ) {
        let auth = match decode(packet, Version::V5) {
            Ok(Packet::Auth(auth)) => auth,
            Ok(Packet::Disconnect(_)) => return self.finish(key),
            Ok(_) => {
                // [MQTT-3.1.2-30]
                let why = "before CONNACK nothing but AUTH and DISCONNECT may follow";
                return self.mqtt_refuse_connect(key, Some(Version::V5), ReasonCode::ProtocolError, &why);
            }
            Err(error) => {
                return self.mqtt_refuse_connect(key, Some(Version::V5), error.reason_code(), &error);
            }
        };
        if let Err(why) = check(&auth, ReasonCode::ContinueAuthentication) {
            return self.mqtt_refuse_connect(key, Some(Version::V5), ReasonCode::ProtocolError, &why);
        }
        let step = self.scram_step(&mut run, auth.authentication_data.unwrap_or_default());
        self.mqtt_go_on(key, state, run, step);
    }

    /// AUTH on a connection that stands: the client proves once more who it is.
    pub(super) fn mqtt_auth(&mut self, key: ConnectionKey, state: &mut MqttInput, auth: &Auth<'_>) {
        if !state.uses_scram {
            // [MQTT-4.12.0-7]
            let why = "AUTH came, but CONNECT named no authentication method";
            return self.mqtt_fail(key, ReasonCode::ProtocolError, why);
        }
        let expected = match state.scram {
            Some(_) => ReasonCode::ContinueAuthentication,
            None => ReasonCode::ReAuthenticate,
        };
        if let Err(why) = check(auth, expected) {
            return self.mqtt_fail(key, ReasonCode::ProtocolError, why);
        }
        let mut run = match state.scram.take() {
            Some(run) => *run,
            None => self.mqtt_begin_again(key),
        };
        let data = auth.authentication_data.unwrap_or_default();
        let step = if data.is_empty() && run.challenge.is_none() {
            Ok(Step::Ask(Vec::new()))
        } else {
            self.scram_step(&mut run, data)
        };
        self.mqtt_go_on(key, state, run, step);
    }

    /// Even where others of the client's address have failed too often: they shall not end what stands already.
    fn mqtt_begin_again(&mut self, key: ConnectionKey) -> Scram {
        let timeout_s = self.net.context.limits.first_bytes_timeout_s;
        self.set_deadline(key, Some(self.net.now.plus_s(timeout_s.into())));
        Scram { connect: None, challenge: None, users: None }
    }

    /// One step of the exchange, which costs next to nothing.
    fn scram_step(&mut self, run: &mut Scram, data: &[u8]) -> Result<Step, ScramError> {
        let Some(challenge) = run.challenge.take() else {
            let first = ClientFirst::parse(data)?;
            let nonce = crate::access::random().map_err(|_| ScramError::OutOfTurn)?;
            let users = self.access().ok_or(ScramError::Proof)?.users();
            let verifier = users.verifier(first.user_name());
            let (challenge, message) = first.challenge(&verifier, &nonce);
            (run.challenge, run.users) = (Some(challenge), Some(users));
            return Ok(Step::Ask(message));
        };
        let user = self.access().and_then(|access| access.users().get(challenge.user_name()));
        let message = challenge.finish(data)?;
        // Who was deleted meanwhile, or was given another password, knew the one of before and yet is nobody.
        let users = run.users.take();
        let user = user.filter(|user| users.is_some_and(|users| !self.has_changed(user, &users)));
        let user = user.ok_or(ScramError::Proof)?;
        Ok(Step::Done(user, message))
    }

    /// Does what a step of the exchange came to.
    fn mqtt_go_on(
        &mut self,
        key: ConnectionKey,
        state: &mut MqttInput,
        run: Scram,
        step: Result<Step, ScramError>,
    ) {
        let is_again = run.connect.is_none();
        let own = self.net.get(key).and_then(|c| c.user.clone()).filter(|_| is_again);
        // Whoever is connected and proves to be the same again guesses at nothing.
        let is_own = |user: &Arc<str>| own.as_ref() == Some(user);
        match step {
            Ok(Step::Ask(message)) => {
                // [MQTT-4.12.0-2]
                if self.mqtt_send_auth(key, ReasonCode::ContinueAuthentication, &message) {
                    state.scram = Some(Box::new(run));
                }
            }
            // Others may have failed since this one began.
            Ok(Step::Done(user, _)) if !is_own(&user) && self.judge(key, Some(user.clone())).is_err() => {
                self.scram_unheard(key, is_again, Unheard::Barred);
            }
            Ok(Step::Done(user, message)) => match &run.connect {
                Some(packet) => {
                    let Ok(Packet::Connect(connect)) = decode(packet, Version::V5) else { return };
                    let proof = Proof { user: Some(user), scram_final: Some(message) };
                    self.mqtt_connect(key, state, packet, &connect, Some(proof));
                }
                None if is_own(&user) => {
                    self.set_deadline(key, None);
                    self.mqtt_send_auth(key, ReasonCode::Success, &message);
                }
                None => {
                    let why = "the session belongs to another user than the one who re-authenticated";
                    self.mqtt_fail(key, ReasonCode::NotAuthorized, why);
                }
            },
            Err(error) => {
                if let Err(unheard) = self.judge(key, None) {
                    return self.scram_unheard(key, is_again, unheard);
                }
                let why = error.to_string();
                if is_again {
                    // [MQTT-4.12.1-2]
                    self.mqtt_fail(key, ReasonCode::NotAuthorized, &why);
                } else {
                    // [MQTT-4.12.0-4]
                    self.mqtt_deny(key, Version::V5, ReasonCode::NotAuthorized, &why);
                }
            }
        }
    }

    /// Sends AUTH [MQTT-4.12.0-5], or closes a client that takes no packet so large [MQTT-3.1.2-24]. Returns whether it
    /// was sent.
    fn mqtt_send_auth(&mut self, key: ConnectionKey, reason: ReasonCode, data: &[u8]) -> bool {
        let auth = Auth {
            reason,
            authentication_method: Some(scram::NAME),
            authentication_data: Some(data),
            // [MQTT-3.15.2-2] [MQTT-3.15.2-3]: nothing that could be left out is put in.
            ..Auth::default()
        };
        let fits = self.net.answer(key, |out| auth.encode(Version::V5, out));
        if !fits {
            let why = "AUTH is longer than the client takes";
            match self.net.get(key).is_some_and(|connection| connection.session.is_some()) {
                true => self.mqtt_fail(key, ReasonCode::PacketTooLarge, why),
                false => {
                    self.mqtt_refuse_connect(key, Some(Version::V5), ReasonCode::PacketTooLarge, &why);
                }
            }
        }
        fits
    }

    fn scram_unheard(&mut self, key: ConnectionKey, is_again: bool, unheard: Unheard) {
        if is_again {
            self.mqtt_fail(key, ReasonCode::NotAuthorized, unheard.why());
        } else {
            self.mqtt_unheard(key, Version::V5, unheard);
        }
    }

    fn mqtt_unheard(&mut self, key: ConnectionKey, version: Version, unheard: Unheard) {
        let reason = match (version, unheard) {
            (Version::V5, Unheard::Barred) => ReasonCode::ConnectionRateExceeded,
            (Version::V5, Unheard::Busy) => ReasonCode::ServerBusy,
            _ => ReasonCode::ServerUnavailable,
        };
        self.mqtt_deny(key, version, reason, unheard.why());
    }
}

/// What a step of SCRAM came to.
enum Step {
    /// The client has to answer this.
    Ask(Vec<u8>),
    /// It is this user, who has to be sent this.
    Done(Arc<str>, Vec<u8>),
}

/// Whether an AUTH of a client is one that may come now.
fn check(auth: &Auth<'_>, expected: ReasonCode) -> Result<(), &'static str> {
    if auth.authentication_method != Some(scram::NAME) {
        // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        return Err("AUTH names another authentication method than CONNECT did");
    }
    match (auth.reason, expected) {
        (found, expected) if found == expected => Ok(()),
        // [MQTT-4.12.0-3] [MQTT-3.15.2-1]
        (_, ReasonCode::ContinueAuthentication) => Err("AUTH has another reason code than 0x18 here"),
        _ => Err("AUTH has another reason code than 0x19 where no authentication is under way"),
    }
}
