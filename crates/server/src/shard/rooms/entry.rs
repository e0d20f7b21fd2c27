//! Who asks to join. Until it has repeated a cookie nothing is kept for it, and it is sent no more than it has sent.

use super::{OpenRoom, Place, Seat};
use crate::access::kept::USER_IS_BANNED;
use crate::keeper::clock_ms;
use crate::mail::Mail;
use crate::shard::ShardLoop;
use crate::shard::access::Unheard;
use crate::shard::ways::Way;
use crate::udp::Target;
use std::net::{IpAddr, SocketAddr};
use trefoil_config::{PEER, ROOM};
use trefoil_hub::topic::{HUB_TOPICS, check_topic};
use trefoil_room::{
    Control, Entering, Entry, Gone, Grant, Join, Left, Packet, Refusal, Room, TokenError, Welcome, check_name,
};

/// Somebody who may join a room, on its way to the shard that has it.
pub(crate) struct Asking {
    pub(super) listener: usize,
    pub(super) from: SocketAddr,
    pub(super) way: Way,
    pub(super) nonce: u32,
    pub(super) room: Box<str>,
    pub(super) user: Box<str>,
    pub(super) token: Option<[u8; 8]>,
    /// How long its datagram was.
    pub(super) asked_bytes: usize,
}

impl ShardLoop {
    /// Takes a JOIN.
    pub(super) fn room_ask(
        &mut self,
        listener: usize,
        from: SocketAddr,
        join: &Join<'_>,
        asked_bytes: usize,
    ) {
        let context = self.net.context.clone();
        let refuse = |shard: &Self, refusal, text: &str| {
            shard.room_refuse(listener, from, join.nonce, (refusal, text), asked_bytes);
        };
        if let Err(error) = check_name(join.room) {
            return refuse(self, Refusal::Name, &error.to_string());
        }
        let (lobby, address) = (&context.lobby, address_bytes(listener, from));
        let now_ms = self.net.now.as_ms();
        if !lobby.cookies.is_right(&join.cookie, &address, join.nonce, join.room, join.token, now_ms) {
            let cookie = lobby.cookies.make(&address, join.nonce, join.room, join.token, now_ms);
            self.net.stats().rooms.challenges.add(1);
            return self.room_tell(listener, from, &Packet::Challenge { nonce: join.nonce, cookie });
        }
        let grant = match self.room_grant(listener, from, join) {
            Ok(grant) => grant,
            Err((refusal, why)) => return refuse(self, refusal, &why),
        };
        let user = grant.as_ref().map(|grant| grant.user.as_str()).filter(|user| !user.is_empty());
        if user.is_some_and(|user| context.bans.refuses_user(user)) {
            return refuse(self, Refusal::Token, USER_IS_BANNED);
        }
        if !lobby.may_use(user, join.room) {
            return refuse(self, Refusal::Name, "rooms of this name are not open here (rooms.names)");
        }
        let asking = Asking {
            listener,
            from,
            way: self.new_way(),
            nonce: join.nonce,
            room: join.room.into(),
            user: user.unwrap_or_default().into(),
            token: grant.map(|grant| grant.id),
            asked_bytes,
        };
        self.room_lead(asking);
    }

    /// What the token of a JOIN says; none where there is none and none is needed.
    fn room_grant(
        &self,
        listener: usize,
        from: SocketAddr,
        join: &Join<'_>,
    ) -> Result<Option<Grant>, (Refusal, String)> {
        if join.token.is_empty() && !self.needs_name(listener) {
            return Ok(None);
        }
        if self.access().is_some() {
            self.check_barred_address(Some(from.ip())).map_err(throttled)?;
        }
        if join.token.is_empty() {
            return Err((Refusal::Token, "a token is needed: ask for one over JSON or HTTP".into()));
        }
        let refusal = match self.net.context.lobby.tokens.check(join.room, join.token, clock_ms() / 1000) {
            Ok(grant) => return Ok(Some(grant)),
            // It was right once, so nobody guesses.
            Err(error @ TokenError::Expired) => return Err((Refusal::Expired, error.to_string())),
            Err(error) => (Refusal::Token, error.to_string()),
        };
        self.judge_address(Some(from.ip()), None).map_err(throttled)?;
        Err(refusal)
    }

