//! An OTLP/HTTP server that writes down what it receives, byte for byte.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, any_value},
    logs::v1::LogRecord,
};
use prost::Message;
use tokio::{net::TcpSocket, runtime::Runtime, sync::watch};

use crate::{eventually, wait::PATIENCE};

/// A server on a port of its own. It refuses connections until it is opened.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    socket: Mutex<Option<TcpSocket>>,
    notes: Arc<Notes>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Notes {
    requests: Mutex<Vec<SinkRequest>>,
    decoded: Mutex<Decoded>,
    is_answering: watch::Sender<bool>,
    unanswered: AtomicUsize,
    answers: Mutex<Answers>,
    refused: AtomicUsize,
}

/// What was in the first so many requests: each is looked into once, however often somebody asks.
#[derive(Debug, Default)]
struct Decoded {
    requests: usize,
    records: Vec<SinkRecord>,
}

/// The status of the answer to a request.
struct Answers(Box<dyn Fn(&SinkRequest) -> u16 + Send>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRequest {
    /// The path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, still compressed.
    pub body: Bytes,
}

/// A log record and the number of the request that it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRecord {
    /// The request, from 0.
    pub request: usize,
    /// The record.
    pub record: LogRecord,
}

impl Sink {
    /// A server that listens.
    #[must_use]
    pub fn start() -> Self {
        let sink = Self::prepare();
        sink.open();
        sink
    }

    /// A server that does not listen yet, whose port nobody else can take.
    #[must_use]
    pub fn prepare() -> Self {
        Self::prepare_at("127.0.0.1:0".parse().unwrap())
    }

    /// The same on that address of this machine.
    #[must_use]
    pub fn prepare_at(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let notes = Notes {
            requests: Mutex::default(),
            decoded: Mutex::default(),
            is_answering: watch::Sender::new(true),
            unanswered: AtomicUsize::new(0),
            answers: Mutex::new(Answers(Box::new(|_| 200))),
            refused: AtomicUsize::new(0),
        };
        Self { address, socket: Mutex::new(Some(socket)), notes: Arc::new(notes), runtime: Some(runtime) }
    }

