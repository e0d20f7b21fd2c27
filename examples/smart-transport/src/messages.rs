//! What is said over the hub: topics and payloads.
//!
//! | topic | QoS | says |
//! | --- | --- | --- |
//! | `transport/vehicles/NAME/position` | 1 | a [`Position`], numbered from 1 |
//! | `transport/vehicles/NAME/contact` | 1, retained | `in contact`, `out of contact` (the will), `out of service` |
//! | `transport/vehicles/NAME/order` | 2 | an [`Order`] of the centre |
//! | `transport/vehicles/NAME/done` | 2 | [`Done`]: the vehicle confirms it |
//! | `transport/stops/NAME/board` | 1 | a [`Notice`] of the centre for a board, numbered |
//! | `transport/stops/NAME/ticket` | 1 | a [`Ticket`] that was sold there, numbered |
//! | `transport/centre/order` | 1 | an [`Errand`]: the centre is to order this |
//! | `transport/centre/tunnel` | 1 | a [`Tunnel`]: the vehicle's link is cut for some seconds |
//! | `transport/centre/link` | 1 | fields of [`Quality`](crate::link::Quality) that are to change |
//! | `transport/state` | 0 | what the centre and the vehicles have counted, for the page |

use serde::{Deserialize, Serialize};

pub(crate) const ROOT: &str = "transport";
pub(crate) const IN_CONTACT: &str = "in contact";
pub(crate) const OUT_OF_CONTACT: &str = "out of contact";
pub(crate) const OUT_OF_SERVICE: &str = "out of service";

/// Where a vehicle is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) n: u64,
    pub(crate) line: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// The stop at which it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
}

/// What a vehicle can be told. To do any of them twice is wrong, and turning back twice is noticed by everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Doing {
    #[serde(rename = "hold at next stop")]
    Hold,
    #[serde(rename = "open doors")]
    OpenDoors,
    #[serde(rename = "turn back")]
    TurnBack,
}

impl Doing {
    pub(crate) const ALL: [Doing; 3] = [Doing::Hold, Doing::OpenDoors, Doing::TurnBack];
}

/// What the centre orders, numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    #[serde(rename = "do")]
    pub(crate) doing: Doing,
}

/// A vehicle has carried out an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) id: u64,
    /// How often by now.
    pub(crate) times: u32,
}

/// What a board is to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) n: u64,
    pub(crate) text: String,
}

/// A ticket was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) n: u64,
}

/// What somebody wants ordered.
#[derive(Debug, Deserialize)]
pub(crate) struct Errand {
    pub(crate) vehicle: String,
    #[serde(rename = "do")]
    pub(crate) doing: Doing,
}

/// Which link somebody wants cut.
#[derive(Debug, Deserialize)]
pub(crate) struct Tunnel {
    pub(crate) vehicle: String,
    pub(crate) s: f64,
}

/// `transport/vehicles/NAME/WHAT`
pub(crate) fn topic(vehicle: &str, what: &str) -> String {
    format!("{ROOT}/vehicles/{vehicle}/{what}")
}

/// `transport/stops/NAME/WHAT`
pub(crate) fn stop_topic(stop: &str, what: &str) -> String {
    format!("{ROOT}/stops/{stop}/{what}")
}

/// JSON of what is known to have one.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("no type of this module fails to serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_as_documented() {
        let order = Order { id: 7, doing: Doing::Hold };
        assert_eq!(json(&order), br#"{"id":7,"do":"hold at next stop"}"#);
        let errand: Errand =
            serde_json::from_str(r#"{"vehicle":"bus-1","do":"turn back"}"#).expect("as documented");
        assert_eq!((errand.vehicle.as_str(), errand.doing), ("bus-1", Doing::TurnBack));
        assert_eq!(topic("tram-2", "done"), "transport/vehicles/tram-2/done");
    }
}
