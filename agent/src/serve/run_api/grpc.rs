//! The Run API over gRPC: unary calls of `runlog.v1.RunService`, framed as those of OTLP are.
//!
//! A problem's reason is in `google.rpc.ErrorInfo`, with the field and what would be right as its metadata.

use std::collections::HashMap;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    middleware::from_fn,
    response::Response,
    routing::post,
};
use prost::Message;
use runlog_proto::v1;
use tonic_types::pb::ErrorInfo;

use crate::{
    api::{Api, End, Problem, Reason},
    receive::grpc::{answered, failed, strip_frame},
    store::{MetricsQuery, RunFilter},
};

use super::{
    read::{MAX_POINTS, MAX_RUNS, SOME_RUNS, files_of, find, list, metrics_of},
    write::{check_sender, read_bytes},
};

/// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;

/// Whose reasons they are.
const DOMAIN: &str = "runlog";

pub(super) fn router(api: Api) -> Router {
    Router::new().route("/runlog.v1.RunService/{method}", post(call)).layer(from_fn(check_sender)).with_state(api)
}

/// Why there is no answer.
enum Failure {
    /// There is no such method.
    NoMethod,
    /// The message is compressed.
    Compressed,
    Problem(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn call(State(api): State<Api>, Path(method): Path<String>, request: Request) -> Response {
    let outcome = async {
        let mut message = read_bytes(request).await?.to_vec();
        if strip_frame(&mut message).map_err(|fault| Problem::new(Reason::Malformed, fault.to_string()))? {
            return Err(Failure::Compressed);
        }
        answer(&api, &method, &message).await
    };
    match outcome.await {
        Ok(message) => answered(&message),
        Err(Failure::NoMethod) => failed(UNIMPLEMENTED, &format!("RunService has no method {method}"), None),
        Err(Failure::Compressed) => failed(UNIMPLEMENTED, "compressed messages are not read", None),
        Err(Failure::Problem(problem)) => refused(problem),
    }
    .map(Body::new)
}

async fn answer(api: &Api, method: &str, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let message = match method {
        "StartRun" => run(api.start(decode(message)?).await?),
        "CreateChildren" => {
            let request: v1::CreateChildrenRequest = decode(message)?;
            let run = request.run_id.clone();
            v1::RunsResponse { runs: api.start_children(&run, request).await? }.encode_to_vec()
        }
        "SetStatus" => {
            let request: v1::SetStatusRequest = decode(message)?;
            let id = request.run_id.clone();
            run(api.set_status(&id, request).await?)
        }
        "Log" => {
            let v1::LogRequest { run_id, key, time, entries } = decode(message)?;
            api.log(&run_id, &key, &time, entries.into_iter().map(Ok).collect()).await?.encode_to_vec()
        }
        "CompleteRun" => end(api, End::Complete, message).await?,
        "FailRun" => end(api, End::Fail, message).await?,
        "CancelRun" => end(api, End::Cancel, message).await?,
        "GetRun" => run(find(api, decode::<v1::GetRunRequest>(message)?.run_id).await?),
        "ListRuns" => list(api, filter(decode(message)?)?).await?.encode_to_vec(),
        "GetMetrics" => {
            let request: v1::GetMetricsRequest = decode(message)?;
            let points = bounded("points", request.points, MAX_POINTS)?;
            let query = |run: &str| {
                let query = MetricsQuery::of(run);
                Ok(MetricsQuery {
                    name: Some(request.name).filter(|name| !name.is_empty()),
                    with_descendants: request.recursive,
                    points: points.unwrap_or(query.points),
                    ..query
                })
            };
            metrics_of(api, request.run_id, query).await?.encode_to_vec()
        }
        "ListFiles" => files_of(api, decode::<v1::GetRunRequest>(message)?.run_id).await?.encode_to_vec(),
        "DeleteRun" => {
            api.delete(&decode::<v1::GetRunRequest>(message)?.run_id).await?;
            v1::DeleteRunResponse {}.encode_to_vec()
        }
        _ => return Err(Failure::NoMethod),
    };
    Ok(message)
}

fn run(run: v1::Run) -> Vec<u8> {
    v1::RunResponse { run: Some(run) }.encode_to_vec()
}

async fn end(api: &Api, end: End, message: &[u8]) -> Result<Vec<u8>, Problem> {
    let request: v1::EndRunRequest = decode(message)?;
    let id = request.run_id.clone();
    api.end(&id, end, request).await.map(run)
}

fn filter(request: v1::ListRunsRequest) -> Result<RunFilter, Problem> {
    let v1::ListRunsRequest { experiment, status, parent_run_id, tags, limit, before } = request;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let tag = |tag: String| match tag.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (tag, None),
    };
    Ok(RunFilter {
        experiment: some(experiment),
        status: some(status),
        parent: some(parent_run_id),
        before: some(before),
        tags: tags.into_iter().map(tag).collect(),
        limit: bounded("limit", limit, MAX_RUNS)?.unwrap_or(SOME_RUNS),
    })
}

/// A number that is given, which is no more than that.
fn bounded(field: &str, number: u32, most: usize) -> Result<Option<usize>, Problem> {
    match usize::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number) if number <= most => Ok(Some(number)),
        _ => Err(Problem::invalid(field, format!("{field}={number} cannot be used"), &format!("1 to {most}"))),
    }
}

fn decode<T: Message + Default>(message: &[u8]) -> Result<T, Problem> {
    T::decode(message).map_err(|fault| Problem::new(Reason::Malformed, fault.to_string()))
}

fn refused(problem: Problem) -> hyper::Response<crate::receive::AnswerBody> {
    let code = match problem.reason {
        Reason::Malformed | Reason::Invalid | Reason::WrongDigest | Reason::Ambiguous => INVALID_ARGUMENT,
        Reason::UnknownRun | Reason::UnknownFile => NOT_FOUND,
        Reason::NoStore | Reason::RunEnded | Reason::NotEnded | Reason::WrongRange => FAILED_PRECONDITION,
        Reason::TooLarge => RESOURCE_EXHAUSTED,
        Reason::Busy => UNAVAILABLE,
        Reason::Failed => INTERNAL,
    };
    let Problem { reason, field, message, accepted } = problem;
    let said = [("field", field), ("accepted", accepted)].into_iter().filter(|(_, text)| !text.is_empty());
    let metadata: HashMap<_, _> = said.map(|(key, text)| (key.to_owned(), text)).collect();
    let info = ErrorInfo { reason: reason.as_str().to_owned(), domain: DOMAIN.to_owned(), metadata };
    failed(code, &message, Some(("ErrorInfo", info.encode_to_vec())))
}
