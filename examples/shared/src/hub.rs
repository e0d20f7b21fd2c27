//! The hub that an example talks to: one that runs already, or one inside the example.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use clap::Args;
use tokio::net::TcpStream;
use trefoil_server::Server;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Ports for MQTT and all else, for HTTP, and for MQTT-SN.
const USUAL: [u16; 3] = [1883, 8080, 1884];
const PICKED: [u16; 3] = [0; 3];
/// The listeners of a hub without settings.
const LISTENERS: usize = 4;

/// Which hub to use. Without a word about it: the one on this machine's usual ports, and if none runs there, one that
/// the example starts itself.
#[derive(Args, Clone, Debug)]
pub struct HubArguments {
    /// The hub's MQTT listener. Without it the hub on this machine's port 1883 is used; when none runs there, one is
    /// started for as long as this program runs.
    #[arg(long, value_name = "URL", conflicts_with = "own_hub")]
    pub mqtt: Option<String>,
    /// The hub's WebSocket, as the browser reaches it.
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws", conflicts_with = "own_hub")]
    pub websocket: String,
    /// Start a hub on ports that the system picks, whatever runs on the usual ones.
    #[arg(long)]
    pub own_hub: bool,
    /// Let telephones and other machines of this network in, without a password: page and own hub then listen on
    /// every address of this machine.
    #[arg(long)]
    pub lan: bool,
}

/// A hub that can be talked to.
pub struct Hub {
    /// Where it speaks MQTT.
    pub mqtt: String,
    /// Where it speaks JSON over WebSocket.
    pub websocket: String,
    /// Where it speaks MQTT-SN, if it was started here.
    pub mqtt_sn: Option<SocketAddr>,
    /// Where it takes datagrams of JSON and of rooms, if it was started here.
    pub udp: Option<SocketAddr>,
    /// The listeners that the example's settings have added, in their order.
    pub more: Vec<SocketAddr>,
    /// The one that was started here.
    own: Option<Server>,
}

impl HubArguments {
    /// Finds the hub, or starts one.
    ///
    /// # Errors
    /// When no hub runs here and none can be started, because another program has one of its ports for instance.
    pub async fn find_or_start(&self) -> io::Result<Hub> {
        self.find_or_start_with("").await
    }

    /// Finds the hub, or starts one whose configuration has `settings` added to what it is without a file.
    ///
    /// # Errors
    /// As [`find_or_start`](Self::find_or_start).
    pub async fn find_or_start_with(&self, settings: &str) -> io::Result<Hub> {
        let websocket = self.websocket.clone();
        if let Some(mqtt) = &self.mqtt {
            return Ok(Hub {
                mqtt: mqtt.clone(),
                websocket,
                mqtt_sn: None,
                udp: None,
                more: Vec::new(),
                own: None,
            });
        }
        let usual = SocketAddr::new(LOCAL, USUAL[0]);
        if self.own_hub {
            return self.start(PICKED, settings);
        }
        if TcpStream::connect(usual).await.is_ok() {
            let mqtt = format!("mqtt://{usual}");
            writeln!(io::stdout(), "using the hub that runs at {mqtt}")?;
            return Ok(Hub { mqtt, websocket, mqtt_sn: None, udp: None, more: Vec::new(), own: None });
        }
        self.start(USUAL, settings)
    }

    /// Starts a hub for this program, also where another runs already: on the usual ports if nobody has them, else on
    /// ones that the system picks. `settings` may bring listeners of its own and is told whether the ports are usual.
    ///
    /// # Errors
    /// As [`find_or_start`](Self::find_or_start).
    pub async fn start_own(&self, settings: impl Fn(bool) -> String) -> io::Result<Hub> {
        if !self.own_hub {
            match self.start(USUAL, &settings(true)) {
                Ok(hub) => return Ok(hub),
                Err(error) => {
                    writeln!(io::stdout(), "{error}\nso this program's hub has ports that the system picks")?;
                }
            }
        }
        self.start(PICKED, &settings(false))
    }

    /// Where to serve a page that was to be served there.
    pub fn page_address(&self, address: SocketAddr) -> SocketAddr {
        if self.lan { SocketAddr::new(ANYWHERE, address.port()) } else { address }
    }

    /// What to type into a telephone in the same network, when the page is for telephones too. Nothing is sent for it:
    /// to connect a UDP socket only asks the system which way it would go.
    pub(crate) fn page_on_a_telephone(&self, port: u16) -> Option<String> {
        let socket = UdpSocket::bind((ANYWHERE, 0)).ok().filter(|_| self.lan)?;
        // An address that is set aside for documentation: it stands for anything far away.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(format!("http://{}/", SocketAddr::new(socket.local_addr().ok()?.ip(), port)))
    }

