use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use jiff::tz::TimeZone;
use runlog_proto::v1;
use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::{
    logs::{LogsArgs, logs},
    runs::{RunsArgs, runs},
    status::{StatusArgs, status},
    *,
};
use crate::{
    record::{Severity, UnixNanos},
    serve::{self, Access},
    store::{
        MAX_LINES, Store,
        samples::{Sample, append, end, line, start},
    },
};

const SECOND: u64 = 1_000_000_000;

struct Vitals;

impl serve::Vitals for Vitals {
    fn snapshot(&self) -> serve::Snapshot {
        serve::Snapshot {
            unready: vec!["export.endpoint cannot be reached".into()],
            degraded: vec!["docker: no right to the socket".into()],
            queue: Some(v1::QueueStatus { bytes: 3 << 20, max_bytes: 2 << 30 }),
            destinations: vec![v1::DestinationStatus {
                name: "default".into(),
                endpoint: "http://collector:4318/v1/logs".into(),
                state: "retrying".into(),
                records_exported: 12,
                pending_bytes: 2_048,
                oldest_pending_seconds: 61.0,
                last_error: "connection refused".into(),
                ..v1::DestinationStatus::default()
            }],
            ..serve::Snapshot::default()
        }
    }
}

/// A store with two runs, read from disk and through a server.
struct Site {
    store: Arc<Store>,
    readers: Vec<Reader>,
    server: Server,
    _dir: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

async fn site() -> Site {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let lines: Vec<Sample> = vec![
        start(SECOND),
        line(2 * SECOND, Severity::INFO, "epoch 1"),
        line(3 * SECOND, Severity::WARN, "\x1b]0;owned\x07careful"),
        line(4 * SECOND, Severity::ERROR, "Traceback\n  File x"),
    ];
    append(&store, 1, "alpha-1", &lines);
    append(&store, 2, "alpha-1", &[end(125 * SECOND, "failure", 137)]);
    append(&store, 3, "beta", &[line(3_600 * SECOND, Severity::INFO, "hello")]);

    let api = serve::Receiver::new(Arc::clone(&store)).run_api();
    let parts =
        serve::Parts { store: Some(store.reader()), vitals: Arc::new(Vitals), receiver: None, api, control: None };
    let server = serve::Server::bind("127.0.0.1:0".parse().unwrap(), Access::Open, parts).await.unwrap();
    let base: Url = format!("http://{}", server.address()).parse().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.run(async { _ = stopped.await }));
    let readers =
        vec![Reader::open(dir.path()).unwrap(), Reader::Server(Box::new(Server::new(&base, &Access::Open).unwrap()))];
    Site { store, readers, server: Server::new(&base, &Access::Open).unwrap(), _dir: dir, _stop: stop }
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn output(&self, kind: Kind) -> Output<'static> {
        Output { writer: Box::new(self.clone()), kind }
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

async fn printed(reader: &Reader, args: &LogsArgs, kind: Kind) -> String {
    let paper = Paper::default();
    logs(args, reader, &mut paper.output(kind), 125 * SECOND).await.unwrap();
    paper.text()
}

fn args(run: &str) -> LogsArgs {
    LogsArgs { run: run.into(), ..LogsArgs::default() }
}

#[tokio::test]
async fn lines_come_as_they_were_printed_from_disk_and_from_a_server() {
    let site = site().await;
    for reader in &site.readers {
        let all = "epoch 1\n\x1b]0;owned\x07careful\nTraceback\n  File x\n";
        assert_eq!(printed(reader, &args("alpha"), Kind::Stream).await, all);
        assert_eq!(printed(reader, &args("latest"), Kind::Stream).await, "hello\n");
        let some = [
            (LogsArgs { level: Some(Severity::ERROR), ..args("alpha") }, "Traceback\n  File x\n"),
            (LogsArgs { grep: Some("^epoch".into()), ..args("alpha") }, "epoch 1\n"),
            (LogsArgs { tail: Some(1), ..args("alpha") }, "Traceback\n  File x\n"),
            (
                LogsArgs { tail: Some(1), level: Some(Severity::INFO), until: Some("122s".into()), ..args("alpha") },
                "epoch 1\n",
            ),
            (LogsArgs { tail: Some(0), ..args("alpha") }, ""),
            (LogsArgs { tail: Some(1_000_000), ..args("alpha") }, all),
            (LogsArgs { since: Some("121s".into()), ..args("alpha") }, "Traceback\n  File x\n"),
        ];
        for (args, expected) in some {
            assert_eq!(printed(reader, &args, Kind::Stream).await, expected, "{args:?}");
        }
        let timed = LogsArgs { time: true, tail: Some(1), ..args("beta") };
        assert_eq!(printed(reader, &timed, Kind::Stream).await, "1970-01-01T01:00:00Z info  hello\n");
    }
}

#[tokio::test]
async fn a_terminal_is_protected_unless_raw_is_asked_for() {
    let site = site().await;
    let warn = LogsArgs { grep: Some("careful".into()), ..args("alpha") };
    let safe = "\\x1b]0;owned\\x07careful";
    assert_eq!(printed(&site.readers[0], &warn, Kind::Terminal).await, format!("{safe}\n"));
    assert_eq!(printed(&site.readers[0], &warn, Kind::ColorTerminal).await, format!("\x1b[33m{safe}\x1b[0m\n"));
    let raw = LogsArgs { raw: true, ..warn };
    assert_eq!(printed(&site.readers[0], &raw, Kind::Terminal).await, "\x1b]0;owned\x07careful\n");
}

#[tokio::test]
async fn json_is_one_object_a_line_with_events() {
    let site = site().await;
    for reader in &site.readers {
        let text = printed(reader, &LogsArgs { json: true, ..args("alpha") }, Kind::Stream).await;
        let lines: Vec<v1::LogLine> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line.severity_number).collect::<Vec<_>>(), [9, 9, 13, 17, 9]);
        assert_eq!((&lines[0].event_name[..], &lines[4].event_name[..]), ("ml.run.start", "ml.run.end"));
    }
}

