//! Whether the answers go together, and the [`Config`] that they make.

use crate::access::{Auth, Bans};
use crate::extensions::{Reader, slow_reader};
use crate::framed::{self, Dial};
use crate::limits::Limits;
use crate::model::{Bind, Config, Listener, Log, LogLevel, MemoryMax, Protocols, SOCKET_MODE};
use crate::network::Network;
use crate::origins::Origins;
use crate::problem::{Place, Problem};
use crate::settings::{Preset, Section, Setting};
use crate::sheet::{Answers, Entry, Sheet};
use crate::table::{FRAMED, MQTT_SN};
use crate::tls::{Tls, TlsFiles};
use crate::value::Value;
use crate::websocket::WebSocket;
use std::collections::HashMap;
use std::sync::Arc;

/// Puts the answers over the defaults. What does not go together goes to `problems`; the result then is worth nothing.
pub(crate) fn assemble(sheet: &Sheet, warnings: Vec<String>, problems: &mut Vec<Problem>) -> Config {
    let preset = Config::default();
    let allow_anonymous = sheet
        .answers
        .bool(Section::Top, "allow_anonymous")
        .map_or(preset.allow_anonymous, |(value, _)| value);
    let shards = sheet.answers.number(Section::Top, "shards").map_or(preset.shards, |n| n as usize);
    let mut limits = Limits::default();
    for (key, number) in sheet.numbers(Section::Limits) {
        limits.set(key, number);
    }
    required(sheet, problems);
    let auth = Auth::read(sheet);
    let has_users = auth.users.is_some();
    let trusted_proxies = sheet.answers.networks(Section::Top, "trusted_proxies").unwrap_or_default();
    let tls = crate::tls::files(&sheet.answers, Section::Tls, problems);
    let nobody = Origins::default();
    let allowed_origins = sheet.answers.origins(Section::Top, "allowed_origins").unwrap_or(&nobody);
    let listeners = match sheet.repeated.get(&Section::Listener) {
        None => preset
            .listeners
            .into_iter()
            .map(|listener| Listener {
                allow_anonymous: !has_users || allow_anonymous,
                trusted_proxies: trusted_proxies.to_vec(),
                allowed_origins: allowed_origins.clone(),
                tls: tls
                    .clone()
                    .filter(|_| matches!(listener.bind, Bind::Tcp(_)))
                    .map(|files| Tls { files, is_required: false }),
                ..listener
            })
            // It would refuse everybody: MQTT-SN has no passwords.
            .filter(|listener| listener.allow_anonymous || !listener.protocols.mqtt_sn)
            .collect(),
        Some(entries) => {
            let (seen, levels_max) = (Vec::new(), limits.topic_levels_max);
            let mut check = Check {
                trusted_proxies,
                allowed_origins,
                allow_anonymous,
                has_users,
                tls: tls.as_ref(),
                levels_max,
                seen,
                problems,
            };
            let listeners: Vec<Listener> =
                entries.list.iter().filter_map(|entry| check.listener(entry)).collect();
            if listeners.is_empty() && check.problems.is_empty() && !entries.refused {
                check.nowhere(entries.place.as_ref());
            }
            listeners
        }
    };
    let dial = dial(sheet, limits.topic_levels_max, has_users, problems);
    let mut extensions = Reader { sheet, levels_max: limits.topic_levels_max, problems };
    let store = extensions.store();
    Config {
        allow_anonymous,
        shards,
        memory_max: memory_max(sheet),
        auth,
        bans: Bans::read(sheet),
        listeners,
        mqtt: extensions.mqtt(),
        shared: extensions.shared(),
        retained: extensions.retained(),
        sys: extensions.sys(),
        delayed: extensions.delayed(),
        exclusive: extensions.exclusive(),
        rewrite: extensions.rewrite(),
        subscribe: extensions.subscribe(),
        slow_readers: extensions.slow_readers(),
        history: extensions.history(),
        mqtt_sn: extensions.mqtt_sn(),
        rooms: extensions.rooms(),
        dial,
        limits,
        websocket: WebSocket::read(sheet),
        log: log(sheet),
        store,
        warnings,
    }
}

