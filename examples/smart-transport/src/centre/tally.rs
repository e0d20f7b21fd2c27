//! What the centre has counted, from what came out of the hub and nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// Counts what arrives of a sequence that is numbered from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// All up to here have come.
    whole_to: u64,
    /// Those that came before one before them.
    ahead: BTreeSet<u64>,
    /// Those that came again. At QoS 1 this is allowed.
    pub(crate) repeated: u64,
    /// How often one came before one before it.
    pub(crate) out_of_order: u64,
}

/// What has come from a vehicle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) positions: Sequence,
    /// It has said that it is there. Before that it may not have subscribed, and an order would reach nobody.
    pub(crate) in_service: bool,
    pub(crate) in_contact: bool,
    /// How often it was out of contact.
    pub(crate) losses: u64,
}

/// An order that was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) vehicle: String,
    /// The vehicle was out of contact at that time.
    pub(crate) while_away: bool,
    /// How often the vehicle has confirmed it.
    pub(crate) confirmed: u32,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) heard: BTreeMap<String, Heard>,
    pub(crate) orders: BTreeMap<u64, Given>,
}

impl Sequence {
    pub(crate) fn take(&mut self, number: u64) {
        if number <= self.whole_to || self.ahead.contains(&number) {
            self.repeated += 1;
        } else if number == self.whole_to + 1 {
            self.whole_to = number;
            while self.ahead.remove(&(self.whole_to + 1)) {
                self.whole_to += 1;
            }
        } else {
            self.out_of_order += 1;
            self.ahead.insert(number);
        }
    }

    /// How many different ones have come.
    pub(crate) fn count(&self) -> u64 {
        self.whole_to + self.ahead.len() as u64
    }

    /// How many are missing before the last one that has come.
    pub(crate) fn gaps(&self) -> u64 {
        self.ahead.last().map_or(0, |last| last - self.count())
    }
}

impl Tally {
    pub(crate) fn new<'a>(vehicles: impl IntoIterator<Item = &'a str>) -> Tally {
        let heard = vehicles.into_iter().map(|name| (name.to_owned(), Heard::default()));
        Tally { heard: heard.collect(), orders: BTreeMap::new() }
    }

    /// Notes an order and gives its number. None are given to who is not in service.
    pub(crate) fn give(&mut self, vehicle: &str) -> Option<u64> {
        let heard = self.heard.get(vehicle).filter(|heard| heard.in_service)?;
        let id = self.orders.last_key_value().map_or(1, |(last, _)| last + 1);
        let given = Given { vehicle: vehicle.to_owned(), while_away: !heard.in_contact, confirmed: 0 };
        self.orders.insert(id, given);
        Some(id)
    }

    /// Returns whether the vehicle has just been lost.
    pub(crate) fn contact(&mut self, vehicle: &str, in_contact: bool) -> bool {
        let Some(heard) = self.heard.get_mut(vehicle) else { return false };
        let is_lost = heard.in_contact && !in_contact;
        heard.in_contact = in_contact;
        heard.in_service |= in_contact;
        heard.losses += u64::from(is_lost);
        is_lost
    }

    pub(crate) fn confirm(&mut self, vehicle: &str, id: u64) {
        if let Some(given) = self.orders.get_mut(&id).filter(|given| given.vehicle == vehicle) {
            given.confirmed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_knows_what_is_missing_repeated_and_out_of_order() {
        let mut sequence = Sequence::default();
        [1, 2, 3, 2, 3, 4].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.repeated, sequence.gaps()), (4, 2, 0));
        [7, 8, 8].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.repeated, sequence.gaps()), (6, 3, 2));
        assert_eq!(sequence.out_of_order, 2);
        [5, 6].into_iter().for_each(|number| sequence.take(number));
        assert_eq!((sequence.count(), sequence.gaps()), (8, 0));
    }

    #[test]
    fn orders_are_confirmed_by_whom_they_were_given_to() {
        let mut tally = Tally::new(["a", "b"]);
        assert_eq!(tally.give("a"), None, "it has not said that it is there");
        assert!(!tally.contact("a", true) && !tally.contact("b", true));
        assert!(tally.contact("a", false));
        assert!(!tally.contact("a", false), "it is lost already");
        let (first, second) = (1, 2);
        assert_eq!((tally.give("a"), tally.give("b")), (Some(first), Some(second)));
        assert!(tally.orders[&first].while_away);
        tally.confirm("b", first);
        assert_eq!(tally.orders[&first].confirmed, 0);
        tally.confirm("a", first);
        tally.confirm("b", second);
        tally.confirm("b", second);
        assert_eq!(tally.orders[&first].confirmed, 1);
        assert_eq!(tally.orders[&second].confirmed, 2);
    }
}
