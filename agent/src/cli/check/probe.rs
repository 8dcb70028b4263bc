//! What is tried, one function each. None changes anything.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::Access;
use url::Url;

use crate::{
    cli::table::size,
    config::Switch,
    export,
    queue::{Medium, Volume},
    source,
};

use super::{Finding, Verdict};

/// How long an endpoint or an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many files are named of those that cannot be read.
const NAMED: usize = 3;

pub(super) fn state(directory: &Path) -> Finding {
    let shown = directory.display();
    let remedy = "set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one";
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => {
            Finding::new("state", Verdict::Error, format!("{shown} is not a directory"), remedy)
        }
        Ok(_) if is_writable(directory) => Finding::new("state", Verdict::Ok, format!("{shown} is writable"), ""),
        Ok(_) => Finding::new("state", Verdict::Error, format!("{shown} is not writable"), remedy),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = directory.ancestors().skip(1).find(|above| above.exists());
            // A relative path ends at the empty one, which is the present folder.
            let above = above.filter(|above| *above != Path::new("")).unwrap_or(Path::new("."));
            if above.is_dir() && is_writable(above) {
                Finding::new("state", Verdict::Ok, format!("{shown} does not exist yet and can be made"), "")
            } else {
                let text = format!("{shown} does not exist, and {} is not writable", above.display());
                Finding::new("state", Verdict::Error, text, remedy)
            }
        }
        Err(error) => Finding::new("state", Verdict::Error, format!("{shown} cannot be reached: {error}"), remedy),
    }
}

/// What the file system of the state directory does not promise.
pub(super) fn medium(directory: &Path, allow_network_fs: bool) -> Option<Finding> {
    let medium = volume_of(directory)?.medium;
    lacking(&directory.display().to_string(), medium, allow_network_fs)
}

/// The file system of a directory that may not be there yet. One that cannot be asked is found by the probes beside this one.
fn volume_of(directory: &Path) -> Option<Volume> {
    let existing = directory.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    Volume::of(existing).ok()
}

pub(super) fn lacking(shown: &str, medium: Medium, allow_network_fs: bool) -> Option<Finding> {
    let (verdict, problem, remedy) = match medium {
        Medium::Disk => return None,
        Medium::Memory => (
            Verdict::Warning,
            "is in memory: what waits there, and the embedded store, are gone after a restart of the machine",
            "set RUNLOG_STATE_DIR to a directory on a disk, unless that is meant",
        ),
        Medium::Network => (
            if allow_network_fs { Verdict::Warning } else { Verdict::Error },
            "is on a network file system, whose locks and syncs may be promised and not kept",
            "set RUNLOG_STATE_DIR to a directory on a disk of this machine, or allow it with \
             RUNLOG_QUEUE_ALLOW_NETWORK_FS=true",
        ),
    };
    Some(Finding::new("state", verdict, format!("{shown} {problem}"), remedy))
}

/// Whether the disk of the state directory has room.
pub(super) fn room(directory: &Path, min_free_bytes: u64) -> Option<Finding> {
    let volume = volume_of(directory)?;
    let least = volume.left_to_others(min_free_bytes);
    if volume.free_bytes > least {
        return None;
    }
    let (shown, free) = (directory.display(), size(volume.free_bytes));
    let text = format!("{shown} has {free} left, and {} are left to others: nothing is collected", size(least));
    let remedy = "make room, or set RUNLOG_STATE_DIR to a directory on another disk, or less RUNLOG_QUEUE_MIN_FREE";
    Some(Finding::new("state", Verdict::Error, text, remedy))
}

// The kernel's own answer, so that read-only file systems count as well.
fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

pub(super) fn files(config: &source::file::Config) -> Vec<Finding> {
    if config.paths.is_empty() {
        return vec![Finding::new("files", Verdict::Ok, "none are followed", "")];
    }
    let excluded: Vec<glob::Pattern> = config.exclude.iter().filter_map(|text| glob::Pattern::new(text).ok()).collect();
    config.paths.iter().map(|pattern| matched(pattern, &excluded, &|path| File::open(path).is_ok())).collect()
}

pub(super) fn pods(config: &source::kubernetes::Config) -> Option<Finding> {
    let folder = config.logs.as_ref()?;
    let shown = folder.display();
    Some(match fs::read_dir(folder) {
        Ok(entries) => Finding::new("pods", Verdict::Ok, format!("{shown} has {}", entries.count()), ""),
        Err(error) => {
            let remedy = "mount the node's /var/log/pods there, read-only, and run runlog as a user that may read it";
            Finding::new("pods", Verdict::Error, format!("{shown} cannot be read: {error}"), remedy)
        }
    })
}

