//! What the oracle knows of one client as a receiver.

use super::replays::{Kept, Replays};
use super::{Known, matches};
use crate::durability::Durability;
use crate::history::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// One client.
#[derive(Default)]
pub(super) struct Receiver {
    /// What it is subscribed to, or may be.
    filters: BTreeMap<String, Filter>,
    /// Requests without an answer, by filter, the oldest first.
    open: HashMap<String, VecDeque<Request>>,
    /// All that it has asked for in this session: some may come even after it was ended.
    ever: BTreeMap<String, Asked>,
    /// Messages sent while a subscription for them held, as long as it holds.
    covered: BTreeMap<u64, Cover>,
    /// Promised messages of which the session's end or an UNSUBSCRIBE did not let go: whether they came.
    came: BTreeMap<u64, bool>,
    /// Copies that came, by message and QoS.
    copies: HashMap<(u64, u8), usize>,
    /// By publisher, topic, QoS of the publication and of the delivery.
    streams: HashMap<(usize, String, u8, u8), Stream>,
    /// The retained messages that its subscriptions bring.
    pub(super) replays: Replays,
    /// The hub has crashed: what it had not on disk it does not know any more, and may deliver again.
    has_crashed: bool,
    /// Where in the history the hub last had everything on disk.
    synced_at: usize,
}

/// A filter that was asked for.
struct Asked {
    qos: u8,
    /// The place in the history at which the hub had ended the subscription.
    ended_at: Option<usize>,
    /// The hub has crashed since the client last asked for an end: an answer to that may be about what it has forgotten.
    is_unsure: bool,
}

/// A subscription.
struct Filter {
    /// The least QoS that it may have now.
    qos_min: u8,
    /// Its SUBACK has come.
    holds: bool,
    /// It has been on disk since then.
    is_safe: bool,
}

/// A SUBSCRIBE.
struct Request {
    number: u64,
    qos: u8,
    /// The subscription has been ended since.
    is_void: bool,
    /// The retained messages that it brings.
    replay: Option<usize>,
}

struct Cover {
    /// The filters that match and have held since the message was sent.
    filters: BTreeSet<String>,
    /// Those of them that promise more than QoS 0.
    promising: BTreeSet<String>,
    /// Subscriptions have changed since, so two copies may come at two QoS.
    may_shift: bool,
}

#[derive(Default)]
struct Stream {
    seen: BTreeSet<u64>,
    last: Option<u64>,
    /// A message of it was sent more than once, so the hub may have taken it for two.
    is_doubled: bool,
}

/// What a shared subscription is for.
fn unshared(filter: &str) -> &str {
    let rest = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    rest.map_or(filter, |(_, filter)| filter)
}

impl Receiver {
    pub(super) fn subscribing(&mut self, filter: &str, qos: u8, number: u64, retained: Option<&Kept>) {
        if qos == 0 {
            // What is under way at this moment may come at QoS 0 now, which promises nothing.
            self.weaken(filter, true);
        }
        self.shift();
        let entry = self.filters.entry(filter.into()).or_insert(Filter {
            qos_min: qos,
            holds: false,
            is_safe: false,
        });
        entry.qos_min = entry.qos_min.min(qos);
        let replay = retained.map(|kept| self.replays.asked(filter, qos, kept));
        let request = Request { number, qos, is_void: false, replay };
        self.open.entry(filter.into()).or_default().push_back(request);
        let ever = self.ever.entry(filter.into()).or_insert(Asked { qos, ended_at: None, is_unsure: false });
        *ever = Asked { qos: qos.max(ever.qos), ended_at: None, is_unsure: false };
    }

    pub(super) fn subscribed(&mut self, filter: &str, qos: u8, number: u64) -> Result<(), String> {
        let open = self.open.entry(filter.into()).or_default();
        // The answers to those before it, if they are not here yet, are lost.
        while open.front().is_some_and(|request| request.number < number) {
            open.pop_front();
        }
        let answered = open.pop_front().filter(|request| !request.is_void);
        if let (Some(answered), Some(entry)) = (answered, self.filters.get_mut(filter)) {
            // What was asked for after this may hold by now.
            entry.qos_min = open.iter().map(|request| request.qos).fold(qos, u8::min);
            (entry.holds, entry.is_safe) = (true, false);
            answered.replay.into_iter().for_each(|place| self.replays.granted(place));
        }
        let asked = self.ever.get(filter).ok_or("a subscription that was not asked for")?.qos;
        if qos <= asked { Ok(()) } else { Err(format!("QoS {qos} is granted, {asked} was asked for")) }
    }

