//! `trefoil listen` and `trefoil connect`.

use super::{End, listener, noise};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use trefoil_tests::{Hub, Program, connect, trefoil, wait_until};

fn end(hub: &Hub, arguments: &str) -> Program {
    trefoil(arguments.split_whitespace()).env("TREFOIL_URL", &format!("tcp://127.0.0.1:{}", hub.tcp_port()))
}

fn has_listener(hub: &Hub) {
    wait_until("somebody listens", || hub.metric("trefoil_stream_listeners") == 1);
}

/// A server that sends back what it gets, until that ends; and its address.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let stream = stream.unwrap();
                std::io::copy(&mut &stream, &mut &stream).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            });
        }
    });
    address
}

/// The port on which `trefoil connect --tcp` listens.
fn port_of(running: &trefoil_tests::Running) -> u16 {
    let line = running.lines(1).remove(0);
    line.rsplit_once(':').unwrap().1.parse().unwrap_or_else(|_| panic!("{line}"))
}

#[test]
fn standard_input_and_output_are_joined() {
    let hub = Hub::start();
    let sent = noise(3_000_001, 11);
    let answer = noise(70_000, 12);
    let listens = end(&hub, "listen inbox").stdin(answer.clone()).spawn();
    has_listener(&hub);
    let connects = end(&hub, "connect inbox").stdin(sent.clone()).run();
    assert!(connects.status.success(), "{connects:?}");
    assert!(connects.stdout == answer);
    let listens = listens.wait();
    assert!(listens.status.success(), "{listens:?}");
    assert!(listens.stdout == sent);
}

#[test]
fn what_the_other_end_did_not_read_is_not_taken_for_sent() {
    let hub = Hub::start();
    let mut once = End::new(&hub);
    once.ask(json!({"listen": "x", "once": true}));
    let connects = end(&hub, "connect x").stdin(noise(32 << 20, 3)).spawn();
    once.hear();
    // It has nothing to say, and breaks off while there is more to be read than it has read.
    once.end();
    // No system has room for all of it.
    wait_until("the other one sends", || hub.metric("trefoil_stream_bytes_total") > 0);
    once.reset();
    let said = connects.wait().failure(3);
    assert!(said.contains("the stream broke"), "{said}");
}

#[test]
fn connect_waits_for_a_listener() {
    let hub = Hub::start();
    let connects = end(&hub, "connect late --wait 60").stdin("hello").spawn();
    wait_until("it waits", || hub.metric("trefoil_stream_callers") == 1);
    assert_eq!(end(&hub, "listen late").run().success(), "hello");
    connects.wait().success();
}

