//! Bytes read from and written to each disk, from `/proc/diskstats`.

use crate::counters::Counters;

/// The kernel counts in sectors of 512 bytes, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// Whole disks that were ever used: a partition's bytes are in its disk's already, and loop and RAM disks are not there
/// for their own sake.
pub(crate) fn parse(diskstats: &str) -> Vec<Counters> {
    let devices: Vec<Counters> = diskstats.lines().filter_map(device).collect();
    let is_partition = |name: &str| devices.iter().any(|whole| is_part_of(name, &whole.name));
    devices
        .iter()
        .filter(|it| !it.name.starts_with("loop") && !it.name.starts_with("ram"))
        .filter(|it| it.was_used() && !is_partition(&it.name))
        .cloned()
        .collect()
}

/// `  8  0 sda READS MERGED SECTORS_READ MS WRITES MERGED SECTORS_WRITTEN …`
fn device(line: &str) -> Option<Counters> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let sectors = |at: usize| fields.get(at)?.parse::<u64>().ok()?.checked_mul(SECTOR_BYTES);
    Some(Counters {
        name: (*fields.get(2)?).to_owned(),
        incoming_bytes: sectors(5)?,
        outgoing_bytes: sectors(9)?,
    })
}

/// `sda1` is part of `sda`, `nvme0n1p2` of `nvme0n1`.
fn is_part_of(name: &str, whole: &str) -> bool {
    let Some(rest) = name.strip_prefix(whole) else { return false };
    let number = rest.strip_prefix('p').unwrap_or(rest);
    // `sdaa` begins with `sda` and is a disk of its own; `md12` begins with `md1`, where only `p` marks a partition.
    let marked = rest.starts_with('p') || !whole.ends_with(|last: char| last.is_ascii_digit());
    marked && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISKSTATS: &str = "\
   7       0 loop0 9 0 20 1 0 0 0 0 0 1 1
   8       0 sda 100 5 2000 50 80 3 4000 60 0 90 110 0 0 0 0 0 0
   8       1 sda1 90 5 1900 50 80 3 4000 60 0 90 110 0 0 0 0 0 0
  65     160 sdaa 1 0 2 0 0 0 0 0 0 0 0
 259       0 nvme0n1 10 0 20 5 8 0 40 6 0 9 11
 259       1 nvme0n1p2 10 0 20 5 8 0 40 6 0 9 11
   9       1 md1 1 0 8 0 0 0 0 0 0 0 0
   9      12 md12 1 0 16 0 0 0 0 0 0 0 0
 254       0 vdb 0 0 0 0 0 0 0 0 0 0 0
";

    #[test]
    fn reads_whole_disks_in_bytes() {
        let disks = parse(DISKSTATS);
        let names: Vec<&str> = disks.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["sda", "sdaa", "nvme0n1", "md1", "md12"]);
        assert_eq!((disks[0].incoming_bytes, disks[0].outgoing_bytes), (1_024_000, 2_048_000));
    }

    #[test]
    fn skips_what_it_does_not_understand() {
        assert_eq!(parse("8 0\n8 0 sda x y z\n\n8 0 sda 1 1 99999999999999999999 1 1 1 1\n"), []);
        // More sectors than bytes can be counted.
        assert_eq!(parse("8 0 sda 1 1 18446744073709551615 1 1 1 1\n"), []);
    }
}