    /// Lays the way from an address to the shard of a room.
    fn room_lead(&mut self, asking: Asking) {
        let here = self.net.number as u16;
        let (listener, from) = (asking.listener, asking.from);
        // There are no more than 64 of them.
        let shard = self.hub.shared().shard_of(&asking.room) as u16;
        match self.rooms.place(listener, from) {
            Some(Place::Here { room, number }) if shard != here => {
                self.room_remove(room, number, Left::Replaced, None);
            }
            Some(Place::There { shard: old, serial }) if shard != old => {
                self.room_lose(old, listener, from, serial);
                self.rooms.places.remove(&(listener, from));
            }
            _ => {}
        }
        if shard == here {
            return self.room_enter(asking);
        }
        self.rooms.places.insert((listener, from), Place::There { shard, serial: asking.way.serial });
        // What it has said before comes first.
        self.room_post_to(usize::from(shard));
        self.net.mail[usize::from(shard)].push(Mail::RoomJoin(Box::new(asking)));
    }

    /// Somebody who may join is in the shard of its room.
    pub(in crate::shard) fn room_enter(&mut self, asking: Asking) {
        let (listener, from, way) = (asking.listener, asking.from, asking.way);
        if self.is_parting() || self.stop_at.is_some() {
            return;
        }
        if let Some(Place::Here { room, number }) = self.rooms.place(listener, from) {
            if self.room_is_again(room, number, &asking) {
                return self.room_welcome(room, number);
            }
            self.room_remove(room, number, Left::Replaced, None);
        }
        if let Err((refusal, why)) = self.room_seat(&asking) {
            self.room_refuse(listener, from, asking.nonce, (refusal, why), asking.asked_bytes);
            self.room_part(listener, from, way);
        }
    }

    /// Whether it is a JOIN of somebody who is in by it already, and lost the answer.
    fn room_is_again(&mut self, room: usize, number: u16, asking: &Asking) -> bool {
        let Some(open) = self.rooms.rooms.get_mut(room).filter(|open| open.name == asking.room) else {
            return false;
        };
        let is_again = open.members.get(number).is_some_and(|peer| peer.nonce == asking.nonce);
        if is_again {
            open.members.heard(number, self.net.now.as_ms());
            if let Some(seat) = open.members.address_mut(number) {
                seat.way = asking.way;
            }
        }
        is_again
    }

    /// Lets somebody in.
    fn room_seat(&mut self, asking: &Asking) -> Result<(), (Refusal, &'static str)> {
        let Asking { listener, from, nonce, .. } = *asking;
        if self
            .rooms
            .left
            .get(&(listener, from))
            .is_some_and(|(of, until)| *of == nonce && *until > self.net.now)
        {
            return Err((Refusal::Replayed, "whoever came with this JOIN has left"));
        }
        if !self.admit(listener) {
            return Err((Refusal::HubFull, "there are too many connections"));
        }
        let Some(room) = self.room_open(&asking.room) else {
            self.dismiss(listener);
            return Err((Refusal::HubFull, "there are as many rooms as there may be (rooms.rooms_max)"));
        };
        let entry = Entry {
            address: Seat { listener, target: Target::new(from), way: asking.way },
            nonce,
            user: asking.user.clone(),
            token: asking.token,
        };
        // What was said before is for those who were there.
        self.room_flush();
        let limits = self.net.context.lobby.limits;
        let number = match self.rooms.rooms[room].members.enter(entry, &limits, self.net.now.as_ms()) {
            Entering::Full => {
                self.dismiss(listener);
                return Err((
                    Refusal::RoomFull,
                    "there are as many in the room as there may be (rooms.peers_max)",
                ));
            }
            Entering::Moved { number, from: seat } => {
                // It was counted where it was.
                self.room_vacate(&seat, None);
                number
            }
            Entering::New { number, replaced } => {
                if let Some(old) = replaced {
                    self.room_lose_peer(&old, Some(Gone::Replaced));
                    self.room_announce_left(room, old.number, Left::Replaced);
                }
                let peers = self.rooms.rooms[room].others();
                self.room_announce(room, number, Control::Joined { peer: number, peers });
                self.net.stats().rooms.peers.shared_add(1);
                number
            }
        };
        self.rooms.places.insert((listener, from), Place::Here { room, number });
        self.room_sweep_soon();
        self.room_welcome(room, number);
        Ok(())
    }

