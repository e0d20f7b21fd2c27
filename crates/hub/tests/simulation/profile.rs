//! What kind of a world a seed makes: how many clients and shards there are, how bad the network is.

use crate::keeping;
use trefoil_hub::{Limits, SlowReader};
use trefoil_model::{Promise, Random};

/// How often each step is taken, against the sum of all, and the bounds of the world.
#[derive(Clone, Debug)]
pub struct Profile {
    pub shards: usize,
    pub clients: usize,
    pub steps: usize,
    pub limits: Limits,
    /// Messages above QoS 0 that the hub takes of a client at a time.
    pub receive_max: u16,
    pub weights: Vec<(Step, usize)>,
    /// Whether the hub loses everything now and then.
    pub restarts_hub: bool,
    /// What the hub does with clients that do not keep up, where it does not drop the newest of what comes.
    pub slow_reader: SlowReader,
    /// In a world in which the hub crashes.
    pub crashing: Option<Crashing>,
}

/// What is particular to a world in which the hub crashes.
#[derive(Clone, Debug)]
pub struct Crashing {
    /// Clients that share the work, at the end of the list.
    pub workers: usize,
    /// How likely a shard hands over what it has written down at once, in a hundred.
    pub hands_over_percent: usize,
    /// How likely it becomes durable at once.
    pub syncs_percent: usize,
    /// How much a checkpoint writes at a time.
    pub checkpoint_bytes: usize,
    /// What it keeps.
    pub promise: Promise,
}

/// What happens next, at one client or in the hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Bytes reach the hub.
    CarryUp,
    /// Bytes reach the client.
    CarryDown,
    /// Mail reaches a shard.
    CarryMail,
    /// The application publishes.
    Publish,
    /// The application subscribes.
    Subscribe,
    /// The application ends a subscription.
    Unsubscribe,
    /// The client gives some of the answers that it owes.
    Answer,
    /// The client connects, also when its connection of before still stands at the hub.
    Connect,
    /// The same with a clean start.
    ConnectClean,
    /// The client says goodbye.
    Disconnect,
    /// The connection breaks and both ends are told.
    Cut,
    /// The connection breaks and nobody is told.
    GoSilent,
    /// An end that was not told notices.
    Notice,
    /// The client's program ends and starts again with what it had kept.
    Restart,
    /// The same without.
    Forget,
    /// The client stops reading, or goes on.
    Dawdle,
    /// Time passes.
    Wait,
    /// The hub's program ends and starts again.
    RestartHub,
    /// The same with a hub that goes on from what it has on disk.
    CrashHub,
    /// Another process takes over, with all connections.
    HandOver,
    /// A shard hands over what it has written down.
    EndTick,
    /// More of that becomes durable.
    Sync,
    /// A checkpoint begins or goes on.
    Checkpoint,
    /// The application publishes something that is to come later.
    PublishLater,
    /// The application publishes something for the workers.
    PublishWork,
    /// The application clears the retained message of a topic.
    Clear,
}

/// What kind of worlds there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The hub keeps nothing beyond its end.
    Plain,
    /// It does, and crashes.
    Crashing,
    /// The same, and it keeps some things less well than others.
    Loose,
    /// It keeps all, crashes, and is upgraded with all connections.
    Upgraded,
}

impl Profile {
    /// A profile drawn by lot.
    pub fn draw(kind: Kind, random: &mut Random) -> Profile {
        let mut profile = Profile::draw_plain(random);
        if kind != Kind::Plain {
            profile.crash(random);
        }
        if let (Kind::Loose, Some(crashing)) = (kind, &mut profile.crashing) {
            crashing.promise = keeping::draw(random);
        }
        if kind == Kind::Upgraded {
            profile.weights.push((Step::HandOver, random.between(1, 6)));
            profile.weights.retain(|(step, _)| *step != Step::CrashHub || random.chance(50));
        }
        if random.chance(30) {
            profile.be_hard_on_slow_readers(random);
        }
        profile
    }

