//! MQTT.js over TCP and WebSocket, and a channel with fetch. What each scenario does is in `tests/node`.

use trefoil_tests::{Hub, node};

#[test]
fn every_qos_and_version() {
    node("mqttjs_scenarios", "everyQosAndVersion", &Hub::start());
}

#[test]
fn persistent_session() {
    node("mqttjs_scenarios", "persistentSession", &Hub::start());
}

#[test]
fn will() {
    node("mqttjs_scenarios", "will", &Hub::start());
}

#[test]
fn properties_and_aliases() {
    node("mqttjs_scenarios", "propertiesAndAliases", &Hub::start());
}

#[test]
fn retained_and_shared() {
    node("mqttjs_scenarios", "retainedAndShared", &Hub::start());
}

#[test]
fn channel_with_fetch_only() {
    node("channel_scenarios", "fetchOnly", &Hub::start());
}
