//! OTLP/HTTP over real connections.

use std::io::Read;

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket},
};

use super::{
    server::{Reply, Seen, Server, Speaks},
    *,
};

fn opened(seen: &Seen) -> Vec<u8> {
    match seen.header("content-encoding") {
        None => seen.body.to_vec(),
        Some("zstd") => zstd::stream::decode_all(&seen.body[..]).unwrap(),
        Some("gzip") => {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut bytes).unwrap();
            bytes
        }
        Some(other) => panic!("{other} was not configured"),
    }
}

fn http(server: &Server, compression: Compression) -> Config {
    config(&server.url("/v1/logs"), Protocol::HttpProtobuf, compression)
}

#[tokio::test]
async fn every_compression_carries_the_same_records_and_headers() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let server = Server::start(Speaks::Http1, |_, _| Reply::status(200)).await;
        let delivery = deliver_once(&http(&server, compression), &lines(100)).await;

        assert_eq!(delivery, Delivery::Accepted { rejected: 0, message: String::new() });
        let seen = server.seen();
        assert_eq!(bodies(&opened(&seen[0])), lines(100), "{compression:?}");
        assert_eq!(seen[0].path, "/v1/logs");
        let header = |name| seen[0].header(name);
        assert_eq!(header("content-type"), Some("application/x-protobuf"));
        assert_eq!(header("user-agent"), Some(concat!("runlog/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(header("x-scope-orgid"), Some("team"));
    }
}

#[tokio::test]
async fn metrics_and_traces_go_beside_the_logs() {
    let server = Server::start(Speaks::Http1, |_, _| Reply::status(200)).await;
    for path in ["/v1/logs", "/otlp/v1/logs/", "/otlp?key=1", ""] {
        let config = config(&server.url(path), Protocol::HttpProtobuf, Compression::Gzip);
        let otlp = Otlp::new(&config, Arc::new(SystemClock)).unwrap();
        for signal in Signal::PASSED {
            let delivery = otlp.send(signal, b"an encoded request").await;
            assert_eq!(delivery, Delivery::Accepted { rejected: 0, message: String::new() });
        }
    }
    let seen = server.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let expected = [["/v1/metrics", "/v1/traces"], ["/otlp/v1/metrics", "/otlp/v1/traces"]];
    assert_eq!(paths, [expected[0], expected[1], expected[1], expected[0]].concat());
    assert!(seen.iter().all(|seen| opened(seen) == b"an encoded request" && seen.header("x-scope-orgid").is_some()));
}

#[tokio::test]
async fn a_signal_without_a_path_is_no_fault_of_the_settings() {
    let server = Server::start(Speaks::Http1, |before, _| Reply::status([404, 405, 501, 401][before % 4])).await;
    let otlp =
        Otlp::new(&config(&server.url("/v1/logs"), Protocol::HttpProtobuf, Compression::None), Arc::new(SystemClock));
    let otlp = otlp.unwrap();
    for _ in 0..3 {
        let delivery = otlp.send(Signal::Traces, b"an encoded request").await;
        assert!(matches!(delivery, Delivery::Unserved { .. }), "{delivery:?}");
    }
    let delivery = otlp.send(Signal::Traces, b"an encoded request").await;
    assert!(matches!(delivery, Delivery::Misconfigured { .. }), "{delivery:?}");
    let delivery = otlp.send(Signal::Logs, b"an encoded request").await;
    assert!(matches!(delivery, Delivery::Misconfigured { .. }), "{delivery:?}");
}

#[tokio::test]
async fn x2_a_lost_reply_is_answered_with_the_same_bytes() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let server = Server::start(Speaks::Http1, |before, _| match before {
            0 => Reply::HangUp,
            1 => Reply::with(503, ("retry-after", "0"), "later"),
            _ => Reply::status(204),
        })
        .await;
        let mut bench = Bench::new();
        bench.route = Route::from(&http(&server, compression));
        let sent = waiting(1, &lines(50));
        bench.deliver(otlp(&http(&server, compression)), [sent.clone()]).await;

        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert_eq!((&seen[0].body, &seen[1].body), (&seen[1].body, &seen[2].body));
        if compression == Compression::Zstd {
            assert_eq!(seen[0].body, sent.body, "as the queue holds it");
        }
        assert_eq!(bench.acknowledged(), [1]);
    }
}