    fn start(&self, ports: [u16; 3], settings: &str) -> io::Result<Hub> {
        let text = configuration(if self.lan { ANYWHERE } else { LOCAL }, ports, settings);
        let config =
            trefoil_config::load(Some((Path::new("the example's hub"), &text)), &mut std::iter::empty())
                .map_err(io::Error::other)?;
        let server = Server::start(&config).map_err(io::Error::other)?;
        let mut out = io::stdout();
        writeln!(out, "this program has started a hub:")?;
        for listening in server.listening() {
            writeln!(out, "listening on {}  {}", listening.bind, listening.protocols)?;
        }
        let reached = |listener: usize| {
            SocketAddr::new(LOCAL, server.listening()[listener].bind.addr().expect("it has a port").port())
        };
        let (mqtt, websocket) = (format!("mqtt://{}", reached(0)), format!("ws://{}/ws", reached(1)));
        let (mqtt_sn, udp) = (Some(reached(2)), Some(reached(3)));
        let more = (LISTENERS..server.listening().len()).map(reached).collect();
        Ok(Hub { mqtt, websocket, mqtt_sn, udp, more, own: Some(server) })
    }
}

/// That of a hub without a file, with other addresses.
fn configuration(ip: IpAddr, [mqtt, web, mqtt_sn]: [u16; 3], settings: &str) -> String {
    format!(
        "allow_anonymous = {}\n\
         [[listener]]\nbind = \"{ip}:{mqtt}\"\n\
         [[listener]]\nbind = \"{ip}:{web}\"\nprotocols = [\"http\", \"websocket\"]\n\
         [[listener]]\nbind = \"udp://{ip}:{mqtt_sn}\"\nprotocols = [\"mqtt-sn\"]\n\
         [[listener]]\nbind = \"udp://{ip}:{mqtt}\"\n\
         [store]\ndurability = \"none\"\n{settings}",
        !ip.is_loopback()
    )
}

impl Hub {
    /// The address of its MQTT listener, where a hub speaks all else that the first bytes can tell apart.
    ///
    /// # Errors
    /// When its name stands for no address.
    pub async fn address(&self) -> io::Result<SocketAddr> {
        let host = self.mqtt.split_once("://").map_or(&*self.mqtt, |(_, host)| host);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host).trim_end_matches('/');
        let found = if host.contains(':') {
            tokio::net::lookup_host(host).await?.next()
        } else {
            tokio::net::lookup_host((host, 1883)).await?.next()
        };
        found.ok_or_else(|| io::Error::other(format!("{host} stands for no address")))
    }

    /// Stops the hub if it was started here. It says goodbye to its clients first.
    pub async fn stop(self) {
        if let Some(server) = self.own {
            // It waits for its threads, and a thread that runs asynchronous code must not.
            let stopped = tokio::task::spawn_blocking(|| server.stop()).await;
            debug_assert!(stopped.is_ok(), "a hub stops without panicking");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_a_hub_with_its_settings_and_uses_one_that_is_named() {
        let own = HubArguments { mqtt: None, websocket: String::new(), own_hub: true, lan: false };
        let hub = own.find_or_start_with("[limits]\nreceive_max = 10\n").await.unwrap();
        TcpStream::connect(hub.address().await.unwrap()).await.unwrap();
        let (mqtt, websocket) = (Some(hub.mqtt.clone()), hub.websocket.clone());
        let named =
            HubArguments { mqtt, websocket, own_hub: false, lan: false }.find_or_start().await.unwrap();
        assert!(named.own.is_none() && named.mqtt == hub.mqtt && named.websocket == hub.websocket);
        hub.stop().await;
        assert!(own.find_or_start_with("[limits]\nreceive_max = true\n").await.is_err());
    }

    #[test]
    fn only_when_asked_for_do_others_get_in() {
        let local = configuration(LOCAL, [1883, 8080, 1884], "");
        assert!(local.contains("= false") && local.contains("bind = \"127.0.0.1:1883\""), "{local}");
        let wide = configuration(ANYWHERE, [1883, 8080, 1884], "");
        assert!(
            wide.contains("allow_anonymous = true") && wide.contains("bind = \"0.0.0.0:1883\""),
            "{wide}"
        );
        let arguments = HubArguments { mqtt: None, websocket: String::new(), own_hub: false, lan: false };
        let page = "127.0.0.1:8091".parse().unwrap();
        assert_eq!(arguments.page_address(page), page);
        assert_eq!(arguments.page_on_a_telephone(8091), None);
        let wide = HubArguments { lan: true, ..arguments };
        assert_eq!(wide.page_address(page).to_string(), "0.0.0.0:8091");
    }
}
