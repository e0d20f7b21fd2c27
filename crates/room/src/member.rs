//! A member's half of the conversation: it joins, says often enough that it is there, and joins again when the hub has
//! forgotten it.

use crate::cookie::{COOKIE_BYTES, Cookie};
use crate::decode::decode;
use crate::name::NAME_BYTES_MAX;
use crate::packet::{Control, Data, Gone, Join, Left, Packet, Refusal, Welcome};
use crate::sequence::is_newer;
use crate::token::TOKEN_BYTES_MAX;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// A JOIN is padded to so many bytes: the hub says no more than was asked with, and a reason takes some words.
const JOIN_BYTES: usize = 160;

/// How long the answer to the first JOIN is waited for; then twice as long each time, up to the second.
const JOIN_MS: u64 = 250;
const JOIN_MS_MAX: u64 = 2000;

/// After so many heartbeats without a word the hub has not heard the member either, or knows another address of it.
const SILENT_HEARTBEATS: u64 = 3;

/// A RESET that is to be believed repeats the number of one of the last so many datagrams.
const RESET_WINDOW: u32 = 1 << 16;

/// Something that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The member is in. This comes again whenever it has joined again.
    Welcome(Welcome<'a>),
    /// It is not let in, and asks no more.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same for a person.
        text: &'a str,
    },
    /// A datagram; `peer` is who has sent it.
    Data(Data<'a>),
    /// Somebody has come; then so many others are there.
    Joined {
        /// Its number.
        peer: u16,
        /// How many others are there.
        peers: u16,
    },
    /// Somebody is gone.
    Left {
        /// Its number.
        peer: u16,
        /// How many others are there.
        peers: u16,
        /// Why.
        why: Left,
    },
    /// The hub has forgotten the member, which joins again.
    Forgotten,
    /// The member is not in the room any more. Where it [may return](Gone::may_return) it joins again.
    Gone(Gone),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Joining,
    In,
    Out,
}

/// A member of one room.
#[derive(Debug)]
pub struct Member {
    room: String,
    token: Vec<u8>,
    nonce: u32,
    cookie: Cookie,
    state: State,
    heartbeat_ms: u64,
    payload_bytes_max: usize,
    /// Of what was sent last.
    sequence: u32,
    ping: u32,
    /// What the hub asked.
    pong: Option<u32>,
    sent_ms: u64,
    heard_ms: u64,
    join_at_ms: u64,
    join_wait_ms: u64,
    /// By peer and whether it was for this member alone: the newest of what came with the flag.
    newest: HashMap<(u16, bool), u32, RandomState>,
}

impl Member {
    /// One that is about to join. `nonce` is random, so that nobody who cannot see it answers in the hub's name.
    ///
    /// # Panics
    /// When the name or the token is longer than any is: see [`check_name`](crate::check_name) and [`TOKEN_BYTES_MAX`].
    pub fn new(room: &str, token: &[u8], nonce: u32, now_ms: u64) -> Member {
        assert!(room.len() <= NAME_BYTES_MAX && token.len() <= TOKEN_BYTES_MAX, "both are bounded");
        Member {
            room: room.to_owned(),
            token: token.to_vec(),
            nonce,
            cookie: [0; COOKIE_BYTES],
            state: State::Joining,
            heartbeat_ms: 0,
            payload_bytes_max: 0,
            sequence: 0,
            ping: nonce,
            pong: None,
            sent_ms: now_ms,
            heard_ms: now_ms,
            join_at_ms: now_ms,
            join_wait_ms: JOIN_MS,
            newest: HashMap::default(),
        }
    }

    /// Whether it is in the room.
    pub fn is_in(&self) -> bool {
        self.state == State::In
    }

    /// Whether it neither is in the room nor asks to be.
    pub fn is_out(&self) -> bool {
        self.state == State::Out
    }

