//! Requests for tests, as any other client would encode them.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;

use crate::lines::Lines;

/// A request with these bodies.
pub fn request(bodies: impl Iterator<Item = String>) -> Vec<u8> {
    let record = |body| LogRecord {
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
        time_unix_nano: 1,
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: bodies.map(record).collect(), ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

/// The first `count` lines of a stream.
pub fn lines(stream: u16, count: usize) -> impl Iterator<Item = String> {
    let mut lines = Lines::new(stream);
    (0..count).map(move |_| {
        let mut line = Vec::new();
        lines.write(&mut line);
        line.pop();
        String::from_utf8(line).unwrap()
    })
}
