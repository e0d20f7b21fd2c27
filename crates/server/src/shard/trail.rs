//! The ids of server-sent events: how far a stream has come with the histories of its topics, in one line of text.
//!
//! A browser gives the last id back when it connects again (`Last-Event-ID`), and knows nothing else of where it was. So each id
//! says all: when the stream began, and the place of each topic of which something has come since.

use std::collections::VecDeque;
use trefoil_hub::{Epoch, Place, Resume, Topic};

/// Topics that stand in an id. Of those beyond, which have been silent for longest, it is said only that they have been
/// followed since the beginning: what has come of them comes again after a new connection, and nothing is missing.
const TOPICS_MAX: usize = 32;

/// Bytes of all their names.
const TOPIC_BYTES_MAX: usize = 2048;

/// How far a stream has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trail {
    /// Since when it has followed the topics that are not listed, in microseconds since 1970.
    time: u64,
    /// What spoke last stands last.
    topics: VecDeque<(String, Place)>,
    topic_bytes: usize,
}

impl Trail {
    /// Of a stream that begins, or goes on where an earlier one was.
    pub(super) fn new(time: u64, resumed: Option<&Resume>) -> Trail {
        let mut trail = Trail { time, topics: VecDeque::new(), topic_bytes: 0 };
        if let Some(resumed) = resumed {
            trail.time = resumed.time.unwrap_or(time);
            for (topic, place) in &resumed.topics {
                trail.note(topic, *place);
            }
        }
        trail
    }

    /// A message with this place is sent.
    pub(super) fn sent(&mut self, topic: &Topic, place: Place) {
        match self.topics.back_mut() {
            Some((last, known)) if **last == **topic => *known = place,
            _ => self.note(topic, place),
        }
    }

    fn note(&mut self, topic: &str, place: Place) {
        if let Some(at) = self.topics.iter().position(|(known, _)| *known == topic) {
            self.topics.remove(at);
        } else {
            self.topic_bytes += topic.len();
        }
        self.topics.push_back((topic.to_owned(), place));
        while self.topics.len() > TOPICS_MAX || self.topic_bytes > TOPIC_BYTES_MAX && self.topics.len() > 1 {
            let Some((oldest, _)) = self.topics.pop_front() else { return };
            self.topic_bytes -= oldest.len();
        }
    }

    /// Appends `TIME;EPOCH-OFFSET=TOPIC;…`, with what is special in topics escaped as in an address.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.time.to_string().as_bytes());
        for (topic, place) in &self.topics {
            out.extend_from_slice(format!(";{}-{}=", place.epoch, place.offset).as_bytes());
            form_urlencoded::byte_serialize(topic.as_bytes())
                .for_each(|part| out.extend_from_slice(part.as_bytes()));
        }
    }

    /// Reads an id; none if it is none of this hub's.
    pub(super) fn read(id: &str) -> Option<Resume> {
        let mut parts = id.split(';');
        let time = parts.next()?.parse().ok()?;
        let mut topics = Vec::new();
        for part in parts {
            let (place, topic) = part.split_once('=')?;
            let (epoch, offset) = place.split_once('-')?;
            let epoch: Epoch = epoch.parse().ok()?;
            // An escaped topic is what a form would have as the name of a field.
            let (topic, _) = form_urlencoded::parse(topic.as_bytes()).next()?;
            topics.push((topic.into_owned(), Place { epoch, offset: offset.parse().ok()? }));
        }
        Some(Resume { last: 0, time: Some(time), topics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { epoch: "0123456789ab".parse().expect("it is one"), offset }
    }

    fn id(trail: &Trail) -> String {
        let mut out = Vec::new();
        trail.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn an_id_says_how_far_a_stream_has_come() {
        let mut trail = Trail::new(77, None);
        for (topic, offset) in [("a", 1), ("a", 2), ("é ;=&\n%/+", 9), ("a", 3)] {
            trail.sent(&Topic::new(&topic.replace('+', "p"), 9).expect("valid"), place(offset));
        }
        let text = id(&trail);
        assert!(text.is_ascii() && !text.contains(['\n', ' ']), "{text}");
        let resume = Trail::read(&text).expect("it is one");
        assert_eq!((resume.time, resume.topics.len()), (Some(77), 2));
        assert!(resume.topics.contains(&("a".into(), place(3))));
        assert!(resume.topics.contains(&("é ;=&\n%/p".into(), place(9))));
        assert_eq!(id(&Trail::new(99, Some(&resume))), text, "it goes on as it was");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "x", "1;", "1;0123456789ab-1", "1;0123456789ab=t", "1;123-1=t", "1;0123456789ab-x=t"]
        {
            assert_eq!(Trail::read(text), None, "{text}");
        }
        assert!(Trail::read("12").is_some());
    }

    #[test]
    fn what_has_been_silent_for_longest_is_left_out() {
        let mut trail = Trail::new(1, None);
        for n in 0..40 {
            trail.sent(&Topic::new(&format!("t/{n}"), 9).expect("valid"), place(1));
        }
        trail.sent(&Topic::new("t/10", 9).expect("valid"), place(2));
        let resume = Trail::read(&id(&trail)).expect("it is one");
        assert_eq!((resume.topics.len(), resume.topics[0].0.as_str()), (TOPICS_MAX, "t/8"));
        trail.sent(&Topic::new(&"long".repeat(1000), 9).expect("valid"), place(1));
        assert_eq!(Trail::read(&id(&trail)).expect("it is one").topics.len(), 1);
    }
}
