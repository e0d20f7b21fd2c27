//! What the hub answers to a request that it cannot take.

use std::borrow::Cow;
use std::fmt;

use crate::write::{push_str, push_u64};

/// What is wrong, for programs; the reason beside it is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The text is not one JSON object in UTF-8.
    BadJson,
    /// A field has a value that it cannot have, or stands twice, or contradicts another.
    BadField,
    /// A field that this operation needs is not there.
    MissingField,
    /// A field that this operation does not have.
    UnknownField,
    /// None of the operations is named.
    UnknownOperation,
    /// The request, or one value in it, exceeds a limit.
    TooLarge,
    /// A topic or a topic filter breaks the rules for topics.
    BadTopic,
    /// The client's identity may not do this.
    NotAuthorized,
    /// The client has used up what it may use.
    Quota,
    /// The hub has too much to do; the same request may succeed later.
    Overloaded,
    /// The hub cannot do this now, for instance while it stops.
    Unavailable,
    /// Nobody is subscribed who could answer a request.
    NoResponder,
    /// Nobody has answered a request in time.
    Timeout,
    /// Nobody listens on the name of a stream.
    NoListener,
    /// Who listens on it does not want the caller.
    Refused,
    /// Somebody listens on the name already.
    Taken,
    /// The caller to be accepted or refused does not wait any more.
    NoCaller,
}

impl Code {
    /// Every code, in the order of the reference page.
    pub const ALL: [Code; 17] = [
        Code::BadJson,
        Code::BadField,
        Code::MissingField,
        Code::UnknownField,
        Code::UnknownOperation,
        Code::TooLarge,
        Code::BadTopic,
        Code::NotAuthorized,
        Code::Quota,
        Code::Overloaded,
        Code::Unavailable,
        Code::NoResponder,
        Code::Timeout,
        Code::NoListener,
        Code::Refused,
        Code::Taken,
        Code::NoCaller,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Code::BadJson => "bad_json",
            Code::BadField => "bad_field",
            Code::MissingField => "missing_field",
            Code::UnknownField => "unknown_field",
            Code::UnknownOperation => "unknown_operation",
            Code::TooLarge => "too_large",
            Code::BadTopic => "bad_topic",
            Code::NotAuthorized => "not_authorized",
            Code::Quota => "quota",
            Code::Overloaded => "overloaded",
            Code::Unavailable => "unavailable",
            Code::NoResponder => "no_responder",
            Code::Timeout => "timeout",
            Code::NoListener => "no_listener",
            Code::Refused => "refused",
            Code::Taken => "taken",
            Code::NoCaller => "no_caller",
        }
    }

    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a request was refused. The fault is the client's for every [`Code`] up to [`Code::BadTopic`].
///
/// [`parse`](crate::parse) makes these, and the hub makes its own for what only the hub can know:
///
/// ```
/// use trefoil_json::{Code, RequestError};
///
/// let error = RequestError::new(Code::Quota, "100 subscriptions are the limit").field("sub").id(Some(3));
/// let mut out = Vec::new();
/// error.encode(&mut out);
/// assert_eq!(
///     out,
///     br#"{"error":{"code":"quota","field":"sub","reason":"100 subscriptions are the limit"},"id":3}"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What is wrong, for programs.
    pub code: Code,
    /// The field at fault, when there is one.
    pub field: Option<Cow<'static, str>>,
    /// What is wrong, for people.
    pub reason: Cow<'static, str>,
    /// The id of the request, when it had one that could be read.
    pub id: Option<u64>,
}

impl RequestError {
    /// An error that names no field and no request.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> RequestError {
        RequestError { code, field: None, reason: reason.into(), id: None }
    }

    /// The same error, naming the field at fault.
    pub fn field(self, field: impl Into<Cow<'static, str>>) -> RequestError {
        RequestError { field: Some(field.into()), ..self }
    }

    /// The same error, as the answer to the request with this id.
    pub fn id(self, id: Option<u64>) -> RequestError {
        RequestError { id, ..self }
    }

    /// Appends `{"error":{…},"id":…}`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":{\"code\":");
        push_str(self.code.name(), out);
        if let Some(field) = &self.field {
            out.extend_from_slice(b",\"field\":");
            push_str(field, out);
        }
        out.extend_from_slice(b",\"reason\":");
        push_str(&self.reason, out);
        out.push(b'}');
        if let Some(id) = self.id {
            out.extend_from_slice(b",\"id\":");
            push_u64(id, out);
        }
        out.push(b'}');
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_name() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::from_name("bad"), None);
    }

    #[test]
    fn an_error_leaves_out_what_it_does_not_know() {
        let mut out = Vec::new();
        RequestError::new(Code::BadJson, "a \"quote\"\n").encode(&mut out);
        assert_eq!(out, br#"{"error":{"code":"bad_json","reason":"a \"quote\"\n"}}"#);
    }
}
