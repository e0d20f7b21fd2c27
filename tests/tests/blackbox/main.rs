//! Black-box tests: the built binary, and clients that are not ours. One module for each subject.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_json;
mod bad_mqtt;
mod bad_websocket;
mod broken_connections;
mod chaos;
mod cli;
mod configuration;
mod corpus;
mod crash;
mod extensions;
mod flood;
mod history;
mod history_seam;
mod http;
mod matrix;
mod memory;
mod mosquitto;
mod mqtt_sn;
mod mqtt_sn_addresses;
mod mqtt_sn_cli;
mod mqtt_sn_corpus;
mod mqtt_sn_limits;
mod mqtt_sn_resends;
mod mqtt_sn_sleep;
mod mqtt_sn_will;
mod netcat;
mod node;
mod one_port;
mod python;
mod retained;
mod schema;
mod shared_subscriptions;
mod slow_readers;
mod smart_home;
mod smart_manufacturing;
mod smart_transport;
mod soak;
mod stopping;
mod store;
mod store_full;
mod systemd;
mod upgrade;
mod users;