pub(super) fn matched(pattern: &str, excluded: &[glob::Pattern], can_open: &dyn Fn(&Path) -> bool) -> Finding {
    let Ok(paths) = glob::glob(pattern) else {
        return Finding::new("files", Verdict::Error, format!("{pattern} is not a glob"), "");
    };
    let (mut count, mut unreadable) = (0_usize, Vec::new());
    for found in paths {
        let path = match found {
            Ok(path) => path,
            Err(error) => {
                unreadable.push(error.path().to_path_buf());
                continue;
            }
        };
        // Opening a pipe would wait for its writer.
        if !path.is_file() || excluded.iter().any(|exclude| exclude.matches_path(&path)) {
            continue;
        }
        count += 1;
        if !can_open(&path) {
            unreadable.push(path);
        }
    }
    if !unreadable.is_empty() {
        let text = format!("{pattern} matches {count}, and runlog may not read {}", named(&unreadable));
        let remedy = "run runlog as a user or in a group that may read them";
        return Finding::new("files", Verdict::Error, text, remedy);
    }
    if count == 0 {
        let remedy = "nothing to do if they come later; else correct RUNLOG_FILES";
        return Finding::new("files", Verdict::Warning, format!("{pattern} matches nothing"), remedy);
    }
    Finding::new("files", Verdict::Ok, format!("{pattern} matches {count}"), "")
}

/// Whether runlog can listen there, which it does for this moment.
pub(super) fn listening(subject: &'static str, address: SocketAddr) -> Finding {
    let variable = format!("RUNLOG_{}_LISTEN", subject.to_uppercase());
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(subject, Verdict::Ok, format!("{address} can be listened on"), ""),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let text = format!("{address} is taken, by a runlog that runs or by another program");
            let remedy = format!("nothing to do if it is this runlog; else set {variable} to another port");
            Finding::new(subject, Verdict::Warning, text, remedy)
        }
        Err(error) => {
            let remedy = format!("set {variable} to an address of this machine and a port that runlog may open");
            Finding::new(subject, Verdict::Error, format!("{address} cannot be listened on: {error}"), remedy)
        }
    }
}

fn named(paths: &[PathBuf]) -> String {
    let mut names: Vec<String> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    if paths.len() > NAMED {
        names.push(format!("and {} more", paths.len() - NAMED));
    }
    names.join(", ")
}

pub(super) fn docker(config: &source::docker::Config) -> Finding {
    let shown = config.socket.display();
    let verdict = match config.collect {
        Switch::Off => return Finding::new("docker", Verdict::Ok, "containers are not collected", ""),
        Switch::Auto => Verdict::Warning,
        Switch::On => Verdict::Error,
    };
    match ping(&config.socket) {
        Ok(true) => Finding::new("docker", Verdict::Ok, format!("{shown} answers"), ""),
        Ok(false) => {
            let text = format!("{shown} is no Docker engine");
            Finding::new("docker", verdict, text, "set RUNLOG_DOCKER_HOST to the engine's socket")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.collect == Switch::Auto => {
            Finding::new("docker", Verdict::Ok, format!("{shown} is not there, so no containers are collected"), "")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let text = format!("{shown} may not be opened");
            let remedy = "add runlog's user to the socket's group, in a container with --group-add \
                          $(stat -c %g /var/run/docker.sock)";
            Finding::new("docker", verdict, text, remedy)
        }
        Err(error) => {
            let text = format!("{shown} does not answer: {error}");
            Finding::new("docker", verdict, text, "start the engine, or mount its socket into runlog's container")
        }
    }
}

/// Whether a Docker engine answers there.
///
/// Source: Docker Engine API, `GET /_ping`.
fn ping(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}

pub(super) fn certificates(export: Option<&export::Config>) -> Vec<Finding> {
    let Some(export) = export else { return Vec::new() };
    let identity = export.client_identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    let unreadable = export.certificate.iter().chain(identity).filter_map(|path| {
        let error = File::open(path).err()?;
        let text = format!("{} cannot be read: {error}", path.display());
        Some(Finding::new("export", Verdict::Error, text, "name a PEM file that runlog may read"))
    });
    unreadable.collect()
}

pub(super) fn destination(export: Option<&export::Config>) -> Finding {
    let Some(export) = export else {
        return Finding::new("export", Verdict::Ok, "nothing is exported; the embedded store is kept", "");
    };
    let hop = export.first_hop();
    let (host, port) = (hop.host_str().unwrap_or_default(), hop.port_or_known_default());
    let shown = format!("{host}:{}", port.unwrap_or_default());
    match connect(&hop) {
        Ok(()) => Finding::new("export", Verdict::Ok, format!("{shown} accepts connections"), ""),
        Err(error) => {
            let text = format!("{shown} cannot be reached: {error}");
            let remedy =
                "start the backend or correct RUNLOG_EXPORT_ENDPOINT; until it answers, logs wait in the queue";
            Finding::new("export", Verdict::Error, text, remedy)
        }
    }
}

fn connect(hop: &Url) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in hop.socket_addrs(|| None)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
