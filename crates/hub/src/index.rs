//! The index of topic filters: which of them match a topic.
//!
//! A trie of topic levels. Its edges live in one hash table for the whole trie, keyed by the node above and the level,
//! and not in a map for each node: so a node is a few dozen bytes, a million filters stay in reach of the cache, and
//! a step down is one probe.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Names a filter that is in an [`Index`], until its value is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NodeId(u32);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// Values by topic filter.
#[derive(Debug)]
pub struct Index<V> {
    nodes: Vec<Node<V>>,
    /// Nodes not in use, to be used again.
    free: Vec<u32>,
    /// All edges to children by name; the wildcards have places of their own in the node.
    edges: HashTable<u32>,
    hasher: FixedState,
    filters: usize,
}

#[derive(Debug)]
struct Node<V> {
    above: u32,
    level: Box<str>,
    /// The child for `+`.
    plus: u32,
    /// The child for `#`.
    hash: u32,
    /// How many children there are, of all kinds.
    children: u32,
    value: Option<V>,
}

impl<V> Node<V> {
    fn new(above: u32, level: &str) -> Node<V> {
        Node { above, level: level.into(), plus: NONE, hash: NONE, children: 0, value: None }
    }
}

impl<V: Default> Index<V> {
    /// An index without filters. `seed` keeps strangers from choosing levels that collide.
    pub fn new(seed: u64) -> Index<V> {
        Index {
            nodes: vec![Node::new(NONE, "")],
            free: Vec::new(),
            edges: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            filters: 0,
        }
    }

    /// How many filters have a value.
    pub fn len(&self) -> usize {
        self.filters
    }

    /// Whether no filter has a value.
    pub fn is_empty(&self) -> bool {
        self.filters == 0
    }

    /// The value of `filter` (a valid one), made if there is none yet.
    pub fn entry(&mut self, filter: &str) -> (NodeId, &mut V) {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = match self.child(at, level) {
                NONE => self.grow(at, level),
                child => child,
            };
        }
        let value = &mut self.nodes[at as usize].value;
        self.filters += usize::from(value.is_none());
        (NodeId(at), value.get_or_insert_default())
    }

    /// Where `filter` is, if it has a value.
    pub fn find(&self, filter: &str) -> Option<NodeId> {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = self.child(at, level);
            if at == NONE {
                return None;
            }
        }
        self.nodes[at as usize].value.is_some().then_some(NodeId(at))
    }

    /// The value at a place that [`entry`](Self::entry) or [`find`](Self::find) gave.
    pub fn get(&self, at: NodeId) -> Option<&V> {
        self.nodes.get(at.0 as usize)?.value.as_ref()
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, at: NodeId) -> Option<&mut V> {
        self.nodes.get_mut(at.0 as usize)?.value.as_mut()
    }

    /// The filter at a place.
    pub fn filter(&self, at: NodeId) -> String {
        let mut levels = Vec::new();
        let mut at = at.0;
        while at != ROOT {
            let node = &self.nodes[at as usize];
            levels.push(&*node.level);
            at = node.above;
        }
        levels.reverse();
        levels.join("/")
    }

    /// Takes the value at a place away, and with it all nodes that led only there.
    pub fn remove(&mut self, at: NodeId) -> Option<V> {
        let value = self.nodes.get_mut(at.0 as usize)?.value.take()?;
        self.filters -= 1;
        let mut at = at.0;
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if node.children > 0 || node.value.is_some() {
                break;
            }
            let above = node.above;
            self.cut(at, above);
            at = above;
        }
        Some(value)
    }

    /// Calls `found` with every value whose filter matches `topic`, in no particular order, each once. Levels are compared
    /// byte by byte, as they came [MQTT-4.7.3-4] [v3 MQTT-4.7.3-4].
    pub fn matching<'s>(&'s self, topic: &str, mut found: impl FnMut(NodeId, &'s V)) {
        let hidden = crate::topic::is_hidden(topic);
        self.visit(ROOT, Some(topic), hidden, &mut found);
    }

    fn visit<'s>(&'s self, at: u32, rest: Option<&str>, hidden: bool, found: &mut impl FnMut(NodeId, &'s V)) {
        let node = &self.nodes[at as usize];
        // `a/#` matches `a` too, so this is asked at the topic's end as well [MQTT-4.7.1-2].
        if node.hash != NONE && !hidden {
            self.give(node.hash, found);
        }
        let Some(rest) = rest else {
            return self.give(at, found);
        };
        if node.children == 0 {
            return;
        }
        let (level, rest) = match rest.as_bytes().iter().position(|&b| b == b'/') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        if node.plus != NONE && !hidden {
            self.visit(node.plus, rest, false, found);
        }
        let named = node.children - u32::from(node.plus != NONE) - u32::from(node.hash != NONE);
        if named > 0
            && let Some(&child) = self.edges.find(self.hash(at, level), |&n| self.is_child(n, at, level))
        {
            self.visit(child, rest, false, found);
        }
    }

    fn give<'s>(&'s self, at: u32, found: &mut impl FnMut(NodeId, &'s V)) {
        if let Some(value) = &self.nodes[at as usize].value {
            found(NodeId(at), value);
        }
    }

    fn child(&self, at: u32, level: &str) -> u32 {
        let node = &self.nodes[at as usize];
        match level {
            "+" => node.plus,
            "#" => node.hash,
            _ => self
                .edges
                .find(self.hash(at, level), |&n| self.is_child(n, at, level))
                .copied()
                .unwrap_or(NONE),
        }
    }

    fn grow(&mut self, above: u32, level: &str) -> u32 {
        let node = Node::new(above, level);
        let new = match self.free.pop() {
            Some(free) => {
                self.nodes[free as usize] = node;
                free
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("memory ends before four billion nodes")
            }
        };
        let parent = &mut self.nodes[above as usize];
        parent.children += 1;
        match level {
            "+" => parent.plus = new,
            "#" => parent.hash = new,
            _ => {
                let (nodes, hasher) = (&self.nodes, &self.hasher);
                self.edges.insert_unique(edge_hash(hasher, above, level), new, |&n| {
                    let node = &nodes[n as usize];
                    edge_hash(hasher, node.above, &node.level)
                });
            }
        }
        new
    }

    fn cut(&mut self, at: u32, above: u32) {
        let level = std::mem::take(&mut self.nodes[at as usize].level);
        match &*level {
            "+" => self.nodes[above as usize].plus = NONE,
            "#" => self.nodes[above as usize].hash = NONE,
            _ => {
                let hash = self.hash(above, &level);
                if let Ok(edge) = self.edges.find_entry(hash, |&n| n == at) {
                    edge.remove();
                }
            }
        }
        self.nodes[above as usize].children -= 1;
        self.free.push(at);
    }

    fn hash(&self, above: u32, level: &str) -> u64 {
        edge_hash(&self.hasher, above, level)
    }

    fn is_child(&self, node: u32, above: u32, level: &str) -> bool {
        let node = &self.nodes[node as usize];
        node.above == above && *node.level == *level
    }
}