#[tokio::test]
async fn what_cannot_be_found_or_read_is_said() {
    let site = site().await;
    for reader in &site.readers {
        let fault = async |args: &LogsArgs| {
            let mut out = Paper::default().output(Kind::Stream);
            format!("{:#}", logs(args, reader, &mut out, 0).await.unwrap_err())
        };
        assert_eq!(fault(&args("zz")).await, "no run begins with \"zz\"; `runlog runs` lists them");
        assert_eq!(fault(&args("")).await, "name a run; `runlog runs` lists them");
        let message = fault(&LogsArgs { grep: Some("(".into()), ..args("beta") }).await;
        assert_eq!(message, "--grep \"(\" is not a regular expression: unclosed group");
        let message = fault(&LogsArgs { since: Some("soon".into()), ..args("beta") }).await;
        assert!(message.starts_with("--since cannot be used: \"soon\" is not a moment"), "{message}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = Reader::open(dir.path()).err().unwrap().to_string();
    assert_eq!(error, format!("nothing is stored in {} yet", dir.path().display()));
}

#[tokio::test]
async fn runs_are_listed_with_how_they_ended() {
    let site = site().await;
    for reader in &site.readers {
        let paper = Paper::default();
        runs(&RunsArgs::default(), reader, &mut paper.output(Kind::Stream), &TimeZone::UTC).await.unwrap();
        assert_eq!(
            paper.text(),
            "\
RUN      NAME  EXPERIMENT  STATUS        LINES  WARN  ERROR  RECEIPT  STARTED              DURATION
beta     -     mnist       running           1     0      0  -        1970-01-01 01:00:00        0s
alpha-1  -     mnist       failed (137)      3     1      1  -        1970-01-01 00:00:01     2m 4s
"
        );
        let paper = Paper::default();
        runs(&RunsArgs { json: true, ..RunsArgs::default() }, reader, &mut paper.output(Kind::Stream), &TimeZone::UTC)
            .await
            .unwrap();
        let ids: Vec<_> =
            paper.text().lines().map(|line| serde_json::from_str::<v1::Run>(line).unwrap().run_id).collect();
        assert_eq!(ids, ["beta", "alpha-1"]);
    }
}

/// A clock that stands.
#[derive(Debug)]
struct At(UnixNanos);

impl Clock for At {
    fn now(&self) -> UnixNanos {
        self.0
    }
}

#[tokio::test]
async fn status_of_one_that_has_to_be_ready_and_is_not_fails_with_the_reason() {
    let site = site().await;
    let paper = Paper::default();
    let args = StatusArgs { ready: true, ..StatusArgs::default() };
    let failed = status(&args, &site.server, &mut paper.output(Kind::Stream), &At(0)).await.unwrap_err();
    assert!(failed.to_string().ends_with("is not ready: export.endpoint cannot be reached"), "{failed}");
    assert_eq!(paper.text(), "");
}

#[tokio::test]
async fn status_tells_what_is_wrong_and_what_waits() {
    let site = site().await;
    let address = site.server.status(false).await.unwrap().address;
    let paper = Paper::default();
    status(&StatusArgs::default(), &site.server, &mut paper.output(Kind::Stream), &At(90 * SECOND)).await.unwrap();
    assert_eq!(
        paper.text(),
        format!(
            "\
runlog {} at {address}, up 1m 30s: not ready
  export.endpoint cannot be reached
  degraded docker: no right to the socket
queue 3.0 MiB of 2.0 GiB

DESTINATION  STATE     EXPORTED  REJECTED  WAITING  OLDEST  ENDPOINT
default      retrying        12         0  2.0 KiB   1m 1s  http://collector:4318/v1/logs
default: connection refused
",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // Nobody listens there, and nobody else can.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base: Url = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    let error = Server::new(&base, &Access::Open).unwrap().status(false).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no runlog answers at {base}; start one, or give its --server"));
    assert!(Server::new(&"https://localhost".parse().unwrap(), &Access::Open).is_err());
}

/// Stores a line of run `beta` once it is written to.
struct Grower<'a> {
    store: &'a Store,
    seq: Option<u64>,
    written: String,
}

impl Write for &mut Grower<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(seq) = self.seq.take() {
            append(self.store, seq, "beta", &[line(1, Severity::INFO, "printed meanwhile")]);
        }
        self.written.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// A run that grew faster than it was printed kept `runlog logs` for ever.
#[tokio::test]
async fn a_run_that_grows_is_printed_to_where_it_was() {
    let site = site().await;
    // More than one answer holds.
    append(&site.store, 4, "beta", &vec![line(1, Severity::INFO, "earlier"); MAX_LINES]);
    for (seq, reader) in (5..).zip(&site.readers) {
        let mut grower = Grower { store: &site.store, seq: Some(seq), written: String::new() };
        let mut out = Output { writer: Box::new(&mut grower), kind: Kind::Stream };
        logs(&args("beta"), reader, &mut out, 0).await.unwrap();
        drop(out);
        let from_earlier_readers = usize::try_from(seq - 5).unwrap();
        assert_eq!(grower.written.matches("meanwhile").count(), from_earlier_readers);
        assert_eq!(grower.written.lines().count(), 1 + MAX_LINES + from_earlier_readers);
    }
}

/// Hands each piece of output to a channel; says that nobody reads once the channel is closed.
struct Pipe(mpsc::UnboundedSender<String>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_follower_prints_later_lines_and_ends_quietly_when_nobody_reads() {
    let site = site().await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let reader = Reader::Disk(site.store.reader());
    let follower = tokio::spawn(async move {
        let mut out = Output { writer: Box::new(Pipe(sender)), kind: Kind::Stream };
        logs(&LogsArgs { follow: true, ..args("beta") }, &reader, &mut out, 0).await
    });
    let mut heard = String::new();
    let mut hear = async |text: &str| {
        while !heard.contains(text) {
            heard.push_str(&receiver.recv().await.unwrap());
        }
    };
    hear("hello").await;
    append(&site.store, 4, "beta", &[line(1, Severity::INFO, "later")]);
    hear("later").await;

    drop(receiver);
    append(&site.store, 5, "beta", &[line(1, Severity::INFO, "unheard")]);

    follower.await.unwrap().unwrap();
}
