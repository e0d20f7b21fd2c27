//! A web server that nobody can reach, opened through a stream.

use trefoil_tests::{Example, Hub, Program, binary};

/// A file of the workshop: every byte is known.
fn file(mib: usize) -> Vec<u8> {
    (0..mib << 20).map(|at| (at % 251) as u8).collect()
}

fn curl(url: &str) -> Program {
    Program::new("curl").args(["-sSf", url])
}

#[test]
fn a_web_server_behind_nat_is_opened_through_a_stream() {
    let hub = Hub::start();
    let example = Example::start("behind-nat", &hub, "");
    let page = example.page().to_owned();
    assert!(curl(&page).run().success().contains("<title>The workshop</title>"));
    // Several at a time, each through a stream of its own.
    let fetches: Vec<_> = (0..6).map(|_| curl(&format!("{page}file/3")).spawn()).collect();
    for fetch in fetches {
        let outcome = fetch.wait();
        assert!(outcome.status.success() && outcome.stdout == file(3), "{}", outcome.stderr);
    }
    example.stop().success();
}

/// The command of the README, beside the example: another door to the same server.
#[test]
fn a_command_is_another_door_to_it() {
    let hub = Hub::start();
    let example = Example::start("behind-nat", &hub, "");
    let url = format!("tcp://127.0.0.1:{}", hub.tcp_port());
    let door = Program::new(binary()).words("connect workshop/web --tcp 127.0.0.1:0 --url").args([&url]);
    let door = door.spawn();
    let said = || format!("{}{}", String::from_utf8_lossy(&door.stdout()), door.stderr());
    let mut port = String::new();
    trefoil_tests::wait_until("the door says where it is", || {
        let said = said();
        let behind = said.split("127.0.0.1:").nth(1).unwrap_or_default();
        port = behind.chars().take_while(char::is_ascii_digit).collect();
        behind.len() > port.len()
    });
    let fetched = curl(&format!("http://127.0.0.1:{port}/file/2")).run();
    assert!(fetched.status.success() && fetched.stdout == file(2), "{}{}", fetched.stderr, said());
    example.stop().success();
}
