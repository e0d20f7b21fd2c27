//! What is said in a datagram channel. The layout of each packet is in `docs/rooms.md`.

use crate::cookie::Cookie;

/// The version of the protocol.
pub const VERSION: u8 = 1;

/// Datagrams of rooms begin with one of these. JSON begins with none of them.
pub const FIRST_BYTES: std::ops::RangeInclusive<u8> = 0x04..=0x07;

/// The least that a JOIN has: what is in front of the name, a name of one byte and an empty token.
pub const JOIN_BYTES_MIN: usize = 26;

/// What stands before the payload of a DATA packet.
pub const DATA_HEADER_BYTES: usize = 8;

pub(crate) const JOIN: u8 = 0x04;
pub(crate) const ANSWER: u8 = 0x05;
pub(crate) const DATA: u8 = 0x06;
pub(crate) const CONTROL: u8 = 0x07;

/// Flag of DATA: whatever is not newer than what the receivers have had of this sender with this flag is dropped.
pub(crate) const NEWEST: u8 = 0x01;
/// Flag of DATA from the hub: the receiver alone gets it.
pub(crate) const DIRECT: u8 = 0x02;

/// Whether a datagram is one of a room's, by its first byte.
pub fn is_room(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| FIRST_BYTES.contains(first))
}

/// One datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// 0x04 to the hub: let me in.
    Join(Join<'a>),
    /// 0x05 0x00 from the hub: ask again with this cookie.
    Challenge {
        /// That of the JOIN.
        nonce: u32,
        /// What to ask with.
        cookie: Cookie,
    },
    /// 0x05 0x01 from the hub: you are in.
    Welcome {
        /// That of the JOIN.
        nonce: u32,
        /// All that it says.
        welcome: Welcome<'a>,
    },
    /// 0x05 0x02 from the hub: you are not let in.
    Refused {
        /// That of the JOIN.
        nonce: u32,
        /// Why.
        refusal: Refusal,
        /// The same for a person; it may have been cut.
        text: &'a str,
    },
    /// 0x06 both ways.
    Data(Data<'a>),
    /// 0x07 both ways.
    Control(Control),
}

/// Somebody wants to join a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Join<'a> {
    /// Chosen by the member, anew for each time that it joins; the answers repeat it.
    pub nonce: u32,
    /// What the hub's challenge said, zeros before.
    pub cookie: Cookie,
    /// The room's name.
    pub room: &'a str,
    /// What says that the member may join, empty where nobody is asked.
    pub token: &'a [u8],
}

/// The answer to who has joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Welcome<'a> {
    /// The member's own number in the room, at least 1.
    pub peer: u16,
    /// How many others are there.
    pub peers: u16,
    /// The member has to say something at least that often, in seconds.
    pub heartbeat_s: u16,
    /// The most bytes that a payload may have.
    pub payload_bytes_max: u16,
    /// The numbers of the others, of two bytes each; not all of them where they do not fit.
    pub others: &'a [u8],
}

impl Welcome<'_> {
    /// The numbers of the others, as far as they were said.
    pub fn others(&self) -> impl Iterator<Item = u16> {
        self.others.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}

/// What one member says to another, or to all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data<'a> {
    /// What is not newer than what the receivers have had is to be dropped.
    pub newest: bool,
    /// From the hub only: nobody else gets it.
    pub direct: bool,
    /// To the hub: for whom, 0 for all others. From the hub: from whom.
    pub peer: u16,
    /// Counted by the sender.
    pub sequence: u32,
    /// Anything.
    pub payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// For all others in the room.
    pub fn to_others(payload: &'a [u8]) -> Data<'a> {
        Data { newest: false, direct: false, peer: 0, sequence: 0, payload }
    }

    /// For one of them.
    pub fn to_peer(peer: u16, payload: &'a [u8]) -> Data<'a> {
        Data { peer, ..Data::to_others(payload) }
    }

    /// The same, to be dropped where something newer has been.
    pub fn newest(self) -> Data<'a> {
        Data { newest: true, ..self }
    }
}

