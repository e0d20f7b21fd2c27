//! What a person sees while files are under way.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar with rate and time left on standard error, if that is a terminal, and lines about what happens.
pub(crate) struct Progress {
    is_quiet: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(is_quiet: bool) -> Progress {
        Progress { is_quiet, bar: None }
    }

    /// Begins to show a bar for so many bytes; 0 if nobody knows how many.
    pub(crate) fn begin(&mut self, bytes: u64) {
        if self.is_quiet || self.bar.is_some() {
            return;
        }
        let (bar, template) = match bytes {
            0 => (ProgressBar::no_length(), "{spinner} {bytes}  {bytes_per_sec}  {wide_msg}"),
            _ => (
                ProgressBar::new(bytes),
                "{bar:24} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}",
            ),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        bar.enable_steady_tick(Duration::from_millis(500));
        self.bar = Some(bar);
    }

    /// So many bytes are done.
    pub(crate) fn at(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }

    /// What is under way. The name must be fit to be shown.
    pub(crate) fn name(&self, name: impl FnOnce() -> String) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_hidden()) {
            bar.set_message(name());
        }
    }

    /// Says something above the bar.
    pub(crate) fn say(&self, text: &str) {
        if self.is_quiet {
            return;
        }
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
