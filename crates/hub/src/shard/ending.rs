//! How connections and sessions end, and what the passing of time does to them: wills and expiry.

use super::Shard;
use crate::group::Search;
use crate::key::SessionKey;
use crate::outlet::Outlet;
use crate::session::Will;
use crate::time::Time;
use std::sync::Arc;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With a goodbye: the will is forgotten [MQTT-3.1.2-10] [v3 MQTT-3.1.2-10]. The client may change how long its session lasts.
    Normal {
        /// The new session expiry in seconds.
        expiry_s: Option<u32>,
    },
    /// With a goodbye that asks for the will to be published (DISCONNECT with reason 0x04).
    WithWill {
        /// The new session expiry in seconds.
        expiry_s: Option<u32>,
    },
    /// Without one: the network failed, the client fell silent, broke the protocol, or was displaced.
    Lost,
    /// The hub stops; wills are left unsent, as MQTT 5.0 §3.1.2.5 allows.
    Stopped,
    /// It goes on in another process, and so do the will and what is under way: see
    /// [`let_go`](Shard::let_go), which this is for.
    HandedOver,
}

impl Shard {
    /// A session's connection has ended. The session ends too, unless it is to outlast it; as long as there is a connection
    /// nothing ends it [MQTT-4.1.0-1] [v3 MQTT-4.1.0-1] [v3 MQTT-4.1.0-2].
    pub fn disconnect(&mut self, now: Time, key: SessionKey, ending: Ending, out: &mut impl Outlet) {
        let session_expiry_s_max = self.shared.limits.session_expiry_s_max;
        let session = self.session_mut(key);
        let Some(link) = session.link.take() else { return };
        self.connected -= 1;
        self.note_presence_lost(key, link, ending);
        self.take_no_replies(key);
        let session = self.session_mut(key);
        session.left_ms = now.as_ms() as i64;
        if let Some(outgoing) = &mut session.outgoing {
            outgoing.detach();
        }
        session.slim();
        if let Ending::Normal { expiry_s: Some(asked_s) } | Ending::WithWill { expiry_s: Some(asked_s) } =
            ending
        {
            let expiry_s = asked_s.min(session_expiry_s_max);
            let was_s = std::mem::replace(&mut session.expiry_s, expiry_s);
            if expiry_s > 0 && expiry_s != was_s {
                // How long the client is away is counted from it after a restart, too.
                self.write_connect(key);
            }
        }
        let session = self.session_mut(key);
        // Without one in CONNECT there is none [v3 MQTT-3.1.2-12], and it is published once [MQTT-3.1.2-10].
        let will = session.rare.as_mut().and_then(|r| r.will.take());
        let will = match ending {
            Ending::WithWill { .. } | Ending::Lost => will,
            Ending::Normal { .. } | Ending::Stopped | Ending::HandedOver => None,
        };
        let expiry_s = session.expiry_s;
        self.set_online(key, false);
        if expiry_s > 0 && ending != Ending::HandedOver {
            self.strand(now, key, out);
        }
        let waiting_will = will.as_ref().filter(|will| will.delay_s.min(expiry_s) > 0);
        let will_at = waiting_will.map(|will| now.plus_s(will.delay_s.min(expiry_s).into()));
        let ends_at = (expiry_s < u32::MAX).then(|| now.plus_s(expiry_s.into()));
        self.note_away(key, ends_at, will_at);
        if let Some(will) = will {
            // [MQTT-3.1.2-8] [v3 MQTT-3.1.2-8]: after the delay, or when the session ends, whichever comes first.
            let delay_s = will.delay_s.min(expiry_s);
            if delay_s == 0 {
                self.publish_will(now, Some(key), will, out);
            } else {
                let at = now.plus_s(delay_s.into());
                let rare = self.session_mut(key).rare();
                (rare.will, rare.will_at) = (Some(will), Some(at));
                self.set_timer(key);
            }
        }
        // [MQTT-3.1.2-23] [v3 MQTT-3.1.2-4] [v3 MQTT-3.1.2-6]
        match expiry_s {
            0 => self.end(now, key, out),
            u32::MAX => {}
            _ => {
                let at = now.plus_s(expiry_s.into());
                self.session_mut(key).rare().ends_at = Some(at);
                self.set_timer(key);
            }
        }
        self.tell_presence(now, out);
    }

