//! Help for who types by hand: one table feeds the screen of text and the answers in JSON.

use std::borrow::Cow;

use crate::answer::push_ack_and_end;
use crate::error::{Code, RequestError};
use crate::field::Field;
use crate::reader::{Outcome, Reader, bad_value};
use crate::request::Request;
use crate::write::push_str;

/// What is said of one operation.
struct Operation {
    name: &'static str,
    /// What it does, in a line.
    text: &'static str,
    /// Its fields, itself among them, each with what it is.
    fields: &'static [(&'static str, &'static str)],
    /// Requests that may be sent as they are.
    examples: &'static [&'static str],
}

const ID: (&str, &str) = ("id", "a whole number; the answer has it as ack");
const DATA: (&str, &str) = ("data", "the payload, any JSON");
const DATA_BASE64: (&str, &str) = ("data_base64", "the payload as base64, in place of data");
const QOS: (&str, &str) = ("qos", "0 or 1; 1 needs an id");
const CONTENT_TYPE: (&str, &str) = ("content_type", "what the payload is, for instance text/csv");
const EXPIRY: (&str, &str) = ("expiry", "for how many seconds the message is worth delivering");
const USER_PROPERTIES: (&str, &str) = ("user_properties", "pairs of strings");

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "sub",
        text: "hear what is published; + stands for one level of a topic, # for all that follow",
        fields: &[
            ("sub", "a topic filter, or an array of them"),
            ("qos", "the highest QoS wanted, 0 or 1; what comes at 1 is answered with ack"),
            ("retained", "false: without the messages that the topics have kept"),
            ("no_local", "true: without your own messages"),
            ("slow_reader", "drop_newest, drop_oldest, latest_per_topic or disconnect"),
            ("slow", "the same as slow_reader"),
            ("since", "where to go on in the history of the topics"),
            ("history", "so many of the last messages of each topic first"),
            ("presence", "true: tell who is on the topic, who comes and who goes"),
            ID,
        ],
        examples: &[r##"{"sub":"kitchen/#"}"##, r##"{"sub":["hall/+/lamp","kitchen/oven"],"qos":1,"id":1}"##],
    },
    Operation {
        name: "pub",
        text: "publish a message",
        fields: &[
            ("pub", "the topic, without wildcards"),
            DATA,
            DATA_BASE64,
            QOS,
            ("retain", "true: the topic keeps it for those who subscribe later"),
            ID,
            CONTENT_TYPE,
            ("response_topic", "where an answer is expected"),
            ("correlation_base64", "bytes by which you know the answer"),
            EXPIRY,
            USER_PROPERTIES,
        ],
        examples: &[
            r#"{"pub":"kitchen/oven","data":{"celsius":180}}"#,
            r#"{"pub":"kitchen/oven","data":"hot","qos":1,"retain":true,"id":2}"#,
        ],
    },
    Operation {
        name: "unsub",
        text: "hear it no more",
        fields: &[("unsub", "a topic filter, or an array of them"), ID],
        examples: &[r##"{"unsub":"kitchen/#","id":3}"##],
    },
    Operation {
        name: "req",
        text: "ask whoever is subscribed to a topic, and wait for the answer",
        fields: &[
            ("req", "the topic, without wildcards"),
            DATA,
            DATA_BASE64,
            ("qos", "0 or 1"),
            ("id", "a whole number; the answer has it as res"),
            ("timeout_s", "for how many seconds to wait, 1 to 300"),
            CONTENT_TYPE,
            EXPIRY,
            USER_PROPERTIES,
        ],
        examples: &[r#"{"req":"svc/add","data":[1,2],"timeout_s":5,"id":4}"#],
    },
    Operation {
        name: "presence",
        text: "ask who is on a topic",
        fields: &[("presence", "the topic, without wildcards"), ID],
        examples: &[r#"{"presence":"room/7","id":5}"#],
    },
    Operation {
        name: "hello",
        text: "say who you are among others; before anything but auth",
        fields: &[
            (
                "hello",
                "an object with any of client (your client id), info (JSON for others to see), batch, binary, session_s \
                 (for how long your session is kept when you are away), resume (its token), heartbeat_s",
            ),
            ID,
        ],
        examples: &[r#"{"hello":{"client":"ann-laptop","session_s":3600,"heartbeat_s":30},"id":6}"#],
    },
    Operation {
        name: "auth",
        text: "prove who you are, where the hub knows users; before anything but hello",
        fields: &[("auth", "an object with user and password"), ID],
        examples: &[r#"{"auth":{"user":"ann","password":"secret"},"id":7}"#],
    },
    Operation {
        name: "ping",
        text: "have the hub repeat something",
        fields: &[("ping", "any JSON")],
        examples: &[r#"{"ping":"anybody there?"}"#],
    },
    Operation {
        name: "pong",
        text: "answer a ping of the hub, which comes if hello asked for heartbeats",
        fields: &[("pong", "any JSON")],
        examples: &[r#"{"pong":null}"#],
    },
    Operation {
        name: "ack",
        text: "acknowledge a message that came at QoS 1",
        fields: &[("ack", "the id that came with it")],
        examples: &[r#"{"ack":1}"#],
    },
    Operation {
        name: "room",
        text: "get a token that lets into a datagram channel",
        fields: &[("room", "the name of the room"), ID],
        examples: &[r#"{"room":"pong/7","id":8}"#],
    },
    Operation {
        name: "connect",
        text: "become one end of a stream of bytes; somebody has to listen on the name",
        fields: &[
            ("connect", "the name"),
            ("wait_s", "for how many seconds to wait for somebody to listen, 1 to 3600"),
            ID,
        ],
        examples: &[r#"{"connect":"shed/ssh","wait_s":60,"id":9}"#],
    },
    Operation {
        name: "listen",
        text: "be told of callers, or become the stream of the first",
        fields: &[
            ("listen", "the name"),
            ("exclusive", "true: nobody else may listen on it"),
            ("once", "true: this connection becomes the stream of the first caller"),
            ID,
        ],
        examples: &[r#"{"listen":"shed/ssh","once":true,"id":10}"#],
    },
    Operation {
        name: "accept",
        text: "become the stream of a caller, on a connection of its own",
        fields: &[("accept", "the token of the call"), ID],
        examples: &[r#"{"accept":"5f0c6bd4a5b1f8e3c2d7964e80a1b3f2","id":11}"#],
    },
    Operation {
        name: "refuse",
        text: "turn a caller away",
        fields: &[("refuse", "the token of the call"), ("reason", "what the caller is told"), ID],
        examples: &[r#"{"refuse":"5f0c6bd4a5b1f8e3c2d7964e80a1b3f2","reason":"not now","id":12}"#],
    },
    Operation {
        name: "help",
        text: "this; over TCP also as a line: help, help sub, ?",
        fields: &[("help", "true, or the name of an operation"), ID],
        examples: &[r#"{"help":true}"#, r#"{"help":"sub","id":13}"#],
    },
];

fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

/// Appends a screen of text: what there is, or what is said of one operation. Each line begins with `# ` and ends with a
/// line feed, so that programs can pass over it. Of a name that is none of an operation's, what there is.
pub fn help_text(name: Option<&str>, out: &mut Vec<u8>) {
    let mut line = |text: &str| {
        out.extend_from_slice(b"# ");
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    };
    if let Some(operation) = name.and_then(operation) {
        line(&format!("{}: {}", operation.name, operation.text));
        for (name, text) in operation.fields {
            line(&format!("  {name:<18} {text}"));
        }
        line("for instance");
        operation.examples.iter().for_each(|example| line(&format!("  {example}")));
        return;
    }
    line(
        "This is Trefoil. Send one JSON object in each line; what comes is one in each line, too. Paste, for instance:",
    );
    for example in OPERATIONS.iter().take(3).flat_map(|operation| operation.examples) {
        line(&format!("  {example}"));
    }
    line("All operations:");
    for operation in OPERATIONS {
        line(&format!("  {:<9} {}", operation.name, operation.text));
    }
    line("help sub says more of sub, and so for each; quit, or the end of the input, ends the connection.");
    line("The whole protocol: docs/json-protocol.md");
}

/// Appends `{"help":{…},"ack":id}`: what there is, or what is said of one operation.
pub fn encode_help(name: Option<&str>, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"help\":{");
    match name.and_then(operation) {
        Some(operation) => {
            push_member("operation", operation.name, out);
            out.push(b',');
            push_member("text", operation.text, out);
            out.extend_from_slice(b",\"fields\":{");
            push_members(operation.fields.iter().copied(), out);
            out.extend_from_slice(b"},\"examples\":[");
            for (at, example) in operation.examples.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(example.as_bytes());
            }
            out.extend_from_slice(b"]}");
        }
        None => {
            out.extend_from_slice(b"\"operations\":{");
            push_members(OPERATIONS.iter().map(|operation| (operation.name, operation.text)), out);
            out.extend_from_slice(b"}}");
        }
    }
    push_ack_and_end(id, out);
}

/// Appends `{"help":…}`, the client's: of an operation, or of all.
pub fn encode_help_question(name: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"help\":");
    match name {
        Some(name) => push_str(name, out),
        None => out.extend_from_slice(b"true"),
    }
    out.push(b'}');
}

fn push_members(members: impl Iterator<Item = (&'static str, &'static str)>, out: &mut Vec<u8>) {
    for (at, (name, text)) in members.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_member(name, text, out);
    }
}

fn push_member(name: &str, text: &str, out: &mut Vec<u8>) {
    push_str(name, out);
    out.push(b':');
    push_str(text, out);
}

impl<'a> Reader<'_, 'a> {
    pub(crate) fn help(&self) -> Outcome<Request<'a>> {
        let json = self.members.get(Field::Help).unwrap_or_default();
        let id = self.id()?;
        if json == "true" {
            return Ok(Request::Help { operation: None, id });
        }
        if !json.starts_with('"') {
            return Err(bad_value(Field::Help, json, "true or the name of an operation"));
        }
        let name = self.plain_string(Field::Help)?.unwrap_or_default();
        match operation(&name) {
            Some(operation) => Ok(Request::Help { operation: Some(Cow::Borrowed(operation.name)), id }),
            None => {
                let names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
                let reason = format!("help is there for {}", names.join(", "));
                Err(RequestError::new(Code::BadField, reason).field(Field::Help.name()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::request::{Limits, fields_of, operations, parse};

    #[test]
    fn every_operation_has_its_help_with_all_its_fields_and_examples_that_may_be_sent() {
        let named: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        for field in operations().iter() {
            let help = operation(field.name()).unwrap_or_else(|| panic!("no help for {}", field.name()));
            let mut fields: Vec<&str> = help.fields.iter().map(|(name, _)| *name).collect();
            let mut expected: Vec<&str> = fields_of(field).iter().map(Field::name).collect();
            fields.sort_unstable();
            expected.sort_unstable();
            assert_eq!(fields, expected, "{}", field.name());
            for example in help.examples {
                parse(example.as_bytes(), Limits::default()).unwrap_or_else(|e| panic!("{example}: {e}"));
            }
        }
        assert_eq!(named.len(), operations().iter().count());
    }

    #[test]
    fn each_line_of_the_text_is_one_that_programs_pass_over() {
        for name in [None, Some("sub"), Some("nothing of the kind")] {
            let mut out = Vec::new();
            help_text(name, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with('\n') && text.lines().all(|line| line.starts_with("# ")), "{text}");
        }
    }
}
