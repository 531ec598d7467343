//! The cache itself: a directory with one directory per table.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::format::{Durability, MAX_COMMIT_ROWS, Shape};
use super::lock::unheld;
use super::manifest::Manifest;
use super::names::{MANIFEST, TEMPORARY, hex, is_table};
use super::problem;
use super::storage::{Absent, Dir, Disk, random, read_exact_at, write_all_at};
use super::table::Table;
use crate::error::{Error, Result};

const CREATE_ATTEMPTS: usize = 8;
const NOT_OURS: [i32; 3] =
    [Errno::ACCESS.raw_os_error(), Errno::PERM.raw_os_error(), Errno::NOENT.raw_os_error()];
const PATIENCE: Duration = Duration::from_secs(10);

/// An open cache.
#[derive(Debug)]
pub struct Cache {
    root: Arc<dyn Dir>,
    writable: std::result::Result<(), String>,
    durability: Durability,
    /// How long maintenance waits for other maintenance.
    pub patience: Duration,
    /// Rows of one commit at most: what the format allows, unless a test wants small ones.
    pub commit_rows: usize,
}

/// A table as `ls` finds it.
#[derive(Debug)]
pub struct Listed {
    /// The name of its directory: the digest of the recipe in hex.
    pub name: String,
    /// Its manifest, if it is intact.
    pub manifest: Option<Manifest>,
}

impl Cache {
    /// Opens the cache in `path`, which is made if it is missing and `read_only` is not asked for.
    /// A place that cannot be written is opened read-only; a missing one is then empty.
    pub fn open(path: &Path, read_only: bool, durability: Durability) -> Result<Cache> {
        let mut writable = if read_only { Err("opened with read_only".to_owned()) } else { Ok(()) };
        let fail =
            |error| problem::io(&Absent(PathBuf::new()), "open", &path.to_string_lossy(), &error);
        let root: Arc<dyn Dir> = match Disk::open(path, false) {
            Ok(root) => Arc::new(root),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = writable.clone().map_err(io::Error::other);
                match made.and_then(|()| Disk::open(path, true)) {
                    Ok(root) => Arc::new(root),
                    Err(error) if read_only || is_refusal(&error) => {
                        writable = writable.and_then(|()| Err(error.to_string()));
                        Arc::new(Absent(path.to_owned()))
                    }
                    Err(error) => return Err(fail(error)),
                }
            }
            Err(error) => return Err(fail(error)),
        };
        Ok(Cache { writable, ..Cache::on(root, durability) })
    }

    /// A cache on any storage, for tests of the storage.
    pub fn on(root: Arc<dyn Dir>, durability: Durability) -> Cache {
        let commit_rows = MAX_COMMIT_ROWS as usize;
        Cache { root, writable: Ok(()), durability, patience: PATIENCE, commit_rows }
    }

    /// Why it cannot be written, if it cannot.
    pub fn writable(&self) -> &std::result::Result<(), String> {
        &self.writable
    }

    /// The table of `recipe` (canonical JSON). `info` is recorded when the table is new.
    pub fn table(&self, recipe: &[u8], shape: Shape, info: &[u8]) -> Result<Table> {
        let manifest = Manifest::new(shape, recipe, info)?;
        let name = hex(&manifest.id);
        let (dir, writable) = self.table_dir(&name)?;
        if writable.is_ok() {
            sweep(&*dir);
        }
        let stored = self.manifest_on_disk(&*dir, &manifest, writable.is_ok())?;
        if stored.shape != shape {
            let (have, want) = (stored.shape, shape);
            return Err(Error::Shape(format!(
                "the table of this recipe holds dim={} {}, asked for dim={} {}",
                have.dim,
                have.dtype.name(),
                want.dim,
                want.dtype.name()
            )));
        }
        let _ = dir.touch(MANIFEST);
        Ok(self.opened(dir, stored, writable))
    }

    fn opened(
        &self,
        dir: Arc<dyn Dir>,
        manifest: Manifest,
        writable: std::result::Result<(), String>,
    ) -> Table {
        let home = Arc::clone(&self.root);
        let mut table = Table::new(dir, home, manifest, writable, self.durability);
        table.commit_rows = self.commit_rows.clamp(1, MAX_COMMIT_ROWS as usize);
        table
    }

    /// The table in the directory `name`, if it has an intact manifest.
    pub fn open_table(&self, name: &str) -> Result<Option<Table>> {
        if !is_table(name) {
            return Ok(None);
        }
        let dir = match self.root.subdir(name, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => outcome.map_err(|error| problem::io(&*self.root, "open", name, &error))?,
        };
        let manifest = read_manifest(&*dir)?;
        Ok(manifest.map(|manifest| self.opened(dir, manifest, self.writable.clone())))
    }

    /// Every table, sorted by name.
    pub fn tables(&self) -> Result<Vec<Listed>> {
        let tables = self.table_names()?.into_iter();
        tables
            .map(|name| {
                let manifest = match self.root.subdir(&name, false) {
                    Ok(dir) => read_manifest(&*dir),
                    Err(error) => Err(problem::io(&*self.root, "open", &name, &error)),
                };
                match manifest {
                    Ok(manifest) => Ok(Listed { name, manifest }),
                    // Somebody else's, or gone by now: the others are listed all the same.
                    Err(Error::CacheIo { errno, .. }) if NOT_OURS.contains(&errno) => {
                        Ok(Listed { name, manifest: None })
                    }
                    Err(error) => Err(error),
                }
            })
            .collect()
    }

    /// Whether its file system makes names durable when it is asked to; true where that cannot be
    /// told.
    pub fn syncs_folders(&self) -> bool {
        self.root.can_sync().unwrap_or(true)
    }

    /// The directory of the cache.
    pub fn root(&self) -> &Arc<dyn Dir> {
        &self.root
    }

    fn table_dir(&self, name: &str) -> Result<(Arc<dyn Dir>, std::result::Result<(), String>)> {
        let fail = |error: io::Error| problem::io(&*self.root, "open", name, &error);
        match self.root.subdir(name, false) {
            Ok(dir) => return Ok((dir, self.writable.clone())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            Err(_) => {}
        }
        let absent = || Arc::new(Absent(self.root.path().join(name)));
        if let Err(why) = &self.writable {
            return Ok((absent(), Err(why.clone())));
        }
        match self.root.subdir(name, true) {
            Ok(dir) => Ok((dir, Ok(()))),
            Err(error) if is_refusal(&error) => Ok((absent(), Err(error.to_string()))),
            Err(error) => Err(fail(error)),
        }
    }

    /// The manifest on disk, which is written first where it is missing or damaged.
    fn manifest_on_disk(
        &self,
        dir: &dyn Dir,
        wanted: &Manifest,
        writable: bool,
    ) -> Result<Manifest> {
        for _ in 0..CREATE_ATTEMPTS {
            match read_manifest(dir)? {
                Some(stored) if stored.id == wanted.id => return Ok(stored),
                _ if !writable => return Ok(wanted.clone()),
                _ => {}
            }
            match write_manifest(dir, wanted) {
                Ok(()) => return Ok(wanted.clone()),
                // Somebody else was quicker, or swept the temporary file away.
                Err(error) if is_race(&error) => {}
                Err(error) if is_refusal(&error) => return Ok(wanted.clone()),
                Err(error) => {
                    let error = problem::io(dir, "write", MANIFEST, &error);
                    return Err(problem::needing(error, wanted.encode().len()));
                }
            }
        }
        Err(Error::Internal(format!("{}: the manifest keeps vanishing", dir.path().display())))
    }
}

