//! What a machine can be asked, and how it answers.

use serde::{Deserialize, Serialize};

/// The most that a machine can be asked for.
pub(crate) const SPEED_MAX: u32 = 5000;

/// What `plant/MACHINE/request` takes: `{"set_speed":500}` for instance.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Pieces in a second from now on.
    SetSpeed(u32),
    /// An alarm, to see how it spreads and how it ends.
    RaiseAlarm(Alarm),
    /// How it stands: `"status"`.
    Status,
}

/// What stands in an alarm that somebody asks for.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alarm {
    /// The last level of its topic.
    pub(crate) kind: String,
    /// For how long it is of interest.
    pub(crate) valid_s: u32,
}

/// What the asker gets.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) machine: &'a str,
    pub(crate) ok: bool,
    /// Pieces in a second that it makes now.
    pub(crate) speed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Request {
    /// Reads a request; the error is for whoever asks.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        match &request {
            Self::SetSpeed(speed) if *speed > SPEED_MAX => {
                Err(format!("set_speed is from 0 to {SPEED_MAX} pieces a second"))
            }
            Self::RaiseAlarm(alarm) if alarm.valid_s == 0 => Err("valid_s is at least 1".into()),
            Self::RaiseAlarm(alarm) if !is_kind(&alarm.kind) => {
                Err("kind is a word of small letters, digits and hyphens".into())
            }
            _ => Ok(request),
        }
    }
}

impl Answer<'_> {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts always have a JSON text")
    }
}

fn is_kind(kind: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&kind.len()) && kind.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood_or_refused_with_a_reason() {
        assert_eq!(Request::parse(br#"{"set_speed":0}"#), Ok(Request::SetSpeed(0)));
        assert_eq!(Request::parse(br#""status""#), Ok(Request::Status));
        let alarm = Alarm { kind: "smoke".into(), valid_s: 5 };
        assert_eq!(
            Request::parse(br#"{"raise_alarm":{"kind":"smoke","valid_s":5}}"#),
            Ok(Request::RaiseAlarm(alarm))
        );
        for (payload, word) in [
            (r#"{"set_speed":5001}"#, "5000"),
            (r#"{"set_speed":-1}"#, "-1"),
            (r#"{"explode":1}"#, "explode"),
            (r#"{"raise_alarm":{"kind":"a/b","valid_s":5}}"#, "word"),
            (r#"{"raise_alarm":{"kind":"smoke","valid_s":0}}"#, "at least"),
            ("faster!", "expected"),
        ] {
            let reason = Request::parse(payload.as_bytes()).expect_err(payload);
            assert!(reason.contains(word), "{payload}: {reason}");
        }
    }
}
