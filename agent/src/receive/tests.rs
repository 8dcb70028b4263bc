mod mutations;

use std::{
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{HeaderMap, StatusCode, body::Frame};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;
use serde_json::{Value as Json, json};
use tonic_types::{RpcStatusExt, Status};

use super::*;

const LIMIT: usize = 100_000;
const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// Remembers what it was given.
struct Desk {
    room: usize,
    most: AtomicUsize,
    taken: Mutex<Vec<Vec<u8>>>,
    rejected: u64,
    /// Where anything but logs is refused.
    keeps_logs_alone: bool,
    token: Option<Token>,
    refusals: Mutex<Vec<&'static str>>,
    counted: Mutex<Vec<Counted>>,
}

impl Desk {
    fn new() -> Self {
        Self {
            room: 10 * LIMIT,
            most: AtomicUsize::new(0),
            taken: Mutex::default(),
            rejected: 0,
            keeps_logs_alone: false,
            token: None,
            refusals: Mutex::default(),
            counted: Mutex::default(),
        }
    }

    fn taken(&self) -> Vec<Vec<u8>> {
        self.taken.lock().unwrap().clone()
    }
}

impl End for Desk {
    type Room = usize;

    fn max_request_bytes(&self) -> usize {
        LIMIT
    }

    async fn grow(&self, room: &mut usize, bytes: usize) -> bool {
        *room = bytes.max(*room);
        self.most.fetch_max(*room, Ordering::Relaxed);
        *room <= self.room
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Logs || !self.keeps_logs_alone
    }

    fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    fn refused(&self, refusal: &Refusal) {
        self.refusals.lock().unwrap().push(refusal.word());
    }

    async fn take(&self, _signal: Signal, request: Vec<u8>, counted: Counted, room: usize) -> Result<Kept, Refusal> {
        self.counted.lock().unwrap().push(counted);
        assert!(room >= request.len(), "there is room for what is handed over");
        self.taken.lock().unwrap().push(request);
        Ok(Kept { rejected: self.rejected, reason: "50 % is \u{fc}".repeat(usize::from(self.rejected > 0)) })
    }
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of gRPC, wherever it stands.
    fn code(&self) -> &str {
        let status = self.trailers.get("grpc-status").or(self.headers.get("grpc-status"));
        status.map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(desk: &Desk, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = answer(request.body(Full::from(body.to_vec())).unwrap(), desk).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Answered { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
}

async fn post(desk: &Desk, headers: &[(&str, &str)], body: &[u8]) -> Answered {
    send(desk, "POST", "/v1/logs", headers, body).await
}

async fn call(desk: &Desk, encoding: &str, framed: &[u8]) -> Answered {
    send(desk, "POST", GRPC_PATH, &[GRPC, ("te", "trailers"), ("grpc-encoding", encoding)], framed).await
}

fn request(records: usize) -> Vec<u8> {
    let record = LogRecord { time_unix_nano: 1 << 60, trace_id: vec![0xab; 16], ..LogRecord::default() };
    let scope = ScopeLogs { log_records: vec![record; records], ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

#[tokio::test]
async fn what_another_runlog_sends_is_counted_there() {
    let desk = Desk::new();
    let runlog = ("user-agent", concat!("runlog/", env!("CARGO_PKG_VERSION")));
    let others = [PROTOBUF, ("user-agent", "OTel-OTLP-Exporter-Python/1.38.0"), ("user-agent", "my-runlog/1")];
    for agent in others.into_iter().chain([runlog]) {
        let _ = post(&desk, &[PROTOBUF, agent], &request(1)).await;
    }
    let _ = send(&desk, "POST", GRPC_PATH, &[GRPC, ("te", "trailers"), runlog], &framed(0, &request(1))).await;
    let expected = [Counted::Here, Counted::Here, Counted::Here, Counted::Before, Counted::Before];
    assert_eq!(*desk.counted.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_request_comes_out_as_it_was_encoded_however_it_was_wrapped() {
    let desk = Desk::new();
    let plain = request(1_000);
    let text = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": (1_u64 << 60).to_string(), "traceId": "ab".repeat(16), "unknown": 1},
    ]}]}]})
    .to_string();
    let gzip = gzip(&plain);
    for (encoding, body) in [("", &plain), ("identity", &plain), ("GZIP", &gzip), ("zstd", &zstd(&plain))] {
        let answered = post(&desk, &[PROTOBUF, ("content-encoding", encoding)], body).await;
        assert_eq!((answered.status, &answered.body[..]), (StatusCode::OK, &b""[..]), "{encoding:?}");
        assert_eq!(answered.header("content-type"), "application/x-protobuf");
    }
    let answered = post(&desk, &[("content-type", "application/json; charset=utf-8")], text.as_bytes()).await;
    assert_eq!((answered.status, &answered.body[..]), (StatusCode::OK, &b"{}"[..]));
    assert_eq!(answered.header("content-type"), "application/json");
    for (encoding, flag, body) in [("gzip", 1, &gzip), ("zstd", 1, &zstd(&plain)), ("gzip", 0, &plain), ("", 0, &plain)]
    {
        let answered = call(&desk, encoding, &framed(flag, body)).await;
        assert_eq!((answered.status, answered.code(), &answered.body[..]), (StatusCode::OK, "0", &[0; 5][..]));
        assert_eq!(answered.header("content-type"), "application/grpc");
    }
    let taken = desk.taken();
    assert_eq!(taken.len(), 9);
    for (number, taken) in taken.into_iter().enumerate() {
        if number == 4 {
            // Of JSON the lengths are written before they are known.
            let decoded = ExportLogsServiceRequest::decode(&taken[..]).unwrap();
            assert_eq!(decoded.encode_to_vec(), request(1));
        } else {
            assert!(taken == plain, "request {number}");
        }
    }
}

/// Records that take twice as much as protobuf.
fn json_of_little() -> String {
    let records = "{},".repeat(LIMIT / 4);
    format!(r#"{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{records}{{}}]}}]}}]}}"#)
}

#[tokio::test]
async fn h3_h4_what_is_not_otlp_is_refused_as_the_specification_says() {
    let desk = Desk::new();
    let large = vec![0; LIMIT + 1];
    let (behind, little) = ([zstd(b""), zstd(b"")].concat(), json_of_little());
    let cases: [(&[_], &[u8], u16); 15] = [
        (&[PROTOBUF, ("content-encoding", "br")], b"", 415),
        (&[("content-type", "text/plain")], b"", 415),
        (&[], b"", 415),
        (&[PROTOBUF, ("content-encoding", "zstd")], b"no frame", 400),
        (&[PROTOBUF, ("content-encoding", "gzip")], &gzip(b"torn")[..20], 400),
        (&[JSON], b"{\"resourceLogs\": 5}", 400),
        (&[PROTOBUF], &large, 413),
        (&[PROTOBUF, ("content-encoding", "gzip")], &gzip(&large), 413),
        (&[PROTOBUF, ("content-encoding", "zstd")], &zstd(&vec![0; 1 << 26]), 413),
        // One stream after the other, a window that nobody has, and less text than bytes.
        (&[PROTOBUF, ("content-encoding", "gzip")], &[gzip(b""), gzip(b"")].concat(), 400),
        (&[PROTOBUF, ("content-encoding", "zstd")], &behind, 400),
        (&[PROTOBUF, ("content-encoding", "zstd")], b"\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 400),
        (&[JSON], little.as_bytes(), 413),
        (&[PROTOBUF, ("origin", "https://evil.example")], b"", 403),
        (&[JSON, ("sec-fetch-site", "cross-site")], b"", 403),
    ];
    for (headers, body, status) in cases {
        let answered = post(&desk, headers, body).await;
        assert_eq!(answered.status, status, "{headers:?}");
        if headers.contains(&JSON) {
            let refusal: Json = serde_json::from_slice(&answered.body).unwrap();
            assert!(!refusal["message"].as_str().unwrap().is_empty(), "{headers:?}");
        } else {
            assert!(!Status::decode(answered.body).unwrap().message.is_empty(), "{headers:?}");
        }
    }
    for (method, path, status) in [("GET", "/v1/logs", 405), ("POST", "/v1/profiles", 404), ("POST", "/", 404)] {
        assert_eq!(send(&desk, method, path, &[PROTOBUF], b"").await.status, status, "{method} {path}");
    }
    assert!(desk.taken().is_empty());
    assert!(desk.most.load(Ordering::Relaxed) < 4 * LIMIT, "a bomb has taken more than its limit");
}

#[tokio::test]
async fn a_call_that_is_no_call_is_refused_with_a_status_of_grpc() {
    let desk = Desk::new();
    let large = framed(0, &vec![0; LIMIT + 1]);
    let (invalid, exhausted, unimplemented) = ("3", "8", "12");
    let two = [framed(0, b""), framed(0, b"")].concat();
    let cases: [(&str, &[u8], &str); 8] = [
        ("", b"", invalid),
        ("", &framed(0, b"abc")[..7], invalid),
        ("", &two, invalid),
        ("", &framed(2, b""), invalid),
        ("gzip", &framed(1, b"no gzip"), invalid),
        ("br", &framed(1, b""), unimplemented),
        ("", &large, exhausted),
        ("zstd", &framed(1, &zstd(&vec![0; 1 << 26])), exhausted),
    ];
    for (encoding, body, code) in cases {
        let answered = call(&desk, encoding, body).await;
        assert_eq!((answered.status, answered.code()), (StatusCode::OK, code), "{encoding:?} {} bytes", body.len());
        assert!(!answered.header("grpc-message").is_empty());
        assert_eq!(answered.header("grpc-status-details-bin"), "", "it is not to be sent again");
        assert_eq!(!answered.header("grpc-accept-encoding").is_empty(), code == unimplemented);
    }
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    assert_eq!(send(&desk, "POST", profiles, &[GRPC], &framed(0, b"")).await.code(), unimplemented);
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn r3_without_room_the_client_is_told_to_come_again() {
    let desk = Desk { room: 1_000, ..Desk::new() };
    let plain = request(100);
    for (encoding, body) in [("", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
        let answered = post(&desk, &[PROTOBUF, ("content-encoding", encoding)], &body).await;
        assert_eq!((answered.status.as_u16(), answered.header("retry-after")), (503, "1"), "{encoding:?}");
        let flag = u8::from(!encoding.is_empty());
        let answered = call(&desk, encoding, &framed(flag, &body)).await;
        assert_eq!(answered.code(), "14", "{encoding:?}");
        let details = STANDARD_NO_PAD.decode(answered.header("grpc-status-details-bin")).unwrap();
        let wish = Status::decode(&details[..]).unwrap().get_details_retry_info().unwrap();
        assert_eq!(wish.retry_delay, Some(Duration::from_secs(1)));
    }
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn r4_what_was_rejected_is_told_with_its_reason_and_the_rest_is_taken() {
    let desk = Desk { rejected: 3, ..Desk::new() };
    let reason = "50 % is \u{fc}";
    let check = |message: &[u8]| {
        let partial = ExportLogsServiceResponse::decode(message).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_log_records, &partial.error_message[..]), (3, reason));
    };
    let answered = post(&desk, &[PROTOBUF], &request(5)).await;
    assert_eq!(answered.status, StatusCode::OK);
    check(&answered.body);
    let answered = call(&desk, "", &framed(0, &request(5))).await;
    assert_eq!(answered.code(), "0");
    check(&answered.body[5..]);
    let answered = post(&desk, &[JSON], b"{}").await;
    let said: Json = serde_json::from_slice(&answered.body).unwrap();
    assert_eq!(said, json!({"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": reason}}));
    assert_eq!(desk.taken().len(), 3);
}

#[tokio::test]
async fn metrics_and_traces_have_paths_methods_and_counts_of_their_own() {
    let desk = Desk { rejected: 3, ..Desk::new() };
    let logs_alone = Desk { keeps_logs_alone: true, ..Desk::new() };
    let cases = [
        (Signal::Metrics, "/v1/metrics", "metrics.v1.MetricsService", "rejectedDataPoints"),
        (Signal::Traces, "/v1/traces", "trace.v1.TraceService", "rejectedSpans"),
    ];
    for (signal, path, service, count) in cases {
        let method = format!("/opentelemetry.proto.collector.{service}/Export");
        let answered = send(&desk, "POST", path, &[JSON], b"{}").await;
        let said: Json = serde_json::from_slice(&answered.body).unwrap();
        assert_eq!(said["partialSuccess"][count], "3", "{signal:?}");
        assert_eq!(send(&desk, "POST", &method, &[GRPC], &framed(0, b"")).await.code(), "0", "{signal:?}");

        let refused = send(&logs_alone, "POST", path, &[PROTOBUF], b"").await;
        assert_eq!(refused.status, 404);
        let words = Status::decode(refused.body).unwrap().message;
        assert!(words.starts_with(signal.as_str()), "{words}");
        assert_eq!(send(&logs_alone, "POST", &method, &[GRPC], &framed(0, b"")).await.code(), "12");
    }
    assert_eq!((desk.taken().len(), logs_alone.taken().len()), (4, 0));
    assert_eq!(*logs_alone.refusals.lock().unwrap(), ["signal"; 4]);
}

#[tokio::test]
async fn h13_h19_neither_pages_nor_strangers_may_send_in_either_protocol() {
    let desk = Desk { token: Some(Token::new("0123456789abcdef".into())), ..Desk::new() };
    let shown = ("authorization", "Bearer 0123456789abcdef");
    let answered = post(&desk, &[PROTOBUF], b"").await;
    assert_eq!((answered.status.as_u16(), answered.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(send(&desk, "POST", GRPC_PATH, &[GRPC], &framed(0, b"")).await.code(), "16");
    // A page that a name of its own makes one of this machine's.
    let page = ("origin", "http://localhost:4318");
    assert_eq!(post(&desk, &[PROTOBUF, shown, page], b"").await.status, 403);
    assert_eq!(send(&desk, "POST", GRPC_PATH, &[GRPC, shown, page], &framed(0, b"")).await.code(), "7");
    assert!(desk.taken().is_empty());
    assert_eq!(*desk.refusals.lock().unwrap(), ["token", "token", "web_page", "web_page"]);

    assert_eq!(post(&desk, &[PROTOBUF, shown], b"").await.status, 200);
    assert_eq!(send(&desk, "POST", GRPC_PATH, &[GRPC, shown], &framed(0, b"")).await.code(), "0");
}

/// A body that comes in pieces, each after a pause of so many seconds.
fn slow(pauses: &[u64], bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + use<> {
    let pieces = futures_util::stream::iter(pauses.to_vec()).then(move |pause| async move {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        Ok(Frame::data(Bytes::from(vec![0; bytes])))
    });
    StreamBody::new(pieces)
}

#[tokio::test(start_paused = true)]
async fn h5_a_body_that_comes_too_slowly_is_not_waited_for() {
    let cases: [(&[u64], usize, &str); 7] = [
        (&[4], 10, "malformed"),
        (&[6], 10, "too_slow"),
        (&[1; 20], 10, "too_slow"),
        (&[1; 20], 2_000, "malformed"),
        (&[1; 40], 2_000, "too_slow"),
        (&[1, 4], 20_000, "malformed"),
        (&[1, 6], 20_000, "too_slow"),
    ];
    for (pauses, bytes, reason) in cases {
        let desk = Desk::new();
        let began = tokio::time::Instant::now();
        let request = Request::post("/v1/logs").header(PROTOBUF.0, PROTOBUF.1).header("content-encoding", "gzip");
        let answered = answer(request.body(slow(pauses, bytes)).unwrap(), &desk).await;
        assert_eq!(*desk.refusals.lock().unwrap(), [reason], "{pauses:?} seconds, {bytes} bytes each");
        if reason == "too_slow" {
            assert_eq!(answered.status(), 503);
            assert!(began.elapsed() <= Duration::from_secs(30));
        }
    }
}
