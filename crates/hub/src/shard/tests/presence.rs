//! Who is on a topic: whatever happens in whatever order, watchers know it in the end, and what they are told fits to what
//! they were told before.

use crate::presence::{
    ClientKind, ConnectionName, PresenceAnswer, PresenceAsker, PresenceError, PresenceNews, PresenceOptions,
    PresenceQuestion, PresentClient,
};
use crate::{
    Connect, ConnectionKey, Delivered, Delivery, Ending, Limits, Message, Outlet, Parcel, SessionKey, Shard,
    Shared, SubscriptionOptions, Time,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use trefoil_mqtt::RetainHandling;

/// What a watcher knows of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Known {
    Clients(BTreeMap<String, ConnectionName>),
    Count(usize),
}

/// What leaves one shard.
#[derive(Default)]
struct Out {
    letters: VecDeque<(usize, Parcel)>,
    full: HashSet<u32>,
    known: HashMap<(u32, String), Known>,
    told: Vec<String>,
    answers: Vec<(PresenceAsker, PresenceAnswer)>,
}

impl Outlet for Out {
    fn has_room(&mut self, _: ConnectionKey, _: Option<usize>) -> bool {
        true
    }

    fn deliver(&mut self, _: ConnectionKey, _: &Arc<Message>, _: &Delivery<'_>) -> Delivered {
        Delivered::Sent
    }

    fn release(&mut self, _: ConnectionKey, _: u16, _: u64) {}

    fn tell_presence(
        &mut self,
        to: &[ConnectionKey],
        name: &str,
        news: &PresenceNews<'_>,
    ) -> Vec<ConnectionKey> {
        let (full, to): (Vec<_>, Vec<_>) = to.iter().copied().partition(|key| self.full.contains(&key.0));
        for ConnectionKey(key) in to {
            let known = self.known.entry((key, name.to_owned()));
            match *news {
                PresenceNews::List(clients) => {
                    let by_name = clients.iter().map(|c| (c.client_id.to_string(), c.connection)).collect();
                    self.told.push(format!("{key} {name} list {}", clients.len()));
                    known.insert_entry(Known::Clients(by_name));
                }
                PresenceNews::Count(count) => {
                    self.told.push(format!("{key} {name} count {count}"));
                    known.insert_entry(Known::Count(count));
                }
                PresenceNews::Came(client, count) => {
                    self.told.push(format!("{key} {name} came {} {count}", client.client_id));
                    let Known::Clients(clients) = known.or_insert(Known::Count(0)) else {
                        panic!("it is told who comes to a list that it does not have");
                    };
                    assert_eq!(clients.insert(client.client_id.to_string(), client.connection), None);
                    assert_eq!(clients.len(), count);
                }
                PresenceNews::Went(client_id, connection, count) => {
                    self.told.push(format!("{key} {name} went {client_id} {count}"));
                    let Known::Clients(clients) = known.or_insert(Known::Count(0)) else {
                        panic!("it is told who leaves a list that it does not have");
                    };
                    assert_eq!(clients.remove(client_id), Some(connection));
                    assert_eq!(clients.len(), count);
                }
            }
        }
        full
    }

    fn answer_presence(&mut self, question: &PresenceQuestion, answer: &PresenceAnswer) {
        self.answers.push((question.asker, answer.clone()));
    }

    fn forward(&mut self, shard: usize, parcel: Parcel) {
        self.letters.push_back((shard, parcel));
    }
}

/// Shards whose letters take as long as the test likes, and clients that are where their ids belong.
struct World {
    shared: Arc<Shared>,
    shards: Vec<Shard>,
    outs: Vec<Out>,
    /// On their way, by sender and receiver.
    mail: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    now: Time,
    last: u32,
    clients: HashMap<String, (usize, SessionKey, u32)>,
    watched: HashSet<(String, String)>,
}

