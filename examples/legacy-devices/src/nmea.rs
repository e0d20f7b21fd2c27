//! Sentences of NMEA 0183, which receivers of satellite navigation send: `$GPRMC,…*6A`, a line each, with a checksum.

/// Where something is, how fast it goes and whither, at a second of the day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fix {
    pub(crate) second: u32,
    /// Degrees, north and east.
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    pub(crate) knots: f64,
    /// Degrees from north, clockwise.
    pub(crate) course: f64,
}

/// A sentence of this text, with its start and its checksum.
pub(crate) fn sentence(body: &str) -> String {
    format!("${body}*{:02X}", checksum(body))
}

/// The text of a sentence whose checksum is right.
pub(crate) fn body(line: &str) -> Option<&str> {
    let (body, sum) = line.trim_end().strip_prefix('$')?.rsplit_once('*')?;
    (u8::from_str_radix(sum, 16).ok()? == checksum(body)).then_some(body)
}

/// The recommended minimum, RMC.
pub(crate) fn rmc(fix: &Fix) -> String {
    let (hours, minutes, seconds) = (fix.second / 3600 % 24, fix.second / 60 % 60, fix.second % 60);
    let (lat, lon) = (degrees(fix.lat, 2, 'N', 'S'), degrees(fix.lon, 3, 'E', 'W'));
    let (knots, course) = (fix.knots, fix.course);
    sentence(&format!(
        "GPRMC,{hours:02}{minutes:02}{seconds:02}.00,A,{lat},{lon},{knots:.1},{course:.1},210626,,,A"
    ))
}

/// Reads such a sentence, if it is one of a receiver that knows where it is.
pub(crate) fn read_rmc(line: &str) -> Option<Fix> {
    let fields: Vec<_> = body(line)?.split(',').collect();
    let [kind, time, "A", lat, north, lon, east, knots, course, ..] = fields[..] else { return None };
    if !kind.ends_with("RMC") || !time.get(..6)?.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let two = |from: usize| time[from..from + 2].parse::<u32>().ok();
    Some(Fix {
        second: two(0)? * 3600 + two(2)? * 60 + two(4)?,
        lat: read_degrees(lat, 2)? * if north == "S" { -1.0 } else { 1.0 },
        lon: read_degrees(lon, 3)? * if east == "W" { -1.0 } else { 1.0 },
        knots: knots.parse().ok()?,
        course: course.parse().ok()?,
    })
}

/// All bytes between `$` and `*`, folded by exclusive or.
fn checksum(body: &str) -> u8 {
    body.bytes().fold(0, |sum, byte| sum ^ byte)
}

/// Degrees of so many digits and minutes with four decimals, and the letter: `4737.2000,N`.
fn degrees(value: f64, digits: usize, positive: char, negative: char) -> String {
    let letter = if value < 0.0 { negative } else { positive };
    // In ten thousandths of a minute, so that 59.99999 does not become sixty minutes.
    let all = (value.abs() * 600_000.0).round() as u64;
    let (whole, minutes, rest) = (all / 600_000, all / 10_000 % 60, all % 10_000);
    format!("{whole:0digits$}{minutes:02}.{rest:04},{letter}")
}

fn read_degrees(text: &str, digits: usize) -> Option<f64> {
    let (whole, minutes) = (text.get(..digits)?, text.get(digits..)?);
    Some(whole.parse::<f64>().ok()? + minutes.parse::<f64>().ok()? / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // From receivers that are none of ours.
        for line in [
            "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A",
            "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n",
        ] {
            assert_eq!(sentence(body(line).expect("the sum is right")), line.trim_end());
        }
        assert_eq!(body("$GPRMC,123519,A*00"), None);
        assert_eq!(body("GPRMC"), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let fix = read_rmc("$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A");
        let fix = fix.expect("it is a fix");
        assert_eq!((fix.second, fix.knots, fix.course), (12 * 3600 + 35 * 60 + 19, 22.4, 84.4));
        assert!((fix.lat - 48.1173).abs() < 1e-6 && (fix.lon - 11.516_666_7).abs() < 1e-6);
        for (lat, lon) in [(47.62, 9.4), (-33.999_999_99, -0.000_1), (59.999_999, 179.5)] {
            let fix = Fix { second: 86_399, lat, lon, knots: 11.5, course: 359.9 };
            let again = read_rmc(&rmc(&fix)).expect("it is a fix");
            assert!((again.lat - lat).abs() < 1e-6 && (again.lon - lon).abs() < 1e-6, "{again:?}");
            assert_eq!((again.second, again.knots, again.course), (86_399, 11.5, 359.9));
        }
        for none in ["GPRMC,123519,V,,,,,,,230394,,", "GPRMC,1é3519,A,1,N,1,E,1,1", "GPGGA,1", "GPRMC,12"] {
            assert_eq!(read_rmc(&sentence(none)), None, "{none}");
        }
    }
}
