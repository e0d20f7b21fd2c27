//! The tree below `$SYS/broker`, by the names and in the words that mosquitto has for them.

use crate::context::Context;
use crate::stats::{Drop, Figure, Stats, total};
use std::collections::HashMap;
use trefoil_hub::Time;

/// Below what all of it stands.
const BROKER: &str = "$SYS/broker/";

/// Over how many minutes a load is averaged, and what that is called.
const MINUTES: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

type Read = fn(&Figures) -> u64;

/// What grows, and its name below `load/`.
const LOADS: [(&str, Read); 9] = [
    ("messages/received", |f| f.messages_received),
    ("messages/sent", |f| f.messages_sent),
    ("publish/received", |f| f.publish_received),
    ("publish/sent", |f| f.publish_sent),
    ("publish/dropped", |f| f.publish_dropped),
    ("bytes/received", |f| f.bytes_received),
    ("bytes/sent", |f| f.bytes_sent),
    ("sockets", |f| f.sockets),
    ("connections", |f| f.connections),
];

/// What the tree is made of, at one moment.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Figures {
    clients_total: u64,
    clients_connected: u64,
    clients_expired: u64,
    messages_received: u64,
    messages_sent: u64,
    publish_received: u64,
    publish_sent: u64,
    publish_dropped: u64,
    publish_bytes_received: u64,
    publish_bytes_sent: u64,
    bytes_received: u64,
    bytes_sent: u64,
    sockets: u64,
    connections: u64,
    in_flight: u64,
    queued: u64,
    queued_bytes: u64,
    retained: u64,
    retained_bytes: u64,
    subscriptions: u64,
    shared_subscriptions: u64,
}

impl Figures {
    pub(crate) fn of(context: &Context) -> Figures {
        let sum = |figure: fn(&Stats) -> &Figure| total(&context.stats, figure);
        let (retained, retained_bytes) = context.hub.retained.size();
        let dropped = |&(why, _): &(Drop, &str)| total(&context.stats, |s| &s.dropped[why as usize]);
        Figures {
            clients_total: sum(|s| &s.sessions),
            clients_connected: sum(|s| &s.connected),
            clients_expired: sum(|s| &s.expired_sessions),
            messages_received: sum(|s| &s.packets_in),
            messages_sent: sum(|s| &s.messages_out) + sum(|s| &s.answers),
            publish_received: sum(|s| &s.messages_in),
            publish_sent: sum(|s| &s.messages_out),
            publish_dropped: Drop::ALL.iter().map(dropped).sum(),
            publish_bytes_received: sum(|s| &s.payload_in),
            publish_bytes_sent: sum(|s| &s.payload_out),
            bytes_received: sum(|s| &s.bytes_in),
            bytes_sent: sum(|s| &s.bytes_out),
            sockets: sum(|s| &s.accepted),
            connections: sum(|s| &s.connects),
            in_flight: sum(|s| &s.in_flight),
            queued: sum(|s| &s.queued),
            queued_bytes: sum(|s| &s.queued_bytes),
            retained: retained as u64,
            retained_bytes: retained_bytes as u64,
            subscriptions: sum(|s| &s.subscriptions),
            shared_subscriptions: sum(|s| &s.shared_subscriptions),
        }
    }
}

/// What has been said of the tree, so that only what changes is said again.
#[derive(Debug)]
pub(crate) struct Tree {
    interval_s: u64,
    /// When it is brought up to date next.
    pub(crate) at: Time,
    /// When it was last, and what the figures were.
    last: Option<(Time, Figures)>,
    loads: [[f64; MINUTES.len()]; LOADS.len()],
    connected_max: u64,
    said: HashMap<String, String>,
}

impl Tree {
    /// A tree of which nothing has been said; none if it is not wanted.
    pub(crate) fn new(interval_s: u32) -> Option<Tree> {
        (interval_s > 0).then(|| Tree {
            interval_s: interval_s.into(),
            at: Time::default(),
            last: None,
            loads: Default::default(),
            connected_max: 0,
            said: HashMap::new(),
        })
    }

    /// The topics that have changed, with what they say now.
    pub(crate) fn update(&mut self, now: Time, figures: &Figures) -> Vec<(String, String)> {
        self.at = now.plus_s(self.interval_s);
        self.connected_max = self.connected_max.max(figures.clients_connected);
        self.average(now, figures);
        let mut changed = Vec::new();
        let said = &mut self.said;
        let mut say = |name: &str, text: String| {
            let topic = format!("{BROKER}{name}");
            if said.get(&topic) != Some(&text) {
                said.insert(topic.clone(), text.clone());
                changed.push((topic, text));
            }
        };
        say("version", concat!("trefoil version ", env!("CARGO_PKG_VERSION")).to_owned());
        say("uptime", format!("{} seconds", now.as_ms() / 1000));
        for (name, number) in numbers(figures, self.connected_max) {
            say(name, number.to_string());
        }
        for ((name, _), averages) in LOADS.iter().zip(&self.loads) {
            for ((_, minutes), average) in MINUTES.iter().zip(averages) {
                say(&format!("load/{name}/{minutes}"), format!("{average:.2}"));
            }
        }
        changed
    }