impl World {
    fn new(shards: usize, options: PresenceOptions) -> World {
        let shared = Arc::new(Shared::new(shards, 3, Limits::default()).with_presence(options));
        World {
            shards: (0..shards).map(|n| Shard::new(n, shared.clone())).collect(),
            outs: (0..shards).map(|_| Out::default()).collect(),
            shared,
            mail: BTreeMap::new(),
            now: Time::default(),
            last: 0,
            clients: HashMap::new(),
            watched: HashSet::new(),
        }
    }

    fn post(&mut self) {
        for (from, out) in self.outs.iter_mut().enumerate() {
            for (to, parcel) in out.letters.drain(..) {
                self.mail.entry((from, to)).or_default().push_back(parcel);
            }
        }
    }

    fn carry_one(&mut self, which: usize) -> bool {
        self.post();
        let ways: Vec<_> =
            self.mail.iter().filter(|(_, mail)| !mail.is_empty()).map(|(way, _)| *way).collect();
        let Some(&(from, to)) = ways.get(which % ways.len().max(1)) else { return false };
        let parcel = self.mail.get_mut(&(from, to)).and_then(VecDeque::pop_front).expect("there is some");
        self.shards[to].handle(self.now, parcel, &mut self.outs[to]);
        true
    }

    fn settle(&mut self) {
        while self.carry_one(0) {}
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
            if shard.wait_ms(self.now) == Some(0) {
                shard.handle_time(self.now, out);
            }
        }
    }

    fn come(&mut self, id: &str, expiry_s: u32) {
        let shard = self.shared.shard_of(id);
        self.last += 1;
        let tag = NonZeroU32::new(self.last).expect("it is not 0");
        let connect = Connect {
            clean_start: expiry_s == 0,
            expiry_s,
            tag,
            kind: ClientKind::Tcp,
            ..Connect::new(id, ConnectionKey(self.last))
        };
        self.watched.retain(|(who, _)| who != id);
        let done = self.shards[shard].connect(self.now, connect, &mut self.outs[shard]);
        self.shards[shard].resume(self.now, done.session, &mut self.outs[shard]);
        self.clients.insert(id.to_owned(), (shard, done.session, self.last));
    }

    fn go(&mut self, id: &str) {
        let Some((shard, session, _)) = self.clients.remove(id) else { return };
        self.watched.retain(|(who, _)| who != id);
        self.shards[shard].disconnect(self.now, session, Ending::Lost, &mut self.outs[shard]);
    }

    fn subscribe(&mut self, id: &str, topic: &str, watches: bool) {
        let Some(&(shard, session, _)) = self.clients.get(id) else { return };
        let (hub, options) = (&mut self.shards[shard], SubscriptionOptions::default());
        hub.subscribe(session, topic, options, RetainHandling::Send).expect("a good filter");
        if watches {
            hub.watch_presence(session, topic).expect("a topic");
            self.watched.insert((id.to_owned(), topic.to_owned()));
        }
        hub.resume(self.now, session, &mut self.outs[shard]);
    }

    fn unsubscribe(&mut self, id: &str, topic: &str) {
        let Some(&(shard, session, connection)) = self.clients.get(id) else { return };
        let done = self.shards[shard].unsubscribe(self.now, session, topic, &mut self.outs[shard]);
        done.expect("a good filter");
        self.watched.remove(&(id.to_owned(), topic.to_owned()));
        self.outs[shard].known.remove(&(connection, topic.to_owned()));
    }

    fn ask(&mut self, id: &str, topic: &str) {
        let Some(&(shard, session, _)) = self.clients.get(id) else { return };
        // It may have asked too often.
        let _ = self.shards[shard].ask_presence(self.now, session, topic, Some(1), &mut self.outs[shard]);
    }

    fn set_full(&mut self, id: &str, is_full: bool) {
        let Some(&(shard, session, connection)) = self.clients.get(id) else { return };
        if is_full {
            self.outs[shard].full.insert(connection);
        } else if self.outs[shard].full.remove(&connection) {
            self.shards[shard].resume(self.now, session, &mut self.outs[shard]);
        }
    }

    /// Who is on a topic, by looking at all sessions.
    fn truth(&self, topic: &str) -> BTreeMap<String, ConnectionName> {
        let mut all = BTreeMap::new();
        for (id, &(shard, session, _)) in &self.clients {
            if self.shards[shard].subscriptions.find(session, topic).is_some() {
                let name = self.shards[shard].connection_name(session).expect("it is connected");
                all.insert(id.clone(), name);
            }
        }
        all
    }

    fn check(&self, clients_max: usize) {
        for (id, topic) in &self.watched {
            let (shard, _, connection) = self.clients[id];
            let known = self.outs[shard].known.get(&(connection, topic.clone()));
            let truth = self.truth(topic);
            match known.expect("it has been told") {
                Known::Clients(clients) => assert_eq!(clients, &truth, "{id} of {topic}"),
                Known::Count(count) => {
                    assert_eq!(*count, truth.len(), "{id} of {topic}");
                    assert!(truth.len() >= clients_max / 5 * 4, "few enough are there to be listed");
                }
            }
        }
    }

    fn told(&mut self, shard: usize) -> Vec<String> {
        std::mem::take(&mut self.outs[shard].told)
    }
}

