use super::*;

fn ends(sender: &str, receiver: &str) -> [(Handshake, Vec<u8>); 2] {
    let begin = |role, code: &str, random: u8| {
        Handshake::begin(role, &code.parse().expect("it is a code"), Ciphers::all(), [random; 32])
    };
    [begin(Role::Sender, sender, 1), begin(Role::Receiver, receiver, 2)]
}

/// Lets both speak until the sender has judged the receiver's proof, which may be changed on the way.
fn judged(
    sender: &str,
    receiver: &str,
    change: impl Fn(&mut Vec<u8>),
) -> Result<(Step, Handshake), HandshakeError> {
    let [(mut sender, hello), (mut receiver, answer)] = ends(sender, receiver);
    let Ok(Step::Send(mut proof)) = receiver.handle(&hello) else { panic!("the receiver proves first") };
    assert!(receiver.is_exposed() && !sender.is_exposed());
    assert!(matches!(sender.handle(&answer), Ok(Step::Wait)));
    assert_eq!(proof.len(), sender.wants_bytes());
    change(&mut proof);
    Ok((sender.handle(&proof)?, receiver))
}

#[test]
fn the_same_code_gives_both_the_same_keys() {
    let (step, mut receiver) =
        judged("7-amber-canoe", "7-Amber-Canoe", |_| {}).expect("the codes are the same");
    let Step::Done { send: Some(verdict), keys: mut sender } = step else { panic!("the sender answers") };
    assert_eq!(verdict.len(), receiver.wants_bytes());
    let Ok(Step::Done { send: None, keys: mut receiver }) = receiver.handle(&verdict) else {
        panic!("the receiver believes it")
    };
    for (from, to) in [(&mut sender.seal, &mut receiver.open), (&mut receiver.seal, &mut sender.open)] {
        for message in [&b"one"[..], b"two"] {
            let mut record = [&[0; 4], message].concat();
            from.seal(&mut record).expect("the key is new");
            let (header, body) = record.split_first_chunk_mut::<4>().expect("it has a header");
            assert_eq!(crate::body_bytes(*header), Ok(body.len()));
            assert_eq!(to.open(*header, body), Ok(message));
        }
    }
}

#[test]
fn a_wrong_code_is_noticed_by_the_sender_before_it_proves_anything() {
    assert_eq!(judged("7-amber-canoe", "7-amber-candle", |_| {}).err(), Some(HandshakeError::WrongCode));
    let changed = judged("7-amber-canoe", "7-amber-canoe", |proof| proof[31] ^= 1);
    assert_eq!(changed.err(), Some(HandshakeError::WrongCode));
}

#[test]
fn the_receiver_believes_nobody_who_does_not_know_the_code() {
    for verdict in [REFUSAL, [1; 33]] {
        let (_, mut receiver) =
            judged("7-amber-canoe", "7-amber-canoe", |_| {}).expect("the codes are the same");
        assert_eq!(receiver.handle(&verdict).err(), Some(HandshakeError::WrongCode));
        assert_eq!(receiver.wants_bytes(), 0);
    }
}

#[test]
fn a_hello_that_is_none_is_told_apart() {
    let [(_, hello), (_, answer)] = ends("7-amber-canoe", "7-amber-canoe");
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let [(mut sender, _), _] = ends("7-amber-canoe", "7-amber-canoe");
        let mut answer = answer.clone();
        change(&mut answer);
        sender.handle(&answer).err()
    };
    assert_eq!(refused(&|hello| hello[0] = b'G'), Some(HandshakeError::NotTrefoil));
    assert_eq!(refused(&|hello| hello[8] = 2), Some(HandshakeError::Version(2)));
    assert_eq!(refused(&|hello| hello[9] = 4), Some(HandshakeError::NoCipher));
    assert_eq!(refused(&|hello| hello[10] = b'B'), Some(HandshakeError::BadShare));
    assert_eq!(refused(&|hello| hello.truncate(20)), Some(HandshakeError::BadShare));
    assert_eq!(refused(&|hello| hello.clear()), Some(HandshakeError::NotTrefoil));
    // Our own hello, sent back.
    let [(mut sender, _), _] = ends("7-amber-canoe", "7-amber-canoe");
    assert_eq!(sender.handle(&hello).err(), Some(HandshakeError::BadShare));
}

#[test]
fn nobody_on_the_way_makes_the_cipher_a_worse_one() {
    let [(mut sender, hello), (mut receiver, mut answer)] = ends("7-amber-canoe", "7-amber-canoe");
    let Ok(Step::Send(proof)) = receiver.handle(&hello) else { panic!("the receiver proves first") };
    answer[9] = 1;
    assert!(matches!(sender.handle(&answer), Ok(Step::Wait)));
    assert_eq!(sender.handle(&proof).err(), Some(HandshakeError::WrongCode));
}

#[test]
fn a_record_that_is_changed_repeated_or_moved_does_not_open() {
    let keys = || {
        let (step, _) = judged("7-amber-canoe", "7-amber-canoe", |_| {}).expect("the codes are the same");
        let Step::Done { keys, .. } = step else { panic!("the sender is done") };
        keys
    };
    // Both ends of one direction have the same key: what the receiver would open with is what the sender seals with.
    let [mut sealer, opener] = [keys().seal, keys().seal];
    let mut records: Vec<Vec<u8>> = (0..2).map(|number| vec![0, 0, 0, 0, number, 9]).collect();
    records.iter_mut().for_each(|record| sealer.seal(record).expect("the key is new"));
    let opens = |records: &[&Vec<u8>]| {
        let mut opener = opener.clone_as_opener();
        records.iter().all(|record| {
            let mut record = (*record).clone();
            let (header, body) = record.split_first_chunk_mut::<4>().expect("it has a header");
            opener.open(*header, body).is_ok()
        })
    };
    assert!(opens(&[&records[0], &records[1]]));
    assert!(!opens(&[&records[1]]) && !opens(&[&records[0], &records[0]]));
    for at in 0..records[0].len() {
        let mut changed = records[0].clone();
        changed[at] ^= 0x10;
        assert!(!opens(&[&changed]), "byte {at}");
    }
}
