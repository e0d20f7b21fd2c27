//! Clients, links and the hub, and the steps that a seed takes them through.

use crate::hub_end::{Fault, HubEnd};
use crate::link::{Arrival, Link};
use crate::profile::{Kind, Profile, Step};
use trefoil_model::wire::{Version, Will};
use trefoil_model::{Client, Event, History, Message, Options, Random, Summary, Tap};

/// What workers share.
const WORK: &str = "$share/crew/work/#";

/// The filters that clients choose from.
const FILTERS: [&str; 7] = ["t/#", "t/+", "t/1", "#", "kept/#", "kept/+/1", "t/2"];

/// A world.
pub struct World {
    kind: Kind,
    pub(crate) random: Random,
    pub(crate) profile: Profile,
    pub(crate) hub: HubEnd,
    /// The last one is the witness: its connection never breaks, and it sees all wills.
    pub(crate) devices: Vec<Device>,
    pub history: History,
    last_message: u64,
    last_link: u32,
}

/// A client and what is around it.
pub(crate) struct Device {
    pub(crate) client: Client,
    link: Option<u32>,
    /// It does not read.
    pub(crate) dawdles: bool,
    /// What it subscribes to when it has a new session.
    filters: Vec<(&'static str, u8)>,
}

impl World {
    /// The world of a seed, with at most `steps_max` steps.
    pub fn run(
        seed: u64,
        steps_max: usize,
        kind: Kind,
        fault: Option<Fault>,
    ) -> (Result<Summary, String>, History) {
        let mut world = World::new(seed, kind, fault);
        let result = world.live(steps_max);
        (result, world.history)
    }

    /// How many steps a seed takes.
    pub fn steps(seed: u64, kind: Kind) -> usize {
        Profile::draw(kind, &mut Random::new(seed)).steps
    }

    fn new(seed: u64, kind: Kind, fault: Option<Fault>) -> World {
        let mut random = Random::new(seed);
        let profile = Profile::draw(kind, &mut random);
        let workers = profile.crashing.as_ref().map_or(0, |crashing| crashing.workers);
        let mut devices = Vec::new();
        for number in 0..=profile.clients {
            let is_witness = number == profile.clients;
            let is_worker = !is_witness && number >= profile.clients - workers;
            let version =
                if random.chance(35) && !is_witness && !is_worker { Version::V4 } else { Version::V5 };
            let lasting = *random.one_of(&[5, 60, u32::MAX, u32::MAX, u32::MAX]);
            let expiry_s = match version {
                _ if is_witness || is_worker => u32::MAX,
                _ if random.chance(15) => 0,
                Version::V4 => u32::MAX,
                Version::V5 => lasting,
            };
            let receive_max = if random.chance(50) { random.between(1, 6) as u16 } else { u16::MAX };
            let client_id = format!("client-{number}");
            let mut client = Client::new(Options { number, client_id, version, expiry_s, receive_max });
            if random.chance(30) {
                client.set_last_packet_id(65_530);
            }
            let count = random.below(4);
            let mut filters: Vec<_> =
                (0..count).map(|_| (*random.one_of(&FILTERS), random.below(3) as u8)).collect();
            // A filter twice in one SUBSCRIBE would be the second one only.
            filters.sort_unstable();
            filters.dedup_by_key(|(filter, _)| *filter);
            if is_witness {
                filters = vec![("will/#", 2)];
            }
            if is_worker {
                filters = vec![(WORK, random.between(1, 2) as u8)];
            }
            devices.push(Device { client, link: None, dawdles: false, filters });
        }
        let inflight_max = usize::from(profile.limits.inflight_max);
        let tap = |device: &Device| {
            let Options { version, receive_max, .. } = *device.client.options();
            let window = if version == Version::V5 { usize::from(receive_max) } else { usize::MAX };
            let mut tap = Tap::new(version, window.min(inflight_max));
            tap.holds = profile.crashing.is_some();
            tap.shares = device.filters.iter().any(|(filter, _)| *filter == WORK);
            tap
        };
        let taps = devices.iter().map(tap).collect();
        let mut hub = HubEnd::new(profile.shards, profile.limits.clone(), profile.receive_max, taps, fault);
        hub.slow_readers = vec![profile.slow_reader; profile.clients];
        if profile.crashing.is_some() {
            hub.keep(&profile.promise(), &mut random);
        }
        let history = History::default();
        World { kind, random, profile, hub, devices, history, last_message: 0, last_link: 0 }
    }

