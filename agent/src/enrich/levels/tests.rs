use super::*;

fn asked(level: Severity, [source, run, logger]: [&str; 3]) -> Asked {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Asked { level, scope: Scope { source: some(source), run: some(run), logger: some(logger) }, until: None }
}

fn configured(texts: &[&str]) -> Levels {
    Levels::new(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn level(levels: &Levels, logger: &str) -> Severity {
    let asked = levels.asked(Instant::now());
    levels.of(&asked, (SourceKind::File, "/logs/a.log"), "r", Severity::INFO).of(logger.as_bytes())
}

#[test]
fn a_logger_has_the_level_of_the_longest_name_that_it_is_or_lies_below() {
    let levels = configured(&["nccl=warn", "a.b=debug", "a=error", "a.b.c=trace", "hyper::client=warn"]);
    let cases = [
        ("NCCL", Severity::WARN),
        ("nccl.net", Severity::WARN),
        ("ncclx", Severity::INFO),
        ("ncc", Severity::INFO),
        ("", Severity::INFO),
        ("a", Severity::ERROR),
        ("a.x", Severity::ERROR),
        ("a.b", Severity::DEBUG),
        ("a.bc", Severity::ERROR),
        ("a.b.c.d", Severity::TRACE),
        ("hyper::client::pool", Severity::WARN),
        ("hyper::clients", Severity::INFO),
    ];
    for (logger, expected) in cases {
        assert_eq!(level(&levels, logger), expected, "{logger}");
    }
}

#[test]
fn what_names_more_counts_before_what_was_asked_for_later() {
    let levels = configured(&["torch=warn"]);
    for (level, scope) in [
        (Severity::ERROR, ["file", "r", ""]),
        (Severity::FATAL, ["", "r", ""]),
        (Severity::DEBUG, ["", "", ""]),
        (Severity::TRACE, ["docker", "", ""]),
        (Severity::TRACE, ["", "another", ""]),
    ] {
        levels.ask(asked(level, scope)).unwrap();
    }
    assert_eq!(level(&levels, ""), Severity::ERROR);
    // The level of a logger stays what it is when all of a run is asked for.
    assert_eq!(level(&levels, "torch.nn"), Severity::WARN);
    levels.reset(&Scope { source: Some("file".into()), run: Some("r".into()), logger: None });
    assert_eq!(level(&levels, ""), Severity::FATAL);
    levels.ask(asked(Severity::WARN, ["/logs", "", ""])).unwrap();
    assert_eq!(level(&levels, ""), Severity::WARN, "both name one, and this was asked for later");
    levels.ask(asked(Severity::DEBUG, ["", "", "torch"])).unwrap();
    assert_eq!(level(&levels, "torch.nn"), Severity::DEBUG, "asked for counts before configured");
    assert_eq!(levels.reset(&Scope::default()), 6);
    assert_eq!((level(&levels, ""), level(&levels, "torch")), (Severity::INFO, Severity::WARN));
}

#[test]
fn asking_again_for_the_same_replaces_and_there_is_a_bound() {
    let levels = Levels::default();
    for run in 0..MAX_ASKED {
        levels.ask(asked(Severity::DEBUG, ["", &run.to_string(), ""])).unwrap();
    }
    let before = levels.version();
    levels.ask(asked(Severity::WARN, ["", "7", ""])).unwrap();
    assert_ne!(levels.version(), before);
    assert_eq!(levels.ask(asked(Severity::WARN, ["", "", ""])), Err(TooMany));
    assert_eq!(levels.asked(Instant::now()).len(), MAX_ASKED);
}

#[test]
fn a_source_is_meant_by_its_kind_its_name_what_stands_before_a_slash_or_a_glob() {
    let cases = [
        ("docker", true),
        ("trainer/stdout", true),
        ("trainer", true),
        ("train*", true),
        ("*/stdout", true),
        ("train", false),
        ("stdout", false),
        ("file", false),
        ("*.log", false),
        ("[", false),
    ];
    for (word, expected) in cases {
        assert_eq!(is_source(word, SourceKind::Docker, "trainer/stdout"), expected, "{word}");
    }
}

#[test]
fn what_is_no_level_of_a_logger_is_said() {
    assert_eq!("PIL = Warning".parse(), Ok(LoggerLevel { logger: "PIL".into(), level: Severity::WARN }));
    for text in ["PIL", "=warn", "PIL="] {
        assert_eq!(text.parse::<LoggerLevel>(), Err(UnusableLevel::Shapeless(text.into())));
    }
    let error = "PIL=loud".parse::<LoggerLevel>().unwrap_err();
    assert_eq!(error.to_string(), "holds PIL=loud, whose level is none");
}
