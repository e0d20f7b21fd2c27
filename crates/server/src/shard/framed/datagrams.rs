//! Framed UDP: each peer is a connection as long as it is heard from.
//!
//! Its session belongs to the shard that its client id says. If that is another one, what comes from its address is led there
//! ([`ways`](crate::shard::ways)).

use super::begin::Opening;
use super::{Fault, FramedInput, Stage, clock};
use crate::access::Origin;
use crate::framed::Profile;
use crate::shard::ShardLoop;
use crate::shard::connection::{Input, Link, Peer};
use crate::shard::ways::{Led, Place, Way};
use crate::stats::Kind;
use std::borrow::Cow;
use std::net::SocketAddr;
use trefoil_framing::{Decoder, FrameError};
use trefoil_hub::{ConnectionKey, Time};

impl ShardLoop {
    /// Takes a datagram from the socket.
    pub(in crate::shard) fn framed_receive(&mut self, listener: usize, from: SocketAddr, datagram: &[u8]) {
        match self.place(listener, from) {
            Some(Place::Here(key)) => self.framed_datagram(key, datagram),
            Some(Place::There { shard, serial }) => {
                let way = Way { shard: self.net.number as u16, serial };
                self.framed_lead(shard, listener, from, way, datagram);
            }
            None => self.framed_stranger(listener, from, None, datagram),
        }
    }

    /// Takes one that came in at another shard, or comes back from there.
    pub(in crate::shard) fn framed_take(&mut self, led: &Led) {
        let &Led { listener, from, way, ref datagram, .. } = led;
        let is_back = usize::from(way.shard) == self.net.number;
        match self.place(listener, from) {
            Some(Place::Here(key)) if !is_back => {
                if let Some(Link::Udp(peer)) = self.net.get_mut(key).map(|connection| &mut connection.link) {
                    peer.way = Some(way);
                }
                self.framed_datagram(key, datagram);
            }
            _ if self.stop_at.is_some() || self.is_parting() => {}
            _ if is_back => self.framed_receive(listener, from, datagram),
            _ => self.framed_stranger(listener, from, Some(way), datagram),
        }
    }

    fn framed_lead(&mut self, shard: u16, listener: usize, from: SocketAddr, way: Way, datagram: &[u8]) {
        self.lead(shard, Led { listener, from, way, user: None, datagram: datagram.into() });
    }

    /// Somebody who is not known yet. `way`: how it has come here, if it came in at another shard.
    fn framed_stranger(&mut self, listener: usize, from: SocketAddr, way: Option<Way>, datagram: &[u8]) {
        let mut rest = self.framed_let_in(listener, from, way, datagram);
        while let Some(datagram) = rest.take() {
            match way {
                // The shard where it comes in, which has just been told that nobody is here any more, leads it where it
                // belongs.
                Some(way) => self.framed_lead(way.shard, listener, from, way, datagram),
                None => rest = self.framed_let_in(listener, from, None, datagram),
            }
        }
    }

