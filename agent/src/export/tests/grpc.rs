//! OTLP/gRPC over real connections.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hyper::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};

use super::{
    server::{Reply, Seen, Server, Speaks, map},
    *,
};

fn grpc(server: &Server, compression: Compression) -> Config {
    config(&server.url(""), Protocol::Grpc, compression)
}

fn ok(response: &ExportLogsServiceResponse) -> Reply {
    let message = response.encode_to_vec();
    let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    body.extend(message);
    Reply::Answer {
        status: 200,
        headers: map(&[("content-type", "application/grpc")]),
        body,
        trailers: map(&[("grpc-status", "0")]),
    }
}

/// A call that fails at once, with its status in the head.
fn trailers_only(headers: &[(&'static str, &str)]) -> Reply {
    let mut all = map(&[("content-type", "application/grpc")]);
    all.extend(map(headers));
    Reply::Answer { status: 200, headers: all, body: Vec::new(), trailers: HeaderMap::new() }
}

/// `google.rpc.Status` with a `google.rpc.RetryInfo`, as `grpc-status-details-bin` carries it.
fn retry_info(seconds: i64) -> String {
    let delay = Duration { seconds };
    let any = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
        value: RetryInfo { retry_delay: Some(delay) }.encode_to_vec(),
    };
    STANDARD_NO_PAD.encode(Status { code: 14, details: vec![any] }.encode_to_vec())
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// The message in a request's frame.
fn opened(seen: &Seen) -> Vec<u8> {
    let (prefix, message) = seen.body.split_at(5);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
    assert_eq!(prefix[0] == 1, seen.header("grpc-encoding").is_some());
    match seen.header("grpc-encoding") {
        None => message.to_vec(),
        Some("zstd") => zstd::stream::decode_all(message).unwrap(),
        Some("gzip") => {
            let mut bytes = Vec::new();
            std::io::copy(&mut flate2::read::GzDecoder::new(message), &mut bytes).unwrap();
            bytes
        }
        Some(other) => panic!("{other} was not configured"),
    }
}

#[tokio::test]
async fn a_call_is_framed_as_the_protocol_says() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let server = Server::start(Speaks::Http2, |_, _| ok(&ExportLogsServiceResponse::default())).await;
        let delivery = deliver_once(&grpc(&server, compression), &lines(100)).await;

        assert_eq!(delivery, Delivery::Accepted { rejected: 0, message: String::new() });
        let seen = &server.seen()[0];
        assert_eq!(bodies(&opened(seen)), lines(100), "{compression:?}");
        assert_eq!(seen.path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
        assert_eq!(seen.header("content-type"), Some("application/grpc"));
        assert_eq!(seen.header("te"), Some("trailers"));
        assert_eq!(seen.header("grpc-timeout"), Some("60000m"));
        assert_eq!(seen.header("user-agent"), Some(concat!("runlog/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(seen.header("x-scope-orgid"), Some("team"));
    }
}

/// The Collector (grpc-go) does so, and each batch was followed by a warning that the answer is no OTLP.
#[tokio::test]
async fn an_answer_in_the_compression_of_the_request_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "too old".into() };
    let message = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &message).unwrap();
    let zstd = zstd::bulk::compress(&message, 1).unwrap();
    for (compression, packed) in [(Compression::Gzip, gzip.finish().unwrap()), (Compression::Zstd, zstd)] {
        let body = [&[1, 0, 0, 0, u8::try_from(packed.len()).unwrap()], &packed[..]].concat();
        let server = Server::start(Speaks::Http2, move |_, _| Reply::Answer {
            status: 200,
            headers: map(&[("content-type", "application/grpc"), ("grpc-encoding", compression.as_str())]),
            body: body.clone(),
            trailers: map(&[("grpc-status", "0")]),
        })
        .await;
        let delivery = deliver_once(&grpc(&server, compression), &lines(10)).await;
        assert_eq!(delivery, Delivery::Accepted { rejected: 3, message: "too old".into() }, "{compression:?}");
    }
}

#[tokio::test]
async fn a_call_that_was_refused_for_now_is_repeated_with_the_same_bytes() {
    let server = Server::start(Speaks::Http2, |before, _| match before {
        0 => Reply::HangUp,
        1 => trailers_only(&[("grpc-status", "14"), ("grpc-message", "busy")]),
        2 => Reply::status(503),
        _ => ok(&ExportLogsServiceResponse::default()),
    })
    .await;
    let mut bench = Bench::new();
    bench.route = Route::from(&grpc(&server, Compression::Zstd));
    let sent = waiting(1, &lines(50));
    bench.deliver(otlp(&grpc(&server, Compression::Zstd)), [sent.clone()]).await;

    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| seen.body[5..] == sent.body), "as the queue holds it");
    assert_eq!(bench.acknowledged(), [1]);
}

