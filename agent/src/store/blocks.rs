//! The files that hold the blocks.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::Row;
use uuid::Uuid;

use crate::record::wire::hex16;

use super::{
    Writer,
    index::{from_column, make_private_dir},
};

/// No block is larger than this when decompressed; what claims to be is damaged.
pub(super) const MAX_BLOCK_BYTES: u64 = 64 << 20;

/// The file that holds a run's blocks of one writer, relative to the store's directory.
pub(super) fn file_of(run_id: &str, writer: &Writer) -> String {
    let (high, low) = Uuid::from_bytes(*writer).as_u64_pair();
    let [high, low] = [hex16(high), hex16(low)];
    format!("{}/{}{}", folder_of(run_id), String::from_utf8_lossy(&high), String::from_utf8_lossy(&low))
}

/// The folder that holds a run's blocks, relative to the store's directory.
pub(super) fn folder_of(run_id: &str) -> String {
    format!("runs/{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, run_id.as_bytes()).simple())
}

/// A file that blocks are being added to.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    file: File,
}

impl BlockFile {
    /// Opens the file, making it and its folders where there are none.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = match open() {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    make_private_dir(folder)?;
                }
                open()?
            }
            opened => opened?,
        };
        Ok(Self { path, file })
    }

    /// Writes a block, over whatever a crash left there.
    pub(super) fn write(&self, block: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(block, offset)
    }

    /// Makes the blocks durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes the file's name durable, and its folder's.
    pub(super) fn sync_name(&self) -> io::Result<()> {
        // The file, its run's folder, `runs`: two names.
        self.path.ancestors().skip(1).take(2).try_for_each(|folder| File::open(folder)?.sync_all())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What [`Block::of`] reads.
pub(super) const BLOCK: &str =
    "SELECT blocks.id, path, offset, length, uncompressed FROM blocks JOIN files ON files.id = blocks.file";

/// A block that the index names.
pub(super) struct Block {
    pub(super) id: i64,
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    length: u64,
    uncompressed: u64,
}

impl Block {
    /// A row of [`BLOCK`], in the store in that directory.
    pub(super) fn of(dir: &Path, row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            path: dir.join(row.get::<_, String>(1)?),
            offset: from_column(row.get(2)?),
            length: from_column(row.get(3)?),
            uncompressed: from_column(row.get(4)?),
        })
    }

    /// Its bytes as they were stored.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        read(&self.path, self.offset, usize::try_from(self.length.min(MAX_BLOCK_BYTES)).unwrap_or(0))
    }

    /// The request in its bytes.
    pub(super) fn request(&self, stored: &[u8]) -> io::Result<Vec<u8>> {
        decompress(stored, self.uncompressed)
    }
}

/// Reads a block's bytes as they were stored.
pub(super) fn read(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut block = vec![0; length];
    File::open(path)?.read_exact_at(&mut block, offset)?;
    Ok(block)
}

/// Decompresses a block. `expected` is a hint at its size.
pub(super) fn decompress(block: &[u8], expected: u64) -> io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(usize::try_from(expected.min(MAX_BLOCK_BYTES)).unwrap_or(0));
    zstd::stream::read::Decoder::with_buffer(block)?.take(MAX_BLOCK_BYTES + 1).read_to_end(&mut request)?;
    if request.len() as u64 > MAX_BLOCK_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the block is larger than any block may be"));
    }
    Ok(request)
}
