//! Requests that are refused before any shard has to do with them.

use crate::beside::testing::Bench;

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_and_changes_nothing() {
    let bench = Bench::new();
    for (body, code) in [
        ("", "bad_json"),
        ("[]", "bad_json"),
        ("7", "bad_json"),
        (r#"{"client_id":"a","client_id":"b"}"#, "bad_json"),
        (r#"{"client_id":"a"} {}"#, "bad_json"),
        (r#"{"client_id":"a","reason":null,"other":null}"#, "unknown_field"),
        (r#"{"client_id":null}"#, "missing_field"),
        (r#"{"client_id":"a","user":"b"}"#, "bad_field"),
        (r#"{"address":"10.0.0.0/8 "}"#, "bad_field"),
    ] {
        let reply = bench.send("POST /api/v1/bans", &[], body).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &code.into()), "{body}");
    }
    let many: Vec<String> = (0..20).map(|n| format!("\"m{n}\":1")).collect();
    let reply = bench.send("POST /api/v1/bans", &[], format!("{{{}}}", many.join(","))).await;
    assert!(
        reply.json()["error"]["reason"].as_str().is_some_and(|reason| reason.contains("too many members"))
    );
    let reply = bench.send("POST /api/v1/bans", &[("content-type", "text/html")], "{}").await;
    assert_eq!(reply.status, 415);
    assert_eq!(bench.context.bans.len(), 0);
    let list = bench.send("GET /api/v1/bans", &[], "").await.json();
    assert_eq!((&list["total"], &list["kept"]), (&0.into(), &false.into()));
}