/// The manifest in a table's directory; None where it is missing or damaged.
///
/// # Errors
/// Where it cannot be read, which says nothing about what it holds.
pub fn read_manifest(dir: &dyn Dir) -> Result<Option<Manifest>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = dir.open(MANIFEST)?;
        let length = file.len()?.min(Manifest::MAX_BYTES as u64 + 1) as usize;
        let mut bytes = vec![0; length];
        read_exact_at(&*file, &mut bytes, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Manifest::decode(&bytes, &dir.path().join(MANIFEST).to_string_lossy()),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(problem::io(dir, "read", MANIFEST, &error)),
    }
}

fn write_manifest(dir: &dyn Dir, manifest: &Manifest) -> io::Result<()> {
    let temporary = format!("{TEMPORARY}{}", hex(&random()?));
    let file = dir.create(&temporary)?;
    let _ = file.try_lock();
    let written = write_all_at(&*file, &manifest.encode(), 0)
        .and_then(|()| file.sync())
        .and_then(|()| match read_manifest(dir) {
            Ok(Some(stored)) if stored.id == manifest.id => Ok(()),
            Ok(_) => dir.remove(MANIFEST).or_else(ignore_missing),
            Err(error) => Err(io::Error::other(error)),
        })
        .and_then(|()| dir.rename(&temporary, MANIFEST))
        .and_then(|()| dir.sync());
    if written.is_err() {
        let _ = dir.remove(&temporary);
    }
    written
}

/// Removes temporary files whose writers are gone; each stays locked until it is removed.
fn sweep(dir: &dyn Dir) {
    for name in dir.list().unwrap_or_default().iter().filter(|name| name.starts_with(TEMPORARY)) {
        if let Ok(Some(_held)) = unheld(dir, name) {
            let _ = dir.remove(name);
        }
    }
}

/// Whether a file is not there, or was cut while it was read.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn is_race(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
}

/// Whether the place refuses writing, as opposed to failing at it.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