#[tokio::test]
async fn x9_requests_are_halved_until_they_fit() {
    let server =
        Server::start(Speaks::Http1, |_, seen| Reply::status(if opened(seen).len() > 30_000 { 413 } else { 200 }))
            .await;
    let mut bench = Bench::new();
    bench.route = Route::from(&http(&server, Compression::Gzip));
    bench.deliver(otlp(&http(&server, Compression::Gzip)), [waiting(1, &lines(2000))]).await;

    let taken: Vec<_> = server.seen().iter().map(opened).filter(|request| request.len() <= 30_000).collect();
    assert_eq!(taken.iter().flat_map(|request| bodies(request)).collect::<Vec<_>>(), lines(2000));
}

#[tokio::test]
async fn x7_a_record_that_the_server_refuses_becomes_a_dead_letter() {
    let server = Server::start(Speaks::Http1, |_, seen| match bodies(&opened(seen)).iter().any(|body| body == "bad") {
        true => Reply::with(400, ("content-type", "text/plain"), "entry too far behind\n"),
        false => Reply::status(200),
    })
    .await;
    let mut bench = Bench::new();
    bench.route = Route::from(&http(&server, Compression::Gzip));
    let poisoned = [&lines(4)[..], &["bad".to_owned()], &lines(3)].concat();
    bench.deliver(otlp(&http(&server, Compression::Gzip)), [waiting(1, &poisoned), waiting(2, &lines(1))]).await;

    assert_eq!(bench.letters(".otlp.zst").iter().map(|letter| unpacked(letter)).collect::<Vec<_>>(), [["bad"]]);
    let error = bench.stats.counts().last_error;
    assert_eq!(error.as_deref(), Some("answered 400 Bad Request: entry too far behind"));
    assert_eq!(bench.stats.counts().records, 8);
    assert_eq!(bench.acknowledged(), [1, 2]);
}

#[tokio::test]
async fn x20_a_server_that_does_not_know_zstd_gets_gzip_from_then_on() {
    for status in [415, 400] {
        let server = Server::start(Speaks::Http1, move |_, seen| {
            Reply::status(if seen.header("content-encoding") == Some("zstd") { status } else { 200 })
        })
        .await;
        let mut bench = Bench::new();
        bench.route = Route::from(&http(&server, Compression::Zstd));
        bench.deliver(otlp(&http(&server, Compression::Zstd)), [waiting(1, &lines(2)), waiting(2, &lines(3))]).await;

        let encodings: Vec<_> =
            server.seen().iter().map(|seen| seen.header("content-encoding").unwrap().to_owned()).collect();
        assert_eq!(encodings, ["zstd", "gzip", "gzip"], "after {status}");
        assert_eq!(bench.stats.counts().records, 5);
    }
}

/// Or each refused record would cost two requests, and the backend would be sent what is larger.
#[tokio::test]
async fn x20_a_compression_that_was_taken_once_is_not_to_blame_for_a_refusal() {
    let server = Server::start(Speaks::Http1, |before, _| Reply::status(if before == 1 { 400 } else { 200 })).await;
    let exporter = otlp(&http(&server, Compression::Gzip));
    let (meta, body) = batch(&lines(1));
    assert_eq!(exporter.deliver(1, &meta, &body).await, accepted());
    let refused = Delivery::Refused { reason: "answered 400 Bad Request".into() };
    assert_eq!(exporter.deliver(2, &meta, &body).await, refused);
    assert_eq!(exporter.deliver(3, &meta, &body).await, accepted());
    assert!(server.seen().iter().all(|seen| seen.header("content-encoding") == Some("gzip")));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn x6_a_partial_success_is_read() {
    let answer = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".into() }),
    };
    let server = Server::start(Speaks::Http1, move |_, _| {
        Reply::with(200, ("content-type", "application/x-protobuf"), answer.encode_to_vec())
    })
    .await;
    let delivery = deliver_once(&http(&server, Compression::Gzip), &lines(5)).await;
    assert_eq!(delivery, Delivery::Accepted { rejected: 2, message: "too old".into() });
}