    /// Queues are short, or a newer message takes the place of an older one.
    fn be_hard_on_slow_readers(&mut self, random: &mut Random) {
        let policies = [
            SlowReader::DropOldest,
            SlowReader::LatestPerTopic,
            SlowReader::Disconnect,
            SlowReader::DropNewest,
        ];
        self.slow_reader = *random.one_of(&policies);
        if random.chance(50) {
            self.limits.slow_readers = vec![("t/1".into(), *random.one_of(&policies))];
        }
        if random.chance(80) {
            self.limits.session_queue_messages_max = random.between(1, 10);
        }
        if random.chance(20) {
            self.limits.queued_messages_max = random.between(5, 30);
        }
        if random.chance(20) {
            self.limits.session_queue_bytes_max = random.between(100, 5000);
        }
    }

    fn crash(&mut self, random: &mut Random) {
        self.restarts_hub = false;
        self.weights.retain(|(step, _)| *step != Step::RestartHub);
        self.weights.extend([
            (Step::CrashHub, random.between(1, 4)),
            (Step::EndTick, random.between(5, 40)),
            (Step::Sync, random.between(3, 40)),
            (Step::Checkpoint, *random.one_of(&[0, 2, 20, 60])),
            (Step::PublishLater, *random.one_of(&[0, 2, 5, 40])),
            (Step::PublishWork, random.below(20)),
            (Step::Clear, random.below(8)),
            (Step::Subscribe, random.below(20)),
            (Step::Unsubscribe, random.below(8)),
        ]);
        let workers = random.below(4);
        self.clients += workers;
        self.crashing = Some(Crashing {
            workers,
            hands_over_percent: *random.one_of(&[0, 50, 90]),
            syncs_percent: *random.one_of(&[0, 30, 90]),
            checkpoint_bytes: *random.one_of(&[1, 200, 5000]),
            promise: Promise::default(),
        });
    }

    fn draw_plain(random: &mut Random) -> Profile {
        let small = random.chance(40);
        let limits = Limits {
            inflight_max: if small { random.between(1, 5) as u16 } else { 1000 },
            session_queue_messages_max: if random.chance(15) { random.between(1, 10) } else { 10_000 },
            ..Limits::default()
        };
        // How much goes wrong: from nothing at all to hardly anything getting through.
        let trouble = *random.one_of(&[0, 1, 1, 3, 3, 8]);
        let restarts_hub = random.chance(10);
        let weights = vec![
            (Step::CarryUp, 100),
            (Step::CarryDown, 100),
            (Step::CarryMail, random.between(10, 60)),
            (Step::Publish, random.between(20, 80)),
            (Step::Answer, random.between(20, 80)),
            (Step::Connect, 15),
            (Step::Subscribe, 3),
            (Step::Unsubscribe, 1),
            (Step::Wait, random.between(1, 10)),
            (Step::Notice, trouble * 3),
            (Step::ConnectClean, trouble.div_ceil(4)),
            (Step::Disconnect, trouble),
            (Step::Cut, trouble * 2),
            (Step::GoSilent, trouble),
            (Step::Restart, trouble),
            (Step::Forget, trouble.div_ceil(4)),
            (Step::Dawdle, random.between(0, 6)),
            (Step::RestartHub, usize::from(restarts_hub)),
        ];
        Profile {
            shards: random.between(1, 3),
            clients: random.between(2, 5),
            steps: random.between(200, 1500),
            limits,
            receive_max: if small { random.between(1, 8) as u16 } else { 1000 },
            weights,
            restarts_hub,
            slow_reader: SlowReader::DropNewest,
            crashing: None,
        }
    }

    /// What the hub keeps.
    pub fn promise(&self) -> Promise {
        self.crashing.as_ref().map(|crashing| crashing.promise.clone()).unwrap_or_default()
    }

    /// The next step.
    pub fn next(&self, random: &mut Random) -> Step {
        let sum: usize = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut rest = random.below(sum);
        for (step, weight) in &self.weights {
            if rest < *weight {
                return *step;
            }
            rest -= weight;
        }
        Step::Wait
    }
}
