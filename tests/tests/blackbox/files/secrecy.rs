//! The hub learns neither content nor names.

use super::wire::Wire;
use super::{CODE, Place};

#[test]
fn neither_content_nor_names_nor_the_code_pass_the_hub() {
    let place = Place::new();
    let content = "the quick brown fox jumps over the lazy dog\n".repeat(10_000);
    place.file("plans-for-tomorrow/very-secret-name.txt", content.as_bytes());
    let [to_sender, to_receiver] = [0; 2].map(|_| Wire::start(place.hub.tcp_port()));
    let sender = place.send_by(&to_sender.url(), &format!("--code {CODE} plans-for-tomorrow")).spawn();
    place.receive_by(&to_receiver.url(), &format!("--yes {CODE}")).run().success();
    sender.wait().success();
    assert_eq!(
        std::fs::read_to_string(place.to("plans-for-tomorrow/very-secret-name.txt")).unwrap(),
        content
    );
    for wire in [to_sender, to_receiver] {
        assert!(wire.passed() > content.len() && wire.saw(b"$file/7"), "everything passes the wire");
        for secret in ["plans-for", "very-secret", "quick brown", "lazy dog", "amber", "canoe"] {
            assert!(!wire.saw(secret.as_bytes()), "{secret} passed in the clear");
        }
    }
}

#[test]
fn the_same_file_looks_different_each_time() {
    let place = Place::new();
    place.file("a", &[0; 100_000]);
    let wire = Wire::start(place.hub.tcp_port());
    for _ in 0..2 {
        let sender = place.send_by(&wire.url(), &format!("--code {CODE} a")).spawn();
        place.receive(&format!("--yes --overwrite {CODE}")).run().success();
        sender.wait().success();
    }
    // Nothing of one is in the other, nor twice in the same.
    assert!(wire.passed() > 200_000 && !wire.saw(&[0; 16]) && !wire.repeats_itself());
}
