//! Clients whose sessions expire. They come and go, and know whether their session must be there, must be gone, or may
//! be either.

use super::players::GUESTS;
use super::stage::Stage;
use super::transport::{Came, Transport, Way};
use crate::DEADLINE;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::wire::Version;
use trefoil_model::{Client, Options, Random};

/// A session may be there for that long after it has expired: the hub's own clock ticks in rounds.
const GRACE_MS: u64 = 300;

/// What is known of the session between two connections. Times are milliseconds since the beginning.
#[derive(Clone, Copy)]
struct Since {
    /// The hub still had the connection then.
    alive_ms: u64,
    /// It had noticed by then that the connection is gone.
    gone_ms: u64,
}

impl Since {
    /// Whether a session must be there when it is asked for and answered between these two moments; `None`: nobody can say.
    fn judge(
        self,
        expiry_ms: u64,
        (asked_ms, answered_ms): (u64, u64),
        is_present: bool,
    ) -> Result<Option<bool>, String> {
        let Since { alive_ms, gone_ms } = self;
        let must_be_there = answered_ms < alive_ms + expiry_ms;
        let must_be_gone = asked_ms > gone_ms.saturating_add(expiry_ms + GRACE_MS);
        let times = format!(
            "alive at {alive_ms} ms, noticed as gone at {gone_ms} ms, asked for at {asked_ms} ms, answered at \
             {answered_ms} ms"
        );
        match is_present {
            false if must_be_there => {
                Err(format!("its session is gone before its {expiry_ms} ms are over ({times})"))
            }
            true if must_be_gone => {
                Err(format!("its session is there after its {expiry_ms} ms are over ({times})"))
            }
            _ => Ok((must_be_there || must_be_gone).then_some(must_be_there)),
        }
    }
}

struct Guest<'a> {
    stage: &'a Stage,
    client: Client,
    random: Random,
    filter: String,
    /// The session, if the hub has said that there is one.
    session: Option<Since>,
    /// The session has its subscription.
    is_subscribed: bool,
}

/// From connection to connection.
pub(super) fn play(stage: &Stage, number: usize, seed: u64) {
    let expiry_s = 1 + (number - GUESTS.start) as u32 % 2;
    let (client_id, version) = (format!("guest-{number}"), Version::V5);
    let mut guest = Guest {
        stage,
        client: Client::new(Options { number, client_id, version, expiry_s, receive_max: 5 }),
        random: Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64)),
        filter: format!("g/{number}"),
        session: None,
        is_subscribed: false,
    };
    // At the end of the round its session may be there or not.
    stage.sessions_maybe.fetch_add(1, SeqCst);
    while !stage.is_over() && !stage.is_settling() {
        guest.stay_away();
        guest.visit(false);
    }
    stage.is_through(&format!("client {number}"));
    // What waits for it still has to come.
    while !stage.is_over() {
        guest.visit(true);
    }
}

