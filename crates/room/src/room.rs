//! The hub's half of a room: who is in it, and where a datagram goes.

use crate::packet::Data;
use crate::sequence::is_newer;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// How far a member may run ahead of its rate, in microseconds of it.
const BURST_US: u64 = 1_000_000;

/// What holds for a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomLimits {
    /// Members at one time, at most 65,535.
    pub peers_max: usize,
    /// Bytes of a payload.
    pub payload_bytes_max: usize,
    /// Datagrams a second of one member; 0 is no limit.
    pub rate_max: u32,
    /// For how long a member may say nothing, in milliseconds.
    pub idle_ms: u64,
}

/// A room. `A` is whatever the hub knows a member's address by.
#[derive(Debug)]
pub struct Room<A> {
    peers: Vec<Peer<A>>,
    /// Where in `peers` each is.
    by_number: HashMap<u16, usize, RandomState>,
    /// The number that was given out last.
    last: u16,
}

/// A member.
#[derive(Debug)]
pub struct Peer<A> {
    /// Its number in the room, at least 1.
    pub number: u16,
    /// Where it is.
    pub address: A,
    /// By which this stay of it is told from others.
    pub nonce: u32,
    /// Who it is; empty where nobody is asked.
    pub user: Box<str>,
    token: Option<[u8; 8]>,
    heard_ms: u64,
    /// Of what it has sent to all others with the flag, the newest.
    newest: Option<u32>,
    /// The same for what it has sent to one.
    newest_for: HashMap<u16, u32, RandomState>,
    /// When, in microseconds, all that it has sent would have been sent at its rate.
    paid_us: u64,
}

/// Somebody who may come in.
#[derive(Clone, Debug)]
pub struct Entry<A> {
    /// Where it is.
    pub address: A,
    /// What its JOIN said.
    pub nonce: u32,
    /// Who it is.
    pub user: Box<str>,
    /// Which token it has.
    pub token: Option<[u8; 8]>,
}

/// What came of it.
#[derive(Debug)]
pub enum Entering<A> {
    /// It is in, with this number. Whoever was in with its token is not any more.
    New {
        /// Its number.
        number: u16,
        /// Who was there with its token.
        replaced: Option<Peer<A>>,
    },
    /// It was in already, at this address until now.
    Moved {
        /// Its number.
        number: u16,
        /// Where it was.
        from: A,
    },
    /// There is no room for it.
    Full,
}

/// To whom a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receivers {
    /// To all but its sender.
    Others,
    /// To one.
    One(u16),
}

/// Why a datagram goes to nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// Its sender sends too often.
    Rate,
    /// It is too large.
    TooLarge,
    /// Something newer has been.
    Stale,
    /// The peer that it names is not there.
    NoPeer,
}

impl<A> Default for Room<A> {
    fn default() -> Room<A> {
        Room { peers: Vec::new(), by_number: HashMap::default(), last: 0 }
    }
}

impl<A> Room<A> {
    /// Who is there, in no order.
    pub fn peers(&self) -> &[Peer<A>] {
        &self.peers
    }

    /// One of them.
    pub fn get(&self, number: u16) -> Option<&Peer<A>> {
        self.by_number.get(&number).map(|&at| &self.peers[at])
    }

    /// Where one of them is, to be changed.
    pub fn address_mut(&mut self, number: u16) -> Option<&mut A> {
        self.get_mut(number).map(|peer| &mut peer.address)
    }

    fn get_mut(&mut self, number: u16) -> Option<&mut Peer<A>> {
        self.by_number.get(&number).map(|&at| &mut self.peers[at])
    }

    /// Lets somebody in that is not there by its address.
    pub fn enter(&mut self, entry: Entry<A>, limits: &RoomLimits, now_ms: u64) -> Entering<A> {
        let same = |peer: &&mut Peer<A>| entry.token.is_some() && peer.token == entry.token;
        let mut replaced = None;
        if let Some(peer) = self.peers.iter_mut().find(same) {
            if peer.nonce == entry.nonce {
                let from = std::mem::replace(&mut peer.address, entry.address);
                peer.heard_ms = now_ms;
                return Entering::Moved { number: peer.number, from };
            }
            let number = peer.number;
            replaced = self.remove(number);
        }
        if self.peers.len() >= limits.peers_max.min(usize::from(u16::MAX)) {
            return Entering::Full;
        }
        let number = self.unused();
        self.by_number.insert(number, self.peers.len());
        self.peers.push(Peer {
            number,
            address: entry.address,
            nonce: entry.nonce,
            user: entry.user,
            token: entry.token,
            heard_ms: now_ms,
            newest: None,
            newest_for: HashMap::default(),
            paid_us: 0,
        });
        Entering::New { number, replaced }
    }

