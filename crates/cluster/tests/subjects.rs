//! Subjects are valid, unique, reversible, and match as MQTT does.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use trefoil_cluster::{NameError, Namespace, NodeName, SUBJECT_BYTES_MAX};

fn names() -> Namespace {
    Namespace::new("trefoil").unwrap()
}

/// Levels with much of what means something to either side.
fn level() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["", "a", "b", "$", "$SYS", "*", ">", ".", "=", "=e", "=2E", " ", "a.b", "ä", "\u{10FFFF}", "\t"])
            .prop_map(str::to_owned),
        1 => "[^/+#\0]{0,4}",
    ]
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic is not empty", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop_oneof![3 => level(), 1 => Just("+".to_owned())], 0..5);
    (levels, any::<bool>())
        .prop_map(|(mut levels, all)| {
            if all {
                levels.push("#".into());
            }
            levels.join("/")
        })
        .prop_filter("a filter is not empty", |filter| !filter.is_empty())
}

/// MQTT 5.0, section 4.7, word by word.
fn mqtt_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && levels(filter, topic),
            ([], []) => true,
            _ => false,
        }
    }
    levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

/// The documentation of NATS on subjects: `*` is one token, `>` one or more at the end.
fn nats_matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), subject.split('.').collect());
    for (i, token) in pattern.iter().enumerate() {
        match (*token, subject.get(i)) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == *other => {}
            _ => return false,
        }
    }
    pattern.len() == subject.len()
}

/// A subject that every NATS server takes and that is a valid key of a KV bucket as well, wildcards aside.
fn is_valid(subject: &str) -> bool {
    subject.split('.').all(|token| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
    })
}

