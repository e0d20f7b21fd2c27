//! Which topics an MQTT-SN client knows by which ids.

use std::collections::HashMap;
use trefoil_hub::Topic;
use trefoil_mqtt_sn::{ShortName, TopicId};

/// From so many topics on they are looked up in a table and not one by one.
const LISTED_MAX: usize = 24;

/// The list of so few grows one by one: a million clients have one topic each.
const EXACT_MAX: usize = 3;

/// The topic ids of one client. Most clients have a few, and then this is little more than a list.
#[derive(Default, Debug)]
#[expect(clippy::box_collection, reason = "few clients have it, and every client has a place for it")]
pub(super) struct Topics {
    /// Id 1 first.
    registered: Vec<Registered>,
    index: Option<Box<HashMap<Topic, u16, foldhash::fast::RandomState>>>,
    /// Predefined ids that the client has subscribed by.
    predefined: Vec<(u16, Topic)>,
}

#[derive(Debug)]
struct Registered {
    topic: Topic,
    /// The client knows the id. If not it has to be told before a message comes under it.
    told: bool,
}

/// How a message is addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wire {
    /// By this; the client knows it.
    Known(TopicId),
    /// By this id, once the client has been told.
    Untold(u16),
    /// The topic has no id yet.
    Unknown,
}

impl Topics {
    /// How a message on a topic is addressed.
    pub(super) fn wire(&self, topic: &Topic) -> Wire {
        let registered = self.find(topic);
        if let Some(id) = registered.filter(|&id| self.registered[usize::from(id) - 1].told) {
            return Wire::Known(TopicId::Registered(id));
        }
        if let Some((id, _)) = self.predefined.iter().find(|(_, of)| of == topic) {
            return Wire::Known(TopicId::Predefined(*id));
        }
        match (ShortName::new(topic), registered) {
            (Some(name), _) => Wire::Known(TopicId::Short(name)),
            (None, Some(id)) => Wire::Untold(id),
            (None, None) => Wire::Unknown,
        }
    }

    /// The id of a topic, a new one if it has none. `None`: there are as many as there may be.
    pub(super) fn register(&mut self, topic: &Topic, max: u16) -> Option<u16> {
        if let Some(id) = self.find(topic) {
            return Some(id);
        }
        if self.registered.len() >= usize::from(max) {
            return None;
        }
        let id = self.registered.len() as u16 + 1;
        if self.registered.len() < EXACT_MAX {
            self.registered.reserve_exact(1);
        }
        self.registered.push(Registered { topic: topic.clone(), told: false });
        if let Some(index) = &mut self.index {
            index.insert(topic.clone(), id);
        } else if self.registered.len() > LISTED_MAX {
            let all = self.registered.iter().zip(1..).map(|(entry, id)| (entry.topic.clone(), id));
            self.index = Some(Box::new(all.collect()));
        }
        Some(id)
    }

    /// The topic of an id.
    pub(super) fn topic(&self, id: u16) -> Option<&Topic> {
        let place = usize::from(id).checked_sub(1)?;
        Some(&self.registered.get(place)?.topic)
    }

    /// Writes down whether the client knows an id.
    pub(super) fn set_told(&mut self, id: u16, told: bool) {
        let entry = usize::from(id).checked_sub(1).and_then(|place| self.registered.get_mut(place));
        if let Some(entry) = entry {
            entry.told = told;
        }
    }

    /// Messages on this topic may come under its predefined id.
    pub(super) fn set_predefined(&mut self, id: u16, topic: Topic) {
        if !self.predefined.iter().any(|(known, _)| *known == id) {
            self.predefined.push((id, topic));
        }
    }

    /// The client has connected again: it may have forgotten what it was told, so it is told again (§6.10). What it
    /// registered itself goes on being understood.
    pub(super) fn forget_told(&mut self) {
        self.registered.iter_mut().for_each(|entry| entry.told = false);
    }

    fn find(&self, topic: &Topic) -> Option<u16> {
        match &self.index {
            Some(index) => index.get(topic).copied(),
            None => {
                let place = self.registered.iter().position(|entry| entry.topic == *topic)?;
                Some(place as u16 + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name, 8).expect("valid")
    }

    #[test]
    fn a_topic_goes_by_what_the_client_knows() {
        let mut topics = Topics::default();
        let (lamp, door) = (topic("home/lamp"), topic("home/door"));
        assert_eq!(topics.wire(&lamp), Wire::Unknown);
        assert_eq!(topics.register(&lamp, 9), Some(1));
        assert_eq!(topics.wire(&lamp), Wire::Untold(1));
        topics.set_told(1, true);
        assert_eq!(topics.wire(&lamp), Wire::Known(TopicId::Registered(1)));
        assert_eq!(topics.topic(1), Some(&lamp));
        topics.set_predefined(7, door.clone());
        assert_eq!(topics.wire(&door), Wire::Known(TopicId::Predefined(7)));
        topics.forget_told();
        assert_eq!((topics.wire(&lamp), topics.topic(1)), (Wire::Untold(1), Some(&lamp)));
        let short = topic("ab");
        assert!(matches!(topics.wire(&short), Wire::Known(TopicId::Short(_))));
        topics.register(&short, 9);
        topics.set_told(2, true);
        assert_eq!(topics.wire(&short), Wire::Known(TopicId::Registered(2)), "as it was subscribed");
        assert_eq!((topics.topic(0), topics.topic(3)), (None, None));
    }

    #[test]
    fn ids_are_found_again_however_many_there_are_and_end_at_the_limit() {
        let mut topics = Topics::default();
        for n in 0..100u16 {
            assert_eq!(topics.register(&topic(&format!("t/{n}")), 100), Some(n + 1));
        }
        assert_eq!(topics.register(&topic("t/100"), 100), None);
        for n in 0..100u16 {
            assert_eq!(topics.register(&topic(&format!("t/{n}")), 100), Some(n + 1));
        }
    }
}
