//! The unix socket of a wrapped program, for what it sends itself: `runlog.Handler` of Python or any client of OTLP, and the
//! Run API.
//!
//! It lies in the folder of the run's queue, which nobody else can enter, with a spool beside it for what the socket does
//! not take in time. Both end with the run; what is left in the spool waits for the next agent ([`crate::pipeline`]).

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{error, warn};

use crate::{
    api::{self, Api},
    config::{Input, Settings},
    pipeline::{AgentControl, SPOOL},
    record::{Clock, SystemClock},
    run,
    source::otlp::{self, Address, Announced},
    store::Store,
};

use super::{
    run_api::{self, FILES},
    serve::StoreVitals,
    single::Single,
};

/// The variables in which programs look for it and for the spool.
const SOCKET_VARIABLE: &str = "RUNLOG_SOCKET";
const SPOOL_VARIABLE: &str = "RUNLOG_OTLP_SPOOL";

/// How long the program waits for the socket before it is started without it. It is made in a moment, which on a busy machine
/// may be long: what the program logs before that would be refused.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket on which the program is heard.
pub struct Socket {
    path: PathBuf,
    spool: PathBuf,
    /// Elsewhere, if the queue's path is longer than a socket's may be.
    folder: Option<PathBuf>,
    store: Option<Arc<Store>>,
    api: Api,
    control: Arc<AgentControl>,
    /// Ends what answers for it.
    over: watch::Sender<bool>,
    receiving: JoinHandle<()>,
}

impl Socket {
    /// Listens on behalf of a run. `None` if whoever started us has named another agent to the program, or if there is
    /// no place for a socket: its output is collected all the same. Must be called inside the runtime.
    pub async fn open(settings: &Settings, input: &Input, single: &Single) -> Option<Self> {
        if input.environment.contains_key(SOCKET_VARIABLE) {
            return None;
        }
        let place = || {
            let queue = std::path::absolute(single.dir())?;
            let (path, folder) = place(&queue)?;
            Ok::<_, io::Error>((path, folder, queue.join(SPOOL)))
        };
        let (path, folder, spool) =
            place().inspect_err(|error| warn!(%error, "there is no socket for the program")).ok()?;
        let config = otlp::Config {
            listen: vec![Address::Socket(path.clone())],
            spool: spool.clone(),
            token: None,
            tls: None,
            ..settings.otlp.clone()
        };
        let resource = run::resource(&single.run.id, &single.run.identity, &single.run.facts);
        let tagging = otlp::Tagging { resource, level: settings.level, passes_on: settings.export.is_some() };
        let (trouble, mut told) = watch::channel(otlp::Trouble::new());
        let store = single.store().cloned();
        let api = run_api::on_pipeline(settings, &single.run, single.pipeline(), store.as_ref());
        let vitals = Arc::new(StoreVitals { started: SystemClock.now() });
        let control = Arc::new(AgentControl::new(single.pipeline(), settings.level, single.run.id.as_str()));
        let (beside, over) = run_api::beside(&api, store.as_ref(), vitals, control.clone());
        // Ended by the pipeline's stop, and awaited in `close`.
        let receiving = tokio::spawn(otlp::collect(
            config,
            single.context().clone(),
            tagging,
            trouble,
            Announced::No,
            Some(beside),
        ));
        // It says so when it listens, and why if it cannot.
        let _ = timeout(PATIENCE, told.changed()).await;
        Some(Self { path, spool, folder, store, api, control, over, receiving })
    }

    /// What the program's environment says of it.
    pub fn variables(&self, input: &Input) -> Vec<(String, String)> {
        let is_set = |name: &str| input.environment.contains_key(name);
        let variables = [(SOCKET_VARIABLE, &self.path), (SPOOL_VARIABLE, &self.spool)];
        let unset = variables.into_iter().filter(|(name, _)| !is_set(name));
        // A path that is no text cannot be told by every kind of program.
        unset.filter_map(|(name, path)| Some((name.to_owned(), path.to_str()?.to_owned()))).collect()
    }

    /// Says that the program has ended: the pipeline may end as well. Files that it has left beside the spool are taken
    /// into the store, if there is one.
    pub async fn stop(&self) {
        self.api.close();
        self.control.close();
        self.over.send_replace(true);
        let Some(store) = self.store.clone() else { return };
        let files = self.spool.join(FILES);
        let taken = spawn_blocking(move || api::take_left(&files, &store)).await;
        if let Ok(Err(error)) = taken {
            warn!(%error, "files that the program has left cannot be taken into the store, the next agent tries again");
        }
    }

    /// Ends it, once the pipeline has ended. Nothing of the queue is held any more then.
    pub async fn close(self) {
        if let Err(failure) = self.receiving.await {
            error!(error = %failure, "receiving from the program failed");
        }
        if let Some(folder) = self.folder {
            // Whatever stays there is an empty folder of ours.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Where the socket of the program is whose queue is in that folder.
pub fn path_of(queue: &Path) -> PathBuf {
    let inside = queue.join(Address::SOCKET);
    if Address::fits(&inside) { inside } else { elsewhere(queue).join(Address::SOCKET) }
}

/// A folder for the socket if the queue's path is too long.
fn elsewhere(queue: &Path) -> PathBuf {
    // Named by the queue's id, which nobody can know before.
    env::temp_dir().join(format!("runlog-{}", queue.file_name().unwrap_or_default().to_string_lossy()))
}

/// Where the socket is, and the folder that was made for it if the queue's is too far away.
fn place(queue: &Path) -> io::Result<(PathBuf, Option<PathBuf>)> {
    let inside = queue.join(Address::SOCKET);
    if Address::fits(&inside) {
        return Ok((inside, None));
    }
    let folder = elsewhere(queue);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok((folder.join(Address::SOCKET), Some(folder)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_socket_whose_path_would_be_too_long_lies_in_a_folder_of_its_own() {
        let queue = Path::new("/state/exec/0199");
        assert_eq!(place(queue).unwrap(), (queue.join("otlp.sock"), None));

        let id = uuid::Uuid::now_v7().to_string();
        let far = Path::new("/state").join("x".repeat(90)).join(&id);
        let (path, folder) = place(&far).unwrap();
        let folder = folder.unwrap();
        assert!(Address::fits(&path) && path.parent() == Some(&*folder) && folder.ends_with(format!("runlog-{id}")));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        // Somebody else may have made it.
        assert!(place(&far).is_err());
        fs::remove_dir(folder).unwrap();
    }
}
