//! What a person may set: one table of settings, its reading and its reference page.
//!
//! The table is [`Setting::all`]: name, section, what is allowed, what holds otherwise, and a sentence of help. Four
//! things read it and nothing else knows a setting: the TOML file, the environment, [`reference()`] (the page
//! `docs/configuration.md`), and the help of a single setting (its `Display`).
//!
//! [`load`] takes the text of a file and the variables of an environment and gives a [`Config`] or [`Problems`].
//! A `Config` has been checked: its [`Listener`]s go with their [`Protocols`], its [`Limits`] are in range, and no
//! other machine can reach it unless clients are asked who they are or somebody wrote `allow_anonymous = true`. `Problems` are all that is wrong, each
//! with its place, so that a person repairs a file once and not line by line. The crate reads no file and no
//! variable by itself, save in [`process_environment`].
//!
//! ```
//! use std::path::Path;
//!
//! let text = r#"
//! [[listener]]
//! bind = "127.0.0.1:8080"
//! protocols = ["http", "websockets"]
//!
//! [limits]
//! packet_bytes_max = "16 MiB"
//! "#;
//! let problems = trefoil_config::load(Some((Path::new("trefoil.toml"), text)), &mut std::iter::empty()).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "trefoil.toml:4:22: an entry of `protocols` is \"websockets\"; did you mean `websocket`? \
//!      It must be one of \"mqtt\", \"http\", \"websocket\", \"json\", \"rooms\", \"mqtt-sn\", \"framed\""
//! );
//!
//! let text = text.replace("websockets", "websocket");
//! let config = trefoil_config::load(Some((Path::new("trefoil.toml"), &text)), &mut std::iter::empty())?;
//! assert_eq!(config.listeners[0].protocols.to_string(), "http, websocket");
//! assert_eq!(config.limits.packet_bytes_max, 16 << 20);
//! # Ok::<(), trefoil_config::Problems>(())
//! ```

mod access;
mod check;
mod document;
mod environment;
mod extensions;
mod framed;
mod history;
mod limits;
mod model;
mod nearest;
mod network;
mod origins;
mod problem;
mod reference;
mod rooms;
mod settings;
mod sheet;
mod store;
mod table;
mod tls;
mod units;
mod value;
mod websocket;

use std::path::Path;

pub use access::{Auth, Bans};
pub use extensions::{
    Delayed, Exclusive, Mqtt, MqttSn, MqttSnTopic, RetainedLimit, Rewrite, Shared, SharedStrategy, Sys,
};
pub use framed::{Dial, Framed, Known, Pattern, Register, Secret, Template};
pub use limits::Limits;
pub use model::{Bind, Config, Listener, Log, LogLevel, MemoryMax, Protocols};
pub use network::Network;
pub use origins::Origins;
pub use problem::{Place, Problem, Problems};
pub use reference::reference;
pub use rooms::{PEER, ROOM, RoomMirror, Rooms};
pub use settings::{Kind, Preset, Section, Setting};
pub use store::{Durability, Store};
pub use tls::{Tls, TlsFiles};
pub use websocket::WebSocket;

/// Reads a configuration: the file, if there is one (its path is only shown in errors), and over it the variables of
/// `env` whose names begin with `TREFOIL_`.
///
/// # Errors
///
/// All that is wrong, each with its place. After an error of syntax the rest of the file is still read, and only
/// whether its parts go together is not looked at.
pub fn load(
    file: Option<(&Path, &str)>,
    env: &mut dyn Iterator<Item = (String, String)>,
) -> Result<Config, Problems> {
    let mut sheet = sheet::Sheet::default();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let whole = match file {
        Some((path, text)) => document::read(path, text, &mut sheet, &mut problems),
        None => true,
    };
    environment::read(env, &mut sheet, &mut problems, &mut warnings);
    if !whole {
        return Err(Problems::new(problems));
    }
    let config = check::assemble(&sheet, warnings, &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(Problems::new(problems)) }
}

/// The variables of this process that [`load`] looks at. Unlike [`std::env::vars`] it does not panic when a value is
/// not Unicode: what cannot be read becomes `�`, which no setting allows, so that the error names the variable.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("TREFOIL_"))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
