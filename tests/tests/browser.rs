//! The web console and the pages of the examples in Chromium. What each scenario does is in `tests/node`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use trefoil_tests::{CONFIG, Example, Hub, node, node_on_page};

#[test]
fn figures_and_topic_tree() {
    node("console_scenarios", "figuresAndTopicTree", &Hub::start());
}

#[test]
fn publish_and_subscribe_panel() {
    node("console_scenarios", "publishAndSubscribePanel", &Hub::start());
}

#[test]
fn light_and_dark() {
    node("console_scenarios", "lightAndDark", &Hub::start());
}

#[test]
fn store_and_sessions() {
    node("console_scenarios", "storeAndSessions", &Hub::start());
}

#[test]
fn history_of_a_topic() {
    let config = format!("{CONFIG}\n[[history]]\nfilter = \"kept/#\"\nmessages = 500\n");
    node("console_scenarios", "historyOfATopic", &Hub::with_config(&config));
}

#[test]
fn playground() {
    node("console_scenarios", "playground", &Hub::start());
}

#[test]
fn bans_and_users() {
    node("console_scenarios", "bansAndUsers", &Hub::with_users(&[("admin", "secret")], ""));
}

#[test]
fn hostile_messages() {
    node("console_scenarios", "hostileMessages", &Hub::start());
}

#[test]
fn compressed_messages_in_a_page() {
    node("ws_scenarios", "inAPage", &Hub::start());
}

/// Runs a scenario on the page of an example.
fn on_page(example: &str, arguments: &str, scenario: &str) {
    let hub = Hub::start();
    let running = Example::start(example, &hub, arguments);
    node_on_page(&format!("{}_scenarios", example.replace('-', "_")), scenario, &hub, &running);
}

#[test]
fn telemetry_charts_move() {
    on_page("telemetry", "--host here", "chartsMove");
}

#[test]
fn telemetry_of_another_machine_appears() {
    on_page("telemetry", "--host here", "anotherMachineAppears");
}

#[test]
fn home_shows_a_scene_from_outside() {
    on_page("smart-home", "--still", "sceneFromOutside");
}

#[test]
fn home_takes_a_scene_from_a_telephone() {
    on_page("smart-home", "--still", "sceneFromATelephone");
}

#[test]
fn home_switches_and_sliders() {
    on_page("smart-home", "--still", "switchesAndSliders");
}

#[test]
fn home_shows_a_device_that_dies() {
    on_page("smart-home", "--still", "deviceDies");
}

#[test]
fn home_shows_a_killed_device_of_somebody_else() {
    on_page("smart-home", "--still", "outsiderDies");
}

/// Slow enough for a busy machine, and without what happens by chance.
const PLANT: &str = "--machines 3 --speed 200 --workers 3 --quiet";

#[test]
fn plant_shows_its_machines() {
    on_page("smart-manufacturing", PLANT, "machinesAndFigures");
}

#[test]
fn plant_shows_workers_that_come_and_go() {
    on_page("smart-manufacturing", PLANT, "workersComeAndGo");
}

#[test]
fn plant_shows_alarms_while_they_stand() {
    on_page("smart-manufacturing", PLANT, "alarmsStandAndExpire");
}

#[test]
fn plant_machines_answer_the_page() {
    on_page("smart-manufacturing", PLANT, "machinesAnswer");
}

/// A network that does nothing by itself.
const CITY: &str = "--vehicles 4 --devices 2 --every-ms 200 --loss 0 --delay-ms 0 --jitter-ms 0 --cut-every-s 0 \
                    --stall-every-s 0 --tunnel-every-s 0 --order-every-ms 0";

/// Runs a scenario in a city with devices at its stops.
fn in_the_city(scenario: &str) {
    let hub = Hub::start_with_devices();
    let arguments = format!("{CITY} --mqtt-sn 127.0.0.1:{}", hub.port_of("mqtt-sn"));
    let running = Example::start("smart-transport", &hub, &arguments);
    node_on_page("smart_transport_scenarios", scenario, &hub, &running);
}

#[test]
fn city_shows_a_vehicle_that_loses_contact_and_misses_nothing() {
    in_the_city("throughATunnel");
}

#[test]
fn city_shows_its_network_and_its_stops() {
    in_the_city("networkAndStops");
}
