use std::{collections::BTreeMap, fs::File, time::Duration};

use serde_json::json;

use super::{
    super::{frame::Stdio, ways::Seen},
    *,
};
use crate::{
    config::Switch,
    record::{Severity, SystemClock},
    run::{Facts, Identity, RunId},
    source::{intake, stop_switch},
};

fn config(folder: &Path, read_exited: bool) -> Config {
    let files = Folder::At(folder.to_owned());
    let (include, exclude) = (Vec::new(), Vec::new());
    Config { collect: Switch::On, socket: PathBuf::new(), include, exclude, read_exited, files }
}

fn files(config: &Config, positions: &BTreeMap<String, Vec<u8>>) -> Files {
    let tagging = Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity::default(),
        facts: Facts::default(),
        level: Severity::INFO,
    };
    let context = Context {
        intake: intake(1024).0,
        stop: stop_switch().1,
        ledger: Arc::default(),
        positions: Arc::new(positions.clone()),
        clock: Arc::new(SystemClock),
    };
    Files::new(config, tagging, context, Arc::default(), Arc::default()).unwrap()
}

/// What the lines of that log are tagged with, if it is read.
fn claimed(files: &mut Files, path: &Path) -> Option<Tags> {
    (files.claim(path) == Claim::Wanted).then(|| files.tags(path)).flatten()
}

/// Writes what the engine writes for a container, and gives the path of its log.
fn write(folder: &Path, id: &str, running: bool, labels: &serde_json::Value) -> PathBuf {
    let state =
        json!({ "Running": running, "StartedAt": "2026-11-24T05:44:23Z", "FinishedAt": "0001-01-01T00:00:00Z" });
    write_state(folder, id, &state, labels)
}

/// The same with all that it says about the state.
fn write_state(folder: &Path, id: &str, state: &serde_json::Value, labels: &serde_json::Value) -> PathBuf {
    let own = folder.join(id);
    fs::create_dir_all(&own).unwrap();
    let written = json!({
        "StreamConfig": {},
        "ID": id,
        "Name": format!("/name-of-{id}"),
        "State": state,
        "Config": { "Image": "train:1", "Env": null, "Labels": labels, "Tty": false },
    });
    let (file, draft) = (own.join(CONFIG), own.join("draft"));
    fs::write(&draft, written.to_string()).unwrap();
    // All of these are written within one tick of the file system's clock.
    if let Ok(before) = fs::metadata(&file) {
        File::options().write(true).open(&draft).unwrap().set_modified(before.modified().unwrap()).unwrap();
    }
    fs::rename(draft, file).unwrap();
    let log = own.join(format!("{id}{LOG_END}"));
    File::create(&log).unwrap();
    log
}

fn names(inputs: &[Input]) -> Vec<&'static str> {
    inputs.iter().filter_map(|input| if let Input::Event(event) = input { Some(event.name) } else { None }).collect()
}

#[test]
fn a_log_is_tagged_as_its_container_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&config(folder.path(), true), &BTreeMap::new());
    let log = write(folder.path(), "a", true, &json!({"runlog.run-id": "r", "runlog.level": "error"}));
    let tags = claimed(&mut files, &log).unwrap();
    assert_eq!((tags.name.as_str(), tags.resource.run_id.as_str(), tags.level), ("name-of-a", "r", Severity::ERROR));
    let unwanted = write(folder.path(), "b", true, &json!({"runlog.enabled": "false"}));
    assert!(claimed(&mut files, &unwanted).is_none());
    assert!(claimed(&mut files, &folder.path().join("c/c-json.log")).is_none(), "nothing is known of it");
}

#[test]
fn what_had_ended_before_is_left_out_if_so_asked_until_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&config(folder.path(), false), &BTreeMap::new());
    let log = write(folder.path(), "a", false, &json!({}));
    assert!(claimed(&mut files, &log).is_none());
    files.looked();
    assert!(claimed(&mut files, &log).is_none());
    let later = write(folder.path(), "b", false, &json!({}));
    assert!(claimed(&mut files, &later).is_some(), "it came and went since");
    write(folder.path(), "a", true, &json!({}));
    assert!(claimed(&mut files, &log).is_some());
}

// Its position is that of the file before a rotation, and what came after it was left out.
#[test]
fn what_was_begun_before_is_read_to_its_end_in_whichever_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&config(folder.path(), false), &BTreeMap::new());
    let log = write(folder.path(), "a", false, &json!({}));
    files.was_read(&log.with_extension("log.1"));
    assert!(claimed(&mut files, &log).is_some());
    assert!(!files.is_removed(&log));
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    assert!(files.is_removed(&log));
    fs::remove_dir(folder.path()).unwrap();
    assert!(!files.is_removed(&log), "the folder of all is not there, as if it were not mounted");
}

