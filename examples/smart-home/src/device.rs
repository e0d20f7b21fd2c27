//! A device as an MQTT client: it connects, says how it stands, and does what it is told for as long as it has power.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trefoil_client::{Client, Error, Message, Options, QoS, Will};

use crate::kind::{Kind, STEPS_PER_S};
use crate::scene::Scene;

const RETRY: Duration = Duration::from_secs(2);
/// A device that is gone without even its connection breaking is found dead after one and a half times this.
const KEEP_ALIVE_S: u16 = 5;

/// One device.
struct Device {
    /// `ROOM/DEVICE`
    place: &'static str,
    kind: Kind,
    /// The scene that it was told last.
    scene: Option<Scene>,
    /// What people do in front of it; nobody is at home without it.
    chance: Option<Rng>,
}

/// What its state topic holds.
#[derive(Serialize)]
struct State<'a> {
    #[serde(flatten)]
    kind: &'a Kind,
    /// The scene that it has confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    scene: Option<Scene>,
}

/// Starts a device. What is returned is its plug: `false` pulls it.
pub(crate) fn plug_in(url: &str, place: &'static str, kind: Kind, is_lived_in: bool) -> watch::Sender<bool> {
    let (plug, power) = watch::channel(true);
    let device = Device { place, kind, scene: None, chance: is_lived_in.then(Rng::new) };
    tokio::spawn(run(device, url.to_owned(), power));
    plug
}

/// Lives for ever, and waits while there is no power.
async fn run(mut device: Device, url: String, mut power: watch::Receiver<bool>) {
    while power.wait_for(|on| *on).await.is_ok() {
        tokio::select! {
            never = device.live_forever(&url) => match never {},
            // This drops the connection in the middle of whatever it did. It is not closed but gone, as with a pulled
            // plug, and the hub publishes the will.
            () = pulled(&mut power) => {}
        }
    }
}

async fn pulled(power: &mut watch::Receiver<bool>) {
    // It fails when the program ends, which pulls all plugs.
    let _ = power.wait_for(|on| !*on).await;
}

impl Device {
    /// Connects, and tries again when the hub is not there.
    async fn live_forever(&mut self, url: &str) -> Infallible {
        loop {
            let Err(error) = self.live(url).await;
            // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
            let _ = writeln!(io::stderr(), "{}: {error}; trying again", self.place);
            sleep(RETRY).await;
        }
    }

    /// Serves until the connection ends.
    async fn live(&mut self, url: &str) -> Result<Infallible, Error> {
        let options = Options {
            client_id: Some(format!("home-{}", self.place.replace('/', "-"))),
            keep_alive_s: KEEP_ALIVE_S,
            will: Some(Will { message: self.retained("status", "offline"), ..Will::default() }),
            ..Options::default()
        };
        let mut client = Client::connect(url, options).await?;
        let set = self.topic("set");
        client.subscribe(&set, QoS::AtLeastOnce).await?;
        if self.kind.follows_scenes() {
            client.subscribe("home/scene", QoS::AtLeastOnce).await?;
        }
        client.publish(self.state()).await?;
        // Last, so that a device that is said to be online already hears what it is told.
        client.publish(self.retained("status", "online")).await?;
        let mut steps = interval(Duration::from_secs(1) / STEPS_PER_S);
        // Where the machine has slept nothing has moved.
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                _ = steps.tick() => self.kind.step(self.chance.as_mut()),
                message = client.next_message() => match message {
                    Some(message) => self.take(&message, &set),
                    None => return Err(client.error().expect("a connection that has ended says why")),
                },
            };
            if changed {
                client.publish(self.state()).await?;
            }
        }
    }

    /// Does what a message says; whether there is something to confirm.
    fn take(&mut self, message: &Message, set: &str) -> bool {
        if message.topic == set {
            if let Err(reason) = self.kind.set(&message.payload) {
                let _ = writeln!(io::stderr(), "{}: {reason}", message.topic);
            }
            // Also after nonsense: whoever sent it sees that nothing has changed.
            return true;
        }
        let Some(scene) = Scene::parse(&message.payload) else { return false };
        // A retained one is no news when it is known: it must not undo what somebody has set by hand since.
        if message.retain && self.scene == Some(scene) {
            return false;
        }
        self.scene = Some(scene);
        self.kind.enter(scene, self.place);
        true
    }

    fn state(&self) -> Message {
        // A blind confirms a scene when it has arrived.
        let scene = self.scene.filter(|_| self.kind.is_settled());
        let state = State { kind: &self.kind, scene };
        let text = serde_json::to_string(&state).expect("numbers, names and flags always have a JSON text");
        self.retained("state", &text)
    }

    fn retained(&self, what: &str, payload: &str) -> Message {
        Message::new(self.topic(what), payload).qos(QoS::AtLeastOnce).retain(true)
    }

    fn topic(&self, what: &str) -> String {
        format!("home/{}/{what}", self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Model;

    fn scene(name: &str, retain: bool) -> Message {
        Message::new("home/scene", name).retain(retain)
    }

    #[test]
    fn a_scene_that_is_known_does_not_undo_what_was_set_by_hand() {
        let place = "living-room/floor-lamp";
        let mut lamp = Device { place, kind: Model::Lamp.unpack(), scene: None, chance: None };
        let set = lamp.topic("set");
        assert!(lamp.take(&scene("movie", true), &set));
        assert_eq!(
            String::from_utf8_lossy(&lamp.state().payload),
            r#"{"kind":"lamp","on":true,"brightness":15,"scene":"movie"}"#
        );
        assert!(lamp.take(&Message::new(set.clone(), r#"{"brightness":80}"#), &set));
        let by_hand = lamp.kind.clone();
        assert!(!lamp.take(&scene("movie", true), &set));
        assert!(!lamp.take(&scene("disco", false), &set));
        assert_eq!(lamp.kind, by_hand);
        assert!(lamp.take(&scene("movie", false), &set));
        assert_ne!(lamp.kind, by_hand);
    }

    #[test]
    fn a_blind_confirms_a_scene_when_it_has_arrived() {
        let place = "bedroom/blind";
        let mut blind = Device { place, kind: Model::Blind.unpack(), scene: None, chance: None };
        let confirms = |blind: &Device| String::from_utf8_lossy(&blind.state().payload).contains("night");
        assert!(blind.take(&scene("night", false), ""));
        assert!(!confirms(&blind));
        while blind.kind.step(None) {}
        assert!(confirms(&blind));
    }
}
