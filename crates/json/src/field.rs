//! The names of all members, in requests and in what the hub sends.

/// Declares the fields once, with their names in both directions.
macro_rules! fields {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// A member that the protocol knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Field { $($field),* }

        impl Field {
            pub(crate) const ALL: &'static [Field] = &[$(Field::$field),*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Field::$field => $name),* }
            }

            pub(crate) fn from_name(name: &str) -> Option<Field> {
                match name { $($name => Some(Field::$field),)* _ => None }
            }
        }
    };
}

fields! {
    Pub = "pub",
    Sub = "sub",
    Unsub = "unsub",
    Ping = "ping",
    Ack = "ack",
    Data = "data",
    DataBase64 = "data_base64",
    Qos = "qos",
    Retain = "retain",
    Id = "id",
    ContentType = "content_type",
    ResponseTopic = "response_topic",
    CorrelationBase64 = "correlation_base64",
    Expiry = "expiry",
    UserProperties = "user_properties",
    Retained = "retained",
    NoLocal = "no_local",
    SlowReader = "slow_reader",
    Topic = "topic",
    Dup = "dup",
    Pong = "pong",
    Error = "error",
    Code = "code",
    Culprit = "field",
    Reason = "reason",
    Auth = "auth",
    User = "user",
    Password = "password",
    Since = "since",
    History = "history",
    Epoch = "epoch",
    Offset = "offset",
    Time = "time",
    Topics = "topics",
    Gap = "gap",
    Hello = "hello",
    Client = "client",
    Info = "info",
    Batch = "batch",
    Binary = "binary",
    Version = "version",
    Connection = "connection",
    Limits = "limits",
    RequestBytesMax = "request_bytes_max",
    Req = "req",
    Res = "res",
    TimeoutS = "timeout_s",
    Slow = "slow",
    Presence = "presence",
    Join = "join",
    Leave = "leave",
    Count = "count",
    Clients = "clients",
    Partial = "partial",
    Kind = "kind",
    Connect = "connect",
    Listen = "listen",
    Accept = "accept",
    Refuse = "refuse",
    Stream = "stream",
    Call = "call",
    Token = "token",
    From = "from",
    Peer = "peer",
    WaitS = "wait_s",
    Exclusive = "exclusive",
    Once = "once",
    End = "end",
    Room = "room",
    ExpiresS = "expires_s",
    SessionS = "session_s",
    Resume = "resume",
    Resumed = "resumed",
    HeartbeatS = "heartbeat_s",
    Help = "help",
}

/// A set of fields, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet([u64; WORDS]);

/// Words rather than one number of 128 bits, which takes several instructions to shift: each member of each text is put into a set.
const WORDS: usize = Field::ALL.len().div_ceil(u64::BITS as usize);

impl FieldSet {
    pub(crate) const fn of(fields: &[Field]) -> FieldSet {
        let mut set = FieldSet([0; WORDS]);
        let mut index = 0;
        while index < fields.len() {
            set = set.with(fields[index]);
            index += 1;
        }
        set
    }

    pub(crate) const fn contains(self, field: Field) -> bool {
        self.0[FieldSet::word(field)] & FieldSet::bit(field) != 0
    }

    pub(crate) const fn insert(&mut self, field: Field) {
        self.0[FieldSet::word(field)] |= FieldSet::bit(field);
    }

    fn remove(&mut self, field: Field) {
        self.0[FieldSet::word(field)] &= !FieldSet::bit(field);
    }

    pub(crate) fn intersection(self, other: FieldSet) -> FieldSet {
        FieldSet(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    pub(crate) const fn with(mut self, field: Field) -> FieldSet {
        self.insert(field);
        self
    }

    pub(crate) const fn without(mut self, other: FieldSet) -> FieldSet {
        let mut word = 0;
        while word < WORDS {
            self.0[word] &= !other.0[word];
            word += 1;
        }
        self
    }

    /// The first in the order of their declaration.
    pub(crate) fn first(self) -> Option<Field> {
        let word = self.0.iter().position(|&bits| bits != 0)?;
        Some(Field::ALL[word * u64::BITS as usize + self.0[word].trailing_zeros() as usize])
    }

    /// The fields in the order of their declaration.
    pub(crate) fn iter(mut self) -> impl Iterator<Item = Field> {
        std::iter::from_fn(move || {
            let field = self.first()?;
            self.remove(field);
            Some(field)
        })
    }

    const fn word(field: Field) -> usize {
        field as usize / u64::BITS as usize
    }

    const fn bit(field: Field) -> u64 {
        1 << (field as u32 % u64::BITS)
    }
}

/// The field out of `candidates` that someone who wrote `name` most likely meant: a few letters away from it, or
/// one that is the beginning of the other (`publish`, `sub`, `data_base`).
pub(crate) fn nearest(name: &str, candidates: FieldSet) -> Option<Field> {
    let name = name.to_ascii_lowercase();
    let close = candidates.iter().filter_map(|field| {
        let known = field.name();
        let distance = strsim::osa_distance(&name, known);
        let alike = distance <= known.len().max(name.len()) / 3;
        // A single letter is the beginning of too much to be a hint.
        let beginning = name.len() > 1 && (known.starts_with(&name) || name.starts_with(known));
        (alike || beginning).then_some((distance, field))
    });
    close.min_by_key(|(distance, _)| *distance).map(|(_, field)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(*field));
        }
        assert_eq!(Field::from_name("Pub"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = FieldSet::of(&[Field::Pub, Field::Reason]);
        set.insert(Field::Qos);
        assert!(set.contains(Field::Reason) && !set.contains(Field::Sub));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Field::Pub, Field::Qos, Field::Reason]);
        assert_eq!(set.without(FieldSet::of(&[Field::Qos])), FieldSet::of(&[Field::Reason, Field::Pub]));
        assert_eq!(set.intersection(FieldSet::of(&[Field::Qos, Field::Id])), FieldSet::of(&[Field::Qos]));
    }

    #[test]
    fn the_nearest_name_is_what_was_probably_meant() {
        let all = FieldSet::of(Field::ALL);
        for (written, meant) in [
            ("qso", Some(Field::Qos)),
            ("QoS", Some(Field::Qos)),
            ("publish", Some(Field::Pub)),
            ("unsubscribe", Some(Field::Unsub)),
            ("dat", Some(Field::Data)),
            ("database64", Some(Field::DataBase64)),
            ("contentType", Some(Field::ContentType)),
            ("userProperties", Some(Field::UserProperties)),
            ("retian", Some(Field::Retain)),
            ("payload", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, all), meant, "{written}");
        }
    }
}
