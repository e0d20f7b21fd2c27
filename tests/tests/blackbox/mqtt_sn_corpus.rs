//! Broken datagrams of every MQTT-SN packet type: whatever comes, other devices are served.

use trefoil_tests::mqtt_sn::{Device, kind};
use trefoil_tests::{Bystander, CONFIG, DEVICES, Hub, wait_until};

/// Datagrams between two looks at whether all is well; few enough for the buffers of sockets.
const BUNCH: usize = 20;

/// Every type of packet, with what it may have, and a type that does not exist.
const RIGHT: [(u8, &[u8]); 28] = [
    (kind::ADVERTISE, &[1, 0, 60]),
    (kind::SEARCHGW, &[1]),
    (kind::GWINFO, &[1, 127, 0, 0, 1]),
    (kind::CONNECT, b"\x04\x01\0\x02mark"),
    (kind::CONNECT, b"\x0c\x01\0\x02will"),
    (kind::CONNACK, &[0]),
    (kind::WILLTOPICREQ, &[]),
    (kind::WILLTOPIC, b"\x30mark/will"),
    (kind::WILLMSGREQ, &[]),
    (kind::WILLMSG, b"mark"),
    (kind::REGISTER, b"\0\0\0\x07mark/1"),
    (kind::REGACK, &[0, 1, 0, 7, 0]),
    (kind::PUBLISH, b"\x21mk\0\x08payload"),
    (kind::PUBLISH, b"\x52mk\0\x09payload"),
    (kind::PUBACK, &[0, 1, 0, 8, 0]),
    (kind::PUBREC, &[0, 9]),
    (kind::PUBREL, &[0, 9]),
    (kind::PUBCOMP, &[0, 9]),
    (kind::SUBSCRIBE, b"\x20\0\x0amark/#"),
    (kind::SUBACK, &[0x20, 0, 1, 0, 10, 0]),
    (kind::UNSUBSCRIBE, b"\x20\0\x0bmark/#"),
    (kind::PINGREQ, b"mark"),
    (kind::PINGRESP, &[]),
    (kind::DISCONNECT, &[0, 1]),
    (kind::WILLTOPICUPD, b"\x30mark/other"),
    (kind::WILLMSGUPD, b"other"),
    // A packet in another one, as forwarders send them.
    (0xFE, b"\x01node\x02\x16"),
    (0x42, b"nothing"),
];

fn mutants(kind: u8, body: &[u8]) -> Vec<Vec<u8>> {
    let right = [&[body.len() as u8 + 2, kind], body].concat();
    let mut all = vec![right.clone(), Vec::new()];
    for length in 0..right.len() {
        all.push(right[..length].to_vec());
        let mut cut = right[..length].to_vec();
        if let Some(first) = cut.first_mut() {
            *first = length as u8;
        }
        all.push(cut);
    }
    for place in 0..right.len() {
        for change in (0..8).map(|bit| right[place] ^ 1 << bit).chain([0x00, 0x01, 0x7F, 0x80, 0xFF]) {
            let mut changed = right.clone();
            changed[place] = change;
            all.push(changed);
        }
    }
    for more in [1, 2, 200] {
        all.push([&right[..], &vec![0; more]].concat());
        all.push([&[right[0].wrapping_add(more as u8)], &right[1..]].concat());
    }
    // Lengths of three bytes: right ones, ones that lie, and ones that end in the middle.
    for length in [right.len() + 2, right.len() + 3, 3, 0, 65_535] {
        let [high, low] = (length as u16).to_be_bytes();
        all.push([&[1, high, low], &right[1..]].concat());
        all.push(vec![1, high]);
    }
    all
}

#[test]
fn broken_datagrams_of_mqtt_sn() {
    let hub = Hub::with_config(&format!("{CONFIG}{DEVICES}\n[limits]\nsession_expiry_s_max = 1\n"));
    let bystander = Bystander::start(&hub);
    let port = hub.port_of("mqtt-sn");
    let good = Device::connected(port, "good");
    good.subscribe("good/#", 1);
    wait_until("its session is counted", || hub.stat("sessions") == 3);

    let mut offenders = Vec::new();
    let mut count = 0;
    for (number, (kind, body)) in RIGHT.into_iter().enumerate() {
        // One who is connected, and one whom nobody knows.
        let known = Device::connected(port, &format!("broken-{number}"));
        let stranger = Device::new(port);
        for some in mutants(kind, body).chunks(BUNCH) {
            for datagram in some {
                known.offer(datagram);
                stranger.offer(datagram);
                count += 2;
            }
            good.expect_nothing();
            // What comes back is well-formed, or this fails.
            for offender in [&known, &stranger] {
                while offender.try_receive_now().is_some() {}
            }
        }
        offenders.extend([known, stranger]);
    }
    assert!(count > 5000, "{count}");
    Device::new(port).expect_gateway();
    offenders.iter().for_each(|offender| offender.send(kind::DISCONNECT, &[]));
    // Some have become clients that sleep for hours, or whose keep-alive is as long: at most one for each address.
    let most = 3 + offenders.len() as u64;
    wait_until("their sessions have ended", || hub.stat("sessions") <= most);
    good.expect_nothing();
    bystander.unharmed();
}