    fn live(&mut self, steps_max: usize) -> Result<Summary, String> {
        let witness = self.profile.clients;
        let first = witness - self.workers();
        for at in first..=witness {
            self.connect(at, false);
        }
        self.settle(&(first..=witness).collect::<Vec<_>>())?;
        for _ in 0..self.profile.steps.min(steps_max) {
            self.step()?;
        }
        if self.random.chance(50) {
            // Sessions and wills run out.
            for _ in 0..self.random.below(40) {
                self.wait(2000)?;
            }
        }
        let all: Vec<usize> = (0..self.devices.len()).collect();
        if self.profile.crashing.is_some() {
            // What was to be published later comes.
            self.settle(&all)?;
            for _ in 0..20 {
                self.wait(1000)?;
                self.settle(&all)?;
            }
        }
        self.settle(&all)?;
        self.verdict()
    }

    pub(crate) fn workers(&self) -> usize {
        self.profile.crashing.as_ref().map_or(0, |crashing| crashing.workers)
    }

    fn step(&mut self) -> Result<(), String> {
        let at = self.random.below(self.profile.clients);
        let mut step = self.profile.next(&mut self.random);
        if at >= self.profile.clients - self.workers() {
            // Workers stay what they are.
            step = match step {
                Step::Subscribe | Step::Unsubscribe | Step::ConnectClean => Step::Connect,
                Step::Forget => Step::Restart,
                other => other,
            };
        }
        match step {
            Step::CarryUp => {
                let max = self.some_bytes();
                self.carry_up(at, max);
            }
            Step::CarryDown if !self.devices[at].dawdles => {
                let max = self.some_bytes();
                self.carry_down(at, max)?;
            }
            Step::CarryMail => {
                let pairs = self.hub.mail_under_way();
                if !pairs.is_empty() {
                    let (to, from) = *self.random.one_of(&pairs);
                    self.hub.carry_mail(to, from);
                }
            }
            Step::Publish => self.publish(at),
            Step::Subscribe => {
                let filter = *self.random.one_of(&FILTERS);
                let (qos, wants_retained) = (self.random.below(3) as u8, self.random.chance(70));
                self.devices[at].client.subscribe(&[(filter, qos, wants_retained)], &mut self.history);
            }
            Step::Unsubscribe => {
                let filter = *self.random.one_of(&FILTERS);
                self.devices[at].client.unsubscribe(filter, &mut self.history);
            }
            Step::Answer => {
                let owed = self.devices[at].client.owed();
                let count = self.random.below(owed + 1);
                self.devices[at].client.answer(count);
            }
            Step::Connect if !self.devices[at].client.has_line() => self.connect(at, false),
            Step::ConnectClean if !self.devices[at].client.has_line() => self.connect(at, true),
            Step::Disconnect => {
                let is_v5 = self.devices[at].client.options().version == Version::V5;
                let with_will = is_v5 && self.random.chance(30);
                let last = self.devices[at].client.disconnect(with_will);
                self.close(at, &last, false);
            }
            Step::Cut => self.cut(at, false),
            Step::GoSilent => self.cut(at, true),
            Step::Notice => self.notice(),
            Step::Restart | Step::Forget => {
                let last = self.devices[at].client.output();
                self.devices[at].client.restart(step == Step::Forget, &mut self.history);
                self.close(at, &last, true);
            }
            Step::Dawdle => self.devices[at].dawdles ^= true,
            Step::Wait => {
                let ms = self.random.between(1, 3000) as u64;
                self.wait(ms)?;
            }
            Step::RestartHub => {
                self.hub.restart();
                self.history.add(at, Event::HubLost);
                // The witness is told at once and comes back at once.
                let witness = self.profile.clients;
                self.devices[witness].client.lose();
                self.devices[witness].link = None;
                self.connect(witness, false);
            }
            Step::CrashHub => {
                self.hub.crash(&mut self.random);
                self.history.now_ms = self.hub.net.now.as_ms();
                self.history.add(at, Event::HubCrashed);
                let witness = self.profile.clients;
                self.devices[witness].client.lose();
                self.devices[witness].link = None;
                self.connect(witness, false);
                if self.random.chance(50) {
                    self.wait(0)?;
                }
            }
            Step::HandOver => {
                self.hub.hand_over(&mut self.random);
                self.history.now_ms = self.hub.net.now.as_ms();
                if self.random.chance(50) {
                    self.wait(0)?;
                }
            }
            Step::EndTick => {
                let shard = self.random.below(self.hub.shards.len());
                self.hub.end_tick(shard);
            }
            Step::Sync => {
                let records = if self.random.chance(50) { u64::MAX } else { self.random.below(6) as u64 };
                self.hub.sync(records);
            }
            Step::Checkpoint => {
                let bytes = self.profile.crashing.as_ref().map_or(0, |crashing| crashing.checkpoint_bytes);
                self.hub.checkpoint(bytes, &mut self.random);
            }
            Step::PublishLater => self.publish_to(at, true, false),
            Step::Clear => {
                self.last_message += 1;
                let topic = format!("kept/{at}/{}", self.random.below(3));
                // Sent again at QoS 1 it could clear what was sent after it at QoS 2.
                let (number, qos) = (self.last_message, *self.random.one_of(&[0, 2]));
                let (retain, expiry_s, delay_s) = (true, None, None);
                let message =
                    Message { number, topic, qos, retain, expiry_s, payload_bytes: 0, delay_s, clears: true };
                self.devices[at].client.publish(message, &mut self.history);
            }
            Step::PublishWork => self.publish_to(at, false, true),
            _ => {}
        }
        self.post(at);
        self.hand_over();
        self.hub.end_slow();
        self.note_synced();
        self.sound()
    }