#[test]
fn ports_are_forwarded_for_many_at_once() {
    let hub = Hub::start();
    let address = echo();
    let _listens = end(&hub, &format!("listen echo --tcp {address}")).spawn();
    has_listener(&hub);
    let connects = end(&hub, "connect echo --tcp 127.0.0.1:0").spawn();
    let port = port_of(&connects);
    let clients: Vec<_> = (0..40)
        .map(|seed| {
            std::thread::spawn(move || {
                let (mut client, sent) = (connect(port), noise(300_000, seed));
                let (mut writer, all) = (client.try_clone().unwrap(), sent.clone());
                let writer = std::thread::spawn(move || {
                    writer.write_all(&all).unwrap();
                    writer.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                client.read_to_end(&mut got).unwrap();
                assert!(got == sent);
                writer.join().unwrap();
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(hub.metric("trefoil_streams_opened_total"), 40);
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn a_port_is_reached_again_when_the_hub_comes_back() {
    let mut hub = Hub::start();
    let tcp = format!("127.0.0.1:{}", hub.tcp_port());
    let config = trefoil_tests::CONFIG.replacen("127.0.0.1:0", &tcp, 1);
    let mut listens = end(&hub, &format!("listen echo --tcp {}", echo())).spawn();
    has_listener(&hub);
    let connects = end(&hub, "connect echo --tcp 127.0.0.1:0").spawn();
    let port = port_of(&connects);
    for signal in ["KILL", "TERM"] {
        let mut before = connect(port);
        before.write_all(b"before").unwrap();
        before.read_exact(&mut [0; 6]).unwrap();
        hub.signal(signal);
        hub.wait();
        // A hub that stops resets what goes through it; the system of one that is killed says that it has ended.
        let is_over = before.read(&mut [0]);
        assert_eq!(
            is_over.map_err(|error| error.kind()),
            match signal {
                "KILL" => Ok(0),
                _ => Err(std::io::ErrorKind::ConnectionReset),
            }
        );
        hub = Hub::with_config(&config);
        has_listener(&hub);
        let mut after = connect(port);
        after.write_all(b"after").unwrap();
        after.read_exact(&mut [0; 5]).unwrap();
    }
    assert!(!listens.has_ended());
}

#[test]
fn who_has_no_descriptor_left_goes_on_with_what_there_is() {
    let hub = Hub::start();
    let narrow = |arguments: &str| {
        let url = format!("tcp://127.0.0.1:{}", hub.tcp_port());
        Program::new("prlimit")
            .args(["--nofile=64"])
            .args([trefoil_tests::binary().as_os_str()])
            .args(arguments.split_whitespace())
            .env("TREFOIL_URL", &url)
            .spawn()
    };
    let _listens = narrow(&format!("listen echo --tcp {}", echo()));
    has_listener(&hub);
    let connects = narrow("connect echo --tcp 127.0.0.1:0");
    let port = port_of(&connects);
    // More than there are descriptors for, all of them open. Each that ends makes room for one that waits.
    let mut clients: Vec<_> = (0..60_u8).map(|_| connect(port)).collect();
    for (client, number) in clients.iter_mut().zip(0..) {
        client.write_all(&[number]).unwrap();
    }
    for (mut client, number) in clients.into_iter().zip(0..) {
        let mut got = [0];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, [number]);
    }
    assert_eq!(hub.metric("trefoil_streams_broken_total"), 0);
}

#[test]
fn a_web_server_is_reached_through_the_hub() {
    let hub = Hub::start();
    let page = noise(2_000_000, 13);
    std::fs::write(hub.folder().join("page"), &page).unwrap();
    let folder = hub.folder().to_str().unwrap();
    let server = Program::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder])
        .spawn();
    let line = server.lines(1).remove(0);
    let port = line.split_whitespace().nth(5).unwrap().to_owned();
    let _listens = end(&hub, &format!("listen web --tcp 127.0.0.1:{port}")).spawn();
    has_listener(&hub);
    let connects = end(&hub, "connect web --tcp 127.0.0.1:0").spawn();
    let url = format!("http://127.0.0.1:{}/page", port_of(&connects));
    let outcome = Program::new("curl").args(["-sSf", &url, &url]).run();
    assert!(outcome.status.success(), "{outcome:?}");
    assert!(outcome.stdout == page.repeat(2));
}

#[test]
fn once_is_enough() {
    let hub = Hub::start();
    let listens = end(&hub, &format!("listen echo --once --tcp {}", echo())).spawn();
    has_listener(&hub);
    let connects = end(&hub, "connect echo --once --tcp 127.0.0.1:0").spawn();
    let mut client = connect(port_of(&connects));
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "hello");
    listens.wait().success();
    connects.wait().success();
}

#[test]
fn what_goes_wrong_has_its_words_and_its_code() {
    let hub = Hub::start();
    let said = end(&hub, "connect nobody").run().failure(4);
    assert!(said.contains("refused the stream \"nobody\": nobody listens on this name"), "{said}");
    let said = end(&hub, "connect a/../b").run().failure(2);
    assert!(said.contains("has an empty level, . or .."), "{said}");
    let said = end(&hub, "connect a --url udp://127.0.0.1:1").run().failure(2);
    assert!(said.contains("carries no streams"), "{said}");
    let said = end(&hub, "listen a --url tcp://127.0.0.1:1").run().failure(3);
    assert!(said.contains("nothing listens there"), "{said}");
    let _door = listener(&hub, "door");
    let said = end(&hub, "listen door --exclusive").run().failure(4);
    assert!(said.contains("somebody listens on the name already"), "{said}");
    let taken = hub.tcp_port();
    let said = end(&hub, &format!("connect a --tcp 127.0.0.1:{taken}")).run().failure(1);
    assert!(said.contains("cannot listen on 127.0.0.1"), "{said}");
    for wrong in ["8000", ":8000", "host", "host:http"] {
        let said = end(&hub, &format!("connect a --tcp {wrong}")).run().failure(2);
        assert!(said.contains("no address such as 127.0.0.1:8000"), "{said}");
    }
    let said = end(&hub, "connect a --wait 3601").run().failure(2);
    assert!(said.contains("nobody may wait for more than 3600 s"), "{said}");
    // A stream that breaks is no stream that ends.
    let mut once = End::new(&hub);
    once.ask(json!({"listen": "broken", "once": true}));
    let connects = end(&hub, "connect broken").open_stdin().spawn();
    once.hear();
    once.write("half");
    wait_until("the half is there", || connects.stdout() == b"half");
    once.reset();
    let said = connects.wait().failure(3);
    assert!(said.contains("the stream broke"), "{said}");
}

#[test]
fn a_target_that_is_not_there_is_said_to_both() {
    let hub = Hub::start();
    let listens = end(&hub, "listen away --tcp 127.0.0.1:1").spawn();
    has_listener(&hub);
    let said = end(&hub, "connect away").run().failure(4);
    assert!(said.contains("cannot connect to 127.0.0.1:1"), "{said}");
    wait_until("the listener has said so", || listens.stderr().contains("cannot connect to 127.0.0.1:1"));
    // Over a port nothing can be said but that it is broken.
    let connects = end(&hub, "connect away --tcp 127.0.0.1:0").spawn();
    let mut client = connect(port_of(&connects));
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn user_and_password_are_said() {
    let hub = Hub::with_users(&[("ann", "apple")], "");
    let said = end(&hub, "listen a").run().failure(4);
    assert!(said.contains("say who you are first"), "{said}");
    let said = end(&hub, "listen a --user ann --password pear").run().failure(4);
    assert!(said.contains("user name or password is wrong"), "{said}");
    let listens = end(&hub, "listen a --user ann").env("TREFOIL_PASSWORD", "apple").spawn();
    wait_until("it listens", || {
        !listens.stdout().is_empty() || {
            let connects = end(&hub, "connect a --user ann --password apple").stdin("hello").run();
            connects.status.success()
        }
    });
    assert_eq!(listens.wait().success(), "hello");
}

#[test]
fn streams_go_over_tls_and_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let (hub, _, _) = crate::tls::hub(&format!("\n[[listener]]\nbind = \"unix://{}\"\n", path.display()));
    let unix = format!("unix://{}", path.display());
    let tls = format!("tcps://127.0.0.1:{}", hub.tcp_port());
    let plain = format!("tcp://127.0.0.1:{}", hub.tcp_port());
    let (sent, answer) = (noise(3_000_001, 21), noise(2_000_000, 22));
    for (listens_at, connects_at) in
        [(&tls, &unix), (&unix, &tls), (&tls, &tls), (&unix, &plain), (&plain, &tls)]
    {
        let insecure = |url: &str| if url.starts_with("tcps") { " --insecure" } else { "" };
        let listens = end(&hub, &format!("listen s --url {listens_at}{}", insecure(listens_at)));
        let listens = listens.stdin(answer.clone()).spawn();
        has_listener(&hub);
        let connects = end(&hub, &format!("connect s --url {connects_at}{}", insecure(connects_at)));
        let connects = connects.stdin(sent.clone()).run();
        assert!(connects.status.success(), "{listens_at} {connects_at}: {connects:?}");
        assert!(connects.stdout == answer, "{listens_at} {connects_at}");
        assert!(listens.wait().stdout == sent, "{listens_at} {connects_at}");
    }
    // Whose certificate nobody vouches for is not spoken to.
    let said = end(&hub, &format!("connect s --url {tls}")).run().failure(3);
    assert!(said.contains("certificate"), "{said}");
}
