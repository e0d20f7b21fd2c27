//! MQTT.js over TCP and WebSocket. What each scenario does is in `tests/node/mqttjs_scenarios.mjs`.

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
