//! What the system says of the process, where it can be asked cheaply.

/// Name, help and value of each figure.
pub(super) fn figures() -> Vec<(&'static str, &'static str, i64)> {
    // Unlike /proc/self/statm it does not count in pages, whose size differs from machine to machine.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory =
        field(&status, "VmRSS:").map(|kib| ("resident_memory_bytes", "Memory of the process.", kib * 1024));
    let threads = field(&status, "Threads:").map(|count| ("threads", "Threads of the process.", count));
    [memory, threads].into_iter().flatten().collect()
}

fn field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
