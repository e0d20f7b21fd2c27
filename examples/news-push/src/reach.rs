//! How far an article has come: how many readers have it, and how long the last of them had to wait longer than the first.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// After so long what has not arrived is told, too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Articles that are counted at a time; one that comes on top of that pushes out the oldest.
const COUNTED_MAX: usize = 100;

/// Counts the arrivals of the latest articles.
#[derive(Debug)]
pub(crate) struct Reach {
    of: u32,
    counted: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    id: String,
    readers: u32,
    first: Instant,
    last: Instant,
    is_told: bool,
}

impl Reach {
    /// Counts among so many readers.
    pub(crate) fn new(of: u32) -> Reach {
        Reach { of, counted: Vec::new() }
    }

    /// A reader has got an article. What is to be told, if it was the last reader.
    pub(crate) fn arrived(&mut self, id: &str, now: Instant) -> Option<Value> {
        let of = self.of;
        let counted = self.find(id, now);
        counted.readers += 1;
        counted.last = now;
        (counted.readers >= of && !counted.is_told).then(|| counted.tell(of))
    }

    /// What is to be told of articles that have not come to everybody after a while.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<Value> {
        let of = self.of;
        let is_due = |counted: &Counted| !counted.is_told && now.duration_since(counted.first) >= PATIENCE;
        self.counted.iter_mut().filter(|counted| is_due(counted)).map(|counted| counted.tell(of)).collect()
    }

    fn find(&mut self, id: &str, now: Instant) -> &mut Counted {
        let at = self.counted.iter().position(|counted| counted.id == id).unwrap_or_else(|| {
            if self.counted.len() == COUNTED_MAX {
                self.counted.remove(0);
            }
            self.counted.push(Counted { id: id.into(), readers: 0, first: now, last: now, is_told: false });
            self.counted.len() - 1
        });
        &mut self.counted[at]
    }
}

impl Counted {
    fn tell(&mut self, of: u32) -> Value {
        self.is_told = true;
        let ms = self.last.duration_since(self.first).as_secs_f64() * 1000.0;
        json!({ "id": self.id, "readers": self.readers, "of": of, "ms": (ms * 10.0).round() / 10.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_is_told_of_once_when_all_have_it_or_time_is_up() {
        let (mut reach, start) = (Reach::new(3), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(reach.arrived("a", start), None);
        assert_eq!(reach.arrived("b", after(1)), None);
        assert_eq!(reach.arrived("a", after(2)), None);
        assert_eq!(
            reach.arrived("a", after(4)),
            Some(json!({ "id": "a", "readers": 3, "of": 3, "ms": 4.0 }))
        );
        assert_eq!(reach.arrived("a", after(5)), None);
        assert!(reach.overdue(after(5000)).is_empty());
        assert_eq!(reach.overdue(after(5001)), [json!({ "id": "b", "readers": 1, "of": 3, "ms": 0.0 })]);
        assert!(reach.overdue(after(9000)).is_empty());
    }

    #[test]
    fn no_more_than_the_latest_are_counted() {
        let (mut reach, now) = (Reach::new(2), Instant::now());
        for number in 0..1000 {
            reach.arrived(&number.to_string(), now);
        }
        assert_eq!(reach.counted.len(), COUNTED_MAX);
    }
}
