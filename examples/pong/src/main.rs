//! A game for two over datagrams of which some get lost, watched in a browser.
//!
//! ```text
//!   left   ─UDP─  relay, loses 5 %  ─┐
//!   (player)      (relay)            ├─  the hub, room pong/table  ─ copies ─  topic pong/table/PEER  ─  the page
//!   right  ─UDP─  relay, loses 5 %  ─┘
//! ```
//!
//! | topic | payload | |
//! | --- | --- | --- |
//! | `pong/table/PEER` | what a player says, copied by the hub | |
//! | `pong/hand/left`, `…/right` | where somebody wants the paddle, 0 to 1 from the top | by the page |
//! | `pong/loss` | how many of a hundred datagrams are to get lost | by the page |
//! | `pong/net` | what has become of the datagrams | twice a second |

mod game;
mod hands;
mod player;
mod relay;
mod settings;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use example_shared::{File, Hub, HubArguments, Page, stopped};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use trefoil_client::Room;

use game::{LEFT, RIGHT};
use hands::Desk;
use player::{Player, Rules};

const FILES: [File; 4] = [
    ("/", include_str!("../web/index.html")),
    ("/pong.css", include_str!("../web/pong.css")),
    ("/pong.js", include_str!("../web/pong.js")),
    ("/table.js", include_str!("../web/table.js")),
];

/// How long it may take to get into the room. On a bad network one has to knock more than once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays a game between two programs over datagrams of which some get lost, and serves a page on which one can watch and
/// take a paddle.
#[derive(Parser)]
#[command(version)]
#[command(mut_arg("mqtt", |mqtt| mqtt.help(
    "The MQTT listener of a hub to play on, which has rooms. Without it one is started for as long as this program runs"
)))]
struct Arguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where to serve the page.
    #[arg(long, default_value = "127.0.0.1:8100")]
    page: SocketAddr,
    /// With `--mqtt`: where that hub takes datagrams. Without it the same address and port.
    #[arg(long, value_name = "HOST:PORT", requires = "mqtt")]
    rooms: Option<SocketAddr>,
    /// Of a hundred datagrams so many get lost on each player's way to the hub, and as many on the way back.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    loss: f64,
    /// End when one has so many points, and print how it was as a line of JSON. The exit code says whether the players
    /// agree.
    #[arg(long, value_name = "N", default_value_t = 0)]
    points: u32,
    /// How many times as fast as a clock.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// The dice: the same seed loses the same datagrams again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let hub = match arguments.hub.mqtt {
        Some(_) => arguments.hub.find_or_start().await?,
        None => arguments.hub.start_own(|_| settings::TEXT.into()).await?,
    };
    let ended = serve(&arguments, &hub).await;
    hub.stop().await;
    let Some(result) = ended? else { return Ok(ExitCode::SUCCESS) };
    writeln!(io::stdout(), "{result}")?;
    Ok(if result["agreed"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays until somebody ends it, or the game is over: then what it came to.
async fn serve(arguments: &Arguments, hub: &Hub) -> io::Result<Option<Value>> {
    let configuration = json!({
        "hub": hub.websocket, "room": settings::ROOM,
        "width": game::WIDTH, "paddle": game::PADDLE, "edge": game::EDGE, "ball": game::BALL,
    });
    let page = Page::bind(arguments.hub.page_address(arguments.page), &configuration, &FILES).await?;
    let rooms = match arguments.rooms.or(hub.udp) {
        Some(rooms) => rooms,
        None => hub.address().await?,
    };
    let mut rng = Rng::with_seed(arguments.seed);
    let (loss, lossy) = watch::channel(arguments.loss);
    let rules = Rules { points: arguments.points, speed: arguments.speed.max(0.01) };
    let mut ways = Vec::new();
    for side in [LEFT, RIGHT] {
        let (address, counts) = relay::open(rooms, lossy.clone(), rng.fork()).await?;
        let (hand, held) = watch::channel(None);
        let url = format!("udp://{address}");
        let room = Room::join(&url, settings::ROOM, "", PATIENCE).await.map_err(io::Error::other)?;
        ways.push((Player::new(side, room, rules, held, rng.fork()), counts, hand));
    }
    let [(left, left_counts, left_hand), (right, right_counts, right_hand)] =
        <[_; 2]>::try_from(ways).map_err(|_| io::ErrorKind::Other)?;
    let desk = Desk {
        hands: [left_hand, right_hand],
        loss,
        counts: [left_counts, right_counts],
        tallies: [left.tally(), right.tally()],
    };
    page.announce(&arguments.hub)?;
    tokio::select! {
        ended = stopped() => ended.map(|()| None),
        served = page.serve() => served.map(|()| None),
        never = desk.run_forever(&hub.mqtt) => match never {},
        scores = async { tokio::try_join!(left.play(), right.play()) } => {
            let (left, right) = scores.map_err(io::Error::other)?;
            Ok(Some(json!({ "agreed": left == right, "score": left, "net": desk.state() })))
        }
    }
}