    /// A subscription ends: what it brought is promised no longer, unless it came.
    pub(super) fn interrupted(&mut self, filter: &str) {
        self.shift();
        self.filters.remove(filter);
        self.ever.entry(filter.into()).and_modify(|asked| asked.is_unsure = false);
        self.open.entry(filter.into()).or_default().iter_mut().for_each(|request| request.is_void = true);
        self.weaken(filter, false);
        self.replays.interrupted(filter);
    }

    /// The hub says that a subscription has ended.
    pub(super) fn ended(&mut self, filter: &str, place: usize) {
        if let Some(asked) = self.ever.get_mut(filter).filter(|asked| !asked.is_unsure) {
            asked.ended_at = Some(place);
        }
    }

    fn shift(&mut self) {
        self.covered.values_mut().for_each(|cover| cover.may_shift = true);
    }

    /// A filter covers no longer what has not come yet, or at QoS 0 only.
    fn weaken(&mut self, filter: &str, still_covers: bool) {
        let came = &mut self.came;
        self.covered.retain(|number, cover| {
            cover.promising.remove(filter);
            if cover.promising.is_empty() && came.get(number) == Some(&false) {
                came.remove(number);
            }
            if !still_covers {
                cover.filters.remove(filter);
            }
            !cover.filters.is_empty()
        });
    }

    pub(super) fn session_lost(&mut self) {
        if self.has_crashed {
            // A message may have gone out that no other session had to keep, and be published again.
            self.copies.clear();
        }
        self.filters.clear();
        self.open.clear();
        self.ever.clear();
        self.covered.clear();
        self.came.retain(|_, came| *came);
        self.streams.values_mut().for_each(|stream| stream.last = None);
        self.replays.session_lost();
    }

    /// Nothing that has not come will.
    pub(super) fn hub_lost(&mut self) {
        self.came.retain(|_, came| *came);
        self.replays.hub_lost();
    }

    /// What the hub has been told so far it knows after a crash as well.
    pub(super) fn hub_synced(&mut self, place: usize) {
        self.synced_at = place;
        self.filters.values_mut().for_each(|filter| filter.is_safe = filter.holds);
    }

    /// What was promised still is, save messages that may be lost. What was not acknowledged may be forgotten, and sent
    /// again by who published it.
    pub(super) fn hub_crashed(&mut self, own: Durability, is_lost: &impl Fn(u64) -> bool) {
        self.has_crashed = true;
        self.came.retain(|number, came| *came || !is_lost(*number));
        if own == Durability::Interval {
            self.forget_lately();
        }
        for ((.., qos), stream) in &mut self.streams {
            stream.is_doubled |= *qos < 2;
        }
        self.replays.hub_crashed(is_lost);
    }

    /// The hub may have gone back to subscriptions as they were when it last had everything on disk.
    fn forget_lately(&mut self) {
        self.shift();
        let unsure = self.filters.iter_mut().filter(|(_, filter)| !filter.is_safe);
        let unsure: Vec<String> = unsure
            .map(|(name, filter)| {
                (filter.qos_min, filter.holds) = (0, false);
                name.clone()
            })
            .collect();
        for name in unsure {
            self.weaken(&name, true);
            self.replays.interrupted(&name);
        }
        // Answers that come from now on are from before.
        self.open.values_mut().flatten().for_each(|request| request.is_void = true);
        let synced_at = self.synced_at;
        for asked in self.ever.values_mut() {
            asked.ended_at = asked.ended_at.filter(|at| *at < synced_at);
            asked.is_unsure = true;
        }
    }

    /// A message is sent somewhere.
    pub(super) fn sent(&mut self, message: &Message) {
        if message.retain && (message.qos == 0 || message.clears) {
            self.replays.weaken(&message.topic);
        }
        if message.clears {
            return;
        }
        let holding = self.filters.iter().filter(|(f, entry)| entry.holds && matches(f, &message.topic));
        let (mut filters, mut promising) = (BTreeSet::new(), BTreeSet::new());
        for (filter, entry) in holding {
            filters.insert(filter.clone());
            if message.qos > 0 && entry.qos_min > 0 {
                promising.insert(filter.clone());
            }
        }
        if !promising.is_empty() {
            self.came.insert(message.number, false);
        }
        if !filters.is_empty() {
            // What is asked for and not answered may be made before the message reaches the hub, or after.
            let may_shift = self.open.values().any(|requests| !requests.is_empty());
            self.covered.insert(message.number, Cover { filters, promising, may_shift });
        }
    }