    /// A number that nobody has, and that nobody had for as long as possible.
    fn unused(&mut self) -> u16 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.by_number.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, number: u16) -> Option<Peer<A>> {
        let at = self.by_number.remove(&number)?;
        let peer = self.peers.swap_remove(at);
        if let Some(moved) = self.peers.get(at) {
            self.by_number.insert(moved.number, at);
        }
        for other in &mut self.peers {
            other.newest_for.remove(&number);
        }
        Some(peer)
    }

    /// Something came from a member.
    pub fn heard(&mut self, number: u16, now_ms: u64) {
        if let Some(peer) = self.get_mut(number) {
            peer.heard_ms = now_ms;
        }
    }

    /// Those of whom nothing was heard for too long.
    pub fn idle(&self, limits: &RoomLimits, now_ms: u64) -> impl Iterator<Item = u16> {
        let is_idle = move |peer: &&Peer<A>| now_ms.saturating_sub(peer.heard_ms) >= limits.idle_ms;
        self.peers.iter().filter(is_idle).map(|peer| peer.number)
    }

    /// To whom a datagram of a member goes.
    ///
    /// # Errors
    /// Why it goes to nobody.
    pub fn data(
        &mut self,
        from: u16,
        data: &Data<'_>,
        limits: &RoomLimits,
        now_ms: u64,
    ) -> Result<Receivers, Dropped> {
        let has_receiver = data.peer == 0 || data.peer != from && self.by_number.contains_key(&data.peer);
        let Some(sender) = self.get_mut(from) else { return Err(Dropped::NoPeer) };
        sender.heard_ms = now_ms;
        if !sender.pays(limits.rate_max, now_ms) {
            return Err(Dropped::Rate);
        }
        if data.payload.len() > limits.payload_bytes_max {
            return Err(Dropped::TooLarge);
        }
        if !has_receiver {
            return Err(Dropped::NoPeer);
        }
        if data.newest && !sender.is_newest(data.peer, data.sequence) {
            return Err(Dropped::Stale);
        }
        Ok(if data.peer == 0 { Receivers::Others } else { Receivers::One(data.peer) })
    }
}

impl<A> Peer<A> {
    /// Whether one more datagram is within the rate.
    fn pays(&mut self, rate_max: u32, now_ms: u64) -> bool {
        if rate_max == 0 {
            return true;
        }
        let now_us = now_ms.saturating_mul(1000);
        let paid_us = self.paid_us.max(now_us) + 1_000_000 / u64::from(rate_max);
        let is_within = paid_us <= now_us + BURST_US;
        if is_within {
            self.paid_us = paid_us;
        }
        is_within
    }

