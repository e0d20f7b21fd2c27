//! Memory in use, from `/proc/meminfo`.

use serde::Serialize;

/// What is published on `…/memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// All there is.
    pub(crate) total_bytes: u64,
    /// What programs hold and cannot be given to others.
    pub(crate) used_bytes: u64,
    /// What the kernel could give to a program without swapping.
    pub(crate) available_bytes: u64,
    /// Swap space in use.
    pub(crate) swap_used_bytes: u64,
}

/// None when the text lacks the two lines without which there is nothing to say.
pub(crate) fn parse(meminfo: &str) -> Option<Memory> {
    let total_bytes = bytes(meminfo, "MemTotal")?;
    let available_bytes = bytes(meminfo, "MemAvailable")?;
    let swap_total = bytes(meminfo, "SwapTotal").unwrap_or(0);
    let swap_free = bytes(meminfo, "SwapFree").unwrap_or(0);
    Some(Memory {
        total_bytes,
        used_bytes: total_bytes.saturating_sub(available_bytes),
        available_bytes,
        swap_used_bytes: swap_total.saturating_sub(swap_free),
    })
}

/// The value of a line such as `MemTotal:       24689764 kB`.
fn bytes(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_used() {
        let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\n\
                    SwapTotal:        50 kB\nSwapFree:         20 kB\nHugePages_Total:       0\n";
        assert_eq!(
            parse(text),
            Some(Memory {
                total_bytes: 1_024_000,
                used_bytes: 614_400,
                available_bytes: 409_600,
                swap_used_bytes: 30_720,
            })
        );
    }

    #[test]
    fn does_without_swap_but_not_without_the_total() {
        assert_eq!(parse("MemTotal: 2 kB\nMemAvailable: 1 kB\n").map(|it| it.swap_used_bytes), Some(0));
        assert_eq!(parse("MemAvailable: 1 kB\n"), None);
        assert_eq!(parse("MemTotal: many kB\nMemAvailable: 1 kB\n"), None);
        assert_eq!(parse(""), None);
    }
}
