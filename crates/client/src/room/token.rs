//! Tokens for rooms, by the JSON protocol.

use crate::address::{Address, Protocol, Transport as Kind};
use crate::error::{Error, Peer, shown};
use crate::options::Options;
use crate::transport::{Place, Stage, Transport, in_words};
use tokio::time::timeout;
use trefoil_json::{Reply, encode_auth, encode_room, parse_reply};

/// A token for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomToken {
    /// What [`Room::join`](crate::Room::join) takes.
    pub token: String,
    /// For how many seconds it can be used. Who is in the room by then stays.
    pub expires_s: u32,
}

/// The number of the one request.
const ID: u64 = 1;

/// Asks the hub at a `tcp://` or `ws://` URL for a token, as the user that the options or the URL name.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a URL or options that cannot be,
/// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when nobody
/// answers, [`ErrorKind::Refused`](crate::ErrorKind::Refused) when the hub gives none.
pub async fn room_token(url: &str, options: &Options, room: &str) -> Result<RoomToken, Error> {
    let address = Address::parse(url)?;
    if address.protocol != Protocol::Json || matches!(address.transport, Kind::Udp | Kind::Unix) {
        return Err(Error::usage(format!(
            "a token is asked for at tcp:// or ws://HOST:PORT/ws, and {address} is neither"
        )));
    }
    options.check(&address)?;
    let peer = Peer::new(&address.to_string());
    let asked = timeout(options.timeout, ask_any(&address, options, room, &peer)).await;
    asked.unwrap_or_else(|_| {
        Err(peer.timed_out("is the address right, and does a firewall let this through?"))
    })
}

async fn ask_any(address: &Address, options: &Options, room: &str, peer: &Peer) -> Result<RoomToken, Error> {
    let attempt = move |to| async move {
        let transport = Transport::connect(address, &Place::Socket(to), options, peer).await?;
        ask(transport, address, options, room, peer).await.map_err(Error::before_greeting)
    };
    address.try_each(peer, attempt).await
}

async fn ask(
    mut transport: Transport,
    address: &Address,
    options: &Options,
    room: &str,
    peer: &Peer,
) -> Result<RoomToken, Error> {
    let mut text = Vec::new();
    if let Some((user, password)) = options.text_credentials(address)?
        && address.transport != Kind::WebSocket
    {
        encode_auth(user, password, None, &mut text);
        transport.push(&text);
        text.clear();
    }
    encode_room(room, Some(ID), &mut text);
    transport.push(&text);
    let mut given = None;
    loop {
        transport.flush()?;
        let writes = transport.waiting_bytes() > 0;
        let ready = transport.ready(true, writes).await.map_err(|error| peer.lost(in_words(&error)))?;
        if !ready.is_readable() {
            continue;
        }
        let stage = transport.receive(&mut |unit| {
            if let Some(token) = answer(unit, room, peer)? {
                given = Some(token);
            }
            Ok(())
        })?;
        if let Some(token) = given.take() {
            return Ok(token);
        }
        if stage == Stage::Ended {
            return Err(peer.stranger("it closed the connection without an answer"));
        }
    }
}

/// What an answer of the hub comes to; nothing if it is about something else.
fn answer(unit: &[u8], room: &str, peer: &Peer) -> Result<Option<RoomToken>, Error> {
    let reply = parse_reply(unit)
        .map_err(|error| peer.stranger(format!("{} (it said \"{}\")", error.reason, shown(unit))))?;
    match reply {
        Reply::Room { token, expires_s, ack: Some(ID), .. } => {
            Ok(Some(RoomToken { token: token.into_owned(), expires_s }))
        }
        Reply::Error(refusal) => {
            let what = if refusal.id == Some(ID) {
                format!("a token for the room {room:?}")
            } else {
                "this client".to_owned()
            };
            Err(peer.refused(what, shown(refusal.reason.as_bytes())))
        }
        _ => Ok(None),
    }
}