const TOPICS: [&str; 3] = ["room/1", "room/2", "room"];

fn options(clients_max: usize) -> PresenceOptions {
    PresenceOptions { clients_max, ..PresenceOptions::default() }
}

#[test]
fn a_watcher_is_told_who_is_there_and_who_comes_and_goes() {
    let mut w = World::new(1, options(1000));
    w.come("ann", 0);
    w.come("bob", 0);
    w.subscribe("bob", "room/1", false);
    w.subscribe("bob", "room/+", false);
    w.subscribe("ann", "room/1", true);
    assert_eq!(w.told(0), ["1 room/1 list 2"]);
    // A subscription that is there already makes no news.
    w.subscribe("bob", "room/1", false);
    w.come("cy", 0);
    w.subscribe("cy", "room/#", false);
    w.subscribe("cy", "room/1", false);
    w.unsubscribe("bob", "room/1");
    w.go("cy");
    assert_eq!(w.told(0), ["1 room/1 came cy 3", "1 room/1 went bob 2", "1 room/1 went cy 1"]);
    w.unsubscribe("ann", "room/1");
    w.subscribe("bob", "room/1", false);
    assert_eq!(w.told(0), [""; 0]);
}

#[test]
fn a_client_that_comes_anew_goes_and_comes() {
    let mut w = World::new(1, options(1000));
    w.come("ann", 0);
    w.subscribe("ann", "room/1", true);
    w.come("bob", 100);
    w.subscribe("bob", "room/1", false);
    w.told(0);
    w.come("bob", 100);
    assert_eq!(w.told(0), ["1 room/1 went bob 1", "1 room/1 came bob 2"]);
    w.go("bob");
    // Its session is kept, but it is not there.
    assert_eq!(w.told(0), ["1 room/1 went bob 1"]);
    w.come("bob", 100);
    assert_eq!(w.told(0), ["1 room/1 came bob 2"]);
}

#[test]
fn a_client_that_goes_on_in_another_process_has_not_gone() {
    let mut w = World::new(1, options(1000));
    w.come("ann", 0);
    w.subscribe("ann", "room/1", true);
    for (id, expiry_s) in [("bob", 0), ("cy", 100), ("di", 0)] {
        w.come(id, expiry_s);
        w.subscribe(id, "room/1", false);
    }
    w.told(0);
    for id in ["bob", "cy"] {
        let (_, session, _) = w.clients[id];
        w.shards[0].let_go(w.now, session, &mut w.outs[0]);
    }
    assert_eq!(w.told(0), [""; 0]);
    w.go("di");
    assert_eq!(w.told(0), ["1 room/1 went di 3"]);
}

