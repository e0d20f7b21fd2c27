//! One round.

use super::devices;
use super::evidence::End;
use super::evidence::Evidence;
use super::explain::explain;
use super::follow;
use super::guests;
use super::judge::{Tally, judge};
use super::players::{
    CHURN, DEVICE_PUBLISHERS, DEVICE_RECEIVERS, FOLLOWERS, GUESTS, HTTP, JSON, JSON_WEBSOCKET, WILLS, cast,
};
use super::requests::{self, checkpoints, figure};
use super::retained::{self, SETTERS};
use super::stage::Stage;
use super::victim::Victim;
use super::wills;
use crate::DEADLINE;
use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::Random;

/// Who plays in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// Everybody.
    Whole,
    /// Those alone who are promised less, by rules for their topics. Some lives of the hub end with a clean stop.
    WeakTopics,
    /// The same with `store.durability = "interval"`, so that their sessions are promised less, too.
    WeakHub,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All lots are drawn from it.
    pub seed: u64,
    /// How often the hub is killed.
    pub kills: usize,
    /// Breaks all connections instead of killing the hub: what such a round finds is not the store's fault.
    pub spares_the_hub: bool,
    /// Who plays.
    pub cast: Cast,
    /// Lines for the end of the hub's configuration.
    pub config: String,
}

impl Plan {
    /// A round that kills. The seed says who plays, too: three of four have everybody.
    pub fn new(seed: u64, kills: usize) -> Self {
        let cast = match seed % 8 {
            4 => Cast::WeakHub,
            0 => Cast::WeakTopics,
            _ => Cast::Whole,
        };
        Self { seed, kills, spares_the_hub: false, cast, config: String::new() }
    }
}

/// A round in which every promise was kept.
pub struct Report {
    /// The plan's.
    pub seed: u64,
    /// How often the hub was killed.
    pub kills: usize,
    /// What was judged.
    pub tally: Tally,
    /// Answers to JSON and HTTP publishers.
    pub answers: u64,
    /// How often all retained messages were looked at.
    pub looks: usize,
    /// From the start of the process to its open port, the shortest first.
    pub recoveries: Vec<Duration>,
    /// Checkpoints that were complete when the hub was about to be killed.
    pub checkpoints: u64,
    /// Kills that came while a checkpoint was being made.
    pub kills_in_checkpoints: usize,
    /// Starts that were killed before the hub listened.
    pub starts_cut: usize,
    /// Bytes in the store's folder at the end.
    pub store_bytes: u64,
    /// What was judged.
    pub evidence: Evidence,
}

/// A broken promise.
#[derive(Debug)]
pub struct Fault {
    /// The plan.
    pub plan: Plan,
    /// Which promise.
    pub why: String,
    /// What happened around it.
    pub story: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, kills, .. } = self.plan;
        writeln!(f, "seed {seed}: {}\n{}", self.why, self.story)?;
        write!(f, "\nagain: cargo xtask crash --seed {seed} --kills {kills}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kills, tally, recoveries, looks, .. } = self;
        let ms = |at: usize| recoveries.get(at).map_or(0, |time| time.as_millis());
        let (middle, last) = (recoveries.len() / 2, recoveries.len().saturating_sub(1));
        let summary = tally.summary;
        writeln!(
            f,
            "seed {seed}: {kills} kills; {} messages sent, {} acknowledged ({} over JSON and HTTP), {} sent again",
            summary.sent, tally.acknowledged, self.answers, summary.resent
        )?;
        writeln!(
            f,
            "  {} deliveries, {} of them promised, {} with DUP, {} duplicates at QoS 1; {} to a shared subscription",
            summary.delivered, summary.promised, summary.repeated, tally.duplicates, tally.shared
        )?;
        writeln!(
            f,
            "  {} retained messages in {looks} looks; wills: {} due, {} forbidden; {} subscriptions ended",
            self.evidence.retained_seen, tally.wills_due, tally.wills_forbidden, tally.removed
        )?;
        let Evidence { sessions_expired, sessions_kept, .. } = &self.evidence;
        writeln!(
            f,
            "  {} delayed deliveries; {} messages and {sessions_expired} sessions expired, {sessions_kept} sessions did not yet",
            tally.times.delayed, tally.times.expired
        )?;
        let weak = tally.weak;
        writeln!(
            f,
            "  without a sync: {} deliveries, {} of them promised by {} clean stops",
            weak.delivered, weak.promised, weak.stops
        )?;
        let places = tally.places;
        writeln!(
            f,
            "  histories: {} places, {} more seen and lost; {} deliveries of {} promised, gone on {} times",
            places.kept, places.lost, places.followed, places.promised, self.evidence.places.resumed
        )?;
        writeln!(
            f,
            "  {} checkpoints, {} kills in the middle of one; {} starts killed before the hub listened",
            self.checkpoints, self.kills_in_checkpoints, self.starts_cut
        )?;
        write!(
            f,
            "  up again after {} ms at the least, {} ms in the middle, {} ms at the most; store: {} KiB",
            ms(0),
            ms(middle),
            ms(last),
            self.store_bytes / 1024
        )
    }
}

