//! The tables of statements.

/// Whom a statement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binds {
    Server,
    Client,
    Both,
}

impl Binds {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

/// One normative statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// `MQTT-3.1.2-1`
    pub(super) id: String,
    /// `None` as long as nobody has looked at it.
    pub(super) binds: Option<Binds>,
    /// What it asks for, in our words.
    pub(super) says: String,
    /// What the hub does when a client breaks it; empty when there is nothing to break.
    pub(super) defence: String,
}

impl Statement {
    /// `3.1` of `MQTT-3.1.2-1`: what the table is divided by. Chapters without sections of packets are not divided.
    pub(super) fn chapter(&self) -> &str {
        let number = self.id.trim_start_matches("MQTT-");
        let dots = if number.starts_with('3') { 2 } else { 1 };
        number.match_indices(['.', '-']).nth(dots - 1).map_or(number, |(at, _)| &number[..at])
    }
}

/// The statements of a specification in its order.
pub(super) type Table = Vec<Statement>;

/// Reads a table and puts it in the order of the specification.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let entries: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut table =
        entries.into_iter().map(|(id, entry)| statement(id, &entry)).collect::<Result<Table, _>>()?;
    table.sort_by_key(|statement| numbers(&statement.id));
    Ok(table)
}

fn statement(id: String, entry: &toml::Value) -> Result<Statement, String> {
    let entry = entry.as_table().ok_or(format!("`{id}` is no table"))?;
    let mut found = Statement { id, binds: None, says: String::new(), defence: String::new() };
    for (key, value) in entry {
        let text = value.as_str().ok_or(format!("{}: `{key}` is no string", found.id))?;
        match key.as_str() {
            "binds" => {
                found.binds = match text {
                    "server" => Some(Binds::Server),
                    "client" => Some(Binds::Client),
                    "both" => Some(Binds::Both),
                    "" => None,
                    other => return Err(format!("{}: nobody is called `{other}`", found.id)),
                }
            }
            "says" => found.says = text.into(),
            "defence" => found.defence = text.into(),
            other => return Err(format!("{}: there is no key `{other}`", found.id)),
        }
    }
    Ok(found)
}

/// The numbers in an identifier, which are what it is sorted by.
fn numbers(id: &str) -> Vec<u32> {
    id.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_the_order_of_the_specification() {
        let text = "[\"MQTT-3.10.1-1\"]\nbinds = \"client\"\nsays = \"a\"\ndefence = \"b\"\n\
                    [\"MQTT-3.1.2-10\"]\nbinds = \"server\"\n[\"MQTT-3.1.2-9\"]\nbinds = \"\"\n";
        let table = parse(text).expect("a table");
        let ids: Vec<&str> = table.iter().map(|statement| statement.id.as_str()).collect();
        assert_eq!(ids, ["MQTT-3.1.2-9", "MQTT-3.1.2-10", "MQTT-3.10.1-1"]);
        assert_eq!((table[0].binds, table[1].binds), (None, Some(Binds::Server)));
        assert_eq!((table[2].says.as_str(), table[2].defence.as_str()), ("a", "b"));
    }

    #[test]
    fn chapters_are_packets_or_whole() {
        let chapters = ["MQTT-3.1.2-10", "MQTT-3.15.0-1", "MQTT-4.12.0-1", "MQTT-4.2-1", "MQTT-1.5.4-1"];
        let expected = ["3.1", "3.15", "4", "4", "1"];
        for (id, chapter) in chapters.into_iter().zip(expected) {
            let statement =
                Statement { id: id.into(), binds: None, says: String::new(), defence: String::new() };
            assert_eq!(statement.chapter(), chapter, "{id}");
        }
    }

    #[test]
    fn mistakes_in_a_table_are_named() {
        for (text, word) in [
            ("[\"MQTT-1.1.1-1\"]\nbind = \"server\"", "`bind`"),
            ("[\"MQTT-1.1.1-1\"]\nbinds = \"nobody\"", "`nobody`"),
            ("[\"MQTT-1.1.1-1\"]\nsays = 3", "`says`"),
            ("[\"MQTT-1.1.1-1\"]\n[\"MQTT-1.1.1-1\"]", "duplicate"),
        ] {
            assert!(parse(text).is_err_and(|reason| reason.contains(word)), "{text}");
        }
    }
}
