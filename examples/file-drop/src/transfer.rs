//! One file, by the two commands that anybody types, and what came of it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, sleep};

use crate::folder;
use crate::machine::{Machine, Network};

const LOOK: Duration = Duration::from_millis(50);
/// So many lines of the commands are remembered.
const LINES_MAX: usize = 40;

/// What is known of a transfer.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    inner: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    number: u64,
    name: String,
    code: Option<String>,
    bytes: u64,
    /// What Bob's network has carried since it began.
    carried: u64,
    cuts: u64,
    lines: Vec<[String; 2]>,
    hashes: Option<[String; 2]>,
    fault: Option<String>,
    /// Bob's folder, while it is under way and afterwards.
    names: Vec<String>,
    seconds: f64,
}

impl Transfer {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The same for the page.
    pub(crate) fn json(&self) -> Value {
        let known = self.known();
        json!({
            "number": known.number,
            "name": known.name,
            "code": known.code,
            "bytes": known.bytes,
            "carried": known.carried,
            "cuts": known.cuts,
            "lines": known.lines,
            "hashes": known.hashes,
            "whole": known.hashes.as_ref().map(|[sent, received]| sent == received),
            "fault": known.fault,
            "names": known.names,
            "seconds": (known.seconds * 10.0).round() / 10.0,
        })
    }

    fn say(&self, who: &str, line: &str) {
        let mut known = self.known();
        known.lines.push([who.to_owned(), line.to_owned()]);
        if known.lines.len() > LINES_MAX {
            known.lines.remove(0);
        }
    }

    /// Somebody has cut the network.
    pub(crate) fn was_cut(&self) {
        self.known().cuts += 1;
        self.say("network", "cut");
    }
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) number: u64,
    pub(crate) mib: u32,
    pub(crate) seed: u64,
    /// Where the network is cut, in parts of a hundred; 0 for nowhere.
    pub(crate) cut_at: u8,
}

/// Sends a file, and compares what arrives. What goes wrong is told by the transfer.
pub(crate) async fn run(trefoil: &Path, network: &Network, parcel: Parcel, transfer: &Arc<Transfer>) {
    let began = Instant::now();
    if let Err(error) = try_run(trefoil, network, parcel, transfer, began).await {
        transfer.known().fault = Some(error.to_string());
    }
}

async fn try_run(
    trefoil: &Path,
    network: &Network,
    parcel: Parcel,
    transfer: &Arc<Transfer>,
    began: Instant,
) -> io::Result<()> {
    let Network { ann, bob, .. } = network;
    let name = format!("film-{}.bin", parcel.number);
    let (from, to) = (ann.folder.path().join(&name), bob.folder.path().join(&name));
    let bytes = u64::from(parcel.mib) << 20;
    {
        let mut known = transfer.known();
        *known = Known { number: parcel.number, name: name.clone(), bytes, ..Known::default() };
    }
    let made = from.clone();
    blocking(move || folder::make(&made, parcel.mib, parcel.seed)).await?;

    // Who cannot reach the hub at first is told so at once; only what has begun goes on by itself.
    while network.is_cut() {
        sleep(LOOK).await;
    }
    let mut sender = start(trefoil, ann, transfer, "ann", &["send", &name])?;
    let mut said = BufReader::new(sender.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
    let code =
        said.next_line().await?.ok_or_else(|| io::Error::other("`trefoil send` has not said a code"))?;
    transfer.known().code = Some(code.clone());
    let mut receiver = start(trefoil, bob, transfer, "bob", &["receive", &code, "--yes"])?;

    let before = bob.relay.seen.bytes.load(Ordering::Relaxed);
    let cut_at = (parcel.cut_at > 0).then(|| bytes * u64::from(parcel.cut_at) / 100);
    let (mut is_cut, mut looks) = (false, interval(LOOK));
    let ended = loop {
        tokio::select! {
            ended = async { tokio::try_join!(sender.wait(), receiver.wait()) } => break ended?,
            _ = looks.tick() => {
                let carried = bob.relay.seen.bytes.load(Ordering::Relaxed) - before;
                {
                    let mut known = transfer.known();
                    (known.carried, known.seconds) = (carried, began.elapsed().as_secs_f64());
                    known.names = folder::names(bob.folder.path());
                }
                if !is_cut && cut_at.is_some_and(|at| carried >= at) {
                    is_cut = true;
                    network.cut();
                    transfer.was_cut();
                }
            }
        }
    };
    {
        let mut known = transfer.known();
        known.carried = bob.relay.seen.bytes.load(Ordering::Relaxed) - before;
        known.names = folder::names(bob.folder.path());
    }
    for (command, status) in [("send", ended.0), ("receive", ended.1)] {
        if !status.success() {
            return Err(io::Error::other(format!("`trefoil {command}` ended with {status}")));
        }
    }
    let hashes = blocking(move || {
        let hashes = [folder::hash(&from)?, folder::hash(&to)?];
        // They have served their purpose, and the next ones need room.
        std::fs::remove_file(&from)?;
        std::fs::remove_file(&to)?;
        Ok(hashes)
    })
    .await?;
    transfer.known().hashes = Some(hashes);
    Ok(())
}

/// Starts a command on a machine: in its folder, and with its way to the hub.
fn start(
    trefoil: &Path,
    machine: &Machine,
    transfer: &Arc<Transfer>,
    who: &'static str,
    arguments: &[&str],
) -> io::Result<Child> {
    let url = format!("tcp://{}", machine.relay.address);
    transfer.say(who, &format!("$ trefoil {} --url {url}", arguments.join(" ")));
    let mut command = Command::new(trefoil);
    command.args(arguments).args(["--url", &url]).current_dir(machine.folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(stderr) = child.stderr.take() {
        let transfer = transfer.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                transfer.say(who, &line);
            }
        });
    }
    Ok(child)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
