//! Text that is UTF-8, and text that is not, however it is cut.

use super::{Case, Cases};
use trefoil_tests::Hub;

/// By the table of Unicode (3-7): the edges of each range.
const GOOD: [&[u8]; 20] = [
    b"",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xe1\x80\x80",
    b"\xec\xbf\xbf",
    b"\xed\x80\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf1\x80\x80\x80",
    b"\xf3\xbf\xbf\xbf",
    b"\xf4\x80\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
];

const BAD: [(&[u8], &str); 34] = [
    (b"\x80", "a continuation byte"),
    (b"\xbf", "the last continuation byte"),
    (b"\x80\xbf\x80", "three of them"),
    (b"\xc0", "a byte that is never there"),
    (b"\xc1", "another one"),
    (b"\xf5", "the first above all"),
    (b"\xf8", "the start of five bytes"),
    (b"\xfc", "the start of six"),
    (b"\xfe", "FE"),
    (b"\xff", "FF"),
    (b"\xfe\xfe\xff\xff", "four of those"),
    (b"\xc2", "half of two bytes"),
    (b"\xe0\xa0", "two of three"),
    (b"\xe1\x80", "two of three in the next range"),
    (b"\xed\x80", "two of three before the surrogates"),
    (b"\xf0\x90\x80", "three of four"),
    (b"\xf4\x8f\xbf", "three of four at the end"),
    (b"\xc2\x20", "a space instead of the second"),
    (b"\xe1\x20\x80", "a space in the middle"),
    (b"\xe1\x80\x20", "a space at the end"),
    (b"\xf1\x80\x80\x20", "a space instead of the fourth"),
    (b"\xc0\xaf", "a slash in two bytes"),
    (b"\xe0\x80\xaf", "a slash in three"),
    (b"\xf0\x80\x80\xaf", "a slash in four"),
    (b"\xc1\xbf", "the largest in two bytes that is too long"),
    (b"\xe0\x9f\xbf", "the same in three"),
    (b"\xf0\x8f\xbf\xbf", "the same in four"),
    (b"\xed\xa0\x80", "the first surrogate"),
    (b"\xed\xad\xbf", "a high surrogate"),
    (b"\xed\xb0\x80", "a low surrogate"),
    (b"\xed\xbf\xbf", "the last surrogate"),
    (b"\xed\xa0\x80\xed\xb0\x80", "a pair of them"),
    (b"\xf4\x90\x80\x80", "the first beyond Unicode"),
    (b"\xf7\xbf\xbf\xbf", "the last of four bytes"),
];

/// A message in two fragments, cut there.
fn in_two(case: Case, text: &[u8], cut: usize) -> Case {
    case.frame(0x01, &text[..cut]).frame(0x80, &text[cut..])
}

#[test]
fn what_is_text() {
    let mut cases = Cases::default();
    for good in GOOD {
        let text = [b"before ", good, b" after"].concat();
        cases.add_cut(Case::new(format!("{}", good.escape_ascii())).echoed(0x81, &text), &[1]);
        for cut in 0..=good.len() {
            let case = Case::new(format!("{} cut at {cut}", good.escape_ascii()));
            cases.add(in_two(case, &text, 7 + cut).gets(0x81, text.clone()));
        }
    }
    cases.run(&Hub::start(), 124);
}

#[test]
fn what_is_none() {
    let mut cases = Cases::default();
    for (bad, what) in BAD {
        let text = [b"before ", bad].concat();
        cases.add_cut(Case::new(what).frame(0x81, &text).fails(1007), &[1]);
        cases.add_cut(
            Case::new(format!("{what}, in two")).frame(0x01, "before ").frame(0x80, bad).fails(1007),
            &[1],
        );
        for cut in 1..bad.len() {
            cases.add(in_two(Case::new(format!("{what}, cut at {cut}")), bad, cut).fails(1007));
        }
        // In binary it is nobody's business.
        cases.add(Case::new(format!("{what}, in binary")).echoed(0x82, bad));
    }
    cases.run(&Hub::start(), 221);
}

/// What is wrong is refused at once, though neither the message nor the frame is complete.
#[test]
fn nothing_is_waited_for() {
    let mut cases = Cases::default();
    let surely_wrong = BAD
        .iter()
        .filter(|(bad, _)| std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_some()));
    for (bad, what) in surely_wrong {
        cases.add(Case::new(format!("{what}, in a first fragment")).frame(0x01, bad).fails(1007));
        let case = Case::new(format!("{what}, in a second one"))
            .frame(0x01, "before")
            .frame(0x89, "")
            .gets(0x8a, "");
        cases.add(case.frame(0x00, bad).fails(1007));
        // A frame that promises a thousand bytes and has these.
        let mut started = vec![0x81, 0x80 | 126, 0x03, 0xe8, 0, 0, 0, 0];
        started.extend_from_slice(bad);
        cases.add(Case::new(format!("{what}, at the start of a frame")).sends(started).fails(1007));
    }
    cases.run(&Hub::start(), 84);
}
