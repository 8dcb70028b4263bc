//! `runlog run`: a run that a shell script starts, logs to and ends.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::body::Body;
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::stream;
use hyper::{Method, StatusCode};
use runlog_proto::{
    v1::{self, Value},
    value::Kind,
};
use serde_json::json;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::store::Digest;

use super::{
    caller::{Caller, escaped},
    terminal::{Output, unless_closed},
};

/// How much of a file is read at once.
const STEP: usize = 256 * 1024;

/// `runlog run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The run [RUNLOG_RUN_ID]
    #[arg(long, global = true, value_name = "ID")]
    pub run: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do with it.
    #[command(subcommand)]
    pub command: RunCommand,
}

/// What a run can do.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Start a run, or make sure that it is there, and print its id
    Start {
        /// What it is a part of, such as diabetes
        #[arg(long, value_name = "NAME")]
        experiment: Option<String>,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
        /// The run that it is a part of
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// A tag; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        tag: Vec<String>,
        /// A setting of the training; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        param: Vec<String>,
    },
    /// Log a number or a text
    #[command(allow_negative_numbers = true)]
    Log {
        /// What it is called
        name: String,
        /// What it is: a number, true, false, or else text
        value: String,
        /// The step of the training
        #[arg(long)]
        step: Option<i64>,
    },
    /// Log several values at once
    #[command(allow_negative_numbers = true)]
    LogList {
        /// What they are called
        name: String,
        /// The values
        values: Vec<String>,
    },
    /// Log a row of a table
    LogRow {
        /// The table
        name: String,
        /// The columns
        #[arg(required = true, value_name = "COLUMN=VALUE")]
        columns: Vec<String>,
    },
    /// Log a table from JSON: {"column": [1, 2], …}
    LogTable {
        /// The table
        name: String,
        /// The file; - for standard input
        file: PathBuf,
    },
    /// Upload an image
    LogImage {
        /// What it is called
        name: String,
        /// The file
        path: PathBuf,
    },
    /// Upload a file, or a folder with all that is in it
    Upload {
        /// What it is called among the run's files, such as outputs/model.pkl
        name: String,
        /// The file or folder
        path: PathBuf,
    },
    /// Set tags
    Tag {
        /// The tags
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<String>,
    },
    /// Say that the run did what it was to do
    Complete,
    /// Say that it did not
    Fail {
        /// One word, such as UserError
        #[arg(long)]
        code: Option<String>,
        /// What went wrong
        #[arg(long)]
        message: Option<String>,
    },
    /// Say that it was to end
    Cancel,
}

/// Does it.
///
/// # Errors
/// If it is refused, or nobody is there to take it.
pub async fn run(args: &RunArgs, from_environment: Option<&str>, caller: &Caller, out: &mut Output<'_>) -> Result<()> {
    let given = args.run.as_deref().or(from_environment);
    if let RunCommand::Start { experiment, name, parent, tag, param } = &args.command {
        let request = v1::StartRunRequest {
            key: Uuid::now_v7().to_string(),
            run_id: given.unwrap_or_default().to_owned(),
            experiment: experiment.clone().unwrap_or_default(),
            name: name.clone().unwrap_or_default(),
            parent_run_id: parent.clone().unwrap_or_default(),
            tags: pairs(tag)?,
            parameters: pairs(param)?,
            ..v1::StartRunRequest::default()
        };
        let answer: v1::RunResponse = caller.post("/runs", &request).await?;
        let run = answer.run.unwrap_or_default();
        return tell(out, args.json, &run, Some(&run.run_id));
    }
    let id = given.ok_or_else(|| {
        anyhow!(
            "it is not known which run is meant\nset RUNLOG_RUN_ID to what `runlog run start` prints, or give --run ID"
        )
    })?;
    let path = format!("/runs/{}", escaped(id));
    match &args.command {
        RunCommand::Complete => end(args, caller, &format!("{path}/complete"), v1::EndRunRequest::default(), out).await,
        RunCommand::Cancel => end(args, caller, &format!("{path}/cancel"), v1::EndRunRequest::default(), out).await,
        RunCommand::Fail { code, message } => {
            let request = v1::EndRunRequest {
                error_code: code.clone().unwrap_or_default(),
                error_message: message.clone().unwrap_or_default(),
                ..v1::EndRunRequest::default()
            };
            end(args, caller, &format!("{path}/fail"), request, out).await
        }
        command => {
            let entries = entries(command, caller).await?;
            let request = v1::LogRequest { key: Uuid::now_v7().to_string(), entries, ..v1::LogRequest::default() };
            let answer: v1::LogResponse = caller.post(&format!("{path}/log"), &request).await?;
            for warning in &answer.warnings {
                eprintln!("runlog: {}", warning.message);
            }
            if let Some(rejected) = answer.rejected.first() {
                bail!("{} of {} not taken: {}", answer.rejected.len(), request.entries.len(), rejected.message);
            }
            tell(out, args.json, &answer, None)
        }
    }
}

