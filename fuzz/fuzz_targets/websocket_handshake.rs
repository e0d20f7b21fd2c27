//! Any header lines to the server's side of the handshake, any response to the client's; any offers to compress.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_websocket::deflate::{Policy, negotiate};
use trefoil_websocket::handshake::{ClientHandshake, accept, response_len};

const COMPLETE: [(&str, &[u8]); 5] = [
    ("Host", b"h"),
    ("Upgrade", b"websocket"),
    ("Connection", b"Upgrade"),
    ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", b"13"),
];

fuzz_target!(|data: &[u8]| {
    let Some((&present, input)) = data.split_first() else { return };

    // Each bit leaves one of the necessary headers in, so that the others are reached.
    let kept =
        COMPLETE.into_iter().enumerate().filter(|(i, _)| present >> i & 1 == 1).map(|(_, header)| header);
    let given = input.split(|&byte| byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
    });
    let mut response = Vec::new();
    match accept("GET", 1, kept.chain(given), &["mqtt", "mqttv3.1"]) {
        Ok(accepted) => accepted.write_response(&mut response),
        Err(refused) => refused.write_response(&mut response),
    }
    let head_len = response_len(&response).expect("a response has a whole head");
    let head = &response[..head_len];
    assert!(!head[..head_len - 4].windows(4).any(|window| window == b"\r\n\r\n"));

    let mut client = ClientHandshake::new(*b"the sample nonce");
    client.write_request("h", "/", &["mqtt"], &mut Vec::new()).expect("nothing is wrong with it");
    // What is asked at random may well be refused; it must not panic.
    let _ = client.check_response(head);
    let _ = client.check_response(input);

    let policy = Policy {
        window_bits_max: 9 + present % 7,
        keeps_server_context: present & 1 == 0,
        keeps_client_context: present & 2 == 0,
    };
    if let Ok(Some(agreed)) = negotiate(input.split(|&byte| byte == b'\n'), &policy) {
        // An answer is an offer, too, and one that can be met as it is.
        let header = agreed.header();
        let again = negotiate([header.as_bytes()].into_iter(), &policy).expect("it follows the grammar");
        assert_eq!(again.map(|agreed| agreed.header()), Some(header));
    }
});
