//! What all shards know of the gateway, and how it is found (§6.1).

use crate::shard::ShardLoop;
use crate::shard::accept::Listener;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use trefoil_config::{Bind, Config, MqttSn};
use trefoil_hub::Topic;
use trefoil_mqtt_sn::{Advertise, GwInfo, Packet};

/// What all shards know of the gateway.
pub(crate) struct Gateway {
    pub(crate) settings: MqttSn,
    predefined: HashMap<u16, Topic>,
    /// What holds for one client only, and goes before the others.
    of_clients: HashMap<Box<str>, HashMap<u16, Topic>>,
}

impl Gateway {
    pub(crate) fn new(config: &Config) -> Gateway {
        let (mut predefined, mut of_clients) = (HashMap::new(), HashMap::<Box<str>, HashMap<_, _>>::new());
        for entry in &config.mqtt_sn.topics {
            let Ok(topic) = Topic::new(&entry.topic, usize::MAX) else { continue };
            let map = match &entry.client_id {
                Some(client_id) => of_clients.entry(client_id.as_str().into()).or_default(),
                None => &mut predefined,
            };
            map.insert(entry.id, topic);
        }
        Gateway { settings: config.mqtt_sn.clone(), predefined, of_clients }
    }

    /// The topic that a predefined id stands for, for a client or for everybody.
    pub(super) fn predefined(&self, client_id: Option<&str>, id: u16) -> Option<&Topic> {
        let own = client_id.and_then(|client_id| self.of_clients.get(client_id)?.get(&id));
        own.or_else(|| self.predefined.get(&id))
    }
}

/// Lets a socket send to where the gateway advertises itself, and hear who looks for a gateway there. One shard does, or
/// each would answer.
pub(crate) fn join(sockets: &[&std::net::UdpSocket], bind: &Bind, settings: &MqttSn) {
    if settings.advertise_to.is_none() {
        return;
    }
    // By default a socket of Linux hears all groups that any socket of the machine has joined.
    #[cfg(target_os = "linux")]
    for socket in sockets {
        let _ = socket2::SockRef::from(*socket).set_multicast_all_v4(false);
    }
    let Some(socket) = sockets.first() else { return };
    let joined = socket.set_broadcast(true).and_then(|()| {
        match (settings.advertise_to.map(|to| to.ip()), bind.addr().map(|addr| addr.ip())) {
            (Some(IpAddr::V4(group)), Some(IpAddr::V4(own))) if group.is_multicast() => {
                socket.join_multicast_v4(&group, &own)
            }
            (Some(IpAddr::V6(group)), Some(IpAddr::V6(_))) if group.is_multicast() => {
                socket.join_multicast_v6(&group, 0)
            }
            _ => Ok(()),
        }
    });
    // One that comes from another process has joined already.
    if let Err(error) = joined.or_else(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Ok(()),
        _ => Err(error),
    }) {
        tracing::warn!(%error, %bind, "the multicast group of mqtt_sn.advertise_to cannot be joined");
    }
}

impl ShardLoop {
    /// Says that the gateway is here, from each of its listeners.
    pub(in crate::shard) fn sn_advertise(&mut self) {
        let settings = &self.net.context.gateway.settings;
        let Some(to) = settings.advertise_to else { return };
        let advertise = Packet::Advertise(Advertise {
            gateway_id: settings.gateway_id,
            interval_s: settings.advertise_s,
        });
        for number in 0..self.listeners.len() {
            let bind = self.net.context.listeners[number].bind.addr();
            let is_same = bind.is_some_and(|bind| bind.is_ipv4() == to.is_ipv4());
            if is_same && matches!(self.listeners[number], Listener::MqttSn { .. }) {
                self.sn_tell(number, to, &advertise);
            }
        }
    }

    /// Answers who looks for a gateway.
    pub(super) fn sn_found(&self, number: usize, from: SocketAddr) {
        let gateway_id = self.net.context.gateway.settings.gateway_id;
        self.sn_tell(number, from, &Packet::GwInfo(GwInfo { gateway_id, address: &[] }));
    }

    /// Sends a packet to an address that need not be a client's.
    pub(super) fn sn_tell(&self, number: usize, to: SocketAddr, packet: &Packet<'_>) {
        let Some(socket) = self.listeners[number].udp() else { return };
        let mut datagram = Vec::new();
        if packet.encode(&mut datagram).is_ok() {
            match socket.send_to(&datagram, to) {
                Ok(sent) => self.net.stats().bytes_out.add(sent as u64),
                // As any datagram it may be lost.
                Err(error) => tracing::debug!(%error, %to, "a datagram was not sent"),
            }
        }
    }
}
