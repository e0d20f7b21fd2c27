//! Black-box tests: the built binary, and clients that are not ours. One module for each subject.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_json;
mod bad_mqtt;
mod bad_websocket;
mod cli;
mod configuration;
mod extensions;
mod flood;
mod http;
mod matrix;
mod mosquitto;
mod netcat;
mod node;
mod one_port;
mod python;
mod retained;
mod schema;
mod shared_subscriptions;
mod smart_home;
mod smart_manufacturing;
mod stopping;
