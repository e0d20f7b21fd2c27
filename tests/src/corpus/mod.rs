//! A corpus of broken MQTT packets, and what the specification says about each.
//!
//! [`cases`] starts from packets of every type with every field and property they may have (`packets`) and breaks
//! them in every way that needs no imagination (`mutate`). What has to become of each is not written down anywhere: it
//! is judged by `rules`, the specification as a reader of bytes, which shares no line with the codec under test.

mod mutate;
mod packets;
mod rules;

pub use rules::{End, Outcome, Terms, judge};

/// What a client sends, and what for.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which packet, and what was done to it.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All cases of a version (4 for MQTT 3.1.1, 5 for MQTT 5.0) that come after CONNECT.
pub fn cases(version: u8) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, bytes) in packets::after_connect(version) {
        mutate::bytes(name, &bytes, &mut all);
    }
    mutate::types(&mut all);
    if version == 5 {
        packets::sections().into_iter().for_each(|section| mutate::properties(&section, &mut all));
    }
    all
}

/// All cases of a version in which CONNECT itself is broken.
pub fn connects(version: u8) -> Vec<Case> {
    let mut all = Vec::new();
    for (name, bytes) in packets::connects(version) {
        mutate::bytes(name, &bytes, &mut all);
    }
    if version == 5 {
        packets::connect_sections().into_iter().for_each(|section| mutate::properties(&section, &mut all));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { topic_alias_max: 64, packet_bytes_max: 4_194_304 };

    #[test]
    fn packets_as_they_were_are_right() {
        for version in [4, 5] {
            for (name, bytes) in packets::after_connect(version) {
                let outcome = judge(version, false, &bytes, TERMS);
                let not_now = [0x10, 0x20, 0x90, 0xB0, 0xD0, 0xF0].contains(&(bytes[0] & 0xF0));
                assert_eq!(matches!(outcome.end, End::Refused(_)), not_now, "{name}: {outcome:?}");
            }
            for (name, bytes) in packets::connects(version) {
                assert_eq!(judge(version, true, &bytes, TERMS).end, End::Open, "{name}");
            }
        }
    }

    #[test]
    fn there_is_something_of_everything() {
        for version in [4, 5] {
            let all = cases(version);
            assert!(all.len() > 1000, "{}", all.len());
            let refused =
                |case: &&Case| matches!(judge(version, false, &case.bytes, TERMS).end, End::Refused(_));
            let count = all.iter().filter(refused).count();
            assert!(count > all.len() / 4 && count < all.len(), "{count} of {}", all.len());
        }
    }
}
