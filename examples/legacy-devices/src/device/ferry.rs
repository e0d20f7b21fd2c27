//! A ferry with a receiver of satellite navigation, which replays a recorded round trip five times as fast.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::Device;
use crate::nmea::{self, Fix};
use crate::track;

const PERIOD: Duration = Duration::from_millis(200);

pub(crate) struct Ferry {
    hub: SocketAddr,
    track: Vec<Fix>,
    at: usize,
    holds: bool,
}

impl Ferry {
    /// A ferry that connects to this address.
    pub(crate) fn new(hub: SocketAddr) -> Ferry {
        Ferry { hub, track: track::recorded(), at: 0, holds: false }
    }

    /// Where it is now; a second later it is at the next place.
    fn next(&mut self) -> Fix {
        let fix = self.track[self.at];
        if self.holds {
            return Fix { knots: 0.0, ..fix };
        }
        self.at = (self.at + 1) % self.track.len();
        fix
    }

    /// Does what a sentence says, and gives the answer.
    fn obey(&mut self, line: &str) -> Option<String> {
        let word = nmea::body(line)?.strip_prefix("PCLV,")?;
        self.holds = match word {
            "HOLD" => true,
            "GO" => false,
            _ => return None,
        };
        Some(nmea::sentence(&format!("PCLV,ACK,{word}")))
    }
}

impl Device for Ferry {
    const NAME: &'static str = "ferry";

    async fn live(&mut self) -> io::Result<()> {
        let (input, mut output) = TcpStream::connect(self.hub).await?.into_split();
        let mut lines = BufReader::new(input).lines();
        let mut ticks = interval(PERIOD);
        let mut said = Some(nmea::sentence(&format!("PCLV,ID,{}", Self::NAME)));
        loop {
            if let Some(said) = said {
                output.write_all(format!("{said}\r\n").as_bytes()).await?;
            }
            said = tokio::select! {
                _ = ticks.tick() => Some(nmea::rmc(&self.next())),
                // Receivers do not answer what they do not understand.
                line = lines.next_line() => self.obey(&line?.ok_or(io::ErrorKind::UnexpectedEof)?),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_and_goes_on_and_ignores_what_is_broken() {
        let mut ferry = Ferry::new("127.0.0.1:1".parse().expect("an address"));
        let first = ferry.next();
        assert!(first.knots > 1.0 && ferry.next() != first);
        assert_eq!(ferry.obey("$PCLV,HOLD*00"), None);
        let answer = ferry.obey(&nmea::sentence("PCLV,HOLD"));
        assert_eq!(answer, Some(nmea::sentence("PCLV,ACK,HOLD")));
        assert_eq!((ferry.next(), ferry.next().knots), (ferry.next(), 0.0));
        ferry.obey(&nmea::sentence("PCLV,GO"));
        assert_ne!(ferry.next(), ferry.next());
    }
}
