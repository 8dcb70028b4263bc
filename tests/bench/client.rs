//! Programs that send their own logs over OTLP/HTTP, as an SDK does: on each connection one request after the other.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message;

use crate::lines::{LINE_BYTES, Lines};

/// Records of a request: the most that SDKs send by default (`OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`).
const RECORDS: u64 = 512;
/// As many as a node has ranks.
const CONNECTIONS: usize = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The requests that so many lines of stream 0 make, encoded and not compressed.
#[must_use]
pub fn requests(lines: u64) -> Vec<Vec<u8>> {
    let string = |text: String| Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
    let attribute = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: string((*value).to_owned()),
        ..KeyValue::default()
    };
    let resource = Resource {
        attributes: [("service.name", "train"), ("host.name", "node-17")].iter().map(attribute).collect(),
        ..Resource::default()
    };
    let mut source = Lines::new(0);
    let mut record = |sequence: u64| {
        let mut line = Vec::with_capacity(LINE_BYTES);
        source.write(&mut line);
        line.pop();
        LogRecord {
            time_unix_nano: 1_795_500_000_000_000_000 + sequence * 100_000,
            observed_time_unix_nano: 1_795_500_000_000_000_000 + sequence * 100_000,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: string(String::from_utf8_lossy(&line).into_owned()),
            attributes: [("code.function.name", "train_step")].iter().map(attribute).collect(),
            ..LogRecord::default()
        }
    };
    let mut requests = Vec::new();
    let mut sequence = 0;
    while sequence < lines {
        let end = (sequence + RECORDS).min(lines);
        let log_records = (sequence..end).map(&mut record).collect();
        let scope = Some(InstrumentationScope { name: "train".to_owned(), ..InstrumentationScope::default() });
        let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
        let resource_logs =
            vec![ResourceLogs { resource: Some(resource.clone()), scope_logs, ..ResourceLogs::default() }];
        requests.push(ExportLogsServiceRequest { resource_logs }.encode_to_vec());
        sequence = end;
    }
    requests
}

/// Posts them all, on several connections; one that the agent has no room for is sent again after a pause.
///
/// # Errors
/// If a connection breaks, or a request is refused for another reason.
pub fn post_all(address: SocketAddr, requests: &[Vec<u8>]) -> io::Result<()> {
    thread::scope(|scope| {
        let parts = requests.chunks(requests.len().div_ceil(CONNECTIONS).max(1));
        let posting: Vec<_> = parts.map(|part| scope.spawn(move || post(address, part))).collect();
        let panicked = |_| io::Error::other("a client panicked");
        posting.into_iter().try_for_each(|client| client.join().map_err(panicked)?)
    })
}

fn post(address: SocketAddr, requests: &[Vec<u8>]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for body in requests {
        loop {
            write!(stream, "POST /v1/logs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n")?;
            write!(stream, "content-length: {}\r\n\r\n", body.len())?;
            stream.write_all(body)?;
            match answer(&mut answers)? {
                200 => break,
                429 | 503 => thread::sleep(RETRY_PAUSE),
                status => return Err(io::Error::other(format!("the agent answers {status}"))),
            }
        }
    }
    Ok(())
}

/// Reads an answer with its body; returns its status.
fn answer(answers: &mut impl BufRead) -> io::Result<u16> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("not an HTTP answer"))?;
    let mut body_bytes = 0;
    loop {
        line.clear();
        if answers.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body_bytes = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    io::copy(&mut answers.take(body_bytes), &mut io::sink())?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format::Format, sink::Sink};

    #[test]
    fn every_record_arrives_once() {
        let sink = Sink::start(Format::Python).unwrap();
        post_all(sink.address(), &requests(1500)).unwrap();
        let totals = sink.arrivals().totals();
        assert_eq!((totals.unique, totals.repeated, totals.foreign, totals.requests), (1500, 0, 0, 3));
    }

    #[test]
    fn status_and_end_of_an_answer_are_found() {
        let mut answers = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n".as_slice();
        assert_eq!((answer(&mut answers).unwrap(), answer(&mut answers).unwrap()), (503, 200));
        assert!(answer(&mut answers).is_err());
    }
}
