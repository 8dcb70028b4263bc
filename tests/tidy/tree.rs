//! The files of the repository, as every rule sees them.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use crate::code::{self, Code};

/// Folders that tools fill; git ignores them too.
const MADE_BY_TOOLS: [&str; 4] = [".git", "target", "node_modules", "__pycache__"];

/// What the rules look at.
#[derive(Default)]
pub struct Tree {
    /// Names at the top, files and folders.
    pub top: Vec<String>,
    /// Every file, sorted by path.
    pub files: Vec<File>,
}

/// One file.
pub struct File {
    /// From the top, with `/`.
    pub path: String,
    /// What it holds; nothing if that is not UTF-8.
    pub text: String,
}

impl Tree {
    /// Reads the repository that this test belongs to.
    pub fn of_this_repository() -> Self {
        // Cargo sets it for each run; a test that was built in one checkout can so be run on another.
        let tests = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = tests.parent().expect("the tests are a folder of the repository");
        let mut tree = Self::default();
        tree.read(root, "");
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(tree.file("Cargo.toml").is_some(), "{} is not the repository", root.display());
        tree
    }

    fn read(&mut self, dir: &Path, prefix: &str) {
        for entry in fs::read_dir(dir).expect("folders of the repository can be read") {
            let entry = entry.expect("folders of the repository can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            if MADE_BY_TOOLS.contains(&name.as_str()) {
                continue;
            }
            if prefix.is_empty() {
                self.top.push(name.clone());
            }
            let path = format!("{prefix}{name}");
            // A link is not followed: what it leads to is read where it is, or is not ours.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.read(&entry.path(), &format!("{path}/")),
                Ok(kind) if kind.is_file() => {
                    let text = fs::read(entry.path()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    self.files.push(File { path, text: text.unwrap_or_default() });
                }
                _ => {}
            }
        }
    }

    /// The file of that path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files of the agent and the messages, without their tests.
    pub fn product(&self) -> Vec<(&File, Code)> {
        let sources = || self.files.iter().filter(|file| file.is_product());
        let mut product: Vec<(&File, Code)> = sources().map(|file| (file, code::of(&file.text))).collect();
        let tests: Vec<String> = product.iter().flat_map(|(file, code)| file.modules(&code.test_modules)).collect();
        product.retain(|(file, _)| {
            !tests.iter().any(|module| {
                file.path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
        });
        product
    }
}

impl File {
    /// Its lines, each with its number.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// What follows the last dot of its name.
    pub fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    fn is_product(&self) -> bool {
        self.extension() == "rs" && (self.path.starts_with("agent/src/") || self.path.starts_with("proto/src/"))
    }

    /// Where modules declared in this file are: their paths without `.rs` and `/mod.rs`.
    fn modules(&self, names: &[String]) -> Vec<String> {
        let (dir, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let dir = match name {
            "mod.rs" | "lib.rs" | "main.rs" => dir,
            _ => self.path.trim_end_matches(".rs"),
        };
        names.iter().map(|name| format!("{dir}/{name}")).collect()
    }

    /// A fault of this file.
    pub fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { path: self.path.clone(), line, what: what.into() }
    }
}

/// Something to tidy up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

#[cfg(test)]
impl Tree {
    /// A small tree to try a rule on.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self { top: Vec::new(), files: files.iter().map(file).collect() }
    }
}

#[cfg(test)]
pub fn places(faults: &[Fault]) -> Vec<(&str, usize)> {
    faults.iter().map(|fault| (fault.path.as_str(), fault.line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_declared_for_tests_are_no_product_with_all_below_them() {
        let tree = Tree::with(&[
            ("agent/src/queue/mod.rs", "mod storage;\n#[cfg(test)]\nmod tests;"),
            ("agent/src/queue/storage.rs", "#[cfg(test)]\npub(in crate::queue) mod sim;"),
            ("agent/src/queue/storage/sim.rs", ""),
            ("agent/src/queue/storage/simple.rs", ""),
            ("agent/src/queue/tests.rs", ""),
            ("agent/src/queue/tests/room.rs", ""),
        ]);
        let product: Vec<&str> = tree.product().iter().map(|(file, _)| file.path.as_str()).collect();
        assert_eq!(
            product,
            ["agent/src/queue/mod.rs", "agent/src/queue/storage.rs", "agent/src/queue/storage/simple.rs"]
        );
    }

    #[test]
    fn repository_is_read_without_what_tools_made() {
        let tree = Tree::of_this_repository();
        assert!(tree.file("tests/tidy/tree.rs").is_some_and(|file| file.text.contains("fn of_this_repository")));
        assert!(!tree.files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/")));
    }
}
