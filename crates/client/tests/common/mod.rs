//! A hub in this process, and what all tests do with it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a panic is how a test fails; no test file uses all of it"
)]

use std::time::Duration;
use trefoil_client::{Client, Message, Options};
use trefoil_config::{Bind, Config, Listener, Protocols};
use trefoil_server::Server;

/// Far above what anything takes: only a fault lets a wait last that long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running hub on ports that the system chose.
pub struct Hub {
    server: Option<Server>,
    tcp_port: u16,
    udp_port: u16,
}

impl Hub {
    pub fn start() -> Hub {
        Hub::with(|_| {})
    }

    /// A hub whose configuration was changed.
    pub fn with(change: impl FnOnce(&mut Config)) -> Hub {
        let listener = |bind: Bind| Listener {
            protocols: Protocols::usual(&bind),
            bind,
            socket_mode: 0o660,
            tls: None,
            allow_anonymous: true,
            echo: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            allowed_origins: Default::default(),
            slow_reader: Default::default(),
            connections_max: 0,
            framed: None,
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            shards: 2,
            listeners: vec![listener(Bind::Tcp(any)), listener(Bind::Udp(any))],
            ..Config::default()
        };
        config.store.durability = trefoil_config::Durability::None;
        change(&mut config);
        let server = Server::start(&config).unwrap();
        let ports: Vec<u16> = server
            .listening()
            .iter()
            .map(|listening| listening.bind.addr().expect("it has a port").port())
            .collect();
        Hub { server: Some(server), tcp_port: ports[0], udp_port: ports[1] }
    }

    /// The URL of a kind of listener: its scheme, and for WebSocket the path.
    pub fn url(&self, kind: &str) -> String {
        let (scheme, path) =
            kind.split_once('/').map_or((kind, String::new()), |(s, p)| (s, format!("/{p}")));
        let port = if scheme == "udp" { self.udp_port } else { self.tcp_port };
        format!("{scheme}://127.0.0.1:{port}{path}")
    }

    pub async fn connect(&self, kind: &str) -> Client {
        self.connect_with(kind, Options::default()).await
    }

    pub async fn connect_with(&self, kind: &str, options: Options) -> Client {
        Client::connect(&self.url(kind), options).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            // It waits, and a thread that runs asynchronous code must not.
            let stopped = std::thread::spawn(move || server.stop()).join();
            assert!(stopped.is_ok(), "the hub panicked");
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The next message, which must come.
pub async fn next(client: &mut Client) -> Message {
    let message =
        tokio::time::timeout(DEADLINE, client.next_message()).await.expect("a message comes in time");
    message.unwrap_or_else(|| panic!("the connection ended: {:?}", client.error()))
}
