//! Where datagrams come in, and how they find the shard that owns their client's session.
//!
//! The kernel gives all datagrams of an address to one shard, the session of a client belongs to the one that its name
//! says. So CONNECT, and PINGREQ with a client id, lay a way: the first shard writes down which one has the client, and
//! sends on what comes from that address. Each shard sends from its own socket, which has the same address.

use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::shard::accept::Listener;
use crate::shard::mqtt_sn::Way;
use std::net::SocketAddr;
use trefoil_hub::ConnectionKey;
use trefoil_mqtt_sn::{ConnAck, Connect, DecodeError, Packet, QoS, ReturnCode, decode};

/// Where the client of an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::shard) enum Place {
    /// In this shard.
    Here(ConnectionKey),
    /// In another one. The serial tells this use of the address from others.
    There { shard: u16, serial: u32 },
}

/// A datagram on its way to the shard that owns its client.
pub(crate) struct Forwarded {
    pub(crate) listener: usize,
    pub(crate) from: SocketAddr,
    pub(crate) way: Way,
    pub(crate) datagram: Box<[u8]>,
}

/// What becomes of an address.
pub(crate) struct Parted {
    pub(crate) listener: usize,
    pub(crate) addr: SocketAddr,
    pub(crate) serial: u32,
}

impl ShardLoop {
    /// Takes a datagram from the socket.
    pub(in crate::shard) fn sn_receive(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        let place = self.sn_place(number, from);
        if place.is_none() && self.net.context.bans.refuses_address(from.ip()) {
            return;
        }
        let Some(packet) = self.sn_read(number, from, datagram) else { return };
        self.net.stats().packets_in.add(1);
        match (&packet, place) {
            (Packet::SearchGw(_), _) => self.sn_found(number, from),
            (Packet::Connect(Connect { client_id, .. }), _)
                if client_id.is_empty() || self.needs_name(number) =>
            {
                // Nobody can prove who it is in MQTT-SN.
                let return_code = ReturnCode::NOT_SUPPORTED;
                self.sn_tell(number, from, &Packet::ConnAck(ConnAck { return_code }));
            }
            (Packet::Publish(publish), None) if publish.qos == QoS::MinusOne => {
                match self.needs_name(number) {
                    true => self.net.stats().refused.add(1),
                    false => self.sn_publish_alone(publish),
                }
            }
            (Packet::Connect(Connect { client_id, .. }) | Packet::PingReq(Some(client_id)), _) => {
                self.sn_lead(number, from, client_id, datagram, &packet);
            }
            (_, Some(Place::Here(key))) => self.sn_packet(key, &packet),
            (_, Some(Place::There { shard, serial })) => {
                let way = Way { shard: self.sn_shard(), serial };
                self.sn_forward(shard, number, from, way, datagram);
            }
            (_, None) => self.sn_stranger(number, from, &packet),
        }
    }

    /// Takes a datagram that came in at another shard.
    pub(in crate::shard) fn sn_take(&mut self, forwarded: &Forwarded) {
        let &Forwarded { listener, from, way, ref datagram } = forwarded;
        let Some(packet) = self.sn_read(listener, from, datagram) else { return };
        match (&packet, self.sn_place(listener, from)) {
            (Packet::Connect(_) | Packet::PingReq(Some(_)), _) => {
                self.sn_arrive(listener, from, way, &packet);
            }
            (_, Some(Place::Here(key))) => self.sn_packet(key, &packet),
            _ => {
                self.sn_stranger(listener, from, &packet);
                self.sn_part(listener, from, way);
            }
        }
    }

    /// The client of an address is gone, or has another address.
    pub(in crate::shard) fn sn_forget(&mut self, parted: &Parted) {
        let Listener::MqttSn { places, .. } = &mut self.listeners[parted.listener] else { return };
        // The address may have been given to another client meanwhile.
        if matches!(places.get(&parted.addr), Some(Place::There { serial, .. }) if *serial == parted.serial) {
            places.remove(&parted.addr);
        }
    }

    /// An address has become another client's, of another shard.
    pub(in crate::shard) fn sn_lose_way(&mut self, parted: &Parted) {
        let Some(Place::Here(key)) = self.sn_place(parted.listener, parted.addr) else { return };
        if self.sn_client(key).and_then(|client| client.way).is_some_and(|way| way.serial == parted.serial) {
            self.sn_unbind(key);
        }
    }

