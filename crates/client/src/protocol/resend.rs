//! Sending again over UDP, where anything may get lost.

use std::time::Duration;
use tokio::time::Instant;

/// How long the first answer is waited for; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// How often a text is sent again: the last wait ends after 9.3 seconds.
const RESENDS_MAX: u32 = 4;

/// A text or a packet, and when to send it again.
#[derive(Debug)]
pub(crate) struct Resend {
    text: Box<[u8]>,
    at: Instant,
    resends: u32,
    /// Until when it is sent again, where that is not a matter of how often.
    until: Option<Instant>,
}

impl Resend {
    /// For a text that was just sent.
    pub(crate) fn new(text: Box<[u8]>, now: Instant) -> Resend {
        Resend { text, at: now + FIRST_WAIT, resends: 0, until: None }
    }

    /// For a text whose answer may take longer than a datagram does to arrive: it is sent again until then.
    pub(crate) fn until(self, until: Instant) -> Resend {
        Resend { until: Some(until), ..self }
    }

    /// When to look again.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// How often it was sent again.
    pub(crate) fn resends(&self) -> u32 {
        self.resends
    }

    /// The text, if it is to be sent again now, or an error when that was done often enough.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Result<&[u8], ()>> {
        if now < self.at {
            return None;
        }
        let is_over = match self.until {
            Some(until) => until <= now,
            None => self.resends == RESENDS_MAX,
        };
        if is_over {
            return Some(Err(()));
        }
        self.resends += 1;
        self.at = now + FIRST_WAIT * 2u32.pow(self.resends.min(RESENDS_MAX));
        Some(Ok(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_sent_again_a_bounded_number_of_times() {
        let start = Instant::now();
        let mut resend = Resend::new(b"x"[..].into(), start);
        assert_eq!(resend.due(start), None);
        let mut sent_after_ms = Vec::new();
        let given_up = loop {
            let now = resend.at();
            match resend.due(now) {
                Some(Ok(text)) => {
                    assert_eq!(text, b"x");
                    sent_after_ms.push((now - start).as_millis());
                }
                Some(Err(())) => break now - start,
                None => panic!("its time has come"),
            }
        };
        assert_eq!(sent_after_ms, [300, 900, 2100, 4500]);
        assert_eq!(given_up.as_millis(), 9300);
    }

    #[test]
    fn what_takes_long_is_sent_again_until_its_time_is_over() {
        let start = Instant::now();
        let until = start + Duration::from_secs(60);
        let mut resend = Resend::new(b"x"[..].into(), start).until(until);
        let mut count = 0;
        let given_up = loop {
            let now = resend.at();
            match resend.due(now) {
                Some(Ok(_)) => count += 1,
                Some(Err(())) => break now,
                None => panic!("its time has come"),
            }
        };
        assert!(given_up >= until && count > RESENDS_MAX, "{count}");
    }
}
