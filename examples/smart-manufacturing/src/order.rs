//! Whether the pieces of a machine come in their order, and all of them.

/// What was heard of one machine.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// Pieces that came in their turn, or later ones that left a gap before them.
    pub(crate) recorded: u64,
    /// Pieces that were passed over when a later one came.
    pub(crate) missing: u64,
    /// Pieces that came after a later one, or again.
    pub(crate) out_of_order: u64,
    last: u64,
}

impl Order {
    pub(crate) fn take(&mut self, n: u64) {
        if n <= self.last {
            self.out_of_order += 1;
            return;
        }
        self.missing += n - self.last - 1;
        self.recorded += 1;
        self.last = n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(numbers: &[u64]) -> (u64, u64, u64) {
        let mut order = Order::default();
        numbers.iter().for_each(|n| order.take(*n));
        (order.recorded, order.missing, order.out_of_order)
    }

    #[test]
    fn gaps_and_disorder_are_counted() {
        assert_eq!(order(&[1, 2, 3]), (3, 0, 0));
        assert_eq!(order(&[1, 2, 5, 6]), (4, 2, 0));
        assert_eq!(order(&[2]), (1, 1, 0));
        assert_eq!(order(&[1, 3, 2, 3, 4]), (3, 1, 2));
    }
}
