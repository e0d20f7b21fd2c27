//! What a person sees first: where the hub listens, and a line to try for each kind of client.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use trefoil_config::{Bind, Protocols};
use trefoil_server::Listening;

/// Writes one line for each listener, for people and scripts, and then what to try.
pub(crate) fn write(listening: &[Listening], out: &mut impl Write) -> io::Result<()> {
    for listener in listening {
        writeln!(out, "listening on {}  {}", listener.bind, listener.protocols)?;
    }
    let lines = lines_to_try(listening);
    if !lines.is_empty() {
        writeln!(out, "\nTo try it, in other terminals:")?;
    }
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    out.flush()
}

/// A line for each kind of client that the listeners can serve.
fn lines_to_try(listening: &[Listening]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((listener, at)) = find(listening, |l| is_tcp(&l.bind) && l.protocols.mqtt) {
        let user = if listener.allow_anonymous { "" } else { " -u NAME -P PASSWORD" };
        // It stays and shows what the other lines publish.
        lines.push(format!("mosquitto_sub -h {} -p {}{user} -v -t 'home/#'", at.ip(), at.port()));
    }
    if let Some(at) = first_open(listening, |bind, protocols| is_tcp(bind) && protocols.json) {
        lines.push(format!(
            r#"echo '{{"pub":"home/door","data":"open"}}' | nc -w 1 {} {}"#,
            at.ip(),
            at.port()
        ));
    }
    if let Some(at) = first_open(listening, |bind, protocols| !bind.is_stream() && protocols.json) {
        lines.push(format!(
            r#"echo '{{"pub":"home/lamp","data":{{"on":true}}}}' | nc -u -w 1 {} {}"#,
            at.ip(),
            at.port()
        ));
    }
    let unix = listening.iter().find_map(|l| match &l.bind {
        Bind::Unix(path) if l.allow_anonymous && l.protocols.json => Some(path),
        _ => None,
    });
    if let Some(path) = unix {
        lines.push(format!(r#"echo '{{"pub":"home/bell","data":1}}' | nc -U -w 1 {}"#, path.display()));
    }
    if let Some(at) = first(listening, |_, protocols| protocols.mqtt_sn) {
        lines.push(format!("trefoil pub --url mqtt-sn://{at} home/window closed"));
    }
    // A listener for nothing but the web is meant for browsers more than the port that speaks everything.
    let web = first(listening, |_, protocols| protocols.http && !protocols.mqtt)
        .or_else(|| first(listening, |_, protocols| protocols.http));
    if let Some(at) = web {
        lines.push(format!("http://{at}/   the console, in a browser"));
    }
    lines
}

fn first(listening: &[Listening], wanted: impl Fn(&Bind, &Protocols) -> bool) -> Option<SocketAddr> {
    find(listening, |l| wanted(&l.bind, &l.protocols)).map(|(_, at)| at)
}

/// The same among the listeners where nobody has to say who it is.
fn first_open(listening: &[Listening], wanted: impl Fn(&Bind, &Protocols) -> bool) -> Option<SocketAddr> {
    find(listening, |l| l.allow_anonymous && wanted(&l.bind, &l.protocols)).map(|(_, at)| at)
}

/// The first of them that has a port, and where a client finds it.
fn find(listening: &[Listening], wanted: impl Fn(&Listening) -> bool) -> Option<(&Listening, SocketAddr)> {
    listening.iter().filter(|l| wanted(l)).find_map(|l| Some((l, reachable(l.bind.addr()?))))
}

fn is_tcp(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp(_))
}

/// The address that a client on this machine can connect to: "every address" is none.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_config::Config;

    fn shown(listening: &[Listening]) -> String {
        let mut out = Vec::new();
        write(listening, &mut out).expect("a Vec takes everything");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn the_usual_listeners_are_shown_with_something_to_try_on_each() {
        let config = Config::default();
        let listening: Vec<_> = config
            .listeners
            .iter()
            .map(|l| Listening { bind: l.bind.clone(), protocols: l.protocols, allow_anonymous: true })
            .collect();
        assert_eq!(
            shown(&listening),
            "listening on tcp://127.0.0.1:1883  mqtt, http, websocket, json\n\
             listening on udp://127.0.0.1:1883  json, rooms\n\
             listening on udp://127.0.0.1:1884  mqtt-sn\n\
             listening on tcp://127.0.0.1:8080  http, websocket\n\n\
             To try it, in other terminals:\n  \
             mosquitto_sub -h 127.0.0.1 -p 1883 -v -t 'home/#'\n  \
             echo '{\"pub\":\"home/door\",\"data\":\"open\"}' | nc -w 1 127.0.0.1 1883\n  \
             echo '{\"pub\":\"home/lamp\",\"data\":{\"on\":true}}' | nc -u -w 1 127.0.0.1 1883\n  \
             trefoil pub --url mqtt-sn://127.0.0.1:1884 home/window closed\n  \
             http://127.0.0.1:8080/   the console, in a browser\n"
        );
    }

    #[test]
    fn nothing_is_offered_that_is_not_served() {
        let bind = Bind::Tcp("0.0.0.0:9000".parse().expect("an address"));
        let listener =
            Listening { bind, protocols: Protocols { json: true, ..Protocols::NONE }, allow_anonymous: true };
        assert_eq!(
            shown(&[listener]),
            "listening on tcp://0.0.0.0:9000  json\n\nTo try it, in other terminals:\n  \
             echo '{\"pub\":\"home/door\",\"data\":\"open\"}' | nc -w 1 127.0.0.1 9000\n"
        );
    }

    #[test]
    fn where_everybody_is_asked_nothing_is_offered_that_would_be_refused() {
        let config = Config::default();
        let listening: Vec<_> = config
            .listeners
            .iter()
            .map(|l| Listening { bind: l.bind.clone(), protocols: l.protocols, allow_anonymous: false })
            .collect();
        let shown = shown(&listening);
        assert!(shown.contains("mosquitto_sub -h 127.0.0.1 -p 1883 -u NAME -P PASSWORD -v"), "{shown}");
        assert!(shown.contains("the console") && !shown.contains("nc "), "{shown}");
    }
}
