//! One round.

use super::evidence::Evidence;
use super::explain::explain;
use super::judge::{Tally, judge};
use super::players::{HTTP, JSON, WILLS, cast};
use super::requests::{self, figure};
use super::retained::{self, SETTERS};
use super::stage::Stage;
use super::victim::Victim;
use super::wills;
use crate::DEADLINE;
use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use trefoil_model::Random;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All lots are drawn from it.
    pub seed: u64,
    /// How often the hub is killed.
    pub kills: usize,
    /// Breaks all connections instead of killing the hub: what such a round finds is not the store's fault.
    pub spares_the_hub: bool,
    /// Lines for the end of the hub's configuration.
    pub config: String,
}

impl Plan {
    /// A round that kills.
    pub fn new(seed: u64, kills: usize) -> Self {
        Self { seed, kills, spares_the_hub: false, config: String::new() }
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
    let mut victim = Victim::new(&plan.config).map_err(|why| fault(why, String::new()))?;
    let stage = Stage::new(victim.port(), plan.spares_the_hub);
    let outcome = perform(plan, &stage, &mut victim);
    let evidence = stage.evidence().clone();
    // What a client saw explains more than what came of it.
    let why = match (stage.failure(), outcome) {
        (Some(why), _) | (None, Err(why)) => why,
        (None, Ok(tally)) => {
            let store_bytes = victim.store_bytes();
            victim.recoveries.sort();
            return Ok(Report {
                seed: plan.seed,
                kills: plan.kills,
                tally,
                answers: stage.answers.load(SeqCst),
                looks: stage.looks.load(SeqCst),
                recoveries: std::mem::take(&mut victim.recoveries),
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

fn perform(plan: &Plan, stage: &Stage, victim: &mut Victim) -> Result<Tally, String> {
    let seed = plan.seed;
    let mut parts: Vec<Part> = Vec::new();
    for player in cast(stage, seed) {
        parts.push(Box::new(move || {
            player.play();
            Ok(())
        }));
    }
    for (clients, play) in
        [(WILLS, wills::play as fn(&Stage, usize, u64)), (JSON, requests::json), (HTTP, requests::http)]
    {
        for number in clients {
            parts.push(Box::new(move || {
                play(stage, number, seed);
                Ok(())
            }));
        }
    }
    for place in 0..SETTERS {
        parts.push(Box::new(move || retained::set(stage, place, seed)));
    }
    stage.busy.store(parts.len(), SeqCst);
    parts.push(Box::new(move || retained::look(stage, seed)));
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

fn kill_and_settle(plan: &Plan, stage: &Stage, victim: &mut Victim) -> Result<Tally, String> {
    let mut random = Random::new(plan.seed);
    victim.start()?;
    let mut pause = |from: usize, to: usize| Duration::from_millis(random.between(from, to) as u64);
    for _ in 0..plan.kills {
        if stage.is_over() {
            return Err("a client has ended the round".into());
        }
        let kind = pause(0, 99).as_millis();
        if kind < 20 {
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
        std::thread::sleep(pause(from, to));
        stage.announce_cut();
        if plan.spares_the_hub {
            continue;
        }
        victim.kill()?;
        stage.note_kill();
        // Some starts are cut short too, mostly before the port is open.
        while pause(0, 99).as_millis() < 15 {
            victim.spawn()?;
            std::thread::sleep(pause(0, 30));
            victim.kill()?;
            stage.note_kill();
        }
        victim.start()?;
    }
    settle(stage)
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
fn settle(stage: &Stage) -> Result<Tally, String> {
    stage.settle();
    let why = || format!("{} clients do not get through", stage.busy.load(SeqCst));
    wait(stage, || stage.busy.load(SeqCst) == 0, why)?;
    await_looks(stage, 2)?;
    // What is late may come as long as anything comes.
    let entries = || {
        let evidence = stage.evidence();
        evidence.main.entries.len() + evidence.group.entries.len()
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
