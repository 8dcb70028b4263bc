//! `runlog files`: the files of a run.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::Method;
use runlog_proto::v1;
use tokio::io::AsyncWriteExt;

use super::{
    caller::{Caller, escaped, escaped_path},
    table::{Cell, Table, size},
    terminal::{Output, unless_closed},
};

const EXAMPLES: &str = "\
Examples:
  runlog files latest
  runlog files ridge-1 get outputs/model.pkl
  runlog files ridge-1 get --to ./ridge-1";

/// `runlog files`
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct FilesArgs {
    /// The run: its id, the beginning of its id, or `latest`
    pub run: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What to do with them.
    #[command(subcommand)]
    pub command: Option<FilesCommand>,
}

/// What can be done with files.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum FilesCommand {
    /// Write files into a folder, under their names
    Get {
        /// The file, or a folder; all if none is given
        name: Option<String>,
        /// The folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
    },
}

/// Lists the files of a run, or gets them.
///
/// # Errors
/// If there is no such run or file, nobody answers, or a file cannot be written.
pub async fn files(args: &FilesArgs, caller: &Caller, out: &mut Output<'_>) -> Result<()> {
    let path = format!("/runs/{}/files", escaped(&args.run));
    let answer: v1::ListFilesResponse = caller.get(&path).await?;
    let Some(FilesCommand::Get { name, to }) = &args.command else {
        return unless_closed(print(args, &answer, out));
    };
    let is_wanted = |file: &&v1::Artifact| match name {
        None => true,
        Some(name) => file.name == *name || file.name.strip_prefix(&**name).is_some_and(|rest| rest.starts_with('/')),
    };
    let wanted: Vec<_> = answer.files.iter().filter(|file| file.kind != "folder").filter(is_wanted).collect();
    if wanted.is_empty() {
        bail!("the run has no such file; `runlog files {}` lists those that it has", args.run);
    }
    for file in wanted {
        if !file.is_held {
            bail!("the bytes of {} are not here, only its name was logged", file.name);
        }
        let target = below(to, &file.name)?;
        let response = caller.call(Method::GET, &format!("{path}/{}", escaped_path(&file.name)), Body::empty()).await?;
        write(response.into_body(), &target)
            .await
            .with_context(|| format!("{} cannot be written", target.display()))?;
        if !args.json {
            unless_closed(
                writeln!(out.writer, "{}", out.safe(&target.display().to_string()).into_owned()).map_err(Into::into),
            )?;
        }
    }
    unless_closed(out.writer.flush().map_err(Into::into))
}

fn print(args: &FilesArgs, answer: &v1::ListFilesResponse, out: &mut Output<'_>) -> Result<()> {
    if args.json {
        serde_json::to_writer(&mut out.writer, answer).map_err(io::Error::from)?;
        writeln!(out.writer)?;
    } else {
        let mut table = Table::new(["name", "kind", "size", "here"]);
        for file in &answer.files {
            let is_here = if file.is_held || file.kind == "folder" { "yes" } else { "no" };
            table.row([
                Cell::left(file.name.clone()),
                Cell::left(file.kind.clone()),
                Cell::right(size(file.size)),
                Cell::left(is_here.to_owned()),
            ]);
        }
        table.print(out)?;
    }
    out.writer.flush()?;
    Ok(())
}

/// Where a file of that name goes. The name comes from whoever logged it.
fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let is_plain = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    is_plain.then(|| folder.join(name)).ok_or_else(|| anyhow!("{name:?} leads out of the folder, it is not written"))
}

async fn write(mut body: Body, target: &Path) -> Result<()> {
    if let Some(folder) = target.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::File::create(target).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            file.write_all(&bytes).await?;
        }
    }
    file.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_written_outside_of_the_folder() {
        assert_eq!(below(Path::new("to"), "outputs/a").unwrap(), Path::new("to/outputs/a"));
        for name in ["../a", "/etc/passwd", "a/../../b", "a//b", "."] {
            assert!(below(Path::new("to"), name).is_err(), "{name}");
        }
    }
}