/// How long a checkpoint is waited for: the hub looks at the size of its store twice a second.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(700);

/// Ends the round, however a thread ends.
struct Curtain<'a>(&'a Stage);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

/// Takes one round.
///
/// # Errors
/// The first promise that was broken, or why the hub could not be started.
pub fn run(plan: &Plan) -> Result<Report, Box<Fault>> {
    let fault = |why: String, story: String| Box::new(Fault { plan: plan.clone(), why, story });
    let syncs = plan.cast != Cast::WeakHub;
    let durability = if syncs { "sync" } else { "interval" };
    let mut victim = Victim::new(durability, &plan.config).map_err(|why| fault(why, String::new()))?;
    let stage = Stage::new(victim.ports(), plan.spares_the_hub, syncs);
    let outcome = perform(plan, &stage, &mut victim);
    let evidence = stage.evidence().clone();
    // What a client saw explains more than what came of it.
    let why = match (stage.failure(), outcome) {
        (Some(why), _) | (None, Err(why)) => why,
        (None, Ok((tally, moments))) => {
            let store_bytes = victim.store_bytes();
            victim.recoveries.sort();
            return Ok(Report {
                seed: plan.seed,
                kills: plan.kills,
                tally,
                answers: stage.answers.load(SeqCst),
                looks: stage.looks.load(SeqCst),
                recoveries: std::mem::take(&mut victim.recoveries),
                checkpoints: moments.checkpoints,
                kills_in_checkpoints: moments.kills_in_checkpoints,
                starts_cut: moments.starts_cut,
                store_bytes,
                evidence,
            });
        }
    };
    let story = format!(
        "{}\nthe hub's last lines:\n{}\nits folder is kept: {}",
        explain(&why, &evidence),
        victim.log(),
        victim.keep_folder().display()
    );
    Err(fault(why, story))
}

/// What one thread does.
type Part<'a> = Box<dyn FnOnce() -> Result<(), String> + Send + 'a>;

/// What the hub was killed in the middle of.
#[derive(Default)]
struct Moments {
    checkpoints: u64,
    kills_in_checkpoints: usize,
    starts_cut: usize,
}

fn perform(plan: &Plan, stage: &Stage, victim: &mut Victim) -> Result<(Tally, Moments), String> {
    let (seed, is_whole) = (plan.seed, plan.cast == Cast::Whole);
    let mut parts: Vec<Part> = Vec::new();
    for player in cast(stage, seed, !is_whole) {
        stage.enters(player.name());
        parts.push(Box::new(move || {
            player.play();
            Ok(())
        }));
    }
    let others = [
        (WILLS, wills::play as fn(&Stage, usize, u64)),
        (JSON, requests::json),
        (JSON_WEBSOCKET..JSON_WEBSOCKET + 1, requests::json),
        (HTTP, requests::http),
        (GUESTS, guests::play),
        (CHURN..CHURN + 1, requests::churn),
        (FOLLOWERS, follow::follow),
        (DEVICE_PUBLISHERS.start..DEVICE_RECEIVERS.end, devices::play),
    ];
    for (clients, play) in others.into_iter().filter(|_| is_whole) {
        for number in clients {
            stage.enters(format!("client {number}"));
            parts.push(Box::new(move || {
                play(stage, number, seed);
                Ok(())
            }));
        }
    }
    for place in (0..SETTERS).filter(|_| is_whole) {
        stage.enters(format!("setter-{place}"));
        parts.push(Box::new(move || retained::set(stage, place, seed)));
    }
    if is_whole {
        parts.push(Box::new(move || retained::look(stage, seed)));
    }
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || {
                let _curtain = Curtain(stage);
                part().unwrap_or_else(|why| stage.fail(why));
            });
        }
        let _curtain = Curtain(stage);
        let outcome = kill_and_settle(plan, stage, victim);
        stage.end();
        outcome
    })
}

