//! `runlog check`: whether the settings work on this machine, and what they are.

mod probe;

use std::io::{self, Write};

use serde_json::json;

use crate::config::{self, Effective, Input, Loaded};

/// The exit code when settings cannot be used or something does not work.
pub const EXIT_SETTINGS: u8 = 64;

/// What `runlog check` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What to do with the settings.
    pub what: What,
    /// How to write the answer.
    pub form: Form,
}

/// What to do with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Try them.
    Try,
    /// Show each with its origin.
    Show,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON array of objects.
    Json,
}

/// How well something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It works.
    Ok,
    /// runlog works, but perhaps not as intended.
    Warning,
    /// It does not work.
    Error,
}

impl Verdict {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing: `settings`, `state`, `files`, `pods`, `docker`, `otlp`, `export`, `serve`.
    pub subject: &'static str,
    /// How well it works.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

impl Finding {
    fn new(subject: &'static str, verdict: Verdict, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, verdict, text: text.into(), remedy: remedy.into() }
    }
}

/// Everything that was tried, in the order in which a line travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// 0, or [`EXIT_SETTINGS`] if something does not work.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.0.iter().any(|finding| finding.verdict == Verdict::Error) { EXIT_SETTINGS } else { 0 }
    }

    /// Writes one line a finding, and one for its remedy.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write(&self, form: Form, out: &mut dyn Write) -> io::Result<()> {
        if form == Form::Json {
            let each = self.0.iter().map(|found| {
                json!({"subject": found.subject, "verdict": found.verdict.as_str(), "text": found.text, "remedy": found.remedy})
            });
            return writeln!(out, "{:#}", each.collect::<serde_json::Value>());
        }
        for Finding { subject, verdict, text, remedy } in &self.0 {
            writeln!(out, "{:<8} {subject:<9} {text}", verdict.as_str())?;
            for line in remedy.lines() {
                writeln!(out, "{:<18} {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Loads the settings and tries or shows them. Returns the exit code.
///
/// # Errors
/// If `out` cannot be written to.
pub fn check(input: &Input, asked: Asked, out: &mut dyn Write) -> io::Result<u8> {
    match (config::load(input), asked.what) {
        (Err(faults), _) => {
            let finding = |fault: &config::Fault| {
                Finding::new("settings", Verdict::Error, fault.headline(), fault.remedy.clone())
            };
            let report = Report(faults.0.iter().map(finding).collect());
            report.write(asked.form, out)?;
            Ok(report.exit_code())
        }
        (Ok(loaded), What::Show) => {
            show(&loaded.effective, asked.form, out)?;
            Ok(0)
        }
        (Ok(loaded), What::Try) => {
            let report = attempt(&loaded);
            report.write(asked.form, out)?;
            Ok(report.exit_code())
        }
    }
}

/// Writes each setting with its origin, secrets masked.
///
/// # Errors
/// If `out` cannot be written to.
pub fn show(effective: &[Effective], form: Form, out: &mut dyn Write) -> io::Result<()> {
    if form == Form::Json {
        let each = effective
            .iter()
            .map(|found| json!({"key": found.key, "value": found.value, "origin": found.origin.to_string()}));
        return writeln!(out, "{:#}", each.collect::<serde_json::Value>());
    }
    let width = |text: fn(&Effective) -> &str| effective.iter().map(|found| text(found).chars().count()).max();
    let key = width(|found| &found.key).unwrap_or(0);
    // One long value must not push every origin off the screen.
    let value = width(|found| &found.value).unwrap_or(0).min(40);
    for found in effective {
        writeln!(out, "{:<key$}  {:<value$}  {}", found.key, found.value, found.origin)?;
    }
    Ok(())
}

/// Tries what the settings speak of: the state directory, the files, the engine, the addresses. Changes nothing, and takes
/// some seconds at most, unless the name service takes longer.
#[must_use]
pub fn attempt(loaded: &Loaded) -> Report {
    let settings = &loaded.settings;
    let mut findings = vec![Finding::new("settings", Verdict::Ok, "can be used", "")];
    findings.extend(loaded.warnings.iter().map(|text| Finding::new("settings", Verdict::Warning, text, "")));
    findings.push(probe::state(&settings.state_dir));
    findings.extend(probe::medium(&settings.state_dir, settings.queue.allow_network_fs));
    findings.extend(probe::room(&settings.state_dir, settings.queue.min_free_bytes));
    findings.extend(probe::files(&settings.file));
    findings.extend(probe::pods(&settings.kubernetes));
    findings.push(probe::docker(&settings.docker));
    findings.extend(settings.otlp.ports().map(|address| probe::listening("otlp", address)));
    findings.extend(probe::certificates(settings.export.as_ref()));
    findings.push(probe::destination(settings.export.as_ref()));
    findings.extend(settings.serve.listen.map(|address| probe::listening("serve", address)));
    Report(findings)
}

#[cfg(test)]
mod tests;
