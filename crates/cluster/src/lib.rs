//! Nodes over NATS: topics as NATS subjects and back.