/// All that is neither data nor about joining.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// 0x00 from the hub: nobody with your address is in a room. It repeats the number of what it answers.
    Reset(u32),
    /// 0x01 both ways: are you there?
    Ping(u32),
    /// 0x02 both ways: yes, with the number of the question.
    Pong(u32),
    /// 0x03 to the hub: I go. The nonce is that of the JOIN.
    Leave(u32),
    /// 0x04 from the hub: somebody has joined.
    Joined {
        /// Its number.
        peer: u16,
        /// How many others are there now.
        peers: u16,
    },
    /// 0x05 from the hub: somebody is gone.
    Left {
        /// Its number.
        peer: u16,
        /// How many others are there now.
        peers: u16,
        /// Why.
        why: Left,
    },
    /// 0x06 from the hub: you are not in the room any more. The nonce is that of the JOIN.
    Gone {
        /// That of the JOIN.
        nonce: u32,
        /// Why.
        why: Gone,
    },
}

/// Why a member is gone, for the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Left {
    /// It said so.
    Left,
    /// Nothing was heard of it.
    Idle,
    /// Somebody joined with its address or its token.
    Replaced,
    /// It may not be there any more.
    Removed,
    /// Another reason, which this version does not know.
    Other(u8),
}

impl Left {
    pub(crate) fn code(self) -> u8 {
        match self {
            Left::Left => 0,
            Left::Idle => 1,
            Left::Replaced => 2,
            Left::Removed => 3,
            Left::Other(code) => code,
        }
    }

    pub(crate) fn from_code(code: u8) -> Left {
        match code {
            0 => Left::Left,
            1 => Left::Idle,
            2 => Left::Replaced,
            3 => Left::Removed,
            code => Left::Other(code),
        }
    }
}

/// Why a member is gone, for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Gone {
    /// Another process takes over: join again.
    Restart,
    /// The hub stops.
    Stop,
    /// Nothing was heard of it: join again.
    Idle,
    /// Somebody joined with its token from another address.
    Replaced,
    /// It may not be there any more.
    Removed,
    /// Another reason, which this version does not know.
    Other(u8),
}

impl Gone {
    /// Whether the member may join again.
    pub fn may_return(self) -> bool {
        matches!(self, Gone::Restart | Gone::Idle)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Gone::Restart => 0,
            Gone::Stop => 1,
            Gone::Idle => 2,
            Gone::Replaced => 3,
            Gone::Removed => 4,
            Gone::Other(code) => code,
        }
    }

    pub(crate) fn from_code(code: u8) -> Gone {
        match code {
            0 => Gone::Restart,
            1 => Gone::Stop,
            2 => Gone::Idle,
            3 => Gone::Replaced,
            4 => Gone::Removed,
            code => Gone::Other(code),
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The hub does not speak this version.
    Version,
    /// No room can have this name, or none may.
    Name,
    /// The token is none of this hub for this room, or there is none and one is needed.
    Token,
    /// The token was right once.
    Expired,
    /// Too many attempts have failed.
    Throttled,
    /// There are as many in the room as may be.
    RoomFull,
    /// There are as many rooms, or peers, as may be.
    HubFull,
    /// This JOIN has been answered, and its member has left since.
    Replayed,
    /// Another reason, which this version does not know.
    Other(u8),
}

impl Refusal {
    /// All that have a name.
    pub const ALL: [(Refusal, &'static str); 8] = [
        (Refusal::Version, "version"),
        (Refusal::Name, "name"),
        (Refusal::Token, "token"),
        (Refusal::Expired, "expired"),
        (Refusal::Throttled, "throttled"),
        (Refusal::RoomFull, "room_full"),
        (Refusal::HubFull, "hub_full"),
        (Refusal::Replayed, "replayed"),
    ];

    /// Its number in the protocol.
    pub fn code(self) -> u8 {
        match self {
            Refusal::Version => 1,
            Refusal::Name => 2,
            Refusal::Token => 3,
            Refusal::Expired => 4,
            Refusal::Throttled => 5,
            Refusal::RoomFull => 6,
            Refusal::HubFull => 7,
            Refusal::Replayed => 8,
            Refusal::Other(code) => code,
        }
    }

    /// Whether it may be otherwise a while later.
    pub fn may_pass(self) -> bool {
        matches!(self, Refusal::Throttled | Refusal::RoomFull | Refusal::HubFull | Refusal::Replayed)
    }

    pub(crate) fn from_code(code: u8) -> Refusal {
        let known = Refusal::ALL.iter().find(|(refusal, _)| refusal.code() == code);
        known.map_or(Refusal::Other(code), |(refusal, _)| *refusal)
    }
}
