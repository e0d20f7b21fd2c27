//! Who asks: Basic authentication of what is served beside the shards.

use super::admin::bans::banned;
use super::passwords::{Busy, Passwords, Question};
use super::refusal::Refusal;
use super::routes::Site;
use crate::access::kept::{ADDRESS_IS_BANNED, USER_IS_BANNED};
use crate::access::{Access, Credentials, Verdict};
use crate::proxied::{Conflict, client_of};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use trefoil_auth::Users;
use trefoil_config::Network;
use trefoil_json::Code;

/// What supervisors ask, who have no password; it says nothing but that the hub is there and can do its work. And the
/// client for pages, which is the same everywhere: a page that has its users sign in by itself loads it before that.
const OPEN: [&str; 4] = ["/healthz", "/livez", "/trefoil.js", "/trefoil.mjs"];

/// One connection, for its requests.
#[derive(Clone, Default)]
pub(super) struct Caller {
    address: Option<IpAddr>,
    known: Arc<Mutex<Option<Known>>>,
}

/// The header that was right last, whose it is, and the users of then: a request with the same one need not be hashed again.
struct Known {
    header: HeaderValue,
    user: Arc<str>,
    users: Arc<Users>,
}

/// Who has sent a request: a user, or nobody in particular.
#[derive(Clone, Default)]
pub(super) struct Asker(Option<Arc<str>>);

impl Asker {
    pub(super) fn user(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }
}

impl Caller {
    pub(super) fn new(address: Option<IpAddr>) -> Caller {
        Caller { address, known: Arc::default() }
    }

    /// Who has sent a request, if a trusted proxy brings it for somebody else.
    ///
    /// # Errors
    /// When its headers contradict each other.
    pub(super) fn forwarded(&self, trusted: &[Network], headers: &HeaderMap) -> Result<Caller, Conflict> {
        let Some(peer) = self.address.filter(|_| !trusted.is_empty()) else { return Ok(self.clone()) };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let client = client_of(peer, trusted, headers.iter().copied())?;
        Ok(Caller { address: Some(client), known: self.known.clone() })
    }

    /// Where it comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    fn known(&self, header: &HeaderValue, users: &Arc<Users>) -> Option<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            known.as_ref().filter(|known| known.header == header && Arc::ptr_eq(&known.users, users))?;
        Some(known.user.clone())
    }
}

/// Lets a request through if it says who asks, or need not.
pub(super) async fn authenticate(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    // Who was banned after the connection had come.
    if caller.address().is_some_and(|address| site.context.bans.refuses_address(address)) {
        return banned(ADDRESS_IS_BANNED).into_response();
    }
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(Asker::default());
    let Some(access) = &site.context.access else { return next.run(request).await };
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(header) = request.headers().get(AUTHORIZATION).cloned() else {
        if site.listener().allow_anonymous {
            return next.run(request).await;
        }
        return Refusal::unauthorized("say who you are: user name and password, by Basic authentication")
            .into_response();
    };
    match check(&site, access, &caller, header).await {
        Ok(user) if site.context.bans.refuses_user(&user) => banned(USER_IS_BANNED).into_response(),
        Ok(user) => {
            request.extensions_mut().insert(Asker(Some(user)));
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn check(
    site: &Site,
    access: &Access,
    caller: &Caller,
    header: HeaderValue,
) -> Result<Arc<str>, Refusal> {
    let users = access.users();
    if let Some(user) = caller.known(&header, &users) {
        return Ok(user);
    }
    let stats = site.context.stats_beside();
    if site.context.failures.is_barred(caller.address, site.context.now()) {
        stats.auth_throttled.shared_add(1);
        return Err(barred(site, caller));
    }
    let Some(Credentials { user_name, password }) = Credentials::read(header.as_bytes()) else {
        return Err(Refusal::unauthorized("the Authorization header is not that of Basic authentication"));
    };
    // It goes with this request, when nobody waits for that any more.
    let asker = Arc::new(());
    let question = Question {
        users: users.clone(),
        user_name,
        password,
        from: caller.address.into(),
        asker: Arc::downgrade(&asker),
    };
    let Ok(verdict) = answer(&site.passwords, question).await else {
        stats.auth_throttled.shared_add(1);
        let why = "too many passwords wait to be looked at; try again";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, why).retry_after(1));
    };
    let now = access.users();
    match verdict {
        // Unless another password was set meanwhile, or the user deleted.
        Verdict::Right(user) if Arc::ptr_eq(&now, &users) || now.agree_on(&user, &users) => {
            let known = Some(Known { header, user: user.clone(), users });
            *caller.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
            Ok(user)
        }
        Verdict::Right(_) | Verdict::Wrong => {
            stats.auth_failures.shared_add(1);
            Err(Refusal::unauthorized("user name or password is wrong"))
        }
        Verdict::Barred => {
            stats.auth_throttled.shared_add(1);
            Err(barred(site, caller))
        }
    }
}

fn barred(site: &Site, caller: &Caller) -> Refusal {
    let after_s = site.context.failures.barred_s(caller.address, site.context.now());
    let why = "too many attempts from this address have failed (auth.failures_max); wait";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::Quota, why).retry_after(after_s)
}

async fn answer(passwords: &Passwords, question: Question) -> Result<Verdict, Busy> {
    let (done, verdict) = oneshot::channel();
    passwords.ask(question, move |verdict| {
        // Whoever asked may have gone meanwhile.
        let _ = done.send(verdict);
    })?;
    // Unanswered it stays only when the server stops.
    verdict.await.map_err(|_| Busy)
}
