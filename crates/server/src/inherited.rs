//! Sockets that were open before the server started: from systemd, or from the process that it takes over from.

use crate::listener::Socket;
use std::io;
use std::mem::{discriminant, take};
use trefoil_config::Bind;

/// Sockets from elsewhere, by their address, in the order in which they came.
pub(crate) struct Inherited(Vec<(Bind, Vec<Socket>)>);

impl Inherited {
    /// # Errors
    /// When the system does not say where a socket is bound.
    pub(crate) fn new(sockets: Vec<Socket>) -> io::Result<Inherited> {
        let mut groups: Vec<(Bind, Vec<Socket>)> = Vec::new();
        for socket in sockets {
            let bind = socket.bind()?;
            match groups.iter_mut().find(|(at, _)| *at == bind) {
                Some((_, group)) => group.push(socket),
                None => groups.push((bind, vec![socket])),
            }
        }
        Ok(Inherited(groups))
    }

    /// Finds the sockets of each listener; none where it has to be opened. A listener that takes any port gets the first
    /// socket of its address that is no other listener's.
    pub(crate) fn of<'a>(&mut self, listeners: impl Iterator<Item = &'a Bind> + Clone) -> Vec<Vec<Socket>> {
        let mut found: Vec<Vec<Socket>> =
            listeners.clone().map(|bind| self.take(|at| is_at(at, bind))).collect();
        for (bind, found) in listeners.zip(&mut found) {
            if bind.is_any_port() {
                let ip = |bind: &Bind| bind.addr().map(|addr| addr.ip());
                *found = self.take(|at| discriminant(at) == discriminant(bind) && ip(at) == ip(bind));
            }
        }
        found
    }

    /// The addresses that no listener has asked for. Their sockets are closed.
    pub(crate) fn left(self) -> Vec<Bind> {
        self.0.into_iter().map(|(bind, _)| bind).collect()
    }

    fn take(&mut self, wanted: impl Fn(&Bind) -> bool) -> Vec<Socket> {
        let Some(place) = self.0.iter().position(|(at, _)| wanted(at)) else { return Vec::new() };
        take(&mut self.0.remove(place).1)
    }
}

/// The scope and flow of an IPv6 address are no part of what is configured.
fn is_at(at: &Bind, bind: &Bind) -> bool {
    match (at.addr(), bind.addr()) {
        (Some(own), Some(wanted)) => {
            discriminant(at) == discriminant(bind) && own.ip() == wanted.ip() && own.port() == wanted.port()
        }
        _ => at == bind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::open;

    #[test]
    fn sockets_find_their_listeners_by_kind_and_address() {
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let tcp = open(&Bind::Tcp(any), 2, 0).expect("port 0 is always free");
        let at = tcp[0].bind().expect("it has an address");
        // The same port, but for datagrams, and two more of which nobody knows the port.
        let mut sockets: Vec<Socket> = Vec::new();
        for bind in [Bind::Udp(at.addr().expect("a port")), Bind::Tcp(any), Bind::Tcp(any)] {
            sockets.extend(open(&bind, 1, 0).expect("it is free"));
        }
        let [udp, first, second] = [0, 1, 2].map(|n: usize| sockets[n].bind().expect("it has an address"));
        sockets.extend(tcp);
        let mut inherited = Inherited::new(sockets).expect("they have addresses");
        let missing = Bind::Udp("127.0.0.1:9".parse().expect("an address"));
        let found = inherited.of([Bind::Tcp(any), missing, udp.clone(), at.clone()].iter());
        let found: Vec<Vec<Bind>> = found
            .iter()
            .map(|sockets| sockets.iter().map(|socket| socket.bind().expect("it has an address")).collect())
            .collect();
        assert_eq!(found, [vec![first], vec![], vec![udp], vec![at.clone(), at]]);
        assert_eq!(inherited.left(), [second]);
    }
}
