//! What a UDP peer has been answered: an answer can get lost, and then its request comes again.

use std::collections::VecDeque;

/// So many answers are remembered.
const ANSWERS_MAX: usize = 16;

/// Bytes of them; the newest is remembered whatever it has.
const BYTES_MAX: usize = 64 << 10;

/// The answers to the last requests, with the ids of these, the oldest first.
#[derive(Default)]
pub(in crate::shard) struct Answered {
    answers: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Answered {
    /// A request has been answered.
    pub(super) fn note(&mut self, id: u64, text: &[u8]) {
        if let Some(at) = self.answers.iter().position(|(known, _)| *known == id)
            && let Some((_, old)) = self.answers.remove(at)
        {
            self.bytes -= old.len();
        }
        self.answers.push_back((id, text.into()));
        self.bytes += text.len();
        while self.answers.len() > ANSWERS_MAX || self.bytes > BYTES_MAX && self.answers.len() > 1 {
            let Some((_, oldest)) = self.answers.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// What a request was answered.
    pub(super) fn get(&self, id: u64) -> Option<&[u8]> {
        self.answers.iter().find(|(known, _)| *known == id).map(|(_, text)| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answers_are_remembered_within_bounds() {
        let mut answered = Answered::default();
        for id in 0..100 {
            answered.note(id, b"x");
        }
        assert_eq!(answered.answers.len(), ANSWERS_MAX);
        assert_eq!((answered.get(99), answered.get(0)), (Some(&b"x"[..]), None));
        answered.note(99, b"y");
        assert_eq!((answered.get(99), answered.answers.len()), (Some(&b"y"[..]), ANSWERS_MAX));
        let large = vec![0; BYTES_MAX + 1];
        answered.note(7, &large);
        assert_eq!((answered.answers.len(), answered.bytes), (1, BYTES_MAX + 1));
        answered.note(8, b"z");
        assert_eq!((answered.answers.len(), answered.bytes), (1, 1));
    }
}
