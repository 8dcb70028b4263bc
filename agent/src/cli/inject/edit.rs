//! Changes of a text at the places that its tree knows.

use std::ops::Range;

use super::{
    part::{Entry, Part, entries_in_lines, entry_in_brackets, items_in_lines, join},
    tree::{Fault, Form, Node, Quotes, Value},
};

/// Changes of one text, each told by where it stood before all of them.
#[derive(Debug)]
pub struct Edit<'a> {
    text: &'a str,
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Edit<'a> {
    /// None yet.
    pub const fn new(text: &'a str) -> Self {
        Self { text, changes: Vec::new() }
    }

    /// The text with all changes.
    pub fn apply(mut self) -> String {
        // Those of one place stay in their order.
        self.changes.sort_by_key(|(range, _)| range.start);
        let (mut out, mut at) = (String::with_capacity(self.text.len() * 2), 0);
        for (range, text) in self.changes {
            out.push_str(&self.text[at..range.start]);
            out.push_str(&text);
            at = range.end.max(range.start);
        }
        out.push_str(&self.text[at..]);
        out
    }

    /// Adds entries to a mapping that has none of these keys.
    ///
    /// # Errors
    /// If there is no place for them.
    pub fn add_entries(&mut self, map: &Node, entries: &[Entry]) -> Result<(), Fault> {
        let Value::Map(present, form) = &map.value else { return Err(map.fault("this is no mapping")) };
        let mut text = String::new();
        if *form == Form::Brackets {
            join(&mut text, entries, entry_in_brackets);
            self.insert_in_brackets(map, present.first().map(|(key, _)| key), text);
            return Ok(());
        }
        // Behind a line that is known to be over; else before one that a key begins.
        let over = present.iter().find_map(|(key, value)| {
            let is_word = matches!(&value.value, Value::Text(word, Quotes::None) if !word.is_empty());
            let is_one_line = is_word && !self.text[key.at.byte..value.inner].contains('\n');
            is_one_line.then(|| (key.at.byte, self.next_line(value.inner)))
        });
        let begun = || {
            let key = present.iter().map(|(key, _)| key.at.byte).find(|at| self.begins_line(*at))?;
            Some((key, self.line_start(key)))
        };
        let Some((key, place)) = over.or_else(begun) else {
            return Err(map.fault("there is no room between these lines; put each key on a line of its own"));
        };
        entries_in_lines(&mut text, entries, self.column(key));
        self.insert_lines(place, &text);
        Ok(())
    }

    /// Adds items before those of a list.
    ///
    /// # Errors
    /// If there is no place for them.
    pub fn add_items(&mut self, list: &Node, items: &[Part]) -> Result<(), Fault> {
        let Value::List(present, form) = &list.value else { return Err(list.fault("this is no list")) };
        let mut text = String::new();
        if *form == Form::Brackets {
            join(&mut text, items, |out, item| item.in_brackets(out));
            self.insert_in_brackets(list, present.first(), text);
            return Ok(());
        }
        let Some(dash) = present.first().and_then(|first| self.dash(first)) else {
            return Err(list.fault("there is no room before this list; put each item on a line of its own"));
        };
        items_in_lines(&mut text, items, self.column(dash));
        self.insert_lines(self.line_start(dash), &text);
        Ok(())
    }

    /// Takes the items of that range out of the list under a key, and the key with the last of them.
    ///
    /// # Errors
    /// If it is not certain where they end.
    pub fn cut_items(&mut self, map: &Node, key: &str, range: Range<usize>) -> Result<(), Fault> {
        let Some((name, list)) = map.entry(key) else { return Ok(()) };
        let Value::List(items, form) = &list.value else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        let is_all = range.len() == items.len();
        let is_in_brackets = matches!(map.value, Value::Map(_, Form::Brackets));
        let (Some(first), Some(last)) = (items.get(range.start), items.get(range.end - 1)) else { return Ok(()) };
        let next = items.get(range.end);
        match form {
            Form::Lines if is_all => {
                if !self.begins_line(name.at.byte) {
                    return Err(name.fault(format!("{key} cannot be taken out, put it on a line of its own")));
                }
                self.cut_lines(name.at.byte, list.last_line());
            }
            Form::Lines => {
                let Some(dash) = self.dash(first) else {
                    return Err(first.fault("this item cannot be taken out, put it on a line of its own"));
                };
                self.cut_lines(dash, last.last_line());
            }
            Form::Brackets if is_all && is_in_brackets => self.cut_entry_in_brackets(map, key),
            Form::Brackets => {
                let end = next.map_or(last.end, |next| next.at.byte);
                // Without a next one, the comma before it goes as well.
                let before = range.start.checked_sub(1).and_then(|before| items.get(before));
                let start = match (next, before) {
                    (None, Some(before)) => before.end,
                    _ => first.at.byte,
                };
                self.changes.push((start..end, String::new()));
            }
        }
        Ok(())
    }

    fn cut_entry_in_brackets(&mut self, map: &Node, key: &str) {
        let Value::Map(entries, _) = &map.value else { return };
        let Some(at) = entries.iter().position(|(name, _)| name.text() == Some(key)) else { return };
        let range = match (entries.get(at + 1), at.checked_sub(1)) {
            (Some((next, _)), _) => entries[at].0.at.byte..next.at.byte,
            (None, Some(before)) => entries[before].1.end..entries[at].1.end,
            (None, None) => entries[at].0.at.byte..entries[at].1.end,
        };
        self.changes.push((range, String::new()));
    }

    fn insert_in_brackets(&mut self, node: &Node, first: Option<&Node>, mut text: String) {
        // Before the first one, so that what is between it and the bracket stays where it is.
        if first.is_some() {
            text.push_str(", ");
        }
        let at = first.map_or(node.inner, |first| first.at.byte);
        self.changes.push((at..at, text));
    }

    fn insert_lines(&mut self, at: usize, lines: &str) {
        let mut lines = if self.text.contains("\r\n") { lines.replace('\n', "\r\n") } else { lines.to_owned() };
        if at == self.text.len() && !self.text.ends_with('\n') {
            // The last line has no end: it gets one, and ours has none.
            let end = if lines.ends_with("\r\n") { "\r\n" } else { "\n" };
            lines = [end, lines.trim_end()].concat();
        }
        self.changes.push((at..at, lines));
    }

    /// Cuts the line of that byte and those after it, up to the line of that number.
    fn cut_lines(&mut self, from: usize, last_line: usize) {
        let mut start = self.line_start(from);
        let first_line = self.text[..start].matches('\n').count() + 1;
        let mut end = start;
        for _ in first_line..=last_line {
            end = self.next_line(end);
        }
        if end == self.text.len() && !self.text.ends_with('\n') {
            // The line before becomes the last one, which had no end.
            start = self.text[..start].trim_end_matches('\n').trim_end_matches('\r').len();
        }
        self.changes.push((start..end, String::new()));
    }

    /// Where the dash before an item stands, if it begins its line.
    fn dash(&self, item: &Node) -> Option<usize> {
        let before = &self.text[..item.at.byte];
        // A list of lists, or one that is not indented, may begin at the dash itself.
        let dash = match self.text.as_bytes().get(item.at.byte) {
            Some(b'-') if self.begins_line(item.at.byte) && !matches!(item.value, Value::Text(..)) => item.at.byte,
            _ => before.trim_end().strip_suffix('-')?.len(),
        };
        self.begins_line(dash).then_some(dash)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    fn begins_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].bytes().all(|byte| byte == b' ')
    }

    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }
}
