//! How the datagrams of an address find the shard that has whoever is there.
//!
//! The kernel gives all datagrams of an address to one shard; the session of who is there belongs to the shard that its name
//! says. Whoever names itself so has a way laid: the shard where its datagrams come in writes down which one has it, and
//! sends on what comes from the address. Answers do not go back that way, since every shard has a socket with the same
//! address.

use super::ShardLoop;
use super::accept::Listener;
use crate::mail::Mail;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use trefoil_hub::ConnectionKey;

/// Where whoever has an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In this shard.
    Here(ConnectionKey),
    /// In another one. The serial tells this use of the address from others.
    There { shard: u16, serial: u32 },
}

/// Where the datagrams of an address come in, for the shard that has whoever is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// The shard whose socket gets them.
    pub(crate) shard: u16,
    /// Tells this use of the address from others in that shard.
    pub(crate) serial: u32,
}

/// A datagram on its way to the shard that has who sent it.
pub(crate) struct Led {
    pub(crate) listener: usize,
    pub(crate) from: SocketAddr,
    pub(crate) way: Way,
    /// Who a JSON client has proved to be before it moved.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) datagram: Box<[u8]>,
}

/// What becomes of an address.
pub(crate) struct Parted {
    pub(crate) listener: usize,
    pub(crate) addr: SocketAddr,
    pub(crate) serial: u32,
}

/// Who has the addresses from which datagrams come to a listener; seeded, since they come from strangers.
#[derive(Default)]
pub(super) struct Places(HashMap<SocketAddr, Place, RandomState>);

impl Places {
    /// A way has ended; nothing happens if another one has been laid from the address meanwhile, or somebody is here.
    fn end(&mut self, addr: SocketAddr, ended: u32) {
        if matches!(self.0.get(&addr), Some(Place::There { serial, .. }) if *serial == ended) {
            self.0.remove(&addr);
        }
    }

    /// Nothing goes on to another shard any more that comes from one of these addresses.
    pub(super) fn forget_ways(&mut self, is_meant: impl Fn(IpAddr) -> bool) {
        self.0.retain(|addr, place| matches!(place, Place::Here(_)) || !is_meant(addr.ip()));
    }
}

impl ShardLoop {
    pub(super) fn place(&self, listener: usize, addr: SocketAddr) -> Option<Place> {
        self.listeners[listener].datagrams()?.places.0.get(&addr).copied()
    }

    pub(super) fn set_place(&mut self, listener: usize, addr: SocketAddr, place: Place) {
        if let Some(datagrams) = self.listeners[listener].datagrams_mut() {
            datagrams.places.0.insert(addr, place);
        }
    }

    /// A connection has an address no more.
    pub(super) fn clear_place(&mut self, listener: usize, addr: SocketAddr, key: ConnectionKey) {
        if self.place(listener, addr) == Some(Place::Here(key))
            && let Some(datagrams) = self.listeners[listener].datagrams_mut()
        {
            datagrams.places.0.remove(&addr);
        }
    }

    /// A way that begins here.
    pub(super) fn new_way(&mut self) -> Way {
        self.way_serial = self.way_serial.wrapping_add(1);
        // There are no more than 64 shards.
        Way { shard: self.net.number as u16, serial: self.way_serial }
    }

    /// Has what comes from an address here go on to another shard from now on.
    pub(super) fn lay_way(&mut self, listener: usize, addr: SocketAddr, shard: u16) -> Way {
        let way = self.new_way();
        self.set_place(listener, addr, Place::There { shard, serial: way.serial });
        way
    }

    /// Sends a datagram on.
    pub(super) fn lead(&mut self, shard: u16, led: Led) {
        self.net.mail[usize::from(shard)].push(Mail::Led(Box::new(led)));
    }

    /// Takes a datagram that came in at another shard, or comes back from there.
    pub(super) fn take_led(&mut self, led: Led) {
        match self.listeners[led.listener] {
            Listener::Udp(_) => self.json_take(led),
            Listener::MqttSn(_) => self.sn_take(&led),
            Listener::Framed(_) => self.framed_take(&led),
            // The hub stops.
            Listener::Tcp(_) | Listener::Unix(_) | Listener::Closed => {}
        }
    }

    /// Tells the shard where an address comes in, if it is another one, that whoever had it is not here any more.
    pub(super) fn end_way(&mut self, listener: usize, addr: SocketAddr, way: Option<Way>) {
        if let Some(way) = way.filter(|way| usize::from(way.shard) != self.net.number) {
            let parted = Parted { listener, addr, serial: way.serial };
            self.net.mail[usize::from(way.shard)].push(Mail::WayEnded(Box::new(parted)));
        }
    }

    /// Whoever an address is led to is not there any more, or has another address.
    pub(super) fn way_ended(&mut self, parted: &Parted) {
        if let Some(datagrams) = self.listeners[parted.listener].datagrams_mut() {
            datagrams.places.end(parted.addr, parted.serial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_comes_late_is_not_that_of_who_has_come_since() {
        let addr = SocketAddr::from(([192, 0, 2, 1], 7));
        let mut places = Places::default();
        for place in [Place::There { shard: 1, serial: 2 }, Place::Here(ConnectionKey(1))] {
            places.0.insert(addr, place);
            places.end(addr, 1);
            assert_eq!(places.0.get(&addr), Some(&place));
        }
        places.0.insert(addr, Place::There { shard: 1, serial: 2 });
        places.end(addr, 2);
        assert_eq!(places.0.get(&addr), None);
    }

    #[test]
    fn ways_of_those_who_are_meant_are_forgotten_and_nobody_who_is_here() {
        let at = |last| SocketAddr::from(([192, 0, 2, last], 7));
        let mut places = Places::default();
        places.0.insert(at(1), Place::There { shard: 1, serial: 1 });
        places.0.insert(at(2), Place::There { shard: 1, serial: 2 });
        places.0.insert(at(3), Place::Here(ConnectionKey(1)));
        places.forget_ways(|ip| ip != at(2).ip());
        assert_eq!((places.0.len(), places.0.contains_key(&at(1))), (2, false));
    }
}
