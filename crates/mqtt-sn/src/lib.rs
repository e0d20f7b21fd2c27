//! MQTT-SN 1.2 packets: decode and encode, nothing else.
