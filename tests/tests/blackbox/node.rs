//! MQTT.js over TCP and WebSocket, `ws`, and a channel with fetch. What each scenario does is in the file of its name in
//! `tests/node`.

use trefoil_tests::{CONFIG, Hub, node};

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

#[test]
fn ws_compressed_in_every_way() {
    let config = format!("{CONFIG}\n[websocket]\ncontexts_max = 1000\ncompression_bytes_min = 0\n");
    node("ws_scenarios", "compressedInEveryWay", &Hub::with_config(&config));
}

#[test]
fn ws_without_contexts() {
    node("ws_scenarios", "withoutContexts", &Hub::start());
}

#[test]
fn ws_goodbyes() {
    node("ws_scenarios", "goodbyes", &Hub::start());
}

#[test]
fn mqtt_js_compressed() {
    let config = format!("{CONFIG}\n[websocket]\nmqtt_compression = true\n");
    node("ws_scenarios", "mqttCompressed", &Hub::with_config(&config));
}
