use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use axum::http::Request;

use super::{
    arrivals::Encoding,
    samples::{lines, request},
    *,
};
use crate::feed::Written;

fn post(stream: &mut TcpStream, encoding: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: sink\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_encoding_is_read_on_one_connection() {
    let sink = Sink::start(Format::Python).unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    // Two frames in one body: what a client makes of two batches that were compressed before.
    let twice = |stream, compress: &dyn Fn(&[u8]) -> Vec<u8>| {
        [compress(&request(lines(stream, 600))), compress(&request(lines(stream, 1000)))].concat()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    for (stream, encoding, body) in
        [(0, "identity", request(lines(0, 1000))), (1, "gzip", twice(1, &gzip)), (2, "zstd", twice(2, &zstd))]
    {
        assert!(post(&mut client, encoding, &body).starts_with("HTTP/1.1 200 "), "stream {stream}");
    }
    let totals = sink.arrivals().totals();
    assert_eq!((totals.unique, totals.repeated, totals.foreign, totals.requests), (3000, 1200, 0, 3));
}

#[test]
fn line_that_comes_twice_or_does_not_come_shows() {
    let sink = Sink::start(Format::Python).unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    let most: Vec<String> = lines(0, 100).filter(|line| !line.ends_with("/000000042")).collect();
    let again = most[7].clone();
    post(&mut client, "identity", &request(most.into_iter().chain([again, "another line".to_owned()])));
    let totals = sink.arrivals().totals();
    assert_eq!((totals.unique, totals.repeated, totals.foreign), (99, 1, 1));
}

#[test]
fn what_cannot_be_read_is_counted_and_adds_no_line() {
    let sink = Sink::start(Format::Python).unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    let whole = request(lines(0, 1));
    post(&mut client, "zstd", b"not zstd");
    post(&mut client, "identity", &whole[..whole.len() - 1]);
    let totals = sink.arrivals().totals();
    assert_eq!((totals.requests, totals.unreadable, totals.unique, totals.foreign), (2, 2, 0, 0));
}

#[test]
fn latency_is_from_when_a_line_was_written_to_when_it_first_came() {
    let arrivals = Arrivals::new(Format::Python);
    let written = [2, 5, 9].map(|until| Written { until, at: Instant::now() });
    let take = |count| arrivals.take(Encoding::Identity, request(lines(0, count)), 0);
    take(4);
    arrivals.totals();
    let early = arrivals.latencies(0, &written);
    take(6);
    arrivals.totals();
    let all = arrivals.latencies(0, &written);
    assert_eq!((early.len(), all.len()), (4, 6));
    assert!(early.is_sorted() && early.iter().all(|latency| all.contains(latency)), "{early:?} {all:?}");
    assert_eq!(arrivals.latencies(1, &written), []);
}

#[test]
fn grpc_is_answered_on_the_same_port() {
    let sink = Sink::start(Format::Python).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = zstd::encode_all(request(lines(0, 1000)).as_slice(), 1).unwrap();
    let statuses = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(sink.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let head = Request::post("http://sink/opentelemetry.proto.collector.logs.v1.LogsService/Export")
                .header("grpc-encoding", "zstd")
                .body(())
                .unwrap();
            client = client.ready().await.unwrap();
            let (answer, mut sending) = client.send_request(head, false).unwrap();
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            sending.send_data([&[1], length.as_slice(), &body].concat().into(), true).unwrap();
            let mut answer = answer.await.unwrap().into_body();
            assert_eq!(answer.data().await.unwrap().unwrap(), [0; 5].as_slice());
            statuses.push(answer.trailers().await.unwrap().unwrap()["grpc-status"].clone());
        }
        statuses
    });
    assert_eq!(statuses, ["0", "0"]);
    let totals = sink.arrivals().totals();
    assert_eq!((totals.unique, totals.repeated, totals.requests, totals.unreadable), (1000, 1000, 2, 0));
}

#[test]
fn sink_ends_while_a_client_is_connected() {
    let sink = Sink::start(Format::Python).unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    post(&mut client, "identity", &request(lines(0, 1)));
    drop(sink);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
