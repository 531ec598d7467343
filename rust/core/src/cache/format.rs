//! The bytes of the cache, as drawn in `docs/cache-format.md`. All numbers are little-endian.
//!
//! Pure functions from and to byte strings; nothing here allocates more than it is given.

use super::checksum::{Binding, Check, Key, plain};
use crate::error::{Error, Result};

/// The version that is written. Every version up to it can be read.
pub const VERSION: u32 = 1;

/// Bytes before the first row of a rows file: a page, so that rows are aligned when mapped.
pub const ROWS_HEADER: usize = 4096;
/// Bytes before the first commit of a log.
pub const LOG_HEADER: usize = 128;
/// Bytes of a commit before its entries.
pub const COMMIT_HEADER: usize = 64;
/// Bytes of one entry: key, then checksum of the row.
pub const ENTRY: usize = 48;
/// Commits never hold more rows, so a reader's buffer is bounded.
pub const MAX_COMMIT_ROWS: u64 = 65_536;
/// Commits begin at multiples of this.
pub const ALIGNMENT: u64 = 16;
/// The largest row in bytes.
pub const MAX_STRIDE: u64 = 1 << 24;

const ROWS_MAGIC: &[u8; 8] = b"TLEROWS\0";
const LOG_MAGIC: &[u8; 8] = b"TLELOG\0\0";
const COMMIT_MAGIC: &[u8; 4] = b"TLCM";

/// What an acknowledged row survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process and a power cut.
    #[default]
    Batch,
    /// The death of the process only: nothing is synced.
    Process,
}

/// How the numbers of a row are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
}

impl Dtype {
    const ALL: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

    /// The name as users write it.
    pub fn name(self) -> &'static str {
        ["float32", "float16", "bfloat16"][self.code() as usize - 1]
    }

    /// The dtype with this name.
    pub fn parse(name: &str) -> Result<Dtype> {
        Self::ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| {
            Error::Invalid(format!("dtype {name:?} is not one of float32, float16, bfloat16"))
        })
    }

    /// Bytes per number.
    pub fn size(self) -> usize {
        if self == Dtype::F32 { 4 } else { 2 }
    }

    /// The number that stands for it in files.
    pub fn code(self) -> u32 {
        match self {
            Dtype::F32 => 1,
            Dtype::F16 => 2,
            Dtype::Bf16 => 3,
        }
    }

    /// The dtype that a file means by `code`.
    pub fn from_code(code: u32) -> Option<Dtype> {
        Self::ALL.into_iter().find(|d| d.code() == code)
    }
}

/// What all rows of a table have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Numbers per row.
    pub dim: usize,
    /// How each is stored.
    pub dtype: Dtype,
}

impl Shape {
    /// A shape whose rows are between one number and 16 MiB.
    pub fn new(dim: usize, dtype: Dtype) -> Result<Shape> {
        let limit = MAX_STRIDE as usize / dtype.size();
        if dim == 0 || dim > limit {
            return Err(Error::Invalid(format!("dim={dim} is not between 1 and {limit}")));
        }
        Ok(Shape { dim, dtype })
    }

    /// Bytes per row.
    pub fn stride(self) -> usize {
        self.dim * self.dtype.size()
    }

    /// Where row `number` begins in a rows file.
    pub fn offset(self, number: u64) -> u64 {
        ROWS_HEADER as u64 + number * self.stride() as u64
    }
}

/// Which segment a file belongs to: written at the start of both its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The table.
    pub table: Key,
    /// The segment: a sequence number and 8 random bytes, both as in its file name.
    pub segment: [u8; 16],
    /// What its rows look like.
    pub shape: Shape,
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// Written by this version or an older one.
    Valid(Identity),
    /// Intact, but of a version that this code does not know.
    Newer(u32),
    /// Too short or all zero: creation was cut short, most likely before anything was committed.
    Unborn,
    /// Anything else.
    Damaged,
}

impl Identity {
    /// The binding of this segment's checksums.
    pub fn binding(&self) -> Binding {
        Binding::new(&self.table, &self.segment)
    }

    /// The first [`ROWS_HEADER`] bytes of the rows file.
    pub fn rows_header(&self) -> Vec<u8> {
        self.encode(ROWS_MAGIC, ROWS_HEADER)
    }

    /// The first [`LOG_HEADER`] bytes of the log.
    pub fn log_header(&self) -> Vec<u8> {
        self.encode(LOG_MAGIC, LOG_HEADER)
    }

