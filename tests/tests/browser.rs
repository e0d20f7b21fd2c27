//! The web console in Chromium. What each scenario does is in `tests/node/console_scenarios.mjs`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use trefoil_tests::{Hub, node};

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
fn hostile_messages() {
    node("console_scenarios", "hostileMessages", &Hub::start());
}