async fn end(
    args: &RunArgs,
    caller: &Caller,
    path: &str,
    request: v1::EndRunRequest,
    out: &mut Output<'_>,
) -> Result<()> {
    let request = v1::EndRunRequest { key: Uuid::now_v7().to_string(), ..request };
    let answer: v1::RunResponse = caller.post(path, &request).await?;
    tell(out, args.json, &answer.run.unwrap_or_default(), None)
}

fn tell(out: &mut Output<'_>, is_json: bool, answer: &impl serde::Serialize, word: Option<&str>) -> Result<()> {
    let mut print = || {
        if is_json {
            serde_json::to_writer(&mut out.writer, answer).map_err(io::Error::from)?;
            writeln!(out.writer)?;
        } else if let Some(word) = word {
            writeln!(out.writer, "{word}")?;
        }
        out.writer.flush()?;
        Ok(())
    };
    unless_closed(print())
}

async fn entries(command: &RunCommand, caller: &Caller) -> Result<Vec<v1::Entry>> {
    let entry = v1::Entry::default();
    let one = match command {
        RunCommand::Log { name, value, step } => {
            let scalar =
                v1::Scalar { name: name.clone(), value: Some(value_of(value)), step: *step, ..Default::default() };
            v1::Entry { scalar: Some(scalar), ..entry }
        }
        RunCommand::LogList { name, values } => {
            let values = values.iter().map(|value| value_of(value)).collect();
            v1::Entry { list: Some(v1::List { name: name.clone(), values, ..Default::default() }), ..entry }
        }
        RunCommand::LogRow { name, columns } => {
            let row = v1::Row { name: name.clone(), columns: pairs(columns)?, ..Default::default() };
            v1::Entry { row: Some(row), ..entry }
        }
        RunCommand::LogTable { name, file } => {
            let text = read_text(file)?;
            let columns = serde_json::from_str(&text)
                .with_context(|| format!("{} is no table; write {}", file.display(), json!({"column": [1, 2]})))?;
            v1::Entry { table: Some(v1::Table { name: name.clone(), columns, ..Default::default() }), ..entry }
        }
        RunCommand::LogImage { name, path } => {
            let artifact = uploaded(caller, name, path).await?;
            let media_type = image_type(path).to_owned();
            v1::Entry { artifact: Some(v1::Artifact { kind: "image".to_owned(), media_type, ..artifact }), ..entry }
        }
        RunCommand::Upload { name, path } if path.is_dir() => return folder(caller, name, path).await,
        RunCommand::Upload { name, path } => v1::Entry { artifact: Some(uploaded(caller, name, path).await?), ..entry },
        RunCommand::Tag { tags } => {
            let tag =
                |(key, value)| v1::Entry { tag: Some(v1::KeyValue { key, value: Some(value) }), ..Default::default() };
            return Ok(pairs(tags)?.into_iter().map(tag).collect());
        }
        RunCommand::Start { .. } | RunCommand::Complete | RunCommand::Fail { .. } | RunCommand::Cancel => {
            return Ok(Vec::new());
        }
    };
    Ok(vec![one])
}

