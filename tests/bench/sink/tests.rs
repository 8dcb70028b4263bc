use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{
    samples::{lines, request},
    *,
};

const PATIENCE: Duration = Duration::from_secs(60);

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
    let sink = Sink::start().unwrap();
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
    assert!(matches!(sink.arrivals().wait_for(3000, PATIENCE), Waited::Complete(_)));
    let totals = sink.arrivals().totals();
    assert_eq!((totals.unique, totals.repeated, totals.foreign, totals.requests), (3000, 1200, 0, 3));
}

#[test]
fn line_that_comes_twice_or_does_not_come_shows() {
    let sink = Sink::start().unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    let most: Vec<String> = lines(0, 100).filter(|line| !line.ends_with("/000000042")).collect();
    let again = most[7].clone();
    post(&mut client, "identity", &request(most.into_iter().chain([again, "another line".to_owned()])));
    assert!(matches!(sink.arrivals().wait_for(100, Duration::ZERO), Waited::NotYet { .. }));
    let totals = sink.arrivals().totals();
    assert_eq!((totals.unique, totals.repeated, totals.foreign), (99, 1, 1));
}

#[test]
fn what_cannot_be_read_is_refused_and_leaves_no_trace() {
    let sink = Sink::start().unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    let whole = request(lines(0, 10));
    assert!(post(&mut client, "zstd", b"not zstd").starts_with("HTTP/1.1 400 "));
    assert!(post(&mut client, "identity", &whole[..whole.len() - 1]).starts_with("HTTP/1.1 400 "));
    let totals = sink.arrivals().totals();
    assert_eq!(totals, Totals { refused: 2, ..Totals::default() });
}

#[test]
fn sink_ends_while_a_client_is_connected() {
    let sink = Sink::start().unwrap();
    let mut client = TcpStream::connect(sink.address()).unwrap();
    post(&mut client, "identity", &request(lines(0, 1)));
    drop(sink);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
