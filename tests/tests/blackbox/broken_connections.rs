//! Tens of thousands of broken connections: nothing of them is left. `cargo xtask broken` does the same with a million.

use trefoil_tests::broken::Breakage;
use trefoil_tests::{Bystander, CONFIG, Hub};

/// Connections to begin with, so that the hub has the memory that a full house takes.
const WARM_UP: u64 = 5_000;
const COUNT: u64 = 30_000;

#[test]
fn nothing_is_left_of_broken_connections() {
    let hub = Hub::with_config(&format!("{CONFIG}\n[limits]\nsession_expiry_s_max = 1\n"));
    let before = hub.at_rest();
    let bystander = Bystander::start(&hub);
    let breakage = Breakage::default();
    breakage.make(hub.tcp_port(), WARM_UP, 1);
    bystander.still_served();
    let warm = hub.resident_bytes();
    breakage.make(hub.tcp_port(), COUNT, 2);
    bystander.unharmed();
    let after = hub.at_rest();
    assert_eq!(after.sessions, before.sessions, "{after:?}");
    assert!(after.descriptors <= before.descriptors, "{before:?}, {after:?}");
    assert!(after.resident_bytes < warm + (16 << 20), "from {warm} bytes to {after:?}");
    assert!(after.protocol_errors > COUNT / 10, "{after:?}");
}
