//! Rules that change topics on their way in: what clients publish to, and what they subscribe to.
//!
//! A rule holds for the topics that its filter matches and in which its regular expression finds something; the topic
//! then becomes what the rule says. The first rule that holds is applied, and only that one, so that no two rules can
//! chase each other. The time that it takes grows with the length of the topic and no faster, whatever the expression.

use crate::topic::{Filter, TopicError, matches};
use regex::{Captures, Regex};
use std::fmt;

/// What a topic may name of the client that it comes from.
#[derive(Clone, Copy, Default, Debug)]
pub struct Names<'a> {
    /// The client id, if it has one.
    pub client_id: Option<&'a str>,
    /// The user name, if it gave one.
    pub user_name: Option<&'a str>,
}

impl<'a> Names<'a> {
    /// The client id, where it can stand in a topic.
    pub(crate) fn client_id(self) -> Option<&'a str> {
        self.client_id.filter(|name| fits_in_a_level(name))
    }

    /// The user name, where it can stand in a topic.
    pub(crate) fn user_name(self) -> Option<&'a str> {
        self.user_name.filter(|name| fits_in_a_level(name))
    }
}

/// Whoever is called `+` or `a/#` would otherwise get more than one level to read.
fn fits_in_a_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(['+', '#', '/', '\0'])
}

/// A rule that changes topics.
#[derive(Clone, Debug)]
pub struct RewriteRule {
    filter: Box<str>,
    pattern: Regex,
    topic: Box<str>,
    parts: Vec<Part>,
}

/// A piece of what a topic becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Box<str>),
    /// What a group of the pattern found.
    Group(usize),
    ClientId,
    UserName,
}

/// Why a rule is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RewriteError {
    /// The filter is not valid, or shared.
    Filter(TopicError),
    /// The pattern is not a regular expression, and this is why.
    Pattern(String),
    /// The topic asks for a group that the pattern does not have.
    Group {
        /// The group.
        group: usize,
        /// How many there are.
        groups: usize,
    },
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RewriteError::Filter(error) => error.fmt(f),
            RewriteError::Pattern(why) => write!(f, "it is no regular expression: {why}"),
            RewriteError::Group { group, groups } => {
                write!(f, "${group} stands for a group of the pattern, which has {groups}")
            }
        }
    }
}

impl std::error::Error for RewriteError {}

impl RewriteRule {
    /// A rule for the topics that `filter` matches and in which the regular expression `pattern` finds something. In
    /// `topic`, `$1` to `$9` stand for the pattern's groups, `%c` for the client id and `%u` for the user name.
    ///
    /// # Errors
    /// When the filter is not valid, the pattern is no regular expression, or the topic asks for a group that is not in
    /// it.
    pub fn new(filter: &str, pattern: &str, topic: &str) -> Result<RewriteRule, RewriteError> {
        Filter::parse(filter, usize::MAX).map_err(RewriteError::Filter)?;
        let pattern = Regex::new(pattern).map_err(|error| RewriteError::Pattern(short(&error)))?;
        let parts = parts(topic);
        let groups = pattern.captures_len() - 1;
        for part in &parts {
            if let Part::Group(group) = *part
                && group > groups
            {
                return Err(RewriteError::Group { group, groups });
            }
        }
        Ok(RewriteRule { filter: filter.into(), pattern, topic: topic.into(), parts })
    }

    /// Whether this rule asks who the user is.
    pub(crate) fn uses_user_name(&self) -> bool {
        self.parts.contains(&Part::UserName)
    }

    /// Whether the rule is for this topic.
    pub(crate) fn is_for(&self, topic: &str) -> bool {
        matches(&self.filter, topic)
    }

    fn apply(&self, topic: &str, names: Names<'_>) -> Option<String> {
        if !self.is_for(topic) {
            return None;
        }
        let found = self.pattern.captures(topic)?;
        self.parts.iter().map(|part| part.text(&found, names)).collect()
    }
}

impl PartialEq for RewriteRule {
    fn eq(&self, other: &RewriteRule) -> bool {
        (&self.filter, self.pattern.as_str(), &self.topic)
            == (&other.filter, other.pattern.as_str(), &other.topic)
    }
}

impl Eq for RewriteRule {}

impl Part {
    /// None if the client has no such name: then the rule does not hold for it.
    fn text<'a>(&'a self, found: &Captures<'a>, names: Names<'a>) -> Option<&'a str> {
        match self {
            Part::Text(text) => Some(text),
            // A group that took no part in what was found is empty.
            Part::Group(group) => Some(found.get(*group).map_or("", |group| group.as_str())),
            Part::ClientId => names.client_id(),
            Part::UserName => names.user_name(),
        }
    }
}

fn parts(topic: &str) -> Vec<Part> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut chars = topic.chars().peekable();
    while let Some(c) = chars.next() {
        let part = match (c, chars.peek()) {
            ('$', Some(digit @ '1'..='9')) => Part::Group(*digit as usize - '0' as usize),
            ('%', Some('c')) => Part::ClientId,
            ('%', Some('u')) => Part::UserName,
            _ => {
                text.push(c);
                continue;
            }
        };
        chars.next();
        parts.push(Part::Text(std::mem::take(&mut text).into()));
        parts.push(part);
    }
    parts.push(Part::Text(text.into()));
    parts
}

