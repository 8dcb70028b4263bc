//! Which files the globs lead to: walked through as a whole or from one folder on, or asked about one name.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use glob::Pattern;
use tracing::warn;

use super::{
    disk::{Disk, Kind, path_in},
    unpack,
};

/// The globs of the settings.
#[derive(Debug)]
pub struct Globs {
    include: Vec<Glob>,
    exclude: Vec<Pattern>,
    /// A folder that is never walked through.
    never: PathBuf,
}

/// What may change in a folder that the globs lead through. The greater holds the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// That it is moved or removed.
    Itself,
    /// That folders come and go in it.
    Folders,
    /// That files come, grow and go in it.
    Files,
}

/// Told what a walk comes by.
pub trait Visit {
    /// A folder, before anything in it.
    fn folder(&mut self, path: &Path, interest: Interest);
    /// A name that a glob leads to. It may be one that is left out ([`Globs::are_against`]).
    fn file(&mut self, folder: &Path, name: &OsStr);
}

/// One glob, cut at the slashes.
#[derive(Debug)]
struct Glob {
    /// What stands before the first wildcard, without the last part.
    root: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Name(OsString),
    Pattern(Pattern),
    /// `**`: any number of folders.
    AnyDepth,
}

/// Indexes of the parts that names in a folder are compared with.
type Next = Vec<usize>;

impl Globs {
    /// Prepares globs that the settings have found to be such.
    #[must_use]
    pub fn new(include: &[String], exclude: &[String], never: &Path) -> Self {
        let usable = |text: &String| {
            let pattern = Pattern::new(text);
            pattern.inspect_err(|error| warn!(pattern = text, error = %error, "not a glob")).ok()
        };
        Self {
            include: include.iter().filter_map(|text| Glob::new(text)).collect(),
            exclude: exclude.iter().filter_map(usable).collect(),
            never: never.to_owned(),
        }
    }

    /// The folders in which the globs begin.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.include.iter().map(|glob| not_empty(&glob.root))
    }

    /// Walks through everything.
    pub fn walk(&self, disk: &dyn Disk, visit: &mut dyn Visit) {
        for glob in &self.include {
            self.approach(glob, disk, visit);
        }
    }

    /// Walks through a folder that has just come, and what is below.
    pub fn walk_from(&self, folder: &Path, disk: &dyn Disk, visit: &mut dyn Visit) {
        for glob in &self.include {
            if glob.root.starts_with(folder) {
                self.approach(glob, disk, visit);
            } else if let Some(next) = glob.next_in(folder) {
                self.descend(glob, folder.to_owned(), next, disk, visit);
            }
        }
    }

    /// Whether a file of that name would be followed.
    #[must_use]
    pub fn lead_to(&self, folder: &Path, name: &OsStr) -> bool {
        let is_found = |glob: &Glob| glob.next_in(folder).is_some_and(|next| glob.ends_with(&next, name));
        self.include.iter().any(is_found) && !self.are_against(&path_in(folder, name))
    }

    /// Whether a file that a glob leads to is left out: it is excluded, our own, or no text.
    #[must_use]
    pub fn are_against(&self, path: &Path) -> bool {
        path.starts_with(&self.never)
            || unpack::is_packed(path)
            || self.exclude.iter().any(|pattern| pattern.matches_path(path))
    }

    /// Goes to the root of a glob, and on. Where the way ends, the last folder is watched for the next.
    fn approach(&self, glob: &Glob, disk: &dyn Disk, visit: &mut dyn Visit) {
        let mut way: Vec<&Path> = glob.root.ancestors().map(not_empty).collect();
        way.reverse();
        for step in way.windows(2) {
            visit.folder(step[0], Interest::Itself);
            if disk.is_folder(step[1]) {
                continue;
            }
            visit.folder(step[0], Interest::Folders);
            // It may have come before it was watched for.
            if !disk.is_folder(step[1]) {
                return;
            }
        }
        self.descend(glob, not_empty(&glob.root).to_owned(), glob.start(), disk, visit);
    }

    fn descend(&self, glob: &Glob, from: PathBuf, next: Next, disk: &dyn Disk, visit: &mut dyn Visit) {
        let mut todo = vec![(from, next)];
        while let Some((folder, next)) = todo.pop() {
            if folder.starts_with(&self.never) {
                continue;
            }
            visit.folder(&folder, glob.interest(&next));
            let mut below = Vec::new();
            if let Some(names) = glob.names(&next) {
                // Needs no right to list the folder.
                for name in names {
                    let then = glob.below(&next, name);
                    if !then.is_empty() {
                        below.push((path_in(&folder, name), then, Kind::Link));
                    }
                    if glob.ends_with(&next, name) {
                        visit.file(&folder, name);
                    }
                }
            } else {
                // A folder that may not be read is passed over; what it holds cannot be followed anyway.
                let _ = disk.list(&folder, &mut |entry| {
                    if entry.kind != Kind::Folder && glob.ends_with(&next, entry.name) {
                        visit.file(&folder, entry.name);
                    }
                    if entry.kind != Kind::Other {
                        let then = glob.below(&next, entry.name);
                        if !then.is_empty() {
                            below.push((path_in(&folder, entry.name), then, entry.kind));
                        }
                    }
                });
            }
            below.retain(|(path, _, kind)| match kind {
                Kind::Link => disk.is_folder(path) && !disk.leads_up(path),
                Kind::Folder | Kind::Other => true,
            });
            todo.extend(below.into_iter().map(|(path, next, _)| (path, next)));
        }
    }
}