    fn encode(&self, magic: &[u8; 8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..8].copy_from_slice(magic);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.shape.dtype.code().to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.shape.dim as u64).to_le_bytes());
        bytes[24..40].copy_from_slice(&self.segment);
        bytes[40..72].copy_from_slice(&self.table);
        seal(&mut bytes);
        bytes
    }

    /// Reads the header of a rows file.
    pub fn read_rows_header(bytes: &[u8]) -> Header {
        Self::decode(bytes, ROWS_MAGIC, ROWS_HEADER)
    }

    /// Reads the header of a log.
    pub fn read_log_header(bytes: &[u8]) -> Header {
        Self::decode(bytes, LOG_MAGIC, LOG_HEADER)
    }

    fn decode(bytes: &[u8], magic: &[u8; 8], length: usize) -> Header {
        if bytes.len() < length || bytes[..length].iter().all(|b| *b == 0) {
            return Header::Unborn;
        }
        let bytes = &bytes[..length];
        if &bytes[..8] != magic || !is_sealed(bytes) {
            return Header::Damaged;
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Header::Newer(version);
        }
        let shape = Dtype::from_code(u32_at(bytes, 12)).and_then(|dtype| {
            usize::try_from(u64_at(bytes, 16)).ok().and_then(|dim| Shape::new(dim, dtype).ok())
        });
        match shape {
            Some(shape) => Header::Valid(Identity {
                table: array_at(bytes, 40),
                segment: array_at(bytes, 24),
                shape,
            }),
            None => Header::Damaged,
        }
    }
}

/// The fixed part of a commit; its entries follow it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Commit {
    /// The first row that it publishes.
    pub first: u64,
    /// How many rows; 0 for a seal.
    pub rows: u64,
    /// What they cost to compute, in seconds.
    pub seconds: f64,
    /// Whether this is the last commit of its segment.
    pub seal: bool,
    /// Whether everything before it in its segment, and the names of the files, was synced first.
    pub synced: bool,
    /// The checksum of the entries.
    pub entries: Check,
}

impl Commit {
    /// The bytes of the header at `offset` of the log.
    pub fn encode(&self, binding: Binding, offset: u64) -> [u8; COMMIT_HEADER] {
        let mut bytes = [0; COMMIT_HEADER];
        bytes[..4].copy_from_slice(COMMIT_MAGIC);
        let flags = u32::from(self.seal) | (u32::from(self.synced) << 1);
        bytes[4..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.rows.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.entries.to_le_bytes());
        let check = binding.block(offset, &bytes[..48]);
        bytes[48..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The commit whose header lies at `offset`, if these bytes are one.
    pub fn decode(bytes: &[u8], binding: Binding, offset: u64) -> Option<Commit> {
        let bytes = bytes.get(..COMMIT_HEADER)?;
        if &bytes[..4] != COMMIT_MAGIC
            || binding.block(offset, &bytes[..48]) != u128::from_le_bytes(array_at(bytes, 48))
        {
            return None;
        }
        let commit = Commit {
            first: u64_at(bytes, 8),
            rows: u64_at(bytes, 16),
            seconds: f64::from_le_bytes(array_at(bytes, 24)),
            seal: u32_at(bytes, 4) & 1 == 1,
            synced: u32_at(bytes, 4) & 2 == 2,
            entries: u128::from_le_bytes(array_at(bytes, 32)),
        };
        (commit.rows <= MAX_COMMIT_ROWS).then_some(commit)
    }

    /// Bytes of its entries.
    pub fn entry_bytes(&self) -> usize {
        self.rows as usize * ENTRY
    }
}

/// One row as the log lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The sample.
    pub key: Key,
    /// The checksum of the stored row.
    pub check: Check,
}

impl Entry {
    /// The bytes of an entry.
    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..].copy_from_slice(&self.check.to_le_bytes());
        bytes
    }

    /// The entry in the first [`ENTRY`] bytes.
    pub fn decode(bytes: &[u8]) -> Entry {
        Entry { key: array_at(bytes, 0), check: u128::from_le_bytes(array_at(bytes, 32)) }
    }
}

/// Writes the checksum of all bytes before it into the last 16.
pub(super) fn seal(bytes: &mut [u8]) {
    let split = bytes.len() - 16;
    let check = plain(&bytes[..split]);
    bytes[split..].copy_from_slice(&check.to_le_bytes());
}

/// Whether the last 16 bytes are the checksum of those before them.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && {
        let split = bytes.len() - 16;
        plain(&bytes[..split]) == u128::from_le_bytes(array_at(bytes, split))
    }
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}
