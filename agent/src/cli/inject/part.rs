//! What is put into a manifest, and how it is written there.

use std::fmt::Write;

/// A piece of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A word.
    Text(String),
    /// A number or a truth, as it is written.
    Bare(&'static str),
    /// A list.
    List(Vec<Part>),
    /// A mapping.
    Map(Vec<Entry>),
}

/// A key and what stands under it.
pub type Entry = (&'static str, Part);

/// Words that readers of YAML take for something else.
const TAKEN: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

impl Part {
    /// A word.
    pub fn text(word: impl Into<String>) -> Self {
        Self::Text(word.into())
    }

    /// Adds it as it is written within brackets.
    pub fn in_brackets(&self, out: &mut String) {
        match self {
            Self::Text(word) => out.push_str(&quoted(word)),
            Self::Bare(word) => out.push_str(word),
            Self::List(items) => {
                out.push('[');
                join(out, items, |out, item| item.in_brackets(out));
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                join(out, entries, entry_in_brackets);
                out.push('}');
            }
        }
    }

    /// Whether it takes one line among lines.
    fn is_short(&self) -> bool {
        match self {
            Self::Text(_) | Self::Bare(_) => true,
            Self::List(items) => items.iter().all(|item| matches!(item, Self::Text(_) | Self::Bare(_))),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    fn short(&self, out: &mut String) {
        match self {
            Self::Text(word) if is_plain(word) => out.push_str(word),
            other => other.in_brackets(out),
        }
    }
}

/// Adds an entry as it is written within brackets.
pub fn entry_in_brackets(out: &mut String, (key, value): &Entry) {
    let _ = write!(out, "{}: ", quoted(key));
    value.in_brackets(out);
}

/// Adds all with commas between them.
pub fn join<T>(out: &mut String, parts: &[T], each: impl Fn(&mut String, &T)) {
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            out.push_str(", ");
        }
        each(out, part);
    }
}

/// Adds entries of a mapping, a line or more for each.
pub fn entries_in_lines(out: &mut String, entries: &[Entry], indent: usize) {
    for entry in entries {
        let _ = write!(out, "{:indent$}", "");
        entry_in_lines(out, entry, indent);
    }
}

fn entry_in_lines(out: &mut String, (key, value): &Entry, indent: usize) {
    let _ = write!(out, "{key}:");
    match value {
        Part::List(items) if !value.is_short() => {
            out.push('\n');
            items_in_lines(out, items, indent + 2);
        }
        Part::Map(entries) if !value.is_short() => {
            out.push('\n');
            entries_in_lines(out, entries, indent + 2);
        }
        short => {
            out.push(' ');
            short.short(out);
            out.push('\n');
        }
    }
}

/// Adds items of a list, a line or more for each.
pub fn items_in_lines(out: &mut String, items: &[Part], indent: usize) {
    for item in items {
        let _ = write!(out, "{:indent$}- ", "");
        match item {
            Part::Map(entries) if !entries.is_empty() => {
                entry_in_lines(out, &entries[0], indent + 2);
                entries_in_lines(out, &entries[1..], indent + 2);
            }
            other => {
                other.short(out);
                out.push('\n');
            }
        }
    }
}

fn is_plain(word: &str) -> bool {
    let mut letters = word.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        && !TAKEN.contains(&word.to_ascii_lowercase().as_str())
}

/// In double quotes, as JSON has it, which YAML reads as well.
fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}
