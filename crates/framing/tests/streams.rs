//! Frames through streams that are cut anywhere.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use trefoil_framing::{
    Decoder, EncodeError, Encoder, FrameError, Framing, InvalidFraming, LengthForm, LengthPrefix,
};

type Found = Result<Vec<u8>, FrameError>;

/// Shows a decoder the pieces one after the other, as a connection would, and gives all that it found.
fn decode(framing: &Framing, frame_bytes_max: usize, pieces: &[&[u8]]) -> Vec<Found> {
    decode_by(Decoder::new(framing.clone(), frame_bytes_max).unwrap(), frame_bytes_max, pieces)
}

/// The same where frames begin with a mark.
fn decode_from(mark: &[u8], framing: &Framing, frame_bytes_max: usize, pieces: &[&[u8]]) -> Vec<Found> {
    let decoder = Decoder::new(framing.clone(), frame_bytes_max).unwrap().starting_with(mark.into()).unwrap();
    decode_by(decoder, frame_bytes_max, pieces)
}

fn decode_by(mut decoder: Decoder, frame_bytes_max: usize, pieces: &[&[u8]]) -> Vec<Found> {
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    let bound = buffer_bytes_max(frame_bytes_max);
    for piece in pieces {
        for chunk in piece.chunks(bound) {
            buffer.extend_from_slice(chunk);
            loop {
                let step = decoder.next(&buffer, Duration::ZERO);
                let (consumed, more) = (step.consumed, step.found.is_none() && step.consumed == 0);
                if let Some(one) = step.found {
                    found.push(one.map(|frame| frame.into_owned()));
                    if matches!(found.last(), Some(Err(error)) if error.is_final()) {
                        return found;
                    }
                }
                buffer.drain(..consumed);
                if more {
                    break;
                }
            }
            assert!(buffer.len() <= bound, "{} bytes wait for a frame of {frame_bytes_max}", buffer.len());
        }
    }
    found.extend(decoder.finish(&buffer).map(|one| one.map(|frame| frame.into_owned())));
    found
}

/// More than this no decoder may leave unconsumed.
fn buffer_bytes_max(frame_bytes_max: usize) -> usize {
    frame_bytes_max * 2 + 16 + 5 + 16
}

fn lengths() -> impl Iterator<Item = Framing> {
    use LengthForm::*;
    [U8, U16Be, U16Le, U32Be, U32Le, Varint].into_iter().flat_map(|form| {
        [false, true].map(|inclusive| Framing::LengthPrefix(LengthPrefix { form, inclusive }))
    })
}

/// All framings that need no time.
fn framings() -> Vec<Framing> {
    let mut all = vec![
        Framing::Line,
        Framing::Delimiter(b"\r\n".to_vec()),
        Framing::Delimiter(b"aab".to_vec()),
        Framing::Delimiter(b"aa".to_vec()),
        Framing::Fixed { frame_bytes: 3 },
        Framing::Slip,
        Framing::Cobs,
    ];
    all.extend(lengths());
    all.extend(fields());
    all
}

/// Lengths that are part of the frame.
fn fields() -> impl Iterator<Item = Framing> {
    [LengthForm::U8, LengthForm::U16Be, LengthForm::Varint].into_iter().flat_map(|form| {
        [false, true]
            .map(|inclusive| Framing::LengthField { head_bytes: 2, length: LengthPrefix { form, inclusive } })
    })
}

/// Bytes with many of those that mean something to one framing or another.
fn bytes(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![prop::sample::select(b"aab\r\n\x00\x01\x03\xC0\xDB\xDC\xDD\xFF".to_vec()), any::<u8>()];
    prop::collection::vec(byte, len)
}

fn split<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at {
        pieces.push(&stream[from..to]);
        from = to;
    }
    pieces.push(&stream[from..]);
    pieces
}

