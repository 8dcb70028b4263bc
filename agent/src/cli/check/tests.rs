use std::{fs, io::Read, net::TcpListener, os::unix::net::UnixListener, thread};

use insta::assert_snapshot;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::queue::Medium;

use super::{
    probe::{destination, docker, lacking, matched, medium, state},
    *,
};

/// Settings of a machine without an engine whose state is in `folder`.
fn input(folder: &TempDir, variables: &[(&str, &str)]) -> Input {
    let state = folder.path().join("state").display().to_string();
    let socket = format!("unix://{}/docker.sock", folder.path().display());
    let all = [("RUNLOG_STATE_DIR", state.as_str()), ("RUNLOG_DOCKER_HOST", socket.as_str())];
    Input {
        file: None,
        system_file: "/nonexistent/runlog.toml".into(),
        environment: all.iter().chain(variables).map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        flags: Vec::new(),
        is_root: false,
    }
}

/// The exit code and the text, in which the folder is called FOLDER.
fn ask(folder: &TempDir, asked: Asked, variables: &[(&str, &str)]) -> (u8, String) {
    let mut out = Vec::new();
    let code = check(&input(folder, variables), asked, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap().replace(&folder.path().display().to_string(), "FOLDER"))
}

fn tried(folder: &TempDir, variables: &[(&str, &str)]) -> (u8, String) {
    // What else runs on this machine is no matter.
    let alone = [("RUNLOG_SERVE_LISTEN", "off")];
    let variables: Vec<_> = alone.into_iter().chain(variables.iter().copied()).collect();
    ask(folder, Asked { what: What::Try, form: Form::Text }, &variables)
}

/// A port where nobody listens, which nobody else can take either as long as the socket lives.
fn closed_port() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().to_string(), socket)
}

