//! The open files and directories of the simulated file system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::node::{Folder, Inode, Target};
use super::{Locks, Sim, World};
use crate::cache::mapping::{Map, Window};
use crate::cache::storage::{Dir, File, Identity};

#[derive(Debug)]
pub struct SimDir {
    pub sim: Sim,
    pub folder: usize,
    pub path: PathBuf,
}

fn refuse<T>(error: Errno) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(error.raw_os_error()))
}

impl SimDir {
    fn target(&self, world: &World, name: &str) -> Option<Target> {
        world.folders[self.folder].names.get(name).copied()
    }

    fn file(&self, world: &mut World, name: &str, writes: bool) -> io::Result<Arc<dyn File>> {
        world.holders += 1;
        let holder = world.holders;
        match self.target(world, name) {
            Some(Target::File(inode)) => {
                Ok(Arc::new(SimFile { sim: self.sim.clone(), inode, holder, writes }))
            }
            Some(Target::Folder(_)) => refuse(Errno::ISDIR),
            None => refuse(Errno::NOENT),
        }
    }
}

impl Dir for SimDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Dir>> {
        let (mut world, killed) = self.sim.begin(create)?;
        let folder = match self.target(&world, name) {
            Some(Target::Folder(folder)) => folder,
            Some(Target::File(_)) => return refuse(Errno::NOTDIR),
            None if create => {
                let folder = world.folders.len();
                world.folders.push(Folder::default());
                world.folders[self.folder].add(name, Target::Folder(folder));
                if !killed {
                    world.folders[self.folder].sync();
                }
                folder
            }
            None => return refuse(Errno::NOENT),
        };
        Ok(Arc::new(SimDir { sim: self.sim.clone(), folder, path: self.path.join(name) }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let (world, _) = self.sim.begin(false)?;
        Ok(world.folders[self.folder].names.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.open(name)?.len()
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        let (world, _) = self.sim.begin(false)?;
        match self.target(&world, name) {
            Some(Target::File(inode)) => Ok((0, inode as u64)),
            Some(Target::Folder(folder)) => Ok((1, folder as u64)),
            None => refuse(Errno::NOENT),
        }
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (mut world, _) = self.sim.begin(false)?;
        self.file(&mut world, name, false)
    }

    fn edit(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (mut world, _) = self.sim.begin(false)?;
        self.file(&mut world, name, true)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (mut world, _) = self.sim.begin(true)?;
        if self.target(&world, name).is_some() {
            return refuse(Errno::EXIST);
        }
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.folders[self.folder].add(name, Target::File(inode));
        self.file(&mut world, name, true)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut world, _) = self.sim.begin(true)?;
        match (self.target(&world, from), self.target(&world, to)) {
            (None, _) => refuse(Errno::NOENT),
            (_, Some(_)) => refuse(Errno::EXIST),
            (Some(target), None) => {
                world.folders[self.folder].rename(from, to, target);
                world.renames.push((from.to_owned(), to.to_owned()));
                Ok(())
            }
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut world, _) = self.sim.begin(true)?;
        let Some(Target::File(_)) = self.target(&world, name) else {
            return refuse(Errno::NOENT);
        };
        world.folders[self.folder].remove(name);
        Ok(())
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        let (mut world, _) = self.sim.begin(true)?;
        match self.target(&world, name) {
            Some(Target::Folder(folder)) if world.folders[folder].names.is_empty() => {
                world.folders[self.folder].remove(name);
                Ok(())
            }
            Some(_) => refuse(Errno::NOTEMPTY),
            None => refuse(Errno::NOENT),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, killed) = self.sim.begin(true)?;
        if !killed {
            world.folders[self.folder].sync();
        }
        Ok(())
    }

    fn can_sync(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn touch(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn idle_seconds(&self, _name: &str) -> io::Result<u64> {
        Ok(0)
    }

    fn free_bytes(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct SimFile {
    sim: Sim,
    inode: usize,
    holder: u64,
    /// Whether it is open for writing.
    writes: bool,
}

impl SimFile {
    fn lock(&self, shared: bool) -> io::Result<bool> {
        let (mut world, _) = self.sim.begin(false)?;
        match world.locks {
            Locks::Granted => return Ok(true),
            Locks::Refused => return refuse(Errno::NOLCK),
            Locks::Remote if !shared && !self.writes => return refuse(Errno::BADF),
            Locks::Honest | Locks::Remote => {}
        }
        let Inode { holder, sharers, .. } = &mut world.inodes[self.inode];
        let is_other = |holder: &u64| *holder != self.holder;
        if holder.as_ref().is_some_and(is_other) || !shared && sharers.iter().any(is_other) {
            return Ok(false);
        }
        if shared {
            sharers.insert(self.holder);
        } else {
            *holder = Some(self.holder);
        }
        Ok(true)
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let (world, _) = self.sim.begin(false)?;
        Ok(world.inodes[self.inode].current.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        drop(self.sim.begin(false)?);
        Ok((0, self.inode as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut world, _) = self.sim.begin(false)?;
        if world.inodes[self.inode].broken {
            return refuse(Errno::IO);
        }
        let content = &world.inodes[self.inode].current;
        let rest = content.get(offset as usize..).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        world.bytes_read += length as u64;
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut world, killed) = self.sim.begin(true)?;
        let length = world.accepted(bytes.len())?;
        let length = if killed { length / 2 } else { length };
        world.inodes[self.inode].write(offset as usize, &bytes[..length]);
        Ok(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let (mut world, _) = self.sim.begin(false)?; // giving space back needs none
        world.inodes[self.inode].cut(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match self.sim.begin(true) {
            Ok((mut world, killed)) if !killed => world.inodes[self.inode].sync(),
            Ok(_) => {}
            Err(error) => {
                self.sim.lock().inodes[self.inode].fail_sync();
                return Err(error);
            }
        }
        Ok(())
    }

    fn protect(&self) -> io::Result<()> {
        drop(self.sim.begin(true)?);
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.lock(false)
    }

    fn try_share(&self) -> io::Result<bool> {
        self.lock(true)
    }

    fn unlock(&self) -> io::Result<()> {
        let (mut world, _) = self.sim.begin(false)?;
        world.inodes[self.inode].unlock(self.holder);
        Ok(())
    }

    fn map(&self, _length: usize) -> io::Result<Option<Map>> {
        Ok(None)
    }

    fn window(&self) -> Option<Arc<Window>> {
        None
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.sim.lock().inodes[self.inode].unlock(self.holder);
    }
}
