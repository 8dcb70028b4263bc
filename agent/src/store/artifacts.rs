//! Which files runs have.

use std::fs::File;

use runlog_proto::v1;
use rusqlite::Row;

use super::{
    ReadError, Reader,
    files::{self, Digest},
    index::from_column,
};

const OF_RUN: &str = "SELECT name, kind, sha256, size, media_type, description, width, height, schema_type, time
 FROM artifacts WHERE run = (SELECT id FROM runs WHERE run_id = ?1)";

impl Reader {
    /// The files of the run with that id, by name.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn files(&self, run: &str) -> Result<Vec<v1::Artifact>, ReadError> {
        let mut files: Vec<v1::Artifact> = self.ask(|index| {
            let mut question = index.prepare_cached(&format!("{OF_RUN} ORDER BY name")).map_err(ReadError::from)?;
            let files = question.query_map([run], artifact).map_err(ReadError::from)?;
            files.collect::<Result<_, _>>().map_err(ReadError::from)
        })?;
        for file in &mut files {
            file.is_held = Digest::parse(&file.sha256).is_ok_and(|digest| self.is_held(&digest));
        }
        Ok(files)
    }

    /// Whether all of a file is here.
    #[must_use]
    pub fn is_held(&self, digest: &Digest) -> bool {
        files::held(self.dir(), digest).is_ok_and(|(is_whole, _)| is_whole)
    }

    /// Opens a file, if all of it is here.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_file(&self, digest: &Digest) -> std::io::Result<File> {
        File::open(files::path_of(self.dir(), digest))
    }
}

fn artifact(row: &Row<'_>) -> rusqlite::Result<v1::Artifact> {
    Ok(v1::Artifact {
        name: row.get(0)?,
        kind: row.get(1)?,
        sha256: row.get(2)?,
        size: row.get(3).map(from_column)?,
        media_type: row.get(4)?,
        description: row.get(5)?,
        width: row.get(6)?,
        height: row.get(7)?,
        schema_type: row.get(8)?,
        time_unix_nano: row.get(9).map(from_column)?,
        is_held: false,
    })
}
