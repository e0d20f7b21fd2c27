//! Of which topics the last messages are kept.

use crate::extensions::Reader;
use crate::settings::Section;
use crate::sheet::Entry;
use trefoil_hub::HistoryRule;

impl Reader<'_> {
    pub(crate) fn history(&mut self) -> Vec<HistoryRule> {
        let rule = |reader: &mut Self, entry: &Entry| {
            let answers = &entry.answers;
            let filter = reader.filter(Section::History, answers)?;
            let number = |key| answers.number(Section::History, key);
            let (messages, seconds, bytes) = (number("messages"), number("seconds"), number("bytes"));
            let is_bounded =
                ["messages", "seconds", "bytes"].iter().any(|key| answers.was_written(Section::History, key));
            if !is_bounded {
                let reason =
                    "this history has no bound; write `messages`, `seconds` or `bytes`, or several of them";
                reader.fail(&entry.place, reason.into());
                return None;
            }
            let size = |number: Option<u64>| {
                number.map_or(usize::MAX, |number| usize::try_from(number).unwrap_or(usize::MAX))
            };
            Some(HistoryRule {
                filter,
                messages_max: size(messages),
                age_ms_max: seconds.map(|seconds| seconds.saturating_mul(1000)),
                bytes_max: size(bytes),
            })
        };
        self.each(Section::History, rule)
    }
}
