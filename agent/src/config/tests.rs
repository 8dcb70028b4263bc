use std::{fs, path::Path};

use insta::assert_snapshot;

use super::*;
use crate::{
    queue::SyncPolicy,
    record::Format,
    serve,
    source::{
        kubernetes::{PodLog, Scope},
        otlp::Address,
    },
};

mod faulty;
mod standard;

/// Settings from variables alone, of a user whose home is `/home/me`.
fn input(variables: &[(&str, &str)]) -> Input {
    let all = [("HOME", "/home/me")].iter().chain(variables);
    Input {
        file: None,
        system_file: "/nonexistent/runlog.toml".into(),
        environment: all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: Vec::new(),
        is_root: false,
    }
}

fn from(variables: &[(&str, &str)]) -> Loaded {
    load(&input(variables)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(variables: &[(&str, &str)]) -> Faults {
    load(&input(variables)).expect_err("these settings are faulty")
}

fn with_file(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runlog.toml");
    fs::write(&path, text).unwrap();
    load(&Input { file: Some(path), ..input(variables) })
}

/// The fault's text with the folder of the test taken out.
fn without_folder(faults: &Faults) -> String {
    let text = faults.to_string();
    let folder = std::env::temp_dir().display().to_string();
    let pieces: Vec<&str> = text.split(&folder).collect();
    let rest =
        pieces[1..].iter().map(|piece| piece.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest));
    std::iter::once(pieces[0]).chain(rest).collect::<Vec<_>>().join("/")
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, String) {
    let found = loaded.effective.iter().find(|effective| effective.key == key).unwrap();
    (found.value.as_str(), found.origin.to_string())
}

fn flag(key: &str, value: &str) -> Flag {
    Flag { key: key.to_owned(), value: value.to_owned(), name: format!("--{key}") }
}

#[test]
fn nothing_has_to_be_set() {
    let Loaded { settings, effective, warnings } = from(&[]);
    assert_eq!(settings.level, Severity::INFO);
    assert_eq!(settings.state_dir, Path::new("/home/me/.local/state/runlog"));
    assert_eq!(settings.docker.socket, Path::new("/var/run/docker.sock"));
    assert_eq!(settings.queue.max_bytes, 2 << 30);
    assert_eq!((settings.queue.min_free_bytes, settings.queue.sync), (256 << 20, SyncPolicy::Group));
    assert!(!settings.queue.allow_network_fs);
    assert_eq!(settings.batch.linger, Duration::from_millis(180));
    assert_eq!(settings.serve.listen.unwrap().to_string(), "127.0.0.1:4319");
    assert_eq!((settings.export, settings.store_kept), (None, Switch::Auto));
    assert_eq!(effective.len(), options::known().len());
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn every_option_is_read() {
    for option in options::known() {
        let Faults(found) = faults(&[(&option.variable, "a\u{7}b")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, option.key);
        assert_eq!(found[0].origin, Origin::Variable(option.variable.clone()));
    }
}

#[test]
fn later_places_win() {
    let file = "level = 'warn'\n[export]\nendpoint = 'http://file:4318'\ntimeout = '3s'\n[batch]\nlinger = '1s'";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runlog.toml");
    fs::write(&path, file).unwrap();
    let loaded = load(&Input {
        system_file: path.clone(),
        flags: vec![flag("level", "trace")],
        ..input(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://generic:4318"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "7000"),
            ("RUNLOG_EXPORT_ENDPOINT", "http://ours:4318"),
            ("RUNLOG_LEVEL", "error"),
        ])
    })
    .unwrap();
    let environment = |name: &str| format!("environment variable {name}");
    assert_eq!(shown(&loaded, "level"), ("trace", "--level".to_owned()));
    assert_eq!(shown(&loaded, "export.endpoint"), ("http://ours:4318", environment("RUNLOG_EXPORT_ENDPOINT")));
    assert_eq!(shown(&loaded, "export.timeout"), ("7s", environment("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT")));
    assert_eq!(shown(&loaded, "batch.linger"), ("1s", path.display().to_string()));
    assert_eq!(shown(&loaded, "file.scan"), ("2s", "default".to_owned()));
    assert_eq!(loaded.settings.file.max_open, 1024);
    assert_eq!(loaded.settings.level, Severity::TRACE);
    assert_eq!(loaded.settings.export.unwrap().timeout, Duration::from_secs(7));
}

#[test]
fn a_value_can_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("headers");
    fs::write(&path, "authorization=Bearer t\nx-team=a\n").unwrap();
    let named = path.display().to_string();
    let loaded = from(&[("RUNLOG_EXPORT_HEADERS_FILE", &named), ("RUNLOG_EXPORT_ENDPOINT", "http://c:4318")]);
    assert_eq!(shown(&loaded, "export.headers").1, "file named by RUNLOG_EXPORT_HEADERS_FILE");
    let export = loaded.settings.export.unwrap();
    assert_eq!((export.headers.0.len(), export.headers_file), (2, Some(path)));

    let both = [("RUNLOG_EXPORT_HEADERS_FILE", named.as_str()), ("RUNLOG_EXPORT_HEADERS", "a=b")];
    assert_eq!(faults(&both).0.len(), 1);
    assert_snapshot!(faults(&[("RUNLOG_LEVEL_FILE", "/nonexistent/level")]), @r#"
    RUNLOG_LEVEL_FILE=/nonexistent/level cannot be read: No such file or directory (os error 2) (environment)
    name a file that holds the value and that runlog may read
    "#);
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let loaded = with_file(
        "level = 'debug'\nstate_dir = ''\n[serve]\nlisten = ''",
        &[("RUNLOG_LEVEL", ""), ("RUNLOG_LEVEL_FILE", ""), ("RUNLOG_CONFIG", "")],
    )
    .unwrap();
    assert_eq!(loaded.settings.level, Severity::DEBUG);
    assert_eq!(loaded.settings.state_dir, Path::new("/home/me/.local/state/runlog"));
    assert!(loaded.settings.serve.listen.is_some());
    assert_eq!(from(&[("RUNLOG_SERVE_LISTEN", "off")]).settings.serve.listen, None);
}

#[test]
fn the_disk_is_waited_for_as_the_settings_say() {
    let sync = |value| from(&[("RUNLOG_QUEUE_SYNC", value)]).settings.queue.sync;
    assert_eq!(
        [sync("Group"), sync("batch"), sync("never")],
        [SyncPolicy::Group, SyncPolicy::Batch, SyncPolicy::Never]
    );
    assert_snapshot!(faults(&[("RUNLOG_QUEUE_SYNC", "always")]), @r"
    RUNLOG_QUEUE_SYNC=always is not a way to sync (environment)
    use one of: group, batch, never
    ");
    let given = [("RUNLOG_QUEUE_MIN_FREE", "0"), ("RUNLOG_QUEUE_ALLOW_NETWORK_FS", "true")];
    let queue = from(&given).settings.queue;
    assert_eq!((queue.min_free_bytes, queue.allow_network_fs), (0, true));
}

#[test]
fn otlp_is_received_where_the_settings_say() {
    let listen = |value| from(&[("RUNLOG_OTLP_LISTEN", value)]).settings.otlp.listen;
    let port = |text: &str| Address::Port(text.parse().unwrap());
    let socket = |path: &str| Address::Socket(path.into());
    assert_eq!(from(&[]).settings.otlp.listen, []);
    assert_eq!(listen("off"), []);
    let usual = [port("127.0.0.1:4317"), port("127.0.0.1:4318")];
    assert_eq!(listen("On"), [&usual[..], &[socket("/home/me/.local/state/runlog/otlp.sock")]].concat());
    let given = "[::]:4318, unix:/shared/a.sock, 127.0.0.1:0";
    assert_eq!(listen(given), [port("[::]:4318"), socket("/shared/a.sock"), port("127.0.0.1:0")]);

    let on = |name, value| from(&[("RUNLOG_OTLP_LISTEN", "on"), (name, value)]);
    let by_systemd = on("RUNTIME_DIRECTORY", "/run/runlog:/run/other").settings.otlp.listen;
    assert_eq!(by_systemd, [&usual[..], &[socket("/run/runlog/otlp.sock")]].concat());
    // A state directory of any length is fine; only the socket is not there.
    let too_long = on("RUNLOG_STATE_DIR", &format!("/{}", "d".repeat(100)));
    assert_eq!((too_long.settings.otlp.listen, too_long.warnings.len()), (usual.to_vec(), 1));

    let spool = |variables: &[_]| from(variables).settings.otlp.spool;
    assert_eq!(spool(&[]), Path::new("/home/me/.local/state/runlog/spool"));
    assert_eq!(spool(&[("RUNLOG_OTLP_SPOOL", "/shared/spool")]), Path::new("/shared/spool"));
}

#[test]
fn a_socket_that_cannot_be_is_refused() {
    assert_snapshot!(faults(&[("RUNLOG_OTLP_LISTEN", "unix:otlp.sock")]), @r"
    RUNLOG_OTLP_LISTEN=unix:otlp.sock holds unix:otlp.sock, which is not the path of a socket (environment)
    write unix:/path/to/otlp.sock
    ");
    let too_long = format!("unix:/{}", "d".repeat(107));
    let Faults(found) = faults(&[("RUNLOG_OTLP_LISTEN", &too_long)]);
    assert!(found[0].problem.ends_with("whose path is longer than the system allows for a socket"), "{found:?}");
    from(&[("RUNLOG_OTLP_LISTEN", too_long.strip_suffix('d').unwrap())]);
}

#[test]
fn h19_who_may_send_otlp_is_said_by_a_token_that_is_not_shown() {
    let loaded = from(&[("RUNLOG_OTLP_TOKEN", "0123456789abcdef"), ("RUNLOG_OTLP_LISTEN", "0.0.0.0:4318")]);
    assert_eq!(loaded.settings.otlp.token, Some(otlp::Token::new("0123456789abcdef".to_owned())));
    assert_eq!(shown(&loaded, "otlp.token").0, "***");
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(!format!("{loaded:?}").contains("0123456789abcdef"));

    let open = from(&[("RUNLOG_OTLP_LISTEN", "0.0.0.0:4318")]);
    assert_eq!((&open.settings.otlp.token, shown(&open, "otlp.token").0), (&None, ""));
    assert!(open.warnings[0].contains("set otlp.token"), "{:?}", open.warnings);

    for (token, problem) in
        [("tiny", "is too short to be a secret"), ("0123456789 abcdef", "cannot be sent in a header")]
    {
        let text = faults(&[("RUNLOG_OTLP_TOKEN", token)]).to_string();
        assert!(text.starts_with(&format!("RUNLOG_OTLP_TOKEN {problem}")) && !text.contains(token), "{text}");
    }
}

#[test]
fn h19_what_other_machines_reach_is_served_with_a_token_or_by_a_word_that_it_is_meant_so() {
    let everywhere = ("RUNLOG_SERVE_LISTEN", "0.0.0.0:4319");
    assert_snapshot!(faults(&[everywhere]), @r"
    RUNLOG_SERVE_LISTEN=0.0.0.0:4319 is reached from other machines, which could read and change all runs (environment)
    set serve.token, or listen on 127.0.0.1; serve.token=none if something else keeps others away
    ");
    let access = |token| from(&[everywhere, ("RUNLOG_SERVE_TOKEN", token)]).settings.serve.access;
    assert_eq!(access("none"), serve::Access::Open);
    assert_eq!(access("0123456789abcdef"), serve::Access::Token(otlp::Token::new("0123456789abcdef".to_owned())));
    assert_eq!(from(&[("RUNLOG_SERVE_LISTEN", "[::1]:4319")]).settings.serve.access, serve::Access::Open);
    let token = |text| shown(&from(&[("RUNLOG_SERVE_TOKEN", text)]), "serve.token").0.to_owned();
    assert_eq!(["", "none", "0123456789abcdef"].map(token), ["", "none", "***"]);
    let text = faults(&[("RUNLOG_SERVE_TOKEN", "tiny")]).to_string();
    assert!(text.starts_with("RUNLOG_SERVE_TOKEN is too short to be a secret") && !text.contains("tiny"), "{text}");
}

#[test]
fn h20_a_receivers_certificate_has_its_key() {
    let both = [("RUNLOG_OTLP_CERTIFICATE", "/c.pem"), ("RUNLOG_OTLP_KEY", "/k.pem")];
    let files = otlp::Files { certificate: "/c.pem".into(), key: "/k.pem".into() };
    assert_eq!(from(&both).settings.otlp.tls, Some(files));
    assert_eq!(faults(&both[..1]).0[0].key, "otlp.certificate");
    assert_eq!(faults(&both[1..]).0[0].key, "otlp.key");
}

#[test]
fn logs_are_not_exported_to_the_agent_itself() {
    let cases = [
        ("on", "http://localhost:4318", true),
        ("on", "http://127.0.0.1:4318/v1/logs", true),
        ("0.0.0.0:4318", "http://[::1]:4318", true),
        ("192.0.2.7:4318", "http://192.0.2.7:4318", true),
        ("192.0.2.7:4318", "http://localhost:4318", false),
        ("on", "http://localhost:5318", false),
        ("on", "http://collector:4318", false),
    ];
    for (listen, endpoint, is_circle) in cases {
        let variables = [("RUNLOG_OTLP_LISTEN", listen), ("RUNLOG_EXPORT_ENDPOINT", endpoint)];
        let found = load(&input(&variables)).err().map(|faults| faults.0[0].key.clone());
        assert_eq!(found, is_circle.then(|| "otlp.listen".to_owned()), "{listen} and {endpoint}");
    }
}

#[test]
fn a_service_of_kubernetes_that_is_called_runlog_is_no_setting() {
    from(&[
        ("RUNLOG_SERVICE_HOST", "10.0.0.1"),
        ("RUNLOG_SERVICE_PORT", "4319"),
        ("RUNLOG_SERVICE_PORT_HTTP", "4319"),
        ("RUNLOG_PORT", "tcp://10.0.0.1:4319"),
        ("RUNLOG_PORT_4319_TCP", "tcp://10.0.0.1:4319"),
        ("RUNLOG_PORT_4319_TCP_ADDR", "10.0.0.1"),
        ("RUNLOG_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("RUNLOG_AGENT_PORT_4319_TCP_PROTO", "tcp"),
    ]);
    assert_eq!(faults(&[("RUNLOG_PORT", "4319")]).0.len(), 1);
}

#[test]
fn the_state_directory_is_where_the_system_wants_it() {
    let state = |variables: &[(&str, &str)], is_root| {
        load(&Input { is_root, ..input(variables) }).unwrap().settings.state_dir.display().to_string()
    };
    let systemd = ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b");
    let xdg = ("XDG_STATE_HOME", "/home/me/state");
    assert_eq!(state(&[systemd, xdg], true), "/var/lib/a");
    assert_eq!(state(&[xdg], true), "/var/lib/runlog");
    assert_eq!(state(&[xdg], false), "/home/me/state/runlog");
    assert_eq!(state(&[("XDG_STATE_HOME", "relative")], false), "/home/me/.local/state/runlog");
    assert_eq!(state(&[systemd, ("RUNLOG_STATE_DIR", "/data")], true), "/data");
    let homeless = load(&Input { environment: BTreeMap::new(), ..input(&[]) });
    assert_snapshot!(homeless.unwrap_err(), @r#"
    state_dir is not set, and neither is $HOME (default)
    set RUNLOG_STATE_DIR to a directory that runlog may write
    "#);
}

#[test]
fn the_docker_host_is_a_unix_socket() {
    let on = ("RUNLOG_DOCKER_COLLECT", "on");
    let remote = ("DOCKER_HOST", "tcp://engine:2375");
    let socket = from(&[("DOCKER_HOST", "unix:///run/user/1/docker.sock"), on]).settings.docker.socket;
    assert_eq!(socket, Path::new("/run/user/1/docker.sock"));
    assert_snapshot!(faults(&[remote, on]), @r#"
    DOCKER_HOST=tcp://engine:2375 is not a unix socket (environment, sets docker.host)
    write unix:///path/to/docker.sock
    "#);
    let own = from(&[remote, on, ("RUNLOG_DOCKER_HOST", "unix:///a.sock")]);
    assert_eq!(own.settings.docker.socket, Path::new("/a.sock"));
    assert!(from(&[remote, ("RUNLOG_DOCKER_COLLECT", "off")]).warnings.is_empty());
}

#[test]
fn a_node_whose_commands_are_not_known_is_warned_of_lines_that_sidecars_send() {
    let logs = ("RUNLOG_KUBERNETES_LOGS", "/var/log/pods");
    let warnings = |variables: &[(&str, &str)]| from(variables).warnings;
    assert!(warnings(&[logs])[0].contains("leave out such pods by kubernetes.exclude"));
    for beside in [("RUNLOG_KUBERNETES_METADATA", "https://10.0.0.1:10250/pods"), ("RUNLOG_KUBERNETES_SCOPE", "pod")] {
        assert_eq!(warnings(&[logs, beside]), [""; 0], "{beside:?}");
    }
    assert_eq!(warnings(&[("RUNLOG_KUBERNETES_SCOPE", "node")]), [""; 0]);
}

#[test]
fn the_journal_is_collected_of_the_units_that_are_named() {
    assert_eq!(from(&[]).settings.journal, journal::Config { units: Vec::new(), directory: None });
    let named = from(&[("RUNLOG_JOURNAL_UNITS", "train, gpu@*.service,all"), ("RUNLOG_JOURNAL_DIRECTORY", "/j")]);
    let units = ["train.service", "gpu@*.service", "all"].map(|name| journal::Unit::named(name).unwrap()).to_vec();
    assert_eq!(named.settings.journal, journal::Config { units, directory: Some("/j".into()) });
    let told = faults(&[("RUNLOG_JOURNAL_UNITS", "a[")]).to_string();
    assert!(told.contains("RUNLOG_JOURNAL_UNITS=a[ holds a[, which is not a glob"), "{told}");
}

#[test]
fn the_engines_files_are_read_where_it_says_they_are_or_where_the_settings_say_so() {
    let at = |text: &str| from(&[("RUNLOG_DOCKER_FILES", text)]).settings.docker.files;
    assert_eq!(from(&[]).settings.docker.files, docker::Folder::OfEngine);
    assert_eq!(["auto", "off"].map(at), [docker::Folder::OfEngine, docker::Folder::None]);
    let folder = "/var/lib/docker/containers";
    assert_eq!(at(folder), docker::Folder::At(folder.into()));
    assert_snapshot!(faults(&[("RUNLOG_DOCKER_FILES", "on")]), @r"
    RUNLOG_DOCKER_FILES=on is no folder (environment)
    write auto, off, or a path such as /var/lib/docker/containers
    ");
}

#[test]
fn containers_are_included_and_excluded_by_filters() {
    let filter = |text: &str| text.parse::<docker::Filter>().unwrap();
    let include = ("RUNLOG_DOCKER_INCLUDE", "name=train-* label=team=nlp, project=ridge");
    let docker = from(&[include, ("RUNLOG_DOCKER_EXCLUDE", "image=*/postgres")]).settings.docker;
    assert_eq!(docker.include, [filter("name=train-* label=team=nlp"), filter("project=ridge")]);
    assert_eq!(docker.exclude, [filter("image=*/postgres")]);
    assert_snapshot!(faults(&[("RUNLOG_DOCKER_INCLUDE", "name=a,nmae=b")]), @r#"
    RUNLOG_DOCKER_INCLUDE=name=a,nmae=b holds nmae=b, which is no condition (environment)
    write name=, image=, project= or service= with a glob such as train-*, label=KEY or label=KEY=GLOB, and spaces between those that all have to hold
    "#);
}

#[test]
fn a_renamed_option_is_told_with_its_new_name() {
    let variable = faults(&[("RUNLOG_DOCKER_LABELS", "team=vision")]).to_string();
    assert_snapshot!(variable, @r#"
    RUNLOG_DOCKER_LABELS is not a setting any more (environment)
    set RUNLOG_DOCKER_INCLUDE, each label as label=KEY or label=KEY=VALUE, with spaces between those that all have to be there
    "#);
    let file = with_file("[docker]\nlabels = ['team=vision']", &[]).unwrap_err().to_string();
    assert!(file.starts_with("docker.labels is not a setting any more"), "{file}");
    assert!(file.contains("set docker.include, each label as label=KEY"), "{file}");
}

#[test]
fn the_format_of_files_is_one_of_those_that_are_read() {
    assert_eq!(from(&[]).settings.file.format, Format::Auto);
    assert_eq!(from(&[("RUNLOG_FILE_FORMAT", "CRI")]).settings.file.format, Format::Cri);
    assert_eq!(faults(&[("RUNLOG_FILE_FORMAT", "json")]).0.len(), 1);
}

#[test]
fn what_is_drawn_is_folded_unless_told_otherwise() {
    let terminal = |variables: &[(&str, &str)]| from(variables).settings.parse.terminal;
    let every = |seconds| Some(parse::TerminalConfig { progress_every: Duration::from_secs(seconds) });
    assert_eq!(terminal(&[]), every(10));
    assert_eq!(terminal(&[("RUNLOG_PARSE_PROGRESS_EVERY", "1m")]), every(60));
    assert_eq!(terminal(&[("RUNLOG_PARSE_TERMINAL", "false")]), None);
    assert_eq!(faults(&[("RUNLOG_PARSE_TERMINAL", "vt100"), ("RUNLOG_PARSE_PROGRESS_EVERY", "0s")]).0.len(), 2);
}

#[test]
fn numbers_in_lines_are_metrics_by_names_that_have_to_be_patterns() {
    let names = |value: &str| from(&[("RUNLOG_PARSE_SCALARS", value)]).settings.parse.scalars;
    assert_eq!(from(&[]).settings.parse.scalars, []);
    let named: Vec<_> = names("loss, eval_*").iter().map(|pattern| pattern.as_str().to_owned()).collect();
    assert_eq!(named, ["loss", "eval_*"]);
    assert_eq!(faults(&[("RUNLOG_PARSE_SCALARS", "lo[ss")]).0.len(), 1);
}

#[test]
fn what_is_alike_or_too_much_is_kept_unless_it_is_asked_for_otherwise() {
    let parse = |variables: &[(&str, &str)]| from(variables).settings.parse;
    assert!(!parse(&[]).alike.is_on());
    assert_eq!((parse(&[]).silent_rank_after, parse(&[]).lines_per_second), (None, None));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let set = parse(&[
        ("RUNLOG_PARSE_REPEATS", "10s"),
        ("RUNLOG_PARSE_COLLAPSE_RANKS", "1s"),
        ("RUNLOG_PARSE_SILENT_RANK_AFTER", "5m"),
        ("RUNLOG_PARSE_LINES_PER_SECOND", "500"),
    ]);
    assert_eq!((set.alike.repeats, set.alike.ranks, set.silent_rank_after), (seconds(10), seconds(1), seconds(300)));
    assert_eq!(set.lines_per_second.map(std::num::NonZeroU32::get), Some(500));
    assert_eq!(faults(&[("RUNLOG_PARSE_REPEATS", "true"), ("RUNLOG_PARSE_LINES_PER_SECOND", "-1")]).0.len(), 2);
}

#[test]
fn export_bisects_and_sends_several_requests_at_once_unless_told_otherwise() {
    let endpoint = ("RUNLOG_EXPORT_ENDPOINT", "http://c:4318");
    let export = |more: &[(&str, &str)]| from(&[&[endpoint], more].concat()).settings.export.unwrap();
    assert_eq!((export(&[]).concurrency, export(&[]).bisect), (4, true));
    let other = export(&[("RUNLOG_EXPORT_CONCURRENCY", "1"), ("RUNLOG_EXPORT_BISECT", "false")]);
    assert_eq!((other.concurrency, other.bisect), (1, false));
    assert_eq!(faults(&[endpoint, ("RUNLOG_EXPORT_CONCURRENCY", "0")]).0.len(), 1);
}

#[test]
fn a_list_is_written_with_commas_or_as_an_array() {
    let loaded = with_file("files = ['/a,b.log', '/c/**/*.log']", &[]).unwrap();
    assert_eq!(loaded.settings.file.paths, ["/a,b.log", "/c/**/*.log"]);
    let loaded = from(&[("RUNLOG_FILES", "/a.log, /b.log,")]);
    assert_eq!(loaded.settings.file.paths, ["/a.log", "/b.log"]);
    let flags = vec![flag("files", "/a.log"), flag("files", "/b.log"), flag("level", "info"), flag("level", "debug")];
    let loaded = load(&Input { flags, ..input(&[]) }).unwrap();
    assert_eq!(loaded.settings.file.paths, ["/a.log", "/b.log"]);
    assert_eq!(loaded.settings.level, Severity::DEBUG);
}

#[test]
fn pods_are_chosen_by_globs_of_their_names() {
    let kubernetes = from(&[
        ("RUNLOG_KUBERNETES_LOGS", "/var/log/pods"),
        ("RUNLOG_KUBERNETES_INCLUDE", "ml,research/train-*/trainer"),
        ("RUNLOG_KUBERNETES_METADATA", "https://10.0.0.1:10250/pods"),
        ("RUNLOG_KUBERNETES_ONLY_ENABLED", "true"),
        ("RUNLOG_KUBERNETES_SCOPE", "pod"),
    ])
    .settings
    .kubernetes;
    let log = |namespace, name, container| PodLog { namespace, name, uid: "u", container, restarts: 0 };
    let is_included = |log| kubernetes.include.iter().any(|choice| choice.has(&log));
    assert!(is_included(log("ml", "any", "any")) && is_included(log("research", "train-1", "trainer")));
    assert!(!is_included(log("research", "train-1", "proxy")) && !is_included(log("mlx", "any", "any")));
    assert!(kubernetes.exclude.iter().any(|choice| choice.has(&log("kube-system", "a", "b"))));
    assert_eq!((kubernetes.scope, kubernetes.only_enabled), (Scope::Pod, true));
    assert_eq!(kubernetes.metadata.unwrap().port(), Some(10250));
    let none = from(&[("RUNLOG_KUBERNETES_EXCLUDE", "-")]).settings.kubernetes.exclude;
    assert!(!none.iter().any(|choice| choice.has(&log("kube-system", "a", "b"))));

    for (variable, value) in [
        ("RUNLOG_KUBERNETES_INCLUDE", "a/b/c/d"),
        ("RUNLOG_KUBERNETES_EXCLUDE", "[a"),
        ("RUNLOG_KUBERNETES_METADATA", "10.0.0.1:10250"),
        ("RUNLOG_KUBERNETES_SCOPE", "cluster"),
        ("RUNLOG_KUBERNETES_ONLY_ENABLED", "true"),
    ] {
        let Faults(found) = faults(&[(variable, value)]);
        assert_eq!(found.len(), 1, "{variable}={value}: {found:?}");
    }
}

#[test]
fn what_else_is_masked_is_said_by_patterns_with_names() {
    let loaded = from(&[("RUNLOG_REDACT_PATTERNS", "badge=B-[0-9]+,host=h[a-z]*")]);
    let redact = loaded.settings.redact;
    assert!(redact.builtin);
    assert_eq!(redact.patterns.iter().map(crate::enrich::redact::Pattern::name).collect::<Vec<_>>(), ["badge", "host"]);
    let faults = faults(&[("RUNLOG_REDACT_PATTERNS", "badge=B-(")]);
    assert_snapshot!(faults.to_string(), @r"
    RUNLOG_REDACT_PATTERNS=badge=B-( holds badge, which is not a regular expression: unclosed group (environment)
    write each as name=EXPRESSION, the name of letters, digits and -, without looking around (?=...) and \1
    ");
}

#[test]
fn levels_of_loggers_are_names_with_levels() {
    let loaded = from(&[("RUNLOG_LOGGER_LEVELS", "nccl=WARN, PIL.Image = debug")]);
    let told: Vec<_> = loaded.settings.logger_levels.iter().map(|of| (&of.logger[..], of.level)).collect();
    assert_eq!(told, [("nccl", Severity::WARN), ("PIL.Image", Severity::DEBUG)]);
    let faults = faults(&[("RUNLOG_LOGGER_LEVELS", "nccl=loud")]);
    assert_snapshot!(faults.to_string(), @r"
    RUNLOG_LOGGER_LEVELS=nccl=loud holds nccl=loud, whose level is none (environment)
    write each as LOGGER=LEVEL, such as nccl=warn; levels are trace, debug, info, warn, error, fatal
    ");
}
