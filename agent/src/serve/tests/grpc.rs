//! The Run API over gRPC, called by a client that is made from the same `.proto` files.

use futures_util::stream;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use runlog_proto::v1::run_service_client::RunServiceClient;
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt;

use super::*;
use crate::{store::Digest, store::samples::start};

type Caller = RunServiceClient<legacy::Client<HttpConnector, tonic::body::Body>>;

impl Site {
    fn grpc(&self) -> Caller {
        let http = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        RunServiceClient::with_origin(http, self.url("").parse().unwrap())
    }

    /// Bodies of each message of a stream, with the place behind it.
    async fn told(&self, request: v1::StreamLogsRequest) -> Result<Vec<(Vec<String>, String)>, Status> {
        let mut answers = self.grpc().stream_logs(request).await?.into_inner();
        let mut told = Vec::new();
        while let Some(answer) = answers.message().await? {
            told.push((answer.lines.into_iter().map(|line| line.body).collect(), answer.next));
        }
        Ok(told)
    }
}

#[track_caller]
fn reason(status: &Status) -> (Code, String, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("without a reason: {status:?}"));
    assert!(!status.message().is_empty());
    (status.code(), info.reason, info.metadata.get("field").cloned().unwrap_or_default())
}

fn reasons(code: Code, reason: &str, field: &str) -> (Code, String, String) {
    (code, reason.to_owned(), field.to_owned())
}

fn of_log(run: &str) -> v1::StreamLogsRequest {
    v1::StreamLogsRequest { run_id: run.to_owned(), ..v1::StreamLogsRequest::default() }
}