#[test]
fn what_a_client_says_of_itself_is_told() {
    let mut w = World::new(1, options(1000));
    w.come("ann", 0);
    w.subscribe("ann", "room/1", false);
    let session = w.clients["ann"].1;
    w.shards[0].set_presence_info(session, Some("{\"name\":\"Ann\"}".into()));
    w.shards[0].identify(session, crate::Language::Json, "ann@home".into());
    w.ask("ann", "room/1");
    let (asker, answer) = w.outs[0].answers.pop().expect("it is answered at once");
    assert_eq!(asker, PresenceAsker::Client { connection: ConnectionKey(1), id: Some(1) });
    let client = PresentClient {
        client_id: "ann".into(),
        connection: ConnectionName { shard: 0, tag: 1 },
        kind: ClientKind::Tcp,
        user: Some("ann@home".into()),
        info: Some("{\"name\":\"Ann\"}".into()),
    };
    assert_eq!(answer, PresenceAnswer { count: 1, clients: vec![client] });
    w.shards[0].ask_presence_from_outside(w.now, "nowhere", 7, &mut w.outs[0]);
    assert_eq!(w.outs[0].answers.pop(), Some((PresenceAsker::Outside(7), PresenceAnswer::default())));
}

#[test]
fn a_crowd_is_counted_and_listed_again_when_it_is_small() {
    let mut w = World::new(1, options(5));
    w.come("ann", 0);
    w.subscribe("ann", "room/1", true);
    for n in 0..5 {
        w.come(&format!("c{n}"), 0);
        w.subscribe(&format!("c{n}"), "room/1", false);
    }
    assert_eq!(w.told(0)[5..], ["1 room/1 count 6"]);
    // At most once a second.
    w.pass(1000);
    for n in 5..8 {
        w.come(&format!("c{n}"), 0);
        w.subscribe(&format!("c{n}"), "room/1", false);
        w.pass(300);
    }
    w.pass(1000);
    let told = w.told(0);
    assert!(told.len() <= 3 && told.last().is_some_and(|last| last == "1 room/1 count 9"), "{told:?}");
    (3..8).for_each(|n| w.go(&format!("c{n}")));
    w.pass(300);
    w.pass(1000);
    assert_eq!(w.told(0), ["1 room/1 count 4"]);
    w.go("c2");
    w.pass(300);
    assert_eq!(w.told(0), ["1 room/1 list 3"]);
}

#[test]
fn many_subscribers_are_looked_at_bit_by_bit() {
    let mut w = World::new(1, options(1000));
    for n in 0..9000 {
        w.come(&format!("c{n}"), 0);
        w.subscribe(&format!("c{n}"), "room/1", false);
    }
    w.come("ann", 0);
    w.subscribe("ann", "room/1", true);
    w.ask("ann", "room/1");
    assert!(w.outs[0].told.is_empty() && w.outs[0].answers.is_empty());
    (0..9000).step_by(3).for_each(|n| w.go(&format!("c{n}")));
    let mut rounds = 0;
    while w.outs[0].told.is_empty() {
        assert_eq!(w.shards[0].wait_ms(w.now), Some(0));
        w.pass(0);
        rounds += 1;
    }
    assert_eq!(rounds, 2);
    assert_eq!(w.told(0), ["9001 room/1 count 6001"]);
    let (_, answer) = w.outs[0].answers.pop().expect("it is answered");
    assert_eq!((answer.count, answer.clients.len()), (6001, 1000));
}

#[test]
fn bounds_are_kept_and_counted() {
    let bounds = PresenceOptions { watched_max: 1, topics_max: 1, ..PresenceOptions::default() };
    let mut w = World::new(2, bounds);
    w.come("ann", 0);
    w.come("bob", 0);
    let (ann, bob) = (w.clients["ann"], w.clients["bob"]);
    let mut watch = |(shard, session, _): (usize, SessionKey, u32), filter: &str| {
        w.shards[shard].watch_presence(session, filter)
    };
    for wrong in ["room/+", "#", "$share/g/room", ""] {
        assert_eq!(watch(ann, wrong), Err(PresenceError::NotATopic), "{wrong}");
    }
    assert_eq!(watch(ann, "room"), Ok(()));
    assert_eq!(watch(ann, "room"), Ok(()));
    assert_eq!(watch(ann, "hall"), Err(PresenceError::TooMany { max: 1 }));
    assert_eq!(watch(bob, "hall"), Err(PresenceError::TooManyOfAll { max: 1 }));
    // Questions wait for the other shard.
    let mut refused = Ok(());
    for _ in 0..65 {
        let (shard, session, _) = ann;
        refused = w.shards[shard].ask_presence(w.now, session, "room", None, &mut w.outs[shard]);
    }
    assert_eq!(refused, Err(PresenceError::TooManyQuestions { max: 64 }));
    let figures = w.shared.presence.figures();
    assert_eq!((figures.topics, figures.watchers), (1, 1));
    assert_eq!((figures.questions, figures.refused), (64, 3));
    w.settle();
    assert_eq!(w.outs[ann.0].answers.len(), 64);
}

