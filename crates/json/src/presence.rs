//! Who is on a topic, and who comes and goes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::answer::push_ack_and_end;
use crate::field::Field;
use crate::members::{Members, read};
use crate::outgoing::push_id;
use crate::reader::{Outcome, Reader, bad, bad_value};
use crate::reply::{LIMITS, Reply};
use crate::request::Request;
use crate::write::{push_json, push_str, push_u64};

/// A client that is on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentClient<'a> {
    /// Its client id.
    pub client: Cow<'a, str>,
    /// Its connection, which no other had since the hub was started.
    pub connection: Cow<'a, str>,
    /// What it is, for instance `mqtt` or `websocket`.
    pub kind: Cow<'a, str>,
    /// Who it is, where the hub knows users.
    pub user: Option<Cow<'a, str>>,
    /// What it says of itself: JSON text.
    pub info: Option<Cow<'a, str>>,
}

/// Bytes that may stand behind the last client of a list.
const TAIL_BYTES: usize = 48;

/// Appends `{"presence":…,"count":…,"clients":[…],"ack":…}`: who is on a topic, and how many there are. Of the clients as
/// many stand there as fit into `bytes_max`; where those are not all, `partial` says so.
pub fn encode_presence<'a>(
    topic: &str,
    count: usize,
    clients: impl Iterator<Item = PresentClient<'a>>,
    id: Option<u64>,
    bytes_max: usize,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_start(topic, count, out);
    out.extend_from_slice(b",\"clients\":[");
    let mut listed = 0;
    for client in clients {
        let before = out.len();
        if listed > 0 {
            out.push(b',');
        }
        out.push(b'{');
        client.encode(out);
        out.push(b'}');
        if out.len() - start + TAIL_BYTES > bytes_max {
            out.truncate(before);
            break;
        }
        listed += 1;
    }
    out.push(b']');
    if listed < count {
        out.extend_from_slice(b",\"partial\":true");
    }
    push_ack_and_end(id, out);
}

/// Appends `{"presence":…,"count":…}`: too many are on a topic to be listed.
pub fn encode_presence_count(topic: &str, count: usize, out: &mut Vec<u8>) {
    push_start(topic, count, out);
    out.push(b'}');
}

/// Appends `{"join":…,"client":…,…,"count":…}`: a client has come.
pub fn encode_join(topic: &str, client: &PresentClient<'_>, count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"join\":");
    push_str(topic, out);
    out.push(b',');
    client.encode(out);
    push_count(count, out);
    out.push(b'}');
}

/// Appends `{"leave":…,"client":…,"connection":…,"count":…}`: a client has gone.
pub fn encode_leave(topic: &str, client: &str, connection: &str, count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"leave\":");
    push_str(topic, out);
    out.push(b',');
    push_client(client, connection, out);
    push_count(count, out);
    out.push(b'}');
}

/// Appends `{"presence":…,"id":…}`, with which a client asks.
pub fn encode_presence_question(topic: &str, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"presence\":");
    push_str(topic, out);
    push_id(id, out);
    out.push(b'}');
}

fn push_start(topic: &str, count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"presence\":");
    push_str(topic, out);
    push_count(count, out);
}

fn push_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"count\":");
    push_u64(count as u64, out);
}

fn push_client(client: &str, connection: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"client\":");
    push_str(client, out);
    out.extend_from_slice(b",\"connection\":");
    push_str(connection, out);
}

impl PresentClient<'_> {
    /// Appends the members, without what stands around them.
    fn encode(&self, out: &mut Vec<u8>) {
        push_client(&self.client, &self.connection, out);
        out.extend_from_slice(b",\"kind\":");
        push_str(&self.kind, out);
        if let Some(user) = &self.user {
            out.extend_from_slice(b",\"user\":");
            push_str(user, out);
        }
        if let Some(info) = &self.info {
            out.extend_from_slice(b",\"info\":");
            push_json(info, out);
        }
    }
}

