//! Driving, and noting where.

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{Phase, Saying, Timetable, Vehicle};
use crate::city::Journey;
use crate::messages::Position;

impl Vehicle {
    /// Drives along its line and puts its positions into the queue, as long as it is in service. Never returns: who
    /// stands waits for its goodbye.
    pub(super) async fn drive(&self, timetable: Timetable, phase: watch::Receiver<Phase>) {
        let mut journey = Journey::new(self.line, self.start);
        let mut ticks = interval(timetable.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut board = self.board();
            let is_done = timetable.positions.is_some_and(|max| board.log.positions >= max);
            board.log.stands = is_done || *phase.borrow() != Phase::Service;
            for doing in board.orders.drain(..) {
                journey.obey(doing);
            }
            if board.log.stands {
                continue;
            }
            journey.go(timetable.period.as_secs_f64());
            if board.to_say.len() >= timetable.queue_max {
                // What has a number must arrive, so what has no room gets none.
                board.log.skipped += 1;
                continue;
            }
            board.log.positions += 1;
            let (x, y) = journey.place();
            let position = Position {
                n: board.log.positions,
                line: self.line.name.to_owned(),
                x: (x * 10.0).round() / 10.0,
                y: (y * 10.0).round() / 10.0,
                at: journey.stands_at().map(str::to_owned),
            };
            self.say(&mut board, Saying::Position(position));
        }
    }
}