impl Glob {
    /// `None` if it names no file at all.
    fn new(text: &str) -> Option<Self> {
        let path = Path::new(text);
        let mut root: PathBuf = path.components().take_while(|part| !has_wildcard(part.as_os_str())).collect();
        if root.components().eq(path.components()) {
            root.pop();
        }
        let mut parts: Vec<Part> = path.components().skip(root.components().count()).filter_map(Part::new).collect();
        parts.dedup_by(|a, b| matches!((a, b), (Part::AnyDepth, Part::AnyDepth)));
        (!parts.is_empty()).then_some(Self { root, parts })
    }

    fn start(&self) -> Next {
        let mut next = Next::new();
        self.add(&mut next, 0);
        next
    }

    /// What names in that folder are compared with; `None` if the glob does not lead through it.
    fn next_in(&self, folder: &Path) -> Option<Next> {
        let below = if folder == Path::new(".") { Path::new("") } else { folder }.strip_prefix(&self.root).ok()?;
        let next = below.components().fold(self.start(), |next, part| self.below(&next, part.as_os_str()));
        (!next.is_empty()).then_some(next)
    }

    /// What names in the subfolder of that name are compared with.
    fn below(&self, next: &Next, name: &OsStr) -> Next {
        let mut then = Next::new();
        for &index in next {
            match &self.parts[index] {
                Part::AnyDepth => self.add(&mut then, index),
                part if index + 1 < self.parts.len() && part.matches(name) => self.add(&mut then, index + 1),
                Part::Name(_) | Part::Pattern(_) => {}
            }
        }
        then
    }

    /// Whether the glob ends with that name.
    fn ends_with(&self, next: &Next, name: &OsStr) -> bool {
        let last = self.parts.len() - 1;
        next.contains(&last) && self.parts[last].matches(name)
    }

    fn interest(&self, next: &Next) -> Interest {
        if next.contains(&(self.parts.len() - 1)) { Interest::Files } else { Interest::Folders }
    }

    /// The names that are compared with, if there are no patterns among them.
    fn names(&self, next: &Next) -> Option<Vec<&OsStr>> {
        let name = |index: &usize| match &self.parts[*index] {
            Part::Name(name) => Some(name.as_os_str()),
            Part::Pattern(_) | Part::AnyDepth => None,
        };
        next.iter().map(name).collect()
    }

    fn add(&self, next: &mut Next, index: usize) {
        if index < self.parts.len() && !next.contains(&index) {
            next.push(index);
            if matches!(self.parts[index], Part::AnyDepth) {
                self.add(next, index + 1);
            }
        }
    }
}

impl Part {
    fn new(part: Component<'_>) -> Option<Self> {
        let name = part.as_os_str();
        if name == "**" {
            return Some(Self::AnyDepth);
        }
        if !has_wildcard(name) {
            return Some(Self::Name(name.to_owned()));
        }
        Pattern::new(name.to_str()?).ok().map(Self::Pattern)
    }

