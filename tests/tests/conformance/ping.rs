//! PINGREQ and PINGRESP: sections 3.12 and 3.13.

use trefoil_tests::Hub;
use trefoil_tests::mqtt::{Connection, VERSIONS, packet};

/// [MQTT-3.12.4-1] [v3 MQTT-3.12.4-1] Each PINGREQ gets a PINGRESP, which is nothing but that.
#[test]
fn every_ping_is_answered() {
    let hub = Hub::start();
    for version in VERSIONS {
        let mut client = Connection::new(hub.tcp_port(), version, "client");
        client.send(&[0xC0, 0].repeat(100));
        for _ in 0..100 {
            assert_eq!(client.receive().bytes(), [0xD0, 0]);
        }
    }
}

/// PINGREQ has neither flags nor a body, and PINGRESP comes from servers.
#[test]
fn a_ping_that_is_none_ends_the_connection() {
    let hub = Hub::start();
    for version in VERSIONS {
        let cases = (1..16).map(|flags| (packet(0xC0 | flags, &[]), 0x81));
        for (bytes, reason) in cases.chain([(packet(0xC0, &[0]), 0x81), (packet(0xD0, &[]), 0x82)]) {
            let mut client = Connection::new(hub.tcp_port(), version, "client");
            client.offer(&bytes);
            client.expect_end(reason);
        }
    }
}
