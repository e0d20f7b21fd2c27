//! Bad input where TLS is spoken: what is no TLS, too old, too slow, cut to pieces or broken later on.

use crate::tls::{hub, python};
use std::io::{Read, Write};
use std::net::Shutdown;
use trefoil_tests::{Program, connect, lines, wait_until};

/// A record of an alert that ends the connection.
fn is_fatal_alert(answer: &[u8]) -> bool {
    matches!(answer, [21, 3, _, 0, 2, 2, _, ..])
}

/// What comes back on these first bytes.
fn answer(port: u16, first: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    stream.write_all(first).unwrap();
    let mut answer = Vec::new();
    // It may be closed under bytes that nobody has read.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// The first message of a client that speaks no later version than TLS 1.0 and a `minor`.
fn client_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    // No session, one cipher suite, no compression, no extensions.
    body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn whoever_speaks_no_tls_or_an_old_one_is_told_by_an_alert() {
    let (hub, _, _) = hub("");
    let port = hub.tcp_port();
    let garbage = [&b"\x16\x03\x01\x00\x10"[..], b"0123456789abcdef"].concat();
    assert!(is_fatal_alert(&answer(port, &garbage)));
    assert!(is_fatal_alert(&answer(port, b"\x16garbage without end")));
    for minor in [0, 1, 2] {
        // handshake_failure, since before TLS 1.2 nobody says which signatures it takes, or protocol_version.
        let told = answer(port, &client_hello(minor));
        assert!(is_fatal_alert(&told) && [40, 70].contains(&told[6]), "version 3.{minor}: {told:?}");
    }
    // A record that is longer than any may be.
    assert!(is_fatal_alert(&answer(port, &[&b"\x16\x03\x01\xff\xff"[..], &[0; 100]].concat())));
    wait_until("all are counted", || hub.metric("trefoil_protocol_errors_total") >= 5);
    lines::Connection::new(port).ask(r#"{"ping":1}"#);
}

#[test]
fn a_handshake_in_pieces_is_one_and_one_that_never_ends_is_given_up() {
    let (hub, ca, _) = hub("[limits]\nfirst_bytes_timeout_s = 2\n");
    python("byte_by_byte", &hub, &ca);
    let mut stream = connect(hub.tcp_port());
    stream.write_all(&client_hello(3)[..20]).unwrap();
    let mut answer = Vec::new();
    // The test's own patience is much longer.
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"");
    python("a_handshake_and_no_word", &hub, &ca);
    wait_until("nobody is left", || hub.metric("trefoil_connections{kind=\"new\"}") == 0);
}

#[test]
fn what_is_broken_after_the_handshake_ends_the_connection() {
    let (hub, ca, _) = hub("");
    python("garbage_behind_the_handshake", &hub, &ca);
    python("many_empty_records", &hub, &ca);
    python("a_goodbye_and_more", &hub, &ca);
    lines::Connection::new(hub.tcp_port()).ask(r#"{"ping":1}"#);
}

#[test]
fn nobody_negotiates_again() {
    let (hub, ca, _) = hub("");
    let at = format!("127.0.0.1:{}", hub.tcp_port());
    let openssl = Program::new("openssl").args(["s_client", "-tls1_2", "-CAfile"]).args([&ca]);
    let mut openssl = openssl.args(["-connect", &at]).open_stdin().spawn();
    openssl.write("{\"ping\":1}\n");
    wait_until("it is answered", || String::from_utf8_lossy(&openssl.stdout()).contains("{\"pong\":1}"));
    openssl.write("R\n");
    wait_until("it has ended", || openssl.has_ended());
    lines::Connection::new(hub.tcp_port()).ask(r#"{"ping":1}"#);
}

#[test]
fn a_peer_that_goes_without_a_goodbye_is_lost() {
    let (hub, ca, _) = hub("");
    python("a_will", &hub, &ca);
    // Half a record, and the end.
    let mut stream = connect(hub.tcp_port());
    stream.write_all(&client_hello(3)[..10]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"");
}
