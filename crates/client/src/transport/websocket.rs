//! MQTT in binary frames or JSON in text frames of a WebSocket.

use super::cutter::Cutter;
use super::stream::Stream;
use super::{Place, Sink, Stage};
use crate::address::{Address, Protocol};
use crate::error::{Error, Peer, shown};
use crate::options::Options;
use crate::random::Random;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::Interest;
use trefoil_websocket::handshake::{ClientHandshake, HandshakeError, response_len};
use trefoil_websocket::{
    CloseCode, Event, Limits, Opcode, Receiver, Role, encode_masked, encode_masked_close,
};

/// The head of a response is a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A WebSocket that carries units.
#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(super) stream: Stream,
    receiver: Receiver,
    /// `Some` for MQTT, whose packets need not begin where a frame does [MQTT-6.0.0-2].
    packets: Option<Packets>,
    random: Random,
    closing: bool,
}

#[derive(Debug)]
struct Packets {
    cutter: Cutter,
    /// The beginning of a packet whose end has not come yet.
    rest: Vec<u8>,
}

impl WebSocket {
    pub(super) async fn connect(
        address: &Address,
        to: &Place,
        options: &Options,
        peer: &Peer,
    ) -> Result<WebSocket, Error> {
        let unit_bytes_max = options.packet_bytes_max;
        let packets = match address.protocol {
            Protocol::Mqtt => {
                Some(Packets { cutter: Cutter::new(Protocol::Mqtt, unit_bytes_max)?, rest: Vec::new() })
            }
            Protocol::Json | Protocol::MqttSn => None,
        };
        let limits = Limits { frame_bytes_max: unit_bytes_max, message_bytes_max: unit_bytes_max };
        let mut websocket = WebSocket {
            stream: Stream::connect(address, to, options, peer).await?,
            receiver: Receiver::new(Role::Client, limits),
            packets,
            random: Random::new(),
            closing: false,
        };
        websocket.shake_hands(address, options).await?;
        Ok(websocket)
    }

    async fn shake_hands(&mut self, address: &Address, options: &Options) -> Result<(), Error> {
        let peer = self.stream.peer.clone();
        let mut handshake = ClientHandshake::new(self.random.nonce());
        // MQTT says who the client is in CONNECT.
        if address.protocol == Protocol::Json
            && let Some((user_name, password)) = options.text_credentials(address)?
        {
            let encoded = BASE64_STANDARD.encode(format!("{user_name}:{password}"));
            handshake = handshake.authorization(format!("Basic {encoded}"));
        }
        let host = match address.port {
            80 if !address.is_tls => address.host_in_url(),
            443 if address.is_tls => address.host_in_url(),
            port => format!("{}:{port}", address.host_in_url()),
        };
        // [MQTT-6.0.0-3]: the subprotocol is named `mqtt`, for all versions.
        let protocols: &[&str] = if self.packets.is_some() { &["mqtt"] } else { &[] };
        handshake
            .write_request(&host, &address.path, protocols, &mut self.stream.out)
            .map_err(|error| Error::usage(format!("{address}: {error}")))?;
        self.stream.flush()?;
        loop {
            let _ = self.stream.socket.ready(Interest::READABLE).await;
            let stage = self.stream.fill()?;
            let waiting = self.stream.input.waiting();
            if let Some(len) = response_len(waiting) {
                let checked = handshake.check_response(&waiting[..len]);
                checked.map_err(|error| refusal(&peer, address, &error, &waiting[len..]))?;
                self.stream.input.consume(len);
                return Ok(());
            }
            if stage == Stage::Ended || waiting.len() > HEAD_BYTES_MAX {
                return Err(peer.stranger(format!("it answered \"{}\", which is not HTTP", shown(waiting))));
            }
        }
    }

    pub(super) fn receive(&mut self, sink: Sink<'_>) -> Result<Stage, Error> {
        let stage = self.stream.fill()?;
        let Stream { input, out, peer, .. } = &mut self.stream;
        loop {
            let received = self.receiver.receive(input.waiting()).map_err(|error| peer.stranger(error))?;
            let consumed = received.consumed;
            match received.event {
                Some(Event::Text(text)) if self.packets.is_none() => sink(text.as_bytes())?,
                Some(Event::Text(_)) => {
                    return Err(peer.stranger("MQTT comes in binary frames, and this is text"));
                }
                Some(Event::Binary(bytes)) => match &mut self.packets {
                    Some(packets) => packets.take(bytes, peer, sink)?,
                    None => return Err(peer.stranger("JSON comes in text frames, and this is binary")),
                },
                Some(Event::Ping(payload)) => encode_masked(Opcode::Pong, payload, self.random.mask(), out),
                Some(Event::Close(_)) if self.closing => return Ok(Stage::Ended),
                Some(Event::Close(close)) => {
                    let why = close.map_or_else(String::new, |c| {
                        format!(" ({} {})", c.code, shown(c.reason.as_bytes()))
                    });
                    return Err(peer.lost(format!("the hub closed the WebSocket{why}")));
                }
                Some(Event::Deflated { .. }) => {
                    return Err(peer.stranger("a message is compressed, which was not agreed on"));
                }
                Some(Event::Pong(_)) => {}
                None if consumed == 0 => return Ok(stage),
                None => {}
            }
            input.consume(consumed);
        }
    }

    pub(super) fn push(&mut self, unit: &[u8]) {
        let opcode = if self.packets.is_some() { Opcode::Binary } else { Opcode::Text };
        encode_masked(opcode, unit, self.random.mask(), &mut self.stream.out);
    }

    pub(super) fn say_goodbye(&mut self) {
        self.closing = true;
        encode_masked_close(CloseCode::NORMAL, "", self.random.mask(), &mut self.stream.out);
    }
}

impl Packets {
    fn take(&mut self, bytes: &[u8], peer: &Peer, sink: Sink<'_>) -> Result<(), Error> {
        if self.rest.is_empty() {
            let consumed = self.cutter.cut(bytes, peer, sink)?;
            self.rest.extend_from_slice(&bytes[consumed..]);
        } else {
            self.rest.extend_from_slice(bytes);
            let consumed = self.cutter.cut(&self.rest, peer, sink)?;
            self.rest.drain(..consumed);
        }
        Ok(())
    }
}

fn refusal(peer: &Peer, address: &Address, error: &HandshakeError, body: &[u8]) -> Error {
    match error {
        HandshakeError::Status(status) => {
            let said = shown(body);
            let said = if said.is_empty() { said } else { format!(": \"{said}\"") };
            let path = address.path.split('?').next().unwrap_or_default();
            peer.refused(
                "the WebSocket",
                format!("HTTP status {status} for {path}{said}; a hub has /mqtt for MQTT and /ws for JSON"),
            )
        }
        other => peer.stranger(other),
    }
}
