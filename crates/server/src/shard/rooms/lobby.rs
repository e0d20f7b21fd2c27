//! What all shards know of rooms.

use crate::access;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use trefoil_config::Rooms as Settings;
use trefoil_room::{Cookies, DATA_HEADER_BYTES, RoomLimits, TOKEN_BYTES_MAX, Tokens};

/// Bytes of the key of tokens.
const KEY_BYTES: usize = 32;

/// The key of tokens.
pub(crate) type RoomKey = [u8; KEY_BYTES];

/// What all shards know of rooms.
pub(crate) struct Lobby {
    pub(crate) settings: Settings,
    pub(super) limits: RoomLimits,
    pub(super) cookies: Cookies,
    pub(crate) tokens: Tokens,
    /// Rooms now, of all shards.
    open: AtomicUsize,
}

const _: () = assert!(TOKEN_BYTES_MAX < 1000, "a JOIN has to fit into a datagram");

impl Lobby {
    /// `key` is that of tokens; cookies are of no use beyond this process, and so is their key.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn new(settings: Settings, key: RoomKey) -> io::Result<Lobby> {
        let limits = RoomLimits {
            peers_max: settings.peers_max.into(),
            payload_bytes_max: settings.datagram_bytes_max - DATA_HEADER_BYTES,
            rate_max: settings.rate_max,
            idle_ms: u64::from(settings.idle_s) * 1000,
        };
        Ok(Lobby {
            settings,
            limits,
            cookies: Cookies::new(access::random()?),
            tokens: Tokens::new(key),
            open: AtomicUsize::new(0),
        })
    }

    /// A new key for tokens.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn key() -> io::Result<RoomKey> {
        access::random()
    }

    /// How often a peer has to say something.
    pub(super) fn heartbeat_s(&self) -> u16 {
        (self.settings.idle_s / 3).clamp(1, u16::MAX.into()) as u16
    }

    /// Counts a room in, unless there are as many as there may be.
    pub(super) fn admit(&self) -> bool {
        let rooms_max = self.settings.rooms_max;
        let count = |open: usize| (open < rooms_max).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }

    /// Counts a room out.
    pub(super) fn dismiss(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether somebody may be in a room at all: `user` is who it is, none where nobody is asked. There are no permissions by
    /// name yet but the one filter for all.
    pub(crate) fn may_use(&self, _user: Option<&str>, room: &str) -> bool {
        trefoil_hub::topic::matches(&self.settings.names, room)
    }
}
