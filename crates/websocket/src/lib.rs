//! RFC 6455: WebSocket framing and handshake, without sockets.
