//! Makes values of frames, and frames of what somebody wants: a client of the hub like any other.

use std::convert::Infallible;

use example_shared::forever;
use serde_json::{Value, json};
use trefoil_client::{Client, Error, Message, Options, QoS};

use crate::registers::{self, RPM_MAX, SPEED, Said};
use crate::{gauge, nmea};

/// Translates for as long as the hub is there, and waits for it when it is not.
pub(crate) async fn run_forever(url: &str) -> Infallible {
    forever("translator", async || run(url).await).await
}

async fn run(url: &str) -> Result<Infallible, Error> {
    let mut client = Client::connect(url, Options::default()).await?;
    for filter in ["site/+/raw", "site/+/nmea/+", "site/+/set"] {
        client.subscribe(filter, QoS::AtLeastOnce).await?;
    }
    while let Some(message) = client.next_message().await {
        if let Some((topic, payload)) = translate(&message.topic, &message.payload) {
            client.publish(Message::new(topic, payload)).await?;
        }
    }
    Err(client.error().expect("a connection that has ended says why"))
}

/// What is to be published when this was: `values` of a frame, a `command` of what was `set`, an `answer`.
fn translate(topic: &str, payload: &[u8]) -> Option<(String, Vec<u8>)> {
    let levels: Vec<_> = topic.split('/').collect();
    let (device, what) = match levels[..] {
        ["site", device, "raw"] => (device, frame(device, payload)?),
        ["site", device, "nmea", kind] => (device, sentence(kind, payload)?),
        ["site", device, "set"] => (device, command(device, payload)),
        _ => return None,
    };
    let (name, payload) = match what {
        What::Values(values) => ("values", values.to_string().into_bytes()),
        What::Command(frame) => ("command", frame),
        What::Answer(text) => ("answer", text.into_bytes()),
    };
    Some((format!("site/{device}/{name}"), payload))
}

#[derive(Debug, PartialEq)]
enum What {
    Values(Value),
    Command(Vec<u8>),
    Answer(String),
}

/// What a frame of a pump or of a gauge says. None if it is broken, or nothing that anybody wants to know.
fn frame(device: &str, frame: &[u8]) -> Option<What> {
    if device.starts_with("gauge") {
        return gauge::State::read(frame).map(|state| What::Values(state.json()));
    }
    Some(match registers::read(frame)? {
        Said::Report(registers) => What::Values(registers.json()),
        Said::Written { register: SPEED, value } => What::Answer(format!("{value} turns a minute")),
        Said::Written { register, value } => What::Answer(format!("register {register} is {value}")),
        Said::Refused { code } => What::Answer(format!("refused: {}", registers::reason(code))),
    })
}

/// What a sentence of a ferry says.
fn sentence(kind: &str, line: &[u8]) -> Option<What> {
    let line = std::str::from_utf8(line).ok()?;
    if kind == "ACK" {
        let word = nmea::body(line)?.strip_prefix("PCLV,ACK,")?;
        return Some(What::Answer(format!("{word} it is")));
    }
    let fix = nmea::read_rmc(line)?;
    let (hours, minutes, seconds) = (fix.second / 3600, fix.second / 60 % 60, fix.second % 60);
    Some(What::Values(json!({
        "lat": fix.lat,
        "lon": fix.lon,
        "knots": fix.knots,
        "course": fix.course,
        "time": format!("{hours:02}:{minutes:02}:{seconds:02}"),
    })))
}

/// The frame that makes a device do what somebody wants.
fn command(device: &str, wanted: &[u8]) -> What {
    let wanted: Value = serde_json::from_slice(wanted).unwrap_or_default();
    let frame = match (device, &wanted["rpm"], &wanted["hold"], &wanted["light"]) {
        ("gauge", Value::Null, Value::Null, Value::Bool(on)) => Some(gauge::switch_light(*on).to_vec()),
        ("ferry", Value::Null, Value::Bool(hold), Value::Null) => {
            Some(nmea::sentence(if *hold { "PCLV,HOLD" } else { "PCLV,GO" }).into_bytes())
        }
        (pump, rpm, Value::Null, Value::Null) if pump.starts_with("pump") => {
            // What the pump does not take it refuses itself; what does not fit into a register cannot be asked for.
            rpm.as_u64().and_then(|rpm| u16::try_from(rpm).ok()).map(|rpm| registers::write(SPEED, rpm))
        }
        _ => None,
    };
    frame.map_or_else(
        || What::Answer(format!(r#"say {{"rpm":0}} to {RPM_MAX}, {{"hold":true}} or {{"light":true}}"#)),
        What::Command,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(topic: &str, payload: impl AsRef<[u8]>) -> Option<(String, String)> {
        translate(topic, payload.as_ref())
            .map(|(topic, payload)| (topic, String::from_utf8_lossy(&payload).into_owned()))
    }

    #[test]
    fn frames_become_values_and_answers() {
        let registers = registers::Registers { rpm: 1480, ..Default::default() };
        let (topic, values) = translated("site/pump-7/raw", registers.report()).expect("values");
        assert!(topic == "site/pump-7/values" && values.contains("\"rpm\":1480"), "{topic} {values}");
        let answer = translated("site/pump-7/raw", registers::write(0, 900));
        assert_eq!(answer, Some(("site/pump-7/answer".into(), "900 turns a minute".into())));
        let refused = translated("site/pump-7/raw", [7, 0x86, 3]).expect("an answer");
        assert_eq!(refused.1, "refused: it does not go that fast");
        let level = gauge::State { level: 1234, ..Default::default() };
        let (topic, values) = translated("site/gauge/raw", level.frame()).expect("values");
        assert!(topic == "site/gauge/values" && values.contains("\"metres\":1.234"), "{topic} {values}");
        let line = "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A";
        let (topic, values) = translated("site/ferry/nmea/RMC", line).expect("values");
        assert!(topic == "site/ferry/values" && values.contains("\"time\":\"12:35:19\""), "{topic} {values}");
        for (topic, broken) in [
            ("site/ferry/nmea/RMC", line.replace("4807", "4907").as_bytes()),
            ("site/ferry/nmea/ACK", b"$PCLV,ACK,HOLD*00"),
            ("site/gauge/raw", b"\xAA\x55123456"),
            ("site/pump-7/raw", b"?"),
            ("site/pump-7/values", b"{}"),
        ] {
            assert_eq!(translated(topic, broken), None, "{topic}");
        }
    }

    #[test]
    fn what_is_wanted_becomes_a_frame() {
        let commanded = |device: &str, wanted: &str| {
            let (topic, frame) =
                translate(&format!("site/{device}/set"), wanted.as_bytes()).expect("something");
            (topic.rsplit('/').next().map(str::to_owned), frame)
        };
        let command = || Some("command".to_owned());
        assert_eq!(commanded("pump-7", r#"{"rpm":2000}"#), (command(), registers::write(0, 2000)));
        assert_eq!(commanded("gauge", r#"{"light":true}"#), (command(), gauge::switch_light(true).to_vec()));
        assert_eq!(
            commanded("ferry", r#"{"hold":false}"#),
            (command(), nmea::sentence("PCLV,GO").into_bytes())
        );
        for (device, nonsense) in [
            ("pump-7", "{}"),
            ("pump-7", r#"{"rpm":70000}"#),
            ("pump-7", "fast"),
            ("gauge", r#"{"hold":true}"#),
        ] {
            assert_eq!(commanded(device, nonsense).0.as_deref(), Some("answer"), "{device} {nonsense}");
        }
    }
}
