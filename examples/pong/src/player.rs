//! A player: moves a paddle, tells the others what holds, and believes of what comes the newest.
//!
//! Nothing is sent again. A datagram says all that its sender knows, so that one that is lost is made up for by the next:
//! the left player says where the ball is and how the score stands, the right one where its paddle is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use trefoil_client::{Error, Room, RoomEvent};

use crate::game::{Game, LEFT, PADDLE};

/// Game time between two steps, in seconds.
const STEP_S: f64 = 1.0 / 60.0;
/// A datagram goes out with every second step.
const STEPS_A_DATAGRAM: u32 = 2;
/// A hand that has not moved for so long has let go, and the player goes on by itself.
const HAND: Duration = Duration::from_secs(3);
/// A player that is not heard for so long has gone.
const SILENCE: Duration = Duration::from_secs(3);
/// By how much players misjudge where the ball will be, in paddles.
const MISJUDGES: f64 = 1.25;

pub(crate) const SIDES: [&str; 2] = ["left", "right"];

/// Where somebody wants the paddle, and since when.
pub(crate) type Hand = watch::Receiver<Option<(f64, Instant)>>;

/// What a player has had of the other's datagrams.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: AtomicU64,
    /// Those in between that never came, or too late.
    pub(crate) missed: AtomicU64,
}

/// What the players have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The game is over when one has so many points; 0 for never.
    pub(crate) points: u32,
    /// How many times as fast as a clock.
    pub(crate) speed: f64,
}

pub(crate) struct Player {
    side: usize,
    room: Room,
    rules: Rules,
    game: Game,
    hand: Hand,
    tally: Arc<Tally>,
    rng: Rng,
    /// By how much it misjudges the ball that is coming.
    error: f64,
    last_sequence: Option<u32>,
    /// What the other knows, as it says.
    other_is_over: bool,
}

impl Player {
    pub(crate) fn new(side: usize, room: Room, rules: Rules, hand: Hand, mut rng: Rng) -> Player {
        let game = Game::new(&mut rng);
        let tally = Arc::default();
        Player {
            side,
            room,
            rules,
            game,
            hand,
            tally,
            rng,
            error: 0.0,
            last_sequence: None,
            other_is_over: false,
        }
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// Plays to the end, and gives the score as this player knows it.
    ///
    /// # Errors
    /// When the hub does not let it play, or stops.
    pub(crate) async fn play(mut self) -> Result<[u32; 2], Error> {
        let mut ticks = interval(Duration::from_secs_f64(STEP_S / self.rules.speed));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut steps, mut heard_at) = (0u32, None);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    // The ball waits for both.
                    if heard_at.is_some() {
                        self.step();
                    }
                    steps = steps.wrapping_add(1);
                    if steps.is_multiple_of(STEPS_A_DATAGRAM) {
                        let says = self.says().to_string();
                        self.room.send_newest(says.as_bytes()).await?;
                    }
                }
                event = self.room.next() => match event? {
                    Some(RoomEvent::Data(said)) => {
                        heard_at = Some(Instant::now());
                        self.believe(said.sequence, &said.payload);
                    }
                    Some(RoomEvent::Left { .. }) if self.is_over() => break,
                    // It may come again, and count anew.
                    Some(RoomEvent::Left { .. }) => self.last_sequence = None,
                    Some(_) => {}
                    None => break,
                },
            }
            // The referee goes first, once the other is known to know.
            let is_silent = heard_at.is_some_and(|at: Instant| at.elapsed() > SILENCE);
            if self.is_over() && (is_silent || (self.side == LEFT && self.other_is_over)) {
                break;
            }
        }
        self.room.leave().await?;
        Ok(self.game.score)
    }

    fn is_over(&self) -> bool {
        self.rules.points > 0 && self.game.score.iter().any(|points| *points >= self.rules.points)
    }

    fn step(&mut self) {
        if self.is_over() {
            return;
        }
        let before = (self.is_coming(), self.game.score);
        if self.side == LEFT {
            self.game.step(STEP_S, &mut self.rng);
        } else {
            self.game.fly(STEP_S);
        }
        if before != (self.is_coming(), self.game.score) {
            self.misjudge();
        }
        let target = self.target();
        self.game.move_paddle(self.side, target, STEP_S);
    }

    /// Each ball that comes is misjudged anew.
    fn misjudge(&mut self) {
        self.error = PADDLE * MISJUDGES * (self.rng.f64() - 0.5);
    }

    /// Where the paddle is to be: where a hand wants it, or else where the ball is, more or less.
    fn target(&self) -> f64 {
        match *self.hand.borrow() {
            Some((y, at)) if at.elapsed() < HAND => y,
            _ if self.is_coming() => self.game.ball[1] + self.error,
            _ => 0.5,
        }
    }

    fn is_coming(&self) -> bool {
        (self.game.speed[0] < 0.0) == (self.side == LEFT)
    }

    fn says(&self) -> Value {
        let game = &self.game;
        let mut says = json!({
            "side": SIDES[self.side],
            "paddle": thousandths(game.paddles[self.side]),
            "score": game.score,
            "over": self.is_over(),
        });
        if self.side == LEFT {
            says["ball"] = json!(game.ball.map(thousandths));
            says["speed"] = json!(game.speed.map(thousandths));
        }
        says
    }

    /// Takes over what the other knows better.
    fn believe(&mut self, sequence: u32, payload: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Value>(payload) else { return };
        let other = 1 - self.side;
        if said["side"] != SIDES[other] {
            return;
        }
        let missed = self.last_sequence.map_or(0, |last| sequence.wrapping_sub(last).saturating_sub(1));
        self.last_sequence = Some(sequence);
        self.tally.received.fetch_add(1, Ordering::Relaxed);
        self.tally.missed.fetch_add(missed.into(), Ordering::Relaxed);
        if let Some(paddle) = said["paddle"].as_f64() {
            self.game.paddles[other] = paddle.clamp(0.0, 1.0);
        }
        self.other_is_over = said["over"] == true && said["score"] == json!(self.game.score);
        if other == LEFT {
            let before = (self.is_coming(), self.game.score);
            let pair = |name: &str| Some([said[name][0].as_f64()?, said[name][1].as_f64()?]);
            let points = |side: usize| said["score"][side].as_u64().and_then(|points| points.try_into().ok());
            if let (Some(ball), Some(speed)) = (pair("ball"), pair("speed")) {
                (self.game.ball, self.game.speed) = (ball, speed);
            }
            if let (Some(left), Some(right)) = (points(0), points(1)) {
                self.game.score = [left, right];
            }
            if before != (self.is_coming(), self.game.score) {
                self.misjudge();
            }
        }
    }
}

/// Three decimals are enough for a field of a thousand points.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
