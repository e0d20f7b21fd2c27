//! A price that wanders: each step multiplies it by a little more or less than one, so that it never reaches zero and a
//! penny stock moves as wildly as a dear one.

use fastrand::Rng;

/// Where prices begin, in the money of this market.
const LOWEST: f64 = 2.0;
const HIGHEST: f64 = 900.0;

/// The largest step of a calm symbol and of a wild one, as a part of the price.
const CALM: f64 = 0.000_5;
const WILD: f64 = 0.004;

/// How much of the way back to where it began a price goes with each step, so that none runs away over days.
const HOMESICKNESS: f64 = 0.000_2;

/// A price that wanders.
#[derive(Debug)]
pub(crate) struct Walk {
    open: f64,
    price: f64,
    step: f64,
}

impl Walk {
    /// A price somewhere between cheap and dear, and how wild it is.
    pub(crate) fn new(rng: &mut Rng) -> Walk {
        // Evenly spread over the orders of magnitude.
        let open = cents(LOWEST * (HIGHEST / LOWEST).powf(rng.f64()));
        Walk { open, price: open, step: CALM + (WILD - CALM) * rng.f64().powi(3) }
    }

    /// Where it began.
    pub(crate) fn open(&self) -> f64 {
        self.open
    }

    /// Makes one step, and says where it is now.
    pub(crate) fn step(&mut self, rng: &mut Rng) -> f64 {
        let pull = HOMESICKNESS * (self.open / self.price).ln();
        self.price *= (self.step * (2.0 * rng.f64() - 1.0) + pull).exp();
        cents(self.price)
    }
}

/// What is quoted has two decimals.
fn cents(price: f64) -> f64 {
    (price * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_wanders_and_stays_in_the_world() {
        let mut rng = Rng::with_seed(7);
        for _ in 0..20 {
            let mut walk = Walk::new(&mut rng);
            let open = walk.open();
            assert!((LOWEST..=HIGHEST).contains(&open), "{open}");
            let prices: Vec<_> = (0..100_000).map(|_| walk.step(&mut rng)).collect();
            assert!(prices.iter().any(|&price| price != open));
            assert!(prices.iter().all(|&price| price > open / 20.0 && price < open * 20.0), "{open}");
        }
    }
}