    /// The most bytes that a payload may have; 0 before the hub has said.
    pub fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    /// Takes a datagram that came from the hub's address. What is none of the hub's answers to this member is passed over,
    /// and so is what came too late.
    pub fn handle<'a>(&mut self, datagram: &'a [u8], now_ms: u64) -> Option<Event<'a>> {
        let packet = decode(datagram).ok()?;
        let event = match packet {
            Packet::Challenge { nonce, cookie } if self.asks(nonce) => {
                // Who sends challenges for ever gets no JOIN for each of them.
                if self.cookie != cookie {
                    (self.cookie, self.join_at_ms) = (cookie, now_ms);
                }
                return None;
            }
            Packet::Welcome { nonce, welcome } if self.asks(nonce) => {
                self.state = State::In;
                self.heartbeat_ms = u64::from(welcome.heartbeat_s) * 1000;
                self.payload_bytes_max = welcome.payload_bytes_max.into();
                self.newest.clear();
                Event::Welcome(welcome)
            }
            Packet::Refused { nonce, refusal, text } if self.asks(nonce) => {
                self.state = State::Out;
                Event::Refused { refusal, text }
            }
            Packet::Data(data) if self.is_in() && self.is_wanted(&data) => Event::Data(data),
            Packet::Control(control) => self.control(control, now_ms)?,
            _ => return None,
        };
        self.heard_ms = now_ms;
        Some(event)
    }

    fn control(&mut self, control: Control, now_ms: u64) -> Option<Event<'static>> {
        match control {
            Control::Reset(number) if self.is_in() && self.has_sent(number) => {
                self.join_again(now_ms);
                Some(Event::Forgotten)
            }
            Control::Gone { nonce, why } if nonce == self.nonce && self.state != State::Out => {
                self.state = State::Out;
                if why.may_return() {
                    self.nonce = self.nonce.wrapping_add(1);
                    self.join_again(now_ms);
                }
                Some(Event::Gone(why))
            }
            Control::Joined { peer, peers } if self.is_in() => {
                self.newest.retain(|(of, _), _| *of != peer);
                Some(Event::Joined { peer, peers })
            }
            Control::Left { peer, peers, why } if self.is_in() => Some(Event::Left { peer, peers, why }),
            Control::Ping(number) if self.is_in() => {
                (self.pong, self.heard_ms) = (Some(number), now_ms);
                None
            }
            Control::Pong(number) if self.is_in() && number == self.ping => {
                self.heard_ms = now_ms;
                None
            }
            _ => None,
        }
    }

    /// Whether it waits for the answer to a JOIN with this nonce.
    fn asks(&self, nonce: u32) -> bool {
        self.state == State::Joining && self.nonce == nonce
    }

    /// With the same nonce: where the hub knows it after all, nobody else notices.
    fn join_again(&mut self, now_ms: u64) {
        self.state = State::Joining;
        self.cookie = [0; COOKIE_BYTES];
        (self.join_at_ms, self.join_wait_ms) = (now_ms, JOIN_MS);
    }

    fn has_sent(&self, number: u32) -> bool {
        number == self.ping || self.sequence.wrapping_sub(number) < RESET_WINDOW
    }

    fn is_wanted(&mut self, data: &Data<'_>) -> bool {
        if !data.newest {
            return true;
        }
        let newest = self.newest.entry((data.peer, data.direct)).or_insert(data.sequence.wrapping_sub(1));
        let is_wanted = is_newer(data.sequence, *newest);
        if is_wanted {
            *newest = data.sequence;
        }
        is_wanted
    }

    /// Appends a datagram with something to say, and counts it. Whether the member is in is for the caller to look at: the
    /// hub drops what comes from somebody who is not.
    pub fn write(&mut self, data: Data<'_>, now_ms: u64, out: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        self.sent_ms = now_ms;
        Data { sequence: self.sequence, direct: false, ..data }.encode(out);
    }

    /// Appends a goodbye, unless it is out already.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.state, State::Out) == State::In {
            Control::Leave(self.nonce).encode(out);
        }
    }

    /// Appends the next datagram that is due. Returns whether there was one.
    pub fn poll_transmit(&mut self, now_ms: u64, out: &mut Vec<u8>) -> bool {
        match self.state {
            State::Out => return false,
            State::Joining if self.join_at_ms <= now_ms => {
                self.join_at_ms = now_ms + self.join_wait_ms;
                self.join_wait_ms = (2 * self.join_wait_ms).min(JOIN_MS_MAX);
                let join =
                    Join { nonce: self.nonce, cookie: self.cookie, room: &self.room, token: &self.token };
                join.encode_padded(JOIN_BYTES, out);
            }
            State::Joining => return false,
            State::In => {
                if let Some(number) = self.pong.take() {
                    Control::Pong(number).encode(out);
                } else if now_ms >= self.heard_ms + SILENT_HEARTBEATS * self.heartbeat_ms {
                    self.join_again(now_ms);
                    return self.poll_transmit(now_ms, out);
                } else if now_ms >= self.sent_ms + self.heartbeat_ms {
                    self.ping = self.ping.wrapping_add(1);
                    Control::Ping(self.ping).encode(out);
                } else {
                    return false;
                }
            }
        }
        self.sent_ms = now_ms;
        true
    }

    /// When something is due next, unless something comes before.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Out => None,
            State::Joining => Some(self.join_at_ms),
            State::In if self.pong.is_some() => Some(0),
            State::In => {
                let silent_at = self.heard_ms + SILENT_HEARTBEATS * self.heartbeat_ms;
                Some(silent_at.min(self.sent_ms + self.heartbeat_ms))
            }
        }
    }
}
