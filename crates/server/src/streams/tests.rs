//! The book, without any connection.

#![allow(clippy::unwrap_used)]

use super::*;

struct Story {
    streams: Streams,
    limits: Limits,
    letters: Vec<Letter>,
    now: Time,
}

fn end(number: u32) -> End {
    End { shard: number as usize % 2, key: ConnectionKey(number), serial: number }
}

impl Story {
    fn begin() -> Story {
        let limits = Limits { stream_waiting_max: 2, stream_accept_s: 10, ..Limits::default() };
        Story { streams: Streams::default(), limits, letters: Vec::new(), now: Time::from_ms(1000) }
    }

    fn connect(&mut self, number: u32, wait_s: u64) -> Result<Found, RequestError> {
        let times = (self.now, self.now.plus_s(wait_s));
        let called = ("n".into(), Who::default());
        self.streams.connect((&called.0, called.1), end(number), times, &self.limits, &mut self.letters)
    }

    fn listen(&mut self, number: u32, exclusive: bool, once: bool) -> Result<Found, RequestError> {
        let wishes = (exclusive, once);
        self.streams.listen(&"n".into(), end(number), wishes, self.now, &self.limits, &mut self.letters)
    }

    fn leave(&mut self, number: u32) {
        self.streams.leave(end(number), self.now, &self.limits, &mut self.letters);
    }

    /// The token of the next call, which is for that listener.
    #[track_caller]
    fn called(&mut self, listener: u32) -> Token {
        assert!(!self.letters.is_empty(), "nobody is called");
        match self.letters.remove(0) {
            (to, Note::Call { token, .. }) if to == end(listener) => token,
            other => panic!("{other:?}"),
        }
    }

