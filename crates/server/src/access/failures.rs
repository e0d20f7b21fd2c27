//! Who has failed too often to be let try again.

use super::Verdict;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trefoil_hub::Time;

/// Addresses that are remembered. Beyond them new ones are not: to try a password is still bounded by what hashing it
/// costs.
const ADDRESSES_MAX: usize = 1 << 16;

/// Where an attempt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) address: Option<IpAddr>,
    /// Anybody may have written the address on it, as on a datagram that nobody has answered to yet. What fails so is counted
    /// by itself, or whoever forges addresses could have anybody barred.
    pub(crate) is_forgeable: bool,
}

impl From<Option<IpAddr>> for Origin {
    fn from(address: Option<IpAddr>) -> Origin {
        Origin { address, is_forgeable: false }
    }
}

/// What one party has, and whether it may be another one's.
type Party = (IpAddr, bool);

/// Failures by address.
#[derive(Debug)]
pub(crate) struct Failures {
    max: u32,
    window_s: u64,
    seen: Mutex<HashMap<Party, Seen>>,
}

#[derive(Debug)]
struct Seen {
    count: u32,
    until: Time,
}

impl Failures {
    /// At most `max` within a window; 0 is no limit.
    pub(crate) fn new(max: u32, window_s: u32) -> Failures {
        Failures { max, window_s: window_s.into(), seen: Mutex::default() }
    }

    /// Whether an address has failed so often that it is not listened to now.
    pub(crate) fn is_barred(&self, from: impl Into<Origin>, now: Time) -> bool {
        self.party(from.into()).is_some_and(|party| self.bars(&self.lock(), party, now))
    }

    /// For how many seconds an address is barred yet.
    pub(crate) fn barred_s(&self, address: Option<IpAddr>, now: Time) -> u64 {
        let Some(address) = address else { return 0 };
        self.lock().get(&(network(address), false)).map_or(0, |seen| seen.until.since(now).div_ceil(1000))
    }

    /// What an attempt has come to whose `user` is known by now: nothing if its address was barred since it began,
    /// however many began at once. A failure is written down.
    pub(crate) fn judge(&self, from: impl Into<Origin>, now: Time, user: Option<Arc<str>>) -> Verdict {
        let otherwise = user.map_or(Verdict::Wrong, Verdict::Right);
        let Some(party) = self.party(from.into()) else { return otherwise };
        let mut seen = self.lock();
        if self.bars(&seen, party, now) {
            return Verdict::Barred;
        }
        if otherwise == Verdict::Wrong {
            self.note(&mut seen, party, now);
        }
        otherwise
    }

    /// None if nothing is counted.
    fn party(&self, from: Origin) -> Option<Party> {
        from.address.filter(|_| self.max > 0).map(|address| (network(address), from.is_forgeable))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Party, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bars(&self, seen: &HashMap<Party, Seen>, party: Party, now: Time) -> bool {
        seen.get(&party).is_some_and(|seen| seen.until > now && seen.count >= self.max)
    }

    fn note(&self, seen: &mut HashMap<Party, Seen>, party: Party, now: Time) {
        if seen.len() >= ADDRESSES_MAX && !seen.contains_key(&party) {
            seen.retain(|_, seen| seen.until > now);
            if seen.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let fresh = || Seen { count: 0, until: now.plus_s(self.window_s) };
        let entry = seen.entry(party).or_insert_with(fresh);
        if entry.until <= now {
            *entry = fresh();
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count == self.max {
            let s = entry.until.since(now).div_ceil(1000);
            let ((address, is_forgeable), max) = (party, self.max);
            let over = if is_forgeable { " over UDP" } else { "" };
            tracing::warn!(
                "{address}: {max} attempts{over} have failed to say who they are; no more is listened to{over} for {s} s"
            );
        }
    }
}

/// What one party has: an IPv4 address, or the lower half of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address of this test"))
    }

    #[test]
    fn an_address_is_barred_for_the_rest_of_the_window() {
        let failures = Failures::new(3, 60);
        let (start, one) = (Time::default(), ip("192.0.2.1"));
        for second in 0..3 {
            assert!(!failures.is_barred(one, start.plus_s(second)));
            failures.judge(one, start.plus_s(second), None);
        }
        assert!(failures.is_barred(one, start.plus_s(59)));
        assert!(!failures.is_barred(ip("192.0.2.2"), start.plus_s(59)), "others are not");
        assert!(!failures.is_barred(one, start.plus_s(60)));
        failures.judge(one, start.plus_s(60), None);
        assert!(!failures.is_barred(one, start.plus_s(61)), "counting begins anew");
    }

    #[test]
    fn of_attempts_that_began_at_once_no_more_are_judged_than_may_fail() {
        let failures = Failures::new(3, 60);
        let (now, one) = (Time::default(), ip("192.0.2.1"));
        let ann: Arc<str> = "ann".into();
        let right = || Some(ann.clone());
        assert!(!failures.is_barred(one, now), "so all of them begin");
        assert_eq!(failures.judge(one, now, right()), Verdict::Right(ann.clone()));
        let wrong = (0..100).filter(|_| failures.judge(one, now, None) == Verdict::Wrong).count();
        assert_eq!(wrong, 3);
        assert_eq!(failures.judge(one, now, right()), Verdict::Barred, "a right guess is no better off");
        assert_eq!(failures.judge(ip("192.0.2.2"), now, right()), Verdict::Right(ann.clone()));
        assert_eq!(failures.judge(one, now.plus_s(60), right()), Verdict::Right(ann.clone()));
    }

    #[test]
    fn nobody_is_barred_for_what_others_have_written_on_datagrams() {
        let (failures, now, address) = (Failures::new(1, 60), Time::default(), ip("192.0.2.1"));
        let forged = Origin { address, is_forgeable: true };
        assert_eq!(failures.judge(forged, now, None), Verdict::Wrong);
        assert!(failures.is_barred(forged, now) && !failures.is_barred(address, now));
        assert_eq!(failures.judge(address, now, None), Verdict::Wrong);
        assert!(failures.is_barred(address, now));
    }

    #[test]
    fn one_network_of_ipv6_is_one_party_and_mapped_addresses_are_ipv4() {
        let failures = Failures::new(1, 60);
        failures.judge(ip("2001:db8::1"), Time::default(), None);
        assert!(failures.is_barred(ip("2001:db8::ffff:2"), Time::default()));
        assert!(!failures.is_barred(ip("2001:db8:0:1::1"), Time::default()));
        failures.judge(ip("::ffff:192.0.2.1"), Time::default(), None);
        assert!(failures.is_barred(ip("192.0.2.1"), Time::default()));
    }

    #[test]
    fn the_table_is_bounded_and_no_limit_is_none() {
        let failures = Failures::new(1, 60);
        for number in 0..ADDRESSES_MAX as u32 + 10 {
            failures.judge(Some(IpAddr::from(number.to_be_bytes())), Time::default(), None);
        }
        let len = || failures.seen.lock().expect("nobody panicked").len();
        assert_eq!(len(), ADDRESSES_MAX);
        failures.judge(ip("255.0.0.1"), Time::default().plus_s(60), None);
        assert_eq!(len(), 1, "what is over makes room");
        let unlimited = Failures::new(0, 60);
        unlimited.judge(ip("192.0.2.1"), Time::default(), None);
        assert!(!unlimited.is_barred(ip("192.0.2.1"), Time::default()));
    }
}
