//! Where datagrams come in. CONNECT, and PINGREQ with a client id, lay a [way](crate::shard::ways) to the shard that owns
//! their client's session.

use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::shard::ways::{Led, Parted, Place, Way};
use std::net::SocketAddr;
use trefoil_mqtt_sn::{ConnAck, Connect, DecodeError, Packet, QoS, ReturnCode, decode};

impl ShardLoop {
    /// Takes a datagram from the socket.
    pub(in crate::shard) fn sn_receive(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        let place = self.place(number, from);
        if place.is_none() && self.net.context.bans.refuses_address(from.ip()) {
            return;
        }
        let Some(packet) = self.sn_read(number, from, datagram) else { return };
        self.net.stats().packets_in.add(1);
        self.begin_event();
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
                let way = Way { shard: self.net.number as u16, serial };
                self.lead(shard, Led { listener: number, from, way, user: None, datagram: datagram.into() });
            }
            (_, None) => self.sn_stranger(number, from, &packet),
        }
    }

    /// Takes a datagram that came in at another shard.
    pub(in crate::shard) fn sn_take(&mut self, led: &Led) {
        let &Led { listener, from, way, ref datagram, .. } = led;
        let Some(packet) = self.sn_read(listener, from, datagram) else { return };
        self.begin_event();
        match (&packet, self.place(listener, from)) {
            (Packet::Connect(_) | Packet::PingReq(Some(_)), _) => {
                self.sn_arrive(listener, from, way, &packet);
            }
            (_, Some(Place::Here(key))) => self.sn_packet(key, &packet),
            _ => {
                self.sn_stranger(listener, from, &packet);
                self.end_way(listener, from, Some(way));
            }
        }
    }

    /// An address has become another client's, of another shard.
    pub(in crate::shard) fn sn_lose_way(&mut self, parted: &Parted) {
        let Some(Place::Here(key)) = self.place(parted.listener, parted.addr) else { return };
        if self.sn_client(key).and_then(|client| client.way).is_some_and(|way| way.serial == parted.serial) {
            self.sn_unbind(key);
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
        let here = self.net.number as u16;
        let shard = self.hub.shared().shard_of(client_id) as u16;
        match self.place(number, from) {
            Some(Place::Here(key)) if shard != here => self.sn_unbind(key),
            Some(Place::There { shard: old, serial }) if shard != old => {
                let parted = Parted { listener: number, addr: from, serial };
                self.net.mail[usize::from(old)].push(Mail::SnUnbound(Box::new(parted)));
                self.way_ended(&Parted { listener: number, addr: from, serial });
            }
            _ => {}
        }
        if shard == here {
            let way = self.new_way();
            return self.sn_arrive(number, from, way, packet);
        }
        let way = self.lay_way(number, from, shard);
        self.lead(shard, Led { listener: number, from, way, user: None, datagram: datagram.into() });
    }

    /// A client that names itself is in its shard.
    fn sn_arrive(&mut self, number: usize, from: SocketAddr, way: Way, packet: &Packet<'_>) {
        match packet {
            Packet::Connect(connect) => self.sn_connect(number, from, way, connect),
            Packet::PingReq(Some(client_id)) => self.sn_wake(number, from, way, client_id),
            _ => {}
        }
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
