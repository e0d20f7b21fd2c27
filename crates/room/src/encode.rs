//! Packets to bytes.

use crate::packet::{ANSWER, CONTROL, Control, DATA, DIRECT, Data, JOIN, Join, NEWEST, Packet, VERSION};

impl Packet<'_> {
    /// Appends the packet. A JOIN is not padded: see [`Join::encode_padded`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Packet::Join(join) => join.encode_padded(0, out),
            Packet::Challenge { nonce, cookie } => {
                answer(0, nonce, out);
                out.extend_from_slice(&cookie);
            }
            Packet::Welcome { nonce, welcome } => {
                answer(1, nonce, out);
                for number in [welcome.peer, welcome.peers, welcome.heartbeat_s, welcome.payload_bytes_max] {
                    out.extend_from_slice(&number.to_be_bytes());
                }
                out.extend_from_slice(welcome.others);
            }
            Packet::Refused { nonce, refusal, text } => {
                answer(2, nonce, out);
                out.push(refusal.code());
                out.extend_from_slice(text.as_bytes());
            }
            Packet::Data(data) => data.encode(out),
            Packet::Control(control) => control.encode(out),
        }
    }
}

fn answer(kind: u8, nonce: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[ANSWER, kind]);
    out.extend_from_slice(&nonce.to_be_bytes());
}

impl Join<'_> {
    /// Appends it, and zeros until the datagram has `bytes_min` bytes. The hub says no more than was asked with, so that
    /// there has to be room for the reason of a refusal.
    ///
    /// # Panics
    /// When the name is longer than 255 bytes or the token longer than 65,535, which none is.
    pub fn encode_padded(&self, bytes_min: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[JOIN, VERSION]);
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.cookie);
        out.push(u8::try_from(self.room.len()).expect("names are bounded"));
        out.extend_from_slice(self.room.as_bytes());
        let token_len = u16::try_from(self.token.len()).expect("tokens are bounded");
        out.extend_from_slice(&token_len.to_be_bytes());
        out.extend_from_slice(self.token);
        if out.len() - start < bytes_min {
            out.resize(start + bytes_min, 0);
        }
    }
}

impl Data<'_> {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.newest { NEWEST } else { 0 } | if self.direct { DIRECT } else { 0 };
        out.extend_from_slice(&[DATA, flags]);
        out.extend_from_slice(&self.peer.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

impl Control {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, number: u32| {
            out.extend_from_slice(&[CONTROL, kind]);
            out.extend_from_slice(&number.to_be_bytes());
        };
        let pair = |peer: u16, peers: u16| u32::from(peer) << 16 | u32::from(peers);
        match *self {
            Control::Reset(number) => put(0, number),
            Control::Ping(number) => put(1, number),
            Control::Pong(number) => put(2, number),
            Control::Leave(nonce) => put(3, nonce),
            Control::Joined { peer, peers } => put(4, pair(peer, peers)),
            Control::Left { peer, peers, why } => {
                put(5, pair(peer, peers));
                out.push(why.code());
            }
            Control::Gone { nonce, why } => {
                put(6, nonce);
                out.push(why.code());
            }
        }
    }
}
