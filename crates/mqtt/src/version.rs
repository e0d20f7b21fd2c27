//! The three protocol versions and the three qualities of service.

/// A version of the protocol; the number is the protocol level that CONNECT carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`.
    V3_1 = 3,
    /// MQTT 3.1.1.
    V3_1_1 = 4,
    /// MQTT 5.0.
    #[default]
    V5 = 5,
}

impl Version {
    /// Whether packets carry properties and reason codes.
    pub const fn is_v5(self) -> bool {
        matches!(self, Version::V5)
    }
}

/// Quality of service: how hard the two ends try to deliver a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: sent once, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: resent until acknowledged, so it may come twice.
    AtLeastOnce = 1,
    /// QoS 2: handed over by four packets, so it comes exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The quality of service that two bits stand for; `None` for anything above 2.
    pub const fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_has_three_values() {
        assert_eq!(QoS::from_bits(0), Some(QoS::AtMostOnce));
        assert_eq!(QoS::from_bits(1), Some(QoS::AtLeastOnce));
        assert_eq!(QoS::from_bits(2), Some(QoS::ExactlyOnce));
        assert!((3..=255).all(|bits| QoS::from_bits(bits).is_none()));
    }

    #[test]
    fn versions_are_ordered_by_level() {
        assert!(Version::V3_1 < Version::V3_1_1 && Version::V3_1_1 < Version::V5);
        assert!(Version::V5.is_v5() && !Version::V3_1_1.is_v5());
    }
}
