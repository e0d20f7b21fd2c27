//! The hub that is killed.

use crate::DEADLINE;
use crate::hub::{binary, parse_listening, read_lines, signal};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trefoil_model::Random;

/// Ports that the system gives to nobody who asks for any port, so that they are free at the next start too.
const PORTS: (usize, usize) = (20_000, 32_000);

/// Everything over two ports, a store that is often made smaller, and bounds that a round does not reach.
const CONFIG: &str = r#"
shards = 2

[[listener]]
bind = "127.0.0.1:PORT"

[[listener]]
bind = "udp://127.0.0.1:DEVICES"
protocols = ["mqtt-sn"]

[mqtt_sn]
resend_s = 1
resends_max = 100

[delayed]
enabled = true

[store]
path = "store"
durability = "DURABILITY"
slack_bytes = "1 MiB"

[sys]
interval_s = 0

[limits]
inflight_max = 40
receive_max = 40
session_queue_messages_max = 10000000
session_queue_bytes_max = "1 GiB"

[[history]]
filter = "h/#"
messages = 1000000

[[durability]]
filter = "i/#"
durability = "interval"

[[durability]]
filter = "n/#"
durability = "none"
"#;

/// How many listeners that opens.
const LISTENERS: usize = 2;

pub(super) struct Victim {
    folder: tempfile::TempDir,
    port: u16,
    devices_port: u16,
    child: Option<Child>,
    /// From its start to its open port, each time that it was let come so far.
    pub(super) recoveries: Vec<Duration>,
}

impl Victim {
    /// A hub that has not been started yet. `more` is added to its configuration.
    pub(super) fn new(durability: &str, more: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for the hub: {error}"))?;
        let port = free_port(|port| TcpListener::bind(port).is_ok())?;
        let devices_port = free_port(|port| UdpSocket::bind(port).is_ok())?;
        let config = CONFIG.replace("PORT", &port.to_string()).replace("DEVICES", &devices_port.to_string());
        let config = format!("{}{more}", config.replace("DURABILITY", durability));
        std::fs::write(folder.path().join("trefoil.toml"), config)
            .map_err(|error| format!("{}: {error}", folder.path().display()))?;
        Ok(Self { folder, port, devices_port, child: None, recoveries: Vec::new() })
    }

    /// Where it listens, and where it speaks MQTT-SN.
    pub(super) fn ports(&self) -> (u16, u16) {
        (self.port, self.devices_port)
    }

    /// Starts the process and does not wait for anything.
    pub(super) fn spawn(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.map_err(|error| format!("the hub's log: {error}"))?;
        let mut command = Command::new(binary());
        command.args(["serve", "--config", "trefoil.toml"]).current_dir(self.folder.path());
        command.env_remove("TREFOIL_BIN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().map_err(|error| format!("{}: {error}", binary().display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts the process and waits until it listens.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let start = Instant::now();
        self.spawn()?;
        let child = self.child.as_mut().expect("it was started a moment ago");
        let lines = read_lines(child.stdout.take().expect("its output is a pipe"));
        let mut listeners = 0;
        while listeners < LISTENERS {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) => listeners += usize::from(parse_listening(&line).is_some()),
                Err(_) => return Err(format!("the hub does not come up again:\n{}", self.log())),
            }
        }
        self.recoveries.push(start.elapsed());
        Ok(())
    }

    /// Sends it SIGKILL and waits until nothing is left of it.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let early = child.try_wait().map_err(|error| error.to_string())?;
        if let Some(status) = early {
            return Err(format!("the hub ended by itself with {status}:\n{}", self.log()));
        }
        child.kill().and_then(|()| child.wait()).map_err(|error| format!("the hub: {error}"))?;
        let log = self.log();
        if log.contains("panicked at") { Err(format!("the hub panicked:\n{log}")) } else { Ok(()) }
    }

    /// The same in the middle of a start of which nobody has read the output. Whether it did not listen yet.
    pub(super) fn cut_short(&mut self) -> Result<bool, String> {
        let output = self.child.as_mut().and_then(|child| child.stdout.take());
        self.kill()?;
        let mut text = String::new();
        output
            .map_or(Ok(0), |mut output| output.read_to_string(&mut text))
            .map_err(|error| error.to_string())?;
        Ok(!text.contains("listening on"))
    }

    /// Sends it SIGTERM and waits until it has ended, and well.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), "TERM");
        let deadline = Instant::now() + DEADLINE;
        loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the hub ended with {status} at SIGTERM:\n{}", self.log()));
                }
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                None => {
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(format!("the hub does not end at SIGTERM:\n{}", self.log()));
                }
            }
        }
    }

    /// The marks in its store that say which checkpoints are complete.
    pub(super) fn checkpoints(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.folder.path().join("store")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".base")).collect()
    }

    /// The last of what it wrote to standard error, over all its lives.
    pub(super) fn log(&self) -> String {
        const LINES: usize = 40;
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Bytes of all files in the store.
    pub(super) fn store_bytes(&self) -> u64 {
        fn size(path: PathBuf) -> u64 {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => size(entry.path()),
                    Ok(metadata) => metadata.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        size(self.folder.path().join("store"))
    }

    /// Leaves the folder where it is, with its store, for whoever looks for a fault; says where.
    pub(super) fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody has now. Not drawn from the round's seed: rounds with one seed may run beside each other.
fn free_port(is_free: impl Fn((Ipv4Addr, u16)) -> bool) -> Result<u16, String> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut random = Random::new(u64::from(std::process::id()) << 40 ^ time.as_nanos() as u64);
    let mut ports = (0..1000).map(|_| random.between(PORTS.0, PORTS.1) as u16);
    let free = ports.find(|port| is_free((Ipv4Addr::LOCALHOST, *port)));
    free.ok_or_else(|| format!("no port is free from {} to {}", PORTS.0, PORTS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_killed_comes_up_again_on_its_port() {
        let mut victim = Victim::new("sync", "").expect("a folder and a port");
        for pause_ms in [0, 1, 3, 10] {
            // In the middle of its start, and as soon as it listens.
            victim.spawn().expect("the hub starts");
            std::thread::sleep(Duration::from_millis(pause_ms));
            victim.kill().expect("it was still there");
            victim.start().expect("it comes up");
            std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, victim.ports().0)).expect("it listens");
            victim.kill().expect("it was still there");
        }
        assert_eq!(victim.recoveries.len(), 4);
    }

    #[test]
    fn who_ends_by_itself_is_noticed() {
        let mut victim = Victim::new("sync", "nonsense = 1").expect("a folder and a port");
        let why = victim.start().expect_err("that is no setting");
        assert!(why.contains("nonsense"), "{why}");
    }
}
