//! The manual's pages, made of what `--help` is made of.

use std::{fs, io, path::Path};

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::args::Cli;
use crate::config::{SYSTEM_FILE, documented};

/// Writes a page of each command into a folder: `runlog.1`, `runlog-exec.1` and so on.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    let write = || {
        clap_mangen::generate_to(Cli::command(), folder)?;
        fs::write(folder.join("runlog.1"), page_of_all()?)
    };
    write().with_context(|| format!("cannot write the manual into {}", folder.display()))
}

/// The page of the program itself, with its variables and files.
fn page_of_all() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page)?;
    let mut rest = Roff::new();
    rest.control("SH", ["ENVIRONMENT"]);
    rest.text([roman("Each is a key of the configuration file as well: RUNLOG_EXPORT_ENDPOINT is export.endpoint.")]);
    for (variable, default, meaning) in documented() {
        rest.control("TP", []);
        rest.text([bold(variable), roman(format!(" (default: {default})"))]);
        rest.text([roman(meaning)]);
    }
    rest.control("SH", ["FILES"]);
    rest.control("TP", []);
    rest.text([bold(SYSTEM_FILE)]);
    rest.text([roman("The configuration file that is read if --config names no other one.")]);
    rest.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_option_is_on_the_first() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = read(&format!("runlog-{}.1", command.get_name()));
            // A hyphen is written with a backslash, so that it can be searched for.
            let about = command.get_about().unwrap().to_string();
            assert!(page.replace("\\-", "-").contains(&about), "{page}");
        }
        let page = read("runlog.1").replace("\\-", "-");
        for (variable, _, meaning) in documented() {
            assert!(page.contains(variable), "{variable}");
            // An apostrophe is written otherwise.
            assert!(page.contains(meaning.split(|c: char| !c.is_alphanumeric()).next().unwrap()), "{meaning}");
        }
        assert!(page.contains("Exit codes: 0 all delivered"), "{page}");
        assert!(!folder.path().join("runlog-man.1").exists(), "commands that nobody types have no page");
    }
}
