//! Retained messages: what was set and cleared, what the hub has acknowledged, and what may be found there.

use std::collections::HashMap;

/// What has been done to each topic, in order. Each topic has one publisher, which waits for each answer.
#[derive(Default)]
pub(super) struct Shelf {
    topics: HashMap<String, Topic>,
}

#[derive(Default)]
struct Topic {
    /// The message set by each step; `None` cleared the topic.
    steps: Vec<Option<u64>>,
    /// Steps that were acknowledged: these are the first ones.
    acknowledged: usize,
}

/// One look at all topics.
pub(super) struct Look {
    /// Steps that were acknowledged when it began, by topic.
    floor: HashMap<String, usize>,
    seen: HashMap<String, u64>,
}

impl Shelf {
    /// A step is about to be sent.
    pub(super) fn sending(&mut self, topic: &str, message: Option<u64>) {
        self.topics.entry(topic.into()).or_default().steps.push(message);
    }

    /// The last step was acknowledged.
    pub(super) fn acknowledged(&mut self, topic: &str) {
        let topic = self.topics.entry(topic.into()).or_default();
        topic.acknowledged = topic.steps.len();
    }

    pub(super) fn look(&self) -> Look {
        let floor = self.topics.iter().map(|(name, topic)| (name.clone(), topic.acknowledged));
        Look { floor: floor.collect(), seen: HashMap::new() }
    }
}

impl Look {
    /// A retained message came.
    pub(super) fn came(&mut self, shelf: &Shelf, topic: &str, message: u64) -> Result<(), String> {
        let known =
            shelf.topics.get(topic).ok_or(format!("a retained message on {topic}, where none was set"))?;
        let step = known.steps.iter().position(|step| *step == Some(message));
        let step = step.ok_or(format!("retained message {message} on {topic}, which was not sent there"))?;
        let floor = self.floor.get(topic).copied().unwrap_or(0);
        if step + 1 < floor {
            let steps = &known.steps[step..];
            return Err(format!(
                "retained message {message} is on {topic}; after it came {steps:?}, of which {} were acknowledged",
                floor - step
            ));
        }
        if let Some(before) = self.seen.insert(topic.into(), message) {
            return Err(format!(
                "two retained messages on {topic} for one subscription: {before}, {message}"
            ));
        }
        Ok(())
    }

    /// A topic on which a message must be and has not come yet.
    pub(super) fn missing(&self, shelf: &Shelf) -> Option<String> {
        self.floor.iter().filter(|(name, _)| !self.seen.contains_key(*name)).find_map(|(name, &floor)| {
            let last = floor.checked_sub(1)?;
            // What was sent and not acknowledged may have been done or not.
            let possible = shelf.topics.get(name)?.steps.get(last..)?;
            let must_be_there = possible.iter().all(Option::is_some);
            must_be_there.then(|| format!("no retained message on {name}, one of {possible:?} was promised"))
        })
    }

    pub(super) fn seen(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 acknowledged, then what the steps say, of which `acknowledged` are.
    fn shelf(steps: &[Option<u64>], acknowledged: usize) -> Shelf {
        let mut shelf = Shelf::default();
        for (at, step) in steps.iter().enumerate() {
            shelf.sending("r", *step);
            if at < acknowledged {
                shelf.acknowledged("r");
            }
        }
        shelf
    }

    #[test]
    fn the_last_acknowledged_or_a_later_one_is_right() {
        let shelf = shelf(&[Some(1), Some(2), Some(3)], 2);
        assert!(shelf.look().came(&shelf, "r", 1).is_err());
        assert!(shelf.look().came(&shelf, "r", 2).is_ok());
        assert!(shelf.look().came(&shelf, "r", 3).is_ok());
        assert!(shelf.look().came(&shelf, "r", 4).is_err());
        assert!(shelf.look().came(&shelf, "s", 1).is_err());
        let mut look = shelf.look();
        assert!(look.missing(&shelf).is_some());
        look.came(&shelf, "r", 3).expect("3 may be there");
        assert!(look.missing(&shelf).is_none());
        assert!(look.came(&shelf, "r", 3).is_err(), "a second time");
    }

    #[test]
    fn what_was_cleared_does_not_come_back() {
        let cleared = shelf(&[Some(1), None], 2);
        assert!(cleared.look().came(&cleared, "r", 1).is_err());
        assert!(cleared.look().missing(&cleared).is_none());
        let perhaps = shelf(&[Some(1), None], 1);
        assert!(perhaps.look().came(&perhaps, "r", 1).is_ok());
        assert!(perhaps.look().missing(&perhaps).is_none());
        let set_again = shelf(&[Some(1), None, Some(2)], 3);
        assert!(set_again.look().missing(&set_again).is_some());
    }
}
