//! The fuse box of an example with devices: pulls their plugs and puts them back, as a topic of each says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};

use tokio::sync::watch;
use trefoil_client::{Client, Error, Message, Options, QoS};

use crate::forever;

/// The plugs of all devices.
pub struct FuseBox {
    before: &'static str,
    after: &'static str,
    plugs: HashMap<&'static str, watch::Sender<bool>>,
}

impl FuseBox {
    /// The plugs of devices by their place, where `BEFORE/PLACE/AFTER` is the topic that says `on` or `off`.
    pub fn new(
        before: &'static str,
        after: &'static str,
        plugs: impl IntoIterator<Item = (&'static str, watch::Sender<bool>)>,
    ) -> FuseBox {
        FuseBox { before, after, plugs: plugs.into_iter().collect() }
    }

    /// Listens for ever to the hub at this URL.
    pub async fn run(&self, url: &str) -> Infallible {
        forever("fuse box", async || self.listen(url).await).await
    }

    async fn listen(&self, url: &str) -> Result<Infallible, Error> {
        let mut client = Client::connect(url, Options::default()).await?;
        for place in self.plugs.keys() {
            let topic = format!("{}/{place}/{}", self.before, self.after);
            client.subscribe(&topic, QoS::AtLeastOnce).await?;
        }
        while let Some(message) = client.next_message().await {
            self.switch(&message);
        }
        Err(client.error().expect("a connection that has ended says why"))
    }

    fn switch(&self, message: &Message) {
        let behind = message.topic.strip_prefix(self.before).and_then(|rest| rest.strip_prefix('/'));
        let place =
            behind.and_then(|rest| rest.strip_suffix(self.after)).and_then(|rest| rest.strip_suffix('/'));
        let Some(plug) = place.and_then(|place| self.plugs.get(place)) else { return };
        match &*message.payload {
            b"on" => drop(plug.send_replace(true)),
            b"off" => drop(plug.send_replace(false)),
            _ => drop(writeln!(io::stderr(), "{}: it is on or off", message.topic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plug_that_is_named_is_switched() {
        let plugs = ["hall/motion", "hall/lamp"].map(|place| (place, watch::channel(true).0));
        let fuses = FuseBox::new("home", "power", plugs);
        let switched = |topic: &str, payload: &str| {
            fuses.switch(&Message::new(topic, payload));
            (*fuses.plugs["hall/motion"].borrow(), *fuses.plugs["hall/lamp"].borrow())
        };
        assert_eq!(switched("home/hall/lamp/power", "off"), (true, false));
        assert_eq!(switched("home/hall/lamp/power", "maybe"), (true, false));
        assert_eq!(switched("home/attic/lamp/power", "off"), (true, false));
        assert_eq!(switched("home/hall/lamp/power", "on"), (true, true));
    }
}
