mod grpc;
mod run_api;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message;
use runlog_proto::v1;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    receive::{Refusal, Sink, Token},
    record::{Kept, Severity, Signal, SystemClock},
    store::{
        Query, Store,
        samples::{append, line},
    },
};

struct Well;

impl Vitals for Well {
    fn snapshot(&self) -> Snapshot {
        Snapshot { started: 5, ..Snapshot::default() }
    }
}

struct Unwell;

impl Vitals for Unwell {
    fn snapshot(&self) -> Snapshot {
        Snapshot { unready: vec!["docker.sock cannot be opened".into()], ..Snapshot::default() }
    }
}

struct Stuck;

impl Vitals for Stuck {
    fn snapshot(&self) -> Snapshot {
        panic!("a part that is stuck may hold what this asks for")
    }

    fn stuck(&self) -> Vec<&'static str> {
        vec!["queue"]
    }
}

/// An API that keeps nothing and knows nothing.
fn api_without_store() -> Api {
    struct Nowhere;

    #[async_trait::async_trait]
    impl Sink for Nowhere {
        async fn put(&self, _signal: Signal, _request: Vec<u8>) -> Result<Kept, Refusal> {
            Ok(Kept::default())
        }
    }

    Api::new(crate::api::Parts {
        sink: Arc::new(Nowhere),
        store: None,
        settle: Arc::new(|| Box::pin(async {})),
        own: None,
        clock: Arc::new(SystemClock),
    })
}

