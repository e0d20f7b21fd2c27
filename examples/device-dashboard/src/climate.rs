//! What a bed of the greenhouse is like: warm at noon, damp where it was watered, and drier from second to second.

use fastrand::Rng;

/// A day of this greenhouse, so that one can watch it.
const DAY_S: f64 = 300.0;

/// What the soil loses each second, in points of a hundred, and what a pump gives.
const DRYING: f64 = 0.25;
const WATERING: f64 = 2.5;

/// The climate of one bed.
#[derive(Debug)]
pub(crate) struct Climate {
    /// Seconds since midnight.
    clock_s: f64,
    /// How much warmer this bed is than the others.
    warmth: f64,
    soil: f64,
    rng: Rng,
}

/// What the sensors say.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Readings {
    /// °C
    pub(crate) temperature: f64,
    /// Of the air, in percent.
    pub(crate) humidity: f64,
    /// Water in the soil, in percent.
    pub(crate) soil: f64,
}

impl Climate {
    /// A bed at some time of the day.
    pub(crate) fn new(mut rng: Rng) -> Climate {
        let (warmth, soil) = (4.0 * rng.f64() - 2.0, 35.0 + 40.0 * rng.f64());
        Climate { clock_s: DAY_S * rng.f64(), warmth, soil, rng }
    }

    /// A second passes.
    pub(crate) fn step(&mut self, is_watered: bool) -> Readings {
        self.clock_s = (self.clock_s + 1.0) % DAY_S;
        self.soil = (self.soil + if is_watered { WATERING } else { -DRYING }).clamp(0.0, 100.0);
        // Warmest at noon, coldest at midnight.
        let sun = 0.5 - 0.5 * (std::f64::consts::TAU * self.clock_s / DAY_S).cos();
        let mut noise = || self.rng.f64() - 0.5;
        let temperature = 15.0 + 14.0 * sun + self.warmth + 0.4 * noise();
        let humidity = (88.0 - 35.0 * sun + self.soil / 10.0 + noise()).min(100.0);
        Readings { temperature: tenths(temperature), humidity: tenths(humidity), soil: tenths(self.soil) }
    }
}

/// Sensors have one decimal.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soil_dries_until_it_is_watered_and_a_day_has_a_noon() {
        let mut bed = Climate::new(Rng::with_seed(3));
        let dry: Vec<_> = (0..600).map(|_| bed.step(false)).collect();
        assert!(dry.windows(2).all(|two| two[1].soil <= two[0].soil) && dry[599].soil == 0.0);
        let coldest = dry.iter().map(|at| at.temperature).fold(f64::MAX, f64::min);
        let warmest = dry.iter().map(|at| at.temperature).fold(f64::MIN, f64::max);
        assert!(warmest - coldest > 10.0, "{coldest} to {warmest}");
        assert!((0..60).map(|_| bed.step(true)).all(|at| at.soil <= 100.0 && at.humidity <= 100.0));
        assert_eq!(bed.step(true).soil, 100.0);
    }
}
