//! A file system in memory that forgets, reorders and tears what was not synced.
//!
//! It keeps for every file and directory what is durable and which operations came since. A power
//! cut ([`Sim::power_cut`]) applies any subset of those, in any order, each write possibly torn at
//! 512 bytes. A failed sync of a file loses its changes for good, as on Linux. The n-th operation can be made to
//! fail or to be the last of the process.

mod handles;
mod node;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handles::SimDir;
use node::{Folder, Inode};

use super::Dir;

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed: this operation happens by half, and none after it.
    Kill,
    /// This operation fails with this error number.
    Once(i32),
    /// This operation, if it is a write or a sync, and all later ones fail.
    Forever(i32),
    /// This operation and all later ones fail, those that only read too.
    Broken(i32),
    /// From here on no write takes more than 10 bytes, and every other one is interrupted.
    Short,
    /// This operation panics.
    Panic,
}

/// What locking is worth on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locks {
    /// One holder at a time.
    #[default]
    Honest,
    /// Everybody gets every lock, as on two hosts that mount one NFS with `nolock`.
    Granted,
    /// As on NFS: a file that is open for reading alone can be locked shared alone (EBADF).
    Remote,
    /// No lock can be had (ENOLCK).
    Refused,
}

/// The file system. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Sim {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    folders: Vec<Folder>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    fired: u64,
    dead: bool,
    holders: u64,
    bytes_read: u64,
    renames: Vec<(String, String)>,
    locks: Locks,
    visit: Option<(u64, Visit)>,
    /// Whether another process is at work, which no fault of this one touches.
    elsewhere: bool,
}

/// What another process does in the middle of an operation of this one.
struct Visit(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visit")
    }
}

/// A small generator of reproducible accidents (xorshift64*).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % limit.max(1)
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

impl Sim {
    /// An empty file system.
    pub fn new() -> Sim {
        let world = World { folders: vec![Folder::default()], ..World::default() };
        Sim { world: Arc::new(Mutex::new(world)) }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its root directory.
    pub fn root(&self) -> Arc<dyn Dir> {
        Arc::new(SimDir { sim: self.clone(), folder: 0, path: PathBuf::from("/sim") })
    }

    /// Makes `fault` happen at the operation with this number, counted from now on.
    pub fn inject(&self, operation: u64, fault: Fault) {
        let mut world = self.lock();
        world.fault = Some((world.operations + operation, fault));
        world.fired = 0;
    }

    /// Lets another process do `work` just before the operation with this number, counted from now
    /// on. Its own operations are not counted and never fail.
    pub fn meanwhile(&self, operation: u64, work: impl FnOnce() + Send + 'static) {
        let mut world = self.lock();
        world.visit = Some((world.operations + operation, Visit(Box::new(work))));
    }

    /// Does `work` as another process, at once: it lives even where this one was killed.
    pub fn elsewhere<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = std::mem::replace(&mut self.lock().elsewhere, true);
        let outcome = work();
        self.lock().elsewhere = before;
        outcome
    }

    /// Makes locks worth as much as this from now on.
    pub fn set_locks(&self, locks: Locks) {
        self.lock().locks = locks;
    }

    /// Stops injecting; returns how often the fault fired.
    pub fn heal(&self) -> u64 {
        let mut world = self.lock();
        (world.fault, world.visit) = (None, None);
        world.fired
    }

