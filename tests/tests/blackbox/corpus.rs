//! The corpus of broken packets through the real hub: every one has to end as the specification says, with its reason
//! code and its will, and nobody else may notice.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use trefoil_tests::corpus::{Case, End, Outcome, Terms, cases, connects, judge};
use trefoil_tests::mqtt::{self, Connect, Will};
use trefoil_tests::{Bystander, CONFIG, Exchange, Hub, connect, wait_until};

const TERMS: Terms = Terms { topic_alias_max: 64, packet_bytes_max: 100_000 };

/// Behind each case: whoever still listens answers the one and takes the other for the end.
const AFTERWARDS: [u8; 4] = [0xC0, 0, 0xE0, 0];

/// Connections at a time.
const BATCH: usize = 100;

/// Clients that mark the end of the wills: so many that each shard has some.
const MARKERS: usize = 16;

fn hub() -> Hub {
    let limits = format!(
        "[limits]\npacket_bytes_max = {}\ntopic_alias_max = {}\nsession_expiry_s_max = 1\n",
        TERMS.packet_bytes_max, TERMS.topic_alias_max
    );
    Hub::with_config(&format!("{CONFIG}\n{limits}"))
}

/// What the hub said, cut into packets: first byte and body.
fn packets(mut said: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut all = Vec::new();
    while let Some(&first_byte) = said.first() {
        let head = 2 + said[1..].iter().take_while(|byte| **byte >= 0x80).count();
        let digits = said.get(1..head)?.iter().rev();
        let length = digits.fold(0, |all, byte| all << 7 | usize::from(byte & 0x7F));
        all.push((first_byte, said.get(head..head + length)?));
        said = &said[head + length..];
    }
    Some(all)
}

/// Compares what the hub said to an accepted client with what it should say.
fn check(version: u8, case: &Case, outcome: Outcome, said: &[u8]) -> Result<(), String> {
    let fault = |why: &str| Err(format!("{why}; {outcome:?}, {:02x?}, the hub said {said:02x?}", case.bytes));
    let Some(all) = packets(said) else { return fault("no packets") };
    if all.first().is_none_or(|(first_byte, body)| *first_byte != 0x20 || body[1] != 0) {
        return fault("not accepted");
    }
    let goodbye = all.iter().position(|(first_byte, _)| *first_byte == 0xE0);
    if goodbye.is_some_and(|at| at + 1 < all.len()) {
        return fault("something behind DISCONNECT");
    }
    let pings = all.iter().filter(|(first_byte, _)| *first_byte == 0xD0).count();
    if outcome.end == End::Free {
        return Ok(());
    }
    let reason = goodbye.map(|at| all[at].1.first().copied().unwrap_or(0));
    let is_right = match outcome.end {
        End::Refused(reasons) if version == 5 => reason.is_some_and(|reason| reasons.contains(&reason)),
        _ => reason.is_none(),
    };
    if !is_right {
        return fault("the wrong goodbye");
    }
    if pings == outcome.pings { Ok(()) } else { fault("the wrong number of answers to PINGREQ") }
}

