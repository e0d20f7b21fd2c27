//! Streams between clients that are not ours. What each scenario does is in the file of its name under `tests/python` or
//! `tests/node`.

use trefoil_tests::{Hub, node, python};

#[test]
fn python_websocket_and_socket() {
    python("streams_scenarios", "websocket_and_socket", &Hub::start());
}

#[test]
fn python_asyncio_at_both_ends() {
    python("streams_scenarios", "asyncio_at_both_ends", &Hub::start());
}

#[test]
fn node_ws_and_socket() {
    node("streams_scenarios", "wsAndSocket", &Hub::start());
}