fn kill_and_settle(plan: &Plan, stage: &Stage, victim: &mut Victim) -> Result<(Tally, Moments), String> {
    let (mut random, mut moments) = (Random::new(plan.seed), Moments::default());
    let is_whole = plan.cast == Cast::Whole;
    victim.start()?;
    stage.note_up();
    for _ in 0..plan.kills {
        if stage.is_over() {
            return Err("a client has ended the round".into());
        }
        let kind = random.below(100);
        if kind < 20 && is_whole {
            // Everything that was retained has to be found.
            await_looks(stage, 1)?;
        }
        let (from, to) = match kind {
            0..30 => (0, 40),
            // Twice in a row: as soon as it listens.
            30..40 => (0, 0),
            40..90 => (20, 200),
            _ => (200, 500),
        };
        let pause_ms = random.between(from, to);
        let (stops, seeks_checkpoint) = (!is_whole && random.chance(30), random.chance(25));
        match seeks_checkpoint && !plan.spares_the_hub {
            true => await_checkpoint(stage),
            false => std::thread::sleep(Duration::from_millis(pause_ms as u64)),
        }
        let (complete, marks) = (checkpoints(stage), victim.checkpoints());
        stage.announce_cut();
        if plan.spares_the_hub {
            continue;
        }
        end_life(stage, victim, if stops { End::Stopped } else { End::Killed })?;
        if let Some((complete, is_making)) = complete {
            moments.checkpoints += complete;
            // Had it been completed there would be another mark.
            moments.kills_in_checkpoints += usize::from(is_making && !stops && victim.checkpoints() == marks);
        }
        // Some starts are cut short too, mostly before the port is open.
        while random.chance(15) {
            victim.spawn()?;
            let usual = victim.recoveries[victim.recoveries.len() / 2];
            std::thread::sleep(usual.min(Duration::from_millis(300)) * random.below(100) as u32 / 100);
            moments.starts_cut += usize::from(victim.cut_short()?);
            stage.note_kill();
            stage.note_end(End::Killed);
        }
        victim.start()?;
        stage.note_up();
    }
    if let Some((complete, _)) = checkpoints(stage) {
        moments.checkpoints += complete;
    }
    Ok((settle(stage, is_whole)?, moments))
}

fn end_life(stage: &Stage, victim: &mut Victim, end: End) -> Result<(), String> {
    match end {
        End::Killed => victim.kill()?,
        End::Stopped => victim.stop()?,
    }
    stage.note_kill();
    stage.note_end(end);
    Ok(())
}

/// Waits until a checkpoint is being made, for as long as the hub may take to think of one.
fn await_checkpoint(stage: &Stage) {
    let deadline = Instant::now() + CHECKPOINT_PATIENCE;
    while !checkpoints(stage).is_some_and(|(_, is_making)| is_making)
        && !stage.is_over()
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until somebody has found all the retained messages, so many times.
fn await_looks(stage: &Stage, count: usize) -> Result<(), String> {
    let wanted = stage.looks.load(SeqCst) + count;
    let is_there = || stage.looks.load(SeqCst) >= wanted;
    let why = || stage.missing().unwrap_or("nobody can look at retained messages".into());
    wait(stage, is_there, why)
}

fn wait(stage: &Stage, is_there: impl Fn() -> bool, why: impl Fn() -> String) -> Result<(), String> {
    let deadline = Instant::now() + DEADLINE;
    while !is_there() {
        if stage.is_over() || Instant::now() > deadline {
            return Err(why());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// No more kills: everybody stays until all is through.
fn settle(stage: &Stage, is_whole: bool) -> Result<Tally, String> {
    stage.settle();
    let why = || format!("these do not get through: {:?}", stage.busy());
    wait(stage, || stage.busy().is_empty(), why)?;
    if is_whole {
        await_looks(stage, 2)?;
        follow::read_pages(stage)?;
    }
    // What is late may come as long as anything comes.
    let entries = || {
        let evidence = stage.evidence();
        let histories = [&evidence.main, &evidence.group, &evidence.weak.history];
        histories.map(|history| history.entries.len()).iter().sum::<usize>() + evidence.places.came.len()
    };
    let (mut count, mut changed) = (entries(), Instant::now());
    let tally = loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = entries();
        if now == count {
            let evidence = stage.evidence().clone();
            match judge(&evidence) {
                Ok(tally) => break tally,
                Err(why) if stage.is_over() || changed.elapsed() > DEADLINE / 2 => return Err(why),
                Err(_) => {}
            }
        } else {
            (count, changed) = (now, Instant::now());
        }
    };
    // Short sessions have ended, over all the restarts, and the others have not.
    let least = stage.sessions.load(SeqCst);
    let most = least + stage.sessions_maybe.load(SeqCst);
    let sessions = || figure(stage, "sessions");
    let is_right = || sessions().is_some_and(|sessions| (least..=most).contains(&sessions));
    wait(stage, is_right, || format!("the hub has {:?} sessions, and not {least} to {most}", sessions()))?;
    Ok(tally)
}