    /// Lets the averages of what came within a minute move towards what came since the last time: the more so the
    /// longer that is ago and the shorter the average looks back.
    fn average(&mut self, now: Time, figures: &Figures) {
        if let Some((before, old)) = &self.last {
            let minutes = now.since(*before) as f64 / 60_000.0;
            if minutes <= 0.0 {
                return;
            }
            for ((_, read), averages) in LOADS.iter().zip(&mut self.loads) {
                let rate = read(figures).wrapping_sub(read(old)) as f64 / minutes;
                for ((period, _), average) in MINUTES.iter().zip(averages) {
                    *average = rate + (-minutes / period).exp() * (*average - rate);
                }
            }
        }
        self.last = Some((now, *figures));
    }
}

fn numbers(f: &Figures, connected_max: u64) -> [(&'static str, u64); 23] {
    // Shards count one after the other, so that a client who moves may be seen twice.
    let away = f.clients_total.saturating_sub(f.clients_connected);
    let stored = f.retained + f.queued + f.in_flight;
    [
        ("clients/total", f.clients_total),
        ("clients/connected", f.clients_connected),
        ("clients/active", f.clients_connected),
        ("clients/disconnected", away),
        ("clients/inactive", away),
        ("clients/maximum", connected_max),
        ("clients/expired", f.clients_expired),
        ("messages/received", f.messages_received),
        ("messages/sent", f.messages_sent),
        ("messages/stored", stored),
        ("messages/inflight", f.in_flight),
        ("store/messages/count", stored),
        ("store/messages/bytes", f.retained_bytes + f.queued_bytes),
        ("retained messages/count", f.retained),
        ("publish/messages/received", f.publish_received),
        ("publish/messages/sent", f.publish_sent),
        ("publish/messages/dropped", f.publish_dropped),
        ("publish/bytes/received", f.publish_bytes_received),
        ("publish/bytes/sent", f.publish_bytes_sent),
        ("bytes/received", f.bytes_received),
        ("bytes/sent", f.bytes_sent),
        ("subscriptions/count", f.subscriptions),
        ("shared_subscriptions/count", f.shared_subscriptions),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tree: &mut Tree, seconds: u64, figures: &Figures) -> HashMap<String, String> {
        tree.update(Time::from_ms(seconds * 1000), figures).into_iter().collect()
    }

    #[test]
    fn everything_is_said_first_and_then_what_has_changed() {
        let mut tree = Tree::new(10).expect("it is wanted");
        let first = said(&mut tree, 0, &Figures::default());
        assert_eq!(first["$SYS/broker/version"], concat!("trefoil version ", env!("CARGO_PKG_VERSION")));
        assert_eq!(first["$SYS/broker/uptime"], "0 seconds");
        assert_eq!(first["$SYS/broker/retained messages/count"], "0");
        assert_eq!(first["$SYS/broker/load/publish/dropped/15min"], "0.00");
        assert_eq!(tree.at, Time::from_ms(10_000));
        let figures = Figures { clients_total: 3, clients_connected: 2, ..Figures::default() };
        let mut second: Vec<_> = said(&mut tree, 10, &figures).into_iter().collect();
        second.sort();
        let expected = [
            ("active", "2"),
            ("connected", "2"),
            ("disconnected", "1"),
            ("inactive", "1"),
            ("maximum", "2"),
            ("total", "3"),
        ]
        .map(|(name, text)| (format!("$SYS/broker/clients/{name}"), text.to_owned()));
        assert_eq!(second[..6], expected);
        assert_eq!(second[6..], [("$SYS/broker/uptime".to_owned(), "10 seconds".to_owned())]);
        // The most there were at one time stays.
        let third = said(&mut tree, 20, &Figures::default());
        assert_eq!(third.get("$SYS/broker/clients/maximum"), None);
        assert_eq!(third["$SYS/broker/clients/connected"], "0");
    }

    #[test]
    fn loads_move_towards_what_comes_and_back() {
        let mut tree = Tree::new(10).expect("it is wanted");
        said(&mut tree, 0, &Figures::default());
        let ten = Figures { publish_received: 10, ..Figures::default() };
        let load = |said: &HashMap<String, String>, minutes: &str| {
            said[&format!("$SYS/broker/load/publish/received/{minutes}")].clone()
        };
        // Ten within ten seconds are sixty a minute: the averages take 1 - e^(-1/6) of it, and less over longer times.
        let first = said(&mut tree, 10, &ten);
        assert_eq!(["1min", "5min", "15min"].map(|m| load(&first, m)), ["9.21", "1.97", "0.66"]);
        let second = said(&mut tree, 20, &ten);
        assert_eq!(load(&second, "1min"), "7.80");
        // Asked twice at one moment it says nothing new.
        assert!(said(&mut tree, 20, &ten).is_empty());
    }

    #[test]
    fn without_an_interval_there_is_none() {
        assert!(Tree::new(0).is_none());
    }
}
