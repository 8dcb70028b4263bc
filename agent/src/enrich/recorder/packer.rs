//! The thread that compresses blocks, which are many bytes of which most are never read. How many it gets, `pace.rs` says.

use std::{
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use zstd::zstd_safe::compress_bound;

use super::{BLOCK_BYTES, block::Bytes};
use crate::record::batch::compressor;

/// So many blocks may wait. What is more stays as it is: it is forgotten the sooner.
const WAITING: usize = 8;

/// The bytes of a block, by its number.
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

/// The thread, seen from the stage. It ends when this is dropped.
pub(super) struct Packer(Option<(SyncSender<Work>, Receiver<Work>)>);

impl Packer {
    /// Starts it. Where there is no room for a thread, blocks stay as they are.
    pub(super) fn start() -> Self {
        let (to_pack, works) = sync_channel::<Work>(WAITING);
        // Whoever gives blocks takes them back before it gives more than this.
        let (packed, done) = sync_channel(2 * WAITING);
        // Awaited by nobody: what it holds is of use to the recorder alone.
        let started = thread::Builder::new().name("runlog-recorder".into()).spawn(move || {
            let Ok(mut compressor) = compressor() else { return };
            let mut buffer = Vec::with_capacity(compress_bound(BLOCK_BYTES));
            for mut work in works {
                if let Bytes::Raw(raw) = &work.bytes {
                    buffer.clear();
                    buffer.reserve(compress_bound(raw.len()));
                    // In memory of its own size: what a compressor asks for is that of the whole block.
                    if compressor.compress_to_buffer(raw, &mut buffer).is_ok() && buffer.len() < raw.len() {
                        work.bytes = Bytes::Packed(buffer.as_slice().into());
                    }
                    buffer.shrink_to(compress_bound(BLOCK_BYTES));
                }
                if packed.send(work).is_err() {
                    return;
                }
            }
        });
        Self(started.ok().map(|_| (to_pack, done)))
    }

    /// None at all.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Gives it the bytes of a block, which come back if it has enough to do.
    pub(super) fn give(&self, work: Work) -> Result<(), Work> {
        let Some((to_pack, _)) = &self.0 else { return Err(work) };
        to_pack.try_send(work).map_err(|error| match error {
            TrySendError::Full(work) | TrySendError::Disconnected(work) => work,
        })
    }

    /// What it has finished.
    pub(super) fn done(&self) -> Option<Work> {
        self.0.as_ref().and_then(|(_, done)| done.try_recv().ok())
    }

    /// The next one that it finishes. `None` if it is gone.
    pub(super) fn wait(&self) -> Option<Work> {
        self.0.as_ref().and_then(|(_, done)| done.recv().ok())
    }
}
