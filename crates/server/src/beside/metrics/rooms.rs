//! The figures of datagram channels.

use super::Page;
use crate::shard::rooms::DROPPED;
use crate::stats::{Figure, Stats, total};
use std::fmt;
use trefoil_room::Refusal;

pub(super) fn figures(all: &[Stats], page: &mut Page<'_, '_>) -> fmt::Result {
    let sum = |figure: fn(&Stats) -> &Figure| total(all, figure);
    page.gauge("rooms", "Rooms now that somebody is in.", sum(|s| &s.rooms.open).cast_signed())?;
    page.gauge("room_peers", "Peers in rooms now.", sum(|s| &s.rooms.peers).cast_signed())?;
    page.counter("room_datagrams_in", "Datagrams of peers in rooms.", sum(|s| &s.rooms.datagrams_in))?;
    page.counter("room_datagrams_out", "Datagrams to peers in rooms.", sum(|s| &s.rooms.datagrams_out))?;
    page.counter("room_challenges", "JOINs answered with a cookie.", sum(|s| &s.rooms.challenges))?;
    page.counter("room_welcomes", "JOINs answered with a welcome.", sum(|s| &s.rooms.welcomes))?;
    page.counter("room_resets", "Strangers told that nobody knows them.", sum(|s| &s.rooms.resets))?;
    page.counter("room_malformed", "Datagrams that are none of the protocol.", sum(|s| &s.rooms.malformed))?;
    page.counter("room_idle", "Peers taken out since they fell silent.", sum(|s| &s.rooms.idle))?;
    let refused = Refusal::ALL.iter().enumerate();
    let refused = refused.map(|(of, (_, name))| ((*name).to_owned(), total(all, |s| &s.rooms.refused[of])));
    page.counters("room_refused", "JOINs refused, by reason.", "reason", refused)?;
    let dropped = DROPPED.iter().map(|(name, read)| ((*name).to_owned(), total(all, read)));
    page.counters("room_dropped", "Datagrams in rooms dropped, by reason.", "reason", dropped)
}