#[tokio::test]
async fn x5_x8_x9_a_status_decides_whether_data_is_kept_retried_or_set_aside() {
    let details = retry_info(7);
    let long = retry_info(1_000_000);
    let retry = |after: Option<u64>, reason: &str| Delivery::Retry {
        after: after.map(std::time::Duration::from_secs),
        reason: reason.into(),
    };
    let refused = |reason: &str| Delivery::Refused { reason: reason.into() };
    let failed = |reason: &str| Delivery::Failed { reason: reason.into() };
    let too_large = |reason: &str| Delivery::TooLarge { reason: reason.into() };
    let wrong = |reason: &str| Delivery::Misconfigured { reason: reason.into() };
    let cases: Vec<(Vec<(&'static str, &str)>, Delivery)> = vec![
        (vec![("grpc-status", "1")], retry(None, "answered CANCELLED")),
        (vec![("grpc-status", "2")], failed("answered UNKNOWN")),
        (vec![("grpc-status", "3"), ("grpc-message", "no%20way%0A")], refused("answered INVALID_ARGUMENT: no way")),
        (vec![("grpc-status", "4")], retry(None, "answered DEADLINE_EXCEEDED")),
        (vec![("grpc-status", "5")], refused("answered NOT_FOUND")),
        (vec![("grpc-status", "6")], refused("answered ALREADY_EXISTS")),
        (vec![("grpc-status", "9")], refused("answered FAILED_PRECONDITION")),
        (vec![("grpc-status", "7")], wrong("answered PERMISSION_DENIED; see export.headers")),
        (vec![("grpc-status", "8")], failed("answered RESOURCE_EXHAUSTED")),
        (
            vec![("grpc-status", "8"), ("grpc-status-details-bin", &details)],
            retry(Some(7), "answered RESOURCE_EXHAUSTED"),
        ),
        (
            vec![("grpc-status", "8"), ("grpc-message", "grpc: received message larger than max (5 vs. 4)")],
            too_large("answered RESOURCE_EXHAUSTED: grpc: received message larger than max (5 vs. 4)"),
        ),
        (
            vec![("grpc-status", "11"), ("grpc-message", "Error, decoded message length too large: found 5 bytes")],
            too_large("answered OUT_OF_RANGE: Error, decoded message length too large: found 5 bytes"),
        ),
        (vec![("grpc-status", "10")], retry(None, "answered ABORTED")),
        (vec![("grpc-status", "11")], retry(None, "answered OUT_OF_RANGE")),
        (vec![("grpc-status", "12")], wrong("answered UNIMPLEMENTED; see export.endpoint")),
        (vec![("grpc-status", "13")], failed("answered INTERNAL")),
        (vec![("grpc-status", "14")], retry(None, "answered UNAVAILABLE")),
        (vec![("grpc-status", "14"), ("grpc-status-details-bin", &details)], retry(Some(7), "answered UNAVAILABLE")),
        (vec![("grpc-status", "14"), ("grpc-status-details-bin", &long)], retry(Some(600), "answered UNAVAILABLE")),
        (vec![("grpc-status", "14"), ("grpc-status-details-bin", "?no base64?")], retry(None, "answered UNAVAILABLE")),
        (vec![("grpc-status", "15")], retry(None, "answered DATA_LOSS")),
        (vec![("grpc-status", "16")], wrong("answered UNAUTHENTICATED; see export.headers")),
        (vec![("grpc-status", "99")], failed("answered an unknown code")),
        (vec![], retry(None, "the answer broke off")),
    ];
    let replies: Vec<_> = cases.iter().map(|(headers, _)| trailers_only(headers)).collect();
    let server = Server::start(Speaks::Http2, move |before, _| replies[before].clone()).await;
    let exporter = otlp(&grpc(&server, Compression::None));
    let (meta, body) = batch(&lines(1));
    for (headers, expected) in cases {
        assert_eq!(exporter.deliver(1, &meta, &body).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_not_grpc_says_nothing_about_the_data() {
    let foreign = "without a gRPC status; if this is an OTLP/HTTP endpoint, set export.protocol = \"http/protobuf\"";
    let wrong = |status: &str| Delivery::Misconfigured { reason: format!("answered {status} {foreign}") };
    let cases = [
        (
            Reply::with(503, ("retry-after", "9"), ""),
            Delivery::Retry {
                after: Some(std::time::Duration::from_secs(9)),
                reason: "answered 503 Service Unavailable".into(),
            },
        ),
        (Reply::status(413), Delivery::TooLarge { reason: "answered 413 Payload Too Large".into() }),
        (Reply::status(500), Delivery::Retry { after: None, reason: "answered 500 Internal Server Error".into() }),
        (Reply::status(404), wrong("404 Not Found")),
        (Reply::status(415), wrong("415 Unsupported Media Type")),
        (Reply::with(200, ("content-type", "text/html"), "<html>"), wrong("200 OK")),
    ];
    let replies = cases.clone().map(|(reply, _)| reply);
    let server = Server::start(Speaks::Http2, move |before, _| replies[before].clone()).await;
    let exporter = otlp(&grpc(&server, Compression::None));
    let (meta, body) = batch(&lines(1));
    for (reply, expected) in cases {
        assert_eq!(exporter.deliver(1, &meta, &body).await, expected, "{reply:?}");
    }
}

#[tokio::test]
async fn x20_a_server_without_zstd_gets_gzip_from_then_on() {
    let server = Server::start(Speaks::Http2, |_, seen| match seen.header("grpc-encoding") {
        Some("zstd") => {
            trailers_only(&[("grpc-status", "12"), ("grpc-message", "no zstd"), ("grpc-accept-encoding", "gzip")])
        }
        _ => ok(&ExportLogsServiceResponse::default()),
    })
    .await;
    let exporter = otlp(&grpc(&server, Compression::Zstd));
    let (meta, body) = batch(&lines(1));
    for _ in 0..2 {
        assert_eq!(exporter.deliver(1, &meta, &body).await, Delivery::Accepted { rejected: 0, message: String::new() });
    }
    let encodings: Vec<_> = server.seen().iter().map(|seen| seen.header("grpc-encoding").unwrap().to_owned()).collect();
    assert_eq!(encodings, ["zstd", "gzip", "gzip"]);
}

#[tokio::test]
async fn x6_a_partial_success_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".into() };
    let server = Server::start(Speaks::Http2, move |_, _| {
        ok(&ExportLogsServiceResponse { partial_success: Some(partial.clone()) })
    })
    .await;
    let delivery = deliver_once(&grpc(&server, Compression::Gzip), &lines(5)).await;
    assert_eq!(delivery, Delivery::Accepted { rejected: 2, message: "too old".into() });
}
