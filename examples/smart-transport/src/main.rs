//! Smart transport: buses, trams and devices at stops, on a bad network.
//!
//! ```text
//!   vehicles (module vehicle)  ──  bad links (link)  ──  the hub  ──  the centre (centre)
//!   number and send positions      delay, lose, cut               counts them, gives orders
//!                                                              └───  the page (web), over WebSocket
//! ```
//!
//! Each vehicle talks MQTT through a link of its own, which this program makes bad. Vehicles send numbered positions at
//! QoS 1 and are given orders at QoS 2, also while they are out of contact; sessions that outlive connections, on both
//! sides, keep all of it whole. The centre is a subscriber on the other side of the hub that counts what comes out.
//! In the end its count is held against the vehicles' own ([`report`]), and the exit code says whether they agree.
//! [`messages`] lists the topics.

mod arguments;
mod centre;
mod city;
mod device;
mod link;
mod messages;
mod report;
mod sequence;
mod vehicle;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use example_shared::{File, Hub, Page, stopped};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use trefoil_client::{Message, Publisher};

use arguments::Arguments;
use centre::Centre;
use device::Device;
use link::{Network, Quality};
use messages::{Doing, ROOT};
use report::Report;
use vehicle::{Phase, Vehicle};

const FILES: [File; 6] = [
    ("/", include_str!("../web/index.html")),
    ("/transport.css", include_str!("../web/transport.css")),
    ("/transport.js", include_str!("../web/transport.js")),
    ("/map.js", include_str!("../web/map.js")),
    ("/fleet.js", include_str!("../web/fleet.js")),
    ("/devices.js", include_str!("../web/devices.js")),
];
/// How often the page is told what was counted.
const STATE_PERIOD: Duration = Duration::from_millis(250);
/// Of a hub that is started here: on a bad network four resends with ten seconds between them take too long.
const HUB_SETTINGS: &str = "[mqtt_sn]\nresend_s = 1\nresends_max = 20\n";
const TUNNEL_S: std::ops::Range<u64> = 5..10;
/// How long vehicles may take to say goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let hub = arguments.hub.find_or_start_with(HUB_SETTINGS).await?;
    let configuration = serde_json::json!({
        "hub": hub.websocket,
        "lines": city::LINES,
        "stops": city::STOPS,
        "doings": Doing::ALL,
    });
    let page = Page::bind(arguments.hub.page_address(arguments.page), &configuration, &FILES).await?;
    let report = serve(&arguments, &hub, page).await;
    hub.stop().await;
    let report = report?;
    let text = if arguments.json { report.json().to_string() } else { report.to_string() };
    writeln!(io::stdout(), "{text}")?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole of a day.
