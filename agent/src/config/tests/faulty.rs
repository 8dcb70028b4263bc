//! What the operator reads when settings cannot be used.

use super::*;

#[test]
fn all_faults_are_shown_at_once() {
    let file = "levle = 'debug'\nexport = 'http://c:4318'\n[docker]\ncollect = 'sometimes'\n[queue]\nmax_bytes = 64";
    let found = with_file(
        file,
        &[
            ("RUNLOG_LEVEL", "verbose"),
            ("RUNLOG_EXPORT_ENDPONT", "http://c:4318"),
            ("RUNLOG_EXPORT_HEADERS", "my-secret-token"),
            ("RUNLOG_BATCH_LINGER", "200"),
            ("RUNLOG_MEMORY_MAX_BYTES", "64MB"),
            ("RUNLOG_SERVE_LISTEN", "localhost:4319"),
            ("RUNLOG_OTLP_LISTEN", "on,4318"),
            ("RUNLOG_FILES", "/var/log/***.log"),
            ("RUNLOG_FILE_MAX_OPEN", "many"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ],
    )
    .expect_err("these settings are faulty");
    assert_snapshot!(without_folder(&found), @r#"
    export is a table of settings (/runlog.toml)
    use one of: export.endpoint, export.protocol, export.compression, export.headers, export.timeout, export.max_request_bytes, export.min_backoff, export.max_backoff, export.concurrency, export.bisect, export.certificate, export.client_certificate, export.client_key

    levle is not a setting (/runlog.toml)
    did you mean level? `runlog check --show` lists all settings

    RUNLOG_EXPORT_ENDPONT is not a setting (environment)
    did you mean RUNLOG_EXPORT_ENDPOINT? `runlog check --show` lists all settings

    RUNLOG_LEVEL=verbose is not a level (environment)
    use one of: trace, debug, info, warn, error, fatal

    RUNLOG_FILES=/var/log/***.log holds /var/log/***.log, which is not a glob: wildcards are either regular `*` or recursive `**` at character 12 (environment)
    use paths with *, ?, [a-z] and **

    RUNLOG_FILE_MAX_OPEN=many is not a whole number (environment)
    use a number from 1 to 1000000

    docker.collect = "sometimes" is not a switch (/runlog.toml)
    use one of: auto, on, off

    RUNLOG_OTLP_LISTEN=on,4318 holds 4318, which is not an address to listen on (environment)
    use IP addresses and ports such as 127.0.0.1:4318, or unix:/path, or on, or off

    RUNLOG_BATCH_LINGER=200 is not a duration (environment)
    write a number and a unit, from 1ms to 1m

    queue.max_bytes = "64" is too small (/runlog.toml)
    use a size from 8MiB to 1024GiB

    RUNLOG_MEMORY_MAX_BYTES=64MB is not a size (environment)
    write a number and one of B, KiB, MiB, GiB, from 1MiB to 1GiB

    OTEL_EXPORTER_OTLP_PROTOCOL=http/json is a protocol that runlog does not speak (environment, sets export.protocol)
    use one of: http/protobuf, grpc

    RUNLOG_EXPORT_HEADERS has an entry, the number 1, without `=` (environment)
    write each as name=value, with commas between them

    OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318 has no scheme (environment, sets export.endpoint)
    write http://host:port, or https://host:port for TLS

    RUNLOG_SERVE_LISTEN=localhost:4319 is not an address to listen on (environment)
    use an IP address and a port such as 127.0.0.1:4319, or off
    "#);
}

#[test]
fn what_nothing_can_end_with_is_refused_with_what_can_be_written() {
    assert_snapshot!(faults(&[("RUNLOG_EXIT_WITH", "train")]), @r#"
    RUNLOG_EXIT_WITH=train does not say what it is (environment)
    write path:/FILE, pid:NUMBER or container:NAME
    "#);
    assert_snapshot!(faults(&[("RUNLOG_EXIT_WITH", "pid:0")]), @r#"
    RUNLOG_EXIT_WITH=pid:0 is not the number of a process (environment)
    write path:/FILE, pid:NUMBER or container:NAME
    "#);
}

#[test]
fn a_fault_names_the_flag_and_the_file() {
    let bad_flag = load(&Input { flags: vec![flag("level", "verbose"), flag("nothing", "1")], ..input(&[]) });
    assert_snapshot!(bad_flag.unwrap_err(), @r#"
    --nothing is not a setting (command line)
    `runlog check --show` lists all settings

    --level=verbose is not a level (command line)
    use one of: trace, debug, info, warn, error, fatal
    "#);
    let missing = load(&Input { file: Some("/nonexistent/my.toml".into()), ..input(&[]) });
    assert_snapshot!(missing.unwrap_err(), @r#"
    --config=/nonexistent/my.toml cannot be read: No such file or directory (os error 2) (command line)
    name a TOML file that runlog may read
    "#);
    let secret = with_file("[export]\nheaders = [\"authorization=Bearer my-secret\"\n", &[]).unwrap_err();
    assert_snapshot!(without_folder(&secret), @r#"
    configuration file is not TOML at line 2: unclosed array, expected `]` (/runlog.toml)
    write it as docs/configuration.md shows
    "#);
    assert_snapshot!(without_folder(&with_file("level = 'verbose'", &[]).unwrap_err()), @r#"
    level = "verbose" is not a level (/runlog.toml)
    use one of: trace, debug, info, warn, error, fatal
    "#);
}

#[test]
fn no_secret_is_ever_shown() {
    let variables = [
        ("RUNLOG_EXPORT_ENDPOINT", "http://collector:4318/?key=my-secret"),
        ("RUNLOG_EXPORT_HEADERS", "Authorization=Bearer my-secret, X-Scope-OrgID = team"),
    ];
    let loaded = from(&variables);
    assert_eq!(shown(&loaded, "export.headers").0, "Authorization=***,X-Scope-OrgID=***");
    assert_eq!(
        loaded.settings.export.as_ref().unwrap().headers.0,
        [("authorization".to_owned(), "Bearer my-secret".to_owned()), ("x-scope-orgid".to_owned(), "team".to_owned())]
    );
    let effective = format!("{:?} {:?}", loaded.effective, loaded.warnings);
    assert!(!effective.contains("my-secret"), "{effective}");

    let faulty = [
        ("RUNLOG_EXPORT_ENDPOINT", "http://me:my-secret@collector:4318"),
        ("RUNLOG_EXPORT_HEADERS", "Authorization=my-secret\u{7f}"),
        ("RUNLOG_UNKNOWN", "my-secret"),
    ];
    for variable in faulty {
        let found = format!("{:?}", faults(&[variable]));
        assert!(!found.contains("my-secret"), "{found}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("RUNLOG_STORE_KEEP", "off")], "store.keep"),
        (&[("RUNLOG_QUEUE_SEGMENT_BYTES", "1GiB"), ("RUNLOG_QUEUE_MAX_BYTES", "1GiB")], "queue.segment_bytes"),
        (&[("RUNLOG_EXPORT_MIN_BACKOFF", "5m")], "export.max_backoff"),
        (&[("RUNLOG_EXPORT_CLIENT_KEY", "/k.pem")], "export.client_key"),
        (&[("RUNLOG_EXPORT_CLIENT_CERTIFICATE", "/c.pem")], "export.client_certificate"),
        (&[("RUNLOG_BATCH_LINGER", "2h")], "batch.linger"),
        (&[("RUNLOG_EXIT_WITH", "container:train"), ("RUNLOG_DOCKER_COLLECT", "off")], "exit_with"),
    ];
    for (variables, key) in cases {
        let Faults(found) = faults(variables);
        assert_eq!(found.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(), [key]);
    }
}
