//! Masks secrets before anything is written to a disk.
//!
//! A line is scanned once for pieces of text that each known form of a secret holds: the beginning of a key, the end of
//! a word such as `password`. Only where one stands is it looked closer, at no more than the bytes around. So a line
//! without them, which is nearly every line, costs that scan and nothing else.
//!
//! Masked are keys that can be told by their form (`keys`), what is named as a secret, a password in a URL, credentials
//! of an `Authorization` header (`named`), private keys over several lines (`pem`), and what own patterns find.
//!
//! Not goals: secrets that look like anything else (40 hexadecimal digits are a commit), what stands in two parts of a
//! line that was split for its length, and names or addresses of people, for which there are own patterns.

mod anchors;
mod keys;
mod named;
mod pattern;
mod pem;
#[cfg(test)]
mod tests;

pub use pattern::{Pattern, UnusablePattern};

use std::{borrow::Cow, ops::Range, sync::Arc};

use crate::record::{
    Lane, Ledger, Signal,
    wire::{Malformed, rewrite, rewrite_resource},
};

use anchors::Anchors;

/// What is masked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether secrets of known forms are.
    pub builtin: bool,
    /// What else is.
    pub patterns: Vec<Pattern>,
}

/// Finds and masks secrets. Its buffers are used again for the next text.
#[derive(Debug)]
pub struct Redactor {
    builtin: Option<Builtin>,
    patterns: Vec<Pattern>,
    blocks: pem::Blocks,
    found: Vec<Found>,
    ledger: Arc<Ledger>,
}

/// A text without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The text, each secret replaced by the name of its rule, as `[redacted:jwt]`. UTF-8 if it was.
    pub text: Vec<u8>,
    /// How many were replaced.
    pub count: usize,
}

/// A secret in a text.
#[derive(Debug)]
struct Found {
    at: Range<usize>,
    rule: Rule,
}

/// Who found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Builtin(&'static str),
    /// The pattern of that number.
    Own(usize),
}

impl Redactor {
    /// Masks as the settings say, and counts in that ledger what it has masked.
    #[must_use]
    pub fn new(config: Config, ledger: Arc<Ledger>) -> Self {
        Self {
            builtin: config.builtin.then(Builtin::new),
            patterns: config.patterns,
            blocks: pem::Blocks::default(),
            found: Vec::new(),
            ledger,
        }
    }

    /// Masks what a text holds by itself. `None` if there is nothing to mask.
    pub fn mask(&mut self, text: &[u8]) -> Option<Masked> {
        self.found.clear();
        self.search(text, 0);
        self.counted(text)
    }

    /// The same for a text whose secrets are counted already.
    pub fn mask_again(&mut self, text: &[u8]) -> Option<Masked> {
        self.found.clear();
        self.search(text, 0);
        self.finish(text)
    }

    /// The same as [`Redactor::mask`] for a line of a stream, in which a private key may have begun lines before.
    pub fn mask_line(&mut self, stream: u64, lane: Lane, text: &[u8]) -> Option<Masked> {
        self.search_line(stream, lane, text);
        self.counted(text)
    }

    /// Looks at a line that is left out for its level: a private key that begins in it goes on in lines that may be kept.
    /// If it has a part of one, the line is given without its secrets; they are not counted, since it is left out.
    pub fn pass_by(&mut self, stream: u64, lane: Lane, text: &[u8]) -> Option<Masked> {
        if self.builtin.is_none() || !(self.blocks.are_open() || pem::may_begin(text)) {
            return None;
        }
        self.search_line(stream, lane, text);
        self.finish(text)
    }

    /// Masks the texts of an encoded log record, metric or span, or of encoded attributes of a record. What an attribute
    /// is called counts like what stands before `=` in a line. `None` if there is nothing to mask.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message.
    pub fn mask_encoded(&mut self, signal: Signal, item: &[u8]) -> Result<Option<Masked>, Malformed> {
        self.mask_within(item, |replace| rewrite(signal, item, replace))
    }

    /// The same for an encoded resource.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message.
    pub fn mask_resource(&mut self, resource: &[u8]) -> Result<Option<Masked>, Malformed> {
        self.mask_within(resource, |replace| rewrite_resource(resource, replace))
    }

    fn mask_within(
        &mut self,
        encoded: &[u8],
        rewrite: impl FnOnce(&mut dyn FnMut(&str, &str) -> Option<String>) -> Result<Option<Vec<u8>>, Malformed>,
    ) -> Result<Option<Masked>, Malformed> {
        if encoded.is_empty() || !self.is_suspect(encoded) {
            return Ok(None);
        }
        let mut count = 0;
        let rewritten = rewrite(&mut |name, text| {
            let masked = self.mask_value(name, text)?;
            count += masked.count;
            Some(String::from_utf8_lossy(&masked.text).into_owned())
        })?;
        Ok(rewritten.map(|text| Masked { text, count }))
    }

    /// Masks the value of an attribute of that name.
    fn mask_value(&mut self, name: &str, value: &str) -> Option<Masked> {
        self.found.clear();
        let value = value.as_bytes();
        let named = self.builtin.as_ref().filter(|_| !name.is_empty());
        let named = named.and_then(|_| named::value_of(name.as_bytes(), value));
        match named {
            Some(rule) => self.found.push(Found { at: 0..value.len(), rule: Rule::Builtin(rule) }),
            None => _ = self.search(value, 0),
        }
        self.counted(value)
    }

