//! CONNACK: section 3.2.
