//! How requests are refused.

use crate::access::CHALLENGE;
use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use trefoil_json::{Code, RequestError};

/// Why a request is not served: a status for HTTP, and in the body the error of the JSON protocol,
/// `{"error":{"code","field"?,"reason"}}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: Error,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

#[derive(Serialize, Debug)]
struct Error {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'static, str>>,
    reason: Cow<'static, str>,
}

impl Refusal {
    /// With one of the codes of the JSON protocol.
    pub(super) fn new(status: StatusCode, code: Code, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::with_name(status, code.name(), reason)
    }

    pub(super) fn not_found(reason: String) -> Refusal {
        Refusal::with_name(StatusCode::NOT_FOUND, "not_found", reason)
    }

    /// What is asked for does not go with what is there.
    pub(super) fn conflict(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::with_name(StatusCode::CONFLICT, "conflict", reason)
    }

    /// `allow` are the methods that would be served, or None where the router names them.
    pub(super) fn method_not_allowed(allow: Option<&'static str>, reason: String) -> Refusal {
        let refusal = Refusal::with_name(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", reason);
        match allow {
            Some(allow) => refusal.header(ALLOW, allow),
            None => refusal,
        }
    }

    /// Who asks has to say who it is.
    pub(super) fn unauthorized(reason: &'static str) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, Code::NotAuthorized, reason)
            .header(WWW_AUTHENTICATE, CHALLENGE)
    }

    pub(super) fn upgrade_required(reason: String) -> Refusal {
        Refusal::with_name(StatusCode::UPGRADE_REQUIRED, "upgrade_required", reason)
    }

    /// The same, naming the field at fault.
    pub(super) fn field(mut self, field: impl Into<Cow<'static, str>>) -> Refusal {
        self.error.field = Some(field.into());
        self
    }

    /// The same with a header.
    pub(super) fn header(self, name: HeaderName, value: &'static str) -> Refusal {
        Refusal { header: Some(Box::new((name, HeaderValue::from_static(value)))), ..self }
    }

    /// The same with when to try again, in seconds.
    pub(super) fn retry_after(self, s: u64) -> Refusal {
        Refusal { header: Some(Box::new((RETRY_AFTER, s.into()))), ..self }
    }

    fn with_name(status: StatusCode, code: &'static str, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, error: Error { code, field: None, reason: reason.into() }, header: None }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Refusal {
        let status = match error.code {
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let refusal = Refusal::new(status, error.code, error.reason);
        match error.field {
            Some(field) => refusal.field(field),
            None => refusal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: Error,
        }
        let mut response = (self.status, Json(Body { error: self.error })).into_response();
        response.headers_mut().extend(self.header.map(|header| *header));
        response
    }
}