    /// The room of a name, opened if nobody is in it. None if there are as many as there may be.
    fn room_open(&mut self, name: &str) -> Option<usize> {
        if let Some(&room) = self.rooms.by_name.get(name) {
            return Some(room);
        }
        if !self.net.context.lobby.admit() {
            return None;
        }
        let open = OpenRoom {
            name: name.into(),
            members: Room::default(),
            mirror: self.room_mirror(name),
            bytes: Vec::new(),
            pending: Vec::new(),
            is_touched: false,
        };
        let room = self.rooms.rooms.insert(open);
        self.rooms.by_name.insert(name.into(), room);
        self.net.stats().rooms.open.set(self.rooms.rooms.len() as u64);
        Some(room)
    }

    /// The topic on which a room is heard too, in parts; empty if there is none.
    fn room_mirror(&self, name: &str) -> Vec<Box<str>> {
        let context = &self.net.context;
        let mirrors = &context.lobby.settings.mirrors;
        let Some(mirror) = mirrors.iter().find(|m| trefoil_hub::topic::matches(&m.filter, name)) else {
            return Vec::new();
        };
        let parts: Vec<Box<str>> =
            mirror.publish.split(PEER).map(|part| part.replace(ROOM, name).into()).collect();
        // The numbers of peers have at most five digits.
        let example = parts.join("65535");
        if example.starts_with(HUB_TOPICS) || check_topic(&example, context.limits.topic_levels_max).is_err()
        {
            tracing::warn!("room {name:?} cannot be heard on {example:?}, which is no topic to publish to");
            return Vec::new();
        }
        parts
    }

    fn room_welcome(&mut self, room: usize, number: u16) {
        let lobby = &self.net.context.lobby;
        let open = &self.rooms.rooms[room];
        let Some(peer) = open.members.get(number) else { return };
        // With whoever fits into a datagram; the others become known by what they say.
        let others_max = (lobby.limits.payload_bytes_max - 6) / 2;
        let others = open.members.peers().iter().map(|peer| peer.number).filter(|other| *other != number);
        let others: Vec<u8> = others.take(others_max).flat_map(u16::to_be_bytes).collect();
        let welcome = Welcome {
            peer: number,
            peers: open.others(),
            heartbeat_s: lobby.heartbeat_s(),
            payload_bytes_max: lobby.limits.payload_bytes_max as u16,
            others: &others,
        };
        let (listener, to, nonce) = (peer.address.listener, peer.address.target.address(), peer.nonce);
        self.net.stats().rooms.welcomes.add(1);
        self.room_tell(listener, to, &Packet::Welcome { nonce, welcome });
    }

    /// Refuses somebody, with no more bytes than it has sent.
    pub(super) fn room_refuse(
        &self,
        listener: usize,
        to: SocketAddr,
        nonce: u32,
        (refusal, text): (Refusal, &str),
        bytes_max: usize,
    ) {
        let stats = &self.net.stats().rooms;
        let known = Refusal::ALL.iter().position(|(of, _)| *of == refusal);
        if let Some(count) = known.and_then(|of| stats.refused.get(of)) {
            count.add(1);
        }
        let head_bytes = 7;
        let text = &text[..text.floor_char_boundary(bytes_max.saturating_sub(head_bytes))];
        if bytes_max >= head_bytes {
            self.room_tell(listener, to, &Packet::Refused { nonce, refusal, text });
        }
    }
}

fn throttled(unheard: Unheard) -> (Refusal, String) {
    (Refusal::Throttled, unheard.why().into())
}

/// What a cookie is bound to.
fn address_bytes(listener: usize, address: SocketAddr) -> [u8; 26] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 26];
    bytes[..8].copy_from_slice(&(listener as u64).to_be_bytes());
    bytes[8..24].copy_from_slice(&ip.octets());
    bytes[24..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}
