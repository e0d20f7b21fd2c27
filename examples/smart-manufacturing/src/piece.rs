//! A piece, as a machine reports it.

use serde::{Deserialize, Serialize};

/// What it should measure.
pub(crate) const NOMINAL_MM: f64 = 20.0;
/// How far off it may be.
pub(crate) const TOLERANCE_MM: f64 = 0.05;

/// The report of one piece.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Counted by its machine from 1, without a gap.
    pub(crate) n: u64,
    /// Its measure.
    pub(crate) mm: f64,
}

impl Piece {
    pub(crate) fn is_good(&self) -> bool {
        // In thousandths, which is what is measured: 20.05 - 20 is a little more than 0.05 in binary.
        let thousandths = |mm: f64| (mm * 1000.0).round();
        thousandths(self.mm - NOMINAL_MM).abs() <= thousandths(TOLERANCE_MM)
    }

    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers always have a JSON text")
    }
}

/// The machine that a topic `plant/MACHINE/pieces` belongs to.
pub(crate) fn machine_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("plant/")?.strip_suffix("/pieces")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_good_within_its_tolerance() {
        for (payload, good) in [
            (r#"{"n":1,"mm":20.05}"#, Some(true)),
            (r#"{"n":1,"mm":20.06}"#, Some(false)),
            (r#"{"n":1,"mm":19.9}"#, Some(false)),
            (r#"{"n":-1,"mm":20}"#, None),
            ("20.0", None),
        ] {
            assert_eq!(Piece::parse(payload.as_bytes()).map(|piece| piece.is_good()), good, "{payload}");
        }
    }

    #[test]
    fn topics_name_machines() {
        assert_eq!(machine_of("plant/press-1/pieces"), Some("press-1"));
        assert_eq!(machine_of("plant/press-1/request"), None);
    }
}
