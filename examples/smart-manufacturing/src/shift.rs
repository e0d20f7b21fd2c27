//! A shift of the plant, from before its first piece until after its last.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;
use trefoil_client::Client;

use crate::crew::{self, Crew};
use crate::plant::Plant;
use crate::report::Reporter;
use crate::summary::Summary;
use crate::{machine, recorder};

/// Why a shift ended before its time: a connection broke, or a task did.
pub(crate) type Accident = Box<dyn std::error::Error + Send + Sync>;

/// Runs the plant until `ends`, then lets it come to rest. `ready` is called when everybody is connected.
pub(crate) async fn run(
    plant: &Arc<Plant>,
    workers: u16,
    ready: impl FnOnce() -> io::Result<()>,
    ends: impl Future<Output = io::Result<()>>,
) -> Result<Summary, Accident> {
    // First those who listen, so that nothing is made before it is heard.
    let crew = Crew::default();
    for _ in 0..workers {
        crew.hire(plant).await?;
    }
    let recording = recorder::subscribe(plant).await?;
    let office = crew::open_office(plant).await?;
    let mut reporter = Reporter::new(plant, &crew).await?;
    let mut machines = Vec::new();
    for number in 0..plant.machines.len() {
        machines.push(machine::connect(plant, number).await?);
    }
    ready()?;
    let seconds = tokio::select! {
        worked = work(plant, machines, &mut reporter, ends) => worked?,
        // They listen as long as there is work, and end only with their connections.
        error = recorder::run(plant, recording) => return Err(error.into()),
        error = crew::manage(plant, &crew, office) => return Err(error.into()),
    };
    let shares = crew.shares();
    crew.release_all().await;
    reporter.close().await?;
    Ok(Summary::new(plant, shares, seconds))
}

/// Lets the machines make pieces until `ends`, and waits until those have gone their way. Returns for how many seconds
/// pieces were made.
async fn work(
    plant: &Arc<Plant>,
    clients: Vec<Client>,
    reporter: &mut Reporter<'_>,
    ends: impl Future<Output = io::Result<()>>,
) -> Result<f64, Accident> {
    let start = Instant::now();
    let (end, ending) = watch::channel(false);
    let mut machines = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        machines.spawn(machine::run(plant.clone(), number, client, ending.clone()));
    }
    tokio::select! {
        ended = ends => ended?,
        // No machine ends before it is told to, but by an error.
        Some(ended) = machines.join_next() => ended??,
        Err(error) = reporter.report_forever() => return Err(error.into()),
    }
    end.send_replace(true);
    while let Some(ended) = machines.join_next().await {
        ended??;
    }
    let seconds = start.elapsed().as_secs_f64();
    reporter.settle().await?;
    Ok(seconds)
}
