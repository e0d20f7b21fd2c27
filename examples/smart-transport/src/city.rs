//! The city: lines with their stops, and journeys along them. Distances are those of the page's drawing.

use serde::Serialize;

use crate::messages::Doing;

/// A place on the map, and its name.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stop {
    pub(crate) name: &'static str,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// What kind of vehicles serve a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Tram,
    Bus,
}

/// A line leads straight from stop to stop, and back.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Which of the [`STOPS`].
    pub(crate) stops: &'static [usize],
}

const fn stop(name: &'static str, x: f64, y: f64) -> Stop {
    Stop { name, x, y }
}

pub(crate) const STOPS: [Stop; 19] = [
    stop("Ferry", 60.0, 300.0),
    stop("Old Mill", 230.0, 300.0),
    stop("Market", 380.0, 220.0),
    stop("Clover Square", 500.0, 220.0),
    stop("University", 630.0, 220.0),
    stop("Bridge", 760.0, 300.0),
    stop("Airport", 940.0, 300.0),
    stop("Observatory", 500.0, 45.0),
    stop("Park", 500.0, 130.0),
    stop("Station", 440.0, 340.0),
    stop("Brewery", 440.0, 460.0),
    stop("Stadium", 560.0, 555.0),
    stop("Lake", 90.0, 90.0),
    stop("Garden", 280.0, 90.0),
    stop("Hospital", 620.0, 410.0),
    stop("Harbour", 900.0, 530.0),
    stop("West Gate", 70.0, 500.0),
    stop("Tannery", 250.0, 460.0),
    stop("Hill", 900.0, 100.0),
];

pub(crate) const LINES: [Line; 4] = [
    Line { name: "T1", kind: Kind::Tram, stops: &[0, 1, 2, 3, 4, 5, 6] },
    Line { name: "T2", kind: Kind::Tram, stops: &[7, 8, 3, 9, 10, 11] },
    Line { name: "4", kind: Kind::Bus, stops: &[12, 13, 2, 9, 14, 15] },
    Line { name: "7", kind: Kind::Bus, stops: &[16, 17, 10, 14, 5, 18] },
];

const SPEED_PER_S: f64 = 22.0;
/// How long a vehicle stands at a stop.
const STAND_S: f64 = 1.5;
/// How much longer when it was told to.
const HOLD_S: f64 = 5.0;

/// A vehicle's way along its line.
#[derive(Clone, Debug)]
pub(crate) struct Journey {
    line: &'static Line,
    /// The stop last left, and the one ahead, by their places in the line.
    from: usize,
    to: usize,
    /// How far it is from the one.
    gone: f64,
    /// How long it stands still.
    stands_s: f64,
    holds_next: bool,
}

impl Journey {
    /// Begins at a stop of the line, counted along it and back.
    pub(crate) fn new(line: &'static Line, start: usize) -> Journey {
        let last = line.stops.len() - 1;
        let place = start % (2 * last);
        let (from, to) =
            if place < last { (place, place + 1) } else { (2 * last - place, 2 * last - place - 1) };
        Journey { line, from, to, gone: 0.0, stands_s: STAND_S, holds_next: false }
    }

    /// Goes on for so many seconds.
    pub(crate) fn go(&mut self, mut seconds: f64) {
        while seconds > 0.0 {
            let stands = self.stands_s.min(seconds);
            self.stands_s -= stands;
            seconds -= stands;
            let left = (self.length() - self.gone).max(0.0);
            let goes = (seconds * SPEED_PER_S).min(left);
            self.gone += goes;
            seconds -= goes / SPEED_PER_S;
            if goes < left || seconds <= 0.0 {
                return;
            }
            self.arrive();
        }
    }

    fn arrive(&mut self) {
        let is_last = self.to == 0 || self.to == self.line.stops.len() - 1;
        let next = if is_last == (self.to > self.from) { self.to.saturating_sub(1) } else { self.to + 1 };
        self.from = self.to;
        self.to = next;
        self.gone = 0.0;
        self.stands_s = if std::mem::take(&mut self.holds_next) { HOLD_S } else { STAND_S };
    }

    /// Does what the centre has ordered.
    pub(crate) fn obey(&mut self, doing: Doing) {
        match doing {
            Doing::Hold => self.holds_next = true,
            Doing::OpenDoors => self.stands_s = self.stands_s.max(STAND_S),
            Doing::TurnBack => {
                self.gone = self.length() - self.gone;
                std::mem::swap(&mut self.from, &mut self.to);
            }
        }
    }

    pub(crate) fn place(&self) -> (f64, f64) {
        let (from, to) = (self.stop(self.from), self.stop(self.to));
        let part = self.gone / self.length();
        (from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part)
    }

    /// The stop at which it stands.
    pub(crate) fn stands_at(&self) -> Option<&'static str> {
        (self.gone == 0.0 && self.stands_s > 0.0).then(|| self.stop(self.from).name)
    }

    fn stop(&self, place: usize) -> &'static Stop {
        &STOPS[self.line.stops[place]]
    }

    fn length(&self) -> f64 {
        let (from, to) = (self.stop(self.from), self.stop(self.to));
        (to.x - from.x).hypot(to.y - from.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journey_goes_to_the_end_of_the_line_and_back() {
        let mut journey = Journey::new(&LINES[0], 0);
        let mut seen = vec![];
        while seen.len() < 14 {
            if let Some(name) = journey.stands_at().filter(|name| seen.last() != Some(name)) {
                seen.push(name);
            }
            journey.go(0.5);
        }
        let there = ["Ferry", "Old Mill", "Market", "Clover Square", "University", "Bridge", "Airport"];
        assert_eq!(seen[..7], there);
        let back = there.iter().rev().skip(1).chain(&["Old Mill"]);
        assert!(seen[7..].iter().eq(back), "{seen:?}");
    }

    #[test]
    fn every_start_lies_on_the_line() {
        for line in &LINES {
            for start in 0..30 {
                let journey = Journey::new(line, start);
                let name = journey.stands_at().expect("a journey begins at a stop");
                assert!(line.stops.iter().any(|stop| STOPS[*stop].name == name));
            }
        }
    }

    #[test]
    fn orders_are_obeyed() {
        let mut journey = Journey::new(&LINES[0], 0);
        journey.go(3.0);
        let place = journey.place();
        journey.obey(Doing::TurnBack);
        assert_eq!(journey.place(), place, "it turns where it is");
        journey.obey(Doing::Hold);
        journey.go(1.6);
        assert_eq!(journey.stands_at(), Some("Ferry"));
        journey.go(HOLD_S - 1.0);
        assert_eq!(journey.stands_at(), Some("Ferry"));
        journey.go(2.0);
        assert_eq!(journey.stands_at(), None);
    }
}
