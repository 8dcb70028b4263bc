//! A manifest as a tree that knows where in the text each thing stands.
//!
//! The text itself is what is changed, and only where something is added or taken out: comments, quotes, the order of keys
//! and numbers such as `0644`, which readers of YAML disagree on, stay as they were written.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// A list, a mapping or a word in the text.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it begins. In a list without brackets behind the dash of the first item, or before it.
    pub at: Place,
    /// Where what is in brackets begins; of a word where it ends, and maybe the comment behind it.
    pub inner: usize,
    /// Where it ends, if it is in brackets.
    pub end: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Value {
    /// A word. Whether it stands there without quotes.
    Text(String, Quotes),
    /// A list.
    List(Vec<Node>, Form),
    /// A mapping.
    Map(Vec<(Node, Node)>, Form),
    /// `*name`: what stands elsewhere.
    Alias,
}

/// How a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// As it is; its end is known.
    None,
    /// In quotes or as a block.
    Some,
}

/// How a list or mapping is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A line for each entry.
    Lines,
    /// In brackets, as in JSON.
    Brackets,
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub byte: usize,
    /// Lines before it, and one.
    pub line: usize,
}

/// A fault of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {what}")]
pub struct Fault {
    /// The line it is in, from 1.
    pub line: usize,
    /// What it is.
    pub what: String,
}

impl Node {
    /// A fault of this.
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        Fault { line: self.at.line, what: what.into() }
    }

    /// The text of a word.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// What stands under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key of a mapping and what stands under it.
    pub fn entry(&self, key: &str) -> Option<&(Self, Self)> {
        let Value::Map(entries, _) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.text() == Some(key))
    }

    /// The word under a key.
    pub fn word(&self, key: &str) -> &str {
        self.get(key).and_then(Self::text).unwrap_or_default()
    }

    /// The items of a list; nothing if it is none.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items, _) => items,
            _ => &[],
        }
    }

    /// The line that its last word begins in.
    pub fn last_line(&self) -> usize {
        match &self.value {
            Value::List(items, Form::Lines) => items.last().map_or(self.at.line, Self::last_line),
            Value::Map(entries, Form::Lines) => entries.last().map_or(self.at.line, |(_, value)| value.last_line()),
            _ => self.at.line,
        }
    }
}

/// Reads all documents of a text.
///
/// # Errors
/// If it is not YAML, or a key stands twice.
pub fn read(text: &str) -> Result<Vec<Node>, Fault> {
    // The parser counts characters.
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let byte = |marker: Marker| bytes.get(marker.index()).copied().unwrap_or(text.len());
    let place = |span: Span| Place { byte: byte(span.start), line: span.start.line() };
    let mut documents = Vec::new();
    let mut open: Vec<(Node, Vec<Node>)> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Fault { line: error.marker().line(), what: error.info().to_owned() })?;
        let (at, inner) = (place(span), byte(span.end));
        let form = if text[..inner].ends_with(['[', '{']) && at.byte < inner { Form::Brackets } else { Form::Lines };
        let leaf = |value| Node { value, at, inner, end: inner };
        let done = match event {
            Event::SequenceStart(..) => {
                open.push((leaf(Value::List(Vec::new(), form)), Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((leaf(Value::Map(Vec::new(), form)), Vec::new()));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((mut node, children)) = open.pop() else { continue };
                node.end = inner;
                fill(&mut node, children)?;
                node
            }
            Event::Scalar(word, style, ..) => {
                let quotes = if style == ScalarStyle::Plain { Quotes::None } else { Quotes::Some };
                leaf(Value::Text(word.into_owned(), quotes))
            }
            Event::Alias(_) => leaf(Value::Alias),
            _ => continue,
        };
        match open.last_mut() {
            Some((_, children)) => children.push(done),
            None => documents.push(done),
        }
    }
    Ok(documents)
}

fn fill(node: &mut Node, children: Vec<Node>) -> Result<(), Fault> {
    match &mut node.value {
        Value::List(items, _) => *items = children,
        Value::Map(entries, _) => {
            let mut children = children.into_iter();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                if let Some(word) = key.text()
                    && entries.iter().any(|(other, _): &(Node, Node)| other.text() == Some(word))
                {
                    return Err(key.fault(format!("{word} stands there twice")));
                }
                entries.push((key, value));
            }
        }
        Value::Text(..) | Value::Alias => {}
    }
    Ok(())
}
