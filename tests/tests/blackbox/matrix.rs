//! The cross matrix: 1,000 messages from every kind of publisher to every kind of subscriber, bytes, text and JSON,
//! in order, none lost, none twice. `tests/python/matrix.py` has both ends.

use trefoil_tests::{Hub, python};

macro_rules! from {
    ($($publisher:ident)*) => {
        $(#[test]
        fn $publisher() {
            python("matrix", stringify!($publisher), &Hub::start());
        })*
    };
}

from! { from_mqtt311 from_mqtt5 from_mqtt_ws from_json_ws from_json_lines from_json_datagrams from_http }