    /// Publishes the wills and delayed messages that are due and ends the sessions whose time is over
    /// [MQTT-4.1.0-2].
    pub fn handle_time(&mut self, now: Time, out: &mut impl Outlet) {
        self.begin_event();
        self.go_on_replaying(now, out);
        self.publish_delayed(now, out);
        self.go_on_with_presence(now, out);
        let mut due = Vec::new();
        self.timers.expire(now, &mut due);
        for (key, serial) in due {
            let Some(session) = self.sessions.get_mut(key.index() as usize).filter(|s| s.serial == serial)
            else {
                continue;
            };
            let Some(rare) = &mut session.rare else { continue };
            if rare.timer_at.is_some_and(|at| at <= now) {
                rare.timer_at = None;
            }
            if rare.will_at.is_some_and(|at| at <= now) {
                self.publish_waiting_will(now, key, out);
            }
            if self.session(key).is_over(now) {
                self.counters.expired_sessions += 1;
                self.end(now, key, out);
            } else {
                self.set_timer(key);
            }
        }
    }

    /// Publishes a will whose time has come.
    pub(super) fn publish_waiting_will(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let rare = self.session_mut(key).rare();
        rare.will_at = None;
        if let Some(will) = rare.will.take() {
            self.note_will(key);
            self.publish_will(now, Some(key), will, out);
        }
    }

    /// Milliseconds until [`handle_time`](Self::handle_time) has something to do; none if nothing is due ever.
    pub fn wait_ms(&self, now: Time) -> Option<u64> {
        if !self.replaying.is_empty() || !self.following.is_empty() || self.rolls.is_making() {
            return Some(0);
        }
        let waits = [self.timers.wait_ms(now), self.delayed.wait_ms(now), self.presence_wait_ms(now)];
        waits.into_iter().flatten().min()
    }

    /// Ends a session: its subscriptions go, and what waited for it.
    pub(super) fn end(&mut self, now: Time, key: SessionKey, out: &mut impl Outlet) {
        let Some(session) = self.sessions.get_mut(key.index() as usize) else { return };
        let mut filters = std::mem::take(&mut session.filters);
        while let Some(removed) = self.subscriptions.remove_any(key, &mut filters) {
            self.tell_of(key, removed);
        }
        self.note_end(key);
        let at = self.address(key);
        let mut session = self.sessions.remove(key.index() as usize);
        self.by_client_id.remove(&session.client_id);
        let Some(rare) = &mut session.rare else { return };
        self.shared_subscriptions -= rare.shares.len();
        for group in rare.shares.values() {
            self.shared.interest.leave(group, at);
        }
        if !rare.shares.is_empty()
            && let Some(outgoing) = &mut session.outgoing
        {
            let taken = outgoing.take_shared(usize::MAX, true, |_| true);
            self.share_again(now, taken, Search::default().after(at), out);
        }
        for filter in &rare.exclusives {
            self.shared.exclusive.give_back(filter, at);
        }
        if rare.will_at.is_some()
            && let Some(will) = rare.will.take()
        {
            self.publish_will(now, None, will, out);
        }
    }

    /// It is retained if it says so and not otherwise [MQTT-3.1.2-14] [v3 MQTT-3.1.2-16] [MQTT-3.1.2-15]
    /// [v3 MQTT-3.1.2-17]. `publisher` is the session whose will it is, as long as there is one: no-local holds for wills
    /// too.
    fn publish_will(&mut self, now: Time, publisher: Option<SessionKey>, will: Will, out: &mut impl Outlet) {
        let mut message = will.message;
        message.expires_at = will.expiry_s.map(|s| now.plus_s(s.into()));
        self.publish_as_it_is(now, publisher, &Arc::new(message), out);
    }

    /// Sees to it that there is a timer for the session's next deadline.
    pub(super) fn set_timer(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key.index() as usize];
        let (Some(at), serial) = (session.deadline(), session.serial) else { return };
        let timer_at = &mut session.rare().timer_at;
        if timer_at.is_none_or(|set| at < set) {
            *timer_at = Some(at);
            self.timers.set(at, (key, serial));
        }
    }
}