proptest! {
    #[test]
    fn what_was_encoded_comes_out_however_it_is_cut(
        framing in prop::sample::select(framings()),
        frames in prop::collection::vec(bytes(0..20), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for frame in frames {
            let before = stream.len();
            match framing.encode(&frame, &mut stream) {
                Ok(()) => expected.push(Ok(frame)),
                Err(_) => prop_assert_eq!(stream.len(), before),
            }
        }
        prop_assert_eq!(decode(&framing, 20, &split(&stream, &cuts)), expected);
    }

    #[test]
    fn any_bytes_give_the_same_frames_and_errors_however_they_are_cut(
        framing in prop::sample::select(framings()),
        stream in bytes(0..120),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = decode(&framing, 5, &[&stream]);
        prop_assert_eq!(&decode(&framing, 5, &split(&stream, &cuts)), &whole);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&decode(&framing, 5, &single), &whole);
        for frame in whole.into_iter().flatten() {
            prop_assert!(frame.len() <= 5);
        }
    }

    #[test]
    fn with_a_mark_too_the_frames_do_not_depend_on_the_cuts(
        framing in prop::sample::select(framings()),
        mark in prop::sample::select(vec![&b"\x01"[..], b"ab", b"aab"]),
        stream in bytes(0..120),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = decode_from(mark, &framing, 9, &[&stream]);
        prop_assert_eq!(&decode_from(mark, &framing, 9, &split(&stream, &cuts)), &whole);
        for frame in whole.into_iter().flatten() {
            prop_assert!(matches!(framing, Framing::LengthPrefix(_)) || frame.starts_with(mark));
        }
    }

    #[test]
    fn what_was_encoded_with_a_mark_comes_out_of_noise_without_one(
        framing in prop::sample::select(framings()),
        frames in prop::collection::vec(bytes(0..20), 0..8),
        noise in prop::collection::vec(b'p'..b'z', 0..9),
    ) {
        let mark: std::sync::Arc<[u8]> = b"\x02\x07"[..].into();
        let encoder = Encoder::new(framing.clone(), 20, Some(mark.clone()));
        let is_prefix = matches!(framing, Framing::LengthPrefix(_));
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        // Noise is skipped between frames; before the end of a stream nothing but a mark tells it from a frame.
        for frame in frames {
            stream.extend_from_slice(&noise);
            let before = stream.len();
            match encoder.encode(&frame, &mut stream) {
                Ok(()) if is_prefix => expected.push(Ok(frame)),
                Ok(()) => expected.push(Ok([&mark, &frame[..]].concat())),
                Err(_) => prop_assert_eq!(stream.len(), before),
            }
        }
        // Stuffed frames have their marks inside, where noise is one with them.
        if !matches!(framing, Framing::Cobs | Framing::Slip) || noise.is_empty() {
            prop_assert_eq!(decode_from(&mark, &framing, 200, &[&stream]), expected);
        }
    }

    #[test]
    fn long_frames_come_through_lengths_and_cobs(frame in bytes(0..1000)) {
        for framing in lengths().chain([Framing::Cobs, Framing::Slip]) {
            let mut stream = Vec::new();
            if framing.encode(&frame, &mut stream).is_ok() {
                prop_assert_eq!(decode(&framing, 1000, &[&stream]), [Ok(frame.clone())]);
            }
        }
    }
}

fn ok(frames: &[&str]) -> Vec<Found> {
    frames.iter().map(|frame| Ok(frame.as_bytes().to_vec())).collect()
}

#[test]
fn lines_end_with_or_without_a_carriage_return() {
    assert_eq!(decode(&Framing::Line, 9, &[b"a\r\n\nb\rc\nlast"]), ok(&["a", "", "b\rc", "last"]));
}

#[test]
fn a_line_of_just_the_limit_is_taken_with_either_end() {
    let found = decode(&Framing::Line, 3, &[b"abc\nabc\r\nabcd\nabcd\r\nok\n"]);
    let too_long = || Err(FrameError::TooLong { frame_bytes_max: 3 });
    assert_eq!(found, [Ok(b"abc".to_vec()), Ok(b"abc".to_vec()), too_long(), too_long(), Ok(b"ok".to_vec())]);
}

