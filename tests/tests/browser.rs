//! The web console and the pages of the examples in Chromium. What each scenario does is in `tests/node`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use trefoil_tests::{CONFIG, Example, Hub, node, node_on_page, node_on_page_of};

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
fn who_is_on_a_topic() {
    node("console_scenarios", "whoIsOnATopic", &Hub::start());
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
fn client_by_one_script_line() {
    node("client_scenarios", "scriptTag", &Hub::start());
}

#[test]
fn client_by_import() {
    node("client_scenarios", "moduleImport", &Hub::start());
}

#[test]
fn client_without_a_websocket() {
    node("client_scenarios", "fallbacks", &Hub::start());
}

#[test]
fn channel_with_event_source() {
    node("channel_scenarios", "pageWithEventSource", &Hub::start());
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

#[test]
fn dashboard_gauges_move() {
    on_page("device-dashboard", "", "gaugesMove");
}

#[test]
fn dashboard_switch_goes_back_to_the_device() {
    on_page("device-dashboard", "", "aSwitchGoesBack");
}

#[test]
fn dashboard_shows_a_sensor_that_dies() {
    on_page("device-dashboard", "", "aSensorDies");
}

/// Runs a scenario on the page of an example, at a hub that remembers its messages.
fn remembered(filter: &str, example: &str, arguments: &str, scenario: &str) {
    let hub = Hub::with_config(&format!("{CONFIG}\n[[history]]\nfilter = \"{filter}\"\nmessages = 200\n"));
    let running = Example::start(example, &hub, arguments);
    node_on_page(&format!("{}_scenarios", example.replace('-', "_")), scenario, &hub, &running);
}

#[test]
fn market_shows_a_thousand_symbols() {
    let arguments = "--seed 7 --symbols 1000 --changes 2000";
    remembered("market/+/price", "market-quotes", arguments, "aThousandSymbols");
}

#[test]
fn market_shows_the_latest_to_a_slow_page() {
    let arguments = "--seed 7 --symbols 20 --changes 100";
    remembered("market/+/price", "market-quotes", arguments, "theLatestToASlowPage");
}

#[test]
fn news_come_to_a_thousand_readers_and_stay() {
    remembered("news/#", "news-push", "--readers 1000", "oneForAThousand");
}

#[test]
fn news_are_written_elsewhere_too() {
    remembered("news/#", "news-push", "--readers 3", "writtenElsewhere");
}

#[test]
fn chat_of_two_people_in_two_windows() {
    remembered("chat/+/said", "chat", "", "twoPeopleTalk");
}

#[test]
fn chat_with_an_mqtt_client() {
    remembered("chat/+/said", "chat", "", "anMqttClientComesIn");
}

/// Runs a scenario of the talk at a hub that remembers what was said, and what went over the doorman's connection.
fn talk(scenario: &str) {
    let histories = ["talk", "talk-wire/line"]
        .map(|filter| format!("[[history]]\nfilter = \"{filter}\"\nmessages = 200\n"));
    let hub = Hub::with_config(&format!("{CONFIG}\n{}", histories.concat()));
    let running = Example::start("talk", &hub, "");
    node_on_page("talk_scenarios", scenario, &hub, &running);
}

#[test]
fn netcat_a_browser_and_an_mqtt_client_talk() {
    talk("threeTalk");
}

#[test]
fn talk_shows_what_goes_over_a_plain_connection() {
    talk("whatGoesOverTheWire");
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

/// Runs a scenario on the page of an example that has a hub of its own.
fn alone(example: &str, arguments: &str, scenario: &str) {
    let mut running = Example::start_alone(example, arguments);
    node_on_page_of(&format!("{}_scenarios", example.replace('-', "_")), scenario, &mut running);
    running.stop().success();
}

#[test]
fn legacy_devices_move_on_a_map_and_in_charts() {
    alone("legacy-devices", "", "mapAndCharts");
}

#[test]
fn legacy_devices_take_commands() {
    alone("legacy-devices", "", "commandsGoBack");
}

#[test]
fn legacy_devices_come_and_go() {
    alone("legacy-devices", "", "cablesArePulled");
}

#[test]
fn pong_is_watched_while_datagrams_get_lost() {
    alone("pong", "", "watchAGame");
}

#[test]
fn pong_lends_its_paddles() {
    alone("pong", "", "takeAPaddle");
}

#[test]
fn a_file_goes_on_after_a_cut() {
    let trefoil = format!("--trefoil {} --mib 12 --rate 2", trefoil_tests::binary().display());
    alone("file-drop", &trefoil, "cutInTheMiddle");
}

#[test]
fn a_page_comes_through_a_stream() {
    alone("behind-nat", "", "openThePage");
}
