//! Connections for reading.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{OpenError, index::Index};

/// Connections that are kept for the next question.
const KEPT_CONNECTIONS: usize = 4;

/// Reads a store while others write it. Clones share their connections.
///
/// Its methods wait for the disk: call them where waiting is allowed.
#[derive(Debug, Clone)]
pub struct Reader {
    dir: PathBuf,
    idle: Arc<Mutex<Vec<Index>>>,
}

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The index could not be read.
    #[error("cannot read the store's index")]
    Index(#[from] rusqlite::Error),
}

impl Reader {
    /// A reader of the store in that directory.
    ///
    /// # Errors
    /// If there is no store, it cannot be opened, or a newer runlog made it.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let reader = Self::of(dir);
        reader.keep(Index::open_to_read(dir)?);
        Ok(reader)
    }

    /// A reader of a store that is known to be there.
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), idle: Arc::default() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Asks the index with a connection that nobody else uses meanwhile.
    pub(super) fn ask<T, E: From<ReadError>>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that was removed meanwhile would answer for ever what it had.
        let index = match idle.filter(Index::is_in_place) {
            Some(index) => index,
            None => Index::open_to_read(&self.dir).map_err(ReadError::from)?,
        };
        let answer = question(&index.connection)?;
        self.keep(index);
        Ok(answer)
    }

    fn keep(&self, index: Index) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_CONNECTIONS {
            idle.push(index);
        }
    }
}