    /// Whether bytes that have texts in them may hold a secret.
    fn is_suspect(&self, bytes: &[u8]) -> bool {
        // A pattern may ask where a text begins, which cannot be told here.
        !self.patterns.is_empty()
            || self.builtin.as_ref().is_some_and(|builtin| builtin.anchors.find(bytes, 0).is_some())
    }

    /// Finds the secrets of a line, and follows the private key that it goes on with or begins.
    fn search_line(&mut self, stream: u64, lane: Lane, text: &[u8]) {
        self.found.clear();
        let mut from = 0;
        if self.blocks.are_open()
            && let Some(at) = self.blocks.go_on(stream, lane, text)
        {
            from = at.end;
            self.found.push(Found { at, rule: Rule::Builtin(pem::RULE) });
        }
        if self.search(text, from) {
            self.blocks.begin(stream, lane);
        }
    }

    /// Finds secrets from there on. Whether a private key begins that does not end in this text.
    fn search(&mut self, text: &[u8], from: usize) -> bool {
        let is_block_open = self.builtin.as_ref().is_some_and(|builtin| builtin.search(text, from, &mut self.found));
        for (number, pattern) in self.patterns.iter().enumerate() {
            for at in pattern.find(text) {
                // What is masked already stays so.
                if !self.found.iter().any(|found| found.at.start < at.end && at.start < found.at.end) {
                    self.found.push(Found { at, rule: Rule::Own(number) });
                }
            }
        }
        is_block_open
    }

    /// Masks what was found, and counts it.
    fn counted(&mut self, text: &[u8]) -> Option<Masked> {
        self.found.iter().for_each(|found| self.ledger.redact(self.name(found.rule)));
        self.finish(text)
    }

    fn name(&self, rule: Rule) -> &str {
        match rule {
            Rule::Builtin(name) => name,
            Rule::Own(number) => self.patterns[number].name(),
        }
    }

    fn finish(&mut self, text: &[u8]) -> Option<Masked> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort_by_key(|found| found.at.start);
        let mut masked = Vec::with_capacity(text.len());
        let (mut from, mut is_own) = (0, false);
        for Found { at, rule } in &self.found {
            is_own |= matches!(rule, Rule::Own(_));
            masked.extend_from_slice(&text[from..at.start]);
            masked.extend_from_slice(b"[redacted:");
            masked.extend_from_slice(self.name(*rule).as_bytes());
            masked.push(b']');
            from = at.end;
        }
        masked.extend_from_slice(&text[from..]);
        if is_own && let Cow::Owned(readable) = String::from_utf8_lossy(&masked) {
            // The pattern has cut a character in two: it says (?-u).
            masked = readable.into_bytes();
        }
        Some(Masked { text: masked, count: self.found.len() })
    }
}

/// The scan for what known forms hold.
#[derive(Debug)]
struct Builtin {
    anchors: Anchors,
    /// What may stand at each anchor.
    forms: Vec<Form>,
}

/// What an anchor is a piece of.
#[derive(Debug, Clone, Copy)]
enum Form {
    Key(&'static keys::Key),
    Named(named::Kind),
    PrivateKey,
}

impl Builtin {
    fn new() -> Self {
        let keys = keys::KEYS.iter().map(|key| ((key.anchor, key.seldom_at), Form::Key(key)));
        let named = named::ANCHORS.iter().map(|(anchor, seldom_at, kind)| ((*anchor, *seldom_at), Form::Named(*kind)));
        let (anchors, forms): (Vec<_>, _) =
            keys.chain(named).chain([((pem::ANCHOR, pem::SELDOM_AT), Form::PrivateKey)]).unzip();
        Self { anchors: Anchors::new(anchors), forms }
    }

    fn search(&self, text: &[u8], mut from: usize, found: &mut Vec<Found>) -> bool {
        while let Some(hit) = self.anchors.find(text, from) {
            let secret = match self.forms[hit.number] {
                Form::Key(key) => key.find(text, hit.at.start).map(|at| (at, key.rule)),
                // `HF_TOKEN=hf_…` is told by the form of the key.
                Form::Named(kind) => named::find(text, hit.at.clone(), kind)
                    .map(|(at, rule)| (at.clone(), keys::rule_of(&text[at]).unwrap_or(rule))),
                Form::PrivateKey => match pem::find(text, hit.at.clone()) {
                    Some(pem::Block::Whole(at)) => Some((at, pem::RULE)),
                    Some(pem::Block::Begun(at)) => {
                        found.push(Found { at, rule: Rule::Builtin(pem::RULE) });
                        return true;
                    }
                    None => None,
                },
            };
            from = match secret {
                // A value may begin before the anchor that was found in it.
                Some((at, rule)) if found.last().is_none_or(|last| last.at.end <= at.start) => {
                    let end = at.end.max(hit.at.end);
                    found.push(Found { at, rule: Rule::Builtin(rule) });
                    end
                }
                _ => hit.at.end,
            };
        }
        false
    }
}
