//! A lake, and a track on it as a receiver would have recorded it. Both are made here.

use std::f64::consts::TAU;

use crate::nmea::Fix;

/// The middle of the lake.
const MIDDLE: Point = Point { lat: 47.62, lon: 9.40 };
/// A degree of latitude, in kilometres.
const DEGREE_KM: f64 = 111.2;
/// A round is recorded second by second, and so long.
const ROUND_S: u32 = 600;
/// The recording began at eight.
const BEGIN_S: u32 = 8 * 3600;
const SHORE_POINTS: u32 = 180;
const KM_PER_MILE: f64 = 1.852;

/// A place, in degrees north and east.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) lat: f64,
    pub(crate) lon: f64,
}

/// The shore, all around.
pub(crate) fn shore() -> impl Iterator<Item = Point> {
    (0..SHORE_POINTS).map(|number| {
        let angle = TAU * f64::from(number) / f64::from(SHORE_POINTS);
        place(angle, 1.0 + 0.03 * (17.0 * angle).sin())
    })
}

/// A round trip on the lake, second by second.
pub(crate) fn recorded() -> Vec<Fix> {
    (0..ROUND_S)
        .map(|second| {
            let (here, next) = (at(second), at(second + 1));
            let (north, east) = kilometres(here, next);
            let knots = north.hypot(east) * 3600.0 / KM_PER_MILE;
            let course = east.atan2(north).to_degrees().rem_euclid(360.0);
            Fix { second: BEGIN_S + second, lat: here.lat, lon: here.lon, knots, course }
        })
        .collect()
}

/// Where the ferry is at a second: a loop, closer to the shore where the landing stages are.
fn at(second: u32) -> Point {
    let angle = TAU * f64::from(second) / f64::from(ROUND_S);
    place(angle, 0.62 + 0.2 * (3.0 * angle).cos())
}

/// What lies in this direction, at this part of the way to the shore.
fn place(angle: f64, part: f64) -> Point {
    let km = part * (3.0 + 0.8 * (2.0 * angle + 0.4).sin() + 0.35 * (3.0 * angle).sin());
    let lat = MIDDLE.lat + km * 0.7 * angle.sin() / DEGREE_KM;
    Point { lat, lon: MIDDLE.lon + km * 1.4 * angle.cos() / (DEGREE_KM * MIDDLE.lat.to_radians().cos()) }
}

/// How far it is to the north and to the east.
fn kilometres(from: Point, to: Point) -> (f64, f64) {
    let shrunk = from.lat.to_radians().cos();
    ((to.lat - from.lat) * DEGREE_KM, (to.lon - from.lon) * DEGREE_KM * shrunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmea::{read_rmc, rmc};

    #[test]
    fn a_track_is_whole_and_on_the_lake_and_every_sentence_of_it_is_sound() {
        let track = recorded();
        assert_eq!(track.len(), ROUND_S as usize);
        for (fix, next) in track.iter().zip(track.iter().cycle().skip(1)) {
            let (here, there) =
                (Point { lat: fix.lat, lon: fix.lon }, Point { lat: next.lat, lon: next.lon });
            let (north, east) = kilometres(here, there);
            assert!(north.hypot(east) < 0.2, "no leaps: {fix:?} {next:?}");
            let again = read_rmc(&rmc(fix)).expect("a sentence");
            assert_eq!(again.second, fix.second);
            assert!((again.lat - fix.lat).abs() < 1e-6 && (again.course - fix.course).abs() < 0.06);
        }
        let extent = |value: fn(&Point) -> f64| {
            shore().map(|point| value(&point)).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (lats, lons) = (extent(|point| point.lat), extent(|point| point.lon));
        assert!(
            track
                .iter()
                .all(|fix| (lats.0..lats.1).contains(&fix.lat) && (lons.0..lons.1).contains(&fix.lon))
        );
    }
}