    /// Nobody gets a session for what may not come in. Returns what comes from a stranger again.
    fn framed_let_in<'a>(
        &mut self,
        listener: usize,
        from: SocketAddr,
        way: Option<Way>,
        datagram: &'a [u8],
    ) -> Option<&'a [u8]> {
        let profile = self.profile(listener)?;
        if self.net.context.bans.refuses_address(from.ip()) {
            self.end_way(listener, from, way);
            return None;
        }
        let opening = match self.framed_opening_of(&profile, from, datagram) {
            Ok(Some(opening)) => opening,
            Ok(None) => {
                self.end_way(listener, from, way);
                return None;
            }
            Err((fault, why)) => {
                self.net.stats().refused.add(1);
                self.end_way(listener, from, way);
                let why = format!("a peer is refused, {why}");
                self.framed_fault_of(listener, Some(from.ip()), fault, &why);
                return None;
            }
        };
        // There are no more than 64 of them.
        let shard = self.hub.shared().shard_of(opening.client_id()) as u16;
        if usize::from(shard) != self.net.number {
            match way {
                None => {
                    let way = self.lay_way(listener, from, shard);
                    self.framed_lead(shard, listener, from, way, datagram);
                }
                // Somebody else than who was here before. The shard where it comes in lays the way to where it belongs.
                Some(way) => {
                    self.end_way(listener, from, Some(way));
                    self.framed_lead(way.shard, listener, from, way, datagram);
                }
            }
            return None;
        }
        if !self.admit(listener) {
            self.net.stats().refused.add(1);
            self.end_way(listener, from, way);
            return None;
        }
        let mut peer = Peer::new(from);
        peer.way = way;
        let key = self.add(Link::Udp(peer), listener);
        self.set_place(listener, from, Place::Here(key));
        self.net.stats().accepted.add(1);
        self.set_input(key, Kind::FramedUdp, Input::Taken);
        let mut framed = FramedInput::new(profile.clone(), None);
        framed.stage = Stage::Opening(Box::new(opening));
        let registers = profile.settings.register.is_some();
        self.framed_begin_peer(key, &mut framed);
        self.put_back(key, Input::Framed(Box::new(framed)));
        // A datagram may begin with who it is.
        self.framed_frames_of(key, datagram, registers)
    }

    /// What the templates come to for somebody, by what it says first where that counts.
    fn framed_opening_of(
        &self,
        profile: &Profile,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<Option<Opening>, (Fault, String)> {
        let settings = &profile.settings;
        let (peer, peer_ip) = (from.to_string(), from.ip().to_canonical().to_string());
        let levels_max = self.net.context.limits.topic_levels_max;
        let bad_topic = |why| (Fault::BadTopic, why);
        let Some(register) = &settings.register else {
            return Opening::new(settings, (&peer, &peer_ip), None, levels_max).map(Some).map_err(bad_topic);
        };
        let mut frames = Frames::of(profile, datagram, self.net.now);
        let mut first = None;
        while let Some(piece) = frames.next() {
            if let Piece::Frame(frame) = piece
                && !profile.strip(&frame).is_empty()
            {
                first = Some(frame);
                break;
            }
        }
        let Some(first) = first else { return Ok(None) };
        let first = profile.strip(&first);
        let origin = Origin { address: Some(from.ip()), is_forgeable: true };
        let captures = self.framed_captures(register, origin, first)?;
        Opening::new(settings, (&peer, &peer_ip), Some(&captures), levels_max).map(Some).map_err(bad_topic)
    }

    /// A datagram of a peer that is known.
    fn framed_datagram(&mut self, key: ConnectionKey, datagram: &[u8]) {
        let Some(connection) = self.net.get(key) else { return };
        let Link::Udp(peer) = &connection.link else { return };
        let (listener, from, way) = (usize::from(connection.listener), peer.addr, peer.way);
        let Some(rest) = self.framed_frames_of(key, datagram, false) else { return };
        match way {
            Some(way) => self.framed_lead(way.shard, listener, from, way, rest),
            None => self.framed_stranger(listener, from, None, rest),
        }
    }

    /// Takes the frames of a datagram; the first that means something says who it is if it `registers`. Returns the rest from
    /// where somebody else begins to speak: the peer is gone then.
    fn framed_frames_of<'a>(
        &mut self,
        key: ConnectionKey,
        datagram: &'a [u8],
        mut registers: bool,
    ) -> Option<&'a [u8]> {
        let now = self.net.now;
        let connection = self.net.get_mut(key)?;
        let mut framed = match std::mem::replace(&mut connection.input, Input::Taken) {
            Input::Framed(framed) => framed,
            other => {
                connection.input = other;
                return None;
            }
        };
        connection.heard_at = now;
        let profile = framed.profile.clone();
        let mut frames = Frames::of(&profile, datagram, now);
        let mut left = datagram.len();
        while let Some(piece) = frames.next() {
            let with_this = std::mem::replace(&mut left, frames.rest.map_or(0, <[u8]>::len));
            let registration = match &piece {
                Piece::Frame(frame) => profile.registration(frame),
                _ => None,
            };
            match piece {
                Piece::Frame(frame) if registers => {
                    registers = profile.strip(&frame).is_empty();
                    framed.registration = registration.unwrap_or_default();
                }
                Piece::Frame(_) if registration == Some(framed.registration) => {}
                Piece::Frame(_) if registration.is_some() => {
                    self.put_back(key, Input::Framed(framed));
                    self.framed_end(key, "closed");
                    return datagram.get(datagram.len() - with_this..);
                }
                Piece::Frame(frame) if framed.may_send(now).is_ok() => {
                    framed.count_frame();
                    self.framed_frame(key, &mut framed, &frame);
                }
                Piece::Frame(_) => {
                    let why = "a peer sends more frames than `rate_max`, and they are dropped";
                    self.framed_fault(key, Fault::Rate, &why);
                }
                Piece::Error(error) => self.framed_fault(key, Fault::of(error), &error),
                Piece::Skipped(bytes) => self.framed_count_skipped(key, bytes),
            }
        }
        self.put_back(key, Input::Framed(framed));
        None
    }
}

/// The frames of one datagram, which stands for itself.
struct Frames<'a> {
    profile: &'a Profile,
    /// None where the datagram is one frame.
    decoder: Option<Decoder>,
    /// None at the end.
    rest: Option<&'a [u8]>,
    now: Time,
}

enum Piece<'a> {
    Frame(Cow<'a, [u8]>),
    Error(FrameError),
    /// Bytes of no frame.
    Skipped(usize),
}

impl<'a> Frames<'a> {
    fn of(profile: &'a Profile, datagram: &'a [u8], now: Time) -> Frames<'a> {
        Frames { profile, decoder: profile.decoder.clone(), rest: Some(datagram), now }
    }

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let rest = self.rest?;
            let Some(decoder) = &mut self.decoder else {
                self.rest = None;
                return Some(whole(self.profile, rest));
            };
            let step = decoder.next(rest, clock(self.now));
            self.rest = Some(&rest[step.consumed..]);
            return match step.found {
                Some(Ok(frame)) => Some(Piece::Frame(frame)),
                Some(Err(error)) => {
                    self.rest = self.rest.filter(|_| !error.is_final());
                    Some(Piece::Error(error))
                }
                None if step.skipped > 0 => Some(Piece::Skipped(step.skipped)),
                // A whole datagram may be marks with nothing between them.
                None if step.consumed > 0 => continue,
                None => {
                    self.rest = None;
                    match decoder.finish(rest)? {
                        Ok(frame) => Some(Piece::Frame(frame)),
                        Err(error) => Some(Piece::Error(error)),
                    }
                }
            };
        }
    }
}

/// A datagram that is a frame.
fn whole<'a>(profile: &Profile, datagram: &'a [u8]) -> Piece<'a> {
    let frame_bytes_max = profile.settings.frame_bytes_max;
    let from = match &profile.settings.starts_with {
        None => Some(0),
        Some(mark) => memchr::memmem::find(datagram, mark),
    };
    match from {
        None => Piece::Skipped(datagram.len()),
        Some(from) if datagram.len() - from > frame_bytes_max => {
            Piece::Error(FrameError::TooLong { frame_bytes_max })
        }
        Some(from) => Piece::Frame(Cow::Borrowed(&datagram[from..])),
    }
}
