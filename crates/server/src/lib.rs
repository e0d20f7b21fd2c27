//! Shards and their loop, listeners and protocols on sockets; beside them HTTP API, console and metrics.