    /// Whether nothing newer has gone to these receivers. If so, this has.
    fn is_newest(&mut self, to: u16, sequence: u32) -> bool {
        let before = if to == 0 { self.newest } else { self.newest_for.get(&to).copied() };
        if before.is_some_and(|before| !is_newer(sequence, before)) {
            return false;
        }
        if to == 0 {
            self.newest = Some(sequence);
        } else {
            self.newest_for.insert(to, sequence);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RoomLimits = RoomLimits { peers_max: 3, payload_bytes_max: 4, rate_max: 10, idle_ms: 100 };

    fn entry(address: u8, token: Option<u8>) -> Entry<u8> {
        Entry { address, nonce: address.into(), user: "".into(), token: token.map(|t| [t; 8]) }
    }

    fn enter(room: &mut Room<u8>, entry: Entry<u8>) -> u16 {
        match room.enter(entry, &LIMITS, 0) {
            Entering::New { number, replaced: None } => number,
            other => panic!("it did not come in as a new one: {other:?}"),
        }
    }

    #[test]
    fn a_room_is_bounded_and_numbers_are_not_given_out_again_at_once() {
        let mut room = Room::default();
        let numbers: Vec<u16> = (1..=3).map(|address| enter(&mut room, entry(address, None))).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(matches!(room.enter(entry(4, None), &LIMITS, 0), Entering::Full));
        assert_eq!(room.remove(1).map(|peer| peer.address), Some(1));
        assert!(room.remove(1).is_none() && room.get(1).is_none());
        assert_eq!(room.get(3).map(|peer| peer.address), Some(3), "who was moved within is found");
        assert_eq!(enter(&mut room, entry(5, None)), 4);
        room.last = u16::MAX;
        room.remove(2);
        assert_eq!(enter(&mut room, entry(6, None)), 1, "0 is nobody's");
        room.last = 2;
        room.remove(1);
        assert_eq!(enter(&mut room, entry(7, None)), 5, "3 and 4 are there");
    }

    #[test]
    fn a_token_is_one_members() {
        let mut room = Room::default();
        let first = enter(&mut room, entry(1, Some(9)));
        enter(&mut room, entry(2, Some(8)));
        let moved = room.enter(Entry { nonce: 1, ..entry(3, Some(9)) }, &LIMITS, 50);
        assert!(matches!(moved, Entering::Moved { number, from: 1 } if number == first));
        assert_eq!(room.get(first).map(|peer| peer.address), Some(3));
        let entering = room.enter(entry(4, Some(9)), &LIMITS, 0);
        let Entering::New { number, replaced: Some(old) } = entering else { panic!("{entering:?}") };
        assert!(number != first && old.number == first && old.address == 3);
        assert_eq!(room.peers().len(), 2);
    }

    #[test]
    fn what_goes_to_nobody() {
        let mut room = Room::default();
        let (one, two) = (enter(&mut room, entry(1, None)), enter(&mut room, entry(2, None)));
        let mut say = |data: Data<'_>, now_ms| room.data(one, &data, &LIMITS, now_ms);
        let at = |sequence, data: Data<'static>| Data { sequence, ..data };
        let all = Data::to_others(b"all");
        assert_eq!(say(all, 0), Ok(Receivers::Others));
        assert_eq!(say(Data::to_peer(two, b"one"), 0), Ok(Receivers::One(two)));
        assert_eq!(say(Data::to_peer(one, b"self"), 0), Err(Dropped::NoPeer));
        assert_eq!(say(Data::to_peer(77, b"gone"), 0), Err(Dropped::NoPeer));
        assert_eq!(say(Data::to_others(b"large"), 0), Err(Dropped::TooLarge));
        assert_eq!(say(at(5, all).newest(), 0), Ok(Receivers::Others));
        assert_eq!(say(at(5, all).newest(), 0), Err(Dropped::Stale));
        assert_eq!(say(at(4, all).newest(), 0), Err(Dropped::Stale));
        assert_eq!(say(at(4, all), 0), Ok(Receivers::Others), "without the flag all go");
        assert_eq!(
            say(at(2, Data::to_peer(two, b"x")).newest(), 0),
            Ok(Receivers::One(two)),
            "it has had nothing of that"
        );
        assert_eq!(say(all, 0), Err(Dropped::Rate), "ten a second");
        assert_eq!(say(all, 99), Err(Dropped::Rate));
        assert_eq!(say(all, 100), Ok(Receivers::Others));
        assert_eq!(say(all, 100), Err(Dropped::Rate));
    }

    #[test]
    fn a_number_that_is_another_members_begins_anew() {
        let mut room = Room::default();
        let (one, two) = (enter(&mut room, entry(1, None)), enter(&mut room, entry(2, None)));
        let data = Data { sequence: 9, ..Data::to_peer(two, b"") }.newest();
        assert!(room.data(one, &data, &LIMITS, 0).is_ok());
        room.remove(two);
        room.last = two - 1;
        assert_eq!(enter(&mut room, entry(3, None)), two);
        assert!(room.data(one, &Data { sequence: 1, ..data }, &LIMITS, 0).is_ok());
    }

    #[test]
    fn who_is_silent_is_idle() {
        let mut room = Room::default();
        let (one, two) = (enter(&mut room, entry(1, None)), enter(&mut room, entry(2, None)));
        assert_eq!(room.idle(&LIMITS, 99).count(), 0);
        room.heard(two, 50);
        assert_eq!(room.idle(&LIMITS, 100).collect::<Vec<_>>(), [one]);
        // Too much is something all the same.
        for _ in 0..20 {
            let _ = room.data(one, &Data::to_others(b""), &LIMITS, 100);
        }
        assert_eq!(room.idle(&LIMITS, 149).count(), 0);
        assert_eq!(room.idle(&LIMITS, 150).collect::<Vec<_>>(), [two]);
    }
}
