use std::fs::File;

use rusqlite::Connection;

use crate::{
    record::Severity,
    store::{
        Query,
        blocks::folder_of,
        delete::{clear_away, forget},
        samples::{Sample, append, end, line},
    },
};

use super::*;

const DAY: Duration = Duration::from_hours(24);

/// A store with ended runs that are so many days old, `r0`, `r1` and so on.
fn aged(days: &[u32]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (run, days) in days.iter().enumerate() {
        let run_id = format!("r{run}");
        append(&store, run as u64, &run_id, &[line(1, Severity::INFO, "a line"), end(2, "completed", 0)]);
        age(&store, &run_id, DAY * *days);
    }
    (dir, store)
}

fn age(store: &Store, run_id: &str, by: Duration) {
    for entry in fs::read_dir(store.dir().join(folder_of(run_id))).unwrap() {
        let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }
}

fn bytes_of(store: &Store, run_id: &str) -> u64 {
    in_folder(&store.dir().join(folder_of(run_id))).unwrap().0
}

fn left(store: &Store) -> Vec<String> {
    let mut left: Vec<_> = store.reader().runs(10).unwrap().into_iter().map(|run| run.run_id).collect();
    left.sort();
    left
}

fn retain(store: &Store, max_age: Option<Duration>, max_bytes: Option<u64>) -> Retained {
    store.retain(&Retention { max_age, max_bytes }, SystemTime::now()).unwrap()
}

#[test]
fn runs_of_which_nothing_came_for_too_long_are_removed_with_their_bytes() {
    let (_dir, store) = aged(&[1, 40, 20]);
    let bytes = bytes_of(&store, "r1");
    let retained = retain(&store, Some(DAY * 30), None);
    assert_eq!(retained.removed, [Removed { run_id: "r1".to_owned(), bytes, option: "store.max_age" }]);
    assert_eq!(left(&store), ["r0", "r2"]);
    assert!(!store.dir().join(folder_of("r1")).exists());
    assert_eq!(retained.bytes, bytes_of(&store, "r0") + bytes_of(&store, "r2"));
}

#[test]
fn above_the_limit_the_oldest_go_first_until_the_rest_has_room() {
    let (_dir, store) = aged(&[1, 40, 20]);
    let most = bytes_of(&store, "r0") + bytes_of(&store, "r2");
    let retained = retain(&store, None, Some(most));
    assert_eq!(retained.removed.iter().map(|run| &run.run_id[..]).collect::<Vec<_>>(), ["r1"]);
    assert_eq!(retain(&store, None, Some(most - 1)).removed[0].run_id, "r2");
    assert_eq!(left(&store), ["r0"]);
}

#[test]
fn a_run_that_goes_on_is_not_removed_for_want_of_room() {
    let (_dir, store) = aged(&[1, 0]);
    append(&store, 7, "going", &[line(1, Severity::INFO, "a line")]);
    age(&store, "going", SILENT / 2);
    assert_eq!(retain(&store, None, Some(1)).removed[0].run_id, "r0");
    assert_eq!(left(&store), ["going", "r1"]);
    age(&store, "going", SILENT);
    assert_eq!(retain(&store, None, Some(1)).removed[0].run_id, "going");
    assert_eq!(retain(&store, None, Some(1)).removed, [], "the newest one stays");
}

#[test]
fn a_file_stays_as_long_as_a_run_has_it_and_frees_room_when_the_last_one_goes() {
    let (_dir, store) = aged(&[40, 20]);
    let (digest, _) = Digest::of(&b"weights"[..]).unwrap();
    let mut upload = store.upload(&digest, None).unwrap();
    upload.write(b"weights").unwrap();
    upload.finish().unwrap();
    let index = Connection::open(store.dir().join("index.sqlite")).unwrap();
    index
        .execute(
            "INSERT INTO artifacts SELECT id, 'model', 0, 'file', ?1, 7, '', '', '', NULL, NULL FROM runs",
            [digest.as_str()],
        )
        .unwrap();
    let blocks = bytes_of(&store, "r0");
    assert_eq!(retain(&store, Some(DAY * 30), None).removed[0].bytes, blocks);
    assert!(store.reader().is_held(&digest));
    let blocks = bytes_of(&store, "r1");
    let retained = retain(&store, Some(DAY * 10), None);
    assert_eq!((retained.removed[0].bytes, retained.bytes), (blocks + 7, 0));
    assert!(!store.reader().is_held(&digest));
}

#[test]
fn what_another_process_stores_for_a_run_that_is_being_removed_stays() {
    let (dir, store) = aged(&[1]);
    let other = Store::open(dir.path()).unwrap();
    let mut index = store.index().lock().unwrap();
    let digests = forget(&mut index.connection, "r0").unwrap().unwrap();
    let late: Sample = line(3, Severity::INFO, "late");
    append(&other, 9, "r0", &[late]);
    clear_away(store.dir(), &mut index.connection, "r0", &digests).unwrap();
    drop(index);
    let bodies: Vec<_> =
        store.reader().logs(&Query::of("r0")).unwrap().lines.into_iter().map(|line| line.body).collect();
    assert_eq!(bodies, ["late"]);
}
