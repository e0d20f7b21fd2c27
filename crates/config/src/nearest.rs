//! The name that was probably meant.

/// Names longer than this are nothing that somebody mistyped, and comparing takes memory by the product of lengths.
const COMPARED_BYTES_MAX: usize = 64;

/// The one of `known` that is nearest to `text`, if it is near enough to be worth a question.
pub(crate) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.is_empty() || text.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    let (distance, name) =
        known.map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name)).min()?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

/// The same as a question.
pub(crate) fn did_you_mean<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(text, known).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = || ["mqtt", "http", "websocket", "json"].into_iter();
        assert_eq!(nearest("mqt", known()), Some("mqtt"));
        assert_eq!(nearest("WebSockets", known()), Some("websocket"));
        assert_eq!(nearest("jsno", known()), Some("json"));
        assert_eq!(nearest("coap", known()), None);
        assert_eq!(nearest("", known()), None);
        assert_eq!(nearest(&"x".repeat(100_000), known()), None);
    }
}
