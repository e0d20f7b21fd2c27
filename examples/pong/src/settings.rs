//! What the hub is told. The README shows the same lines.

/// The room in which is played.
pub(crate) const ROOM: &str = "pong/table";

/// Copies of all datagrams go to a topic, so that who has no UDP can watch.
pub(crate) const TEXT: &str = r#"
[[room]]
filter = "pong/#"
publish = "{room}/{peer}"
"#;
