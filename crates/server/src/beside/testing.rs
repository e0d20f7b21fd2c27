//! What the tests of the routes stand on: a context with one shard that nobody runs.

#![allow(clippy::unwrap_used)]

use super::passwords::Passwords;
use super::routes;
use crate::access::{Access, Bans};
use crate::context::{Context, ListenerContext};
use crate::mail::{Mail, Mailbox, mailbox};
use crate::stats::Stats;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use trefoil_config::{Auth, Limits, Protocols};
use trefoil_hub::{Message, Published, Shared};

/// Where passwords are looked at. It outlives all tests, since not all of them run in one.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap());

/// One listener's routes, and a mailbox whose mail the test answers.
pub(crate) struct Bench {
    pub(crate) context: Arc<Context>,
    router: Router,
    /// What the mailbox wakes.
    _poll: mio::Poll,
}

/// A response, read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
}

impl Bench {
    /// Everything is served.
    pub(super) fn new() -> Bench {
        Bench::with(Protocols { mqtt: true, http: true, websocket: true, json: true, ..Protocols::NONE })
    }

    pub(super) fn with(protocols: Protocols) -> Bench {
        Bench::limited(protocols, Limits::default())
    }

    pub(super) fn limited(protocols: Protocols, limits: Limits) -> Bench {
        Bench::build(protocols, limits, (None, &Auth::default()), &Default::default())
    }

    /// With users, and bans by these settings.
    pub(crate) fn with_access(access: Access, auth: &Auth, bans: &trefoil_config::Bans) -> Bench {
        let protocols = Protocols { http: true, ..Protocols::NONE };
        Bench::build(protocols, Limits::default(), (Some(access), auth), bans)
    }

    fn build(
        protocols: Protocols,
        limits: Limits,
        (access, auth): (Option<Access>, &Auth),
        bans: &trefoil_config::Bans,
    ) -> Bench {
        let poll = mio::Poll::new().unwrap();
        let listener = ListenerContext {
            bind: trefoil_config::Bind::Tcp(([127, 0, 0, 1], 1883).into()),
            protocols,
            allow_anonymous: true,
            echo: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            allowed_origins: Default::default(),
            tls: None,
            slow_reader: Default::default(),
            connections_max: 10,
            connections: AtomicUsize::new(0),
            framed: None,
            is_dial: false,
        };
        let context = Arc::new(Context {
            websocket: Default::default(),
            contexts: Default::default(),
            mqtt: Default::default(),
            sys: Default::default(),
            limits,
            gateway: crate::shard::mqtt_sn::Gateway::new(&trefoil_config::Config::default()),
            lobby: crate::shard::rooms::Lobby::new(trefoil_config::Rooms::default(), [7; 32])
                .expect("the system has randomness"),
            access,
            bans: Bans::new(bans, std::iter::empty()),
            failures: crate::access::Failures::new(auth.failures_max, auth.failures_window_s),
            dials: Vec::new(),
            keeper: None,
            listeners: vec![listener],
            hub: Arc::new(Shared::new(1, 0, trefoil_hub::Limits::default())),
            mailboxes: vec![mailbox(poll.registry(), mio::Token(0)).unwrap()],
            stats: vec![Stats::default(), Stats::default()],
            connections: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            streams: crate::streams::Streams::default(),
            descriptors: crate::descriptors::Descriptors::new(1),
            memory: crate::memory::Memory::new(Default::default()),
            started: Instant::now(),
        });
        let passwords = Passwords::new(context.clone(), RUNTIME.handle().clone());
        Bench { router: routes::router(&context, &passwords, 0), context, _poll: poll }
    }

    /// Sends a request, given as `METHOD PATH`.
    pub(super) async fn send(&self, start: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let (method, path) = start.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Sends a publish and answers it as a shard would, if it comes as far. Returns what the shard got.
    pub(super) async fn publish(&self, body: &str, published: Published) -> (Reply, Option<Arc<Message>>) {
        let sent = self.send("POST /api/v1/publish", &[], body.to_string());
        tokio::pin!(sent);
        // Nothing in between waits for anything but the shard, so that after one poll the mail is there or never comes.
        let early = tokio::time::timeout(Duration::ZERO, &mut sent).await;
        let message = match next_mail(&self.context.mailboxes[0]) {
            Some(Mail::Publish { message, reply }) => {
                reply.send(published).unwrap();
                Some(message)
            }
            Some(_) => panic!("nothing but a publish was sent"),
            None => None,
        };
        let reply = match early {
            Ok(reply) => reply,
            Err(_) => sent.await,
        };
        (reply, message)
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Takes the mail; at most one piece is expected.
pub(super) fn next_mail(mailbox: &Mailbox) -> Option<Mail> {
    let mut mail = Vec::new();
    mailbox.take(&mut mail);
    assert!(mail.len() <= 1, "one piece at a time");
    mail.pop()
}
