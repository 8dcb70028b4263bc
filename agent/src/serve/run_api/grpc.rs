//! The Run API over gRPC: `runlog.v1.RunService`.

mod files;
mod logs;
mod status;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request as HttpRequest,
    http::HeaderMap,
    middleware::{Next, from_fn},
    response::Response as HttpResponse,
    routing::post_service,
};
use runlog_proto::v1::{
    self,
    run_service_server::{RunService, RunServiceServer},
};
use tonic::{Code, Request, Response, Status, Streaming, codec::CompressionEncoding};

use crate::{
    api::{Api, End, Problem, Reason},
    serve::{
        api::Shared,
        control::{Control, MAX_WAIT},
    },
    store::{MetricsQuery, RunFilter},
};

use super::{
    read::{MAX_POINTS, MAX_RUNS, SOME_RUNS, files_of, find, list, metrics_of},
    write::{MAX_BODY_BYTES, check_sender},
};

/// What a client says of its own message, and of what it can read.
const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";

pub(super) fn router(api: Api, shared: Shared, control: Option<Arc<dyn Control>>) -> Router {
    let service = RunServiceServer::new(Calls { api, shared, control })
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_BODY_BYTES);
    Router::new()
        .route("/runlog.v1.RunService/{method}", post_service(service))
        .layer(from_fn(answer_in_kind))
        .layer(from_fn(check_sender))
}

/// Has answers compressed for those alone who compress what they send: that they could read it, clients say always.
async fn answer_in_kind(mut request: HttpRequest, next: Next) -> HttpResponse {
    let is_compressed = |headers: &HeaderMap| headers.get(ENCODING).is_some_and(|encoding| encoding != "identity");
    if !is_compressed(request.headers()) {
        request.headers_mut().remove(ACCEPTED);
    }
    next.run(request).await
}

/// What answers the calls.
struct Calls {
    api: Api,
    shared: Shared,
    control: Option<Arc<dyn Control>>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RunService for Calls {
    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Answer<v1::RunResponse> {
        run(self.api.start(request.into_inner()).await)
    }

    async fn create_children(&self, request: Request<v1::CreateChildrenRequest>) -> Answer<v1::RunsResponse> {
        let request = request.into_inner();
        let run = request.run_id.clone();
        answer(self.api.start_children(&run, request).await.map(|runs| v1::RunsResponse { runs }))
    }

    async fn set_status(&self, request: Request<v1::SetStatusRequest>) -> Answer<v1::RunResponse> {
        let request = request.into_inner();
        let id = request.run_id.clone();
        run(self.api.set_status(&id, request).await)
    }

    async fn log(&self, request: Request<v1::LogRequest>) -> Answer<v1::LogResponse> {
        let v1::LogRequest { run_id, key, time, entries } = request.into_inner();
        answer(self.api.log(&run_id, &key, &time, entries.into_iter().map(Ok).collect()).await)
    }

    async fn complete_run(&self, request: Request<v1::EndRunRequest>) -> Answer<v1::RunResponse> {
        self.end(End::Complete, request).await
    }

    async fn fail_run(&self, request: Request<v1::EndRunRequest>) -> Answer<v1::RunResponse> {
        self.end(End::Fail, request).await
    }

    async fn cancel_run(&self, request: Request<v1::EndRunRequest>) -> Answer<v1::RunResponse> {
        self.end(End::Cancel, request).await
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::RunResponse> {
        run(find(&self.api, request.into_inner().run_id).await)
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        answer(list(&self.api, filter(request.into_inner())?).await)
    }

    async fn get_metrics(&self, request: Request<v1::GetMetricsRequest>) -> Answer<v1::GetMetricsResponse> {
        let v1::GetMetricsRequest { run_id, name, recursive, points } = request.into_inner();
        let points = bounded("points", points, MAX_POINTS)?;
        let query = |run: &str| {
            let query = MetricsQuery::of(run);
            Ok(MetricsQuery {
                name: Some(name).filter(|name| !name.is_empty()),
                with_descendants: recursive,
                points: points.unwrap_or(query.points),
                ..query
            })
        };
        answer(metrics_of(&self.api, run_id, query).await)
    }

    async fn list_files(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::ListFilesResponse> {
        answer(files_of(&self.api, request.into_inner().run_id).await)
    }

    async fn delete_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::DeleteRunResponse> {
        answer(self.api.delete(&request.into_inner().run_id).await.map(|()| v1::DeleteRunResponse {}))
    }

    type StreamLogsStream = logs::Answers;

    async fn stream_logs(&self, request: Request<v1::StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        logs::stream(&self.api, &self.shared, request.into_inner()).await.map(Response::new)
    }

    async fn look_for_file(&self, request: Request<v1::LookForFileRequest>) -> Answer<v1::FileState> {
        answer(super::files::state_of(&self.api, &request.into_inner().sha256).await)
    }

    async fn send_file(&self, request: Request<Streaming<v1::FilePiece>>) -> Answer<v1::FileState> {
        files::take(&self.api, request.into_inner()).await.map(Response::new)
    }

    type FetchFileStream = files::Pieces;

    async fn fetch_file(&self, request: Request<v1::FetchFileRequest>) -> Answer<Self::FetchFileStream> {
        answer(files::fetch(&self.api, request.into_inner()).await)
    }

    async fn get_levels(&self, request: Request<v1::GetLevelsRequest>) -> Answer<v1::Levels> {
        let v1::GetLevelsRequest { version, wait_seconds } = request.into_inner();
        let control = self.control()?;
        let patience = Duration::from_secs(wait_seconds.into()).min(MAX_WAIT);
        if let Some(version) = version
            && !control.change(version, patience).await
        {
            return Err(Problem::new(Reason::Busy, "runlog is about to end").into());
        }
        Ok(Response::new(control.levels()))
    }

    async fn ask_level(&self, request: Request<v1::AskedLevel>) -> Answer<v1::Levels> {
        let control = self.control()?;
        control.ask_level(request.get_ref())?;
        Ok(Response::new(control.levels()))
    }

    async fn reset_level(&self, request: Request<v1::AskedLevel>) -> Answer<v1::Levels> {
        let control = self.control()?;
        control.reset_level(request.get_ref())?;
        Ok(Response::new(control.levels()))
    }

    async fn replay(&self, request: Request<v1::ReplayRequest>) -> Answer<v1::ReplayResponse> {
        let lines = self.control()?.replay(&request.get_ref().run).await?;
        Ok(Response::new(v1::ReplayResponse { lines }))
    }
}

impl Calls {
    async fn end(&self, end: End, request: Request<v1::EndRunRequest>) -> Answer<v1::RunResponse> {
        let request = request.into_inner();
        let id = request.run_id.clone();
        run(self.api.end(&id, end, request).await)
    }

    fn control(&self) -> Result<&dyn Control, Status> {
        self.control.as_deref().ok_or_else(|| {
            status::refused(Code::FailedPrecondition, "nothing is collected here", "NOTHING_COLLECTED", &[])
        })
    }
}

fn answer<T>(outcome: Result<T, Problem>) -> Answer<T> {
    outcome.map(Response::new).map_err(Status::from)
}

fn run(outcome: Result<v1::Run, Problem>) -> Answer<v1::RunResponse> {
    answer(outcome.map(|run| v1::RunResponse { run: Some(run) }))
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
