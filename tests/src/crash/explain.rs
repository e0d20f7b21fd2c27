//! What people see who look for a fault: what was promised, what came, and what happened last at the client.

use super::evidence::Evidence;
use std::collections::BTreeSet;
use std::fmt::Write;
use trefoil_model::{Entry, Event, History};

/// Entries shown of one client.
const LAST: usize = 40;

/// Entries shown of one message.
const OF_MESSAGE: usize = 30;

/// Tells the story of a broken promise.
pub(super) fn explain(why: &str, evidence: &Evidence) -> String {
    let mut text = String::new();
    let mut numbers = numbers_after(why, &["message ", "will ", "retained "]);
    // `client 3: 17 on t/1` is what the oracle says of a message that is missing.
    let missing = why.split("client ").skip(1).filter_map(|rest| rest.split_once(": ")?.1.split_once(" on "));
    numbers.extend(missing.filter_map(|(number, _)| number.parse::<u64>().ok()));
    for number in numbers.into_iter().collect::<BTreeSet<_>>().into_iter().take(3) {
        let about = |entry: &&Entry| speaks_of(&entry.event, number);
        let (main, group) = (evidence.main.entries.iter(), evidence.group.entries.iter());
        let main: Vec<&Entry> = main.filter(about).collect();
        let group: Vec<&Entry> = group.filter(about).collect();
        let weak: Vec<&Entry> = evidence.weak.history.entries.iter().filter(about).collect();
        if main.is_empty() && group.is_empty() && weak.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\nmessage {number}, everywhere:");
        for entry in main.iter().take(OF_MESSAGE) {
            let _ = writeln!(text, "  {entry}");
        }
        for entry in group.iter().take(OF_MESSAGE) {
            let _ = writeln!(text, "  {entry}, member of the shared subscription");
        }
        for entry in weak.iter().take(OF_MESSAGE) {
            let _ = writeln!(text, "  {entry}, without a sync");
        }
        let places = evidence.places.came.iter().filter(|placed| placed.number == number);
        for placed in places.take(OF_MESSAGE) {
            let _ = writeln!(text, "  {placed:?}");
        }
    }
    for (word, history) in
        [("client ", &evidence.main), ("member ", &evidence.group), ("weak ", &evidence.weak.history)]
    {
        if let Some(client) = numbers_after(why, &[word]).first() {
            let _ = writeln!(text, "\nthe last of {word}{client}:");
            last_of(*client as usize, history, evidence, &mut text);
        }
    }
    text
}

/// The last entries of one client before the one that the fault names, with the kills between them.
fn last_of(client: usize, history: &History, evidence: &Evidence, text: &mut String) {
    let kills: Vec<u64> = evidence
        .kills
        .iter()
        .map(|&at| {
            evidence.main.entries.get(at).or(evidence.main.entries.last()).map_or(0, |entry| entry.at_ms)
        })
        .collect();
    let mine: Vec<&Entry> = history.entries.iter().filter(|entry| entry.client == client).collect();
    let shown = &mine[mine.len().saturating_sub(LAST)..];
    let mut before = shown.first().map_or(0, |entry| entry.at_ms);
    for entry in shown {
        let killed = kills.iter().filter(|at| (before..entry.at_ms).contains(at)).count();
        if killed > 0 {
            let _ = writeln!(text, "  --- the hub was killed, {killed} times");
        }
        before = entry.at_ms;
        let _ = writeln!(text, "  {entry}");
    }
}

fn speaks_of(event: &Event, wanted: u64) -> bool {
    match event {
        Event::Sent(message) | Event::Bequeathed(message) => message.number == wanted,
        Event::Resent(number)
        | Event::Acknowledged(number)
        | Event::Abandoned(number)
        | Event::Delivered { number, .. } => *number == wanted,
        _ => false,
    }
}

/// Numbers that stand behind one of these words.
fn numbers_after(text: &str, words: &[&str]) -> Vec<u64> {
    let behind = words.iter().flat_map(|word| text.split(word).skip(1));
    let digits = behind.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}
