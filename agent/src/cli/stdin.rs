//! `runlog stdin`: what comes in, collected to its end.

use std::future;

use crate::{
    config::{Input, Settings},
    source::process::{Shown, read_input},
};

use super::{
    args::StdinArgs,
    exit::{Exit, Failure},
    single::Single,
};

/// Reads standard input to its end and shows it.
pub async fn run(settings: &Settings, input: &Input, arguments: &StdinArgs) -> Result<Exit, Failure> {
    let single = Single::begin(settings, input)?;
    let shown = if arguments.quiet { Shown::Kept } else { Shown::PassedOn };
    let read = read_input(&settings.process, single.context(), &single.tagging(settings), shown).await;
    read.map_err(|error| Failure::new(Exit::Bug, error))?;
    let collected = single.end(settings, future::ready(())).await?;
    if !arguments.quiet {
        collected.tell();
    }
    Ok(if collected.is_delivered { Exit::Ok } else { Exit::Undelivered })
}
