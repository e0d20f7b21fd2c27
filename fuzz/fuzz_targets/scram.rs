//! Anything to either side of SCRAM, to records and to a file of users.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_auth::scram::{Client, ClientFirst};
use trefoil_auth::{Editor, Record, Secret, Users};

const NONCE: [u8; 18] = [7; 18];

fuzz_target!(|data: &[u8]| {
    let Ok(users) = Users::parse("", Secret::new([1; 32])) else { return };
    if let Ok(first) = ClientFirst::parse(data) {
        assert!(!first.user_name().is_empty());
        let verifier = users.verifier(first.user_name());
        let (challenge, _) = first.challenge(&verifier, &NONCE);
        // Nobody knows the password of a user who is not there.
        assert!(challenge.finish(data).is_err());
    }
    let Ok(first) = ClientFirst::parse(b"n,,n=ann,r=x") else { return };
    let (challenge, _) = first.challenge(&users.verifier("ann"), &NONCE);
    assert!(challenge.finish(data).is_err());
    if let Ok((client, _)) = Client::begin("ann", "pencil", &NONCE) {
        assert!(client.check(data).is_err());
    }

    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(record) = Record::parse(text) {
        assert_eq!(
            Record::parse(&record.to_string()).as_ref(),
            Ok(&record),
            "a record is read as it is written"
        );
    }
    if let Err(error) = Users::parse(text, Secret::new([1; 32])) {
        assert!(error.problems().count() > 0);
    }
    let mut editor = Editor::new(text);
    editor.remove(text);
});
