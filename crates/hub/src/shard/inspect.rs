//! Looking at sessions from outside, and ending one: for whoever looks after the hub.

use super::Shard;
use crate::key::SessionKey;
use crate::outlet::Outlet;
use crate::session::Session;
use crate::shard::Ending;
use crate::time::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// What a session is at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionReport {
    /// The name of the client.
    pub client_id: Arc<str>,
    /// Who the client proved to be.
    pub identity: Option<Arc<str>>,
    /// The client is here.
    pub is_connected: bool,
    /// The session is written down and survives the end of the hub.
    pub is_kept: bool,
    /// How long it outlasts its connection, in seconds; `u32::MAX` is for ever.
    pub expiry_s: u32,
    /// For how many milliseconds the client has been away; none while it is here.
    pub away_ms: Option<u64>,
    /// When that was, in milliseconds on the clock of [`Time`]; it may be before the hub's start.
    pub left_ms: Option<i64>,
    /// In how many milliseconds it ends, while the client is away and if it ever does.
    pub ends_in_ms: Option<u64>,
    /// Subscriptions, shared ones counted.
    pub subscriptions: usize,
    /// Messages that wait.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Deliveries sent and not acknowledged.
    pub in_flight: usize,
}

/// Which sessions come first: those with the most of this.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SessionOrder {
    /// Bytes that wait.
    #[default]
    Bytes,
    /// Messages that wait.
    Messages,
    /// Deliveries in flight.
    InFlight,
    /// Subscriptions.
    Subscriptions,
    /// Time since the client went; those that are here come last.
    Away,
}

impl SessionOrder {
    /// How much of it a session has.
    pub fn rank(self, session: &SessionReport) -> u64 {
        match self {
            SessionOrder::Bytes => session.queued_bytes as u64,
            SessionOrder::Messages => session.queued as u64,
            SessionOrder::InFlight => session.in_flight as u64,
            SessionOrder::Subscriptions => session.subscriptions as u64,
            // How long that is ago each shard would say for another moment.
            SessionOrder::Away => session.left_ms.map_or(0, |left_ms| left_ms.abs_diff(i64::MAX)),
        }
    }
}

/// Rank, client id, place and serial of a session.
type Candidate = (u64, Reverse<Arc<str>>, usize, u32);

/// A search for the first sessions in an order, which a shard goes on with bit by bit: it may have a million.
#[derive(Debug)]
pub struct SessionSurvey {
    order: SessionOrder,
    sessions_max: usize,
    place: usize,
    /// The first of those that have been looked at, the last of them on top. Among equals
    /// the client id decides, so that whoever asks for more gets the same ones first.
    first: BinaryHeap<Reverse<Candidate>>,
}

impl SessionSurvey {
    /// For the first `sessions_max` sessions.
    pub fn new(order: SessionOrder, sessions_max: usize) -> SessionSurvey {
        SessionSurvey { order, sessions_max, place: 0, first: BinaryHeap::new() }
    }
}

impl Shard {
    /// Looks at up to `steps_max` more sessions. Gives the first ones in their order when all have been looked at. What
    /// comes or changes meanwhile may be missed.
    pub fn go_on_with_survey(
        &self,
        now: Time,
        survey: &mut SessionSurvey,
        steps_max: usize,
    ) -> Option<Vec<SessionReport>> {
        let end = self.sessions.capacity().min(survey.place.saturating_add(steps_max));
        for place in survey.place..end {
            let Some(session) = self.sessions.get(place) else { continue };
            let rank = survey.order.rank(&report(now, session));
            let is_full = survey.first.len() >= survey.sessions_max;
            if is_full && survey.first.peek().is_some_and(|Reverse((least, ..))| rank < *least) {
                continue;
            }
            survey.first.push(Reverse((rank, Reverse(session.client_id.clone()), place, session.serial)));
            if survey.first.len() > survey.sessions_max {
                survey.first.pop();
            }
        }
        survey.place = end;
        if end < self.sessions.capacity() {
            return None;
        }
        let first = std::mem::take(&mut survey.first).into_sorted_vec();
        let reports = first.into_iter().filter_map(|Reverse((_, _, place, serial))| {
            let session = self.sessions.get(place).filter(|session| session.serial == serial)?;
            Some(report(now, session))
        });
        Some(reports.collect())
    }

    /// Ends a session, whatever it was to outlast: its subscriptions go, and what waits for it. Its will is published. If
    /// it has a connection, the caller closes that.
    pub fn end_session(&mut self, now: Time, session: SessionKey, out: &mut impl Outlet) {
        self.disconnect(now, session, Ending::Lost, out);
        self.end(now, session, out);
    }
}

fn report(now: Time, session: &Session) -> SessionReport {
    let ends_at = session.rare.as_ref().and_then(|rare| rare.ends_at);
    let ends_at = ends_at.filter(|_| session.connection().is_none());
    let outgoing = session.outgoing.as_deref();
    let (queued, queued_bytes) = outgoing.map_or((0, 0), |outgoing| outgoing.queued());
    let left_ms = session.connection().is_none().then_some(session.left_ms);
    let away_ms = |left_ms| u64::try_from((now.as_ms() as i64).saturating_sub(left_ms)).unwrap_or_default();
    SessionReport {
        client_id: session.client_id.clone(),
        identity: session.identity().cloned(),
        is_connected: session.connection().is_some(),
        is_kept: session.is_kept,
        expiry_s: session.expiry_s,
        away_ms: left_ms.map(away_ms),
        left_ms,
        ends_in_ms: ends_at.map(|at| at.since(now)),
        subscriptions: session.subscription_count(),
        queued,
        queued_bytes,
        in_flight: outgoing.map_or(0, |outgoing| outgoing.in_flight()),
    }
}
