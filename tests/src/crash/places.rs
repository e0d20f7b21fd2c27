//! What is promised of topics that have a history in which everything has room, with a sync before the acknowledgement:
//!
//! - nobody is told of a gap;
//! - a place is given once, and a topic keeps its epoch;
//! - each reader gets places in their order, and so once;
//! - a publisher's messages at one QoS come for the first time in their order;
//! - what was acknowledged has come to each follower, and is kept, at QoS 2 once;
//! - what is kept has come to each follower. The reverse is not promised: what a follower saw before the sync may be lost.

use super::evidence::{Evidence, Placed};
use super::judge::Sent;
use super::players::{FOLLOWERS, KEPT_TOPICS, PAGES};
use std::collections::{HashMap, HashSet};

/// What was judged.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PlacesTally {
    /// Messages that came to followers.
    pub followed: usize,
    /// Places that are kept.
    pub kept: usize,
    /// Places that a follower saw and that a kill took.
    pub lost: usize,
    /// Acknowledged messages of which each follower had to get a copy.
    pub promised: usize,
}

/// Finds a broken promise.
pub(super) fn places(evidence: &Evidence, sent: &Sent) -> Result<PlacesTally, String> {
    let of_histories = |topic: &str| KEPT_TOPICS.contains(&topic);
    let promised: Vec<u64> = sent
        .0
        .values()
        .filter(|known| known.is_acknowledged && of_histories(&known.message.topic))
        .map(|known| known.message.number)
        .collect();
    if let Some((reader, topic)) = evidence.places.gaps.first() {
        return Err(format!("client {reader}: it is told of a gap on {topic}, where nothing gives way"));
    }
    let (mut epochs, mut given) = (HashMap::new(), HashMap::new());
    for placed in &evidence.places.came {
        let Placed { topic, epoch, offset, number, .. } = placed;
        let fault = |why: String| Err(format!("message {number}: {why}\n  at: {placed:?}"));
        let known = sent.0.get(number).filter(|known| known.message.topic == *topic);
        if known.is_none() {
            return fault("nobody sent it to this topic".into());
        }
        let (first, other) =
            (*epochs.entry(topic).or_insert(epoch), *given.entry((topic, *offset)).or_insert(*number));
        if first != epoch {
            return fault(format!("the epoch of {topic} was {first}"));
        }
        if other != *number {
            return fault(format!("its place had been given to message {other}"));
        }
    }
    let readers = FOLLOWERS.chain([PAGES]);
    let came: Vec<HashSet<(&str, u64)>> =
        readers.map(|reader| reads(evidence, sent, &promised, reader)).collect::<Result<_, _>>()?;
    let (kept, followers) = came.split_last().expect("the reader of pages is the last");
    for (follower, seen) in FOLLOWERS.zip(followers) {
        if let Some((topic, offset)) = kept.difference(seen).min() {
            return Err(format!(
                "client {follower}: {topic} keeps a message at {offset}, which did not come to it"
            ));
        }
    }
    Ok(PlacesTally {
        followed: followers.iter().map(HashSet::len).sum(),
        kept: kept.len(),
        lost: given.len() - kept.len(),
        promised: promised.len(),
    })
}

