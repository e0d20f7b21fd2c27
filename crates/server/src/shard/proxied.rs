//! Connections that proxies make for others: see [`crate::proxied`].

use super::ShardLoop;
use super::connection::Input;
use crate::access::kept::ADDRESS_IS_BANNED;
use crate::proxied::{Conflict, Header, Proxied, client_of, is_trusted, read_header};
use std::net::{IpAddr, SocketAddr};
use trefoil_hub::ConnectionKey;

/// How long the log is spared saying the same again.
const QUIET_S: u64 = 10;

impl ShardLoop {
    /// Whether somebody may connect here: everybody, unless each connection begins with a header of the PROXY protocol, which
    /// only trusted proxies are believed.
    pub(super) fn may_connect(&mut self, listener: usize, peer: SocketAddr) -> bool {
        let listener = &self.net.context.listeners[listener];
        let may = !listener.proxy_protocol || is_trusted(&listener.trusted_proxies, peer.ip());
        if !may {
            self.count_unproxied(
                Some(peer.ip()),
                "it is none of the trusted proxies, which alone may connect here",
            );
        }
        may
    }

    /// Reads the header of the PROXY protocol. Returns how much of the input it was, and whether more can be done.
    pub(super) fn proxy_header(&mut self, key: ConnectionKey, input: &[u8]) -> (usize, bool) {
        match read_header(input) {
            Header::Partial => {
                self.put_back(key, Input::ProxyHeader);
                (0, false)
            }
            Header::Wrong(why) => {
                self.refuse_unproxied(key, why);
                (input.len(), true)
            }
            Header::Whole { len, client } => {
                if let Some(connection) = self.net.get_mut(key) {
                    connection.input = Input::First;
                    connection.forwarded = client.map(|client| Box::new(Proxied::of_connection(client)));
                }
                if client.is_some_and(|client| self.net.context.bans.refuses_address(client.ip())) {
                    // As for those who connect without a proxy: without a word.
                    self.lose(key);
                }
                (len, true)
            }
        }
    }

    /// Ends a connection whose header of the PROXY protocol is not there or wrong. To a proxy there is nothing to say.
    pub(super) fn refuse_unproxied(&mut self, key: ConnectionKey, why: &str) {
        self.count_unproxied(self.address_of(key), why);
        self.lose(key);
    }

    fn count_unproxied(&mut self, peer: Option<IpAddr>, why: &str) {
        self.net.stats().proxy_refused.add(1);
        let peer = peer.map_or_else(|| "somebody".to_owned(), |peer| peer.to_string());
        if self.proxy_quiet_until.is_none_or(|until| until <= self.net.now) {
            self.proxy_quiet_until = Some(self.net.now.plus_s(QUIET_S));
            tracing::warn!("a connection of {peer} is refused where the PROXY protocol is spoken: {why}");
        } else {
            tracing::debug!("a connection of {peer} is refused where the PROXY protocol is spoken: {why}");
        }
    }

    /// Finds out for whom a request is made. Returns false when it has been refused.
    pub(super) fn take_forwarded(&mut self, key: ConnectionKey, headers: &[httparse::Header<'_>]) -> bool {
        let Some(connection) = self.net.get_mut(key) else { return false };
        if let Some(forwarded) = &mut connection.forwarded {
            // A proxy sends requests of several clients over one connection.
            forwarded.request = None;
        }
        let listener = usize::from(connection.listener);
        let trusted = &self.net.context.listeners[listener].trusted_proxies;
        if trusted.is_empty() {
            return true;
        }
        let Some(peer) = self.address_of(key) else { return true };
        match client_of(peer, trusted, headers.iter().map(|header| (header.name, header.value))) {
            Ok(client) if client == peer => true,
            Ok(client) if self.net.context.bans.refuses_address(client) => {
                self.http_say_no(key, "403 Forbidden", "", ADDRESS_IS_BANNED);
                false
            }
            Ok(client) => {
                if let Some(connection) = self.net.get_mut(key) {
                    connection.forwarded.get_or_insert_default().request = Some(client);
                }
                true
            }
            Err(Conflict) => {
                self.http_refuse(key, "400 Bad Request", Conflict::WHY);
                false
            }
        }
    }
}
