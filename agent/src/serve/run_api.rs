//! The Run API over HTTP and gRPC. `docs/run-api.md` says what is answered where.

mod files;
mod grpc;
mod read;
mod write;

pub(super) use write::check_sender;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::api::{Api, Problem, Reason};

use super::{
    api::Shared,
    control::Control,
    fault::{Body, Fault},
};

/// What changes something. Not behind the check of `Host`, since other machines call this server by the name that their
/// network has for it; web pages are known by what browsers add.
pub(super) fn writes(api: Api, shared: Shared, control: Option<Arc<dyn Control>>) -> Router {
    write::router(api.clone()).merge(files::router(api.clone())).merge(grpc::router(api, shared, control))
}

/// What only tells something.
pub(super) fn reads(api: Api) -> Router {
    read::router(api)
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let status = match problem.reason {
            Reason::Malformed | Reason::Invalid | Reason::WrongDigest => StatusCode::BAD_REQUEST,
            Reason::UnknownRun | Reason::UnknownFile | Reason::NoStore => StatusCode::NOT_FOUND,
            Reason::RunEnded | Reason::NotEnded | Reason::WrongRange | Reason::Ambiguous => StatusCode::CONFLICT,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let Problem { reason, field, message, accepted } = problem;
        let reason = Some(reason.as_str());
        Self { status, body: Body { error: message, reason, field: some(field), accepted: some(accepted) } }
    }
}

fn answer<T: serde::Serialize>(outcome: Result<T, Problem>) -> Response {
    match outcome {
        Ok(message) => Json(message).into_response(),
        Err(problem) => Fault::from(problem).into_response(),
    }
}