/// What came to one reader: gives its places.
fn reads<'a>(
    evidence: &'a Evidence,
    sent: &Sent,
    promised: &[u64],
    reader: usize,
) -> Result<HashSet<(&'a str, u64)>, String> {
    let (mut last, mut newest) = (HashMap::new(), HashMap::new());
    let (mut numbers, mut came) = (HashSet::new(), HashSet::new());
    for placed in evidence.places.came.iter().filter(|placed| placed.reader == reader) {
        let Placed { topic, offset, number, .. } = placed;
        let fault = |why: String| Err(format!("client {reader}: message {number}: {why}\n  at: {placed:?}"));
        let before = last.insert(&**topic, *offset).unwrap_or(0);
        if before >= *offset {
            return fault(format!("it comes after the place {before}"));
        }
        came.insert((&**topic, *offset));
        let Some(known) = sent.0.get(number) else { continue };
        let qos = known.message.qos;
        if !numbers.insert(*number) {
            match reader == PAGES && qos == 2 {
                true => return fault("it was sent at QoS 2 and is kept twice".into()),
                false => continue,
            }
        }
        let newest = newest.entry((&**topic, known.publisher, qos)).or_insert(0);
        if *newest > *number {
            return fault(format!("it comes for the first time after {newest} of the same publisher"));
        }
        *newest = *number;
    }
    match promised.iter().filter(|number| !numbers.contains(number)).min() {
        Some(number) => Err(format!("client {reader}: message {number} was acknowledged and did not come")),
        None => Ok(came),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_model::{Event, Message};

    const PUBLISHER: usize = 0;

    /// Messages 1 and 2 at QoS 1, 3 at QoS 2, all acknowledged and with places for everybody; 4 is not acknowledged.
    fn story() -> Evidence {
        let mut evidence = Evidence::default();
        for (number, qos) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
            let (topic, retain, expiry_s, payload_bytes) = (KEPT_TOPICS[0].into(), false, None, 0);
            let message =
                Message { number, topic, qos, retain, expiry_s, payload_bytes, delay_s: None, clears: false };
            evidence.main.add(PUBLISHER, Event::Sent(message));
            if number < 4 {
                evidence.main.add(PUBLISHER, Event::Acknowledged(number));
            }
        }
        for reader in FOLLOWERS.chain([PAGES]) {
            evidence.places.came.extend((1..4).map(|number| placed(reader, number, number)));
        }
        evidence
    }

    fn placed(reader: usize, offset: u64, number: u64) -> Placed {
        Placed { reader, topic: KEPT_TOPICS[0].into(), epoch: "e".into(), offset, number }
    }

    fn judged(evidence: &Evidence) -> Result<PlacesTally, String> {
        places(evidence, &Sent::of(evidence))
    }

    /// What the judge says when somebody has changed what was seen.
    fn says(change: impl FnOnce(&mut Evidence)) -> String {
        let mut evidence = story();
        change(&mut evidence);
        judged(&evidence).err().unwrap_or_default()
    }

    #[test]
    fn what_is_as_it_should_be_is_counted() {
        let mut evidence = story();
        let tally = PlacesTally { followed: 6, kept: 3, lost: 0, promised: 3 };
        assert_eq!(judged(&evidence), Ok(tally));
        // Seen before a kill that took it, and sent again: another place, and for one reader the second copy.
        let more = [(FOLLOWERS.start, 4), (FOLLOWERS.start, 9), (FOLLOWERS.start + 1, 9), (PAGES, 9)];
        evidence.places.came.extend(more.map(|(reader, offset)| placed(reader, offset, 4)));
        let tally = PlacesTally { followed: 9, kept: 4, lost: 1, promised: 3 };
        assert_eq!(judged(&evidence), Ok(tally));
    }

    #[test]
    fn whatever_does_not_come_is_missed() {
        for (n, seen) in story().places.came.into_iter().enumerate() {
            let why = says(|evidence| drop(evidence.places.came.remove(n)));
            let Placed { reader, number, .. } = seen;
            assert!(why.contains(&format!("client {reader}: message {number} was acknowl")), "{n}: {why}");
        }
        let why = says(|evidence| evidence.places.came.push(placed(PAGES, 4, 4)));
        assert!(why.contains("keeps a message at 4, which did not come"), "{why}");
    }

    #[test]
    fn places_come_once_and_in_their_order() {
        let why = says(|evidence| evidence.places.came.push(placed(FOLLOWERS.start, 3, 3)));
        assert!(why.contains("it comes after the place 3"), "{why}");
        let why = says(|evidence| evidence.places.came.swap(0, 1));
        assert!(why.contains("it comes after the place 2"), "{why}");
        let why = says(|evidence| {
            for seen in &mut evidence.places.came {
                seen.number = [2, 1, 3][seen.offset as usize - 1];
            }
        });
        assert!(why.contains("message 1: it comes for the first time after 2"), "{why}");
        let why = says(|evidence| {
            for reader in FOLLOWERS.chain([PAGES]) {
                evidence.places.came.push(placed(reader, 4, 3));
            }
        });
        assert!(why.contains("message 3: it was sent at QoS 2 and is kept twice"), "{why}");
    }

    #[test]
    fn a_place_is_given_once_and_nobody_is_told_of_a_gap() {
        let why = says(|evidence| evidence.places.came[5].number = 4);
        assert!(why.contains("message 4: its place had been given to message 3"), "{why}");
        let why = says(|evidence| evidence.places.came[5].epoch = "f".into());
        assert!(why.contains("the epoch of h/0 was e"), "{why}");
        let why = says(|evidence| evidence.places.came[5].number = 5);
        assert!(why.contains("message 5: nobody sent it"), "{why}");
        let why = says(|evidence| evidence.places.gaps.push((FOLLOWERS.start, "h/0".into())));
        assert!(why.contains("it is told of a gap on h/0"), "{why}");
    }
}
