//! Histories made up by hand: the oracle must find what is wrong with each, and nothing wrong with the good one.

use super::*;
use crate::history::History;

/// Client 0 publishes, client 1 is subscribed.
struct Story(History);

impl Story {
    fn new(qos: u8) -> Story {
        let mut story = Story(History::default());
        story.0.add(1, Event::Subscribing { filter: "t/#".into(), qos, wants_retained: true, request: 1 });
        story.0.add(1, Event::Subscribed { filter: "t/#".into(), qos, request: 1 });
        story
    }

    fn sent(mut self, numbers: &[u64], qos: u8) -> Story {
        for &number in numbers {
            self.0.add(0, Event::Sent(message(number, qos, false)));
        }
        self
    }

    fn acknowledged(mut self, numbers: &[u64]) -> Story {
        numbers.iter().for_each(|number| self.0.add(0, Event::Acknowledged(*number)));
        self
    }

    fn resent(mut self, numbers: &[u64]) -> Story {
        numbers.iter().for_each(|number| self.0.add(0, Event::Resent(*number)));
        self
    }

    /// A negative number stands for one with DUP.
    fn came(mut self, numbers: &[i64], qos: u8) -> Story {
        for &number in numbers {
            let (number, dup) = (number.unsigned_abs(), number < 0);
            self.0.add(1, Event::Delivered { number, topic: "t/1".into(), qos, retain: false, dup });
        }
        self
    }

    fn event(mut self, client: usize, event: Event) -> Story {
        self.0.add(client, event);
        self
    }

    fn verdict(self) -> Result<Summary, String> {
        check(&self.0.entries, Allowance::default())
    }

    fn fails_with(self, word: &str) {
        let verdict = self.verdict();
        assert!(verdict.as_ref().is_err_and(|why| why.contains(word)), "{word}: {verdict:?}");
    }
}

fn message(number: u64, qos: u8, retain: bool) -> Message {
    Message {
        number,
        topic: "t/1".into(),
        qos,
        retain,
        expiry_s: None,
        payload_bytes: 0,
        delay_s: None,
        clears: false,
    }
}

#[test]
fn good_histories_pass() {
    let story = Story::new(2).sent(&[1, 2, 3], 2).acknowledged(&[1, 2, 3]).came(&[1, 2, 3], 2);
    let summary = story.verdict().expect("nothing is wrong");
    assert_eq!((summary.sent, summary.delivered, summary.promised), (3, 3, 3));
    let story = Story::new(1).sent(&[1, 2, 3], 1).acknowledged(&[1, 2, 3]);
    story.came(&[1, 2, -1, -2, 3], 1).verdict().expect("a resend at QoS 1 goes back and comes again");
    Story::new(0).sent(&[1, 2], 0).came(&[2], 0).verdict().expect("QoS 0 may be lost");
    let story = Story::new(1).sent(&[1, 2], 1).resent(&[1, 2]).acknowledged(&[1, 2]);
    story.came(&[1, 2, 1, 2], 1).verdict().expect("the publisher was not sure, so the hub got them twice");
}

#[test]
fn a_message_that_is_missing() {
    for qos in [1, 2] {
        let story = Story::new(qos).sent(&[1, 2], qos).acknowledged(&[1, 2]).came(&[1], qos);
        story.fails_with("missing");
    }
    Story::new(1).sent(&[1], 1).fails_with("never acknowledged");
}

#[test]
fn a_message_too_many() {
    Story::new(2).sent(&[1], 2).acknowledged(&[1]).came(&[1, 1], 2).fails_with("came 2 times");
    Story::new(0).sent(&[1], 0).came(&[1, 1], 0).fails_with("came 2 times");
    Story::new(1).sent(&[1], 1).acknowledged(&[1]).came(&[1, 1], 1).fails_with("without DUP");
    Story::new(1).came(&[5], 1).fails_with("nobody sent");
}

