//! Asking the person at the receiver before anything is written.

use std::io::{self, BufRead, Write};

/// Asks, and takes anything but a yes for a no.
pub(crate) fn ask(question: &str) -> io::Result<bool> {
    let mut output = io::stderr().lock();
    write!(output, "{question} [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(["y\n", "Yes\n", " YES "].into_iter().all(is_yes));
        assert!(!["", "\n", "n\n", "yep\n", "yes, but\n"].into_iter().any(is_yes));
    }
}
