//! The real binary, started for one test.

use crate::{DEADLINE, Program, wait_until};
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One listener of each kind on ports that the system picks, with small waits where a test waits for one.
pub const CONFIG: &str = r#"
shards = 2

[[listener]]
bind = "127.0.0.1:0"

[[listener]]
bind = "udp://127.0.0.1:0"

[[listener]]
bind = "udp://127.0.0.1:0"
protocols = ["mqtt-sn"]

[[listener]]
bind = "127.0.0.1:0"
protocols = ["http", "websocket"]
echo = true
"#;

/// As [`CONFIG`], with users. Only the last listener lets in who does not say who it is, so that a test can look at the
/// figures.
pub const USERS_CONFIG: &str = r#"
shards = 2

[[listener]]
bind = "127.0.0.1:0"

[[listener]]
bind = "udp://127.0.0.1:0"

[[listener]]
bind = "127.0.0.1:0"
protocols = ["http", "websocket"]
allow_anonymous = true

[auth]
users = "users.txt"
"#;

/// A listener for MQTT-SN beside them, for devices on a network that loses datagrams.
pub const DEVICES: &str = r#"
[[listener]]
bind = "udp://127.0.0.1:0"
protocols = ["mqtt-sn"]

[mqtt_sn]
resend_s = 1
resends_max = 20
"#;

/// How long a hub may take to stop: several times what it is allowed for sending what waits.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A hub that has not changed for that long is at rest: longer than the shortest session expiry, a second.
const REST: Duration = Duration::from_millis(1500);

/// A running hub. It is stopped when this goes out of scope, and must then not have panicked.
pub struct Hub {
    child: Child,
    folder: tempfile::TempDir,
    listeners: Vec<Listener>,
    stderr: Arc<Mutex<String>>,
    ended: bool,
    /// The process that has taken over from `child`, which has ended.
    successor: Option<u32>,
}

pub(crate) struct Listener {
    udp: bool,
    /// 0 for a Unix socket.
    port: u16,
    protocols: String,
}

/// A folder for a hub: in memory where the system has room for that, since most tests are not about the disk, and there
/// are many hubs at a time. A process that is killed leaves there what it would leave on a disk.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

impl Hub {
    /// Starts a hub with [`CONFIG`].
    pub fn start() -> Self {
        Self::with_config(CONFIG)
    }

    /// Starts a hub with [`CONFIG`] and [`DEVICES`].
    pub fn start_with_devices() -> Self {
        Self::with_config(&format!("{CONFIG}{DEVICES}"))
    }

    /// Starts a hub with the text of a configuration.
    pub fn with_config(config: &str) -> Self {
        Self::with_config_and_environment(config, &[])
    }

    /// Starts a hub with the text of a configuration and environment variables.
    pub fn with_config_and_environment(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::in_folder(folder(), config, environment)
    }

    /// Starts a hub with [`USERS_CONFIG`], the lines of `more` behind it, and these users and passwords.
    pub fn with_users(users: &[(&str, &str)], more: &str) -> Self {
        let folder = folder();
        std::fs::write(folder.path().join("users.txt"), "").unwrap();
        for (name, password) in users {
            set_user(folder.path(), name, password);
        }
        Self::in_folder(folder, &format!("{USERS_CONFIG}{more}"), &[])
    }

    fn in_folder(folder: tempfile::TempDir, config: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.envs(environment.iter().copied());
        Self::launch(folder, config, command)
    }

