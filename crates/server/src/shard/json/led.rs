//! How the datagrams of an address find the shard that owns their client's session.
//!
//! The kernel gives all datagrams of an address to one shard. As long as their client has no name of its own it stays there. One
//! that asks for a session under a name moves to the shard which that belongs to: the first shard notes where it went, and sends
//! on what comes from its address, as it does for MQTT-SN. Each shard sends from its own socket, which has the same address.

use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::shard::accept::Listener;
use crate::shard::connection::Link;
use crate::shard::mqtt_sn::{Parted, Place, Way};
use std::net::SocketAddr;
use std::sync::Arc;
use trefoil_hub::{ConnectionKey, Ending};

/// A datagram on its way to the shard of its client.
pub(crate) struct Led {
    pub(crate) listener: usize,
    pub(crate) from: SocketAddr,
    pub(crate) way: Way,
    /// Who the client has proved to be before it moved.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) datagram: Box<[u8]>,
}

impl ShardLoop {
    /// Takes a datagram that came in at another shard, or comes back from there.
    pub(in crate::shard) fn json_take_led(&mut self, led: Led) {
        let Led { listener, from, way, user, datagram } = led;
        self.take_datagram(listener, from, &datagram, Some((way, user)));
    }

    /// The client of an address is not any more where the address is led to.
    pub(in crate::shard) fn json_forget(&mut self, parted: &Parted) {
        let place = self.json_place(parted.listener, parted.addr);
        if matches!(place, Some(Place::There { serial, .. }) if serial == parted.serial)
            && let Listener::Udp { peers, .. } = &mut self.listeners[parted.listener]
        {
            peers.remove(&parted.addr);
        }
    }

    /// A client has asked for a name that belongs to the shard in `is_leaving`: it goes there, with what it has asked for.
    pub(in crate::shard) fn json_lead_away(&mut self, key: ConnectionKey, datagram: &[u8]) {
        let Some(shard) = self.is_leaving.take() else { return };
        let pending = self.json_take_pending(key);
        let datagram: Box<[u8]> = if pending.is_empty() { datagram.into() } else { pending.into() };
        // What it has been answered so far goes out.
        self.flush(key);
        self.end_session(key, Ending::Normal { expiry_s: None });
        let Some(connection) = self.net.get_mut(key) else { return };
        let (user, listener) = (connection.user.take(), usize::from(connection.listener));
        let Link::Udp(peer) = &connection.link else { return };
        let (from, way) = (peer.addr, peer.way);
        self.remove(key);
        let Some(way) = way.filter(|way| usize::from(way.shard) != self.net.number) else {
            self.sn.serial = self.sn.serial.wrapping_add(1);
            let way = Way { shard: self.net.number as u16, serial: self.sn.serial };
            self.json_set_place(listener, from, Place::There { shard: shard as u16, serial: way.serial });
            return self.json_forward(shard as u16, Led { listener, from, way, user, datagram });
        };
        // It had been led here. The shard where it comes in, which has just been told that it is gone, leads it on.
        self.json_forward(way.shard, Led { listener, from, way, user, datagram });
    }

    pub(in crate::shard) fn json_forward(&mut self, shard: u16, led: Led) {
        self.net.mail[usize::from(shard)].push(Mail::JsonDatagram(Box::new(led)));
    }

    /// Tells the shard where an address comes in that its client is not here any more.
    pub(in crate::shard) fn json_part(&mut self, listener: usize, addr: SocketAddr, way: Option<Way>) {
        if let Some(way) = way.filter(|way| usize::from(way.shard) != self.net.number) {
            let parted = Parted { listener, addr, serial: way.serial };
            self.net.mail[usize::from(way.shard)].push(Mail::JsonGone(Box::new(parted)));
        }
    }

    pub(in crate::shard) fn json_place(&self, number: usize, addr: SocketAddr) -> Option<Place> {
        let Listener::Udp { peers, .. } = &self.listeners[number] else { return None };
        peers.get(&addr).copied()
    }

    pub(in crate::shard) fn json_set_place(&mut self, number: usize, addr: SocketAddr, place: Place) {
        if let Listener::Udp { peers, .. } = &mut self.listeners[number] {
            peers.insert(addr, place);
        }
    }
}
