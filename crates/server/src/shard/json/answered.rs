//! What a UDP peer has been answered: an answer can get lost, and then its request comes again.

use std::collections::VecDeque;

/// So many answers are remembered.
const ANSWERS_MAX: usize = 16;

/// Bytes of them; the newest is remembered whatever it has.
const BYTES_MAX: usize = 64 << 10;

/// The answers to the last requests, with the ids of these and what was asked, hashed, the oldest first.
#[derive(Default)]
pub(in crate::shard) struct Answered {
    answers: VecDeque<(u64, u64, Box<[u8]>)>,
    bytes: usize,
}

impl Answered {
    /// A request has been answered.
    pub(super) fn note(&mut self, (id, content): (u64, u64), text: &[u8]) {
        if let Some(at) = self.answers.iter().position(|(known, ..)| *known == id)
            && let Some((.., old)) = self.answers.remove(at)
        {
            self.bytes -= old.len();
        }
        self.answers.push_back((id, content, text.into()));
        self.bytes += text.len();
        while self.answers.len() > ANSWERS_MAX || self.bytes > BYTES_MAX && self.answers.len() > 1 {
            let Some((.., oldest)) = self.answers.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// What a request was answered; nothing if another one came under its id. A process that is started anew begins with the
    /// same ids, and may have the same port.
    pub(super) fn get(&self, id: u64, content: u64) -> Option<&[u8]> {
        let found = self.answers.iter().find(|(known, asked, _)| (*known, *asked) == (id, content));
        found.map(|(.., text)| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answers_are_remembered_within_bounds() {
        let mut answered = Answered::default();
        for id in 0..100 {
            answered.note((id, 1), b"x");
        }
        assert_eq!(answered.answers.len(), ANSWERS_MAX);
        assert_eq!(
            (answered.get(99, 1), answered.get(99, 2), answered.get(0, 1)),
            (Some(&b"x"[..]), None, None)
        );
        answered.note((99, 2), b"y");
        assert_eq!(
            (answered.get(99, 2), answered.get(99, 1), answered.answers.len()),
            (Some(&b"y"[..]), None, ANSWERS_MAX)
        );
        let large = vec![0; BYTES_MAX + 1];
        answered.note((7, 1), &large);
        assert_eq!((answered.answers.len(), answered.bytes), (1, BYTES_MAX + 1));
        answered.note((8, 1), b"z");
        assert_eq!((answered.answers.len(), answered.bytes), (1, 1));
    }
}