async fn serve(arguments: &Arguments, hub: &Hub, page: Page) -> io::Result<Report> {
    let network = Arc::new(Network::new(arguments.quality(), arguments.seed));
    let (prefix, address) = (before_the_address(&hub.mqtt), hub.address().await?);
    let mut fleet = Vec::new();
    for number in 0..usize::from(arguments.vehicles) {
        let link = network.tcp(address, number as u64).await?;
        fleet.push(Arc::new(Vehicle::new(number, link)));
    }
    let gateway = gateway(arguments, hub, address).await?;
    let mut devices = Vec::new();
    for number in 0..usize::from(arguments.devices) {
        // Vehicles may be of any number, and so are not in the way.
        let link = network.udp(gateway, (1 << 32) + number as u64).await?;
        devices.push(Arc::new(Device::new(number, link)));
    }
    let (phase, _) = watch::channel(Phase::Service);
    let orders_the_lost = arguments.order_every().is_some();
    let (centre, desk) =
        Centre::open(&hub.mqtt, fleet.clone(), devices.clone(), network.clone(), orders_the_lost)
            .await
            .map_err(io::Error::other)?;
    let publisher = desk.publisher.clone();
    let mut on_the_road = JoinSet::new();
    for device in devices {
        on_the_road.spawn(device.run(phase.subscribe()));
    }
    for vehicle in fleet {
        let url = format!("{prefix}{}", vehicle.link.address);
        on_the_road.spawn(vehicle.run(url, arguments.timetable(), phase.subscribe()));
    }
    page.announce(&arguments.hub)?;
    let day = async {
        tokio::select! {
            ended = stopped() => ended?,
            never = events(arguments, &centre) => match never {},
            () = service_ends(arguments, &centre) => {}
        }
        centre.rest();
        phase.send_replace(Phase::Finish);
        tokio::select! {
            ended = stopped() => ended?,
            () = settles(&centre, arguments.patience()) => {}
        }
        network.quality.send_replace(Quality::PERFECT);
        phase.send_replace(Phase::Leave);
        let _ = timeout(LEAVE_TIMEOUT, async { while on_the_road.join_next().await.is_some() {} }).await;
        // Only now: until the very end something might happen twice.
        io::Result::Ok(Report::new(&centre))
    };
    tokio::select! {
        report = day => report,
        error = centre.run(desk) => Err(error.map_or_else(|| io::ErrorKind::ConnectionAborted.into(), io::Error::other)),
        served = page.serve() => Err(served.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        () = tell(&publisher, &centre) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// What stands before the hub's address in its URL: scheme, user name and password.
fn before_the_address(hub: &str) -> &str {
    let scheme = hub.find("://").map_or(0, |scheme| scheme + 3);
    &hub[..hub.rfind('@').map_or(scheme, |at| at + 1)]
}

/// Where the hub speaks MQTT-SN.
async fn gateway(arguments: &Arguments, hub: &Hub, address: SocketAddr) -> io::Result<SocketAddr> {
    let Some(named) = &arguments.mqtt_sn else {
        return Ok(hub.mqtt_sn.unwrap_or(SocketAddr::new(address.ip(), 1884)));
    };
    let found = tokio::net::lookup_host(named).await?.next();
    found.ok_or_else(|| io::Error::other(format!("{named} stands for no address")))
}

/// Whatever happens in a city, as long as there is service: orders, and tunnels.
async fn events(arguments: &Arguments, centre: &Centre) -> Infallible {
    let mut random = Rng::with_seed(arguments.seed);
    let mut dice = random.fork();
    let orders = async {
        while let Some(period) = arguments.order_every() {
            sleep(period).await;
            let vehicle = &centre.vehicles[random.usize(..centre.vehicles.len())];
            centre.order(&vehicle.name, Doing::ALL[random.usize(..Doing::ALL.len())]);
        }
    };
    let tunnels = async {
        while let Some(mean_s) = arguments.tunnel_every_s() {
            // Between half and one and a half times as long.
            sleep(Duration::from_secs_f64(mean_s * (0.5 + dice.f64()))).await;
            let vehicle = &centre.vehicles[dice.usize(..centre.vehicles.len())];
            vehicle.link.enter_tunnel(Duration::from_secs(dice.u64(TUNNEL_S)));
        }
    };
    tokio::join!(orders, tunnels, std::future::pending()).2
}

/// Returns when the time is over, or all vehicles stand at the end of their timetable.
async fn service_ends(arguments: &Arguments, centre: &Centre) {
    let deadline = arguments.duration().map(|duration| Instant::now() + duration);
    let mut ticks = interval(STATE_PERIOD);
    loop {
        ticks.tick().await;
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || centre.vehicles.iter().all(|vehicle| vehicle.log().stands) {
            return;
        }
    }
}

/// Returns when all is said and has arrived, or nothing has moved for as long as patience lasts.
async fn settles(centre: &Centre, patience: Duration) {
    let mut ticks = interval(STATE_PERIOD);
    let (mut last, mut moved_at) = ((0, 0), Instant::now());
    loop {
        ticks.tick().await;
        let report = Report::new(centre);
        let unsettled: u64 = centre.vehicles.iter().map(|vehicle| vehicle.unsettled()).sum::<u64>()
            + centre.devices.iter().map(|device| device.unsettled()).sum::<u64>();
        let stand = centre.vehicles.iter().all(|vehicle| vehicle.log().stands);
        if stand
            && unsettled == 0
            && report.positions.missing + report.orders.missing + report.devices.messages.missing == 0
        {
            return;
        }
        let now = (
            report.positions.received + report.orders.confirmed + report.devices.messages.received,
            unsettled,
        );
        if now != last {
            (last, moved_at) = (now, Instant::now());
        } else if moved_at.elapsed() > patience {
            return;
        }
    }
}

/// Tells the page what was counted, as long as the hub takes it.
async fn tell(publisher: &Publisher, centre: &Centre) {
    let mut ticks = interval(STATE_PERIOD);
    loop {
        ticks.tick().await;
        let state = report::state(centre).to_string();
        if publisher.publish(Message::new(format!("{ROOT}/state"), state)).await.is_err() {
            return;
        }
    }
}
