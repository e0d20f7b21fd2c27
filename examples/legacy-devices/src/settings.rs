//! What the hub is told of the devices. The README shows the same lines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where pumps connect to, unless that is taken.
pub(crate) const PUMPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5020);
/// Where ferries do: the port of NMEA 0183 over TCP.
pub(crate) const FERRIES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10110);

/// What a pump has to know.
pub(crate) const SECRET: &str = "clover";

/// The listeners, on their usual ports or on ones that the system picks, and the device to connect to.
pub(crate) fn text(is_usual: bool, gauge: SocketAddr) -> String {
    let [pumps, ferries] =
        [PUMPS, FERRIES].map(|usual| if is_usual { usual } else { SocketAddr::new(usual.ip(), 0) });
    format!(
        r#"
[[listener]]
name = "pumps"
bind = "{pumps}"
framing = "length"
length = "u16be"
register = '^PUMP (?<client_id>[a-z0-9-]+) (?<secret>\w+)$'
secret = "{SECRET}"
publish = "site/{{client_id}}/raw"
subscribe = ["site/{{client_id}}/command"]
status = "site/{{client_id}}/status"

[[listener]]
name = "ferries"
bind = "{ferries}"
framing = "line"
starts_with = "$"
register = '^\$PCLV,ID,(?<client_id>[a-z0-9-]+)\*[0-9A-F]{{2}}$'
pattern = '^\$(?:G[PN]|PCLV,)(?<kind>RMC|ACK)[,*]'
publish = "site/{{client_id}}/nmea/{{kind}}"
subscribe = ["site/{{client_id}}/command"]
status = "site/{{client_id}}/status"

[[dial]]
name = "gauge"
address = "{gauge}"
retry_s_max = 2
client_id = "gauge"
framing = "fixed"
frame_bytes = 8
starts_with = "\\xAA\\x55"
publish = "site/{{client_id}}/raw"
subscribe = ["site/{{client_id}}/command"]
status = "site/{{client_id}}/status"

[[history]]
filter = "site/+/values"
messages = 300
"#
    )
}
