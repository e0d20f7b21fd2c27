//! How a client over UDP comes to the shard that owns its session.
//!
//! As long as it has no name of its own it stays where its datagrams come in. One that asks for a session under a name moves to
//! the shard which that belongs to, and what comes from its address is led there ([`ways`](crate::shard::ways)).

use crate::shard::ShardLoop;
use crate::shard::connection::Link;
use crate::shard::ways::Led;
use trefoil_hub::{ConnectionKey, Ending};

impl ShardLoop {
    /// Takes a datagram that came in at another shard, or comes back from there.
    pub(in crate::shard) fn json_take(&mut self, led: Led) {
        let Led { listener, from, way, user, datagram } = led;
        self.take_datagram(listener, from, &datagram, Some((way, user)));
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
            let way = self.lay_way(listener, from, shard as u16);
            return self.lead(shard as u16, Led { listener, from, way, user, datagram });
        };
        // It had been led here. The shard where it comes in, which has just been told that it is gone, leads it on.
        self.lead(way.shard, Led { listener, from, way, user, datagram });
    }
}
