//! Both ends of a TLS connection in memory.

use super::*;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::collections::VecDeque;

/// A socket in memory that takes and gives as few bytes at a time as it is told.
struct Wire {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    step: usize,
    /// What it still takes until it is emptied.
    room: usize,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let fits = self.step.min(buf.len());
        self.incoming.read(&mut buf[..fits])
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let fits = self.step.min(buf.len()).min(self.room);
        if fits == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= fits;
        self.outgoing.extend_from_slice(&buf[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let server = server.expect("versions").with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.der().clone()], key).expect("a pair");
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.expect("versions").with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// Both ends with the handshake begun, and what lies between them.
fn begin(step: usize) -> (Session, ClientConnection, Wire) {
    let (server, client) = configs();
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(client, name).expect("a connection");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a Vec takes everything");
    let mut wire = Wire { incoming: VecDeque::new(), outgoing: Vec::new(), step, room: usize::MAX };
    wire.incoming.extend(&hello[1..]);
    (Session::new(server, &hello[..1]).expect("a connection"), client, wire)
}

/// Carries what either end has said to the other, and returns what the client has read.
fn carry(client: &mut ClientConnection, wire: &mut Wire) -> Vec<u8> {
    let mut outgoing = &wire.outgoing[..];
    let mut read = Vec::new();
    while !outgoing.is_empty() {
        client.read_tls(&mut outgoing).expect("a slice gives everything");
        client.process_new_packets().expect("it is right");
        // It ends with an error when there is no more for now.
        let _ = client.reader().read_to_end(&mut read);
    }
    wire.outgoing.clear();
    while client.wants_write() {
        let mut said = Vec::new();
        client.write_tls(&mut said).expect("a Vec takes everything");
        wire.incoming.extend(said);
    }
    read
}

fn read(session: &mut Session, wire: &mut Wire, room: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; room];
    loop {
        match session.read(wire, &mut buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|got| buf[..got].to_vec()),
        }
    }
}

#[test]
fn what_is_said_arrives_however_it_is_cut() {
    for (step, room) in [(100, 700), (5000, 100_000), (usize::MAX, 1 << 20)] {
        let (mut session, mut client, mut wire) = begin(step);
        let said: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
        let (mut sent, mut heard, mut back, mut answered) = (0, Vec::new(), Vec::new(), 0);
        while back.len() < said.len() {
            if sent < said.len() && !client.is_handshaking() {
                sent += client.writer().write(&said[sent..]).expect("it takes what it has room for");
            }
            back.extend(carry(&mut client, &mut wire));
            loop {
                match read(&mut session, &mut wire, room) {
                    Ok(more) => heard.extend(more),
                    Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            // It takes a little, and then no more until it is emptied.
            wire.room = 30_000;
            if answered < heard.len() {
                let (one, two) = heard[answered..].split_at((heard.len() - answered) / 3);
                match session.write(&mut wire, &[IoSlice::new(one), IoSlice::new(two)]) {
                    Ok(taken) => {
                        answered += taken;
                        assert!(answered == heard.len() || session.has_sealed());
                    }
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            session.flush(&mut wire).expect("it is not broken");
            wire.room = usize::MAX;
        }
        assert!(heard == said && back == said, "steps of {step}");
        // Nothing is kept for an idle connection.
        assert_eq!(session.sealed_in.capacity() + session.opened.bytes.capacity(), 0);
        assert_eq!(session.sealed_out.bytes.capacity(), 0);
    }
}

#[test]
fn an_end_is_heard_and_said() {
    let (mut session, mut client, mut wire) = begin(usize::MAX);
    for _ in 0..3 {
        let waits = read(&mut session, &mut wire, 100).expect_err("nothing has been said");
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        carry(&mut client, &mut wire);
    }
    client.writer().write_all(b"last").expect("there is room");
    client.send_close_notify();
    carry(&mut client, &mut wire);
    assert_eq!(read(&mut session, &mut wire, 100).expect("it is said"), b"last");
    assert!(session.has_opened());
    assert_eq!(read(&mut session, &mut wire, 100).expect("it is the end"), b"");
    // Half a close: the other direction is open still.
    session.write(&mut wire, &[IoSlice::new(b"answer")]).expect("it is open");
    session.close();
    session.close();
    session.flush(&mut wire).expect("it is not broken");
    assert_eq!(carry(&mut client, &mut wire), b"answer");
    assert_eq!(client.reader().read(&mut [0; 1]).expect("the end, in order"), 0);
}

#[test]
fn an_end_comes_behind_what_the_socket_has_taken_a_part_of() {
    let (mut session, mut client, mut wire) = begin(usize::MAX);
    for _ in 0..3 {
        let waits = read(&mut session, &mut wire, 100).expect_err("nothing has been said");
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        carry(&mut client, &mut wire);
    }
    let said = vec![7; 60_000];
    wire.room = 10_000;
    assert_eq!(session.write(&mut wire, &[IoSlice::new(&said)]).expect("it is open"), said.len());
    let mut heard = carry(&mut client, &mut wire);
    // The socket takes a little more, and so it stands when the end comes.
    wire.room = 10_000;
    session.flush(&mut wire).expect("it is not broken");
    session.close();
    wire.room = usize::MAX;
    session.flush(&mut wire).expect("it is not broken");
    heard.extend(carry(&mut client, &mut wire));
    assert!(heard == said, "{} bytes", heard.len());
    assert_eq!(client.reader().read(&mut [0; 1]).expect("the end, in order"), 0);
}

#[test]
fn what_is_no_tls_is_told_so_once() {
    let (mut session, _, mut wire) = begin(usize::MAX);
    wire.incoming = b"\x03\x01\0\x10 and no handshake".iter().copied().collect();
    let error = read(&mut session, &mut wire, 100).expect_err("it is none");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(session.write(&mut wire, &[IoSlice::new(b"too late")]).is_err());
    session.close();
    session.flush(&mut wire).expect("it is not broken");
    assert_eq!(wire.outgoing, DECODE_ERROR);
}
