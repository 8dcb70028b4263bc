//! `runlog replay`: what the flight recorder has is sent.

use anyhow::Result;
use runlog_proto::v1;

use super::{caller::Caller, level::done, terminal::Output};

/// What to send.
#[derive(Debug, Default, clap::Args)]
pub struct ReplayArgs {
    /// Only of the run of this id, or of its beginning
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// One JSON object for each runlog that was asked
    #[arg(long)]
    pub json: bool,
}

/// Asks each of them, and prints how many lines it sent.
///
/// # Errors
/// If none of them does it.
pub async fn replay(args: &ReplayArgs, callers: &[Caller], out: &mut Output<'_>) -> Result<()> {
    let request = v1::ReplayRequest { run: args.run.clone().unwrap_or_default() };
    let mut answers = Vec::new();
    for caller in callers {
        answers.push((caller.name(), caller.post::<v1::ReplayResponse>("/replay", &request).await));
    }
    for (name, v1::ReplayResponse { lines }) in done(answers)? {
        if args.json {
            writeln!(out.writer, "{}", serde_json::json!({"at": name, "lines": lines}))?;
        } else {
            let word = if lines == 1 { "line" } else { "lines" };
            writeln!(out.writer, "{}: {lines} {word} sent", out.safe(name).into_owned())?;
        }
    }
    out.writer.flush()?;
    Ok(())
}
