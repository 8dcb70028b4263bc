//! Clients that mean no good, or are broken: they are refused and counted, memory stays bounded, and others are served.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;
use runlog_tests::{Agent, Sink, eventually};
use serde_json::Value as Json;

use crate::{
    raw::{Address, FIELDS, answer, frame, preface},
    receiving,
};

const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const MIB: u64 = 1 << 20;

/// What the agent may take more than at rest, whatever it is sent: `memory.max_bytes` is 16 MiB, as is a request.
const MOST: u64 = 64 * MIB;

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope = ScopeLogs { log_records: records, ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }
}

fn line(body: &str) -> LogRecord {
    LogRecord { time_unix_nano: 1 << 60, severity_number: 9, body: Some(text(body)), ..LogRecord::default() }
}

/// Sends a record as an honest client does, who comes again if there was no room, and says how long its answer took.
fn honest(address: &Address) -> Duration {
    let began = Instant::now();
    let body = request(vec![line("honest")]).encode_to_vec();
    let (status, said) = eventually("there is room for an honest client", || {
        Some(address.post("/v1/logs", PROTOBUF, &body)).filter(|(status, _)| *status != 503)
    });
    assert_eq!(status, 200, "{said}");
    began.elapsed()
}

fn refused(agent: &Agent, reason: &str) -> f64 {
    agent.metric(&format!("runlog_refused_requests_total{{reason=\"{reason}\"}}"))
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of a message.
fn field(number: u64, payload: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2), &varint(payload.len() as u64), payload].concat()
}

#[test]
fn h3_h7_messages_that_lie_about_their_size_depth_or_number_are_refused() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    let address = Address::of_receiver(&agent);
    honest(&address);
    let before = agent.resident_bytes();

    let lying = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let heads = b"\x0a\x02\x12\x00".repeat(20_000);
    let records = field(1, &field(2, &b"\x12\x00".repeat(4 << 20)));
    let cases: [(&str, Vec<u8>, u16, &str); 6] = [
        (PROTOBUF, lying.to_vec(), 400, "malformed"),
        // A group, which has no length to check.
        (PROTOBUF, vec![0x0b; 1 << 20], 400, "malformed"),
        (PROTOBUF, heads, 413, "too_many"),
        (PROTOBUF, records, 413, "too_many"),
        (JSON, format!("{{\"resourceLogs\":[{}{{}}]}}", "{},".repeat(5 << 20)).into_bytes(), 413, "too_large"),
        (JSON, "[".repeat(1 << 20).into_bytes(), 400, "malformed"),
    ];
    for (headers, body, status, reason) in cases {
        let counted = refused(&agent, reason);
        let (answered, said) = address.post("/v1/logs", headers, &body);
        assert_eq!(answered, status, "{said}");
        assert_eq!(refused(&agent, reason), counted + 1.0, "{reason}");
    }
    // What a client still has nobody here knows.
    let stream = agent.status()["streams"][0].clone();
    assert_eq!(
        (&stream["kind"], &stream["lag_bytes"], &stream["lag_seconds"]),
        (&"otlp".into(), &Json::Null, &Json::Null)
    );
    let last_error = stream["last_error"].as_str().unwrap();
    assert!(last_error.starts_with("a request was refused: the body is no request"), "{last_error}");
    // Records whose own fault it is are rejected one by one.
    let mut deep = vec![0x10, 1];
    for _ in 0..60_000 {
        deep = field(5, &field(1, &deep));
        if deep.len() > 100_000 {
            break;
        }
    }
    let deep = field(1, &field(2, &field(2, &field(5, &deep))));
    let (status, said) = address.post("/v1/logs", PROTOBUF, &deep);
    assert!(status == 200 && said.contains("stand too deep"), "{said}");
    let mut large = request(vec![line("x"); 100]);
    let value = Some(text(&"y".repeat(1 << 20)));
    large.resource_logs[0].resource.get_or_insert_default().attributes.push(KeyValue { value, ..KeyValue::default() });
    let (status, said) = address.post("/v1/logs", PROTOBUF, &large.encode_to_vec());
    assert!(status == 200 && said.contains("take more than 65536 bytes"), "{said}");
    assert_eq!(agent.metric("runlog_lost_lines_total{source=\"otlp\"}"), 101.0);

    honest(&address);
    let grown = agent.peak_resident_bytes() - before;
    assert!(grown < MOST, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn h4_what_unpacks_to_gigabytes_is_refused_at_its_limit() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    let address = Address::of_receiver(&agent);
    honest(&address);
    let before = agent.resident_bytes();

    // 4 GiB of zstd in 128 KiB: a window of 8 MiB and blocks of one repeated byte.
    let blocks = [0x02, 0, 0x10, 0].repeat(32 << 10);
    let zstd = [b"\x28\xb5\x2f\xfd\x00\x68".as_slice(), &blocks, &[0x03, 0, 0x10, 0]].concat();
    // Of gzip a little more than the limit, since an unoptimized build takes long for it.
    let zeros = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..17).for_each(|_| gzip.write_all(&zeros).unwrap());
    let gzip = gzip.finish().unwrap();
    // A window of 128 MiB, which the decoder would have to hold.
    let window = b"\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00";
    for (encoding, body, status, clients) in
        [("zstd", &zstd[..], 413, 8), ("gzip", &gzip, 413, 1), ("zstd", window, 400, 8)]
    {
        let headers = format!("{PROTOBUF}Content-Encoding: {encoding}\r\n");
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let (address, headers, body) = (address.clone(), headers.clone(), body.to_vec());
                thread::spawn(move || address.post("/v1/logs", &headers, &body).0)
            })
            .collect();
        for client in clients {
            // While another one is unpacked there may be no room.
            let answered = client.join().unwrap();
            assert!(answered == status || answered == 503, "{encoding}: {answered}");
        }
        let alone = || Some(address.post("/v1/logs", &headers, body).0).filter(|answered| *answered != 503);
        assert_eq!(eventually("there is room for one", alone), status, "{encoding}");
    }
    assert!(refused(&agent, "too_large") >= 2.0 && refused(&agent, "malformed") >= 1.0);
    honest(&address);
    let grown = agent.peak_resident_bytes() - before;
    assert!(grown < MOST, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn h5_whoever_holds_connections_open_keeps_nobody_out() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    let address = Address::of_receiver(&agent);
    honest(&address);
    // More than there are places: silent ones, half a head, a body that does not come, and HTTP/2 without a request.
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..400 {
        let mut stream = address.connect();
        let _ = match number % 4 {
            0 => Ok(()),
            1 => stream.write_all(b"POST /v1/logs HTTP/1.1\r\nHost: a\r\nX-"),
            2 => stream.write_all(address.head("/v1/logs", PROTOBUF, 16 << 20).as_bytes()),
            _ => stream.write_all(&preface()),
        };
        held.push(stream);
        if number % 50 == 49 {
            let took = honest(&address);
            assert!(took < Duration::from_secs(20), "connection {number}: {took:?}");
        }
    }
    assert!(refused(&agent, "displaced") > 0.0);
    // Bodies that do not come have taken no memory from the other sources, and are not waited for.
    fs::write(agent.path("a.log"), "a line\n").unwrap();
    eventually("a line of another source is stored", || {
        agent.lines("r").iter().any(|line| line.body() == "a line").then_some(())
    });
    eventually("bodies that do not come are given up", || (refused(&agent, "too_slow") >= 50.0).then_some(()));
    drop(held);
    honest(&address);
}

