//! Paths from the root of the crate, in Rust code without comments and literals.

use crate::code::{self, is_word};

/// A path that begins at the root.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it stands.
    pub line: usize,
    /// How it leads to the root.
    pub from: From,
    /// Its names after that, at least one; `*` stands for all of them.
    pub segments: Vec<String>,
}

/// The words that a path begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// `crate::`
    Crate,
    /// As many `super::` as the file is deep.
    Super,
}

/// Every path behind `crate::`, and behind as many `super::` as lead out of a module that is `depth` below the root.
/// Braces are taken apart: `crate::{a, b::{c, d}}` is `a`, `b::c` and `b::d`.
pub fn from_root(code: &str, depth: usize) -> Vec<Path> {
    let mut found = Vec::new();
    let mut read_to = 0;
    for (at, word) in code::words(code) {
        if at < read_to || !matches!(word, "crate" | "super" | "self") {
            continue;
        }
        let mut cursor = Cursor { code, at };
        let mut leaves = Vec::new();
        cursor.tree(&mut Vec::new(), &mut leaves);
        read_to = cursor.at;
        found.extend(leaves.into_iter().filter_map(|(at, segments)| from_here(code::line(code, at), segments, depth)));
    }
    found
}

fn from_here(line: usize, mut segments: Vec<String>, depth: usize) -> Option<Path> {
    let is_keyword = |segment: &&String| matches!(segment.as_str(), "crate" | "super" | "self");
    let keywords = segments.iter().take_while(is_keyword).count();
    let up = segments[..keywords].iter().filter(|segment| *segment == "super").count();
    let from = if segments[0] == "crate" { From::Crate } else { From::Super };
    segments.drain(..keywords);
    ((from == From::Crate || up >= depth) && !segments.is_empty()).then_some(Path { line, from, segments })
}

/// Reads one path, or a tree of them.
struct Cursor<'a> {
    code: &'a str,
    at: usize,
}

impl Cursor<'_> {
    /// Adds what stands here to `leaves`, each with its place, and goes behind it.
    fn tree(&mut self, before: &mut Vec<String>, leaves: &mut Vec<(usize, Vec<String>)>) {
        let (known, start) = (before.len(), self.at);
        loop {
            if self.eat("{") {
                self.group(before, leaves);
                break;
            }
            let word = self.word();
            if word.is_empty() {
                // What follows is no name: generic arguments of the one before.
                leaves.push((start, before.clone()));
                break;
            }
            before.push(word);
            if !self.eat("::") {
                leaves.push((start, before.clone()));
                break;
            }
        }
        before.truncate(known);
    }

    fn group(&mut self, before: &mut Vec<String>, leaves: &mut Vec<(usize, Vec<String>)>) {
        while self.at < self.code.len() && !self.eat("}") {
            self.skip_space();
            let start = self.at;
            self.tree(before, leaves);
            // `as` and its name.
            let rest = &self.code[self.at..];
            self.at += rest.find([',', '}']).unwrap_or(rest.len());
            self.eat(",");
            if self.at == start {
                return;
            }
        }
    }

    fn word(&mut self) -> String {
        self.skip_space();
        if self.eat("*") {
            return "*".into();
        }
        let rest = &self.code.as_bytes()[self.at..];
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        self.at += length;
        self.code[self.at - length..self.at].to_owned()
    }

    fn eat(&mut self, what: &str) -> bool {
        let rest = self.code[self.at..].trim_start();
        let found = rest.starts_with(what);
        if found {
            self.at = self.code.len() - rest.len() + what.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at = self.code.len() - self.code[self.at..].trim_start().len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str, depth: usize) -> Vec<(usize, String)> {
        from_root(code, depth).into_iter().map(|path| (path.line, path.segments.join("::"))).collect()
    }

    #[test]
    fn braces_are_taken_apart_and_each_name_keeps_its_line() {
        let code =
            "use crate::{\n    export::{self, Otlp as Sent},\n    queue::*,\n};\nlet a = crate::run::RunId::<u8>::new;";
        let expected = [(2, "export::self"), (2, "export::Otlp"), (3, "queue::*"), (5, "run::RunId")]
            .map(|(l, p)| (l, p.to_owned()));
        assert_eq!(paths(code, 1), expected);
    }

    #[test]
    fn as_many_supers_as_the_module_is_deep_lead_to_the_root() {
        assert_eq!(
            paths("use super::{store::Store, super::queue};", 1),
            [(1, "store::Store".into()), (1, "queue".into())]
        );
        assert_eq!(paths("use super::{store::Store, super::queue};", 2), [(1, "queue".into())]);
        assert_eq!(paths("use super::a; use self::b; self.c; super::super::d();", 3), []);
    }

    #[test]
    fn visibility_alone_is_no_path() {
        assert_eq!(paths("pub(crate) fn a() {} pub(super) fn b() {}", 1), []);
    }
}