#[test]
fn a_container_is_read_by_who_has_begun_it() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, fresh) = (write(folder.path(), "a", true, &json!({})), write(folder.path(), "b", true, &json!({})));
    let positions = BTreeMap::from([(crate::source::docker::log::key("a", Stdio::Err), vec![1])]);
    for config in [config(folder.path(), true), Config { files: Folder::OfEngine, ..config(folder.path(), true) }] {
        let mut files = files(&config, &positions);
        files.ways.found(Some(Seen { named: "/engine".into(), path: folder.path().to_owned() }));
        files.has_moved();
        files.ways.list(["a", "b"].into_iter());
        assert!(claimed(&mut files, &begun).is_none(), "it was begun through the engine");
        assert!(claimed(&mut files, &fresh).is_some());
        assert_eq!(files.ways.choose("b", Way::Engine), Way::File, "the engine's reader comes too late");
        let later = write(folder.path(), "c", true, &json!({}));
        files.ways.list(["c"].into_iter());
        files.ways.choose("c", Way::Engine);
        assert!(claimed(&mut files, &later).is_none(), "the engine's reader came first");
        assert!(names(&files.news()).is_empty());
    }
}

#[test]
fn the_folder_of_an_engine_is_read_where_it_can_be_seen_and_of_its_own_containers() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&Config { files: Folder::OfEngine, ..config(folder.path(), true) }, &BTreeMap::new());
    let (own, others) = (write(folder.path(), "a", true, &json!({})), write(folder.path(), "b", true, &json!({})));
    assert!(files.patterns().is_empty() && !files.has_moved());
    assert_eq!(files.claim(&own), Claim::Unwanted, "nobody knows of that folder");

    files.ways.found(Some(Seen { named: "/engine".into(), path: folder.path().to_owned() }));
    assert!(files.has_moved() && !files.has_moved());
    assert!(files.patterns()[0].starts_with(folder.path().to_str().unwrap()));
    assert_eq!((files.claim(&own), files.may_have_decided()), (Claim::Undecided, true));
    assert!(!files.may_have_decided(), "nothing more became known");
    files.ways.name("a");
    assert!(files.may_have_decided());
    assert_eq!((files.claim(&own), files.claim(&others)), (Claim::Wanted, Claim::Undecided));
}

#[test]
fn a_log_that_the_engine_has_compressed_in_part_is_left_to_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let log = write(folder.path(), "a", true, &json!({}));
    File::create(log.with_extension("log.2.gz")).unwrap();
    let mut told = files(&config(folder.path(), true), &BTreeMap::new());
    assert_eq!(told.claim(&log), Claim::Wanted, "it is said that files are read");
    let mut files = files(&Config { files: Folder::OfEngine, ..config(folder.path(), true) }, &BTreeMap::new());
    files.ways.found(Some(Seen { named: "/engine".into(), path: folder.path().to_owned() }));
    files.has_moved();
    files.ways.name("a");
    assert_eq!((files.claim(&log), files.ways.of("a")), (Claim::NotNow, Some(Way::Engine)));
}

#[test]
fn a_container_that_was_begun_from_its_file_is_read_on_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let [begun, other] = ["a", "b"].map(|letter| letter.repeat(64));
    let (log, fresh) = (write(folder.path(), &begun, true, &json!({})), write(folder.path(), &other, true, &json!({})));
    let positions = BTreeMap::from([crate::source::file::position_of(&log.with_extension("log.1"))]);
    let auto = Config { files: Folder::OfEngine, ..config(folder.path(), true) };
    let mut files = files(&auto, &positions);
    assert_eq!((files.claim(&log), files.claim(&fresh)), (Claim::Wanted, Claim::Undecided));
    assert_eq!(files.ways.choose(&begun, Way::Engine), Way::File);
}

#[test]
fn a_folder_that_is_empty_says_nothing_of_containers_that_the_engine_has() {
    let folder = tempfile::tempdir().unwrap();
    let auto = Config { files: Folder::OfEngine, ..config(folder.path(), true) };
    let mut files = files(&auto, &BTreeMap::new());
    files.ways.found(Some(Seen { named: "/engine".into(), path: folder.path().to_owned() }));
    files.has_moved();
    files.ways.list(["a"].into_iter());
    let log = write(folder.path(), "a", true, &json!({"runlog.run-id": "r"}));
    assert!(claimed(&mut files, &log).is_some());
    files.opened(&log);
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    files.look();
    assert!(!files.is_removed(&log) && files.ending().is_empty());
    files.has_moved();
    files.ways.removed("a");
    assert!(files.has_moved(), "so that it is looked for again");
    files.look();
    assert!(files.is_removed(&log));
    assert_eq!(files.ending(), ["a"]);
}