/// Filters out of one topic, so that many of them match it.
fn filter_and_topic() -> impl Strategy<Value = (String, String)> {
    let related = topic().prop_flat_map(|topic| {
        let levels: Vec<String> = topic.split('/').map(str::to_owned).collect();
        let count = levels.len();
        (prop::collection::vec(any::<bool>(), count), 0..=count + 1, Just(topic)).prop_map(
            move |(plus, hash, topic)| {
                let mut filter: Vec<&str> = levels
                    .iter()
                    .zip(plus)
                    .map(|(level, plus)| if plus { "+" } else { level.as_str() })
                    .collect();
                if hash <= count {
                    filter.truncate(hash);
                    filter.push("#");
                }
                (filter.join("/"), topic)
            },
        )
    });
    prop_oneof![3 => related, 1 => (filter(), topic())]
        .prop_filter("a filter is not empty", |(f, _)| !f.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn topics_come_back(topic in topic()) {
        let subject = names().topic_subject(&topic).unwrap();
        prop_assert!(is_valid(&subject), "{}", subject);
        prop_assert_eq!(names().topic_of(&subject), Some(topic));
        prop_assert_eq!(names().interest_of(&subject), None);
    }

    #[test]
    fn filters_come_back(filter in filter()) {
        let subject = names().filter_subject(&filter).unwrap();
        prop_assert_eq!(names().filter_of(&subject), Some(filter.clone()));
        let node = NodeName::new("n_1").unwrap();
        let subject = names().interest_subject(&node, &filter).unwrap();
        prop_assert!(is_valid(&subject), "{}", subject);
        prop_assert!(nats_matches(&names().interests_subject(Some(&node)), &subject));
        prop_assert!(nats_matches(&names().interests_subject(None), &subject));
        prop_assert_eq!(names().interest_of(&subject), Some((node, filter)));
    }

    #[test]
    fn nats_matches_what_mqtt_matches((filter, topic) in filter_and_topic()) {
        let subject = names().topic_subject(&topic).unwrap();
        let pattern = names().filter_subject(&filter).unwrap();
        prop_assert_eq!(nats_matches(&pattern, &subject), mqtt_matches(&filter, &topic), "{} {}", pattern, subject);
    }

    #[test]
    fn no_two_subjects_mean_the_same(tail in "[a-c=.*>ehpt0-9A-F/]{0,12}", root in "[tsi]") {
        let subject = format!("trefoil.{root}.{tail}");
        if let Some(topic) = names().topic_of(&subject) {
            prop_assert_eq!(names().topic_subject(&topic).unwrap(), subject.as_str());
        }
        if let Some(filter) = names().filter_of(&subject) {
            prop_assert_eq!(names().filter_subject(&filter).unwrap(), subject.as_str());
        }
        if let Some((node, filter)) = names().interest_of(&subject) {
            prop_assert_eq!(names().interest_subject(&node, &filter).unwrap(), subject.as_str());
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in any::<String>()) {
        for subject in [names().topic_subject(&text), names().filter_subject(&text)].into_iter().flatten() {
            prop_assert!(names().topic_of(&subject).or_else(|| names().filter_of(&subject)) == Some(text.clone()));
        }
        prop_assert_eq!(names().topic_of(&text), None);
    }
}

#[test]
fn what_means_something_to_nats_is_escaped() {
    for (topic, subject) in [
        ("a", "trefoil.t.a.="),
        ("a/b", "trefoil.t.a.b.="),
        ("/", "trefoil.t.=e.=e.="),
        ("a//b/", "trefoil.t.a.=e.b.=e.="),
        ("*/>/a.b/c d", "trefoil.t.=2A.=3E.a=2Eb.c=20d.="),
        ("=/=e/%", "trefoil.t.=3D.=3De.=25.="),
        ("Grüße", "trefoil.t.Gr=C3=BC=C3=9Fe.="),
        ("$SYS/a$", "trefoil.s.=24SYS.a=24.="),
    ] {
        assert_eq!(names().topic_subject(topic).unwrap(), subject);
        assert_eq!(names().topic_of(subject).as_deref(), Some(topic));
    }
    for (filter, subject) in [
        ("#", "trefoil.t.>"),
        ("+", "trefoil.t.*.="),
        ("a/#", "trefoil.t.a.>"),
        ("+/a/+/#", "trefoil.t.*.a.*.>"),
        ("$SYS/#", "trefoil.s.=24SYS.>"),
        ("a/b", "trefoil.t.a.b.="),
    ] {
        assert_eq!(names().filter_subject(filter).unwrap(), subject);
        assert_eq!(names().filter_of(subject).as_deref(), Some(filter));
    }
}

#[test]
fn subjects_that_nobody_wrote_mean_nothing() {
    for subject in [
        "",
        "trefoil",
        "trefoil.t",
        "trefoil.t.",
        "trefoil.t.a",
        "trefoil.t.a..=",
        "trefoil.t.=",
        "other.t.a.=",
        "trefoil.t.=2e.=",
        "trefoil.t.=61.=",
        "trefoil.t.=FF.=",
        "trefoil.t.=2.=",
        "trefoil.t.=24SYS.=",
        "trefoil.s.a.=",
        "trefoil.t.a b.=",
        "trefoil.t.=00.=",
        "trefoil.t.=2F.=",
        "trefoil.t.=2B.=",
        "trefoil.t.a.*.=",
        "trefoil.x.a.=",
    ] {
        assert_eq!(names().topic_of(subject), None, "{subject}");
    }
    for subject in [
        "trefoil.t.>.a.=",
        "trefoil.t.a.>.=",
        "trefoil.t.=p.=",
        "trefoil.t.=h",
        "trefoil.t.a*.=",
        "trefoil.t.*",
    ] {
        assert_eq!(names().filter_of(subject), None, "{subject}");
    }
    for subject in
        ["trefoil.i.n", "trefoil.i..a", "trefoil.i.n.*", "trefoil.i.*.a", "trefoil.i.n.=h.a", "trefoil.i.n="]
    {
        assert_eq!(names().interest_of(subject), None, "{subject}");
    }
}

#[test]
fn what_is_no_topic_or_filter_or_name_is_refused() {
    for topic in ["", "a/+", "a#", "a\0b"] {
        assert_eq!(names().topic_subject(topic), Err(NameError::Topic), "{topic}");
    }
    for filter in ["", "a+", "#/a", "a/b#", "a\0b", "++"] {
        assert_eq!(names().filter_subject(filter), Err(NameError::Filter), "{filter}");
        assert_eq!(names().interest_subject(&NodeName::new("n").unwrap(), filter), Err(NameError::Filter));
    }
    for name in ["", "a.b", "a b", "*", ">", "ä", &"a".repeat(65)] {
        assert_eq!(NodeName::new(name), Err(NameError::Name), "{name}");
        assert_eq!(Namespace::new(name), Err(NameError::Name), "{name}");
    }
}

#[test]
fn subjects_stay_within_what_a_server_takes() {
    let fits = SUBJECT_BYTES_MAX - "trefoil.t..=".len();
    assert_eq!(names().topic_subject(&"a".repeat(fits)).unwrap().len(), SUBJECT_BYTES_MAX);
    assert_eq!(
        names().topic_subject(&"a".repeat(fits + 1)),
        Err(NameError::TooLong { subject_bytes: SUBJECT_BYTES_MAX + 1 })
    );
}
