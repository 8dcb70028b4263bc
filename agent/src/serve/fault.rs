//! Errors as answers.

use std::error::Error;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::store::{FindError, ReadError};

use super::params::BadParameter;

/// An answer that is not what was asked for, as JSON.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) body: Body,
}

/// What it says.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    pub(super) error: String,
    /// Why, in one word for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The parameter that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<String>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: Body { error: error.into(), reason: None, field: None, accepted: None } }
    }

    /// The same with its reason in one word.
    pub(super) const fn because(mut self, reason: &'static str) -> Self {
        self.body.reason = Some(reason);
        self
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<BadParameter> for Fault {
    fn from(bad: BadParameter) -> Self {
        let (error, reason) = (bad.to_string(), Some("INVALID"));
        let body = Body { error, reason, field: Some(bad.field), accepted: Some(bad.accepted) };
        Self { status: StatusCode::BAD_REQUEST, body }
    }
}

impl From<FindError> for Fault {
    fn from(error: FindError) -> Self {
        let (status, reason) = match error {
            FindError::Unknown(_) => (StatusCode::NOT_FOUND, "UNKNOWN_RUN"),
            FindError::Ambiguous { .. } => (StatusCode::CONFLICT, "AMBIGUOUS"),
            FindError::Read(fault) => return fault.into(),
        };
        Self::new(status, error.to_string()).because(reason)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        tracing::warn!(error = %error, cause = error.source(), "the store could not be read");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
