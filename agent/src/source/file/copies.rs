//! Files that hold the same bytes as one that is read: the copies that a rotation by copy and truncation makes, before
//! it truncates. Read as files of their own, they would be there twice.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Instant,
};

use tracing::debug;

use super::{
    FileSource,
    bookmark::COMPARED_BYTES,
    disk::{Extent, Handle, folder_of, path_in},
    identity::FileId,
    tail::Tail,
    watch::PathKey,
};

/// Copies that the globs lead to.
#[derive(Debug, Default)]
pub struct Copies {
    by_id: HashMap<FileId, Seen>,
    is_touched: bool,
}

#[derive(Debug)]
struct Seen {
    path: PathBuf,
    of: FileId,
    /// As it was when it was compared. `None` if too little of the other one had been read to be sure, so that it is
    /// compared again.
    extent: Option<Extent>,
}

impl Copies {
    /// Whether that file is one.
    #[must_use]
    pub fn has(&self, id: FileId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether that file is one, and was not written since it was compared.
    #[must_use]
    pub fn is_as_seen(&self, id: FileId, extent: Extent) -> bool {
        self.by_id.get(&id).is_some_and(|seen| seen.extent == Some(extent))
    }

    /// Whether there is one of that file.
    #[must_use]
    pub fn are_of(&self, id: FileId) -> bool {
        self.by_id.values().any(|seen| seen.of == id)
    }

    /// Forgets that a file is one.
    pub fn remove(&mut self, id: FileId) {
        self.by_id.remove(&id);
    }

    /// The kernel told that the file at that path has grown.
    pub fn grown(&mut self, path: PathKey) {
        self.is_touched |= self.by_id.values().any(|seen| PathKey::of(&seen.path) == path);
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl FileSource {
    /// Looks whether copies are still that. One that is none any more is followed as a file of its own.
    pub fn look_at_copies(&mut self) {
        if self.copies.is_empty() || !self.copies.is_touched && self.next_copies > Instant::now() {
            return;
        }
        self.copies.is_touched = false;
        self.next_copies = Instant::now() + self.config.scan;
        let paths: Vec<PathBuf> = self.copies.by_id.values().map(|seen| seen.path.clone()).collect();
        for path in &paths {
            self.find(path, path);
        }
        let disk = &self.disk;
        self.copies.by_id.retain(|_, seen| disk.look(&seen.path).is_ok());
    }

    /// Whether a new file is a copy of one that is read; then it is known as such from now on.
    pub fn is_copy(&mut self, path: &Path, id: FileId, handle: &dyn Handle, extent: Extent) -> bool {
        self.copies.remove(id);
        for original in originals(path) {
            let slot = self.tails.by_path(PathKey::of(&original)).or_else(|| {
                let name = original.file_name().unwrap_or_default();
                let is_wanted = self.globs.lead_to(folder_of(&original), name);
                is_wanted.then(|| self.find(&original, &original)).flatten()
            });
            let Some(tail) = slot.and_then(|slot| self.tails.get(slot)) else { continue };
            if tail.path().as_ref() != original || !self.are_alike(tail, handle, extent.size) {
                continue;
            }
            debug!(path = %path.display(), of = %original.display(), "file is a copy");
            // Were the other one cut before it is read, nothing would tell, and this one be all that is left. Were a few
            // bytes read, another file that begins with them would be taken for a copy.
            let is_certain = tail.offset() > 0 && (tail.print().is_telling() || tail.offset() == extent.size);
            let extent = Some(extent).filter(|_| is_certain);
            self.copies.is_touched |= extent.is_none();
            self.copies.by_id.insert(id, Seen { path: path.to_owned(), of: tail.id(), extent });
            if let Some(slot) = slot {
                // It may have been cut since.
                self.tails.look_now(slot);
            }
            return true;
        }
        false
    }

    /// Whether a file of that size holds what the other one holds, or held when it was read.
    fn are_alike(&self, tail: &Tail, handle: &dyn Handle, size: u64) -> bool {
        let (print, is_unread) = (tail.print(), tail.offset() == 0);
        // What stands there at a start may begin alike. Later a new file of such a name is made of the other one.
        let is_start = self.is_walking && self.walks == 1;
        if is_unread && is_start && size < COMPARED_BYTES as u64 {
            return false;
        }
        let is_like = |other: &dyn Handle| {
            let has_bytes = || !is_unread || other.extent().is_ok_and(|extent| extent.size > 0);
            have_same_ends(handle, other, size) && has_bytes() || print.is_of(handle) && !print.is_of(other)
        };
        match tail.awake() {
            Some(awake) => is_like(awake.handle.as_ref()),
            None => match self.disk.open(tail.path()) {
                Ok(Some((other, id))) if id == tail.id() => is_like(other.as_ref()),
                Ok(_) | Err(_) => false,
            },
        }
    }
}

/// Whether another file has the same bytes where a file of that size begins and ends.
fn have_same_ends(handle: &dyn Handle, other: &dyn Handle, size: u64) -> bool {
    let length = usize::try_from(size).unwrap_or(usize::MAX).min(COMPARED_BYTES);
    let bytes = |of: &dyn Handle, from: u64| {
        let mut bytes = Vec::with_capacity(length);
        of.read_at(from, length, &mut bytes).ok().filter(|()| bytes.len() >= length)?;
        bytes.truncate(length);
        Some(bytes)
    };
    let are_same = |from: u64| bytes(handle, from).is_some_and(|own| bytes(other, from) == Some(own));
    size == 0 || are_same(0) && are_same(size - length as u64)
}

/// The names that a rotation may have made this one of: `a.log` for `a.log.1`, and for `a-1.log`.
fn originals(path: &Path) -> Vec<PathBuf> {
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().as_bytes();
    let ending = name.iter().rposition(|byte| *byte == b'.').map_or(&[][..], |dot| &name[dot..]);
    let is_cut = |at: &usize| *at > 0 && matches!(name[*at], b'.' | b'-' | b'_');
    let cuts = (0..name.len()).filter(is_cut);
    let names = cuts.flat_map(|at| [name[..at].to_vec(), [&name[..at], ending].concat()]);
    names
        .filter(|other| other != name && !other.is_empty())
        .map(|other| path_in(folder, OsStr::from_bytes(&other)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_name_leads_to_the_name_it_was_made_of() {
        for (name, original) in
            [("a.log.1", "a.log"), ("a-1.log", "a.log"), ("a.1.log", "a.log"), ("0.log.2026", "0.log")]
        {
            assert!(originals(&Path::new("/l").join(name)).contains(&Path::new("/l").join(original)), "{name}");
        }
        assert_eq!(originals(Path::new("/l/a")), [] as [PathBuf; 0]);
    }
}