    /// Whether it has asked for a delivery.
    pub(super) fn wants(&self, qos: u8, known: &Known) -> Result<(), String> {
        let (topic, published) = (&*known.message.topic, known.message.qos);
        let asked = self.ever.iter().filter(|(filter, _)| matches(unshared(filter), topic));
        if asked.clone().next().is_some()
            && asked.clone().all(|(_, a)| a.ended_at.is_some_and(|at| at < known.sent_at))
        {
            return Err("it had ended its subscription before that was sent".into());
        }
        match asked.map(|(_, asked)| asked.qos).max() {
            None => Err("it is not subscribed to that".into()),
            Some(asked) if qos > asked.min(published) => {
                Err(format!("published at QoS {published}, subscribed at {asked}"))
            }
            Some(_) => Ok(()),
        }
    }

    /// At most once at QoS 0, exactly once at QoS 2 [MQTT-4.3.1-1] [MQTT-4.3.3-10].
    pub(super) fn copies(&mut self, number: u64, known: &Known, qos: u8) -> Result<(), String> {
        *self.copies.entry((number, qos)).or_default() += 1;
        let count = |qos| self.copies.get(&(number, qos)).copied().unwrap_or(0);
        let mut once = count(0) + count(2);
        // What is published at QoS 1 and sent again is another message to the hub.
        let mut allowed = if known.message.qos == 1 { known.sends } else { 1 };
        if self.has_crashed && qos < 2 {
            // So is what it had taken in and not acknowledged when it crashed.
            (once, allowed) = (count(0), known.sends);
            if known.is_will || known.message.delay_s.is_some() && known.message.qos > 0 {
                // That the hub has published it by itself may be forgotten as well.
                allowed = usize::MAX;
            }
        } else if self.has_crashed {
            once = count(2);
        }
        if once > allowed {
            return Err(format!("message {number} came {once} times, {allowed} at most was promised"));
        }
        if let Some(came) = self.came.get_mut(&number) {
            *came = true;
        }
        Ok(())
    }

    /// Messages of one publisher on one topic keep their order [MQTT-4.6.0-5] [MQTT-4.6.0-6].
    pub(super) fn order(
        &mut self,
        number: u64,
        known: &Known,
        (qos, dup): (u8, bool),
        may_drop: bool,
    ) -> Result<(), String> {
        let key = (known.publisher, known.message.topic.clone(), known.message.qos, qos);
        let stream = self.streams.entry(key).or_default();
        stream.is_doubled |= known.sends > 1 || self.has_crashed && qos < 2;
        if known.message.delay_s.is_some() {
            return Ok(());
        }
        // A message that was under way when the subscription was made may reach the hub twice, before and after it.
        // Of one that was sent twice the hub may also have dropped the first, for lack of room or since it was too old.
        let Some(cover) = self.covered.get(&number) else { return Ok(()) };
        let may_drop = may_drop || qos == 0 || known.message.expiry_s.is_some();
        if known.sends > 1 && (may_drop || cover.may_shift) {
            return Ok(());
        }
        let newest = stream.seen.last().copied();
        let is_new = !stream.seen.contains(&number);
        if is_new {
            if let Some(newest) = newest.filter(|newest| *newest > number) {
                return Err(format!("message {number} comes for the first time after {newest}"));
            }
            // What a resend went back over has to come again up to where it was before something new comes.
            if let (Some(last), Some(newest)) = (stream.last, newest)
                && last < newest
                && !stream.is_doubled
            {
                return Err(format!("after {last} was repeated, {newest} should come again before {number}"));
            }
        } else if !stream.is_doubled {
            let next = stream.last.and_then(|last| stream.seen.range(last + 1..).next());
            if next.is_some_and(|next| *next < number) {
                return Err(format!("message {number} comes again and {next:?} was left out"));
            }
            if !dup {
                return Err(format!("message {number} comes again without DUP"));
            }
        }
        stream.seen.insert(number);
        stream.last = Some(number);
        Ok(())
    }

    /// What was promised, and whether it came.
    pub(super) fn promised(&self) -> impl Iterator<Item = (u64, bool)> {
        self.came.iter().map(|(number, came)| (*number, *came))
    }
}
