//! Per-core load, from `/proc/stat`.

/// Ticks that one core has spent since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Core {
    /// The core's number.
    pub(crate) number: u32,
    /// Ticks in which it worked.
    pub(crate) busy: u64,
    /// All ticks.
    pub(crate) total: u64,
}

/// Reads the lines `cpu0`, `cpu1`…; the first line, the sum of all, is left out.
pub(crate) fn parse(stat: &str) -> Vec<Core> {
    stat.lines().filter_map(core).collect()
}

/// How busy the core was between two readings, in percent. None when no tick has passed.
pub(crate) fn busy_percent(before: Core, after: Core) -> Option<f64> {
    let total = after.total.checked_sub(before.total).filter(|&ticks| ticks > 0)?;
    // The kernel may take back a tick of idle time, so the busy part can seem to run backwards by one.
    let busy = after.busy.saturating_sub(before.busy).min(total);
    Some(busy as f64 * 100.0 / total as f64)
}

fn core(line: &str) -> Option<Core> {
    let rest = line.strip_prefix("cpu")?;
    // The line of the sum has a space here where the others have the core's number.
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let mut fields = rest.split_ascii_whitespace();
    let number = fields.next()?.parse().ok()?;
    // user nice system idle iowait irq softirq steal; the guest times after these are contained in user and nice.
    let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
    let total = ticks.iter().fold(0, |sum: u64, &ticks| sum.saturating_add(ticks));
    let idle = ticks.get(3)?.saturating_add(*ticks.get(4).unwrap_or(&0));
    Some(Core { number, busy: total.saturating_sub(idle), total })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  300 0 100 1500 100 0 0 0 0 0
cpu0 100 0 50 700 50 0 0 0 0 0
cpu1 200 0 50 800 50 0 0 0 7 0
intr 12345 6 7
ctxt 99
";

    #[test]
    fn reads_each_core_and_leaves_the_sum_out() {
        let cores = parse(STAT);
        assert_eq!(
            cores,
            [Core { number: 0, busy: 150, total: 900 }, Core { number: 1, busy: 250, total: 1100 }]
        );
    }

    #[test]
    fn takes_the_difference_of_two_readings() {
        let before = Core { number: 0, busy: 150, total: 900 };
        let after = Core { number: 0, busy: 175, total: 1000 };
        assert_eq!(busy_percent(before, after), Some(25.0));
    }

    #[test]
    fn says_nothing_when_no_time_has_passed_and_stays_in_range_when_time_is_taken_back() {
        let before = Core { number: 0, busy: 150, total: 900 };
        assert_eq!(busy_percent(before, before), None);
        let earlier = Core { number: 0, busy: 140, total: 800 };
        assert_eq!(busy_percent(before, earlier), None);
        let taken_back = Core { number: 0, busy: 149, total: 910 };
        assert_eq!(busy_percent(before, taken_back), Some(0.0));
    }

    #[test]
    fn skips_what_it_does_not_understand() {
        assert_eq!(parse("cpu0 1 2\ncpux 1 2 3 4\ncpu1 a b c d\n\n"), []);
    }
}