#[test]
fn a_frame_without_end_is_reported_once_and_costs_no_memory() {
    let endless = vec![b'x'; 100_000];
    let found = decode(&Framing::Delimiter(b"||".to_vec()), 10, &[&endless, b"|", b"|next||"]);
    assert_eq!(found, [Err(FrameError::TooLong { frame_bytes_max: 10 }), Ok(b"next".to_vec())]);
}

#[test]
fn slip_and_cobs_find_the_next_frame_after_a_bad_one() {
    let found = decode(&Framing::Slip, 10, &[b"\xC0a\xDBb\xC0ok\xC0"]);
    assert_eq!(found, [Err(FrameError::BadEscape), Ok(b"ok".to_vec())]);
    let found = decode(&Framing::Cobs, 10, &[b"\x09ab\x00\x03ok\x00\x00\x01\x00"]);
    assert_eq!(found, [Err(FrameError::BadCode), Ok(b"ok".to_vec()), Ok(vec![])]);
}

#[test]
fn a_wrong_length_is_final_and_waits_for_nothing() {
    let framing = |form, inclusive| Framing::LengthPrefix(LengthPrefix { form, inclusive });
    let too_long = |frame_bytes| [Err(FrameError::LengthTooLong { frame_bytes, frame_bytes_max: 10 })];
    assert_eq!(decode(&framing(LengthForm::U32Be, false), 10, &[b"\xFF\xFF\xFF\xFF"]), too_long(0xFFFF_FFFF));
    assert_eq!(decode(&framing(LengthForm::U8, false), 10, &[b"\x0B"]), too_long(11));
    assert_eq!(decode(&framing(LengthForm::U16Le, true), 10, &[b"\x01\x00"]), [Err(FrameError::BadLength)]);
    let varint = framing(LengthForm::Varint, false);
    assert_eq!(decode(&varint, 10, &[b"\x80\x80\x80\x80\x80"]), [Err(FrameError::BadLength)]);

    let mut decoder = Decoder::new(varint, 10).unwrap();
    for _ in 0..2 {
        let step = decoder.next(b"\xFF\x01abc", Duration::ZERO);
        let error = FrameError::LengthTooLong { frame_bytes: 255, frame_bytes_max: 10 };
        assert_eq!((step.consumed, step.found), (0, Some(Err(error))));
    }
}

#[test]
fn with_a_mark_there_is_a_way_back_from_a_wrong_length() {
    let framing = Framing::LengthPrefix(LengthPrefix { form: LengthForm::U8, inclusive: false });
    let found = decode_from(b"\x7E", &framing, 10, &[b"..\x7E\xFFxx\x7E\x02ok\x7E\x01!"]);
    assert_eq!(found, [Err(FrameError::FalseStart), Ok(b"ok".to_vec()), Ok(b"!".to_vec())]);
    let mut decoder = Decoder::new(framing, 10).unwrap().starting_with(b"\x7E"[..].into()).unwrap();
    let step = decoder.next(b"abc\x7E", Duration::ZERO);
    assert_eq!((step.consumed, step.skipped, step.found), (3, 3, None));
}

#[test]
fn what_stands_before_the_mark_is_no_part_of_the_frame() {
    let found = decode_from(b"$", &Framing::Line, 20, &[b"noise$GPRMC,1\n\r\nnone\n$GPGGA,2\n"]);
    assert_eq!(found, ok(&["$GPRMC,1", "$GPGGA,2"]));
    let mut decoder = Decoder::new(Framing::Line, 20).unwrap().starting_with(b"$"[..].into()).unwrap();
    assert_eq!(decoder.next(b"none\n", Duration::ZERO).skipped, 4);
    assert_eq!(decoder.next(b"ab$c\n", Duration::ZERO).skipped, 2);
}