#[test]
fn d17_lines_of_a_container_whose_engine_may_drop_some_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let log = write(folder.path(), "a", true, &json!({}));
    let host = json!({"LogConfig": {"Type": "json-file", "Config": {"mode": "non-blocking"}}});
    fs::write(log.with_file_name(HOST_CONFIG), host.to_string()).unwrap();
    let mut files = files(&config(folder.path(), true), &BTreeMap::new());
    let attributes = claimed(&mut files, &log).unwrap().attributes;
    assert!(attributes.windows(19).any(|bytes| bytes == b"runlog.source.lossy"));
}

#[test]
fn d25_a_container_keeps_the_name_and_the_tags_that_it_was_found_with() {
    let folder = tempfile::tempdir().unwrap();
    let named = Config { include: vec!["name=name-of-a".parse().unwrap()], ..config(folder.path(), true) };
    let mut files = files(&named, &BTreeMap::new());
    let log = write(folder.path(), "a", true, &json!({}));
    assert_eq!(claimed(&mut files, &log).unwrap().name, "name-of-a");
    let path = log.with_file_name(CONFIG);
    let renamed = fs::read_to_string(&path).unwrap().replace("/name-of-a", "/other");
    fs::write(&path, renamed).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    assert_eq!(claimed(&mut files, &log).unwrap().name, "name-of-a");
    // Rotated files of one that is gone are tagged as before.
    fs::remove_file(&path).unwrap();
    assert_eq!(claimed(&mut files, &log.with_extension("log.1")).unwrap().name, "name-of-a");
}

#[test]
fn a_container_that_ends_is_told_once_all_of_it_is_read_with_what_the_engine_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), true);
    let labels = json!({"runlog.run-id": "r"});
    let mut files = files(&config, &BTreeMap::new());
    let log = write(folder.path(), "a", true, &labels);
    assert!(claimed(&mut files, &log).is_some());
    assert_eq!(names(&files.news()), ["ml.run.start"]);
    assert!(files.ending().is_empty());
    let state = json!({
        "Running": false, "StartedAt": "2026-11-24T05:44:23Z", "FinishedAt": "2026-11-24T05:45:23Z",
        "ExitCode": 137, "OOMKilled": true,
    });
    write_state(folder.path(), "a", &state, &labels);
    files.written(&log.with_file_name(CONFIG));
    assert_eq!(files.ending(), ["a"]);
    let told = files.ended("a");
    let Input::Event(event) = &told[0] else { panic!("{told:?}") };
    assert_eq!(event.body, "container name-of-a of run r ended with exit code 137, killed for want of memory");
    assert!(files.ending().is_empty() && files.ended("a").is_empty());
}

#[test]
fn a_container_that_is_removed_is_ended_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), true);
    let mut files = files(&config, &BTreeMap::new());
    let log = write(folder.path(), "a", true, &json!({"runlog.run-id": "r"}));
    assert!(claimed(&mut files, &log).is_some());
    files.opened(&log);
    let started = files.news();
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    files.look();
    assert_eq!((files.ending(), files.is_gone("a")), (vec!["a".to_owned()], true));
    assert_eq!(names(&files.ended("a")), ["ml.run.end"]);
    assert!(files.ending().is_empty());

    // Removed while no agent looked.
    let Input::Chunk(position) = &started[1] else { panic!("{started:?}") };
    let stored = position.origin.bookmark.at(crate::record::ReadTo::whole(0)).unwrap();
    let mut files = super::tests::files(&config, &BTreeMap::from([(life::key("a"), stored)]));
    files.look();
    assert_eq!(names(&files.news()), ["runlog.gap", "ml.run.end"]);
}

#[test]
fn d12_a_container_whose_log_is_gone_before_it_is_opened_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), true);
    let mut files = files(&config, &BTreeMap::new());
    let log = write(folder.path(), "a", true, &json!({"runlog.run-id": "r"}));
    assert!(claimed(&mut files, &log).is_some());
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    files.look();
    assert_eq!(names(&files.ended("a")), ["runlog.gap", "ml.run.end"]);
    assert!(!files.fates.is_read_from_files("a"), "so that who can ask the engine tells of it");
}
