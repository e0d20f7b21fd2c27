//! Reads `/proc` and says what has changed since the last time, topic by topic.

use std::fs;
use std::time::{Duration, Instant};

use crate::counters::{Counters, rates};
use crate::{cpu, disk, memory, network};

/// One message to publish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What follows `telemetry/HOST/`.
    pub(crate) topic: String,
    /// JSON text.
    pub(crate) payload: String,
}

/// The texts of the files, so that all thinking about them needs no file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    pub(crate) stat: String,
    pub(crate) meminfo: String,
    pub(crate) diskstats: String,
    pub(crate) net_dev: String,
}

impl Texts {
    /// Reads the files. One that is not there (some containers hide `diskstats`) leaves its topics out.
    pub(crate) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            stat: read("/proc/stat"),
            meminfo: read("/proc/meminfo"),
            diskstats: read("/proc/diskstats"),
            net_dev: read("/proc/net/dev"),
        }
    }
}

/// Remembers the reading before, since counters mean something only as a difference.
pub(crate) struct Sampler {
    cores: Vec<cpu::Core>,
    disks: Vec<Counters>,
    interfaces: Vec<Counters>,
    at: Instant,
}

impl Sampler {
    /// Takes the first reading.
    pub(crate) fn new(texts: &Texts, now: Instant) -> Self {
        Self {
            cores: cpu::parse(&texts.stat),
            disks: disk::parse(&texts.diskstats),
            interfaces: network::parse(&texts.net_dev),
            at: now,
        }
    }

    /// Takes the next reading and gives what to publish.
    pub(crate) fn sample(&mut self, texts: &Texts, now: Instant) -> Vec<Reading> {
        let next = Self::new(texts, now);
        let elapsed = now.saturating_duration_since(self.at);
        let mut readings = Vec::new();
        for &after in &next.cores {
            let before = self.cores.iter().find(|before| before.number == after.number);
            if let Some(busy) = before.and_then(|&before| cpu::busy_percent(before, after)) {
                readings
                    .push(Reading { topic: format!("cpu/{}", after.number), payload: format!("{busy:.1}") });
            }
        }
        if let Some(memory) = memory::parse(&texts.meminfo) {
            readings.push(Reading { topic: "memory".into(), payload: json(&memory) });
        }
        changes("disk", &self.disks, &next.disks, elapsed, &mut readings);
        changes("network", &self.interfaces, &next.interfaces, elapsed, &mut readings);
        *self = next;
        readings
    }
}

fn changes(
    kind: &str,
    before: &[Counters],
    after: &[Counters],
    elapsed: Duration,
    readings: &mut Vec<Reading>,
) {
    for counters in after {
        if let Some(earlier) = before.iter().find(|it| it.name == counters.name) {
            let topic = format!("{kind}/{}", topic_level(&counters.name));
            readings.push(Reading { topic, payload: json(&rates(earlier, counters, elapsed)) });
        }
    }
}

/// A name as one level of a topic: what would mean something else there is replaced.
pub(crate) fn topic_level(name: &str) -> String {
    let level: String =
        name.chars().map(|c| if matches!(c, '/' | '+' | '#') || c.is_control() { '-' } else { c }).collect();
    if level.is_empty() { "unknown".into() } else { level }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("structures of numbers always have a JSON text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(busy: u64, idle: u64, bytes: u64) -> Texts {
        Texts {
            stat: format!("cpu  1 1 1 1\ncpu0 {busy} 0 0 {idle} 0 0 0 0\n"),
            meminfo: "MemTotal: 2 kB\nMemAvailable: 1 kB\n".into(),
            diskstats: format!("8 0 sda 1 0 {bytes} 0 1 0 {bytes} 0\n"),
            net_dev: format!("a/b: {bytes} 0 0 0 0 0 0 0 {bytes} 0\n"),
        }
    }

    #[test]
    fn publishes_each_value_on_its_topic() {
        let start = Instant::now();
        let mut sampler = Sampler::new(&texts(100, 100, 1000), start);
        let readings = sampler.sample(&texts(130, 110, 3000), start + Duration::from_secs(2));
        let found: Vec<(&str, &str)> =
            readings.iter().map(|it| (it.topic.as_str(), it.payload.as_str())).collect();
        assert_eq!(
            found,
            [
                ("cpu/0", "75.0"),
                (
                    "memory",
                    r#"{"total_bytes":2048,"used_bytes":1024,"available_bytes":1024,"swap_used_bytes":0}"#
                ),
                (
                    "disk/sda",
                    r#"{"in_bytes_per_s":512000,"out_bytes_per_s":512000,"in_bytes":1536000,"out_bytes":1536000}"#
                ),
                (
                    "network/a-b",
                    r#"{"in_bytes_per_s":1000,"out_bytes_per_s":1000,"in_bytes":3000,"out_bytes":3000}"#
                ),
            ]
        );
    }

    #[test]
    fn waits_for_a_second_reading_of_what_is_new_and_leaves_out_what_is_not_there() {
        let start = Instant::now();
        let mut sampler = Sampler::new(&Texts::default(), start);
        let readings = sampler.sample(&texts(1, 1, 1000), start + Duration::from_secs(1));
        let topics: Vec<&str> = readings.iter().map(|it| it.topic.as_str()).collect();
        assert_eq!(topics, ["memory"]);
    }

    #[test]
    fn reads_this_machine() {
        let texts = Texts::read();
        assert!(!cpu::parse(&texts.stat).is_empty());
        assert!(memory::parse(&texts.meminfo).is_some_and(|it| it.used_bytes < it.total_bytes));
    }

    #[test]
    fn makes_a_topic_level_of_any_name() {
        assert_eq!(topic_level("my/host+#1\0"), "my-host--1-");
        assert_eq!(topic_level(""), "unknown");
    }
}