    /// Listens from now on.
    pub fn open(&self) {
        let socket = self.socket.lock().unwrap().take().expect("it does not listen yet");
        let router =
            Router::new().fallback(note).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&self.notes));
        let runtime = self.runtime.as_ref().expect("it has not been dropped");
        let _inside = runtime.enter();
        let listener = socket.listen(64).unwrap();
        // Ends with the runtime.
        runtime.spawn(async move { axum::serve(listener, router).await });
    }

    /// Its address as `export.endpoint` takes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers each request from now on with the status that it is given. What is answered with a fault is not taken:
    /// it is not among the requests.
    pub fn answer_by(&self, status: impl Fn(&SinkRequest) -> u16 + Send + 'static) {
        *self.notes.answers.lock().unwrap() = Answers(Box::new(status));
    }

    /// How many requests were answered with a fault.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.notes.refused.load(Ordering::SeqCst)
    }

    /// Takes requests and leaves them without an answer, until [`Sink::answer`].
    pub fn stop_answering(&self) {
        self.notes.is_answering.send_replace(false);
    }

    /// Answers again.
    pub fn answer(&self) {
        self.notes.is_answering.send_replace(true);
    }

    /// Waits until a client has sent a request and waits for the answer.
    pub fn eventually_owes_an_answer(&self) {
        let owes = || self.notes.unanswered.load(Ordering::SeqCst) > 0;
        eventually("a client waits for an answer", || owes().then_some(()));
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<SinkRequest> {
        self.notes.requests.lock().unwrap().clone()
    }

    /// All log records so far but receipts, in the order in which they came.
    #[must_use]
    pub fn records(&self) -> Vec<SinkRecord> {
        self.decoded().records.clone()
    }

    /// Whether a log record with that body has come.
    #[must_use]
    pub fn has(&self, body: &str) -> bool {
        self.decoded().records.iter().any(|record| record.body() == body)
    }

    fn decoded(&self) -> MutexGuard<'_, Decoded> {
        let mut decoded = self.notes.decoded.lock().unwrap();
        let new = self.notes.requests.lock().unwrap()[decoded.requests..].to_vec();
        for request in new {
            let number = decoded.requests;
            decoded.requests += 1;
            if request.path == "/v1/logs" {
                let scopes = request.logs().resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
                let found = scopes.flat_map(|scope| scope.log_records);
                let found = found.filter(|record| record.event_name != "runlog.receipt");
                decoded.records.extend(found.map(|record| SinkRecord { request: number, record }));
            }
        }
        decoded
    }

    /// Waits until so many log records have come, and gives them.
    #[must_use]
    pub fn eventually_records(&self, count: usize) -> Vec<SinkRecord> {
        eventually(&format!("the sink has {count} records"), || {
            let decoded = self.decoded();
            (decoded.records.len() >= count).then(|| decoded.records.clone())
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not in the background: nobody is to find the port open, or a connection to it, after this.
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

impl SinkRequest {
    /// The body, decompressed and decoded.
    #[must_use]
    pub fn logs(&self) -> ExportLogsServiceRequest {
        self.message()
    }

    /// The same of a request with metrics.
    #[must_use]
    pub fn metrics(&self) -> ExportMetricsServiceRequest {
        self.message()
    }

    /// The same of a request with traces.
    #[must_use]
    pub fn spans(&self) -> ExportTraceServiceRequest {
        self.message()
    }

    fn message<M: Message + Default>(&self) -> M {
        let bytes = match self.headers.get("content-encoding").map(String::as_str) {
            None => self.body.to_vec(),
            Some("zstd") => zstd::decode_all(&self.body[..]).unwrap(),
            Some("gzip") => {
                let mut bytes = Vec::new();
                flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut bytes).unwrap();
                bytes
            }
            Some(other) => panic!("{other} is no compression that OTLP knows"),
        };
        M::decode(&bytes[..]).unwrap()
    }
}

impl SinkRecord {
    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        text(self.record.body.as_ref())
    }

    /// An attribute that is text; empty if it is missing.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        text(self.attribute(key))
    }

    /// An attribute that is a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        match self.attribute(key)?.value {
            Some(any_value::Value::IntValue(number)) => Some(number),
            _ => None,
        }
    }

    /// An attribute that is bytes.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        match self.attribute(key)?.value.as_ref()? {
            any_value::Value::BytesValue(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What the same line has however often it is delivered.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.text("log.record.uid")
    }

    fn attribute(&self, key: &str) -> Option<&AnyValue> {
        self.record.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
    }
}

fn text(value: Option<&AnyValue>) -> &str {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => "",
    }
}

/// Counts a request while its client waits. Dropped when it is answered or the client is gone.
struct Unanswered(Arc<Notes>);

impl Unanswered {
    fn count(notes: Arc<Notes>) -> Self {
        notes.unanswered.fetch_add(1, Ordering::SeqCst);
        Self(notes)
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn note(State(notes): State<Arc<Notes>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    // A client that is killed while it sends has sent no request.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = head.headers.iter().map(header).collect();
    let request = SinkRequest { path: head.uri.path().to_owned(), headers, body };
    let status = StatusCode::from_u16((notes.answers.lock().unwrap().0)(&request)).unwrap();
    if !status.is_success() {
        notes.refused.fetch_add(1, Ordering::SeqCst);
        return status.into_response();
    }
    notes.requests.lock().unwrap().push(request);
    let mut answering = notes.is_answering.subscribe();
    // One that is answered at once does not wait.
    let is_answered = *answering.borrow_and_update();
    if !is_answered {
        let _unanswered = Unanswered::count(Arc::clone(&notes));
        // Fails only when the sink is gone.
        let _ = answering.wait_for(|is_answering| *is_answering).await;
    }
    ([(header::CONTENT_TYPE, "application/x-protobuf")], Bytes::new()).into_response()
}