impl Guest<'_> {
    fn stay_away(&mut self) {
        let long_ms = u64::from(self.client.options().expiry_s) * 1000 + 2 * GRACE_MS;
        let pause_ms = if self.random.chance(60) { self.random.below(300) as u64 } else { long_ms };
        let until = self.stage.now_ms() + pause_ms;
        while self.stage.now_ms() < until && !self.stage.is_over() && !self.stage.is_settling() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One connection; with `stays` until it is cut.
    fn visit(&mut self, stays: bool) {
        let (since, life, asked_ms) = (self.stage.cuts(), self.stage.life(), self.stage.now_ms());
        let Some(mut transport) = Transport::open(self.stage, Way::Tcp) else { return };
        // Until the answer comes nobody knows which session the hub has. Then the next connection starts clean.
        let before = self.session.take();
        self.client.connect(before.is_none(), None, &mut self.stage.evidence().main);
        let is_polite = self.stay(&mut transport, stays, (since, life, asked_ms), before);
        if is_polite && transport.send(&self.client.disconnect(false)) {
            transport.shut();
            let deadline = Instant::now() + DEADLINE;
            while Instant::now() < deadline && !matches!(transport.receive(), Came::TheEnd) {}
        }
        drop(transport);
        self.client.lose();
        let is_noticed = match is_polite && self.stage.cuts() == since {
            true => true,
            // At its next start the hub takes for lost who was connected.
            false => self.session.is_some() && self.is_up_after(life),
        };
        let now_ms = self.stage.now_ms();
        if let (true, Some(session)) = (is_noticed, &mut self.session) {
            session.gone_ms = now_ms;
        }
    }

    /// Stays connected for a while; whether it is to say goodbye.
    fn stay(
        &mut self,
        transport: &mut Transport,
        stays: bool,
        asked: (usize, usize, u64),
        before: Option<Since>,
    ) -> bool {
        let (since, life, asked_ms) = asked;
        let until = self.stage.now_ms() + self.random.below(80) as u64;
        while !self.stage.is_cut(since) && transport.send(&self.client.output()) {
            match transport.receive() {
                Came::TheEnd => return false,
                Came::Nothing => {}
                Came::Bytes(bytes) => {
                    if let Err(why) = self.client.receive(&bytes, &mut self.stage.evidence().main) {
                        self.fail(&why);
                        return false;
                    }
                }
            }
            self.client.answer(usize::MAX);
            if !self.client.is_ready() {
                continue;
            }
            if self.session.is_none() {
                if self.stage.life() != life {
                    return false;
                }
                let is_present = !self.client.take_new_session();
                self.judge(before, asked_ms, is_present);
                self.session = Some(Since { alive_ms: asked_ms, gone_ms: u64::MAX });
                self.is_subscribed &= is_present;
                if !self.is_subscribed {
                    let filter = self.filter.clone();
                    self.client.subscribe(&[(&filter, 1, false)], &mut self.stage.evidence().main);
                }
            } else if self.client.is_idle() {
                self.is_subscribed = true;
                if !stays && self.stage.now_ms() > until {
                    return true;
                }
            }
        }
        false
    }

    /// Whether the hub was right about the session.
    fn judge(&self, before: Option<Since>, asked_ms: u64, is_present: bool) {
        let Some(since) = before else { return };
        let expiry_ms = u64::from(self.client.options().expiry_s) * 1000;
        match since.judge(expiry_ms, (asked_ms, self.stage.now_ms()), is_present) {
            Err(why) => self.fail(&why),
            Ok(Some(true)) => self.stage.evidence().sessions_kept += 1,
            Ok(Some(false)) => self.stage.evidence().sessions_expired += 1,
            Ok(None) => {}
        }
    }

    /// Waits until the hub has come up after this life of it; it need not.
    fn is_up_after(&self, life: usize) -> bool {
        let deadline = Instant::now() + DEADLINE;
        let is_up = || self.stage.last_up() > life;
        let may_come = || !(self.stage.spares_the_hub || self.stage.is_settling() || self.stage.is_over());
        while !is_up() && may_come() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        is_up()
    }

    fn fail(&self, why: &str) {
        let Options { number, client_id, .. } = self.client.options();
        self.stage.fail(format!("client {number} ({client_id}): {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_as_long_as_it_was_to_and_no_longer() {
        let since = Since { alive_ms: 1000, gone_ms: 1500 };
        for (asked_ms, answered_ms, is_present, verdict) in [
            (1600, 1999, true, Ok(Some(true))),
            (1600, 1999, false, Err(())),
            (1600, 2000, false, Ok(None)),
            (2500, 2600, true, Ok(None)),
            (2801, 2900, true, Err(())),
            (2801, 2900, false, Ok(Some(false))),
        ] {
            let judged = since.judge(1000, (asked_ms, answered_ms), is_present).map_err(drop);
            assert_eq!(judged, verdict, "asked at {asked_ms} ms, answered at {answered_ms} ms, {is_present}");
        }
        let unnoticed = Since { alive_ms: 1000, gone_ms: u64::MAX };
        assert_eq!(unnoticed.judge(1000, (9000, 9001), true), Ok(None));
    }
}
