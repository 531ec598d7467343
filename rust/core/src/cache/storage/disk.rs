//! The real file system, through descriptors relative to an open directory.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{Dir, File, Identity};
use crate::cache::mapping::{Map, Window};

/// File systems on which a mapping may lag behind or fault when the server says so.
#[cfg(target_os = "linux")]
const NETWORK_MAGICS: [u32; 8] = [
    0x6969,      // NFS
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB2
    0x0102_1997, // 9P
    0x6573_5546, // FUSE
    0x0BD0_0BD0, // Lustre
    0x0047_6673, // GPFS
    0x00C3_6400, // Ceph
];

/// A directory on disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    fd: OwnedFd,
    maps: bool,
}

impl Disk {
    /// Opens a directory; with `create` it and its parents are made where missing.
    pub fn open(path: &Path, create: bool) -> io::Result<Disk> {
        if create {
            make(path)?;
        }
        let fd = fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Disk { path: path.to_owned(), maps: is_local(&fd), fd })
    }

    fn file(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<Arc<dyn File>> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = fs::openat(&self.fd, name, flags, mode)?;
        Ok(Arc::new(DiskFile { fd, maps: self.maps }))
    }
}

/// Makes a directory and its parents, each durable in the one above it. Who may read and write them
/// is for the umask to say, as for the files in them.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make(parent)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => sync_folder(&fd).map(drop),
        Err(Errno::ACCESS) => Ok(()), // it can be passed through, and not be opened
        Err(error) => Err(error.into()),
    }
}

/// Syncs a directory; false where the file system has no such thing, as some on a network: names are
/// then as durable as it makes them by itself, and there is nothing better to be had.
fn sync_folder(fd: &OwnedFd) -> io::Result<bool> {
    match full_sync(fd) {
        Ok(()) => Ok(true),
        Err(error) if REFUSALS.contains(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What file systems say that do not know an operation.
const REFUSALS: [Errno; 5] =
    [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOTTY];

#[cfg(not(target_vendor = "apple"))]
fn full_sync(fd: &OwnedFd) -> rustix::io::Result<()> {
    fs::fsync(fd)
}

/// On a Mac `fsync` leaves the data in the memory of the drive.
#[cfg(target_vendor = "apple")]
fn full_sync(fd: &OwnedFd) -> rustix::io::Result<()> {
    match fs::fcntl_fullfsync(fd) {
        Err(error) if REFUSALS.contains(&error) => fs::fsync(fd),
        outcome => outcome,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn data_sync(fd: &OwnedFd) -> rustix::io::Result<()> {
    fs::fdatasync(fd)
}

#[cfg(target_vendor = "apple")]
fn data_sync(fd: &OwnedFd) -> rustix::io::Result<()> {
    full_sync(fd)
}

#[cfg(target_os = "linux")]
fn is_local(fd: &OwnedFd) -> bool {
    let forced = std::env::var_os("TLENGINE_CACHE_NO_MMAP").is_some();
    !forced && fs::fstatfs(fd).is_ok_and(|s| !NETWORK_MAGICS.contains(&(s.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_fd: &OwnedFd) -> bool {
    std::env::var_os("TLENGINE_CACHE_NO_MMAP").is_none()
}

impl Dir for Disk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Dir>> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if create {
            match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => self.sync()?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let fd = fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Arc::new(Disk { path: self.path.join(name), maps: self.maps, fd }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let is_name = |name: &CStr| name != c"." && name != c"..";
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            if is_name(entry.file_name()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_size as u64)
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        Ok(identity(&fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, OFlags::RDONLY, Mode::empty())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o666))
    }

    fn edit(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, OFlags::RDWR, Mode::empty())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match fs::renameat_with(&self.fd, from, &self.fd, to, fs::RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            outcome => return Ok(outcome?),
        }
        fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
        self.remove(from)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.fd).map(drop)
    }

    fn can_sync(&self) -> io::Result<bool> {
        sync_folder(&self.fd)
    }

    fn touch(&self, name: &str) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        Ok(fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn idle_seconds(&self, name: &str) -> io::Result<u64> {
        let seconds = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(now.map_or(0, |now| now.as_secs().saturating_sub(seconds.max(0) as u64)))
    }

    fn free_bytes(&self) -> u64 {
        fs::fstatvfs(&self.fd).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }
}

#[derive(Debug)]
struct DiskFile {
    fd: OwnedFd,
    maps: bool,
}

fn identity(stat: &fs::Stat) -> Identity {
    (i128::from(stat.st_dev), stat.st_ino) // a device has 32 bits and a sign on a Mac
}

impl DiskFile {
    /// Whether the lock was to be had.
    fn flock(&self, operation: FlockOperation) -> io::Result<bool> {
        match fs::flock(&self.fd, operation) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        let stat = fs::fstat(&self.fd)?;
        if !fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(stat.st_size as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(identity(&fs::fstat(&self.fd)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.fd, buffer, offset)?)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwrite(&self.fd, bytes, offset)?)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        Ok(fs::ftruncate(&self.fd, length)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(data_sync(&self.fd)?)
    }

    fn protect(&self) -> io::Result<()> {
        let mode = Mode::from_raw_mode(fs::fstat(&self.fd)?.st_mode & 0o444);
        Ok(fs::fchmod(&self.fd, mode)?)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.flock(FlockOperation::NonBlockingLockExclusive)
    }

    fn try_share(&self) -> io::Result<bool> {
        self.flock(FlockOperation::NonBlockingLockShared)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(&self.fd, FlockOperation::Unlock)?)
    }

    fn map(&self, length: usize) -> io::Result<Option<Map>> {
        if self.maps { Map::new(self.fd.as_fd(), length).map(Some) } else { Ok(None) }
    }

    fn window(&self) -> Option<Arc<Window>> {
        let length = usize::try_from(self.len().ok().filter(|_| self.maps)?).ok()?;
        Window::new(self.fd.as_fd(), length).ok().flatten().map(Arc::new)
    }
}
