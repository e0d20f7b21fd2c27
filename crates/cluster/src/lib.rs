//! Nodes over NATS: topics as NATS subjects and back.
//!
//! Nodes of a cluster meet on a NATS server, where `*`, `>`, `.` and spaces mean something else than in MQTT. A
//! [`Namespace`] (the first token of all subjects of one cluster) turns topics and filters into subjects and back,
//! so that **a NATS server matches exactly as MQTT does**: a filter's subject matches a topic's subject if and only if
//! the filter matches the topic. Each topic, each filter and each pair of a [`NodeName`] and a filter has exactly one
//! subject, and comes back out of it unchanged.
//!
//! | | subject |
//! | --- | --- |
//! | topic `home/kitchen` | `trefoil.t.home.kitchen.=` |
//! | topic `$SYS/load` | `trefoil.s.=24SYS.load.=` |
//! | filter `home/+/#` | `trefoil.t.home.*.>` |
//! | node `a` wants filter `home/#` | `trefoil.i.a.home.=h` |
//!
//! - A level is a token. What is not a letter, a digit, `-` or `_` becomes `=` and two hexadecimal digits for each byte
//!   (so the subjects are also valid keys of a NATS KV bucket), and an empty level `=e`.
//! - Every topic ends in the token `=`. MQTT's `home/#` also matches `home` itself, and NATS' `home.>` would not;
//!   with the end it does.
//! - Topics that begin with `$` stand below another token than the others, since a wildcard in the first level must not
//!   match them [MQTT-4.7.2-1].
//! - An interest is a statement about a filter and no subscription: its wildcards are escaped too (`=p`, `=h`).
//!
//! This is the part of a cluster that needs no network. What comes later and builds on it: live messages from node to
//! node by interest, a few sharded JetStream streams for what must not be lost, and a KV bucket that says which node
//! owns which session.
//!
//! ```
//! use trefoil_cluster::{Namespace, NodeName};
//!
//! let names = Namespace::new("trefoil")?;
//! let subject = names.topic_subject("home/living room/21.5 °C")?;
//! assert_eq!(subject, "trefoil.t.home.living=20room.21=2E5=20=C2=B0C.=");
//! assert_eq!(names.topic_of(&subject).as_deref(), Some("home/living room/21.5 °C"));
//! assert_eq!(names.filter_subject("home/+/#")?, "trefoil.t.home.*.>");
//!
//! let node = NodeName::new("berlin-1")?;
//! let subject = names.interest_subject(&node, "home/#")?;
//! assert_eq!(subject, "trefoil.i.berlin-1.home.=h");
//! assert_eq!(names.interest_of(&subject), Some((node, "home/#".to_owned())));
//! # Ok::<(), trefoil_cluster::NameError>(())
//! ```

mod escape;
mod names;

pub use names::{NAME_BYTES_MAX, NameError, Namespace, NodeName, SUBJECT_BYTES_MAX};
