//! Time as the hub has it, for tests that wait until something is over.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::{Connect, Connection, Will};

/// Waits until so many seconds have passed for the hub: until a will with that delay comes.
pub(crate) fn pass(hub: &Hub, seconds: u32) {
    let mut watcher = Connection::new(hub.tcp_port(), 5, "clock-watcher");
    watcher.subscribe("clock", 0);
    let connect = Connect::new(5, "clock").session_expiry_s(seconds + 60);
    let connect = connect.will(Will::new("clock", "").delay_s(seconds));
    Connection::with(hub.tcp_port(), &connect).0.break_off();
    watcher.receive_publish();
}
