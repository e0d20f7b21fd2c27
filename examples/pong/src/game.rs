//! The rules: a ball, two paddles, and who has scored. Lengths are parts of the field's height.

use std::f64::consts::TAU;

use fastrand::Rng;

pub(crate) const WIDTH: f64 = 1.6;
pub(crate) const PADDLE: f64 = 0.22;
/// How far the paddles stand from their ends.
pub(crate) const EDGE: f64 = 0.06;
pub(crate) const BALL: f64 = 0.018;
/// What a paddle makes in a second, at most.
const PADDLE_SPEED: f64 = 0.9;
const BALL_SPEED: f64 = 0.75;
/// With each hit it becomes faster, up to this.
const FASTER: f64 = 1.06;
const BALL_SPEED_MAX: f64 = 2.0;

/// A side, by the number of its paddle.
pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 1;

/// What one sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Game {
    pub(crate) ball: [f64; 2],
    pub(crate) speed: [f64; 2],
    /// The middles of the paddles.
    pub(crate) paddles: [f64; 2],
    pub(crate) score: [u32; 2],
}

impl Game {
    /// A game that has just begun.
    pub(crate) fn new(rng: &mut Rng) -> Game {
        let mut game = Game { ball: [0.0; 2], speed: [0.0; 2], paddles: [0.5; 2], score: [0; 2] };
        game.serve(LEFT, rng);
        game
    }

    /// Time passes, and who has a point made is told. Only one of the players decides that.
    pub(crate) fn step(&mut self, seconds: f64, rng: &mut Rng) -> Option<usize> {
        self.fly(seconds);
        for (side, direction) in [(LEFT, -1.0), (RIGHT, 1.0)] {
            let line = if side == LEFT { EDGE } else { WIDTH - EDGE };
            let is_behind = (self.ball[0] - line) * direction > -BALL;
            if !is_behind || self.speed[0] * direction <= 0.0 {
                continue;
            }
            let off = (self.ball[1] - self.paddles[side]) / (PADDLE / 2.0 + BALL);
            if off.abs() <= 1.0 {
                // The further out it hits, the steeper it goes back.
                let speed = (self.speed[0].hypot(self.speed[1]) * FASTER).min(BALL_SPEED_MAX);
                let angle = off * TAU / 8.0;
                self.speed = [-direction * speed * angle.cos(), speed * angle.sin()];
                self.ball[0] = line - direction * BALL;
            } else if (self.ball[0] - line) * direction > EDGE {
                let scorer = 1 - side;
                self.score[scorer] += 1;
                self.serve(side, rng);
                return Some(scorer);
            }
        }
        None
    }

    /// The ball flies on, and comes back from the walls. So much anybody can reckon between two datagrams.
    pub(crate) fn fly(&mut self, seconds: f64) {
        let [x, y] = &mut self.ball;
        *x += self.speed[0] * seconds;
        *y += self.speed[1] * seconds;
        if (*y < BALL && self.speed[1] < 0.0) || (*y > 1.0 - BALL && self.speed[1] > 0.0) {
            self.speed[1] = -self.speed[1];
            *y = y.clamp(BALL, 1.0 - BALL);
        }
    }

    /// Moves a paddle towards a place.
    pub(crate) fn move_paddle(&mut self, side: usize, target: f64, seconds: f64) {
        let way = (target - self.paddles[side]).clamp(-PADDLE_SPEED * seconds, PADDLE_SPEED * seconds);
        self.paddles[side] = (self.paddles[side] + way).clamp(PADDLE / 2.0, 1.0 - PADDLE / 2.0);
    }

    /// From the middle, towards a side.
    fn serve(&mut self, towards: usize, rng: &mut Rng) {
        let angle = (rng.f64() - 0.5) * TAU / 6.0;
        let direction = if towards == LEFT { -1.0 } else { 1.0 };
        self.ball = [WIDTH / 2.0, 0.25 + 0.5 * rng.f64()];
        self.speed = [direction * BALL_SPEED * angle.cos(), BALL_SPEED * angle.sin()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: f64 = 1.0 / 60.0;

    #[test]
    fn a_ball_stays_in_the_field_and_every_miss_is_a_point_for_the_other() {
        let mut rng = Rng::with_seed(5);
        let mut game = Game::new(&mut rng);
        let mut points = [0; 2];
        for _ in 0..60 * 120 {
            // The left follows the ball, the right sleeps.
            game.move_paddle(LEFT, game.ball[1], STEP);
            if let Some(scorer) = game.step(STEP, &mut rng) {
                points[scorer] += 1;
            }
            assert!((0.0..=WIDTH).contains(&game.ball[0]) && (0.0..=1.0).contains(&game.ball[1]), "{game:?}");
            assert!(game.speed[0].hypot(game.speed[1]) <= BALL_SPEED_MAX + 1e-9);
        }
        assert_eq!(points, game.score);
        assert!(points[LEFT] > 20 && points[RIGHT] < points[LEFT] / 2, "{points:?}");
    }

    #[test]
    fn a_paddle_is_no_faster_than_it_may_and_stays_in() {
        let mut game = Game::new(&mut Rng::with_seed(1));
        game.move_paddle(RIGHT, 9.0, 0.1);
        assert!((game.paddles[RIGHT] - 0.59).abs() < 1e-9);
        (0..100).for_each(|_| game.move_paddle(RIGHT, 9.0, 0.1));
        assert_eq!(game.paddles[RIGHT], 1.0 - PADDLE / 2.0);
    }
}
