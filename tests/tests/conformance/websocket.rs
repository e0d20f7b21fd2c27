//! MQTT over WebSocket: chapter 6.
