//! Reads merged values one by one and remembers every fault.

use std::collections::BTreeMap;

use config::Value;

use super::{
    Effective, NO_TOKEN, Origin,
    fault::{Fault, Rejected},
    layers, options, values,
};

/// The merged values, and what was found wrong with them.
pub(super) struct Reader {
    merged: BTreeMap<String, Value>,
    defaults: BTreeMap<String, Value>,
    /// What is wrong so far.
    pub faults: Vec<Fault>,
    /// What is odd, but can be used.
    pub warnings: Vec<String>,
}

impl Reader {
    pub(super) fn new(merged: BTreeMap<String, Value>, faults: Vec<Fault>, warnings: Vec<String>) -> Self {
        Self { merged, defaults: layers::defaults().into_iter().collect(), faults, warnings }
    }

    /// The value of an option. If it is rejected, that is remembered and the default stands in.
    pub(super) fn read<T>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, Rejected>) -> T {
        match parse(&self.merged[key]) {
            Ok(value) => value,
            Err(rejected) => {
                self.reject(key, rejected);
                parse(&self.defaults[key]).expect("a test reads every default")
            }
        }
    }

    /// Remembers that an option cannot be used, for a reason that its value alone does not show.
    pub(super) fn reject(&mut self, key: &str, rejected: Rejected) {
        let Rejected { problem, remedy } = rejected;
        let value = shown(key, &self.merged[key]);
        self.faults.push(Fault { key: key.to_owned(), value, origin: self.origin(key), problem, remedy });
    }

    /// Where an option was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        Origin::from_uri(self.merged[key].origin())
    }

    /// Every option as it came out, in the order of `default.toml`.
    pub(super) fn effective(&self) -> Vec<Effective> {
        let each = options::known().iter().map(|option| Effective {
            key: option.key.clone(),
            value: masked(&option.key, &self.merged[&option.key]),
            origin: self.origin(&option.key),
        });
        each.collect()
    }
}

// A header without `=` may be a token that was pasted alone, so a faulty list of headers is not shown at all, nor is a
// faulty token.
fn shown(key: &str, value: &Value) -> Option<String> {
    let is_secret = matches!(key, "export.headers" | "otlp.token" | "serve.token");
    Some(masked(key, value)).filter(|text| !is_secret && !text.is_empty())
}

/// The value as text, without what is secret in it.
fn masked(key: &str, value: &Value) -> String {
    let text = values::text(value);
    match key {
        "export.headers" => {
            let headers = values::list(value).unwrap_or_default();
            let names = headers.iter().map(|header| header.split_once('=').map_or("***", |(name, _)| name.trim()));
            names.map(|name| format!("{name}=***")).collect::<Vec<_>>().join(",")
        }
        "export.endpoint" => masked_url(&text),
        "otlp.token" if !text.is_empty() => "***".to_owned(),
        "serve.token" if !text.is_empty() && text != NO_TOKEN => "***".to_owned(),
        _ => text,
    }
}

/// A URL without its user, password and query, each of which may be a secret.
pub(super) fn masked_url(text: &str) -> String {
    let (text, query) = text.split_once('?').map_or((text, ""), |(text, _)| (text, "?***"));
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find('/').map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}***{}{query}", &text[..start], &text[start + at..]),
        None => format!("{text}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        let cases = [
            ("http://collector:4318", "http://collector:4318"),
            ("http://me:secret@collector:4318/v1/logs", "http://***@collector:4318/v1/logs"),
            ("https://intake/path?api-key=secret", "https://intake/path?***"),
            ("https://intake/a@b", "https://intake/a@b"),
            ("me:sec@ret@collector", "***@collector"),
        ];
        for (url, shown) in cases {
            assert_eq!(masked_url(url), shown);
        }
    }
}
