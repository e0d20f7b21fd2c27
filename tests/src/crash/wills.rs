//! Clients with wills. Each lives once: it connects, and then says goodbye, is lost, or is there when the hub is killed.

use super::evidence::{Fate, Left};
use super::requests::publish_durably;
use super::stage::Stage;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use trefoil_model::wire::{Version, Will};
use trefoil_model::{Client, Event, Message, Options, Random};

/// Longer than any round.
const LONG_S: u32 = 36_000;

/// How a connection went on.
#[derive(PartialEq, Eq)]
enum Went {
    /// What was waited for is there.
    On,
    /// It has ended.
    Out,
}

/// One client after the other.
pub(super) fn play(stage: &Stage, number: usize, seed: u64) {
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
    while !stage.is_watched.load(SeqCst) && !stage.is_over() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut lives = 0;
    while !stage.is_over() && !stage.is_settling() {
        lives += 1;
        Life::begin(stage, number, lives, &mut random);
    }
    stage.is_through(&format!("client {number}"));
}

struct Life<'a> {
    stage: &'a Stage,
    client: Client,
    number: usize,
    will: u64,
    delay_s: u32,
    expiry_s: u32,
}

impl Life<'_> {
    /// From its birth to what becomes of its will.
    fn begin(stage: &Stage, number: usize, count: u64, random: &mut Random) {
        let version = if random.chance(70) { Version::V5 } else { Version::V4 };
        let (expiry_s, delay_s) = match version {
            Version::V5 => (*random.one_of(&[0, 1, LONG_S, LONG_S]), *random.one_of(&[0, 0, 1, LONG_S])),
            // Whose session is new ends with its connection, and there is no delay.
            Version::V4 => (0, 0),
        };
        let client_id = format!("will-{number}-{count}");
        let options = Options { number, client_id, version, expiry_s, receive_max: u16::MAX };
        let will = stage.number();
        let mut life = Life { stage, client: Client::new(options), number, will, delay_s, expiry_s };
        let since = stage.cuts();
        let Some(stream) = stage.connect() else { return };
        let hello = stage.number();
        let (fate, how) = life.live(stream, since, hello, &format!("w/hello/{number}/{count}"), random);
        let mut evidence = stage.evidence();
        // Nobody sends it again.
        evidence.main.add(number, Event::Abandoned(hello));
        let session = if expiry_s == 0 { "no session".into() } else { format!("a session for {expiry_s} s") };
        let story = format!("will-{number}-{count}, with {session} and a will delay of {delay_s} s, {how}");
        evidence.wills.push(Left { number: will, fate, story });
    }

    fn live(
        &mut self,
        mut stream: TcpStream,
        since: usize,
        hello: u64,
        hello_topic: &str,
        random: &mut Random,
    ) -> (Fate, &'static str) {
        let message = |number, topic: &str, qos| Message {
            number,
            topic: topic.into(),
            qos,
            retain: false,
            expiry_s: None,
            payload_bytes: 0,
            delay_s: None,
            clears: false,
        };
        let bequeathed = message(self.will, &format!("w/{}", self.number), 2);
        let (topic, payload) = (bequeathed.topic.clone(), bequeathed.payload());
        let will = Will { topic, payload, qos: 2, delay_s: self.delay_s };
        self.client.connect(false, Some((&will, &bequeathed)), &mut self.stage.evidence().main);
        if self.expiry_s >= LONG_S {
            self.stage.sessions_maybe.fetch_add(1, SeqCst);
        }
        if self.go_on(&mut stream, since, Client::is_ready) == Went::Out {
            return (Fate::Unsure, "lost its connection before it was accepted");
        }
        if self.expiry_s >= LONG_S {
            self.stage.sessions_maybe.fetch_sub(1, SeqCst);
            self.stage.sessions.fetch_add(1, SeqCst);
        }
        // An answer to something for a lasting session says that what came before it is on disk as well.
        self.client.publish(message(hello, hello_topic, 1), &mut self.stage.evidence().main);
        if self.go_on(&mut stream, since, Client::is_idle) == Went::Out {
            return (Fate::Unsure, "lost its connection before anything was acknowledged");
        }
        std::thread::sleep(Duration::from_millis(random.below(40) as u64));
        match random.below(4) {
            0 => self.say_goodbye(stream, since),
            1 => {
                drop(stream);
                (self.fate_of_the_lost(), "closed its connection without a word")
            }
            2 => {
                self.go_on(&mut stream, since, |_| false);
                (self.fate_of_the_lost(), "was connected when the hub was killed, and did not come back")
            }
            _ => {
                self.go_on(&mut stream, since, |_| false);
                drop(stream);
                self.come_back()
            }
        }
    }

    /// What has to become of the will of a client that does not come back.
    fn fate_of_the_lost(&self) -> Fate {
        if self.delay_s.min(self.expiry_s) < LONG_S { Fate::Due } else { Fate::Forbidden }
    }

    fn say_goodbye(&mut self, mut stream: TcpStream, since: usize) -> (Fate, &'static str) {
        let unsure = (Fate::Unsure, "said goodbye and may not have been heard");
        if stream.write_all(&self.client.disconnect(false)).is_err() {
            return unsure;
        }
        let mut buffer = [0; 512];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return unsure,
            }
            if self.stage.is_over() {
                return unsure;
            }
        }
        // MQTT has no answer to DISCONNECT, so the answers to others say that it is on disk. That it was the hub that
        // closed, and not its end, is sure if nobody was about to kill it by then.
        let others_are_answered =
            (0..2).all(|part| publish_durably(self.stage, &format!("goodbye/{}/{part}", self.number), since));
        // A kill may have been said beforehand to be near when it connected.
        let is_heard = others_are_answered && self.stage.cuts() == since;
        if is_heard { (Fate::Forbidden, "said goodbye and was heard") } else { unsure }
    }

    fn come_back(&mut self) -> (Fate, &'static str) {
        while !self.stage.is_over() {
            let since = self.stage.cuts();
            let Some(mut stream) = self.stage.connect() else { continue };
            self.client.take_new_session();
            self.client.connect(false, None, &mut self.stage.evidence().main);
            let went = self.go_on(&mut stream, since, Client::is_ready);
            if went == Went::Out {
                continue;
            }
            if self.client.take_new_session() && self.expiry_s >= LONG_S {
                let id = &self.client.options().client_id;
                self.stage.fail(format!("client {} ({id}): its session is gone", self.number));
            }
            let _ = stream.write_all(&self.client.disconnect(false));
            break;
        }
        let fate = if self.fate_of_the_lost() == Fate::Forbidden { Fate::Forbidden } else { Fate::Unsure };
        (fate, "was connected when the hub was killed, and came back without a will")
    }

    /// Goes on with a connection until the client is as it should be, or the connection ends.
    fn go_on(&mut self, stream: &mut TcpStream, since: usize, is_there: fn(&Client) -> bool) -> Went {
        let mut buffer = [0; 2048];
        let went = loop {
            if is_there(&self.client) {
                break Went::On;
            }
            if self.stage.is_cut(since) || stream.write_all(&self.client.output()).is_err() {
                break Went::Out;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break Went::Out,
                Ok(count) => {
                    let taken = self.client.receive(&buffer[..count], &mut self.stage.evidence().main);
                    if let Err(why) = taken {
                        let id = &self.client.options().client_id;
                        self.stage.fail(format!("client {} ({id}): {why}", self.number));
                        break Went::Out;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break Went::Out,
            }
            // Who is to be there when the hub is killed waits no longer than there are kills.
            if self.stage.is_settling() && !is_there(&self.client) && self.client.is_idle() {
                break Went::Out;
            }
        };
        if went == Went::Out {
            self.client.lose();
        }
        went
    }
}