/// The last line of the error, without the picture of the pattern above it.
fn short(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// All rules, each where it holds.
#[derive(Clone, Default, Debug)]
pub struct Rewrites {
    /// For topics of messages, in the order in which they are tried.
    pub publish: Vec<RewriteRule>,
    /// For filters of subscriptions, in the order in which they are tried.
    pub subscribe: Vec<RewriteRule>,
}

impl Rewrites {
    /// What a topic becomes; none if it stays. If a delay stands in front of it, that stays there.
    pub(crate) fn topic(&self, topic: &str, is_delayed: bool, names: Names<'_>) -> Option<String> {
        rewrite(&self.publish, topic, if is_delayed { 2 } else { 0 }, names)
    }

    /// What a filter becomes; none if it stays. What stands in front of it, for a shared subscription or an exclusive
    /// one, stays there.
    pub(crate) fn filter(&self, filter: &str, names: Names<'_>) -> Option<String> {
        let behind = match filter.split('/').next() {
            Some("$share") => 2,
            Some("$exclusive") => 1,
            _ => 0,
        };
        rewrite(&self.subscribe, filter, behind, names)
    }

    /// Whether any rule asks who the user is.
    pub(crate) fn uses_user_name(&self) -> bool {
        self.publish.iter().chain(&self.subscribe).any(RewriteRule::uses_user_name)
    }
}

/// Applies the first rule that holds to what is behind the first `behind` levels.
fn rewrite(rules: &[RewriteRule], text: &str, behind: usize, names: Names<'_>) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let at = match behind {
        0 => 0,
        levels => text.match_indices('/').nth(levels - 1)?.0 + 1,
    };
    let (front, rest) = text.split_at(at);
    let rewritten = rules.iter().find_map(|rule| rule.apply(rest, names))?;
    Some(format!("{front}{rewritten}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&str, &str, &str)]) -> Rewrites {
        let rules: Vec<_> = rules
            .iter()
            .map(|(filter, pattern, topic)| {
                RewriteRule::new(filter, pattern, topic).expect("a rule of this test")
            })
            .collect();
        Rewrites { publish: rules.clone(), subscribe: rules }
    }

    const ANN: Names<'static> = Names { client_id: Some("c1"), user_name: Some("ann") };

    #[test]
    fn groups_and_names_are_put_in() {
        let rules = rules(&[
            ("x/#", "^x/y/(.+)$", "z/y/$1"),
            ("x/#", "^x/([^/]+)/([^/]+)$", "$2/$1/%c/%u/$0/%x/100%"),
        ]);
        let topic = |topic| rules.topic(topic, false, ANN);
        assert_eq!(topic("x/y/1").as_deref(), Some("z/y/1"));
        assert_eq!(topic("x/a/b").as_deref(), Some("b/a/c1/ann/$0/%x/100%"));
        assert_eq!((topic("x/a/b/c"), topic("y/x/y/1"), topic("x")), (None, None, None));
    }

    #[test]
    fn the_first_that_holds_is_applied_once() {
        let rules =
            rules(&[("a/#", "^a$", "never"), ("a/#", "^a/(.*)$", "b/$1"), ("b/#", "^b/(.*)$", "a/$1")]);
        assert_eq!(rules.topic("a/1", false, ANN).as_deref(), Some("b/1"));
        assert_eq!(rules.topic("b/1", false, ANN).as_deref(), Some("a/1"));
    }

    #[test]
    fn who_has_no_name_or_one_that_is_no_level_is_passed_over() {
        let rules = rules(&[("#", "(.+)", "%u/$1"), ("#", "(.+)", "anybody/$1")]);
        let topic = |user_name| rules.topic("t", false, Names { user_name, client_id: None });
        assert_eq!(topic(Some("ann")).as_deref(), Some("ann/t"));
        for user_name in [None, Some(""), Some("+"), Some("#"), Some("a/b")] {
            assert_eq!(topic(user_name).as_deref(), Some("anybody/t"), "{user_name:?}");
        }
    }

    #[test]
    fn what_stands_in_front_stays_there() {
        let rules = rules(&[("a/#", "^a/(.*)$", "b/$1")]);
        assert_eq!(rules.topic("$delayed/5/a/1", true, ANN).as_deref(), Some("$delayed/5/b/1"));
        assert_eq!(rules.filter("$share/g/a/+", ANN).as_deref(), Some("$share/g/b/+"));
        assert_eq!(rules.filter("$exclusive/a/1", ANN).as_deref(), Some("$exclusive/b/1"));
        assert_eq!(rules.filter("a/#", ANN).as_deref(), Some("b/#"));
        // The rule is for what is below `a`, and these are for more.
        assert_eq!(
            (rules.filter("#", ANN), rules.filter("+/1", ANN), rules.filter("$share/g", ANN)),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let error = |filter, pattern, topic| {
            RewriteRule::new(filter, pattern, topic).expect_err("it is none").to_string()
        };
        assert_eq!(error("a#", "a", "b"), "# must be alone in the last level, as in a/b/#");
        assert_eq!(error("a", "(a", "b"), "it is no regular expression: unclosed group");
        assert_eq!(error("a", "(a)", "b/$2"), "$2 stands for a group of the pattern, which has 1");
        assert!(error("a", "(\\w{1000}){1000}", "b").starts_with("it is no regular expression: "));
    }
}
