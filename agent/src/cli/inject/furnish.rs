//! Puts this program into the folder that the containers of a pod share.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};

/// Makes `bin/runlog`, and `logs` where every user may write, in a folder. Done again, it replaces the program.
///
/// # Errors
/// If it cannot be written there.
pub fn furnish(folder: &Path) -> Result<()> {
    let bin = folder.join("bin");
    let (program, unfinished) = (bin.join("runlog"), bin.join(".runlog"));
    let failed = || format!("cannot write to {}", folder.display());
    for (path, mode) in [(bin, 0o755), (folder.join("logs"), 0o1777)] {
        fs::create_dir_all(&path).with_context(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).with_context(failed)?;
    }
    // One that is being run cannot be written to.
    fs::copy("/proc/self/exe", &unfinished).with_context(failed)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).with_context(failed)?;
    fs::rename(&unfinished, &program).with_context(failed)
}