/// What must be written and was not, in the sections of which there may be several.
fn required(sheet: &Sheet, problems: &mut Vec<Problem>) {
    for (section, entries) in &sheet.repeated {
        for setting in Setting::of(*section).filter(|setting| setting.preset == Preset::Required) {
            for entry in &entries.list {
                if !entry.answers.was_written(*section, setting.key) {
                    let (one, key, kind) = (section.one().unwrap_or_default(), setting.key, setting.kind);
                    let reason = format!("this {one} has no `{key}`; it must be {kind}");
                    problems.push(Problem { place: entry.place.clone(), reason });
                }
            }
        }
    }
}

fn memory_max(sheet: &Sheet) -> MemoryMax {
    match sheet.answers.get(Section::Top, "memory_max") {
        Some((Value::Percent(percent), _)) => MemoryMax::Percent(*percent),
        Some((Value::Number(bytes), _)) if *bytes > 0 => MemoryMax::Bytes(*bytes),
        _ => MemoryMax::Unlimited,
    }
}

fn log(sheet: &Sheet) -> Log {
    let level = match sheet.answers.get(Section::Log, "level") {
        Some((Value::Word(word), _)) => LogLevel::ALL.into_iter().find(|level| level.as_str() == *word),
        _ => None,
    };
    Log { level: level.unwrap_or_default() }
}

/// The devices that the hub connects to.
fn dial(sheet: &Sheet, levels_max: usize, has_users: bool, problems: &mut Vec<Problem>) -> Vec<Dial> {
    const SECTION: Section = Section::Dial;
    let mut fail = |at: &Place, reason: String| problems.push(Problem { place: at.clone(), reason });
    let (mut all, mut names) = (Vec::new(), HashMap::<String, &Place>::new());
    for Entry { place: at, answers } in sheet.list(SECTION) {
        let Some((address, address_place)) = answers.text(SECTION, "address") else { continue };
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let has_scheme = address.contains("://");
        if host.is_empty() || has_scheme || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            let reason = format!(
                "`address` is {address:?}; it must be a name or an address, and a port, as in \"10.0.0.5:4001\" or \
                 \"[2001:db8::5]:4001\""
            );
            fail(address_place, reason);
            continue;
        }
        let address = address.to_owned();
        let place = framed::Place {
            section: SECTION,
            at,
            is_udp: false,
            address: address.clone(),
            levels_max,
            has_users,
            is_named: false,
        };
        let Some(framed) = framed::read(answers, &place, &mut fail) else { continue };
        if let Some(name) = framed.client_id.name_of(&address, &framed.name)
            && let Some(other) = names.insert(name.clone(), at)
        {
            let reason = format!(
                "the device at {address} would have the client id {name:?}, as the one at {other}, and each would end the \
                 other's connection; give each a `client_id` of its own"
            );
            fail(at, reason);
        }
        all.push(Dial {
            address,
            retry_s_max: answers.number_or_preset(SECTION, "retry_s_max") as u32,
            framed: Arc::new(framed),
            slow_reader: slow_reader(answers, SECTION, "slow_reader").unwrap_or_default(),
        });
    }
    all
}

