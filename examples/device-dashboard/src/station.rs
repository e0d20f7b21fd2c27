//! A station as an MQTT client: it says once a second what its sensors see, and switches its pump when it is told to.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trefoil_client::{Client, Error, Message, Options, QoS, Will};

use crate::climate::Climate;

const PERIOD: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);
/// A station that is gone without even its connection breaking is found dead after one and a half times this.
const KEEP_ALIVE_S: u16 = 5;

/// The soil of a bed beyond which no pump is needed, in percent: it ends by itself there.
const WET: f64 = 95.0;

struct Station {
    bed: &'static str,
    climate: Climate,
    is_pumping: bool,
}

/// Starts the station of a bed. What is returned is its plug: `false` pulls it.
pub(crate) fn plug_in(url: &str, bed: &'static str) -> watch::Sender<bool> {
    let (plug, power) = watch::channel(true);
    let station = Station { bed, climate: Climate::new(Rng::new()), is_pumping: false };
    tokio::spawn(station.run(url.to_owned(), power));
    plug
}

impl Station {
    /// Lives for ever, and waits while there is no power.
    async fn run(mut self, url: String, mut power: watch::Receiver<bool>) {
        while power.wait_for(|on| *on).await.is_ok() {
            tokio::select! {
                never = self.live_forever(&url) => match never {},
                // This drops the connection in the middle of whatever it did: a death without a goodbye, of which the
                // will tells. It fails when the program ends, which pulls all plugs.
                _ = power.wait_for(|on| !*on) => self.is_pumping = false,
            }
        }
    }

    async fn live_forever(&mut self, url: &str) -> Infallible {
        loop {
            let Err(error) = self.live(url).await;
            // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
            let _ = writeln!(io::stderr(), "{}: {error}; trying again", self.bed);
            sleep(RETRY).await;
        }
    }

    /// Measures and obeys until the connection ends.
    async fn live(&mut self, url: &str) -> Result<Infallible, Error> {
        let options = Options {
            client_id: Some(format!("greenhouse-{}", self.bed)),
            keep_alive_s: KEEP_ALIVE_S,
            will: Some(Will { message: self.retained("status", "offline"), ..Will::default() }),
            ..Options::default()
        };
        let mut client = Client::connect(url, options).await?;
        client.subscribe(&self.topic("pump/set"), QoS::AtLeastOnce).await?;
        client.publish(self.pump()).await?;
        // Last, so that a station that is said to be online already hears what it is told.
        client.publish(self.retained("status", "online")).await?;
        let mut seconds = interval(PERIOD);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let was_pumping = self.is_pumping;
            tokio::select! {
                _ = seconds.tick() => {
                    for reading in self.measure() {
                        client.publish(reading).await?;
                    }
                }
                message = client.next_message() => match message {
                    Some(message) => {
                        self.obey(&message);
                        // Also after nonsense: whoever sent it sees that nothing has changed.
                        client.publish(self.pump()).await?;
                        continue;
                    }
                    None => return Err(client.error().expect("a connection that has ended says why")),
                },
            }
            if self.is_pumping != was_pumping {
                client.publish(self.pump()).await?;
            }
        }
    }

    fn measure(&mut self) -> [Message; 3] {
        let at = self.climate.step(self.is_pumping);
        self.is_pumping &= at.soil < WET;
        [("temperature", at.temperature), ("humidity", at.humidity), ("soil", at.soil)]
            .map(|(what, value)| Message::new(self.topic(&format!("sensor/{what}")), value.to_string()))
    }

    fn obey(&mut self, message: &Message) {
        match &*message.payload {
            b"on" => self.is_pumping = true,
            b"off" => self.is_pumping = false,
            _ => drop(writeln!(io::stderr(), "{}: a pump is on or off", message.topic)),
        }
    }

    fn pump(&self) -> Message {
        self.retained("pump", if self.is_pumping { "on" } else { "off" })
    }

    fn retained(&self, what: &str, payload: &str) -> Message {
        Message::new(self.topic(what), payload).qos(QoS::AtLeastOnce).retain(true)
    }

    fn topic(&self, what: &str) -> String {
        format!("greenhouse/{}/{what}", self.bed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pump_obeys_and_ends_by_itself_when_the_soil_is_wet() {
        let climate = Climate::new(Rng::with_seed(1));
        let mut station = Station { bed: "basil", climate, is_pumping: false };
        station.obey(&Message::new("greenhouse/basil/pump/set", "on"));
        assert_eq!(station.pump().payload, b"on");
        station.obey(&Message::new("greenhouse/basil/pump/set", "perhaps"));
        assert_eq!(station.pump().payload, b"on");
        let topics: Vec<_> = station.measure().into_iter().map(|message| message.topic).collect();
        let named = |what: &str| format!("greenhouse/basil/sensor/{what}");
        assert_eq!(topics, [named("temperature"), named("humidity"), named("soil")]);
        for _ in 0..100 {
            station.measure();
        }
        assert_eq!(station.pump().payload, b"off");
    }
}