#[test]
fn an_order_that_is_not_kept() {
    for qos in 0..=2 {
        let story = Story::new(qos).sent(&[1, 2], qos).acknowledged(if qos > 0 { &[1, 2] } else { &[] });
        story.came(&[2, 1], qos).fails_with("for the first time after");
    }
    let story = Story::new(1).sent(&[1, 2, 3, 4], 1).acknowledged(&[1, 2, 3, 4]);
    story.came(&[1, 2, 3, -1, -3, 4], 1).fails_with("left out");
    let story = Story::new(1).sent(&[1, 2, 3, 4], 1).acknowledged(&[1, 2, 3, 4]);
    story.came(&[1, 2, 3, -2, 4, -3], 1).fails_with("should come again");
}

#[test]
fn what_was_not_asked_for() {
    Story::new(1).sent(&[1], 2).acknowledged(&[1]).came(&[1], 2).fails_with("subscribed at 1");
    let story = Story::new(1).event(1, Event::SessionLost).sent(&[1], 1).acknowledged(&[1]);
    story.came(&[1], 1).fails_with("not subscribed");
}

#[test]
fn a_session_that_is_lost_promises_nothing() {
    let story = Story::new(1).sent(&[1], 1).acknowledged(&[1]).event(1, Event::SessionLost);
    story.verdict().expect("it went with the session");
    let story = Story::new(1).sent(&[1], 1).acknowledged(&[1]);
    let story = story.event(1, Event::Unsubscribing { filter: "t/#".into() });
    story.verdict().expect("it was no longer wanted");
}

#[test]
fn retained_messages() {
    let kept = |numbers: &[u64]| {
        let mut story = Story(History::default());
        for &number in numbers {
            story.0.add(0, Event::Sent(message(number, 1, true)));
            story.0.add(0, Event::Acknowledged(number));
        }
        let subscribing =
            Event::Subscribing { filter: "t/+".into(), qos: 1, wants_retained: true, request: 1 };
        story.event(1, subscribing).event(1, Event::Subscribed { filter: "t/+".into(), qos: 1, request: 1 })
    };
    let came = |number, dup| Event::Delivered { number, topic: "t/1".into(), qos: 1, retain: true, dup };
    kept(&[1, 2]).event(1, came(2, false)).event(1, came(2, true)).verdict().expect("once, and again as DUP");
    kept(&[1, 2]).fails_with("retained 2");
    kept(&[1, 2]).event(1, came(1, false)).fails_with("so old");
    kept(&[1]).event(1, came(1, false)).event(1, came(1, false)).fails_with("again");
}

#[test]
fn filters_match_as_the_specification_says() {
    for (filter, topic) in
        [("#", "a"), ("a/#", "a"), ("a/#", "a/b/c"), ("+/b", "a/b"), ("+", ""), ("/+", "/a")]
    {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in [("#", "$SYS/a"), ("+/a", "$SYS/a"), ("a", "a/b"), ("a/+", "a"), ("a/b", "a")] {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
}

#[test]
fn a_message_that_crosses_a_subscription_may_come_late() {
    let story = || {
        let weak = Event::Subscribing { filter: "t/+".into(), qos: 0, wants_retained: false, request: 1 };
        let weak = Story(History::default()).event(1, weak);
        weak.event(1, Event::Subscribed { filter: "t/+".into(), qos: 0, request: 1 })
    };
    let strong = || Event::Subscribing { filter: "t/#".into(), qos: 1, wants_retained: false, request: 2 };
    // The first one reached the hub before the request, at QoS 0, and got lost; then it came again.
    let crossed = story().event(1, strong()).sent(&[1, 2], 1).came(&[2], 1).resent(&[1, 2]);
    let crossed = crossed.acknowledged(&[1, 2]).came(&[1, 2], 1);
    crossed.verdict().expect("nobody knows when the subscription was made");
    let story =
        story().event(1, strong()).event(1, Event::Subscribed { filter: "t/#".into(), qos: 1, request: 2 });
    let story = story.sent(&[1, 2], 1).came(&[2], 1).resent(&[1, 2]).acknowledged(&[1, 2]);
    story.came(&[1, 2], 1).fails_with("for the first time after");
}
