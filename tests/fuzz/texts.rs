//! Texts: requests in JSON, and what holds secrets.

use std::sync::Arc;

use fastrand::Rng;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use runlog::{
    enrich::{Redactor, redact},
    record::{
        Signal,
        wire::{Outline, from_json},
    },
};

const MAX_REQUEST: usize = 1 << 20;

pub fn json(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let signal = Signal::ALL[random.usize(..3)];
    let Ok(request) = from_json(signal, input, MAX_REQUEST) else { return (false, 0, 0) };
    assert!(request.len() <= MAX_REQUEST, "a request of {} bytes", request.len());
    let is_whole = match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(&request[..]).is_ok(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(&request[..]).is_ok(),
        Signal::Traces => ExportTraceServiceRequest::decode(&request[..]).is_ok(),
    };
    assert!(is_whole, "what was written cannot be decoded");
    let outline = Outline::read(&request).expect("what was written has an outline");
    (true, outline.resources.len(), request.len())
}

pub fn redacted(input: &[u8], _: &mut Rng) -> impl std::hash::Hash + use<> {
    let config = redact::Config { builtin: true, patterns: Vec::new() };
    let mut redactor = Redactor::new(config, Arc::default());
    let Some(masked) = redactor.mask(input) else { return (0, 0) };
    assert!(masked.count > 0, "nothing was masked and something has changed");
    if std::str::from_utf8(input).is_ok() {
        assert!(std::str::from_utf8(&masked.text).is_ok(), "what was UTF-8 is none any more");
    }
    // What stands between the masks stood there before, in this order.
    let mut rest = input;
    let text = String::from_utf8_lossy(&masked.text).into_owned();
    if std::str::from_utf8(input).is_ok() && memmem(input, b"[redacted:").is_none() {
        let mut pieces = text.split("[redacted:");
        let first = pieces.next().unwrap_or_default();
        assert!(rest.starts_with(first.as_bytes()), "the beginning has changed");
        rest = &rest[first.len()..];
        for piece in pieces {
            let (_, kept) = piece.split_once(']').expect("a mask has an end");
            let at = memmem(rest, kept.as_bytes()).expect("what is kept stood there");
            rest = &rest[at + kept.len()..];
        }
    }
    (masked.count, text.matches("[redacted:").count())
}

fn memmem(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    text.windows(piece.len()).position(|window| window == piece)
}