#[test]
fn a_length_behind_a_head_is_part_of_its_frame() {
    // As Modbus/TCP has it: transaction, protocol, length, and what the length counts.
    let length = LengthPrefix { form: LengthForm::U16Be, inclusive: false };
    let framing = Framing::LengthField { head_bytes: 4, length };
    let (one, two) = (b"\0\x01\0\0\0\x03\x01\x83\x02", b"\0\x02\0\0\0\x00");
    let stream = [&one[..], two].concat();
    assert_eq!(decode(&framing, 20, &[&stream[..5], &stream[5..]]), [Ok(one.to_vec()), Ok(two.to_vec())]);
    let mut out = Vec::new();
    assert_eq!(framing.encode(one, &mut out), Ok(()));
    assert_eq!(framing.encode(&one[..8], &mut out), Err(EncodeError::WrongLength));
    assert_eq!(framing.encode(b"\0\x01", &mut out), Err(EncodeError::WrongLength));
    assert_eq!(out, one);
    let length = LengthPrefix { form: LengthForm::U8, inclusive: true };
    let framing = Framing::LengthField { head_bytes: 1, length };
    assert_eq!(decode(&framing, 20, &[b"a\x03x"]), [Ok(b"a\x03x".to_vec())]);
    assert_eq!(decode(&framing, 20, &[b"a\x01x"]), [Err(FrameError::BadLength)]);
}

#[test]
fn an_encoder_counts_what_it_puts_in_front() {
    let line = |start: Option<&[u8]>| Encoder::new(Framing::Line, 3, start.map(Into::into));
    let mut out = Vec::new();
    assert_eq!(line(None).encode(b"abc", &mut out), Ok(()));
    assert_eq!(line(Some(b"$")).encode(b"ab", &mut out), Ok(()));
    let too_long = Err(EncodeError::TooLong { frame_bytes_max: 3 });
    assert_eq!(line(None).encode(b"abcd", &mut out), too_long);
    assert_eq!(line(Some(b"$")).encode(b"abc", &mut out), too_long);
    assert_eq!(out, b"abc\n$ab\n");
}

#[test]
fn lengths_are_written_as_named() {
    let encoded = |form, inclusive| {
        let mut out = Vec::new();
        Framing::LengthPrefix(LengthPrefix { form, inclusive }).encode(b"abc", &mut out).unwrap();
        out
    };
    assert_eq!(encoded(LengthForm::U8, false), b"\x03abc");
    assert_eq!(encoded(LengthForm::U8, true), b"\x04abc");
    assert_eq!(encoded(LengthForm::U16Be, false), b"\x00\x03abc");
    assert_eq!(encoded(LengthForm::U16Le, true), b"\x05\x00abc");
    assert_eq!(encoded(LengthForm::U32Be, true), b"\x00\x00\x00\x07abc");
    assert_eq!(encoded(LengthForm::U32Le, false), b"\x03\x00\x00\x00abc");
    assert_eq!(encoded(LengthForm::Varint, false), b"\x03abc");
}

#[test]
fn a_varint_that_counts_itself_grows_where_it_must() {
    let framing = Framing::LengthPrefix(LengthPrefix { form: LengthForm::Varint, inclusive: true });
    for len in [126, 127, 128, 16_381, 16_382, 16_383] {
        let mut stream = Vec::new();
        framing.encode(&vec![7; len], &mut stream).unwrap();
        assert_eq!(decode(&framing, len, &[&stream]), [Ok(vec![7; len])]);
    }
}