#[tokio::test]
async fn a_file_that_is_sent_in_two_calls_is_fetched_as_it_was() {
    let site = Site::open().await;
    let mut caller = site.grpc();
    let bytes: Vec<u8> = (0..900_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sha256 = Digest::of(&bytes[..]).unwrap().0.as_str().to_owned();
    let size = bytes.len() as u64;
    let piece = |from: usize, to: usize| v1::FilePiece { bytes: bytes[from..to].to_vec(), ..v1::FilePiece::default() };
    let first =
        |from: usize, to: usize| v1::FilePiece { sha256: sha256.clone(), size, offset: from as u64, ..piece(from, to) };

    let cut = caller.send_file(stream::iter([first(0, 300_000), piece(300_000, 400_000)])).await.unwrap().into_inner();
    assert_eq!((cut.held_bytes, cut.is_whole), (400_000, false));
    let held = caller.look_for_file(v1::LookForFileRequest { sha256: sha256.clone() }).await.unwrap().into_inner();
    assert_eq!((held.held_bytes, held.is_whole), (400_000, false));
    let hole = caller.send_file(stream::iter([first(500_000, 900_000)])).await.unwrap_err();
    assert_eq!(reason(&hole), reasons(Code::FailedPrecondition, "WRONG_RANGE", "offset"));
    let whole = caller.send_file(stream::iter([first(400_000, 900_000)])).await.unwrap().into_inner();
    assert_eq!((whole.held_bytes, whole.is_whole), (size, true));
    let again = caller.send_file(stream::iter([first(0, 10)])).await.unwrap().into_inner();
    assert!(again.is_whole, "it is held already");

    site.started("r").await;
    site.logged("r", json!([{"artifact": {"name": "model", "sha256": sha256, "size": size}}])).await;
    for offset in [0, 400_001, size] {
        let request = v1::FetchFileRequest { run_id: "r".into(), name: "model".into(), offset };
        let mut pieces = caller.fetch_file(request).await.unwrap().into_inner();
        let mut fetched = Vec::new();
        let head = pieces.message().await.unwrap().unwrap();
        assert_eq!((&head.sha256, head.size, head.offset), (&sha256, size, offset));
        while let Some(piece) = pieces.message().await.unwrap() {
            fetched.extend(piece.bytes);
        }
        assert!(fetched == bytes[usize::try_from(offset).unwrap()..], "from byte {offset} on");
    }
    let fetch = |name: &str, offset| v1::FetchFileRequest { run_id: "r".into(), name: name.into(), offset };
    let behind = caller.fetch_file(fetch("model", size + 1)).await.unwrap_err();
    assert_eq!(reason(&behind), reasons(Code::InvalidArgument, "INVALID", "offset"));
    let unknown = caller.fetch_file(fetch("../model", 0)).await.unwrap_err();
    assert_eq!(reason(&unknown), reasons(Code::NotFound, "UNKNOWN_FILE", "name"));
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_refused() {
    let site = Site::open().await;
    let mut caller = site.grpc();
    let sha256 = Digest::of(&b"model"[..]).unwrap().0.as_str().to_owned();
    let piece =
        |size, offset, bytes: &[u8]| v1::FilePiece { sha256: sha256.clone(), size, offset, bytes: bytes.to_vec() };
    for (pieces, code, expected, field) in [
        (vec![], Code::InvalidArgument, "MALFORMED", "sha256"),
        (vec![v1::FilePiece::default()], Code::InvalidArgument, "INVALID", "sha256"),
        (vec![piece(5, 6, b"")], Code::InvalidArgument, "INVALID", "offset"),
        (vec![piece(0, 2, b"del")], Code::InvalidArgument, "INVALID", "offset"),
        (vec![piece(5, 0, b"models")], Code::FailedPrecondition, "WRONG_RANGE", "offset"),
        (vec![piece(5, 0, b"moden")], Code::InvalidArgument, "WRONG_DIGEST", "sha256"),
        (vec![piece(0, 0, b"mode")], Code::InvalidArgument, "WRONG_DIGEST", "sha256"),
    ] {
        let refused = caller.send_file(stream::iter(pieces.clone())).await.unwrap_err();
        assert_eq!(reason(&refused), reasons(code, expected, field), "{pieces:?}");
    }
    let held = caller.look_for_file(v1::LookForFileRequest { sha256: sha256.clone() }).await.unwrap().into_inner();
    assert!(!held.is_whole);
    let taken = caller.send_file(stream::iter([piece(0, 0, b"mo"), piece(0, 0, b"del")])).await.unwrap().into_inner();
    assert_eq!((taken.held_bytes, taken.is_whole), (5, true), "of one whose size is not known");
}

#[tokio::test]
async fn the_lines_that_are_asked_for_come_and_the_stream_ends_with_them() {
    let site = Site::open().await;
    let lines: Vec<_> =
        (0..4).map(|n| line(n, if n == 2 { Severity::WARN } else { Severity::INFO }, &format!("l{n}"))).collect();
    append(&site.store, 0, "run-1", &lines);
    append(&site.store, 1, "run-1", &[start(9)]);
    let bodies = |told: Vec<(Vec<String>, String)>| told.into_iter().flat_map(|(lines, _)| lines).collect::<Vec<_>>();
    let all = site.told(of_log("run")).await.unwrap();
    assert_eq!(bodies(all.clone()), ["l0", "l1", "l2", "l3", "run started"]);
    let next = all.last().unwrap().1.clone();
    assert_eq!(
        bodies(site.told(v1::StreamLogsRequest { without_events: true, tail: 2, ..of_log("run-1") }).await.unwrap()),
        ["l2", "l3"]
    );
    assert_eq!(
        bodies(site.told(v1::StreamLogsRequest { level: "warn".into(), ..of_log("run-1") }).await.unwrap()),
        ["l2"]
    );
    append(&site.store, 2, "run-1", &[line(10, Severity::INFO, "l4")]);
    assert_eq!(bodies(site.told(v1::StreamLogsRequest { after: next, ..of_log("run-1") }).await.unwrap()), ["l4"]);

    for (request, code, expected, field) in [
        (of_log("nobody"), Code::NotFound, "UNKNOWN_RUN", "run_id"),
        (v1::StreamLogsRequest { level: "loud".into(), ..of_log("run-1") }, Code::InvalidArgument, "INVALID", "level"),
        (v1::StreamLogsRequest { tail: 10_001, ..of_log("run-1") }, Code::InvalidArgument, "INVALID", "tail"),
    ] {
        assert_eq!(reason(&site.told(request).await.unwrap_err()), reasons(code, expected, field));
    }
}

#[tokio::test]
async fn who_compresses_what_it_sends_is_answered_compressed_and_others_are_not() {
    let site = Site::open().await;
    let request =
        || v1::StartRunRequest { run_id: "r".into(), name: "n".repeat(200), ..v1::StartRunRequest::default() };
    let encoding = |answer: &tonic::Response<v1::RunResponse>| {
        answer.metadata().get("grpc-encoding").map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    let mut able = site.grpc().accept_compressed(CompressionEncoding::Gzip);
    assert_eq!(encoding(&able.start_run(request()).await.unwrap()), None);
    let mut able = able.send_compressed(CompressionEncoding::Gzip);
    let answer = able.start_run(request()).await.unwrap();
    assert_eq!(encoding(&answer).as_deref(), Some("gzip"));
    assert_eq!(answer.into_inner().run.unwrap().name, "n".repeat(200));
}

#[tokio::test]
async fn what_nobody_collects_has_no_level() {
    let site = Site::open().await;
    let refused = site.grpc().get_levels(v1::GetLevelsRequest::default()).await.unwrap_err();
    assert_eq!(reason(&refused), reasons(Code::FailedPrecondition, "NOTHING_COLLECTED", ""));
}