/// Sends all that a client has to say and closes this side, so that the hub has no reason to wait.
fn send(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(port);
    stream.offer(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    stream
}

/// A client on each shard has a will that comes after all wills of the connections before it.
fn mark_end(port: u16) {
    for number in 0..MARKERS {
        let name = format!("marker-{number}");
        let marker = Connect::new(4, &name).will(Will::new("will/end", "").qos(1));
        send(port, &marker.packet()).rest();
    }
}

fn through_the_hub(version: u8) {
    let hub = hub();
    let bystander = Bystander::start(&hub);
    let port = hub.tcp_port();
    let before = (hub.stat("sessions"), hub.metric("trefoil_protocol_errors_total"));
    let mut watcher = mqtt::Connection::new(port, 4, "watcher");
    watcher.subscribe("will/#", 1);

    let cases = cases(version);
    let (mut faults, mut expected, mut refused) = (Vec::new(), BTreeSet::new(), 0);
    // Those of which the specification does not say what becomes of them.
    let mut free = BTreeSet::new();
    let mut wills = BTreeSet::new();
    for (batch, some) in cases.chunks(BATCH).enumerate() {
        let open = some.iter().enumerate().map(|(at, case)| {
            let number = batch * BATCH + at;
            let will = Will::new("will/case", number.to_string()).qos(1);
            let connect = Connect::new(version, format!("case-{number}")).will(will).packet();
            (number, case, send(port, &[&connect, &case.bytes[..], &AFTERWARDS].concat()))
        });
        for (number, case, mut stream) in open.collect::<Vec<_>>() {
            let outcome = judge(version, false, &[&case.bytes[..], &AFTERWARDS].concat(), TERMS);
            if let Err(why) = check(version, case, outcome, &stream.rest()) {
                faults.push(format!("{}: {why}", case.name));
            }
            match outcome.end {
                End::Goodbye { with_will: false } => {}
                End::Free => drop(free.insert(number)),
                _ => drop(expected.insert(number)),
            }
            refused += u64::from(matches!(outcome.end, End::Refused(_)));
        }
        mark_end(port);
        let mut markers = 0;
        while markers < MARKERS {
            let will = watcher.receive_and_ack();
            if will.topic == "will/end" {
                markers += 1;
            } else {
                let number = String::from_utf8(will.payload).unwrap().parse::<usize>().unwrap();
                assert!(wills.insert(number), "the will of {} comes twice", cases[number].name);
            }
        }
    }
    let differ = |a: &BTreeSet<usize>, b: &BTreeSet<usize>| -> Vec<String> {
        a.difference(b)
            .filter(|n| !free.contains(n))
            .map(|n| format!("{}: {:02x?}", cases[*n].name, cases[*n].bytes))
            .collect()
    };
    let (silent, loud) = (differ(&expected, &wills), differ(&wills, &expected));
    assert!(silent.is_empty(), "wills that should have come: {silent:#?}");
    assert!(loud.is_empty(), "wills that should not have come: {loud:#?}");
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), cases.len());

    let counted = hub.metric("trefoil_protocol_errors_total") - before.1;
    let bounds = refused..=refused + free.len() as u64;
    assert!(bounds.contains(&counted), "{counted} protocol errors are counted, {bounds:?} were made");
    drop(watcher);
    wait_until("no session is left", || hub.stat("sessions") == before.0);
    bystander.unharmed();
}

#[test]
fn broken_packets_of_mqtt_5() {
    through_the_hub(5);
}

#[test]
fn broken_packets_of_mqtt_3_1_1() {
    through_the_hub(4);
}

/// What may be said to a CONNECT: it is accepted, or refused with a reason that fits or without a word.
fn check_connect(version: u8, case: &Case, outcome: Outcome, said: &[u8]) -> Result<(), String> {
    let fault = |why: &str| Err(format!("{why}; {outcome:?}, {:02x?}, the hub said {said:02x?}", case.bytes));
    // What is no CONNECT may be another protocol, and is answered in that.
    if outcome.end == End::Free || case.bytes.first() != Some(&0x10) {
        return Ok(());
    }
    let head = 2 + case.bytes[1..].iter().take_while(|byte| **byte >= 0x80).count();
    if case.bytes.get(head..head + 6) != Some(b"\0\x04MQTT") {
        // A port that speaks several protocols does not take that for MQTT. It says so in words.
        let is_refused = !outcome.is_accepted && said.is_ascii();
        return if is_refused { Ok(()) } else { fault("taken for MQTT") };
    }
    if outcome.is_accepted {
        return check(version, case, outcome, said);
    }
    let Some(all) = packets(said) else { return fault("no packets") };
    let code = match all[..] {
        [] => return Ok(()),
        [(0x20, body)] if body.len() > 1 => body[1],
        _ => return fault("neither CONNACK nor silence"),
    };
    let is_right = match outcome.end {
        // Of an unknown version nobody knows the form of the answer.
        End::Refused(reasons) => {
            reasons.contains(&code) || code > 0 && version == 4 || code == 1 && reasons.contains(&0x84)
        }
        _ => false,
    };
    if is_right { Ok(()) } else { fault("the wrong reason") }
}

#[test]
fn broken_connects() {
    let hub = hub();
    let bystander = Bystander::start(&hub);
    let before = hub.stat("sessions");
    let mut faults = Vec::new();
    for version in [4, 5] {
        for case in connects(version) {
            let bytes = [&case.bytes[..], &AFTERWARDS].concat();
            let outcome = judge(version, true, &bytes, TERMS);
            // One after the other: many have the same client id, and would take each other's session over.
            let mut stream = connect(hub.tcp_port());
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            if let Err(why) = check_connect(version, &case, outcome, &stream.rest()) {
                faults.push(format!("{version}, {}: {why}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}: {faults:#?}", faults.len());
    wait_until("no session is left", || hub.stat("sessions") == before);
    bystander.unharmed();
}
