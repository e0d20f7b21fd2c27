//! The exchange as an MQTT client: it publishes where the day began, and then each change of a price.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trefoil_client::{Client, Error, Message, Options, QoS};

use crate::symbol;
use crate::walk::Walk;

/// Changes are made so often, all that are due at once: a steady stream for the eye.
const TICK: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);

/// All symbols, and how fast they change.
pub(crate) struct Exchange {
    listed: Vec<Listed>,
    changes_per_s: u32,
    rng: Rng,
}

struct Listed {
    symbol: String,
    name: String,
    walk: Walk,
}

impl Exchange {
    /// An exchange with so many symbols, of which together so many prices change each second.
    pub(crate) fn new(symbols: u16, changes_per_s: u32, mut rng: Rng) -> Exchange {
        let listed = (0..usize::from(symbols))
            .map(|number| {
                let symbol = symbol::symbol(number);
                Listed { name: symbol::name(&symbol, number), symbol, walk: Walk::new(&mut rng) }
            })
            .collect();
        Exchange { listed, changes_per_s, rng }
    }

    /// Trades as long as the hub is there, and waits for it when it is not.
    pub(crate) async fn run(&mut self, url: &str) -> Infallible {
        loop {
            let Err(error) = self.trade(url).await;
            // Nobody reads this program's errors after it has lost its terminal, so a failure to write them is none.
            let _ = writeln!(io::stderr(), "{error}; trying again");
            sleep(RETRY).await;
        }
    }

    /// Trades until the connection ends.
    async fn trade(&mut self, url: &str) -> Result<Infallible, Error> {
        let mut client = Client::connect(url, Options::default()).await?;
        for listed in &self.listed {
            client.publish(listed.opening()).await?;
        }
        let mut ticks = interval(TICK);
        // What was due while the machine slept is nobody's business any more.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut due, mut made, mut second) = (0.0, 0u32, Instant::now());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Without a subscription no message comes; that the waiting ends says that the connection did.
                _ = client.next_message() => {}
            }
            if let Some(error) = client.error() {
                return Err(error);
            }
            due += f64::from(self.changes_per_s) * TICK.as_secs_f64();
            while due >= 1.0 {
                due -= 1.0;
                made += 1;
                client.publish(self.change()).await?;
            }
            if second.elapsed() >= SECOND {
                second = Instant::now();
                client.publish(Message::new("market/rate", std::mem::take(&mut made).to_string())).await?;
            }
        }
    }

    /// The next change of some price.
    fn change(&mut self) -> Message {
        let which = self.rng.usize(..self.listed.len());
        let listed = &mut self.listed[which];
        let price = listed.walk.step(&mut self.rng);
        Message::new(format!("market/{}/price", listed.symbol), format!("{price:.2}"))
    }
}

impl Listed {
    fn opening(&self) -> Message {
        let about = serde_json::json!({ "name": self.name, "price": self.walk.open() });
        let topic = format!("market/{}/open", self.symbol);
        Message::new(topic, about.to_string()).qos(QoS::AtLeastOnce).retain(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_of_a_symbol_that_is_listed() {
        let mut exchange = Exchange::new(3, 100, Rng::with_seed(1));
        let topics: Vec<_> = exchange.listed.iter().map(|it| format!("market/{}/price", it.symbol)).collect();
        for _ in 0..100 {
            let change = exchange.change();
            assert!(topics.contains(&change.topic), "{}", change.topic);
            assert!(String::from_utf8_lossy(&change.payload).parse::<f64>().is_ok_and(|price| price > 0.0));
        }
        let opening: serde_json::Value =
            serde_json::from_slice(&exchange.listed[0].opening().payload).expect("it is JSON");
        assert_eq!(opening["price"].as_f64(), Some(exchange.listed[0].walk.open()));
    }
}
