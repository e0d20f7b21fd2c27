//! The JSON Schema of the protocol, beside what the code takes.

use jsonschema::Validator;
use serde_json::{Value, json};
use trefoil_json::{Limits, parse, parse_reply};

pub(crate) const SCHEMA: &str = include_str!("../../../../docs/json-protocol.schema.json");

/// What the schema says of requests and replies.
pub(crate) struct Schemas {
    pub(crate) request: Validator,
    pub(crate) reply: Validator,
}

impl Schemas {
    pub(crate) fn load() -> Schemas {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("the schema itself: {error}"));
        let part = |name: &str| {
            let mut schema = schema.clone();
            let object = schema.as_object_mut().unwrap();
            object.remove("anyOf");
            object.insert("$ref".to_owned(), json!(format!("#/$defs/{name}")));
            jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        Schemas { request: part("request"), reply: part("reply") }
    }

    /// Both the schema and the code take this as a request.
    #[track_caller]
    pub(crate) fn check_request(&self, text: &str) {
        valid(&self.request, text);
        parse(text.as_bytes(), Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Both the schema and the code take this as a reply.
    #[track_caller]
    pub(crate) fn check_reply(&self, text: &str) {
        valid(&self.reply, text);
        parse_reply(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[track_caller]
fn valid(schema: &Validator, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{text}: {errors:?}");
}
