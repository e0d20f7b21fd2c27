//! What is traded: names that can be pronounced, and no two alike.

/// Letters that can begin a syllable, and those that can end one.
const CONSONANTS: &[u8; 16] = b"BDFGHKLMNPRSTVXZ";
const VOWELS: &[u8; 5] = b"AEIOU";

/// Two syllables make so many different symbols.
const SYLLABLES: usize = CONSONANTS.len() * VOWELS.len();

const TRADES: [&str; 8] =
    ["Shipping", "Copper", "Lenses", "Timber", "Turbines", "Bakeries", "Railways", "Seeds"];

/// The symbol with this number, for instance `BADE`. From number 6,400 on, where two would be alike, a digit follows.
pub(crate) fn symbol(number: usize) -> String {
    let (first, second) = (number % SYLLABLES, number / SYLLABLES % SYLLABLES);
    let mut letters = String::with_capacity(4);
    // A step that has no factor in common with the number of syllables takes each of them once.
    for syllable in [first, (second * 37 + first * 11) % SYLLABLES] {
        letters.push(char::from(CONSONANTS[syllable / VOWELS.len()]));
        letters.push(char::from(VOWELS[syllable % VOWELS.len()]));
    }
    match number / (SYLLABLES * SYLLABLES) {
        0 => letters,
        round => format!("{letters}{round}"),
    }
}

/// What stands behind a symbol, for instance `Bade Shipping`.
pub(crate) fn name(symbol: &str, number: usize) -> String {
    format!("{}{} {}", &symbol[..1], symbol[1..].to_lowercase(), TRADES[number % TRADES.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_alike_and_all_are_one_level_of_a_topic() {
        let all: HashSet<_> = (0..10_000).map(symbol).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|symbol| symbol.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(name("BADE", 1), "Bade Copper");
    }
}
