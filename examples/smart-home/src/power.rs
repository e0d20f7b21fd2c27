//! The fuse box: pulls plugs and puts them back, as `home/ROOM/DEVICE/power` says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use trefoil_client::{Client, Error, Message, Options, QoS};

const RETRY: Duration = Duration::from_secs(2);

/// The plugs of the devices by their place.
pub(crate) type Plugs = HashMap<&'static str, watch::Sender<bool>>;

/// Listens for ever.
pub(crate) async fn run(url: &str, plugs: &Plugs) -> Infallible {
    loop {
        let Err(error) = listen(url, plugs).await;
        let _ = writeln!(io::stderr(), "fuse box: {error}; trying again");
        sleep(RETRY).await;
    }
}

async fn listen(url: &str, plugs: &Plugs) -> Result<Infallible, Error> {
    let mut client = Client::connect(url, Options::default()).await?;
    client.subscribe("home/+/+/power", QoS::AtLeastOnce).await?;
    while let Some(message) = client.next_message().await {
        switch(&message, plugs);
    }
    Err(client.error().expect("a connection that has ended says why"))
}

fn switch(message: &Message, plugs: &Plugs) {
    let place = message.topic.strip_prefix("home/").and_then(|rest| rest.strip_suffix("/power"));
    let Some(plug) = place.and_then(|place| plugs.get(place)) else { return };
    match &*message.payload {
        b"on" => drop(plug.send_replace(true)),
        b"off" => drop(plug.send_replace(false)),
        _ => drop(writeln!(io::stderr(), "{}: power is on or off", message.topic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plug_that_is_named_is_switched() {
        let plugs: Plugs = ["hall/motion", "hall/lamp"].map(|place| (place, watch::channel(true).0)).into();
        let switched = |topic: &str, payload: &str| {
            switch(&Message::new(topic, payload), &plugs);
            (*plugs["hall/motion"].borrow(), *plugs["hall/lamp"].borrow())
        };
        assert_eq!(switched("home/hall/lamp/power", "off"), (true, false));
        assert_eq!(switched("home/hall/lamp/power", "maybe"), (true, false));
        assert_eq!(switched("home/attic/lamp/power", "off"), (true, false));
        assert_eq!(switched("home/hall/lamp/power", "on"), (true, true));
    }
}
