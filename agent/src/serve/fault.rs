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
    /// The parameter that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<String>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: Body { error: error.into(), field: None, accepted: None } }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<BadParameter> for Fault {
    fn from(bad: BadParameter) -> Self {
        let body = Body { error: bad.to_string(), field: Some(bad.field), accepted: Some(bad.accepted) };
        Self { status: StatusCode::BAD_REQUEST, body }
    }
}

impl From<FindError> for Fault {
    fn from(error: FindError) -> Self {
        let status = match error {
            FindError::Unknown(_) => StatusCode::NOT_FOUND,
            FindError::Ambiguous { .. } => StatusCode::CONFLICT,
            FindError::Read(fault) => return fault.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        tracing::warn!(error = %error, cause = error.source(), "the store could not be read");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
