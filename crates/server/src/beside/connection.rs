//! One connection: hyper drives it until it ends or goes back to a shard.

use super::HandOver;
use super::access::Caller;
use super::channel;
use super::hand_back::{belongs_elsewhere, join, write_head};
use super::publish::REPLY_MAX;
use super::refusal::Refusal;
use super::rewind::{Flow, Rewind};
use crate::context::Context;
use crate::mail::{Arrival, Mail, Stage};
use crate::proxied::{Conflict, Proxied};
use crate::stats::Kind;
use crate::stream::AsyncStream;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;
use trefoil_json::Code;

/// A connection on which nothing moved for this long is closed: it neither sends its body nor reads its response.
const IDLE_MAX: Duration = Duration::from_secs(60);
// Nothing moves while a publish waits for its shard.
const _: () = assert!(IDLE_MAX.as_secs() > REPLY_MAX.as_secs());

/// The smallest buffer that hyper reads into.
const BUFFER_BYTES_MIN: usize = 8192;

/// A connection as it is counted. Dropping it counts it as ended.
pub(super) struct Counted {
    context: Arc<Context>,
    listener: usize,
    /// It lives on, on a shard.
    handed_back: bool,
}

impl Counted {
    pub(super) fn new(context: Arc<Context>, listener: usize) -> Counted {
        context.stats_beside().connections[Kind::Http as usize].shared_add(1);
        Counted { context, listener, handed_back: false }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.context.stats_beside().connections[Kind::Http as usize].shared_add(-1);
        if !self.handed_back {
            self.context.connections.fetch_sub(1, Ordering::Relaxed);
            self.context.listeners[self.listener].connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How serving a connection ended.
enum End {
    Closed(Result<(), hyper::Error>),
    Idle,
    /// A request belongs on a shard; this is its head.
    GoesBack(Vec<u8>),
}

/// Serves a connection to its end.
pub(super) async fn serve(
    mut counted: Counted,
    router: Router,
    mut stopping: watch::Receiver<bool>,
    hand_over: HandOver,
) {
    let context = counted.context.clone();
    let (peer, forwarded, listener) = (hand_over.peer, hand_over.forwarded, hand_over.listener);
    let stream = match AsyncStream::new(hand_over.stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a connection cannot be served beside the shards"),
    };
    let flow = Arc::new(Flow::default());
    let io = Rewind::new(hand_over.input, stream, context.clone(), flow.clone());
    let desk = Arc::new(Desk {
        router,
        caller: Caller::new(forwarded.or(peer.map(|peer| peer.ip()))),
        context: context.clone(),
        listener,
        has_served: AtomicBool::new(false),
        goes_back: Mutex::default(),
        json_bytes_max: context.limits.json_bytes_max,
    });
    let clerk = desk.clone();
    let service = service_fn(move |request| Desk::answer(&clerk, request));
    let mut connection = http(&context).serve_connection(TokioIo::new(io), service);

    let mut watch_idle = tokio::time::interval_at(tokio::time::Instant::now() + IDLE_MAX, IDLE_MAX);
    let mut is_stopping = false;
    let end = loop {
        let progress = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(result) => Poll::Ready(End::Closed(result)),
            // Responses to earlier requests are hyper's to write, before anybody else writes on this socket.
            Poll::Pending if flow.is_unwritten() => Poll::Pending,
            Poll::Pending => desk.take_back().map_or(Poll::Pending, |head| Poll::Ready(End::GoesBack(head))),
        });
        tokio::select! {
            // In this order: a request that a shard has seen is served, also when the server stops before this task runs.
            biased;
            end = progress => break end,
            _ = stopping.wait_for(|&stopping| stopping), if !is_stopping => {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ = watch_idle.tick() => if !flow.take_moved() { break End::Idle },
        }
    };
    match end {
        End::Closed(Ok(())) => {}
        End::Closed(Err(error)) => {
            if error.is_parse() {
                context.stats_beside().protocol_errors.shared_add(1);
            }
            tracing::debug!(?peer, %error, "an HTTP connection ended");
        }
        End::Idle => tracing::debug!(?peer, "an HTTP connection was closed, since nothing moved on it"),
        End::GoesBack(head) => {
            let parts = connection.into_parts();
            let (unread, stream) = parts.io.into_inner().into_parts();
            let input = join(head, &parts.read_buf, &unread);
            match hand_back(&context, stream, (listener, forwarded), input) {
                Ok(()) => counted.handed_back = true,
                Err(error) => tracing::warn!(?peer, %error, "a connection cannot go back to a shard"),
            }
        }
    }
}

fn http(context: &Context) -> http1::Builder {
    let head_bytes_max = context.limits.http_header_bytes_max;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // It runs from the end of one request on, so that it also bounds how long a connection is kept for the next.
        .header_read_timeout(Duration::from_secs(context.limits.first_bytes_timeout_s.into()))
        .max_header_size(head_bytes_max)
        .max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN))
        // `printf … | nc -N` has said all that it will say and waits for the answer.
        .half_close(true);
    http
}

/// Posts a connection to a shard. Any will do: it moves on to the right one as soon as that is known.
fn hand_back(
    context: &Context,
    stream: AsyncStream,
    (listener, forwarded): (usize, Option<IpAddr>),
    input: Vec<u8>,
) -> io::Result<()> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let stream = stream.into_stream()?;
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) % context.mailboxes.len();
    let (output, stage) = (Vec::new(), Stage::First);
    let forwarded = Proxied { connection: forwarded, ..Proxied::default() };
    let arrival = Arrival { stream, listener, input, output, forwarded, user: None, stage };
    context.mailboxes[shard].post(Mail::Arrival(Box::new(arrival)));
    Ok(())
}

/// Where the requests of one connection arrive.
struct Desk {
    router: Router,
    context: Arc<Context>,
    listener: usize,
    caller: Caller,
    /// The first request has come.
    has_served: AtomicBool,
    /// The head of a request that belongs on a shard.
    goes_back: Mutex<Option<Vec<u8>>>,
    /// The longest body that goes along.
    json_bytes_max: usize,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Desk {
    fn answer(desk: &Arc<Desk>, request: Request<Incoming>) -> Answer {
        // A shard has looked at the first one and found it to belong here; sending it back would go on for ever.
        let is_first = !desk.has_served.swap(true, Ordering::Relaxed);
        if !is_first && channel::has_body(&request) {
            return Box::pin(desk.clone().send_back(request.map(Body::new)));
        }
        // hyper reads a body ahead, so that it could not go back whole; no other kind of request has one.
        if is_first || !belongs_elsewhere(&request) || !request.body().is_end_stream() {
            let mut request = request.map(Body::new);
            let trusted = &desk.context.listeners[desk.listener].trusted_proxies;
            let Ok(caller) = desk.caller.forwarded(trusted, request.headers()) else {
                let refusal = Refusal::new(StatusCode::BAD_REQUEST, Code::BadField, Conflict::WHY);
                return Box::pin(ready(Ok(refusal.into_response())));
            };
            request.extensions_mut().insert(caller);
            return Box::pin(desk.router.clone().oneshot(request));
        }
        desk.goes_back(write_head(&request));
        Box::pin(pending())
    }

    /// Sends a request back whose body has to come first.
    async fn send_back(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        match channel::write(request, self.json_bytes_max).await {
            Ok(bytes) => {
                self.goes_back(bytes);
                pending().await
            }
            Err(refusal) => Ok(refusal.into_response()),
        }
    }

    fn goes_back(&self, request: Vec<u8>) {
        *self.goes_back.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    fn take_back(&self) -> Option<Vec<u8>> {
        self.goes_back.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
