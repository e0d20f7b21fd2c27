//! The routes with a mailbox that the test answers as a shard would.

use crate::beside::testing::{Bench, Reply, next_mail};
use crate::mail::Mail;
use std::time::Duration;
use trefoil_hub::{SessionOrder, SessionReport};

/// Sends a request whose mail `shard` answers.
async fn ask(bench: &Bench, start: &str, shard: impl FnOnce(Mail)) -> Reply {
    let sent = bench.send(start, &[], "");
    tokio::pin!(sent);
    // Nothing in between waits for anything but the shard, so that after one poll the mail is there or never comes.
    let early = tokio::time::timeout(Duration::ZERO, &mut sent).await;
    if let Some(mail) = next_mail(&bench.context.mailboxes[0]) {
        shard(mail);
    }
    match early {
        Ok(reply) => reply,
        Err(_) => sent.await,
    }
}

fn session(client_id: &str, queued_bytes: usize) -> SessionReport {
    SessionReport {
        client_id: client_id.into(),
        identity: Some("ann".into()),
        is_connected: false,
        is_kept: true,
        expiry_s: u32::MAX,
        away_ms: None,
        left_ms: None,
        ends_in_ms: Some(1500),
        subscriptions: 2,
        queued: 3,
        queued_bytes,
        in_flight: 1,
    }
}

#[tokio::test]
async fn the_largest_are_listed() {
    let bench = Bench::new();
    let reply = ask(&bench, "GET /api/v1/sessions?limit=2", |mail| {
        let Mail::Survey { order, sessions_max, reply } = mail else { panic!("a survey was to come") };
        assert_eq!((order, sessions_max), (SessionOrder::Bytes, 2));
        let _ = reply.send(vec![session("b", 7), session("a", 7), session("c", 9)]);
    })
    .await;
    assert_eq!(reply.status, 200);
    let list = reply.json();
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&list["sessions"][0]["client_id"], &list["sessions"][1]["client_id"]),
        (&"c".into(), &"a".into())
    );
    let first = &list["sessions"][0];
    assert_eq!((&first["user"], &first["queued_bytes"]), (&"ann".into(), &9.into()));
    assert_eq!((&first["expires_in_s"], &first["expiry_s"]), (&2.into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn what_cannot_be_asked_is_told() {
    let bench = Bench::new();
    for (query, field) in [
        ("sort=size", "sort"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("offset=10001", "offset"),
        ("n=1", "query"),
    ] {
        let reply =
            ask(&bench, &format!("GET /api/v1/sessions?{query}"), |_| panic!("it was to be refused")).await;
        assert_eq!((reply.status, &reply.json()["error"]["field"]), (400, &field.into()), "{query}");
    }
    let post = bench.send("POST /api/v1/sessions", &[], "").await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET,HEAD")));
}

#[tokio::test]
async fn a_session_is_ended_by_any_name() {
    let bench = Bench::new();
    for (path, name) in [("pump-7", "pump-7"), ("a/b", "a/b"), ("a%2Fb%20%C3%A9", "a/b é")] {
        for was_there in [true, false] {
            let reply = ask(&bench, &format!("DELETE /api/v1/sessions/{path}"), |mail| {
                let Mail::DropSession { client_id, reply } = mail else { panic!("another piece of mail") };
                assert_eq!(&*client_id, name);
                let _ = reply.send(was_there);
            })
            .await;
            assert_eq!(reply.status, if was_there { 200 } else { 404 }, "{path}");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_not_kept_is_told() {
    let bench = Bench::new();
    bench.context.hub.set_keeps(false);
    let reply = ask(&bench, "DELETE /api/v1/sessions/a", drop).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (507, &"quota".into()));
    bench.context.hub.set_keeps(true);
    assert_eq!(ask(&bench, "DELETE /api/v1/sessions/a", drop).await.status, 503);
}