#[test]
fn h5_a_hundred_clients_with_large_requests_stay_within_the_memory() {
    let sink = Sink::start();
    let agent = receiving(&sink).start();
    let address = Address::of_receiver(&agent);
    honest(&address);
    let before = agent.resident_bytes();
    // 2 MiB each, which 16 MiB of memory cannot hold at once. Every other one stops in its midst.
    let body = request(vec![line(&"x".repeat(1_000)); 2_000]).encode_to_vec();
    let clients: Vec<_> = (0..100)
        .map(|number| {
            let (address, body) = (address.clone(), body.clone());
            thread::spawn(move || {
                if number % 2 == 1 {
                    return address.post("/v1/logs", PROTOBUF, &body).0;
                }
                let mut stream = address.connect();
                let _ = stream.write_all(address.head("/v1/logs", PROTOBUF, body.len()).as_bytes());
                let _ = stream.write_all(&body[..body.len() / 2]);
                answer(stream).0
            })
        })
        .collect();
    let answers: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answers.iter().all(|status| matches!(status, 200 | 503)), "{answers:?}");
    assert!(answers.contains(&200), "{answers:?}");
    let grown = agent.peak_resident_bytes() - before;
    assert!(grown < MOST, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn h6_floods_of_http2_end_their_connection_and_nothing_else() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    let address = Address::of_receiver(&agent);
    honest(&address);
    let before = agent.resident_bytes();
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;
    const END_HEADERS: u8 = 4;
    let streams = || (1..).step_by(2);
    let resets = streams().take(20_000).flat_map(|stream| {
        [frame(HEADERS, END_HEADERS, stream, FIELDS), frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let opened = streams().take(20_000).flat_map(|stream| frame(HEADERS, END_HEADERS, stream, FIELDS));
    let mut endless = frame(HEADERS, 0, 1, FIELDS);
    // Each a header that is written out: `x: xxx...`.
    let header = [b"\x00\x01x\x7f\x81\x7e".as_slice(), &[b'x'; 16_256]].concat();
    (0..256).for_each(|_| endless.extend(frame(CONTINUATION, 0, 1, &header)));
    let mut empty = frame(HEADERS, END_HEADERS, 1, FIELDS);
    (0..100_000).for_each(|_| empty.extend(frame(DATA, 0, 1, b"")));
    let settings = (0..20_000).flat_map(|_| frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x01"));
    let pings = (0..20_000).flat_map(|_| frame(PING, 0, 0, b"12345678"));
    let floods: [Vec<u8>; 6] =
        [resets.collect(), opened.collect(), endless, empty, settings.collect(), pings.collect()];
    for (number, flood) in floods.iter().enumerate() {
        let mut stream = address.connect();
        let mut reading = stream.try_clone().unwrap();
        // What comes back has to be read, or both sides wait for each other.
        let reader = thread::spawn(move || {
            let mut taken = [0; 1 << 16];
            while reading.read(&mut taken).is_ok_and(|read| read > 0) {}
        });
        let _ = stream.write_all(&preface());
        let _ = stream.write_all(flood);
        let took = honest(&address);
        assert!(took < Duration::from_secs(20), "flood {number}: {took:?}");
        let _ = stream.shutdown(std::net::Shutdown::Both);
        reader.join().unwrap();
    }
    let grown = agent.peak_resident_bytes() - before;
    assert!(grown < MOST, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn h25_the_page_and_the_metrics_are_served_whatever_is_sent_there() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    let page = Address::of_page(&agent);
    let before = agent.resident_bytes();
    let head = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(4 << 20));
    let headers = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100_000));
    let path = format!("GET /api/v1/runs/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "%00".repeat(1 << 20));
    for (bytes, statuses) in [
        (head.into_bytes(), &[431, 0][..]),
        (headers.into_bytes(), &[431, 0]),
        (path.into_bytes(), &[414, 431, 0]),
        (b"\x16\x03\x01\x02\x00\x01".repeat(1_000), &[400, 0]),
        (vec![0; 1 << 20], &[400, 0]),
        (
            b"GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_vec(),
            &[421],
        ),
    ] {
        let (status, said) = page.send(&bytes);
        assert!(statuses.contains(&status), "{status}: {}", said.chars().take(200).collect::<String>());
    }
    let held: Vec<_> = (0..400).map(|_| page.connect()).collect();
    let began = Instant::now();
    assert!(agent.get("/livez").contains("true"));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(held);
    let grown = agent.peak_resident_bytes() - before;
    assert!(grown < MOST, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn r1_r5_odd_records_arrive_byte_for_byte_with_the_uid_of_their_sender() {
    let pair = |key: &str, value| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    let value = |value| Some(AnyValue { value: Some(value) });
    let list = (0..40)
        .fold(text("deep"), |inner, _| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![inner] })) });
    let records = vec![
        LogRecord {
            attributes: vec![
                pair("log.record.uid", value(Value::StringValue("the sender's".into()))),
                pair("k", value(Value::IntValue(1))),
                pair("k", value(Value::IntValue(2))),
                pair("", value(Value::DoubleValue(f64::NAN))),
                pair("none", None),
                pair("empty", Some(AnyValue::default())),
            ],
            body: value(Value::BytesValue(vec![0, 0xff, 0xc3])),
            ..line("")
        },
        LogRecord { body: Some(list), trace_id: vec![1; 3], span_id: vec![2; 40], ..line("") },
        LogRecord { severity_number: 99, severity_text: "ODD".into(), flags: u32::MAX, ..line("") },
        LogRecord { time_unix_nano: u64::MAX, observed_time_unix_nano: 1, body: None, ..line("") },
    ];
    let encoded: Vec<_> = records.iter().map(Message::encode_to_vec).collect();
    let sink = Sink::start();
    let mut agent = receiving(&sink).start();
    let address = Address::of_receiver(&agent);
    let timeless = LogRecord { body: Some(text("no time at all")), ..LogRecord::default() };
    let sent = request([records, vec![timeless]].concat());
    let (status, said) = address.post("/v1/logs", PROTOBUF, &sent.encode_to_vec());
    assert!(status == 200 && !said.contains("rejected"), "{said}");
    assert_eq!(agent.terminate().status.code(), Some(0));
    let mut found: Vec<_> = sink.records().into_iter().map(|record| record.record).collect();
    let timeless = found.pop().unwrap();
    assert!(timeless.time_unix_nano == 0 && timeless.observed_time_unix_nano > 1 << 60, "{timeless:?}");
    assert_eq!(found.iter().map(Message::encode_to_vec).collect::<Vec<_>>(), encoded);
}
