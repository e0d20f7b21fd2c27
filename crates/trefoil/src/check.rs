//! `trefoil check`: whether the hub would start with a configuration, without starting it.

use crate::arguments::Check;
use crate::failure::Failure;
use crate::settings::Settings;
use std::io::{self, Write};

pub(crate) fn run(arguments: &Check) -> Result<(), Failure> {
    let settings = Settings::read(arguments.file.as_deref())?;
    let users = settings.config.auth.users.as_deref().map(trefoil_server::check_users);
    let users = users.transpose().map_err(Failure::usage)?;
    trefoil_server::check_certificates(&settings.config).map_err(Failure::usage)?;
    for warning in &settings.config.warnings {
        eprintln!("warning: {warning}");
    }
    report(&settings, users, &mut io::stdout().lock())
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

fn report(settings: &Settings, users: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    match &settings.file {
        Some(path) => writeln!(out, "{} is fine: the hub would listen on", path.display())?,
        None => writeln!(
            out,
            "There is no trefoil.toml here: with its built-in settings the hub would listen on"
        )?,
    }
    for listener in &settings.config.listeners {
        let echo = if listener.echo { ", echo" } else { "" };
        let anonymous = if users.is_some() && listener.allow_anonymous { ", anonymous" } else { "" };
        let tls = match &listener.tls {
            Some(tls) if tls.is_required => ", TLS only",
            Some(_) => ", TLS",
            None => "",
        };
        writeln!(out, "  {}  {}{echo}{anonymous}{tls}", listener.bind, listener.protocols)?;
    }
    if !settings.config.dial.is_empty() {
        writeln!(out, "and connect to")?;
    }
    for dial in &settings.config.dial {
        let name = if dial.framed.name == dial.address { "" } else { &dial.framed.name };
        let space = if name.is_empty() { "" } else { "  " };
        writeln!(out, "  {}{space}{name}", dial.address)?;
    }
    if let Some(count) = users {
        writeln!(out, "and would know {count} users")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use trefoil_config::Config;

    #[test]
    fn the_report_says_what_would_be_opened() {
        let mut config = Config::default();
        config.listeners.truncate(2);
        config.listeners[0].echo = true;
        let text = "[[dial]]\naddress = 'plc:1'\nframing = 'line'\npublish = 'a'\n\
                    [[dial]]\nname = 'gauge'\naddress = 'shore:2'\nframing = 'line'\npublish = 'b'\n";
        let dialling = trefoil_config::load(Some((Path::new("t.toml"), text)), &mut std::iter::empty());
        config.dial = dialling.expect("it is right").dial;
        let mut out = Vec::new();
        report(&Settings { config, file: Some("hub.toml".into()) }, Some(2), &mut out)
            .expect("a Vec takes everything");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "hub.toml is fine: the hub would listen on\n  \
             tcp://127.0.0.1:1883  mqtt, http, websocket, json, echo, anonymous\n  \
             udp://127.0.0.1:1883  json, rooms, anonymous\nand connect to\n  plc:1\n  shore:2  gauge\nand would know 2 users\n"
        );
    }
}
