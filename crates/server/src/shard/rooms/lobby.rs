//! What all shards know of rooms.

use crate::access;
use crate::access::kept::Kind as KeptKind;
use crate::context::Context;
use crate::keeper::clock_ms;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use trefoil_config::{Config, Rooms as Settings};
use trefoil_room::{Cookies, DATA_HEADER_BYTES, NameError, RoomLimits, TOKEN_BYTES_MAX, Tokens, check_name};

/// Bytes of the key of tokens.
const KEY_BYTES: usize = 32;

/// The key of tokens.
type RoomKey = [u8; KEY_BYTES];

/// What all shards know of rooms.
pub(crate) struct Lobby {
    pub(crate) settings: Settings,
    pub(super) limits: RoomLimits,
    pub(super) cookies: Cookies,
    pub(super) tokens: Tokens,
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

    /// As the configuration says, with the key of tokens that the process before has kept. If there is none, one that has
    /// just been made comes too, to be kept for the next process.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn open(config: &Config, first: &trefoil_hub::Shard) -> io::Result<(Lobby, Option<RoomKey>)> {
        let kept = first.facts(KeptKind::RoomKey as u8).find_map(|(_, key)| key.try_into().ok());
        let new = if kept.is_none() { Some(access::random()?) } else { None };
        let key = kept.or(new).unwrap_or_default();
        Ok((Lobby::new(config.rooms.clone(), key)?, new))
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

/// Why somebody gets no token for a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ungranted {
    /// No room can have this name.
    Name(NameError),
    /// It has not said who it is.
    Unknown,
    /// Its name does not fit into a token.
    User,
    /// It may not join this room.
    Closed,
    /// The system has no randomness to give.
    System,
}

impl fmt::Display for Ungranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ungranted::Name(error) => error.fmt(f),
            Ungranted::Unknown => f.write_str("who wants a token has to say who it is"),
            Ungranted::User => f.write_str("the name of this user is too long for a token"),
            Ungranted::Closed => f.write_str("rooms of this name are not open here (rooms.names)"),
            Ungranted::System => f.write_str("the system has no randomness to give; try again"),
        }
    }
}

impl Context {
    /// A token for a room, and for how many seconds it can be used. `user` is who asks, none if it has not said.
    ///
    /// # Errors
    /// Why it gets none.
    pub(crate) fn room_token(&self, user: Option<&str>, room: &str) -> Result<(String, u32), Ungranted> {
        check_name(room).map_err(Ungranted::Name)?;
        // A token opens listeners that ask who somebody is.
        if user.is_none() && self.access.is_some() {
            return Err(Ungranted::Unknown);
        }
        if !self.lobby.may_use(user, room) {
            return Err(Ungranted::Closed);
        }
        let id = access::random().map_err(|_| Ungranted::System)?;
        let token_s = self.lobby.settings.token_s;
        let expires_s = clock_ms() / 1000 + u64::from(token_s);
        let token = self.lobby.tokens.make(room, user.unwrap_or_default(), id, expires_s);
        Ok((token.ok_or(Ungranted::User)?, token_s))
    }
}