    /// Tells the shard where an address comes in that its client is not here any more.
    pub(super) fn sn_part(&mut self, listener: usize, addr: SocketAddr, way: Way) {
        if way.shard != self.sn_shard() {
            let parted = Parted { listener, addr, serial: way.serial };
            self.net.mail[usize::from(way.shard)].push(Mail::SnGone(Box::new(parted)));
        }
    }

    /// The number of this shard, of which there are few.
    fn sn_shard(&self) -> u16 {
        self.net.number as u16
    }

    pub(super) fn sn_place(&self, number: usize, addr: SocketAddr) -> Option<Place> {
        let Listener::MqttSn { places, .. } = &self.listeners[number] else { return None };
        places.get(&addr).copied()
    }

    pub(super) fn sn_set_place(&mut self, number: usize, addr: SocketAddr, place: Place) {
        if let Listener::MqttSn { places, .. } = &mut self.listeners[number] {
            places.insert(addr, place);
        }
    }

    /// Reads a packet. What cannot be read is counted, and answered where there is an answer for it.
    fn sn_read<'a>(&self, number: usize, from: SocketAddr, datagram: &'a [u8]) -> Option<Packet<'a>> {
        match decode(datagram) {
            Ok(packet) => Some(packet),
            Err(error) => {
                self.net.stats().protocol_errors.add(1);
                tracing::debug!(%error, %from, "a datagram is no MQTT-SN");
                if matches!(error, DecodeError::ProtocolId(_)) {
                    let return_code = ReturnCode::NOT_SUPPORTED;
                    self.sn_tell(number, from, &Packet::ConnAck(ConnAck { return_code }));
                }
                None
            }
        }
    }

    /// Lays the way from an address to the shard of a client that names itself.
    fn sn_lead(
        &mut self,
        number: usize,
        from: SocketAddr,
        client_id: &str,
        datagram: &[u8],
        packet: &Packet<'_>,
    ) {
        let here = self.sn_shard();
        let shard = self.hub.shared().shard_of(client_id) as u16;
        match self.sn_place(number, from) {
            Some(Place::Here(key)) if shard != here => self.sn_unbind(key),
            Some(Place::There { shard: old, serial }) if shard != old => {
                let parted = Parted { listener: number, addr: from, serial };
                self.net.mail[usize::from(old)].push(Mail::SnUnbound(Box::new(parted)));
                if let Listener::MqttSn { places, .. } = &mut self.listeners[number] {
                    places.remove(&from);
                }
            }
            _ => {}
        }
        self.sn.serial = self.sn.serial.wrapping_add(1);
        let way = Way { shard: here, serial: self.sn.serial };
        if shard == here {
            return self.sn_arrive(number, from, way, packet);
        }
        self.sn_set_place(number, from, Place::There { shard, serial: way.serial });
        self.sn_forward(shard, number, from, way, datagram);
    }

    /// A client that names itself is in its shard.
    fn sn_arrive(&mut self, number: usize, from: SocketAddr, way: Way, packet: &Packet<'_>) {
        match packet {
            Packet::Connect(connect) => self.sn_connect(number, from, way, connect),
            Packet::PingReq(Some(client_id)) => self.sn_wake(number, from, way, client_id),
            _ => {}
        }
    }

    fn sn_forward(&mut self, shard: u16, listener: usize, from: SocketAddr, way: Way, datagram: &[u8]) {
        let forwarded = Forwarded { listener, from, way, datagram: datagram.into() };
        self.net.mail[usize::from(shard)].push(Mail::SnDatagram(Box::new(forwarded)));
    }

    /// Something came from an address that no client has: it is told to connect. DISCONNECT is not answered, or two
    /// gateways could answer each other for ever.
    pub(super) fn sn_stranger(&self, number: usize, from: SocketAddr, packet: &Packet<'_>) {
        match packet {
            Packet::Disconnect(_) => {}
            Packet::Advertise(_)
            | Packet::GwInfo(_)
            | Packet::ConnAck(_)
            | Packet::WillTopicReq
            | Packet::WillMsgReq
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::WillTopicResp(_)
            | Packet::WillMsgResp(_)
            | Packet::Encapsulated(_) => self.net.stats().protocol_errors.add(1),
            _ => self.sn_tell(number, from, &Packet::Disconnect(None)),
        }
    }
}
