//! A file of the simulated disk.

use std::{
    io::{self, IoSlice},
    path::Path,
};

use super::{Change, FaultKind, Sim, StoredFile};

pub(super) struct SimFile {
    pub(super) sim: Sim,
    pub(super) inode: usize,
}

impl StoredFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let mut world = self.sim.world();
        world.operate_or_fail("length")?;
        Ok(world.inodes[self.inode].content.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.sim.world();
        let fault = world.operate("read_at");
        let content = &world.inodes[self.inode].content;
        let there = content.get(offset as usize..).unwrap_or_default();
        let mut length = there.len().min(bytes.len());
        match fault {
            Some(FaultKind::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(FaultKind::Short) => length = length.div_ceil(2),
            Some(kind) => kind.fail()?,
            None => {}
        }
        bytes[..length].copy_from_slice(&there[..length]);
        world.read_bytes += length as u64;
        Ok(length)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut world = self.sim.world();
        let fault = world.operate("write_at");
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let left = world.free_bytes() as usize;
        let fault = if fault.is_none() && left == 0 { Some(FaultKind::Full) } else { fault };
        match fault {
            Some(FaultKind::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(FaultKind::ReadOnly) => return FaultKind::ReadOnly.fail().map(|()| 0),
            Some(_) => bytes.truncate(bytes.len().div_ceil(2)),
            None => bytes.truncate(left),
        }
        if left > 0 {
            let written = bytes.len();
            let change = Change::Write(offset, bytes);
            change.apply(&mut world.inodes[self.inode].content);
            world.inodes[self.inode].changes.push(change);
            fault.map_or(Ok(()), FaultKind::fail)?;
            return Ok(written);
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut world = self.sim.world();
        world.operate_or_fail("set_length")?;
        let change = Change::Length(length);
        change.apply(&mut world.inodes[self.inode].content);
        world.inodes[self.inode].changes.push(change);
        Ok(())
    }

    fn take_up(&self, length: u64) -> io::Result<()> {
        let mut world = self.sim.world();
        world.operate_or_fail("take_up")?;
        if world.free_bytes() < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let change = Change::Length(length);
        change.apply(&mut world.inodes[self.inode].content);
        world.inodes[self.inode].changes.push(change);
        Ok(())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let mut world = self.sim.world();
        world.operate_or_fail("is_at")?;
        Ok(world.names.get(path) == Some(&self.inode))
    }

    fn sync(&self) -> io::Result<()> {
        let (slow, ended) = &*self.sim.slow;
        drop(ended.wait_while(slow.lock().unwrap(), |is_slow| *is_slow).unwrap());
        let mut world = self.sim.world();
        let fault = world.operate("sync");
        let inode = &mut world.inodes[self.inode];
        let changes = std::mem::take(&mut inode.changes);
        // The kernel has dropped them and will not try again.
        fault.map_or(Ok(()), FaultKind::fail)?;
        for change in changes {
            change.apply(&mut inode.synced);
        }
        Ok(())
    }
}