    /// Starts a hub by a command that comes to `trefoil` with the arguments behind its own, in this folder, with the text
    /// of a configuration.
    pub fn launch(folder: tempfile::TempDir, config: &str, mut command: Command) -> Self {
        let file = folder.path().join("trefoil.toml");
        std::fs::write(&file, config).unwrap();
        command.args(["serve", "--config"]).arg(&file).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = collect(child.stderr.take().unwrap());
        let lines = read_lines(child.stdout.take().unwrap());
        let mut hub = Self { child, folder, listeners: Vec::new(), stderr, ended: false, successor: None };
        let wanted = config.matches("[[listener]]").count();
        while hub.listeners.len() < wanted {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) => hub.listeners.extend(parse_listening(&line)),
                Err(_) => {
                    panic!("the hub opened {} of {wanted} listeners:\n{}", hub.listeners.len(), hub.log())
                }
            }
        }
        hub
    }

    /// The port of the first TCP listener.
    pub fn tcp_port(&self) -> u16 {
        self.port("first TCP", |listener| !listener.udp && listener.port > 0)
    }

    /// The port of the first UDP listener.
    pub fn udp_port(&self) -> u16 {
        self.port("UDP", |listener| listener.udp)
    }

    /// The port of the last TCP listener: with [`CONFIG`], the one that serves HTTP and WebSocket only.
    pub fn http_port(&self) -> u16 {
        let http = self.listeners.iter().rev().find(|listener| !listener.udp && listener.port > 0);
        http.expect("the configuration has a TCP listener").port
    }

    /// The port of the first listener whose list of protocols is this one, as the hub prints it.
    pub fn port_of(&self, protocols: &str) -> u16 {
        self.port(protocols, |listener| listener.protocols == protocols)
    }

    /// The ports of all listeners whose list of protocols is this one, in the order of the configuration.
    pub fn ports_of(&self, protocols: &str) -> Vec<u16> {
        self.listeners.iter().filter(|l| l.protocols == protocols).map(|listener| listener.port).collect()
    }

    fn port(&self, what: &str, filter: impl Fn(&Listener) -> bool) -> u16 {
        let found = self.listeners.iter().find(|listener| filter(listener));
        found.unwrap_or_else(|| panic!("there is no listener for {what}")).port
    }

    /// The ports as the scenarios in `tests/python` and `tests/node` take them.
    pub fn ports(&self) -> [String; 4] {
        let port = |filter: &dyn Fn(&Listener) -> bool| {
            self.listeners.iter().find(|listener| filter(listener)).map_or(0, |listener| listener.port)
        };
        let sn = port(&|listener| listener.protocols == "mqtt-sn");
        let udp = port(&|listener| listener.udp && listener.protocols != "mqtt-sn");
        let (tcp, http) = (self.tcp_port(), self.http_port());
        [format!("tcp={tcp}"), format!("http={http}"), format!("udp={udp}"), format!("sn={sn}")]
    }

    /// The hub's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the hub wrote to standard error so far.
    pub fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The process that serves.
    pub fn pid(&self) -> u32 {
        self.successor.unwrap_or(self.child.id())
    }

    /// Replaces the configuration; a process that takes over reads it.
    pub fn reconfigure(&self, config: &str) {
        std::fs::write(self.folder().join("trefoil.toml"), config).unwrap();
    }

    /// `trefoil upgrade` of this hub.
    pub fn ask_for_upgrade(&self) -> Program {
        trefoil(["upgrade", "--pid", &self.pid().to_string()]).limit(DEADLINE * 2)
    }

    /// Lets a new process take over, which it must, and follows it.
    pub fn upgrade(&mut self) {
        let said = self.ask_for_upgrade().run().success();
        let new = said.strip_prefix("process ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        self.follow(new.unwrap_or_else(|| panic!("not the number of a process: {said}")));
    }

    /// Another process has taken over, so the one before must end, and well.
    pub fn follow(&mut self, pid: u32) {
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
        (self.successor, self.ended) = (Some(pid), false);
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until the process has ended. How is known only of the one that the test has started; others end well here.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the hub has ended", || {
            status = self.status();
            status.is_some()
        });
        self.ended = true;
        status.unwrap()
    }

    /// How the process ended, if it has.
    fn status(&mut self) -> Option<ExitStatus> {
        match self.successor {
            None => self.child.try_wait().unwrap(),
            Some(pid) => (!is_running(pid)).then(ExitStatus::default),
        }
    }

    /// Ends the hub by a signal, by its name without `SIG`; gives its folder with all that it has left there.
    pub fn leave(mut self, name: &str) -> tempfile::TempDir {
        self.signal(name);
        self.wait();
        std::mem::replace(&mut self.folder, folder())
    }

    /// Starts a hub in a folder that another has left.
    pub fn resume(folder: tempfile::TempDir, config: &str) -> Self {
        Self::in_folder(folder, config, &[])
    }

    /// Asks the hub to stop. It must not outlive its test, so one that does not stop is killed.
    fn stops(&mut self) -> bool {
        self.signal("TERM");
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            if self.status().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        signal(self.pid(), "KILL");
        let _ = self.child.wait();
        false
    }

    /// One of the figures of `/api/v1/stats`.
    pub fn stat(&self, name: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/api/v1/stats", self.http_port());
        let text = Program::new("curl").args(["-sSf", &url]).run().success();
        let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
        stats[name].as_u64().unwrap_or_else(|| panic!("no figure `{name}` in {text}"))
    }

    /// One of the figures of `/metrics`, by its name with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let mut stream = crate::connect(self.http_port());
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let text = String::from_utf8(crate::Exchange::rest(&mut stream)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no figure `{name}` in {text}"))
    }

    /// How much memory the hub's process holds.
    pub fn resident_bytes(&self) -> u64 {
        self.bytes_in("status", "VmRSS:")
    }

    /// The same, with its part only of what it shares with other processes.
    pub fn proportional_bytes(&self) -> u64 {
        self.bytes_in("smaps_rollup", "Pss:")
    }

    fn bytes_in(&self, file: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// What a hub holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holdings {
    /// Memory of the process.
    pub resident_bytes: u64,
    /// Open files and sockets.
    pub descriptors: u64,
    /// Sessions.
    pub sessions: u64,
    /// Retained messages.
    pub retained: u64,
    /// Connections closed since the peer broke its protocol, up to now.
    pub protocol_errors: u64,
}