    /// Begins an operation: lets whoever is due do its work, then counts and perhaps fails. Says
    /// whether the process dies in it.
    fn begin(&self, writes: bool) -> io::Result<(MutexGuard<'_, World>, bool)> {
        let due = self.lock().due();
        if let Some(Visit(work)) = due {
            self.elsewhere(work);
        }
        let mut world = self.lock();
        let killed = world.begin(writes)?;
        Ok((world, killed))
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Bytes of files that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// Every renaming so far: from, to.
    pub fn renames(&self) -> Vec<(String, String)> {
        self.lock().renames.clone()
    }

    /// What the next process finds after this one died: everything written, no lock held.
    pub fn process_death(&self) -> Sim {
        let world = self.lock();
        let next = Sim::new();
        {
            let mut after = next.lock();
            after.inodes = world.inodes.iter().map(Inode::after_death).collect();
            after.folders = world.folders.clone();
        }
        next
    }

    /// What is on the disk after the power went; `seed` chooses the accident.
    pub fn power_cut(&self, seed: u64) -> Sim {
        let world = self.lock();
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let next = Sim::new();
        {
            let mut after = next.lock();
            after.inodes = world.inodes.iter().map(|i| i.after_power_cut(&mut chance)).collect();
            after.folders = world.folders.iter().map(|f| f.after_power_cut(&mut chance)).collect();
        }
        next
    }

    /// Flips one bit of a file; false where it does not reach so far.
    pub fn flip(&self, folder: &str, name: &str, bit: u64) -> bool {
        let mut world = self.lock();
        let Some(inode) = world.find(folder, name) else { return false };
        let content = &mut world.inodes[inode].current;
        match content.get_mut((bit / 8) as usize) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => return false,
        }
        true
    }

    /// Replaces the content of a file.
    pub fn set(&self, folder: &str, name: &str, content: &[u8]) {
        let mut world = self.lock();
        if let Some(inode) = world.find(folder, name) {
            world.inodes[inode].current = content.to_vec();
        }
    }

    /// Makes every read of a file fail (EIO), or no more.
    pub fn set_broken(&self, folder: &str, name: &str, broken: bool) {
        let mut world = self.lock();
        if let Some(inode) = world.find(folder, name) {
            world.inodes[inode].broken = broken;
        }
    }

    /// Every file: directory, name and content.
    pub fn files(&self) -> Vec<(String, String, Vec<u8>)> {
        let world = self.lock();
        let mut files = Vec::new();
        for (folder, index) in world.folders[0].folders() {
            for (name, inode) in world.folders[index].files() {
                files.push((folder.clone(), name, world.inodes[inode].current.clone()));
            }
        }
        files
    }
}

impl World {
    fn find(&self, folder: &str, name: &str) -> Option<usize> {
        let (_, index) =
            self.folders[0].folders().into_iter().find(|(known, _)| known == folder)?;
        let files = self.folders[index].files();
        files.into_iter().find(|(known, _)| known == name).map(|(_, inode)| inode)
    }

    fn due(&mut self) -> Option<Visit> {
        let is_due = !self.elsewhere && !self.dead;
        self.visit.take_if(|(at, _)| is_due && *at == self.operations + 1).map(|(_, visit)| visit)
    }

    /// Counts an operation: an error if it must fail, else whether the process dies in it.
    fn begin(&mut self, writes: bool) -> io::Result<bool> {
        if self.elsewhere {
            return Ok(false);
        }
        if self.dead {
            return Err(io::Error::other("the process was killed"));
        }
        self.operations += 1;
        let Some((at, fault)) = self.fault else { return Ok(false) };
        match fault {
            Fault::Kill if self.operations == at => {
                (self.dead, self.fired) = (true, self.fired + 1);
                Ok(true)
            }
            Fault::Panic if self.operations == at => {
                self.fired += 1;
                panic!("operation {at} was told to");
            }
            Fault::Once(errno) if self.operations == at => {
                self.fired += 1;
                Err(io::Error::from_raw_os_error(errno))
            }
            Fault::Forever(errno) if self.operations >= at && writes => {
                self.fired += 1;
                Err(io::Error::from_raw_os_error(errno))
            }
            Fault::Broken(errno) if self.operations >= at => {
                self.fired += 1;
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(false),
        }
    }

    /// How many of `length` bytes a write takes now.
    fn accepted(&mut self, length: usize) -> io::Result<usize> {
        match self.fault {
            Some((at, Fault::Short)) if self.operations >= at && !self.elsewhere => {
                self.fired += 1;
                if self.fired.is_multiple_of(2) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(length.min(10))
            }
            _ => Ok(length),
        }
    }
}