struct Check<'a> {
    /// What the top level has for all.
    trusted_proxies: &'a [Network],
    allowed_origins: &'a Origins,
    allow_anonymous: bool,
    /// Clients can say who they are.
    has_users: bool,
    tls: Option<&'a TlsFiles>,
    levels_max: usize,
    /// The addresses so far, and where each was written.
    seen: Vec<(&'a Bind, &'a Place)>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    /// The listener, or `None` when it is not to be opened or when something about it is wrong.
    fn listener(&mut self, entry: &'a Entry) -> Option<Listener> {
        let answers = &entry.answers;
        // Without an address nothing else can be said about the listener; the problem is known already.
        let (bind, bind_place) = answers.bind(Section::Listener, "bind")?;
        let is_named = matches!(answers.words(Section::Listener, "protocols"), Some((words, _)) if words.contains(&FRAMED));
        let place = framed::Place {
            section: Section::Listener,
            at: bind_place,
            is_udp: matches!(bind, Bind::Udp(_)),
            address: bind.addr().map_or_else(|| bind.to_string(), |addr| addr.to_string()),
            levels_max: self.levels_max,
            has_users: self.has_users,
            is_named,
        };
        let problems = &mut *self.problems;
        let mut fail = |at: &Place, reason| problems.push(Problem { place: at.clone(), reason });
        let framed = framed::read(answers, &place, &mut fail);
        let asks = framed.as_ref().and_then(|framed| framed.register.as_ref());
        let asks = asks.is_some_and(|register| register.secret.is_some() || register.user.is_some());
        self.address(bind, bind_place, answers, asks);
        let socket_mode = self.socket_mode(bind, answers);
        if answers.was_written(Section::Listener, "protocols")
            && answers.words(Section::Listener, "protocols").is_none()
        {
            return None;
        }
        let is_framed = is_named || answers.was_written(Section::Listener, "framing");
        let protocols = match is_framed {
            true => self.framed_protocols(bind, answers, asks),
            false => self.protocols(bind, answers),
        };
        if is_framed && framed.is_none() {
            return None;
        }
        let echo = answers.bool(Section::Listener, "echo");
        if let Some((true, place)) = echo
            && !protocols.is_some_and(|protocols| protocols.websocket)
        {
            let way_out = match bind {
                Bind::Tcp(_) | Bind::Unix(_) => "add \"websocket\" to `protocols` or leave `echo` out",
                Bind::Udp(_) => "leave it out",
            };
            self.fail(
                place,
                format!("`echo` answers on WebSocket only, and {bind} does not speak that; {way_out}"),
            );
        }
        let trusted_proxies = answers.networks(Section::Listener, "trusted_proxies");
        let trusted_proxies = trusted_proxies.unwrap_or(self.trusted_proxies);
        let allowed_origins = answers.origins(Section::Listener, "allowed_origins");
        let proxy_protocol = answers.bool(Section::Listener, "proxy_protocol");
        if let Some((true, place)) = proxy_protocol {
            let why = match bind {
                Bind::Udp(_) => Some("the PROXY protocol is for TCP; leave it out"),
                Bind::Unix(_) => Some("a Unix socket has no addresses; leave it out"),
                Bind::Tcp(_) if trusted_proxies.is_empty() => {
                    Some("nobody is believed here; name the addresses of the proxies in `trusted_proxies`")
                }
                Bind::Tcp(_) => None,
            };
            if let Some(why) = why {
                self.fail(place, format!("`proxy_protocol` of {bind} is true, and {why}"));
            }
        }
        Some(Listener {
            bind: bind.clone(),
            socket_mode,
            tls: crate::tls::listener(bind, answers, self.tls, self.problems),
            proxy_protocol: proxy_protocol.is_some_and(|(on, _)| on),
            trusted_proxies: trusted_proxies.to_vec(),
            allowed_origins: allowed_origins.unwrap_or(self.allowed_origins).clone(),
            protocols: protocols?,
            allow_anonymous: !self.has_users || self.allows_anonymous(answers),
            echo: echo.is_some_and(|(echo, _)| echo),
            slow_reader: slow_reader(answers, Section::Listener, "slow_reader").unwrap_or_default(),
            connections_max: answers.number(Section::Listener, "connections_max").unwrap_or(0) as usize,
            framed: framed.map(Arc::new),
        })
    }

    /// `asks` is whether it has a way of its own to ask who somebody is.
    fn address(&mut self, bind: &'a Bind, place: &'a Place, answers: &Answers, asks: bool) {
        if let Some((_, other)) = self.seen.iter().find(|(other, _)| *other == bind && !bind.is_any_port()) {
            let reason = format!("{bind} is the address of another listener already, at {other}");
            self.fail(place, reason);
        } else if let Some((taken, other)) = self.seen.iter().find(|(other, _)| other.overlaps(bind)) {
            let reason = format!(
                "{bind} and {taken}, at {other}, cannot both be opened: one of them is every address of this machine; \
                 leave the other out, or give it another port"
            );
            self.fail(place, reason);
        }
        self.seen.push((bind, place));
        let own = answers.bool(Section::Listener, "allow_anonymous").map(|(value, _)| value);
        if !bind.is_loopback() && !asks && !self.has_users && !own.unwrap_or(self.allow_anonymous) {
            self.fail(
                place,
                format!(
                    "other machines can reach {bind}, and nobody would ask them who they are; use a loopback \
                     address such as 127.0.0.1, name a file of users in [auth], or, if anybody may connect, write \
                     `allow_anonymous = true` in this [[listener]]{}",
                    if own.is_none() { " or at the top level" } else { ", where it is false now" }
                ),
            );
        }
    }

    fn allows_anonymous(&self, answers: &Answers) -> bool {
        let own = answers.bool(Section::Listener, "allow_anonymous").map(|(value, _)| value);
        own.unwrap_or(self.allow_anonymous)
    }

    /// What is spoken there. `None` when that is nothing.
    fn protocols(&mut self, bind: &Bind, answers: &Answers) -> Option<Protocols> {
        let Some((words, place)) = answers.words(Section::Listener, "protocols") else {
            return Some(Protocols::usual(bind));
        };
        let possible: &[&str] = match bind {
            Bind::Tcp(_) | Bind::Unix(_) => &["mqtt", "http", "websocket", "json"],
            Bind::Udp(_) => &["json", "rooms", MQTT_SN],
        };
        let other_transport = if bind.is_stream() { "udp" } else { "tcp" };
        for word in words.iter().filter(|word| !possible.contains(*word)) {
            let reason = format!(
                "{bind} cannot carry \"{word}\"; give it a listener of its own whose `bind` begins with \
                 {other_transport}://"
            );
            self.fail(place, reason);
        }
        let on = |name| words.contains(&name);
        let protocols = Protocols {
            mqtt: on("mqtt"),
            http: on("http"),
            websocket: on("websocket"),
            json: on("json"),
            rooms: on("rooms"),
            mqtt_sn: on(MQTT_SN),
            framed: false,
        };
        if (protocols.json || protocols.rooms) && protocols.mqtt_sn && matches!(bind, Bind::Udp(_)) {
            let other = if protocols.json { "json" } else { "rooms" };
            let reason = format!(
                "{bind} cannot speak \"{other}\" and \"{MQTT_SN}\" both, since nothing tells their datagrams apart; give \
                 each a listener of its own"
            );
            self.fail(place, reason);
        }
        if protocols.mqtt_sn && self.has_users && !self.allows_anonymous(answers) {
            let reason = format!(
                "MQTT-SN has no passwords, so that nobody could connect to {bind}; write `allow_anonymous = true` in \
                 this [[listener]], or leave \"{MQTT_SN}\" out"
            );
            self.fail(place, reason);
        }
        (!protocols.is_empty()).then_some(protocols)
    }

    /// The permissions of a Unix socket's file.
    fn socket_mode(&mut self, bind: &Bind, answers: &'a Answers) -> u32 {
        let Some((text, place)) = answers.text(Section::Listener, "socket_mode") else { return SOCKET_MODE };
        if !matches!(bind, Bind::Unix(_)) {
            self.fail(place, format!("`socket_mode` is for Unix sockets, and {bind} is none; leave it out"));
        }
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => mode,
            _ => {
                let reason = format!(
                    "`socket_mode` is {text:?}; it must be the permissions of a file as three octal digits, such as \
                     \"660\" for owner and group"
                );
                self.fail(place, reason);
                SOCKET_MODE
            }
        }
    }

    /// A framed listener speaks nothing else.
    fn framed_protocols(&mut self, bind: &Bind, answers: &Answers, asks: bool) -> Option<Protocols> {
        if let Some((words, place)) = answers.words(Section::Listener, "protocols")
            && words != [FRAMED]
        {
            let reason = format!(
                "{bind} has a `framing`, and nothing tells frames from other protocols; leave `protocols` out, or give each a \
                 listener of its own"
            );
            self.fail(place, reason);
        }
        if let Some((words, place)) = answers.words(Section::Listener, "tls")
            && words == ["optional"]
        {
            let reason = format!(
                "{bind} has a `framing`, and a device may begin with any byte, so nothing tells TLS from frames; write `tls = \
                 \"required\"` or `tls = \"off\"`"
            );
            self.fail(place, reason);
        }
        if self.has_users && !asks && !self.allows_anonymous(answers) {
            let place = answers.place(Section::Listener, "bind").cloned();
            let reason = format!(
                "there are users, and nobody could say who it is at {bind}; write a `register` with a `secret`, or with groups \
                 `user` and `password`, or write `allow_anonymous = true` in this [[listener]]"
            );
            place.iter().for_each(|place| self.fail(place, reason.clone()));
        }
        Some(Protocols { framed: true, ..Protocols::NONE })
    }

    fn nowhere(&mut self, place: Option<&Place>) {
        if let Some(place) = place {
            let reason = "no listener is left to open, so nobody could connect; write a [[listener]], or leave \
                          the list out for the usual ones";
            self.fail(place, reason.into());
        }
    }

    fn fail(&mut self, place: &Place, reason: String) {
        self.problems.push(Problem { place: place.clone(), reason });
    }
}
