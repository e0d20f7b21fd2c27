//! The bans, so that the one which is for somebody is found at once.

use super::Ban;
use super::Network;
use super::target::{Target, matches};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// All bans, by what they are for.
#[derive(Default, Debug)]
pub(super) struct Rules {
    client_ids: HashMap<Arc<str>, Arc<Ban>>,
    /// Client ids with a `*` in them. They are looked at one after the other.
    patterns: HashMap<Arc<str>, Arc<Ban>>,
    users: HashMap<Arc<str>, Arc<Ban>>,
    networks: HashMap<Network, Arc<Ban>>,
    /// How long the networks are, of IPv4 (`true`) and of IPv6: for each length an address is looked up once.
    lengths: BTreeSet<(bool, u8)>,
}

impl Rules {
    /// Puts a ban in, in place of one for the same.
    pub(super) fn set(&mut self, ban: Arc<Ban>) -> Option<Arc<Ban>> {
        match &ban.target {
            Target::ClientId(text) => self.texts_of(text).insert(text.clone(), ban.clone()),
            Target::User(name) => self.users.insert(name.clone(), ban.clone()),
            Target::Address(network) => {
                self.lengths.insert((network.is_ipv4(), network.bits()));
                self.networks.insert(*network, ban.clone())
            }
        }
    }

    pub(super) fn remove(&mut self, target: &Target) -> Option<Arc<Ban>> {
        match target {
            Target::ClientId(text) => self.texts_of(text).remove(text),
            Target::User(name) => self.users.remove(name),
            Target::Address(network) => {
                let removed = self.networks.remove(network);
                let length = (network.is_ipv4(), network.bits());
                if !self.networks.keys().any(|other| (other.is_ipv4(), other.bits()) == length) {
                    self.lengths.remove(&length);
                }
                removed
            }
        }
    }

    fn texts_of(&mut self, text: &str) -> &mut HashMap<Arc<str>, Arc<Ban>> {
        if text.contains('*') { &mut self.patterns } else { &mut self.client_ids }
    }

    pub(super) fn get(&self, target: &Target) -> Option<&Arc<Ban>> {
        match target {
            Target::ClientId(text) if text.contains('*') => self.patterns.get(text),
            Target::ClientId(text) => self.client_ids.get(text),
            Target::User(name) => self.users.get(name),
            Target::Address(network) => self.networks.get(network),
        }
    }

    /// In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Ban>> {
        let texts = self.client_ids.values().chain(self.patterns.values());
        texts.chain(self.users.values()).chain(self.networks.values())
    }

    /// The ban that a client id meets at a moment.
    pub(super) fn client_id(&self, client_id: &str, now_ms: u64) -> Option<&Arc<Ban>> {
        let exact = self.client_ids.get(client_id).filter(|ban| ban.holds(now_ms));
        exact.or_else(|| {
            let found =
                self.patterns.iter().find(|(pattern, ban)| matches(pattern, client_id) && ban.holds(now_ms));
            found.map(|(_, ban)| ban)
        })
    }

    pub(super) fn user(&self, name: &str, now_ms: u64) -> Option<&Arc<Ban>> {
        self.users.get(name).filter(|ban| ban.holds(now_ms))
    }

    pub(super) fn address(&self, address: IpAddr, now_ms: u64) -> Option<&Arc<Ban>> {
        let is_ipv4 = address.is_ipv4();
        let lengths = self.lengths.range((is_ipv4, 0)..=(is_ipv4, u8::MAX));
        lengths
            .filter_map(|(_, bits)| self.networks.get(&Network::of(address, *bits)))
            .find(|ban| ban.holds(now_ms))
    }
}
