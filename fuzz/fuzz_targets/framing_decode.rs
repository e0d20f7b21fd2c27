//! Any bytes through every framing, whole and in pieces: the same frames and errors, none longer than allowed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trefoil_framing::{Decoder, FrameError, Framing, LengthForm, LengthPrefix, Telnet};

const FRAME_BYTES_MAX: usize = 32;

fuzz_target!(|input: (u8, u8, bool, &[u8])| {
    let (which, piece_bytes, has_mark, stream) = input;
    // Telnet is below all framings, and takes bytes away at most.
    let (mut data, mut answers) = (stream.to_vec(), Vec::new());
    let data_bytes = Telnet::default().strip(&mut data, &mut answers);
    assert!(data_bytes + answers.len() <= stream.len());
    let framing = framing(which);
    for stream in [stream, &data[..data_bytes]] {
        let whole = decode(&framing, has_mark, stream, stream.len().max(1));
        let pieces = decode(&framing, has_mark, stream, usize::from(piece_bytes).max(1));
        assert_eq!(whole, pieces);
    }
});

fn framing(which: u8) -> Framing {
    let forms = [
        LengthForm::U8,
        LengthForm::U16Be,
        LengthForm::U16Le,
        LengthForm::U32Be,
        LengthForm::U32Le,
        LengthForm::Varint,
    ];
    match which {
        0 => Framing::Line,
        1 => Framing::Delimiter(b"\r\n".to_vec()),
        2 => Framing::Delimiter(b"aab".to_vec()),
        3 => Framing::Fixed { frame_bytes: 7 },
        4 => Framing::Slip,
        5 => Framing::Cobs,
        n if n & 0x40 != 0 => Framing::LengthField {
            head_bytes: usize::from(n) % 5,
            length: LengthPrefix { form: forms[usize::from(n) % forms.len()], inclusive: n & 0x80 != 0 },
        },
        n => Framing::LengthPrefix(LengthPrefix {
            form: forms[usize::from(n) % forms.len()],
            inclusive: n & 0x80 != 0,
        }),
    }
}

fn decode(
    framing: &Framing,
    has_mark: bool,
    stream: &[u8],
    piece_bytes: usize,
) -> Vec<Result<Vec<u8>, FrameError>> {
    let mut decoder = Decoder::new(framing.clone(), FRAME_BYTES_MAX).expect("the settings above are right");
    if has_mark {
        decoder = decoder.starting_with(b"ab"[..].into()).expect("the mark is short");
    }
    let (mut from, mut found) = (0, Vec::new());
    for (i, piece) in stream.chunks(piece_bytes).enumerate() {
        let to = i * piece_bytes + piece.len();
        loop {
            let step = decoder.next(&stream[from..to], Duration::ZERO);
            from += step.consumed;
            match step.found {
                Some(Ok(frame)) => {
                    assert!(frame.len() <= FRAME_BYTES_MAX);
                    found.push(Ok(frame.into_owned()));
                }
                Some(Err(error)) => {
                    found.push(Err(error));
                    if error.is_final() {
                        return found;
                    }
                }
                None if step.consumed == 0 => break,
                None => {}
            }
        }
    }
    found.extend(decoder.finish(&stream[from..]).map(|one| one.map(|frame| frame.into_owned())));
    found
}