    /// A name that is not UTF-8 is compared as it is shown.
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Pattern(pattern) => pattern.matches(&name.to_string_lossy()),
            Self::AnyDepth => false,
        }
    }
}

fn has_wildcard(part: &OsStr) -> bool {
    part.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The folder in which a relative path begins has a name.
fn not_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::disk::RealDisk, *};

    #[derive(Default)]
    struct Seen {
        folders: Vec<(PathBuf, Interest)>,
        files: Vec<PathBuf>,
    }

    impl Visit for Seen {
        fn folder(&mut self, path: &Path, interest: Interest) {
            self.folders.push((path.to_owned(), interest));
        }

        fn file(&mut self, folder: &Path, name: &OsStr) {
            self.files.push(folder.join(name));
        }
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.log", "b.txt", "r0/a.log", "r0/deep/b.log", "r1/a.log", ".hidden/c.log", "state/q.log"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        dir
    }

    #[test]
    fn a_walk_finds_what_the_glob_library_finds() {
        let dir = tree();
        std::os::unix::fs::symlink(dir.path().join("r0"), dir.path().join("link")).unwrap();
        for pattern in [
            "*.log",
            "*",
            "**/*.log",
            "**",
            "r*/a.log",
            "r0/a.log",
            "*/deep/*",
            "r[01]/**/*.log",
            "**/deep/**/b.*",
            "x/*",
        ] {
            let text = dir.path().join(pattern).display().to_string();
            let mut wanted: Vec<PathBuf> = glob::glob(&text).unwrap().map(Result::unwrap).collect();
            wanted.retain(|path| path.is_file());
            let globs = Globs::new(std::slice::from_ref(&text), &[], Path::new("/nowhere"));
            let mut seen = Seen::default();
            globs.walk(&RealDisk, &mut seen);
            seen.files.retain(|path| path.is_file());
            seen.files.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(seen.files, wanted, "{pattern}");
            for file in &wanted {
                assert!(globs.lead_to(file.parent().unwrap(), file.file_name().unwrap()), "{pattern} {file:?}");
            }
        }
    }

    #[test]
    fn links_that_lead_up_are_followed_once() {
        let dir = tree();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("r0/up")).unwrap();
        let text = dir.path().join("**/a.log").display().to_string();
        let mut seen = Seen::default();
        Globs::new(&[text], &[], Path::new("/nowhere")).walk(&RealDisk, &mut seen);
        assert_eq!(seen.files.len(), 3, "{:?}", seen.files);
    }

    #[test]
    fn the_own_state_and_what_is_excluded_are_passed_by() {
        let dir = tree();
        let text = |pattern: &str| dir.path().join(pattern).display().to_string();
        let globs = Globs::new(&[text("**/*.log")], &[text("r0/*")], &dir.path().join("state"));
        let mut seen = Seen::default();
        globs.walk(&RealDisk, &mut seen);
        assert!(!seen.files.contains(&dir.path().join("state/q.log")));
        assert!(globs.are_against(&dir.path().join("r0/a.log")));
        assert!(!globs.lead_to(&dir.path().join("r0"), OsStr::new("a.log")));
        assert!(!globs.lead_to(&dir.path().join("state"), OsStr::new("q.log")));
        assert!(globs.lead_to(&dir.path().join("r1"), OsStr::new("a.log")));
    }

    #[test]
    fn where_the_way_to_the_root_ends_the_next_folder_is_watched_for() {
        let dir = tree();
        let text = dir.path().join("r0/not/yet/*.log").display().to_string();
        let globs = Globs::new(&[text], &[], Path::new("/nowhere"));
        let mut seen = Seen::default();
        globs.walk(&RealDisk, &mut seen);
        assert_eq!(seen.folders.last(), Some(&(dir.path().join("r0"), Interest::Folders)));

        fs::create_dir_all(dir.path().join("r0/not/yet")).unwrap();
        fs::write(dir.path().join("r0/not/yet/a.log"), b"").unwrap();
        globs.walk_from(&dir.path().join("r0/not"), &RealDisk, &mut seen);
        assert_eq!(seen.folders.last(), Some(&(dir.path().join("r0/not/yet"), Interest::Files)));
        assert_eq!(seen.files, [dir.path().join("r0/not/yet/a.log")]);
    }
}