/// Uploads all files of a folder.
async fn folder(caller: &Caller, name: &str, path: &Path) -> Result<Vec<v1::Entry>> {
    let entry = |artifact| v1::Entry { artifact: Some(artifact), ..v1::Entry::default() };
    let (mut entries, mut size) = (Vec::new(), 0);
    let mut folders = vec![(name.trim_end_matches('/').to_owned(), path.to_owned())];
    while let Some((name, path)) = folders.pop() {
        let unreadable = || format!("{} cannot be read", path.display());
        for found in path.read_dir().with_context(unreadable)? {
            let found = found.with_context(unreadable)?;
            let below = format!("{name}/{}", found.file_name().to_string_lossy());
            let kind = found.file_type().with_context(unreadable)?;
            if kind.is_dir() {
                folders.push((below, found.path()));
            } else if kind.is_file() {
                let artifact = uploaded(caller, &below, &found.path()).await?;
                size += artifact.size;
                entries.push(entry(artifact));
            }
        }
    }
    let (name, kind) = (name.trim_end_matches('/').to_owned(), "folder".to_owned());
    entries.push(entry(v1::Artifact { name, kind, size, ..v1::Artifact::default() }));
    Ok(entries)
}

/// Sends a file's bytes, unless they are there.
async fn uploaded(caller: &Caller, name: &str, path: &Path) -> Result<v1::Artifact> {
    let unreadable = || format!("{} cannot be read", path.display());
    let (digest, size) = File::open(path).and_then(Digest::of).with_context(unreadable)?;
    let at = format!("/files/{}", digest.as_str());
    if caller.look(&at).await? != StatusCode::OK {
        let file = tokio::fs::File::open(path).await.with_context(unreadable)?;
        let pieces = stream::unfold(file, |mut file| async move {
            let mut piece = Vec::with_capacity(STEP);
            match (&mut file).take(STEP as u64).read_to_end(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(Bytes::from(piece)), file)),
                Err(error) => Some((Err(error), file)),
            }
        });
        caller.call(Method::PUT, &at, Body::from_stream(pieces)).await?;
    }
    let (name, sha256) = (name.to_owned(), digest.as_str().to_owned());
    Ok(v1::Artifact { name, kind: "file".to_owned(), sha256, size, ..v1::Artifact::default() })
}

fn read_text(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().read_to_string(&mut text),
        _ => File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text)
}

fn pairs(texts: &[String]) -> Result<BTreeMap<String, Value>> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| anyhow!("{text} has no value\nwrite KEY=VALUE"))?;
        Ok((key.to_owned(), value_of(value)))
    };
    texts.iter().map(pair).collect()
}

/// What a text stands for: a number, a truth, or itself.
pub fn value_of(text: &str) -> Value {
    let kind = match text {
        "true" => Kind::Bool(true),
        "false" => Kind::Bool(false),
        _ => match (text.parse(), text.parse()) {
            (Ok(integer), _) => Kind::Integer(integer),
            (_, Ok(number)) => Kind::Number(number),
            _ => Kind::Text(text.to_owned()),
        },
    };
    kind.into()
}

/// What browsers call the pictures of a file with that ending. Empty if that is not known.
fn image_type(path: &Path) -> &'static str {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("svg") => "image/svg+xml",
        Some("webp") => "image/webp",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_number_that_it_looks_like() {
        let values = [
            ("3", Kind::Integer(3)),
            ("-0.5", Kind::Number(-0.5)),
            ("1e-3", Kind::Number(0.001)),
            ("inf", Kind::Number(f64::INFINITY)),
            ("true", Kind::Bool(true)),
            ("ridge", Kind::Text("ridge".into())),
            ("", Kind::Text(String::new())),
            ("12 apples", Kind::Text("12 apples".into())),
        ];
        for (text, kind) in values {
            assert_eq!(value_of(text), kind.into(), "{text}");
        }
        assert!(matches!(value_of("nan").kind, Some(Kind::Number(number)) if number.is_nan()));
    }
}
