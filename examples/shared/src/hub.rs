//! The hub that an example talks to: one that runs already, or one inside the example.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use tokio::net::TcpStream;
use trefoil_config::Config;
use trefoil_server::Server;

/// Which hub to use. Without a word about it: the one on this machine's usual ports, and if none runs there, one that
/// the example starts itself.
#[derive(Args, Clone, Debug)]
pub struct HubArguments {
    /// The hub's MQTT listener. Without it the hub on this machine's port 1883 is used; when none runs there, one is
    /// started for as long as this program runs.
    #[arg(long, value_name = "URL")]
    pub mqtt: Option<String>,
    /// The hub's WebSocket, as the browser reaches it.
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws")]
    pub websocket: String,
}

/// A hub that can be talked to.
pub struct Hub {
    /// Where it speaks MQTT.
    pub mqtt: String,
    /// Where it speaks JSON over WebSocket.
    pub websocket: String,
    /// The one that was started here.
    own: Option<Server>,
}

impl HubArguments {
    /// Finds the hub, or starts one.
    ///
    /// # Errors
    /// When no hub runs here and none can be started, because another program has one of its ports for instance.
    pub async fn find_or_start(&self) -> io::Result<Hub> {
        let websocket = self.websocket.clone();
        if let Some(mqtt) = &self.mqtt {
            return Ok(Hub { mqtt: mqtt.clone(), websocket, own: None });
        }
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 1883));
        let mqtt = format!("mqtt://{usual}");
        let mut out = io::stdout();
        if TcpStream::connect(usual).await.is_ok() {
            writeln!(out, "using the hub that runs at {mqtt}")?;
            return Ok(Hub { mqtt, websocket, own: None });
        }
        let server = Server::start(&Config::default()).map_err(io::Error::other)?;
        writeln!(out, "no hub was running here, so that this program has started one:")?;
        for listening in server.listening() {
            writeln!(out, "listening on {}  {}", listening.bind, listening.protocols)?;
        }
        Ok(Hub { mqtt, websocket, own: Some(server) })
    }
}

impl Hub {
    /// Stops the hub if it was started here. It says goodbye to its clients first.
    pub async fn stop(self) {
        if let Some(server) = self.own {
            // It waits for its threads, and a thread that runs asynchronous code must not.
            let stopped = tokio::task::spawn_blocking(|| server.stop()).await;
            debug_assert!(stopped.is_ok(), "a hub stops without panicking");
        }
    }
}
