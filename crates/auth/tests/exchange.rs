//! Whole exchanges of SCRAM, right and wrong ones, and whatever strangers may send.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use trefoil_auth::scram::{Client, ClientFirst, ITERATIONS_MIN, ScramError};
use trefoil_auth::{Record, Secret, Users};

const NONCES: ([u8; 18], [u8; 18]) = ([1; 18], [2; 18]);

fn users() -> Users {
    let record = Record::scram("pencil", b"salt of 16 bytes", ITERATIONS_MIN).unwrap();
    let hash = Record::argon2id("pencil", b"salt of 16 bytes").unwrap();
    Users::parse(&format!("user:{record}\na,b=c:{record}\nhashed:{hash}\n"), Secret::new([9; 32])).unwrap()
}

/// Runs an exchange to its end. The error is that of the server.
fn exchange(users: &Users, name: &str, password: &str) -> Result<String, ScramError> {
    let (mut client, first) = Client::begin(name, password, &NONCES.0).unwrap();
    let first = ClientFirst::parse(&first)?;
    let verifier = users.verifier(first.user_name());
    let (challenge, message) = first.challenge(&verifier, &NONCES.1);
    let user_name = challenge.user_name().to_owned();
    let server_final = challenge.finish(&client.answer(&message).unwrap())?;
    client.check(&server_final).unwrap();
    Ok(user_name)
}

#[test]
fn who_knows_the_password_is_let_in_and_nobody_else() {
    let users = users();
    assert_eq!(exchange(&users, "user", "pencil").as_deref(), Ok("user"));
    assert_eq!(exchange(&users, "a,b=c", "pencil").as_deref(), Ok("a,b=c"));
    // The soft hyphen does not count (RFC 4013).
    assert_eq!(exchange(&users, "us\u{ad}er", "pen\u{ad}cil").as_deref(), Ok("user"));
    for (name, password) in
        [("user", "pencils"), ("nobody", "pencil"), ("hashed", "pencil"), ("User", "pencil")]
    {
        assert_eq!(exchange(&users, name, password), Err(ScramError::Proof), "{name} {password}");
    }
}

/// The server's side of RFC 7677 §3: its nonce is not ours to choose, so the proof is checked with what we make of it.
#[test]
fn what_the_server_sends_first_is_as_the_rfc_writes_it() {
    let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    let (_, message) = first.challenge(&users().verifier("user"), &[0; 18]);
    let salt = "c2FsdCBvZiAxNiBieXRlcw==";
    let expected = format!("r=rOprNGfwEbeRWgbNEkqOAAAAAAAAAAAAAAAAAAAAAAAA,s={salt},i=4096");
    assert_eq!(String::from_utf8(message).unwrap(), expected);
}

#[test]
fn unknown_users_are_asked_like_known_ones_and_always_the_same() {
    let users = users();
    let (one, again, other) = (users.verifier("nobody"), users.verifier("nobody"), users.verifier("no one"));
    let known = users.verifier("user");
    assert_eq!((one.salt(), one.iterations()), (again.salt(), again.iterations()));
    assert_ne!(one.salt(), other.salt());
    assert_eq!((one.salt().len(), one.iterations()), (known.salt().len(), known.iterations()));
    // Another secret, other salts.
    let elsewhere = Users::parse("", Secret::new([8; 32])).unwrap();
    assert_ne!(elsewhere.verifier("nobody").salt(), one.salt());
}