#[test]
fn settings_that_work_end_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "").unwrap();
    fs::write(folder.path().join("b.log"), "").unwrap();
    let files = format!("{0}/*.log,{0}/none/*.log", folder.path().display());
    let exclude = format!("{}/b*", folder.path().display());
    let (code, text) = tried(&folder, &[("RUNLOG_FILES", &files), ("RUNLOG_FILE_EXCLUDE", &exclude)]);
    assert_snapshot!(text, @r#"
    ok       settings  can be used
    ok       state     FOLDER/state does not exist yet and can be made
    ok       files     FOLDER/*.log matches 1
    warning  files     FOLDER/none/*.log matches nothing
                       nothing to do if they come later; else correct RUNLOG_FILES
    ok       docker    FOLDER/docker.sock is not there, so no containers are collected
    ok       export    nothing is exported; the embedded store is kept
    "#);
    assert_eq!(code, 0);
}

#[test]
fn each_thing_that_does_not_work_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state"), "a file").unwrap();
    let (closed, _socket) = closed_port();
    let endpoint = format!("http://{closed}");
    let (code, text) = tried(
        &folder,
        &[
            ("RUNLOG_DOCKER_COLLECT", "on"),
            ("RUNLOG_EXPORT_ENDPOINT", &endpoint),
            ("RUNLOG_EXPORT_CERTIFICATE", "/nonexistent/ca.pem"),
        ],
    );
    assert_snapshot!(text.replace(&closed, "CLOSED"), @r#"
    ok       settings  can be used
    error    state     FOLDER/state is not a directory
                       set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one
    ok       files     none are followed
    error    docker    FOLDER/docker.sock does not answer: No such file or directory (os error 2)
                       start the engine, or mount its socket into runlog's container
    error    export    /nonexistent/ca.pem cannot be read: No such file or directory (os error 2)
                       name a PEM file that runlog may read
    error    export    CLOSED cannot be reached: Connection refused (os error 111)
                       start the backend or correct RUNLOG_EXPORT_ENDPOINT; until it answers, logs wait in the queue
    "#);
    assert_eq!(code, EXIT_SETTINGS);
}

#[test]
fn addresses_to_listen_on_are_tried() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    // The second one is kept for documents, so that no machine has it.
    let receivers = "127.0.0.1:0,192.0.2.1:4317";
    let (code, text) = tried(
        &folder,
        &[
            ("RUNLOG_SERVE_LISTEN", &taken),
            ("RUNLOG_OTLP_LISTEN", receivers),
            ("RUNLOG_OTLP_TOKEN", "0123456789abcdef"),
        ],
    );
    assert_snapshot!(text.replace(&taken, "TAKEN"), @r#"
    ok       settings  can be used
    ok       state     FOLDER/state does not exist yet and can be made
    ok       files     none are followed
    ok       docker    FOLDER/docker.sock is not there, so no containers are collected
    ok       otlp      127.0.0.1:0 can be listened on
    error    otlp      192.0.2.1:4317 cannot be listened on: Cannot assign requested address (os error 99)
                       set RUNLOG_OTLP_LISTEN to an address of this machine and a port that runlog may open
    ok       export    nothing is exported; the embedded store is kept
    warning  serve     TAKEN is taken, by a runlog that runs or by another program
                       nothing to do if it is this runlog; else set RUNLOG_SERVE_LISTEN to another port
    "#);
    assert_eq!(code, EXIT_SETTINGS);
}

#[test]
fn faulty_settings_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = tried(&folder, &[("RUNLOG_LEVEL", "verbose"), ("RUNLOG_LEVLE", "info")]);
    assert_snapshot!(text, @r#"
    error    settings  RUNLOG_LEVLE is not a setting (environment)
                       did you mean RUNLOG_LEVEL? `runlog check --show` lists all settings
    error    settings  RUNLOG_LEVEL=verbose is not a level (environment)
                       use one of: trace, debug, info, warn, error, fatal
    "#);
    assert_eq!(code, EXIT_SETTINGS);
}

#[test]
fn the_settings_are_shown_with_their_origin() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("RUNLOG_LEVEL", "debug"),
        ("RUNLOG_STATE_DIR", "/state"),
        ("RUNLOG_DOCKER_HOST", "unix:///docker.sock"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=my-secret"),
    ];
    let (code, text) = ask(&folder, Asked { what: What::Show, form: Form::Text }, &variables);
    assert_snapshot!(text, @r#"
    level                      debug                environment variable RUNLOG_LEVEL
    logger_levels                                   default
    run_id                                          default
    experiment                                      default
    files                                           default
    state_dir                  /state               environment variable RUNLOG_STATE_DIR
    exit_with                                       default
    file.exclude                                    default
    file.poll                  500ms                default
    file.scan                  2s                   default
    file.rotate_grace          5s                   default
    file.format                auto                 default
    file.max_open              1024                 default
    docker.collect             auto                 default
    docker.host                unix:///docker.sock  environment variable RUNLOG_DOCKER_HOST
    docker.include                                  default
    docker.exclude                                  default
    docker.read_exited         true                 default
    docker.files               auto                 default
    kubernetes.logs                                 default
    kubernetes.scope           node                 default
    kubernetes.include                              default
    kubernetes.exclude         kube-system          default
    kubernetes.only_enabled    false                default
    kubernetes.metadata                             default
    kubernetes.credentials                          default
    otlp.listen                                     default
    otlp.spool                                      default
    otlp.max_request_bytes     16MiB                default
    otlp.token                                      default
    otlp.certificate                                default
    otlp.key                                        default
    journal.units                                   default
    journal.directory                               default
    process.max_wait           5s                   default
    parse.max_line_bytes       1MiB                 default
    parse.rank_prefix          auto                 default
    parse.terminal             true                 default
    parse.progress_every       10s                  default
    parse.join                 true                 default
    parse.join_wait            500ms                default
    parse.join_max_bytes       256KiB               default
    parse.scalars                                   default
    parse.repeats              0s                   default
    parse.collapse_ranks       0s                   default
    parse.silent_rank_after    0s                   default
    parse.lines_per_second     0                    default
    recorder.on                false                default
    recorder.bytes             8MiB                 default
    recorder.span              10m                  default
    redact.builtin             true                 default
    redact.patterns                                 default
    batch.max_bytes            768KiB               default
    batch.linger               180ms                default
    queue.max_bytes            2GiB                 default
    queue.segment_bytes        32MiB                default
    queue.min_free             256MiB               default
    queue.sync                 group                default
    queue.allow_network_fs     false                default
    memory.max_bytes           16MiB                default
    export.endpoint                                 default
    export.protocol            http/protobuf        default
    export.compression         gzip                 default
    export.headers             authorization=***    environment variable OTEL_EXPORTER_OTLP_HEADERS
    export.timeout             10s                  default
    export.max_request_bytes   1MiB                 default
    export.min_backoff         1s                   default
    export.max_backoff         60s                  default
    export.concurrency         4                    default
    export.bisect              true                 default
    export.certificate                              default
    export.client_certificate                       default
    export.client_key                               default
    store.keep                 auto                 default
    store.max_age                                   default
    store.max_bytes                                 default
    serve.listen               127.0.0.1:4319       default
    serve.token                                     default
    stop.grace                 25s                  default
    log.level                  info                 default
    log.format                 auto                 default
    telemetry.otlp             false                default
    telemetry.interval         60s                  default
    "#);
    assert_eq!(code, 0);

    let (_, json) = ask(&folder, Asked { what: What::Show, form: Form::Json }, &variables);
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read[0], json!({"key": "level", "value": "debug", "origin": "environment variable RUNLOG_LEVEL"}));
    assert!(!json.contains("my-secret"));
}

#[test]
fn an_answer_can_be_read_by_programs() {
    let folder = tempfile::tempdir().unwrap();
    for variables in [&[][..], &[("RUNLOG_LEVEL", "verbose")]] {
        let (code, json) = ask(&folder, Asked { what: What::Try, form: Form::Json }, variables);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let verdict = if code == 0 { "ok" } else { "error" };
        assert_eq!((read[0]["subject"].as_str(), read[0]["verdict"].as_str()), (Some("settings"), Some(verdict)));
    }
}

#[test]
fn q22_a_file_system_that_forgets_is_told() {
    let in_memory = medium("/dev/shm/runlog/state".as_ref(), false).unwrap();
    assert_eq!(in_memory.verdict, Verdict::Warning);
    assert!(in_memory.text.starts_with("/dev/shm/runlog/state is in memory"), "{}", in_memory.text);
    let verdict = |medium, allowed| lacking("/state", medium, allowed).map(|found| found.verdict);
    assert_eq!(verdict(Medium::Network, false), Some(Verdict::Error));
    assert_eq!(verdict(Medium::Network, true), Some(Verdict::Warning));
    assert_eq!(verdict(Medium::Disk, false), None);
}

#[test]
fn a_state_directory_is_tried_where_it_would_be_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let verdict = |path: &str| state(&folder.path().join(path)).verdict;
    assert_eq!(verdict(""), Verdict::Ok);
    assert_eq!(verdict("a/b/c"), Verdict::Ok);
    assert_eq!(verdict("file"), Verdict::Error);
    assert_eq!(verdict("file/below"), Verdict::Error);
    assert!(fs::read_dir(folder.path()).unwrap().count() == 1, "nothing was made");
}

#[test]
fn files_that_may_not_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.log", "2.log", "3.log", "4.log", "5.log"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let pattern = format!("{}/*.log", folder.path().display());
    let found = matched(&pattern, &[], &|path| path.ends_with("3.log"));
    let text = found.text.replace(&folder.path().display().to_string(), "");
    assert_eq!(text, "/*.log matches 5, and runlog may not read /1.log, /2.log, /4.log, and 1 more");
    assert_eq!(found.verdict, Verdict::Error);
}

#[test]
fn an_engine_is_one_that_answers_a_ping() {
    let answers: [(&[u8], Verdict); 3] = [
        (b"HTTP/1.0 200 OK\r\n\r\nOK", Verdict::Ok),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", Verdict::Error),
        (b"", Verdict::Error),
    ];
    for (answer, verdict) in answers {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let engine = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let loaded = config::load(&input(&folder, &[("RUNLOG_DOCKER_COLLECT", "on")])).unwrap();
        assert_eq!(docker(&loaded.settings.docker).verdict, verdict);
        assert!(engine.join().unwrap().starts_with("GET /_ping HTTP/1.0\r\n"));
    }
}

#[test]
fn an_endpoint_is_reached_by_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let loaded = config::load(&input(&folder, &[("RUNLOG_EXPORT_ENDPOINT", &endpoint)])).unwrap();
    assert_eq!(destination(loaded.settings.export.as_ref()).verdict, Verdict::Ok);
}
