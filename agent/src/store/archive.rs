//! All that a run has, to carry it to another store.

use std::io;

use uuid::Uuid;

use super::{
    ReadError, Reader, Store, StoreError,
    blocks::{self, BLOCK, Block},
    received::by_run,
};

const OF_RUN: &str = "WHERE run = (SELECT id FROM runs WHERE run_id = ?1) ORDER BY blocks.id";

/// Another writer's blocks of a run; without the last part of the path they are its folder.
const OTHERS: &str = "SELECT 1 FROM files WHERE path LIKE ?1 || '/%' AND path != ?2";

/// A block of a run.
pub struct Stored(Block);

/// A block from elsewhere was not stored.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is no block.
    #[error("it is no block of a store")]
    Damaged(#[source] io::Error),
    /// It is one of another run.
    #[error("it belongs to the run {0:?}")]
    Other(String),
    /// The run is here already, from elsewhere.
    #[error("a run of that id is here already, and is not this one")]
    Present,
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Stored {
    /// Its bytes: a zstd frame with an OTLP `ExportLogsServiceRequest`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        self.0.read()
    }

    /// The request in what [`Stored::read`] gave.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn request(&self, stored: &[u8]) -> io::Result<Vec<u8>> {
        self.0.request(stored)
    }
}

impl Reader {
    /// The blocks of the run with that id, in their order.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn blocks(&self, run_id: &str) -> Result<Vec<Stored>, ReadError> {
        self.ask(|index| {
            let mut question = index.prepare_cached(&format!("{BLOCK} {OF_RUN}")).map_err(ReadError::from)?;
            let blocks = question.query_map([run_id], |row| Block::of(self.dir(), row).map(Stored));
            blocks.and_then(Iterator::collect).map_err(ReadError::from)
        })
    }
}

impl Store {
    /// Stores a block that another store had of a run, the `seq`th of what is carried under `archive`. One that was
    /// stored before is passed over, so that what was interrupted can be begun again.
    ///
    /// # Errors
    /// If it is not such a block, the run is here from elsewhere, or the disk or the index fails.
    pub fn adopt(&self, archive: Uuid, run_id: &str, seq: u64, block: &[u8]) -> Result<(), AdoptError> {
        let request = blocks::decompress(block, 0).map_err(AdoptError::Damaged)?;
        let runs = by_run(&request).map_err(|fault| AdoptError::Damaged(io::Error::other(fault)))?;
        let writer = archive.into_bytes();
        let [(meta, _)] = &runs[..] else {
            return Err(AdoptError::Damaged(io::Error::other("it has not exactly one run")));
        };
        if meta.run_id != run_id {
            return Err(AdoptError::Other(meta.run_id.clone()));
        }
        if self.has_from_others(run_id, &writer)? {
            return Err(AdoptError::Present);
        }
        self.append(writer, &[(seq, meta, block)])?;
        Ok(())
    }

    fn has_from_others(&self, run_id: &str, writer: &super::Writer) -> Result<bool, StoreError> {
        let index = self.index().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut question = index.connection.prepare_cached(OTHERS)?;
        Ok(question.exists([blocks::folder_of(run_id), blocks::file_of(run_id, writer)])?)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        record::Severity,
        store::{
            Query,
            samples::{append, line},
        },
    };

    use super::*;

    fn blocks_of(store: &Store, run_id: &str) -> Vec<Vec<u8>> {
        store.reader().blocks(run_id).unwrap().iter().map(|block| block.read().unwrap()).collect()
    }

    fn bodies(store: &Store) -> Vec<String> {
        store.reader().logs(&Query::of("r")).unwrap().lines.into_iter().map(|line| line.body).collect()
    }

    #[test]
    fn a_run_is_the_same_in_another_store_however_often_it_is_carried_there() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let store = Store::open(here.path()).unwrap();
        append(&store, 1, "r", &[line(1, Severity::INFO, "a")]);
        append(&store, 2, "other", &[line(1, Severity::INFO, "x")]);
        append(&store, 3, "r", &[line(2, Severity::WARN, "b")]);
        let (blocks, archive) = (blocks_of(&store, "r"), Uuid::new_v4());
        let other = Store::open(there.path()).unwrap();
        for _ in 0..2 {
            for (seq, block) in (0..).zip(&blocks) {
                other.adopt(archive, "r", seq, block).unwrap();
            }
        }
        assert_eq!(bodies(&other), ["a", "b"]);
        assert_eq!(blocks_of(&other, "r"), blocks);
        let [here, there] = [&store, &other].map(|store| store.reader().find("r").unwrap());
        assert_eq!(here, there);
    }

    #[test]
    fn what_is_not_a_block_of_that_run_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        append(&store, 1, "r", &[line(1, Severity::INFO, "a")]);
        let (block, archive) = (blocks_of(&store, "r").remove(0), Uuid::new_v4());
        assert!(matches!(store.adopt(archive, "r", 0, &block), Err(AdoptError::Present)));
        assert!(matches!(store.adopt(archive, "q", 0, &block), Err(AdoptError::Other(run)) if run == "r"));
        assert!(matches!(store.adopt(archive, "r", 0, &block[..9]), Err(AdoptError::Damaged(_))));
        assert_eq!(bodies(&store), ["a"]);
    }
}
