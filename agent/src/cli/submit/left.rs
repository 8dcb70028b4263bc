//! What submits have left behind: copies and plans of runs that failed, were killed, or left files.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    plan::{self, Plan},
    snapshot,
};

/// A plan stays for so long whose run nobody knows here: its runs may be stored elsewhere.
const UNKNOWN: Duration = Duration::from_hours(30 * 24);

/// A copy that is not complete is under way for less.
const COPYING: Duration = Duration::from_hours(24);

/// What such a copy's name ends with.
pub const PART: &str = "part";

/// Where the copies of a state directory are.
pub fn copies_in(state_dir: &Path) -> PathBuf {
    state_dir.join("snapshots")
}

/// Keeps a copy from being removed until what is given back is dropped. Without it, it is as safe as its age makes it.
pub fn hold(copy: &Path) -> Option<File> {
    let folder = File::open(copy).ok()?;
    flock(&folder, FlockOperation::NonBlockingLockShared).ok()?;
    Some(folder)
}

/// Removes what is left of runs that were `removed` from the store, and in time what nobody misses: copies that were not
/// completed, and copies without anything new of runs that are not known. Gives what became of each.
pub fn clear(
    state_dir: &Path,
    removed: &[&str],
    is_known: impl Fn(&str) -> bool,
    now: SystemTime,
) -> Vec<(String, io::Result<()>)> {
    let names = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (copies, plans) = (copies_in(state_dir), Plan::folder_in(state_dir));
    let stem = |path: PathBuf| path.file_stem().and_then(OsStr::to_str).map(str::to_owned);
    let ids: BTreeSet<String> = names(&copies).chain(names(&plans)).filter_map(stem).collect();
    let mut cleared = Vec::new();
    for id in ids {
        let [copy, plan] = [copies.join(&id), plan::path_in(state_dir, &id)];
        let part = copy.with_extension(PART);
        if is_older(&part, COPYING, now) {
            cleared.push((id.clone(), gone(fs::remove_dir_all(&part))));
        }
        let may_go = removed.contains(&&id[..]) || is_older(&plan, UNKNOWN, now) && is_bare(&plan) && !is_known(&id);
        let is_there = copy.exists() || plan.exists();
        if may_go && is_there && !is_held(&copy) {
            let files = [plan::log_of(&plan), plan].into_iter().map(|path| gone(fs::remove_file(path)));
            cleared.push((id, gone(fs::remove_dir_all(&copy)).and_then(|()| files.collect())));
        }
    }
    cleared
}

fn is_older(path: &Path, age: Duration, now: SystemTime) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|found| found.modified());
    changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|found| found >= age))
}

/// Whether the copy of a plan has nothing that is nowhere else, and nobody wanted it to stay.
fn is_bare(path: &Path) -> bool {
    let Ok(plan) = plan::read(path) else { return false };
    let has_grown = match snapshot::has_grown(&plan.folder, plan.copied) {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(has_grown) => has_grown,
    };
    !plan.keeps_copy && !has_grown
}

fn is_held(copy: &Path) -> bool {
    File::open(copy).is_ok_and(|folder| flock(folder, FlockOperation::NonBlockingLockExclusive).is_err())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Clock, SystemClock};

    const DAY: Duration = Duration::from_hours(24);

    /// A state directory with the copies and plans of these runs, which have begun in it.
    fn left(ids: &[&str]) -> (tempfile::TempDir, Vec<Plan>) {
        let dir = tempfile::tempdir().unwrap();
        let plans = ids.iter().map(|id| {
            let folder = copies_in(dir.path()).join(id);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("train.py"), "").unwrap();
            let plan = Plan {
                id: (*id).to_owned(),
                experiment: String::new(),
                folder,
                copied: SystemClock.now(),
                keeps_copy: false,
                state_dir: dir.path().to_owned(),
                parallel: 1,
                has_output: false,
                metric: None,
                trials: Vec::new(),
            };
            plan.write().unwrap();
            fs::write(plan::log_of(&plan.path()), "").unwrap();
            plan
        });
        let plans = plans.collect();
        (dir, plans)
    }

    fn there(state_dir: &Path) -> Vec<String> {
        let folders = [copies_in(state_dir), Plan::folder_in(state_dir)];
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn cleared(state_dir: &Path, removed: &[&str], known: &str, after: Duration) -> Vec<String> {
        let cleared = clear(state_dir, removed, |id| id == known, SystemTime::now() + after);
        cleared.into_iter().map(|(id, result)| result.map(|()| id).unwrap()).collect()
    }

    #[test]
    fn copy_and_plan_go_with_their_run_whatever_the_run_has_left_in_them() {
        let (dir, plans) = left(&["a", "b"]);
        fs::write(plans[0].folder.join("model.pkl"), "").unwrap();
        assert_eq!(cleared(dir.path(), &["a", "../b"], "", Duration::ZERO), ["a"]);
        assert_eq!(there(dir.path()), ["b", "b.json", "b.log"]);
    }

    #[test]
    fn of_runs_that_nobody_knows_what_is_old_and_has_nothing_new_goes() {
        let (dir, plans) = left(&["bare", "grown", "kept", "known"]);
        fs::write(plans[1].folder.join("model.pkl"), "").unwrap();
        Plan { keeps_copy: true, ..plans[2].clone() }.write().unwrap();
        assert_eq!(cleared(dir.path(), &[], "known", UNKNOWN - DAY), [""; 0]);
        assert_eq!(cleared(dir.path(), &[], "known", UNKNOWN + DAY), ["bare"]);
        assert!(!there(dir.path()).iter().any(|name| name.starts_with("bare")));
        assert_eq!(there(dir.path()).len(), 9);
    }

    #[test]
    fn what_somebody_works_at_stays() {
        let (dir, plans) = left(&["a"]);
        let held = hold(&plans[0].folder);
        assert_eq!(cleared(dir.path(), &["a"], "", UNKNOWN + DAY), [""; 0]);
        drop(held);
        assert_eq!(cleared(dir.path(), &["a"], "", Duration::ZERO), ["a"]);
        assert_eq!(there(dir.path()), [""; 0]);
    }

    #[test]
    fn a_copy_that_was_not_completed_goes_after_a_day() {
        let (dir, _) = left(&[]);
        fs::create_dir_all(copies_in(dir.path()).join("a.part/deep")).unwrap();
        fs::create_dir_all(Plan::folder_in(dir.path())).unwrap();
        assert_eq!(cleared(dir.path(), &[], "a", DAY / 2), [""; 0]);
        assert_eq!(cleared(dir.path(), &[], "a", DAY * 2), ["a"]);
        assert_eq!(there(dir.path()), [""; 0]);
    }
}
