//! The body of `POST /api/v1/publish`.

use super::fields::Fields;
use super::members::Members;
use crate::beside::refusal::Refusal;
use axum::http::StatusCode;
use trefoil_json::Code;

/// What somebody wants published, each value of the right kind and within the bounds of MQTT. The topic is unchecked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PublishBody {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) content_type: Option<String>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) expiry_s: Option<u32>,
    pub(super) user_properties: Vec<(String, String)>,
}

/// Reads a body: one JSON object.
pub(super) fn parse(body: &[u8]) -> Result<PublishBody, Refusal> {
    let members: Members<'_> = serde_json::from_slice(body).map_err(|error| {
        let reason =
            format!("the body must be one JSON object such as {{\"topic\":\"a/b\",\"data\":1}}: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, Code::BadJson, reason)
    })?;
    let fields = Fields::check(members)?;
    if fields.get("data").is_some() && fields.get("data_base64").is_some() {
        return Err(Refusal::bad_field(
            "data_base64",
            "data and data_base64 are both there; a message has one payload",
        ));
    }
    let Some(topic) = fields.text("topic")? else {
        let reason = "topic is missing; it says where the message goes";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::MissingField, reason).field("topic"));
    };
    Ok(PublishBody {
        topic,
        payload: fields.data()?.or(fields.base64("data_base64")?).unwrap_or_default(),
        qos: fields.qos()?.unwrap_or_default(),
        retain: fields.value("retain", "true or false")?.unwrap_or_default(),
        content_type: fields.short_text("content_type")?,
        response_topic: fields.short_text("response_topic")?,
        correlation: fields.base64("correlation_base64")?,
        expiry_s: fields.value("expiry", "a whole number of seconds from 0 to 4294967295")?,
        user_properties: fields
            .value("user_properties", "an array of pairs of strings, as in [[\"name\",\"value\"]]")?
            .unwrap_or_default(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    #[test]
    fn payloads_are_text_json_or_bytes() {
        for (member, payload) in [
            (r#""data":"text \u00e9\n""#, "text é\n".as_bytes()),
            (r#""data":{ "a" : [1, 2.50] }"#, br#"{ "a" : [1, 2.50] }"#),
            (r#""data":12345678901234567890123"#, b"12345678901234567890123"),
            (r#""data":null"#, b"null"),
            (r#""data":"""#, b""),
            (r#""data_base64":"/wA=""#, b"\xff\x00"),
            (r#""data_base64":"/wA""#, b"\xff\x00"),
            (r#""qos":0"#, b""),
        ] {
            let body = parse(format!(r#"{{"topic":"t",{member}}}"#).as_bytes()).unwrap();
            assert_eq!(body.payload, payload, "{member}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let cases: [(&[u8], &str, Value, &str); 20] = [
            (b"", "bad_json", json!(null), "one JSON object"),
            (b"[]", "bad_json", json!(null), "one JSON object"),
            (br#"{"topic":"t"} x"#, "bad_json", json!(null), "trailing characters"),
            (b"{\"topic\":\"\xff\"}", "bad_json", json!(null), "one JSON object"),
            (br#"{"data":1}"#, "missing_field", json!("topic"), "topic is missing"),
            (br#"{"topic":7}"#, "bad_field", json!("topic"), "topic is 7; it must be a string"),
            (br#"{"topic":"t","topic":"u"}"#, "bad_field", json!("topic"), "twice"),
            (br#"{"topc":"t"}"#, "unknown_field", json!("topc"), "did you mean topic?"),
            (br#"{"topic":"t","payload":"t"}"#, "unknown_field", json!("payload"), "there are topic, data, "),
            (br#"{"topic":"t","id":1}"#, "unknown_field", json!("id"), "not a field of a publish"),
            (br#"{"topic":"t","data":1,"data_base64":""}"#, "bad_field", json!("data_base64"), "one payload"),
            (br#"{"topic":"t","data":"\ud800"}"#, "bad_field", json!("data"), "valid Unicode"),
            (br#"{"topic":"t","data_base64":"_-"}"#, "bad_field", json!("data_base64"), "not base64"),
            (br#"{"topic":"t","qos":3}"#, "bad_field", json!("qos"), "qos is 3; it must be 0, 1 or 2"),
            (br#"{"topic":"t","qos":"1"}"#, "bad_field", json!("qos"), "it must be 0, 1 or 2"),
            (br#"{"topic":"t","retain":1}"#, "bad_field", json!("retain"), "true or false"),
            (br#"{"topic":"t","expiry":-1}"#, "bad_field", json!("expiry"), "seconds"),
            (br#"{"topic":"t","content_type":"\u0000"}"#, "bad_field", json!("content_type"), "U+0000"),
            (br#"{"topic":"t","user_properties":{"a":"b"}}"#, "bad_field", json!("user_properties"), "pairs"),
            (br#"{"topic":"t","user_properties":[["a"]]}"#, "bad_field", json!("user_properties"), "pairs"),
        ];
        for (body, code, field, reason) in cases {
            let response = parse(body).unwrap_err().into_response();
            assert_eq!(response.status(), 400);
            let error: Value =
                serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
            let error = &error["error"];
            assert_eq!((&error["code"], &error["field"]), (&json!(code), &field), "{}", body.escape_ascii());
            assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
        }
    }

    #[test]
    fn long_values_are_quoted_in_part() {
        let body = format!(r#"{{"topic":"t","qos":"{}"}}"#, "é".repeat(100_000));
        let refusal = format!("{:?}", parse(body.as_bytes()).unwrap_err());
        assert!(refusal.len() < 500, "{refusal}");
    }
}