    /// When the next letter tells a caller that its listener has to have accepted.
    #[track_caller]
    fn due(&mut self, caller: u32) -> Time {
        match self.letters.remove(0) {
            (to, Note::Due(until)) if to == end(caller) => until,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn failed(&mut self, caller: u32, code: Code) {
        match self.letters.remove(0) {
            (to, Note::Failed(error)) if to == end(caller) => assert_eq!(error.code, code),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn is_empty(&self) {
        assert!(self.letters.is_empty(), "{:?}", self.letters);
        let book = self.streams.open();
        assert!(book.names.is_empty() && book.callers.is_empty());
        assert!(book.tokens.is_empty() && book.listening.is_empty());
    }
}

fn code(result: Result<Found, RequestError>) -> Code {
    result.unwrap_err().code
}

#[test]
fn a_token_is_good_for_one_of_them_once() {
    let mut story = Story::begin();
    assert_eq!(code(story.connect(1, 0)), Code::NoListener);
    assert!(matches!(story.listen(2, false, false), Ok(Found::Waits(None))));
    assert!(matches!(story.connect(1, 0), Ok(Found::Waits(Some(_)))));
    let token = story.called(2);
    let text = token.to_string();
    assert_eq!(Token::read(&text), Some(token));
    assert_eq!(story.streams.accept(token).unwrap().0, end(1));
    assert!(story.streams.accept(token).is_none());
    assert!(!story.streams.turn_away(token, "", &mut story.letters));
    story.leave(2);
    story.is_empty();
    for wrong in ["", "0", &text[1..], &format!("+{}", &text[1..]), &format!("{text}0")] {
        assert_eq!(Token::read(wrong), None, "{wrong}");
    }
}

#[test]
fn listeners_take_turns_and_callers_of_one_that_leaves_go_to_the_next() {
    let mut story = Story::begin();
    story.listen(10, false, false).unwrap();
    story.listen(11, false, false).unwrap();
    for (caller, listener) in [(1, 10), (2, 11), (3, 10), (4, 11)] {
        story.connect(caller, 0).unwrap();
        story.called(listener);
    }
    // Both have heard of as many as may be.
    assert_eq!(code(story.connect(5, 0)), Code::Quota);
    // One caller has gone, and so there is room for one of the two that the other listener has left behind.
    story.leave(2);
    story.leave(10);
    story.called(11);
    story.due(1);
    story.failed(3, Code::Quota);
    story.leave(11);
    story.failed(4, Code::NoListener);
    story.failed(1, Code::NoListener);
    story.is_empty();
}

#[test]
fn whoever_waits_for_a_listener_gets_the_first() {
    let mut story = Story::begin();
    story.connect(1, 60).unwrap();
    story.connect(2, 60).unwrap();
    assert_eq!(code(story.connect(3, 60)), Code::Quota);
    assert!(matches!(story.listen(10, false, true), Ok(Found::Join(caller)) if caller == end(1)));
    story.listen(11, true, false).unwrap();
    let token = story.called(11);
    story.due(2);
    // It goes on waiting when that one leaves without an answer.
    story.leave(11);
    story.due(2);
    assert!(story.streams.accept(token).is_none());
    assert!(matches!(story.listen(12, false, true), Ok(Found::Join(caller)) if caller == end(2)));
    story.is_empty();
}

#[test]
fn a_listener_for_one_call_is_found_once() {
    let mut story = Story::begin();
    story.listen(10, false, true).unwrap();
    assert!(matches!(story.connect(1, 0), Ok(Found::Join(listener)) if listener == end(10)));
    assert_eq!(code(story.connect(2, 0)), Code::NoListener);
    story.is_empty();
}

#[test]
fn who_wants_to_be_alone_is() {
    let mut story = Story::begin();
    story.listen(10, false, false).unwrap();
    assert_eq!(code(story.listen(11, true, false)), Code::Taken);
    assert_eq!(code(story.listen(10, false, false)), Code::Taken);
    story.leave(10);
    story.listen(11, true, false).unwrap();
    assert_eq!(code(story.listen(10, false, true)), Code::Taken);
    story.leave(11);
    story.is_empty();
}

#[test]
fn time_is_up_for_listeners_and_for_those_who_do_not_accept() {
    let mut story = Story::begin();
    story.connect(1, 60).unwrap();
    let limits = story.limits.clone();
    let look = |story: &Story| story.streams.is_due(end(1), story.now, &limits);
    assert_eq!(look(&story), Ok(Some(Time::from_ms(61_000))));
    story.now = Time::from_ms(30_000);
    story.listen(10, false, false).unwrap();
    assert_eq!(look(&story), Ok(Some(Time::from_ms(40_000))));
    let token = story.called(10);
    assert_eq!(story.due(1), Time::from_ms(40_000));
    story.now = Time::from_ms(40_000);
    assert_eq!(look(&story).unwrap_err().code, Code::Timeout);
    assert!(story.streams.accept(token).is_none());
    // Another one, with nobody there.
    story.leave(10);
    story.connect(1, 5).unwrap();
    story.now = Time::from_ms(45_000);
    assert_eq!(look(&story).unwrap_err().code, Code::NoListener);
    assert_eq!(look(&story), Ok(None));
    story.is_empty();
}

#[test]
fn there_are_as_many_streams_as_may_be() {
    let mut story = Story::begin();
    story.limits.streams_max = 1;
    let join = |story: &Story| {
        story.streams.join(&"n".into(), (Who::default(), Who::default()), story.now, &story.limits)
    };
    let joined = join(&story).unwrap();
    joined.count(0, 5);
    joined.count(1, 7);
    assert_eq!(join(&story).unwrap_err().code, Code::Quota);
    assert_eq!(code(story.connect(1, 9)), Code::Quota);
    assert_eq!(story.streams.counts(), Counts { joined: 1, listeners: 0, callers: 0 });
    story.streams.part(&joined);
    assert_eq!(story.streams.bytes_moved(), 12);
    assert_eq!(story.streams.counts(), Counts::default());
    join(&story).unwrap();
}

#[test]
fn names_are_listed_in_order() {
    let mut story = Story::begin();
    story.listen(10, false, false).unwrap();
    story.connect(1, 0).unwrap();
    story
        .streams
        .connect(
            (&"a".into(), Who::default()),
            end(2),
            (story.now, story.now.plus_s(1)),
            &story.limits,
            &mut story.letters,
        )
        .unwrap();
    let listed = |name: &str, listeners| Listed { name: name.into(), listeners, callers: 1 };
    assert_eq!(story.streams.list(9).0, [listed("a", 0), listed("n", 1)]);
    assert_eq!(story.streams.list(1).0.len(), 1);
}