#[derive(Clone, Debug)]
enum Step {
    Come(usize, bool),
    Go(usize),
    Subscribe(usize, usize, bool),
    Unsubscribe(usize, usize),
    Ask(usize, usize),
    Full(usize, bool),
    Carry(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, topic) = (0..8usize, 0..TOPICS.len());
    prop_oneof![
        3 => (client.clone(), any::<bool>()).prop_map(|(c, lasts)| Step::Come(c, lasts)),
        2 => client.clone().prop_map(Step::Go),
        5 => (client.clone(), topic.clone(), any::<bool>()).prop_map(|(c, t, w)| Step::Subscribe(c, t, w)),
        2 => (client.clone(), topic.clone()).prop_map(|(c, t)| Step::Unsubscribe(c, t)),
        1 => (client.clone(), topic).prop_map(|(c, t)| Step::Ask(c, t)),
        2 => (client, any::<bool>()).prop_map(|(c, full)| Step::Full(c, full)),
        9 => (0..16usize).prop_map(Step::Carry),
        2 => (0..1500u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Each event fits to what its watcher knows (the outlet checks it), and when all is quiet everybody knows the truth.
    #[test]
    fn watchers_know_the_truth_when_all_is_quiet(
        shards in 1..4usize,
        clients_max in 0..6usize,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut w = World::new(shards, options(clients_max));
        let id = |client: usize| format!("c{client}");
        for step in &steps {
            match *step {
                Step::Come(c, lasts) => w.come(&id(c), if lasts { 1000 } else { 0 }),
                Step::Go(c) => w.go(&id(c)),
                Step::Subscribe(c, t, watches) => w.subscribe(&id(c), TOPICS[t], watches),
                Step::Unsubscribe(c, t) => w.unsubscribe(&id(c), TOPICS[t]),
                Step::Ask(c, t) => w.ask(&id(c), TOPICS[t]),
                Step::Full(c, full) => w.set_full(&id(c), full),
                Step::Carry(which) => drop(w.carry_one(which)),
                Step::Pass(ms) => w.pass(ms),
            }
            w.post();
        }
        for c in 0..8 {
            w.set_full(&id(c), false);
        }
        for _ in 0..6 {
            w.settle();
            w.pass(1000);
        }
        w.settle();
        w.check(clients_max);
        // An answer given now is the truth, too.
        w.outs.iter_mut().for_each(|out| out.answers.clear());
        for topic in TOPICS {
            w.shards[0].ask_presence_from_outside(w.now, topic, 1, &mut w.outs[0]);
            w.settle();
            let (_, answer) = w.outs[0].answers.pop().expect("it is answered");
            let truth = w.truth(topic);
            prop_assert_eq!(answer.count, truth.len());
            prop_assert_eq!(answer.clients.len(), truth.len().min(clients_max));
            prop_assert!(answer.clients.iter().all(|c| truth.get(&*c.client_id) == Some(&c.connection)));
        }
        // And nothing is left when nobody wants to know.
        (0..8).for_each(|c| w.go(&id(c)));
        w.settle();
        w.pass(10_000);
        w.settle();
        let figures = w.shared.presence.figures();
        prop_assert_eq!((figures.topics, figures.watchers), (0, 0));
        prop_assert!(w.shards.iter().all(|shard| shard.rolls.is_empty() && shard.views.is_empty()));
    }
}
