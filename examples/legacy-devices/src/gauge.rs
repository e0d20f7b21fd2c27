//! The frames of a gauge: eight bytes, of which the first two are a start mark and the last is a checksum.

use serde_json::{Value, json};

pub(crate) const FRAME_BYTES: usize = 8;
const START: [u8; 2] = [0xAA, 0x55];
const LIGHT: u8 = 1;

/// What a gauge knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// How high the water is, in millimetres.
    pub(crate) level: u16,
    pub(crate) light: bool,
    /// Frames sent, modulo 256.
    pub(crate) count: u8,
}

impl State {
    /// The frame that tells it.
    pub(crate) fn frame(&self) -> [u8; FRAME_BYTES] {
        let [high, low] = self.level.to_be_bytes();
        sealed([high, low, u8::from(self.light), self.count, 0])
    }

    /// Reads such a frame, if its checksum is right.
    pub(crate) fn read(frame: &[u8]) -> Option<State> {
        let [high, low, light, count, _] = opened(frame)?;
        Some(State { level: u16::from_be_bytes([high, low]), light: light == LIGHT, count })
    }

    /// The same in words.
    pub(crate) fn json(&self) -> Value {
        json!({ "metres": f64::from(self.level) / 1000.0, "light": self.light, "count": self.count })
    }
}

/// The frame that switches the light.
pub(crate) fn switch_light(on: bool) -> [u8; FRAME_BYTES] {
    sealed([b'L', u8::from(on), 0, 0, 0])
}

/// Reads such a frame.
pub(crate) fn read_switch(frame: &[u8]) -> Option<bool> {
    match opened(frame)? {
        [b'L', on, ..] => Some(on == LIGHT),
        _ => None,
    }
}

fn sealed([a, b, c, d, e]: [u8; 5]) -> [u8; FRAME_BYTES] {
    [START[0], START[1], a, b, c, d, e, a ^ b ^ c ^ d ^ e]
}

fn opened(frame: &[u8]) -> Option<[u8; 5]> {
    let inner: [u8; 5] = frame.strip_prefix(&START)?.get(..5)?.try_into().ok()?;
    (sealed(inner) == frame).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_and_broken_ones_are_not() {
        let state = State { level: 0xAA55, light: true, count: 7 };
        assert_eq!(State::read(&state.frame()), Some(state));
        assert_eq!(read_switch(&switch_light(true)), Some(true));
        assert_eq!(read_switch(&switch_light(false)), Some(false));
        assert_eq!(read_switch(&State::default().frame()), None);
        for at in 0..FRAME_BYTES {
            let mut broken = state.frame();
            broken[at] ^= 4;
            assert_eq!(State::read(&broken), None);
        }
        assert_eq!(State::read(&state.frame()[..7]), None);
    }
}
