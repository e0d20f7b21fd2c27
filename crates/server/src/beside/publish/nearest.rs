//! What somebody may have meant.

/// The one of `known` that is nearest to `text`, if it is near enough to be worth a question.
pub(super) fn nearest(text: &str, known: &[&'static str]) -> Option<&'static str> {
    let (distance, name) = known.iter().map(|name| (distance(text, name), *name)).min()?;
    (distance <= name.len().div_ceil(3)).then_some(name)
}

/// How many letters have to be put in, taken out or changed to make one of the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().take(FROM_BYTES_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// What strangers send may be as long as a body; what follows after this cannot be near to anything.
const FROM_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["topic", "data", "qos", "retain", "content_type"];
        for (text, expected) in [
            ("topc", Some("topic")),
            ("Topic", Some("topic")),
            ("qso", None),
            ("qo", Some("qos")),
            ("retained", Some("retain")),
            ("contenttype", Some("content_type")),
            ("payload", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, &known), expected, "{text}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest(&"x".repeat(1 << 20), &known), None);
    }
}
