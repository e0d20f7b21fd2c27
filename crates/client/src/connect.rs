//! From a URL to a client.

use crate::address::{self, Address};
use crate::client::{Asking, Client, Publisher, Receiver};
use crate::command::Delivery;
use crate::driver::{Driver, Handles};
use crate::error::{Error, Peer};
use crate::keep_alive::KeepAlive;
use crate::message::Message;
use crate::options::Options;
use crate::protocol::{Protocol, unconnected};
use crate::transport::{Place, Stage, Transport, in_words};
use crate::units::Units;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use trefoil_mqtt::QoS;

/// Commands that wait for the driver. A publisher that is faster waits.
const COMMANDS_MAX: usize = 256;

/// Over UDP the first words are repeated after this time, since they may get lost.
const GREET_AGAIN: Duration = Duration::from_millis(300);

impl Client {
    /// Connects to the hub at a URL: `mqtt://`, `mqtt-sn://`, `ws://`, `tcp://`, `udp://` or
    /// `unix://`, and with TLS `mqtts://`, `wss://` or `tcps://`. When it returns, the hub has answered.
    ///
    /// Must be called within a tokio runtime, which then runs the task behind the client.
    ///
    /// # Errors
    /// Of the [kinds](crate::ErrorKind) `Usage` for a URL or options that cannot be, `Connect` or `TimedOut` when nobody
    /// answers, `Refused` when the hub does not want this client, `Protocol` when it is no hub.
    pub async fn connect(url: &str, options: Options) -> Result<Client, Error> {
        let address = Address::parse(url)?;
        options.check(&address)?;
        let peer = Peer::new(&address.to_string());
        let connected = timeout(options.timeout, open_any(&address, &options, &peer)).await;
        let opened = connected.unwrap_or_else(|_| {
            Err(peer.timed_out("is the address right, and does a firewall let this through?"))
        })?;
        Ok(start(opened, &address, &options, peer))
    }
}

/// Sends one message over MQTT-SN without a connection (QoS −1): one datagram, of which nobody says whether it arrived.
/// The topic is one of two octets, or one that the gateway knows by a number, which `options` then names.
///
/// # Errors
/// Of the [kinds](crate::ErrorKind) `Usage` when the URL is not of MQTT-SN or the topic has no number, and `Connect` when
/// the datagram cannot be sent.
pub async fn publish_unconnected(url: &str, options: &Options, message: &Message) -> Result<(), Error> {
    let address = Address::parse(url)?;
    if address.protocol != address::Protocol::MqttSn {
        return Err(Error::usage(format!("{address} needs a connection; only mqtt-sn:// does without")));
    }
    options.check(&address)?;
    message.check()?;
    let datagram = unconnected(options, message)?;
    let peer = Peer::new(&address.to_string());
    let (address, datagram, peer) = (&address, &datagram, &peer);
    let send = move |to| async move {
        let mut transport = Transport::connect(address, &Place::Socket(to), options, peer).await?;
        transport.push(datagram);
        while transport.waiting_bytes() > 0 {
            transport.ready(false, true).await.map_err(|error| peer.unreachable(in_words(&error)))?;
            transport.flush()?;
        }
        Ok(())
    };
    address.try_each(peer, send).await
}

/// A connection whose hub has answered.
struct Opened {
    transport: Transport,
    protocol: Protocol,
    units: Units,
    /// A hub that has kept the session may send what waits in it at once.
    inbox: VecDeque<Delivery>,
}

async fn open_any(address: &Address, options: &Options, peer: &Peer) -> Result<Opened, Error> {
    if address.transport == address::Transport::Unix {
        return open(address, &Place::Path(address.host.as_str().into()), options, peer).await;
    }
    address
        .try_each(peer, move |to| async move { open(address, &Place::Socket(to), options, peer).await })
        .await
}

async fn open(address: &Address, to: &Place, options: &Options, peer: &Peer) -> Result<Opened, Error> {
    let transport = Transport::connect(address, to, options, peer).await?;
    let protocol = Protocol::new(address, options, transport.unit_bytes_max(), peer).await;
    let mut opened = Opened { transport, protocol, units: Units::default(), inbox: VecDeque::new() };
    let is_udp = address.transport == address::Transport::Udp;
    loop {
        opened.protocol.greet(address, options, &mut opened.units);
        let heard = opened.hear(peer);
        let result = if is_udp {
            match timeout(GREET_AGAIN, heard).await {
                Ok(result) => result,
                Err(_) => continue,
            }
        } else {
            heard.await
        };
        return result.map(|()| opened).map_err(Error::before_greeting);
    }
}

impl Opened {
    /// Waits for the answer to the first words.
    async fn hear(&mut self, peer: &Peer) -> Result<(), Error> {
        let Opened { transport, protocol, units, inbox } = self;
        while !protocol.is_greeted() {
            units.drain(|unit| transport.push(unit));
            transport.flush()?;
            let writes = transport.waiting_bytes() > 0;
            if transport.ready(true, writes).await.map_err(|error| peer.lost(in_words(&error)))?.is_readable()
            {
                let stage = transport.receive(&mut |unit| protocol.handle_unit(unit, units, inbox))?;
                if stage == Stage::Ended && !protocol.is_greeted() {
                    return Err(peer.stranger("it closed the connection without an answer"));
                }
            }
        }
        Ok(())
    }
}

fn start(opened: Opened, address: &Address, options: &Options, peer: Peer) -> Client {
    let Opened { transport, protocol, units, inbox } = opened;
    let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
    let (taken_sender, taken) = mpsc::unbounded_channel();
    let (messages, message_receiver) = mpsc::channel(usize::from(options.queue_messages_max.max(1)));
    let ended = Arc::new(OnceLock::new());
    let session_present = protocol.session_present();
    let qos_max = match address.protocol {
        address::Protocol::Mqtt | address::Protocol::MqttSn => QoS::ExactlyOnce,
        address::Protocol::Json => QoS::AtLeastOnce,
    };
    let says_slow_reader = match address.protocol {
        address::Protocol::Mqtt => options.version.is_v5(),
        address::Protocol::MqttSn => false,
        address::Protocol::Json => true,
    };
    let asking = match address.protocol {
        address::Protocol::Mqtt if options.version.is_v5() => Asking::Topic(Arc::default()),
        address::Protocol::Mqtt | address::Protocol::MqttSn => Asking::Never,
        address::Protocol::Json => Asking::Operation,
    };
    let own_peer = peer.clone();
    let driver = Driver {
        keep_alive: KeepAlive::new(protocol.keep_alive_s().unwrap_or(options.keep_alive_s), Instant::now()),
        transport,
        protocol,
        peer,
        handles: Handles { commands, taken, messages, ended: ended.clone() },
        inbox,
        units,
        patience: options.timeout,
    };
    tokio::spawn(driver.run());
    let (commands, peer) = (command_sender, own_peer);
    let publisher = Publisher { commands, ended: ended.clone(), qos_max, peer, says_slow_reader, asking };
    let receiver = Receiver {
        messages: message_receiver,
        taken: taken_sender,
        ended,
        keeps_session: options.session.is_some(),
    };
    Client { publisher, receiver, session_present }
}