struct Site {
    address: SocketAddr,
    store: Arc<Store>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        Self::with(Arc::new(Well)).await
    }

    async fn with(vitals: Arc<dyn Vitals>) -> Self {
        Self::for_whom(Access::Open, vitals).await
    }

    async fn for_whom(access: Access, vitals: Arc<dyn Vitals>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let api = Receiver::new(Arc::clone(&store)).run_api();
        Self::of(dir, store, api, access, vitals).await
    }

    async fn of(dir: tempfile::TempDir, store: Arc<Store>, api: Api, access: Access, vitals: Arc<dyn Vitals>) -> Self {
        let receiver = Receiver::new(Arc::clone(&store));
        let parts = Parts { store: Some(store.reader()), vitals, receiver: Some(receiver), api, control: None };
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), access, parts).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { _ = stopped.await }));
        Self { address, store, stop, task, dir }
    }

    async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Incoming> {
        self.send(Request::get(self.url(path)).body(Body::empty()).unwrap()).await
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> (StatusCode, T) {
        let response = self.get(path).await;
        (response.status(), serde_json::from_slice(&bytes(response).await).unwrap())
    }

    async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Response<Incoming> {
        let mut request = Request::post(self.url("/v1/logs"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn bodies(&self, run: &str) -> Vec<String> {
        let lines = self.store.reader().logs(&Query::of(run)).unwrap().lines;
        lines.into_iter().map(|line| line.body).collect()
    }
}

async fn bytes(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_request_that_names_another_host_is_misdirected() {
    let site = Site::open().await;
    for path in ["/", "/api/v1/runs", "/metrics"] {
        let request = Request::get(site.url(path)).header(header::HOST, "evil.example").body(Body::empty()).unwrap();
        let response = site.send(request).await;
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
        let answer: Json = serde_json::from_slice(&bytes(response).await).unwrap();
        assert!(answer["error"].as_str().unwrap().contains("use http://localhost:"), "{answer}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_trust_it_with_nothing() {
    let site = Site::open().await;
    for path in ["/", "/app.js", "/livez", "/api/v1/runs", "/nowhere"] {
        let response = site.get(path).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn runs_and_their_lines_are_told_as_json() {
    let site = Site::open().await;
    append(&site.store, 1, "a/b", &[line(1_000_000_000, Severity::INFO, "one"), line(2, Severity::ERROR, "<two>")]);

    let (_, list): (_, v1::ListRunsResponse) = site.json("/api/v1/runs").await;
    assert_eq!((list.runs.len(), &list.runs[0].run_id[..], list.runs[0].records), (1, "a/b", 2));
    let (_, run): (_, v1::Run) = site.json("/api/v1/runs/latest").await;
    assert_eq!(run, list.runs[0]);
    let (_, answer): (_, v1::QueryLogsResponse) = site.json("/api/v1/runs/a%2Fb/logs?level=warn").await;
    assert_eq!(answer.lines.iter().map(|line| &line.body[..]).collect::<Vec<_>>(), ["<two>"]);
    let (_, raw): (_, Json) = site.json("/api/v1/runs/a/logs?tail=2&grep=one").await;
    assert_eq!(raw["lines"][0]["time"], "1970-01-01T00:00:01Z");
    assert_eq!(raw["more"], false);
}

#[tokio::test]
async fn what_cannot_be_answered_says_why_as_json() {
    let site = Site::open().await;
    append(&site.store, 1, "ra", &[line(1, Severity::INFO, "x")]);
    append(&site.store, 2, "rb", &[line(1, Severity::INFO, "x")]);
    let cases = [
        (
            "/nowhere",
            StatusCode::NOT_FOUND,
            json!({"error": "there is nothing at this path", "reason": "NOTHING_THERE"}),
        ),
        (
            "/api/v1/runs/zz",
            StatusCode::NOT_FOUND,
            json!({
                "error": "no run begins with \"zz\"; `runlog runs` lists them",
                "reason": "UNKNOWN_RUN",
                "field": "run_id",
            }),
        ),
        (
            "/api/v1/runs/r",
            StatusCode::CONFLICT,
            json!({
                "error": "\"r\" begins more than one run: rb, ra",
                "reason": "AMBIGUOUS",
                "field": "run_id",
            }),
        ),
        (
            "/api/v1/runs/ra/logs?level=loud",
            StatusCode::BAD_REQUEST,
            json!({
                "error": "level=loud cannot be used: it is not a level",
                "reason": "INVALID",
                "field": "level",
                "accepted": "trace, debug, info, warn, error, fatal",
            }),
        ),
    ];
    for (path, status, answer) in cases {
        assert_eq!(site.json::<Json>(path).await, (status, answer), "{path}");
    }

    let request = Request::builder().method(Method::DELETE).uri(site.url("/api/v1/runs/ra/logs")).body(Body::empty());
    let response = site.send(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(serde_json::from_slice::<Json>(&bytes(response).await).unwrap()["error"].is_string());
}

#[tokio::test]
async fn s13_life_is_told_without_asking_the_part_that_is_stuck() {
    let site = Site::with(Arc::new(Well)).await;
    assert_eq!(site.json::<Json>("/livez").await, (StatusCode::OK, json!({"live": true, "stuck": []})));
    let site = Site::with(Arc::new(Stuck)).await;
    let stuck = json!({"live": false, "stuck": ["queue"]});
    assert_eq!(site.json::<Json>("/livez").await, (StatusCode::SERVICE_UNAVAILABLE, stuck));
}

#[tokio::test]
async fn readiness_is_told_with_its_reasons() {
    let site = Site::open().await;
    assert_eq!(site.json::<Json>("/readyz").await, (StatusCode::OK, json!({"ready": true, "reasons": []})));
    let (_, status): (_, v1::Status) = site.json("/api/v1/status").await;
    assert_eq!((status.ready, status.address, status.start_time_unix_nano), (true, site.url(""), 5));

    let site = Site::with(Arc::new(Unwell)).await;
    let reasons = json!({"ready": false, "reasons": ["docker.sock cannot be opened"]});
    assert_eq!(site.json::<Json>("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, reasons));
    assert_eq!(site.get("/livez").await.status(), StatusCode::OK);
    let metrics = site.get("/metrics").await;
    assert_eq!(metrics.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(String::from_utf8(bytes(metrics).await.to_vec()).unwrap().contains("\nrunlog_ready 0\n"));
}

#[tokio::test]
async fn h19_who_does_not_show_the_token_gets_health_and_the_empty_page_and_nothing_else() {
    let token = Token::new("0123456789abcdef".to_owned());
    let site = Site::for_whom(Access::Token(token), Arc::new(Well)).await;
    let asked = [
        (Method::GET, "/livez", true),
        (Method::GET, "/readyz", true),
        (Method::GET, "/", true),
        (Method::GET, "/app.js", true),
        (Method::GET, "/metrics", false),
        (Method::GET, "/api/v1/status", false),
        (Method::GET, "/api/v1/runs", false),
        (Method::GET, "/api/v1/runs/r/logs", false),
        (Method::POST, "/api/v1/runs", false),
        (Method::DELETE, "/api/v1/runs/r", false),
        (Method::POST, "/v1/logs", false),
    ];
    for (method, path, is_open) in asked {
        for shown in [None, Some("Bearer 0123456789abcdee"), Some("Bearer 0123456789abcdef")] {
            let mut request = Request::builder().method(&method).uri(site.url(path));
            if let Some(shown) = shown {
                request = request.header(header::AUTHORIZATION, shown);
            }
            let response = site.send(request.body(Body::empty()).unwrap()).await;
            let is_right = shown.is_some_and(|shown| shown.ends_with('f'));
            assert_eq!(
                response.status() == StatusCode::UNAUTHORIZED,
                !is_open && !is_right,
                "{method} {path} {shown:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let site = Site::open().await;
    let parts = Parts { store: None, vitals: Arc::new(Well), receiver: None, api: api_without_store(), control: None };
    let error = Server::bind(site.address, Access::Open, parts).await.err().unwrap();
    assert_eq!(error.to_string(), format!("cannot listen on {}", site.address));
}

/// Reads events until one contains the text, and tells that event's id.
async fn event_with(stream: &mut Incoming, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) || !heard.ends_with("\n\n") {
        let frame = stream.frame().await.expect("the stream goes on").unwrap();
        heard.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let event = heard.split("\n\n").find(|event| event.contains(text)).unwrap();
    event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

#[tokio::test]
async fn a_follower_hears_of_later_lines_and_can_go_on_where_it_was() {
    let site = Site::open().await;
    append(&site.store, 1, "r", &[line(1, Severity::INFO, "early"), line(1, Severity::INFO, "known")]);
    let mut stream = site.get("/api/v1/runs/r/logs?follow=1&tail=1").await.into_body();
    let first = event_with(&mut stream, "known").await;

    append(&site.store, 2, "r", &[line(2, Severity::INFO, "later")]);
    event_with(&mut stream, "later").await;

    let request = Request::get(site.url("/api/v1/runs/r/logs?follow=1&tail=1000")).header("last-event-id", &first);
    let mut again = site.send(request.body(Body::empty()).unwrap()).await.into_body();
    let frame = again.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    assert!(text.contains("later") && !text.contains("known"), "{text}");
}

#[tokio::test]
async fn a_stop_ends_streams_and_then_the_server() {
    let site = Site::open().await;
    append(&site.store, 1, "r", &[line(1, Severity::INFO, "known")]);
    let mut stream = site.get("/api/v1/runs/r/logs?follow=1").await.into_body();
    event_with(&mut stream, "known").await;

    site.stop.send(()).unwrap();

    assert!(stream.frame().await.is_none(), "the stream ends without an error");
    site.task.await.unwrap();
}

#[tokio::test]
async fn without_a_store_the_reader_is_sent_elsewhere() {
    let parts = Parts { store: None, vitals: Arc::new(Well), receiver: None, api: api_without_store(), control: None };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Access::Open, parts).await.unwrap();
    let url = format!("http://{}", server.address());
    let (_stop, stopped) = oneshot::channel::<()>();
    let _task = tokio::spawn(server.run(async { _ = stopped.await }));
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    for (path, status) in [("/api/v1/runs", StatusCode::NOT_FOUND), ("/livez", StatusCode::OK)] {
        assert_eq!(client.get(format!("{url}{path}").parse().unwrap()).await.unwrap().status(), status, "{path}");
    }
    let request = Request::post(format!("{url}/v1/logs")).body(Body::empty()).unwrap();
    assert_eq!(client.request(request).await.unwrap().status(), StatusCode::NOT_FOUND);
}

fn resource_logs(attributes: &[(&str, &str)], bodies: &[&str]) -> ResourceLogs {
    let text = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    let pairs = attributes.iter().map(|(key, value)| KeyValue {
        key: (*key).to_owned(),
        value: text(value),
        ..KeyValue::default()
    });
    let log_records = bodies.iter().map(|body| LogRecord {
        time_unix_nano: 7,
        severity_number: 17,
        body: text(body),
        ..LogRecord::default()
    });
    ResourceLogs {
        resource: Some(Resource { attributes: pairs.collect(), ..Resource::default() }),
        scope_logs: vec![ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

#[tokio::test]
async fn received_logs_are_found_under_their_runs_however_they_were_compressed() {
    let site = Site::open().await;
    let request = ExportLogsServiceRequest {
        resource_logs: vec![
            resource_logs(&[("ml.run.id", "r"), ("service.name", "s")], &["1", "2"]),
            resource_logs(&[("service.name", "s")], &["3"]),
            resource_logs(&[], &["4"]),
            resource_logs(&[("ml.run.id", "r")], &["5"]),
        ],
    }
    .encode_to_vec();
    let gzip = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&request).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(&request, 1).unwrap();
    for (encoding, body) in [("identity", request), ("gzip", gzip), ("zstd", zstd)] {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
        let response = site.post(&headers, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{encoding}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-protobuf");
        assert!(bytes(response).await.is_empty());
    }
    assert_eq!(site.bodies("r"), ["1", "2", "5", "1", "2", "5", "1", "2", "5"]);
    assert_eq!(site.bodies("s"), ["3", "3", "3"]);
    assert_eq!(site.bodies("unknown"), ["4", "4", "4"]);
    assert_eq!(site.store.reader().find("r").unwrap().levels, Some(v1::LevelCounts { error: 9, ..Default::default() }));
}

#[tokio::test]
async fn what_is_not_otlp_is_refused_as_the_specification_says() {
    let site = Site::open().await;
    let protobuf = ("content-type", "application/x-protobuf");
    let bomb = zstd::bulk::compress(&vec![0; 65 << 20], 1).unwrap();
    let cases: [(&[_], Vec<u8>, StatusCode); 6] = [
        (&[("content-type", "text/plain")], b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[protobuf, ("content-encoding", "br")], vec![], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[protobuf, ("content-encoding", "zstd")], b"no frame".to_vec(), StatusCode::BAD_REQUEST),
        (&[protobuf], vec![0x0a, 0xff], StatusCode::BAD_REQUEST),
        (&[protobuf, ("content-encoding", "zstd")], bomb, StatusCode::PAYLOAD_TOO_LARGE),
        (&[protobuf, ("origin", "https://evil.example")], vec![], StatusCode::FORBIDDEN),
    ];
    for (headers, body, status) in cases {
        let response = site.post(headers, body).await;
        assert_eq!(response.status(), status, "{headers:?}");
        let refusal = tonic_types::Status::decode(bytes(response).await).unwrap();
        assert!(!refusal.message.is_empty(), "{headers:?}");
    }
    assert!(site.store.reader().runs(10).unwrap().is_empty());
}