#[test]
fn first_messages_are_taken_or_refused_as_the_rfc_says() {
    for good in ["n,,n=user,r=x", "y,,n=user,r=x", "n,a=user,n=user,r=x", "n,,n=user,r=x,z=later"] {
        assert_eq!(ClientFirst::parse(good.as_bytes()).unwrap().user_name(), "user", "{good}");
    }
    for (bad, error) in [
        ("p=tls-unique,,n=user,r=x", ScramError::ChannelBinding),
        ("n,a=admin,n=user,r=x", ScramError::Authzid),
        ("n,,m=new,n=user,r=x", ScramError::Extension),
        ("n,,n=user,r=x,m=new", ScramError::Extension),
    ] {
        assert_eq!(ClientFirst::parse(bad.as_bytes()).unwrap_err(), error, "{bad}");
    }
    for bad in [
        "",
        "n",
        "n,,",
        "n=user,r=x",
        "x,,n=user,r=x",
        "n,x,n=user,r=x",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=user",
        "n,,r=x,n=user",
        "n,,n=user,r=a b",
        "n,,n=user,r=ü",
        "n,,n=u=ser,r=x",
        "n,,n=user,r=x,,",
    ] {
        assert!(matches!(ClientFirst::parse(bad.as_bytes()), Err(ScramError::Malformed(_))), "{bad}");
    }
    assert!(matches!(ClientFirst::parse(b"n,,n=a\x07b,r=x"), Err(ScramError::Name(_))));
    let long = format!("n,,n=user,r={}", "x".repeat(5000));
    assert!(ClientFirst::parse(long.as_bytes()).is_err());
}

#[test]
fn last_messages_that_answer_something_else_are_refused() {
    let users = users();
    let last = |change: &dyn Fn(String) -> String| {
        let (mut client, first) = Client::begin("user", "pencil", &NONCES.0).unwrap();
        let first = ClientFirst::parse(&first).unwrap();
        let (challenge, message) = first.challenge(&users.verifier("user"), &NONCES.1);
        let last = String::from_utf8(client.answer(&message).unwrap()).unwrap();
        challenge.finish(change(last).as_bytes()).map(|_| ())
    };
    assert_eq!(last(&|text| text), Ok(()));
    assert_eq!(last(&|text| text.replace("c=biws", "c=eSws")), Err(ScramError::ChannelBinding));
    assert_eq!(last(&|text| text.replace(",r=", ",r=x")), Err(ScramError::Nonce));
    assert_eq!(last(&|text| text.replace(",p=", ",x=new,p=")), Err(ScramError::Proof));
    assert_eq!(last(&|text| text.replace(",p=", ",m=new,p=")), Err(ScramError::Extension));
    for bad in ["", "c=biws", "c=biws,r=x", "c=biws,p=AAAA"] {
        assert!(
            matches!(last(&|_| bad.to_owned()), Err(ScramError::Malformed(_) | ScramError::Nonce)),
            "{bad}"
        );
    }
    assert!(matches!(last(&|text| text[..text.len() - 4].to_owned()), Err(ScramError::Malformed(_))));
}

proptest! {
    #[test]
    fn nothing_that_is_sent_makes_either_side_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ClientFirst::parse(&bytes);
        let users = Users::parse("", Secret::new([9; 32])).unwrap();
        let first = ClientFirst::parse(b"n,,n=user,r=x").unwrap();
        let (challenge, _) = first.challenge(&users.verifier("user"), &NONCES.1);
        prop_assert!(challenge.finish(&bytes).is_err());
        let (mut client, _) = Client::begin("user", "pencil", &NONCES.0).unwrap();
        prop_assert!(client.answer(&bytes).is_err());
        prop_assert!(client.check(&bytes).is_err());
    }

    /// Messages that are nearly right: their parts in any order and number.
    #[test]
    fn nor_do_parts_of_messages(parts in prop::collection::vec("[a-z]=[a-z0-9=]{0,8}|n|y|p=x|", 0..8)) {
        let message = parts.join(",");
        let _ = ClientFirst::parse(message.as_bytes());
        let (mut client, _) = Client::begin("user", "pencil", &NONCES.0).unwrap();
        let _ = client.answer(message.as_bytes());
    }

    #[test]
    fn a_name_is_the_same_on_both_sides(name in "[ -9;-~]{1,20}") {
        let (_, first) = Client::begin(&name, "x", &NONCES.0).unwrap();
        let first = ClientFirst::parse(&first).unwrap();
        prop_assert_eq!(first.user_name(), name.as_str());
    }
}
