//! What the boards at the stops are told: which vehicle is the next one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use trefoil_client::{Message, Publisher, QoS};

use super::Centre;
use super::tally::Tally;
use crate::device::{Device, Sort};
use crate::messages::{Notice, json, stop_topic};

/// How often each board is told.
const PERIOD: Duration = Duration::from_secs(1);

impl Centre {
    /// Tells the boards until the connection ends or nothing is to be told any more, and never returns.
    pub(super) async fn tell_boards(&self, publisher: &Publisher) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.rests.load(Ordering::Relaxed) {
            ticks.tick().await;
            for device in &self.devices {
                // A notice for a board that has never been there would reach nobody.
                if device.sort != Sort::Board || !device.memory().in_service {
                    continue;
                }
                let notice = self.notice(device);
                let message = Message::new(stop_topic(&device.name, "board"), json(&notice));
                // It fails when the connection has ended, which others notice, too.
                drop(publisher.send(message.qos(QoS::AtLeastOnce)).await);
            }
        }
        std::future::pending().await
    }

    fn notice(&self, board: &Device) -> Notice {
        let mut tally = self.tally();
        let text = next_vehicle(&tally, board);
        let count = tally.notices.entry(board.name.clone()).or_default();
        *count += 1;
        Notice { n: *count, text }
    }
}

/// The vehicle nearest to a stop, of those whose lines lead there.
fn next_vehicle(tally: &Tally, board: &Device) -> String {
    let vehicles = tally.heard.iter().filter_map(|(name, heard)| Some((name, heard.last.as_ref()?)));
    let near = vehicles.filter(|(_, position)| board.is_on(&position.line)).map(|(name, position)| {
        let distance = (position.x - board.stop.x).hypot(position.y - board.stop.y);
        (distance, name, &position.line)
    });
    match near.min_by(|(one, ..), (other, ..)| one.total_cmp(other)) {
        Some((distance, name, line)) if distance < 1.0 => format!("{line} {name} is here"),
        // The drawing's units are ten metres each.
        Some((distance, name, line)) => format!("{line} {name} {:.0} m", distance * 10.0),
        None => "please wait".to_owned(),
    }
}
