//! Bytes received and sent by each network interface, from `/proc/net/dev`.

use crate::counters::Counters;

/// Interfaces that ever carried a byte.
pub(crate) fn parse(dev: &str) -> Vec<Counters> {
    dev.lines().filter_map(interface).filter(|it| it.was_used()).collect()
}

/// `  eth0: BYTES PACKETS ERRS DROP FIFO FRAME COMPRESSED MULTICAST BYTES PACKETS …`; the two head lines have no colon.
fn interface(line: &str) -> Option<Counters> {
    let (name, rest) = line.split_once(':')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let bytes = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Counters { name: name.trim().to_owned(), incoming_bytes: bytes(0)?, outgoing_bytes: bytes(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_interfaces_that_were_used() {
        let dev = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  500       5    0    0    0     0          0         0      500       5    0    0    0     0       0          0
  eth0:123456789  9    0    0    0     0          0         0   987654       8    0    0    0     0       0          0
  eth1:  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
";
        let expected = [("lo", 500, 500), ("eth0", 123_456_789, 987_654)];
        let found = parse(dev);
        let found: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.incoming_bytes, it.outgoing_bytes)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn skips_what_it_does_not_understand() {
        assert_eq!(parse("eth0: 1 2 3\neth1: a b c d e f g h i\n:\n\n"), []);
    }
}