#[tokio::test]
async fn x16_an_answer_without_an_end_is_not_read_to_it() {
    let server = Server::start(Speaks::Http1, |_, _| {
        Reply::with(200, ("content-type", "application/x-protobuf"), vec![0; transport::LONGEST_ANSWER + 1])
    })
    .await;
    let delivery = deliver_once(&http(&server, Compression::Gzip), &lines(1)).await;
    let message = "answered 200 OK, but the answer is longer than 4194304 bytes".to_owned();
    assert_eq!(delivery, Delivery::Accepted { rejected: 0, message });
}

#[tokio::test]
async fn x12_a_redirect_is_told_and_not_followed() {
    let server = Server::start(Speaks::Http1, |_, _| Reply::with(307, ("location", "/login"), "")).await;
    let delivery = deliver_once(&http(&server, Compression::Gzip), &lines(1)).await;
    let reason = "answered 307 Temporary Redirect to /login, which is not followed; see export.endpoint".to_owned();
    assert_eq!(delivery, Delivery::Misconfigured { reason });
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn x10_a_server_that_never_answers_is_left_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/logs", silent.local_addr().unwrap());
    let mut config = config(&url, Protocol::HttpProtobuf, Compression::Gzip);
    config.timeout = Duration::from_millis(20);
    let delivery = deliver_once(&config, &lines(1)).await;
    assert_eq!(delivery, Delivery::Retry { after: None, reason: "no answer within 20ms".into() });
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    // Held, so that nobody else listens there.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = held.local_addr().unwrap();
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let config = config(&format!("http://{gone}/v1/logs"), protocol, Compression::Gzip);
        let reason = "Connection refused (os error 111)".to_owned();
        assert_eq!(deliver_once(&config, &lines(1)).await, Delivery::Retry { after: None, reason });
    }
}

#[tokio::test]
async fn a_grpc_server_that_is_sent_http_is_recognised() {
    let server = Server::start(Speaks::Http2, |_, _| Reply::status(200)).await;
    let delivery = deliver_once(&http(&server, Compression::Gzip), &lines(1)).await;
    let reason = "the answer is not HTTP/1.1; if this is a gRPC endpoint, set export.protocol = \"grpc\"".to_owned();
    assert_eq!(delivery, Delivery::Retry { after: None, reason });
}

#[tokio::test]
async fn an_http_server_that_is_sent_grpc_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // As Go's net/http answers a preface that it does not know.
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request").await.unwrap();
        stream
    };
    let config = config(&url, Protocol::Grpc, Compression::Gzip);
    let lines = lines(1);
    let (delivery, _stream) = tokio::join!(deliver_once(&config, &lines), serve);
    let reason = "the answer is not HTTP/2; if this is an OTLP/HTTP endpoint, set export.protocol = \"http/protobuf\"";
    assert_eq!(delivery, Delivery::Misconfigured { reason: reason.into() });
}

#[test]
fn secrets_of_the_endpoint_are_not_shown() {
    let url = "http://me:pass@backend/v1/logs?key=abc#here";
    let shown = otlp(&config(url, Protocol::HttpProtobuf, Compression::Gzip)).address().to_owned();
    assert_eq!(shown, "http://backend/v1/logs");
}

#[test]
fn a_header_that_cannot_be_sent_is_named_without_its_value() {
    let mut config = config("http://backend/v1/logs", Protocol::HttpProtobuf, Compression::Gzip);
    config.headers = Headers(vec![("authorization".into(), "secret\nx".into())]);
    let error = Otlp::new(&config, Arc::new(SystemClock)).err().unwrap().to_string();
    assert_eq!(error, "headers: \"authorization\" or its value cannot be sent as an HTTP header");
}