impl Hub {
    /// What the hub holds once it has come to rest: once nothing but its memory changes any more.
    pub fn at_rest(&self) -> Holdings {
        let (mut last, mut same) = (self.holdings(), 0);
        wait_until("the hub has come to rest", || {
            std::thread::sleep(REST / 4);
            let now = self.holdings();
            let is_same = Holdings { resident_bytes: 0, ..now } == Holdings { resident_bytes: 0, ..last };
            (last, same) = (now, if is_same { same + 1 } else { 0 });
            same > 4
        });
        last
    }

    fn holdings(&self) -> Holdings {
        Holdings {
            // Before anything is asked, since questions are connections too.
            descriptors: self.descriptors(),
            sessions: self.stat("sessions"),
            retained: self.stat("retained"),
            protocol_errors: self.metric("trefoil_protocol_errors_total"),
            resident_bytes: self.resident_bytes(),
        }
    }

    /// What it has open, without what was open where the tests were started: that is not its business, and a process
    /// that takes over from it may put something else in its place.
    fn descriptors(&self) -> u64 {
        let open_in = |process: &str| {
            let folder = std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process is there");
            folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect::<Vec<_>>()
        };
        let inherited = open_in("self");
        open_in(&self.pid().to_string()).iter().filter(|target| !inherited.contains(target)).count() as u64
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let stopped = self.ended || self.stops();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("--- what the hub wrote to standard error:\n{log}---");
        } else {
            assert!(!log.contains("panicked at"), "the hub panicked:\n{log}");
            assert!(stopped, "the hub did not stop at SIGTERM:\n{log}");
        }
    }
}

/// A run of the binary with these arguments, in a folder that holds nothing else.
pub fn trefoil<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Program {
    Program::new(binary()).args(arguments)
}

/// Gives a user a password, in the file of users in this folder.
pub fn set_user(folder: &Path, name: &str, password: &str) {
    let run = trefoil(["passwd", "users.txt", name, "--stdin", "--iterations", "4096"]).folder(folder);
    run.stdin(format!("{password}\n")).run().success();
}

/// The binary under test: `TREFOIL_BIN`, or the one that cargo built beside these tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TREFOIL_BIN") {
        return path.into();
    }
    let path = profile_folder().join("trefoil");
    assert!(
        path.is_file(),
        "{} is not built. `cargo xtask blackbox` builds it and runs these tests; or build it with \
         `cargo build --package trefoil`, or name one in TREFOIL_BIN.",
        path.display()
    );
    path
}

/// Where cargo built this test: `target/debug` or its like.
pub(crate) fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).expect("a test's program lies in PROFILE/deps").to_owned()
}

/// `listening on tcp://127.0.0.1:1883  mqtt, http`
pub(crate) fn parse_listening(line: &str) -> Option<Listener> {
    let (address, protocols) = line.strip_prefix("listening on ")?.split_once("  ")?;
    let udp = address.starts_with("udp://");
    let port = match address.starts_with("unix://") {
        true => 0,
        false => address.rsplit_once(':')?.1.parse().ok()?,
    };
    Some(Listener { udp, port, protocols: protocols.trim().to_owned() })
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
    assert!(status.success(), "cannot send SIG{name} to {pid}");
}

/// Whether a process is there, and more than a record that nobody has looked at. It is for as long as one of its threads
/// is: the first one may have ended while another still holds files, and their locks.
fn is_running(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut stats =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    stats.any(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z')))
}

/// Collects what is written until the end.
fn collect(mut source: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            shared.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    text
}

pub(crate) fn read_lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // The pipe is read to its end, also when nobody listens any more, so that the hub never blocks on it.
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_lines_are_understood() {
        let listener = parse_listening("listening on tcp://127.0.0.1:1883  mqtt, http").unwrap();
        assert_eq!((listener.udp, listener.port, &*listener.protocols), (false, 1883, "mqtt, http"));
        assert!(parse_listening("listening on udp://[::1]:1883  json").unwrap().udp);
        assert!(parse_listening("try: mosquitto_sub -t '#'").is_none());
    }
}