#[test]
fn what_would_not_come_out_the_same_is_not_put_in() {
    let mut out = Vec::new();
    let u8_prefix = Framing::LengthPrefix(LengthPrefix { form: LengthForm::U8, inclusive: true });
    for (framing, frame, error) in [
        (Framing::Line, &b"a\nb"[..], EncodeError::ContainsEnd),
        (Framing::Line, b"a\r", EncodeError::ContainsEnd),
        (Framing::Delimiter(b"bb".to_vec()), b"ab", EncodeError::ContainsEnd),
        (Framing::Slip, b"", EncodeError::Empty),
        (Framing::IdleGap { gap: Duration::from_millis(1) }, b"", EncodeError::Empty),
        (Framing::Fixed { frame_bytes: 3 }, b"ab", EncodeError::NotFixedLength { frame_bytes: 3 }),
        (u8_prefix, &[0; 255], EncodeError::TooLongForPrefix),
    ] {
        assert_eq!(framing.encode(frame, &mut out), Err(error), "{framing:?}");
        assert!(out.is_empty());
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_says_so() {
    let u16_prefix = Framing::LengthPrefix(LengthPrefix { form: LengthForm::U16Be, inclusive: false });
    for framing in [Framing::Fixed { frame_bytes: 3 }, Framing::Slip, Framing::Cobs, u16_prefix] {
        assert_eq!(
            decode(&framing, 10, &[b"\x00\x05"]).last(),
            Some(&Err(FrameError::Truncated)),
            "{framing:?}"
        );
        assert_eq!(decode(&framing, 10, &[b""]), []);
    }
}

#[test]
fn a_gap_ends_a_frame() {
    let ms = Duration::from_millis;
    let mut decoder = Decoder::new(Framing::IdleGap { gap: ms(10) }, 8).unwrap();
    assert_eq!(decoder.deadline(), None);
    assert_eq!(decoder.next(b"ab", ms(100)).found, None);
    assert_eq!(decoder.deadline(), Some(ms(110)));
    assert_eq!(decoder.next(b"abcd", ms(109)).found, None);
    assert_eq!(decoder.next(b"abcd", ms(118)).found, None);
    // New bytes that come with the gap begin the next frame.
    let step = decoder.next(b"abcdef", ms(119));
    assert_eq!((step.consumed, step.found.unwrap().unwrap().as_ref()), (4, &b"abcd"[..]));
    assert_eq!(decoder.next(b"ef", ms(119)).found, None);
    let step = decoder.next(b"ef", decoder.deadline().unwrap());
    assert_eq!((step.consumed, step.found.unwrap().unwrap().as_ref()), (2, &b"ef"[..]));
    assert_eq!(decoder.deadline(), None);
}

#[test]
fn after_a_frame_that_was_too_long_the_gap_is_waited_for() {
    let ms = Duration::from_millis;
    let mut decoder = Decoder::new(Framing::IdleGap { gap: ms(10) }, 3).unwrap();
    let step = decoder.next(b"abcd", ms(1));
    assert_eq!((step.consumed, step.found), (4, Some(Err(FrameError::TooLong { frame_bytes_max: 3 }))));
    let step = decoder.next(b"ef", ms(10));
    assert_eq!((step.consumed, step.found), (2, None));
    assert_eq!(decoder.next(b"gh", ms(20)).consumed, 0);
    assert_eq!(decoder.finish(b"gh"), Some(Ok(b"gh"[..].into())));
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let new = |framing, max| Decoder::new(framing, max).err();
    assert_eq!(new(Framing::Line, 0), Some(InvalidFraming::NoRoom));
    assert_eq!(new(Framing::Delimiter(vec![]), 9), Some(InvalidFraming::Delimiter));
    assert_eq!(new(Framing::Delimiter(vec![1; 17]), 9), Some(InvalidFraming::Delimiter));
    assert_eq!(new(Framing::Fixed { frame_bytes: 10 }, 9), Some(InvalidFraming::FixedLength));
    assert_eq!(new(Framing::IdleGap { gap: Duration::ZERO }, 9), Some(InvalidFraming::Gap));
    let length = LengthPrefix { form: LengthForm::U8, inclusive: false };
    assert_eq!(new(Framing::LengthField { head_bytes: 9, length }, 9), Some(InvalidFraming::Head));
    assert_eq!(new(Framing::LengthField { head_bytes: 65, length }, 99), Some(InvalidFraming::Head));
    let start = |framing, mark: &[u8]| Decoder::new(framing, 9).unwrap().starting_with(mark.into()).err();
    assert_eq!(start(Framing::Line, b""), Some(InvalidFraming::Start));
    assert_eq!(start(Framing::Line, b"0123456789"), Some(InvalidFraming::Start));
    assert_eq!(start(Framing::Fixed { frame_bytes: 1 }, b"ab"), Some(InvalidFraming::Start));
    assert_eq!(start(Framing::LengthPrefix(length), b"0123456789"), None);
}
