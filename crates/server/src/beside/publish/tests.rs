//! Publishing through the routes, with the test in the place of the shard.

#![allow(clippy::unwrap_used)]

use crate::beside::testing::{Bench, next_mail};
use crate::mail::Mail;
use serde_json::json;
use trefoil_config::{Limits, Protocols};
use trefoil_hub::{Published, QoS, Time};

const MATCHED: Published = Published { matched: true, not_retained: false, refused: None };

#[tokio::test]
async fn a_message_reaches_its_shard_and_the_answer_comes_back() {
    let bench = Bench::new();
    let body = r#"{"topic":"a/b","data":{"n": 1},"qos":2,"retain":true,"content_type":"application/json",
        "response_topic":"r","correlation_base64":"AQI=","expiry":60,"user_properties":[["k","v"],["k","w"]]}"#;
    let (reply, message) = bench.publish(body, MATCHED).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "accepted": true, "matched": true })));

    let message = message.unwrap();
    assert_eq!((message.topic.as_str(), &message.payload[..]), ("a/b", &br#"{"n": 1}"#[..]));
    assert_eq!((message.qos, message.retain), (QoS::ExactlyOnce, true));
    let expiry_left_s = message.expiry_left_s(Time::from_ms(0)).unwrap();
    assert!((60..=70).contains(&expiry_left_s), "{expiry_left_s} s");
    let properties = message.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.response_topic.as_deref(), Some("r"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&[1, 2][..]));
    let user: Vec<_> = properties.user_properties.iter().collect();
    assert_eq!(user, [("k", "v"), ("k", "w")]);
}

#[tokio::test]
async fn what_came_of_it_is_said() {
    let bench = Bench::new();
    let (reply, message) = bench.publish(r#"{"topic":"t"}"#, Published { matched: false, ..MATCHED }).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "accepted": true, "matched": false })));
    assert!(message.unwrap().properties.is_none());

    let full = Published { matched: false, not_retained: true, refused: None };
    let (reply, _) = bench.publish(r#"{"topic":"t","data":1,"retain":true}"#, full).await;
    assert_eq!(reply.status, 507);
    assert_eq!(
        (&reply.json()["error"]["code"], &reply.json()["error"]["field"]),
        (&json!("quota"), &json!("retain"))
    );
}

#[tokio::test]
async fn topics_are_checked_before_anything_is_sent() {
    let bench = Bench::new();
    for (body, status, code, field) in [
        (r#"{"topic":""}"#, 400, "bad_topic", "topic"),
        (r#"{"topic":"a/+"}"#, 400, "bad_topic", "topic"),
        (r#"{"topic":"a","response_topic":"b/#"}"#, 400, "bad_topic", "response_topic"),
        (r#"{"topic":"$SYS/trefoil/stats"}"#, 403, "not_authorized", "topic"),
        (r#"{"topic":"a","user_properties":[["\u0000","v"]]}"#, 400, "bad_field", "user_properties"),
    ] {
        let (reply, message) = bench.publish(body, MATCHED).await;
        let error = &reply.json()["error"];
        assert_eq!(
            (reply.status, &error["code"], &error["field"]),
            (status, &json!(code), &json!(field)),
            "{body}"
        );
        assert!(message.is_none(), "{body}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let bench = Bench::new();
    let cases = [
        ("", 400, "bad_json", json!(null), "one JSON object"),
        ("[]", 400, "bad_json", json!(null), "one JSON object"),
        (r#"{"topic":"t"} x"#, 400, "bad_json", json!(null), "more after the object"),
        (r#"{"data":1}"#, 400, "missing_field", json!("topic"), "topic is missing"),
        (r#"{"topic":7}"#, 400, "bad_field", json!("topic"), "topic is 7; it must be a string"),
        (r#"{"topic":"t","topic":"u"}"#, 400, "bad_field", json!("topic"), "twice"),
        (r#"{"topc":"t"}"#, 400, "unknown_field", json!("topc"), "did you mean topic?"),
        (r#"{"topic":"t","id":1}"#, 400, "unknown_field", json!("id"), "not a field of a publish"),
        (r#"{"topic":"t","data":1,"data_base64":""}"#, 400, "bad_field", json!("data_base64"), "one payload"),
        (r#"{"topic":"t","qos":3}"#, 400, "bad_field", json!("qos"), "qos is 3; it must be 0, 1 or 2"),
        (r#"{"topic":"t","content_type":"\u0000"}"#, 400, "bad_field", json!("content_type"), "U+0000"),
    ];
    for (body, status, code, field, reason) in cases {
        let (reply, message) = bench.publish(body, MATCHED).await;
        let error = &reply.json()["error"];
        let got = (reply.status, &error["code"], &error["field"]);
        assert_eq!(got, (status, &json!(code), &field), "{body}");
        assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
        assert!(message.is_none(), "{body}");
    }
}

#[tokio::test]
async fn a_full_mailbox_and_a_shard_that_ends_are_not_waited_for() {
    let bench = Bench::new();
    // Far more than any mailbox takes.
    let input = vec![0; 65 << 20];
    bench.context.mailboxes[0].post(Mail::Run(input.into()));
    let reply = bench.send("POST /api/v1/publish", &[], r#"{"topic":"t"}"#).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.json()["error"]["code"], "overloaded");

    bench.context.mailboxes[0].take(&mut Vec::new());
    let sent = bench.send("POST /api/v1/publish", &[], r#"{"topic":"t"}"#);
    let end = async { drop(next_mail(&bench.context.mailboxes[0])) };
    let (reply, ()) = tokio::join!(sent, end);
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (503, Some("unavailable")));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let limits = Limits { http_body_bytes_max: 1024, ..Limits::default() };
    let bench = Bench::limited(Protocols { http: true, ..Protocols::NONE }, limits);
    let body = format!(r#"{{"topic":"t","data":"{}"}}"#, "x".repeat(1024));
    let reply = bench.send("POST /api/v1/publish", &[], body).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (413, Some("too_large")));
}

#[tokio::test]
async fn the_content_type_may_be_missing_but_not_wrong() {
    let bench = Bench::new();
    for (content_type, status) in [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ("application/vnd.example+json", 400),
        ("application/x-www-form-urlencoded", 400),
        ("text/xml", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        let reply = bench.send("POST /api/v1/publish", &[("content-type", content_type)], "[]").await;
        assert_eq!(reply.status, status, "{content_type}");
    }
}