    /// Writes down that all that was taken in is durable, where it makes a difference.
    pub(crate) fn note_synced(&mut self) {
        let is_known = self.history.entries.last().is_some_and(|last| last.event == Event::HubSynced);
        if self.kind == Kind::Loose && !is_known && self.hub.is_all_durable() {
            self.history.add(self.profile.clients, Event::HubSynced);
        }
    }

    /// Sometimes the shards hand over at once, and the disk is quick.
    fn hand_over(&mut self) {
        let Some(crashing) = &self.profile.crashing else { return };
        let (hands_over, syncs) = (crashing.hands_over_percent, crashing.syncs_percent);
        for shard in 0..self.hub.shards.len() {
            if self.random.chance(hands_over) {
                self.hub.end_tick(shard);
            }
        }
        if self.random.chance(syncs) {
            self.hub.sync(u64::MAX);
        }
    }

    fn publish_to(&mut self, at: usize, later: bool, is_work: bool) {
        let random = &mut self.random;
        let topic =
            if is_work { format!("work/{}", random.below(2)) } else { format!("t/{}", random.below(3)) };
        let delay_s_max = if later { *random.one_of(&[2, 15]) } else { 1 };
        let (qos, delay_s) = (random.below(3) as u8, random.below(delay_s_max) as u32);
        self.last_message += 1;
        let number = self.last_message;
        let delay_s = later.then_some(delay_s);
        let message = Message {
            number,
            topic,
            qos,
            retain: false,
            expiry_s: None,
            payload_bytes: 0,
            delay_s,
            clears: false,
        };
        self.devices[at].client.publish(message, &mut self.history);
    }

    /// How much arrives at a time: mostly all there is, sometimes a few bytes.
    fn some_bytes(&mut self) -> usize {
        if self.random.chance(70) { usize::MAX } else { self.random.between(1, 40) }
    }

    fn wait(&mut self, ms: u64) -> Result<(), String> {
        self.hub.pass(ms);
        self.history.now_ms = self.hub.net.now.as_ms();
        self.sound()
    }

    /// What the hub's end has found wrong.
    pub(crate) fn sound(&mut self) -> Result<(), String> {
        self.hub.net.broken.take().map_or(Ok(()), Err)
    }

    fn publish(&mut self, at: usize) {
        let random = &mut self.random;
        let retain = random.chance(15);
        let topic = if retain {
            // One publisher for each, so that there is a last one.
            format!("kept/{at}/{}", random.below(3))
        } else {
            format!("t/{}", random.below(3))
        };
        let qos = random.below(3) as u8;
        let expiry_s = (!retain && random.chance(10)).then(|| random.between(1, 20) as u32);
        let expiry_s = expiry_s.filter(|_| self.devices[at].client.options().version == Version::V5);
        let payload_bytes = if random.chance(10) { random.below(3000) } else { random.below(20) };
        self.last_message += 1;
        let message = Message {
            number: self.last_message,
            topic,
            qos,
            retain,
            expiry_s,
            payload_bytes,
            delay_s: None,
            clears: false,
        };
        self.devices[at].client.publish(message, &mut self.history);
    }

