//! What a scene asks of each device.

use serde::Serialize;

/// How the whole home is to be. In topics and states it goes by its name in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scene {
    Morning,
    Movie,
    Night,
    Off,
}

impl Scene {
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        match payload {
            b"morning" => Some(Self::Morning),
            b"movie" => Some(Self::Movie),
            b"night" => Some(Self::Night),
            b"off" => Some(Self::Off),
            _ => None,
        }
    }

    /// How bright a lamp is to be, in percent.
    pub(crate) fn brightness(self, place: &str) -> u8 {
        match (self, place) {
            (Self::Morning, "kitchen/ceiling-lamp" | "bathroom/mirror-lamp") => 100,
            (Self::Morning, "bedroom/bedside-lamp") => 40,
            (Self::Movie, "living-room/floor-lamp") => 15,
            (Self::Movie, "hall/ceiling-lamp") => 20,
            (Self::Night, "hall/ceiling-lamp") => 5,
            _ => 0,
        }
    }

    /// How far a blind is to be open, in percent.
    pub(crate) fn position(self, place: &str) -> Option<u8> {
        match (self, place) {
            (Self::Morning, _) => Some(100),
            (Self::Night, _) | (Self::Movie, "living-room/blind") => Some(0),
            _ => None,
        }
    }

    /// How warm it is to be, in degrees Celsius.
    pub(crate) fn target(self, place: &str) -> Option<f64> {
        match (self, place) {
            (Self::Morning, _) => Some(21.0),
            (Self::Movie, "living-room/heating") => Some(21.5),
            (Self::Movie, _) => None,
            (Self::Night, _) => Some(17.0),
            (Self::Off, _) => Some(16.0),
        }
    }
}