fn edge_hash(hasher: &FixedState, above: u32, level: &str) -> u64 {
    hasher.hash_one((above, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::matches;
    use proptest::prelude::*;

    fn found(index: &Index<Vec<u32>>, topic: &str) -> Vec<u32> {
        let mut all = Vec::new();
        index.matching(topic, |_, values| all.extend(values));
        all.sort_unstable();
        all
    }

    #[test]
    fn an_emptied_index_holds_nothing() {
        let mut index: Index<Vec<u32>> = Index::new(1);
        let places: Vec<_> = ["a/b/c", "a/+/c", "a/#", "#", "+", "a"].map(|f| index.entry(f).0).to_vec();
        assert_eq!(index.len(), 6);
        assert_eq!(index.filter(places[1]), "a/+/c");
        for place in places {
            assert!(index.remove(place).is_some());
        }
        assert!(index.is_empty() && index.edges.is_empty());
        assert_eq!(index.free.len() + 1, index.nodes.len());
        assert_eq!(index.nodes[0].children, 0);
    }

    const LEVELS: [&str; 6] = ["a", "b", "", "$x", "+", "#"];

    fn filter() -> impl Strategy<Value = String> {
        proptest::collection::vec(0..6usize, 1..5).prop_map(|levels| {
            let hash = levels.iter().position(|&l| l == 5).map_or(levels.len(), |at| at + 1);
            levels[..hash].iter().map(|&l| LEVELS[l]).collect::<Vec<_>>().join("/")
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        proptest::collection::vec(0..4usize, 1..5)
            .prop_map(|levels| levels.iter().map(|&l| LEVELS[l]).collect::<Vec<_>>().join("/"))
    }

    proptest! {
        /// The index finds what asking each filter finds, while filters come and go.
        #[test]
        fn agrees_with_each_filter_alone(
            filters in proptest::collection::vec((filter(), any::<bool>()), 1..30),
            topics in proptest::collection::vec(topic(), 1..20),
        ) {
            let mut index: Index<Vec<u32>> = Index::new(7);
            let mut kept = Vec::new();
            for (i, (filter, _)) in filters.iter().enumerate() {
                index.entry(filter).1.push(i as u32);
            }
            for (i, (filter, keep)) in filters.iter().enumerate() {
                if *keep {
                    kept.push((i as u32, filter));
                    continue;
                }
                let at = index.find(filter).expect("it was put in");
                let values = index.get_mut(at).expect("found");
                values.retain(|&v| v != i as u32);
                if values.is_empty() {
                    index.remove(at);
                }
            }
            for topic in &topics {
                let expected: Vec<u32> = kept.iter().filter(|(_, f)| matches(f, topic)).map(|(i, _)| *i).collect();
                prop_assert_eq!(found(&index, topic), expected, "{}", topic);
            }
        }
    }
}
