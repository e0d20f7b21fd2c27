//! What is counted of rooms.

use crate::stats::{Figure, Stats};
use trefoil_room::Refusal;

/// The figures of one shard.
#[derive(Default, Debug)]
pub(crate) struct RoomFigures {
    /// Rooms now.
    pub(crate) open: Figure,
    /// Peers now.
    pub(crate) peers: Figure,
    /// Datagrams of peers.
    pub(crate) datagrams_in: Figure,
    /// Datagrams to peers.
    pub(crate) datagrams_out: Figure,
    /// JOINs that were answered with a cookie.
    pub(crate) challenges: Figure,
    /// JOINs that were answered with a welcome.
    pub(crate) welcomes: Figure,
    /// JOINs that were refused, by [`Refusal::ALL`].
    pub(crate) refused: [Figure; Refusal::ALL.len()],
    /// Strangers who were told that nobody knows them.
    pub(crate) resets: Figure,
    /// Datagrams that are none of the protocol.
    pub(crate) malformed: Figure,
    /// Peers that fell silent.
    pub(crate) idle: Figure,
    /// A sender went beyond its rate.
    pub(crate) dropped_rate: Figure,
    /// A payload was too large.
    pub(crate) dropped_too_large: Figure,
    /// Something newer had been.
    pub(crate) dropped_stale: Figure,
    /// The peer that was named is not there.
    pub(crate) dropped_no_peer: Figure,
    /// The socket had no room.
    pub(crate) dropped_full: Figure,
    /// The system could not send there.
    pub(crate) dropped_failed: Figure,
    /// The shard of the room had too much to do.
    pub(crate) dropped_mailbox: Figure,
    /// It was not published to the topic of the room.
    pub(crate) dropped_mirror: Figure,
}

/// Where a figure is found.
type Read = fn(&Stats) -> &Figure;

/// What is dropped, by reason.
pub(crate) const DROPPED: [(&str, Read); 8] = [
    ("rate", |s| &s.rooms.dropped_rate),
    ("too_large", |s| &s.rooms.dropped_too_large),
    ("stale", |s| &s.rooms.dropped_stale),
    ("no_peer", |s| &s.rooms.dropped_no_peer),
    ("socket_full", |s| &s.rooms.dropped_full),
    ("unreachable", |s| &s.rooms.dropped_failed),
    ("mailbox_full", |s| &s.rooms.dropped_mailbox),
    ("mirror", |s| &s.rooms.dropped_mirror),
];
