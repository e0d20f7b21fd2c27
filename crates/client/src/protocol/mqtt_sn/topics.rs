//! Which topics go by which ids.

use std::collections::HashMap;
use trefoil_mqtt_sn::{ShortName, TopicFilter, TopicId};

/// Topic ids, those that were agreed on beforehand and those that come with the connection.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    predefined: Vec<(u16, String)>,
    ids: HashMap<String, u16>,
    names: HashMap<u16, String>,
}

impl Topics {
    pub(crate) fn new(predefined: &[(u16, String)]) -> Topics {
        Topics { predefined: predefined.to_vec(), ..Topics::default() }
    }

    /// How to publish to a topic: by its id, or its name if that is short. `None`: it has to be registered.
    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        let short = || ShortName::new(topic).map(TopicId::Short);
        let registered = || self.ids.get(topic).copied().map(TopicId::Registered);
        self.predefined_id(topic).map(TopicId::Predefined).or_else(short).or_else(registered)
    }

    /// How to subscribe to a filter.
    pub(super) fn filter<'a>(&self, filter: &'a str) -> TopicFilter<'a> {
        match (self.predefined_id(filter), ShortName::new(filter)) {
            (Some(id), _) => TopicFilter::Predefined(id),
            (None, Some(name)) if !filter.contains(['+', '#']) => TopicFilter::Short(name),
            (None, _) => TopicFilter::Name(filter),
        }
    }

    /// The topic of a message that came.
    pub(super) fn name(&self, id: &TopicId) -> Option<String> {
        match id {
            TopicId::Registered(id) => self.names.get(id).cloned(),
            TopicId::Predefined(id) => {
                self.predefined.iter().find(|(known, _)| known == id).map(|(_, topic)| topic.clone())
            }
            TopicId::Short(name) => Some(name.as_str().to_owned()),
        }
    }

    /// The gateway says which id a topic has.
    pub(super) fn learn(&mut self, id: u16, topic: &str) {
        self.ids.insert(topic.to_owned(), id);
        self.names.insert(id, topic.to_owned());
    }

    /// The gateway does not know the id of a topic.
    pub(super) fn forget(&mut self, topic: &str) {
        self.ids.remove(topic);
    }

    fn predefined_id(&self, topic: &str) -> Option<u16> {
        self.predefined.iter().find(|(_, name)| name == topic).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_by_the_shortest_that_both_know() {
        let mut topics = Topics::new(&[(7, "fixed/seven".into())]);
        assert_eq!(topics.id("fixed/seven"), Some(TopicId::Predefined(7)));
        assert_eq!(topics.filter("fixed/seven"), TopicFilter::Predefined(7));
        assert_eq!(topics.id("home/temp"), None);
        topics.learn(3, "home/temp");
        assert_eq!(topics.id("home/temp"), Some(TopicId::Registered(3)));
        assert_eq!(topics.name(&TopicId::Registered(3)).as_deref(), Some("home/temp"));
        assert!(matches!(topics.filter("ab"), TopicFilter::Short(_)));
        assert_eq!(topics.filter("+#"), TopicFilter::Name("+#"));
        topics.forget("home/temp");
        assert_eq!(topics.id("home/temp"), None);
        assert_eq!(topics.name(&TopicId::Predefined(8)), None);
    }
}
