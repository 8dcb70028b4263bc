//! `docs/configuration.md`, made from `default.toml`.

use std::fmt::Write;

use super::options::{OTHER_VARIABLES, known};

/// What stands before the options.
const HEAD: &str = include_str!("document/head.md");

/// The text of `docs/configuration.md`.
#[must_use]
pub fn configuration_markdown() -> String {
    let mut text = HEAD.to_owned();
    let mut table = None;
    for option in known() {
        if table != Some(option.table()) {
            table = Some(option.table());
            let title = if option.table().is_empty() { "Top".to_owned() } else { format!("[{}]", option.table()) };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n### {title}\n\n| key | variable | default | |\n|---|---|---|---|\n");
        }
        let _ = writeln!(
            text,
            "| `{}` | `{}` | `{}` | {} |",
            option.key,
            option.variable,
            option.default,
            option.comment.replace('|', "\\|").replace('<', "&lt;")
        );
    }
    text.push_str("\n### Variables that are no options\n\n| variable | |\n|---|---|\n");
    for (name, meaning) in OTHER_VARIABLES {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_one_made_from_the_defaults() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let made = configuration_markdown();
        if std::env::var_os("RUNLOG_WRITE_DOCS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == made,
            "docs/configuration.md is stale; make it with RUNLOG_WRITE_DOCS=1 cargo test -p runlog --lib config::document"
        );
    }
}
