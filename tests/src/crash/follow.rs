//! Readers of topics that have a history: followers over JSON, which go on behind the last place that they had, and one
//! who reads everything that is kept, page by page, at the end.

use super::evidence::Placed;
use super::players::{FOLLOWERS, KEPT_TOPICS, PAGES};
use super::requests::{Came, Lines, exchange, get, post};
use super::stage::Stage;
use super::transport::Way;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use trefoil_model::{Event, Message, Random};

const FILTER: &str = "h/#";

struct Follower<'a> {
    stage: &'a Stage,
    number: usize,
    way: Way,
    random: Random,
    /// By topic: the epoch and the offset that came last.
    last: BTreeMap<String, (String, u64)>,
}

/// From connection to connection, and never back.
pub(super) fn follow(stage: &Stage, number: usize, seed: u64) {
    let random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    let way = if number == FOLLOWERS.start { Way::Tcp } else { Way::WebSocketJson };
    let mut follower = Follower { stage, number, way, random, last: BTreeMap::new() };
    // A topic of which nothing was acknowledged may begin anew after a kill. These do not any more.
    for topic in KEPT_TOPICS {
        follower.begin(topic);
        if let Err(why) = follower.find_first(topic) {
            return stage.fail(format!("client {number} (follower): {why}"));
        }
    }
    // At the end of the round it is connected, and whoever is connected has a session.
    stage.sessions.fetch_add(1, SeqCst);
    stage.is_through(&format!("client {number}"));
    while !stage.is_over() {
        follower.stay_away();
        follower.visit();
    }
}

impl Follower<'_> {
    /// Publishes a message, again and again until it is acknowledged.
    fn begin(&self, topic: &str) {
        let (stage, number) = (self.stage, self.stage.number());
        let (topic, qos, retain, expiry_s, payload_bytes) = (topic.to_owned(), 1, false, None, 0);
        let body = format!("{{\"topic\":\"{topic}\",\"data\":\"{number} \",\"qos\":{qos}}}");
        let message =
            Message { number, topic, qos, retain, expiry_s, payload_bytes, delay_s: None, clears: false };
        stage.evidence().main.add(self.number, Event::Sent(message));
        while !stage.is_over() {
            let since = stage.cuts();
            let Some(mut lines) = Lines::open(stage, Way::Tcp) else { continue };
            if let Some((200, _)) = exchange(stage, &mut lines, since, &post(&body)) {
                stage.evidence().main.add(self.number, Event::Acknowledged(number));
                stage.answers.fetch_add(1, SeqCst);
                return;
            }
            lines.end();
            stage.evidence().main.add(self.number, Event::Resent(number));
        }
    }

    /// Looks where the history begins.
    fn find_first(&mut self, topic: &str) -> Result<(), String> {
        while !self.stage.is_over() {
            let Some(page) = get(self.stage, &format!("/api/v1/history?topic={topic}&limit=1")) else {
                continue;
            };
            let value: Value = serde_json::from_str(&page).map_err(|error| format!("{error}: {page}"))?;
            let placed = Placed::read(self.number, &value["messages"][0]);
            self.came(placed.ok_or_else(|| format!("{topic} begins with {page}"))?);
            break;
        }
        Ok(())
    }

    fn came(&mut self, placed: Placed) {
        self.last.insert(placed.topic.clone(), (placed.epoch.clone(), placed.offset));
        self.stage.evidence().places.came.push(placed);
    }

    fn stay_away(&mut self) {
        let until =
            self.stage.now_ms() + if self.random.chance(20) { self.random.below(500) as u64 } else { 0 };
        while self.stage.now_ms() < until && !self.stage.is_over() && !self.stage.is_settling() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// One connection.
    fn visit(&mut self) {
        let (stage, since) = (self.stage, self.stage.cuts());
        let leaves_ms = if self.random.chance(30) { self.random.below(100) as u64 } else { u64::MAX };
        let leaves_ms = stage.now_ms().saturating_add(leaves_ms);
        let Some(mut lines) = Lines::open(stage, self.way) else { return };
        let place = |(topic, (epoch, offset)): (&String, &(String, u64))| {
            (topic.clone(), json!({ "epoch": epoch, "offset": offset }))
        };
        let topics: Map<String, Value> = self.last.iter().map(place).collect();
        let request = json!({ "sub": FILTER, "since": { "topics": topics }, "id": 1 });
        if !lines.send(&format!("{request}\n")) {
            return;
        }
        while !stage.is_cut(since) {
            match lines.line() {
                Came::Line(line) => match self.take(&line) {
                    Ok(()) => {}
                    Err(why) => {
                        return stage.fail(format!("client {} (follower) gets {line}: {why}", self.number));
                    }
                },
                Came::Nothing if stage.now_ms() < leaves_ms || stage.is_settling() => {}
                _ => break,
            }
        }
        // Who has a subscription and ends its side alone may be there to listen.
        lines.send(&format!("{}\n", json!({ "unsub": FILTER })));
        lines.end();
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(topic) = value["gap"]["topic"].as_str() {
            self.stage.evidence().places.gaps.push((self.number, topic.into()));
        } else if value["sub"] == FILTER {
            let is_missing = value["gap"].as_bool().ok_or("it does not say whether something is missing")?;
            let places = &mut self.stage.evidence().places;
            match is_missing {
                true => places.gaps.push((self.number, FILTER.into())),
                false => places.resumed += 1,
            }
        } else {
            self.came(Placed::read(self.number, &value).ok_or("that is no message with a place")?);
        }
        Ok(())
    }
}

impl Placed {
    fn read(reader: usize, message: &Value) -> Option<Placed> {
        let data = &message["data"];
        let number = data.as_u64().or_else(|| data.as_str()?.trim_end().parse().ok())?;
        let text = |name: &str| message[name].as_str().map(str::to_owned);
        let (topic, epoch, offset) = (text("topic")?, text("epoch")?, message["offset"].as_u64()?);
        Some(Placed { reader, topic, epoch, offset, number })
    }
}

/// Reads all histories, from the first page to the last.
pub(super) fn read_pages(stage: &Stage) -> Result<(), String> {
    for topic in KEPT_TOPICS {
        let mut since = String::new();
        loop {
            let path = format!("/api/v1/history?topic={topic}{since}");
            let page = get(stage, &path).ok_or_else(|| format!("GET {path} is not answered"))?;
            let why = || format!("GET {path} is answered with {page}");
            let value: Value = serde_json::from_str(&page).map_err(|_| why())?;
            let messages = value["messages"].as_array().ok_or_else(why)?;
            let placed: Option<Vec<Placed>> =
                messages.iter().map(|message| Placed::read(PAGES, message)).collect();
            let mut evidence = stage.evidence();
            evidence.places.came.extend(placed.ok_or_else(why)?);
            if value["gap"] != false {
                evidence.places.gaps.push((PAGES, topic.into()));
            }
            if value["more"] != true {
                break;
            }
            since = format!("&since={}", value["next"].as_str().ok_or_else(why)?);
        }
    }
    Ok(())
}