impl<'a> Reader<'_, 'a> {
    /// A question who is on a topic.
    pub(crate) fn presence_question(&self) -> Outcome<Request<'a>> {
        let topic = self.topic(Field::Presence)?.unwrap_or_default();
        Ok(Request::Presence { topic, id: self.id()? })
    }

    /// What the hub says of who is on a topic, if it is that.
    pub(crate) fn presence(&self, ack: Option<u64>) -> Outcome<Option<Reply<'a>>> {
        if let Some(topic) = self.topic(Field::Presence)? {
            let clients = self.members.get(Field::Clients).map(|json| self.present_clients(json));
            return Ok(Some(Reply::Presence {
                topic,
                count: self.count()?,
                clients: clients.transpose()?,
                partial: self.boolean(Field::Partial, false)?,
                ack,
            }));
        }
        if let Some(topic) = self.topic(Field::Join)? {
            return Ok(Some(Reply::Join { topic, client: self.present_client()?, count: self.count()? }));
        }
        let Some(topic) = self.topic(Field::Leave)? else { return Ok(None) };
        let (client, connection) = (self.text(Field::Client)?, self.text(Field::Connection)?);
        Ok(Some(Reply::Leave { topic, client, connection, count: self.count()? }))
    }

    fn present_clients(&self, json: &'a str) -> Outcome<Vec<PresentClient<'a>>> {
        let wrong = || bad_value(Field::Clients, json, "an array of objects");
        let list: Vec<&'a RawValue> = serde_json::from_str(json).map_err(|_| wrong())?;
        let one = |raw: &'a RawValue| {
            let mut members = Members::default();
            read(raw.get().as_bytes(), &mut members).map_err(|_| wrong())?;
            Reader { members: &members, limits: LIMITS, behind: None }.present_client()
        };
        list.into_iter().map(one).collect()
    }

    fn present_client(&self) -> Outcome<PresentClient<'a>> {
        Ok(PresentClient {
            client: self.text(Field::Client)?,
            connection: self.text(Field::Connection)?,
            kind: self.text(Field::Kind)?,
            user: self.plain_string(Field::User)?,
            info: self.json(Field::Info)?.map(Cow::Borrowed),
        })
    }

    fn text(&self, field: Field) -> Outcome<Cow<'a, str>> {
        self.plain_string(field)?.ok_or_else(|| bad(field, format!("{} is missing", field.name())))
    }

    fn count(&self) -> Outcome<u64> {
        let missing = || bad(Field::Count, "count is missing".to_owned());
        self.unsigned(Field::Count, u64::MAX)?.ok_or_else(missing)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Limits, parse, parse_reply};

    fn ann() -> PresentClient<'static> {
        PresentClient {
            client: "ann-laptop".into(),
            connection: "2-4f1c".into(),
            kind: "websocket".into(),
            user: Some("ann".into()),
            info: Some("{\"name\":\"Ann\"}".into()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        encode_presence("a/\"b", 1, [ann()].into_iter(), Some(3), usize::MAX, &mut out);
        let (topic, clients) = ("a/\"b".into(), Some(vec![ann()]));
        let reply = Reply::Presence { topic, count: 1, clients, partial: false, ack: Some(3) };
        assert_eq!(parse_reply(&out).unwrap(), reply);
        out.clear();
        encode_presence_count("t", 1234, &mut out);
        let reply =
            Reply::Presence { topic: "t".into(), count: 1234, clients: None, partial: false, ack: None };
        assert_eq!(parse_reply(&out).unwrap(), reply);
        out.clear();
        encode_join("t", &ann(), 7, &mut out);
        assert_eq!(parse_reply(&out).unwrap(), Reply::Join { topic: "t".into(), client: ann(), count: 7 });
        out.clear();
        encode_leave("t", "bob", "0-1", 6, &mut out);
        let (client, connection) = ("bob".into(), "0-1".into());
        assert_eq!(
            parse_reply(&out).unwrap(),
            Reply::Leave { topic: "t".into(), client, connection, count: 6 }
        );
        out.clear();
        encode_presence_question("t", Some(9), &mut out);
        let question = Request::Presence { topic: "t".into(), id: Some(9) };
        assert_eq!(parse(&out, Limits::default()).unwrap(), question);
    }

    #[test]
    fn a_list_is_cut_where_it_does_not_fit() {
        for bytes_max in (0..1500).step_by(7) {
            let mut out = b"before".to_vec();
            encode_presence("t", 9, (0..9).map(|_| ann()), Some(u64::MAX), bytes_max, &mut out);
            let Ok(Reply::Presence { clients: Some(clients), partial, count: 9, .. }) =
                parse_reply(&out["before".len()..])
            else {
                panic!("it is a list");
            };
            assert_eq!(partial, clients.len() < 9);
            assert!(out.len() - "before".len() <= bytes_max.max(100), "{} > {bytes_max}", out.len());
        }
    }

    #[test]
    fn what_is_no_presence_is_refused() {
        for wrong in [
            r#"{"presence":"t"}"#,
            r#"{"presence":"t","count":1,"clients":{}}"#,
            r#"{"presence":"t","count":1,"clients":[1]}"#,
            r#"{"presence":"t","count":1,"clients":[{"client":"a"}]}"#,
            r#"{"join":"t","count":1}"#,
            r#"{"leave":"t","count":1,"client":"a"}"#,
        ] {
            assert!(parse_reply(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