    pub(crate) fn connect(&mut self, at: usize, clean: bool) {
        let will = (at < self.profile.clients && self.random.chance(60)).then(|| {
            self.last_message += 1;
            let qos = self.random.below(2) as u8 + 1;
            let (number, topic) = (self.last_message, format!("will/{at}"));
            let message = Message {
                number,
                topic,
                qos,
                retain: false,
                expiry_s: None,
                payload_bytes: 0,
                delay_s: None,
                clears: false,
            };
            let is_v5 = self.devices[at].client.options().version == Version::V5;
            let delay_s = if is_v5 && self.random.chance(50) { self.random.between(1, 20) as u32 } else { 0 };
            let will = Will { topic: message.topic.clone(), payload: message.payload(), qos, delay_s };
            (will, message)
        });
        let clean = clean || self.hub.net.unheard.contains(&at);
        // A CONNECT that arrives after that of a later connection would take the session from it, and nobody could tell.
        let is_stale =
            |link: &Link| link.client == at && link.hub.as_ref().is_some_and(|s| s.session.is_none());
        self.hub.net.links.retain(|_, link| !is_stale(link));
        let device = &mut self.devices[at];
        device.client.connect(clean, will.as_ref().map(|(will, message)| (will, message)), &mut self.history);
        self.last_link += 1;
        let shard = self.hub.shards[0].shared().shard_of(&device.client.options().client_id);
        let room_bytes = if self.random.chance(50) { self.random.between(20, 4000) } else { 1 << 20 };
        self.hub.net.links.insert(self.last_link, Link::new(at, shard, room_bytes));
        device.link = Some(self.last_link);
        device.dawdles = false;
        self.post(at);
    }

    /// Gives what a client has written to its connection, and lets it subscribe when its session is new.
    pub(crate) fn post(&mut self, at: usize) {
        let device = &mut self.devices[at];
        if device.client.is_ready() && device.client.take_new_session() && !device.filters.is_empty() {
            let filters: Vec<_> = device.filters.iter().map(|(filter, qos)| (*filter, *qos, true)).collect();
            device.client.subscribe(&filters, &mut self.history);
        }
        let bytes = device.client.output();
        if let Some(link) = device.link.and_then(|key| self.hub.net.links.get_mut(&key)) {
            link.up.put(&bytes);
        }
    }

    pub(crate) fn carry_up(&mut self, at: usize, max: usize) -> bool {
        let mut carried = false;
        // Also from connections that the client has left.
        let of_client = |(key, link): (&u32, &Link)| (link.client == at).then_some(*key);
        for key in self.hub.net.links.iter().filter_map(of_client).collect::<Vec<_>>() {
            carried |= self.hub.read(key, max);
            let is_over = |link: &Link| link.hub.is_none() && self.devices[at].link != Some(key);
            if self.hub.net.links.get(&key).is_some_and(is_over) {
                self.hub.net.links.remove(&key);
            }
        }
        carried
    }

    pub(crate) fn carry_down(&mut self, at: usize, max: usize) -> Result<bool, String> {
        let device = &mut self.devices[at];
        let Some(key) = device.link else { return Ok(false) };
        let Some(link) = self.hub.net.links.get_mut(&key) else { return Ok(false) };
        match link.down.take(max) {
            Arrival::Nothing => return Ok(false),
            Arrival::Bytes(bytes) => {
                let taken = device.client.receive(&bytes, &mut self.history);
                taken.map_err(|why| format!("client {at}: {why}"))?;
                self.hub.resume_if_starved(key);
            }
            Arrival::End => {
                device.client.lose();
                self.close(at, &[], false);
            }
        }
        self.post(at);
        Ok(true)
    }

    /// The client has left its connection, with these last words.
    fn close(&mut self, at: usize, last: &[u8], loses_some: bool) {
        let Some(key) = self.devices[at].link.take() else { return };
        let Some(link) = self.hub.net.links.get_mut(&key) else { return };
        link.up.put(last);
        if loses_some {
            link.up.cut(&mut self.random);
        } else {
            link.up.end();
        }
    }

    fn cut(&mut self, at: usize, in_silence: bool) {
        let Some(key) = self.devices[at].link else { return };
        let Some(link) = self.hub.net.links.get_mut(&key) else { return };
        if in_silence {
            // The client finds out by itself; the hub waits for a sign of life.
            link.up.go_silent(&mut self.random);
            self.devices[at].client.lose();
            self.devices[at].link = None;
        } else {
            link.up.cut(&mut self.random);
            link.down.cut(&mut self.random);
        }
    }

    /// The hub notices a connection that its client left long ago.
    fn notice(&mut self) {
        let left =
            |(key, link): (&u32, &Link)| (self.devices[link.client].link != Some(*key)).then_some(*key);
        let left: Vec<u32> = self.hub.net.links.iter().filter_map(left).collect();
        if !left.is_empty() {
            let key = *self.random.one_of(&left);
            if let Some(link) = self.hub.net.links.get_mut(&key) {
                link.up.end();
            }
        }
    }
}
