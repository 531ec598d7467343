//! The cache itself: a directory with one directory per table.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::format::Shape;
use super::manifest::Manifest;
use super::problem;
use super::storage::{Absent, Dir, Disk, read_exact_at, write_all_at};
use super::table::Table;
use crate::error::{Error, Result};

/// The name of the manifest in a table's directory.
pub const MANIFEST: &str = "table";
/// What names of unfinished manifests begin with.
pub const TEMPORARY: &str = "tmp-";
const CREATE_ATTEMPTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// What an acknowledged row survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process and a power cut.
    #[default]
    Batch,
    /// The death of the process only: nothing is synced.
    Process,
}

/// An open cache.
#[derive(Debug)]
pub struct Cache {
    root: Arc<dyn Dir>,
    writable: std::result::Result<(), String>,
    durability: Durability,
    /// How long maintenance waits for other maintenance.
    pub patience: Duration,
}

/// A table as `ls` finds it.
#[derive(Debug)]
pub struct Found {
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
        Ok(Cache { root, writable, durability, patience: PATIENCE })
    }

    /// A cache on any storage, for tests of the storage.
    pub fn on(root: Arc<dyn Dir>, durability: Durability) -> Cache {
        Cache { root, writable: Ok(()), durability, patience: PATIENCE }
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
        let stored = self.settle(&*dir, &manifest, writable.is_ok())?;
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
        Ok(Table::new(dir, Arc::clone(&self.root), stored, writable, self.durability))
    }

    /// The table in the directory `name`, if it has an intact manifest.
    pub fn open_table(&self, name: &str) -> Result<Option<Table>> {
        let Some(found) = self.tables()?.into_iter().find(|found| found.name == name) else {
            return Ok(None);
        };
        let Some(manifest) = found.manifest else { return Ok(None) };
        let dir = self.root.subdir(name, false);
        let dir = dir.map_err(|error| problem::io(&*self.root, "open", name, &error))?;
        let home = Arc::clone(&self.root);
        Ok(Some(Table::new(dir, home, manifest, self.writable.clone(), self.durability)))
    }

    /// Every table, sorted by name.
    pub fn tables(&self) -> Result<Vec<Found>> {
        let names = match self.root.list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            outcome => outcome.map_err(|error| problem::io(&*self.root, "list", "", &error))?,
        };
        let tables = names.into_iter().filter(|name| is_table(name));
        tables
            .map(|name| {
                let manifest = match self.root.subdir(&name, false) {
                    Ok(dir) => read_manifest(&*dir)?,
                    Err(_) => None,
                };
                Ok(Found { name, manifest })
            })
            .collect()
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
    fn settle(&self, dir: &dyn Dir, wanted: &Manifest, writable: bool) -> Result<Manifest> {
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
        Err(_) => Ok(None),
    }
}

fn write_manifest(dir: &dyn Dir, manifest: &Manifest) -> io::Result<()> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let temporary = format!("{TEMPORARY}{}", hex(&random));
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

/// Removes temporary files whose writers are gone.
fn sweep(dir: &dyn Dir) {
    for name in dir.list().unwrap_or_default() {
        let is_orphan = || dir.open(&name).and_then(|file| file.try_lock()).unwrap_or(false);
        if name.starts_with(TEMPORARY) && is_orphan() {
            let _ = dir.remove(&name);
        }
    }
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

/// Whether a name in the root is the name of a table.
pub fn is_table(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
