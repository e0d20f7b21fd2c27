//! What the centre has counted, from what came out of the hub and nothing else.

use std::collections::BTreeMap;

use crate::messages::Position;
use crate::sequence::Sequence;

/// What has come from a vehicle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) positions: Sequence,
    /// The last of them.
    pub(crate) last: Option<Position>,
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
    /// How many notices each board was given.
    pub(crate) notices: BTreeMap<String, u64>,
    /// The tickets that were told of, by stop.
    pub(crate) tickets: BTreeMap<String, Sequence>,
}

impl Tally {
    pub(crate) fn new<'a>(vehicles: impl IntoIterator<Item = &'a str>) -> Tally {
        let heard = vehicles.into_iter().map(|name| (name.to_owned(), Heard::default()));
        Tally { heard: heard.collect(), ..Tally::default() }
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
