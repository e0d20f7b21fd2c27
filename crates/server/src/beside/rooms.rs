//! `GET /api/v1/rooms` and `POST /api/v1/rooms/NAME/tokens`: which datagram channels there are, and tokens for them.

use super::access::Asker;
use super::publish::REPLY_MAX;
use super::refusal::Refusal;
use super::routes::Site;
use crate::mail::Mail;
use crate::shard::rooms::{RoomReport, Ungranted};
use crate::stats::total;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use tokio::sync::oneshot;
use trefoil_json::Code;

/// How many rooms are listed at most.
const ROOMS_MAX: usize = 1000;

/// The list.
#[derive(Serialize)]
pub(super) struct List {
    /// How many rooms there are, those included that are not listed.
    total: u64,
    /// How many peers are in them.
    peers: u64,
    rooms: Vec<Room>,
}

#[derive(Serialize)]
struct Room {
    room: String,
    peers: Vec<Peer>,
}

#[derive(Serialize)]
struct Peer {
    peer: u16,
    /// Who it is; null where nobody was asked.
    user: Option<String>,
    address: String,
}

impl From<RoomReport> for Room {
    fn from(report: RoomReport) -> Room {
        let mut peers: Vec<Peer> = report
            .peers
            .into_iter()
            .map(|peer| Peer {
                peer: peer.number,
                user: Some(peer.user.into()).filter(|user: &String| !user.is_empty()),
                address: peer.address.to_string(),
            })
            .collect();
        peers.sort_by_key(|peer| peer.peer);
        Room { room: report.name.into(), peers }
    }
}

/// A token.
#[derive(Serialize)]
pub(super) struct Token {
    room: String,
    token: String,
    /// For how many seconds it can be used.
    expires_s: u32,
}

/// Lists the rooms that there are.
pub(super) async fn list(
    State(site): State<Site>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<List>, Refusal> {
    let context = &site.context;
    // There are addresses in it.
    if context.access.is_some() && asker.user().is_none() {
        return Err(Refusal::unauthorized("who sees who is in which room has to say who it is"));
    }
    let mut answers = Vec::new();
    for mailbox in &context.mailboxes {
        let (reply, answer) = oneshot::channel();
        mailbox.post(Mail::Rooms { rooms_max: ROOMS_MAX, reply });
        answers.push(answer);
    }
    let mut rooms: Vec<Room> = Vec::new();
    let all = async {
        for answer in answers {
            rooms.extend(answer.await.map_err(|_| stopping())?.into_iter().map(Room::from));
        }
        Ok::<(), Refusal>(())
    };
    tokio::time::timeout(REPLY_MAX, all).await.map_err(|_| stopping())??;
    rooms.sort_by(|one, other| one.room.cmp(&other.room));
    rooms.truncate(ROOMS_MAX);
    let (open, peers) = (total(&context.stats, |s| &s.rooms.open), total(&context.stats, |s| &s.rooms.peers));
    Ok(Json(List { total: open, peers, rooms }))
}

/// Gives a token for a room.
pub(super) async fn token(
    State(site): State<Site>,
    Extension(asker): Extension<Asker>,
    Path(rest): Path<String>,
) -> Result<Json<Token>, Refusal> {
    let Some(room) = rest.strip_suffix("/tokens") else {
        return Err(Refusal::not_found("only POST /api/v1/rooms/NAME/tokens is served there".to_owned()));
    };
    match site.context.room_token(asker.user().map(|user| &**user), room) {
        Ok((token, expires_s)) => Ok(Json(Token { room: room.to_owned(), token, expires_s })),
        Err(Ungranted::Unknown) => Err(Refusal::unauthorized("who wants a token has to say who it is")),
        Err(why) => {
            let (status, code) = match why {
                Ungranted::Name(_) | Ungranted::Unknown => (StatusCode::BAD_REQUEST, Code::BadField),
                Ungranted::User | Ungranted::Closed => (StatusCode::FORBIDDEN, Code::NotAuthorized),
                Ungranted::System => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            };
            Err(Refusal::new(status, code, why.to_string()).field("room"))
        }
    }
}

fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the hub is stopping").retry_after(1)
}
