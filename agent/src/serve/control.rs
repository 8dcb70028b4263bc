//! What can be asked of an agent while it runs: `/api/v1/level`, `/api/v1/replay`. `docs/run-api.md` says how it is spoken.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::get,
};
use runlog_proto::v1;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{
    fault::{Body, Fault},
    run_api::check_sender,
};

/// A call's JSON.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The longest wait for a change.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// Takes what an operator asks for.
pub trait Control: Send + Sync {
    /// The levels that hold.
    fn levels(&self) -> v1::Levels;

    /// Sets a level.
    ///
    /// # Errors
    /// If it is none, or nothing is there that it is asked for.
    fn ask_level(&self, asked: &v1::AskedLevel) -> Result<(), Declined>;

    /// Forgets levels that were asked for: all, or what was asked for that alone.
    ///
    /// # Errors
    /// If nothing was asked for that.
    fn reset_level(&self, scope: &v1::AskedLevel) -> Result<(), Declined>;

    /// Sends what is recorded of a run, or of all if it is empty. Says how many lines that were.
    fn replay<'a>(&'a self, run: &'a str) -> Replaying<'a>;

    /// Waits until the levels are other ones than those of that version, but no longer than that. Says whether anybody is
    /// there to be asked again. Cancel safe.
    fn change(&self, version: u64, patience: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// What a replay comes to.
pub type Replaying<'a> = Pin<Box<dyn Future<Output = Result<u64, Declined>> + Send + 'a>>;

/// Why what was asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Whether it names something that is not there.
    pub is_unknown: bool,
    /// The field that is at fault.
    pub field: &'static str,
    /// One sentence.
    pub message: String,
    /// What would be right.
    pub accepted: String,
}

impl From<Declined> for Fault {
    fn from(declined: Declined) -> Self {
        let Declined { is_unknown, field, message, accepted } = declined;
        let (status, reason) = match is_unknown {
            true => (StatusCode::NOT_FOUND, "UNKNOWN"),
            false => (StatusCode::BAD_REQUEST, "INVALID"),
        };
        let (reason, field) = (Some(reason), (!field.is_empty()).then(|| field.to_owned()));
        Self { status, body: Body { error: message, reason, field, accepted: Some(accepted) } }
    }
}

/// Who is asked; nobody where nothing is collected.
type Asked = Option<Arc<dyn Control>>;

/// What only tells something.
pub(super) fn reads(control: Asked) -> Router {
    Router::new().route("/api/v1/level", get(level)).with_state(control)
}

/// What changes something.
pub(super) fn writes(control: Asked) -> Router {
    let level = axum::routing::post(ask_level).delete(reset_level);
    Router::new()
        .route("/api/v1/level", level)
        .route("/api/v1/replay", axum::routing::post(replay))
        .layer(from_fn(check_sender))
        .with_state(control)
}

fn there(control: Asked) -> Result<Arc<dyn Control>, Fault> {
    let nothing = || Fault::new(StatusCode::NOT_FOUND, "nothing is collected here").because("NOTHING_COLLECTED");
    control.ok_or_else(nothing)
}

async fn level(State(control): State<Asked>, RawQuery(text): RawQuery) -> Result<Json<v1::Levels>, Fault> {
    let control = there(control)?;
    if let Some((version, patience)) = known(&text.unwrap_or_default())?
        && !control.change(version, patience).await
    {
        return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "runlog is about to end").because("BUSY"));
    }
    Ok(Json(control.levels()))
}

/// The version that the client knows, and how long it waits for another one.
fn known(text: &str) -> Result<Option<(u64, Duration)>, Fault> {
    let (mut version, mut patience) = (None, Duration::ZERO);
    for (field, value) in form_urlencoded::parse(text.as_bytes()) {
        let number = value.parse::<u64>().map_err(|_| bad(&field, "is a whole number"))?;
        match &*field {
            "version" => version = Some(number),
            "wait_seconds" => patience = Duration::from_secs(number).min(MAX_WAIT),
            _ => return Err(bad(&field, "is unknown: version, wait_seconds")),
        }
    }
    Ok(version.map(|version| (version, patience)))
}

fn bad(field: &str, problem: &str) -> Fault {
    let mut fault = Fault::new(StatusCode::BAD_REQUEST, format!("{field} {problem}")).because("INVALID");
    fault.body.field = Some(field.to_owned());
    fault
}

async fn ask_level(State(control): State<Asked>, request: Request) -> Response {
    change(control, request, |control, asked| control.ask_level(asked)).await
}

async fn reset_level(State(control): State<Asked>, request: Request) -> Response {
    change(control, request, |control, scope| control.reset_level(scope)).await
}

async fn change(
    control: Asked,
    request: Request,
    make: impl FnOnce(&dyn Control, &v1::AskedLevel) -> Result<(), Declined>,
) -> Response {
    let outcome = async {
        let control = there(control)?;
        make(&*control, &read(request).await?)?;
        Ok::<_, Fault>(Json(control.levels()))
    };
    outcome.await.into_response()
}

async fn replay(State(control): State<Asked>, request: Request) -> Response {
    let outcome = async {
        let control = there(control)?;
        let v1::ReplayRequest { run } = read(request).await?;
        Ok::<_, Fault>(Json(v1::ReplayResponse { lines: control.replay(&run).await? }))
    };
    outcome.await.into_response()
}

/// Reads a body; one without a byte is a message without a field.
async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    let malformed = |error: String| Fault::new(StatusCode::BAD_REQUEST, error).because("MALFORMED");
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|error| malformed(error.to_string()))?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))
}
