//! The JSON protocol of WebSocket text frames, TCP lines and UDP datagrams.
