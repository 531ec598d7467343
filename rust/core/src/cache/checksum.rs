//! The checksums of the format: XXH3-128, each bound to the place that it protects.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

/// 32-byte digest that names a sample, or a table.
pub type Key = [u8; 32];

/// A checksum as it is stored: XXH3-128, little-endian.
pub type Check = u128;

/// What every checksum of one segment is bound to: its table and its own id. A segment that was
/// renamed, copied from another table or swapped with another one matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding(u64);

impl Binding {
    /// The binding of segment `segment` of table `table`.
    pub fn new(table: &Key, segment: &[u8; 16]) -> Binding {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(table);
        bytes[32..].copy_from_slice(segment);
        Binding(xxh3_64_with_seed(&bytes, 0))
    }

    /// The checksum of a stored row: bound to the segment, the row's number and its key.
    pub fn row(self, number: u64, key: &Key, bytes: &[u8]) -> Check {
        xxh3_128_with_seed(bytes, self.row_seed(number, key))
    }

    /// What the checksum of a stored row starts from.
    pub fn row_seed(self, number: u64, key: &Key) -> u64 {
        let mut place = [0; 40];
        place[..8].copy_from_slice(&number.to_le_bytes());
        place[8..].copy_from_slice(key);
        xxh3_64_with_seed(&place, self.0)
    }

    /// The checksum of `bytes` that lie at `offset` of the log file.
    pub fn block(self, offset: u64, bytes: &[u8]) -> Check {
        let mut state = Xxh3::with_seed(self.0);
        state.update(&offset.to_le_bytes());
        state.update(bytes);
        state.digest128()
    }
}

/// Segments whose rows passed a check as a whole, with the number of rows checked.
pub type Checked = std::sync::Mutex<Vec<([u8; 16], u64)>>;

/// The checksum of a header or manifest, which are bound by the ids they contain.
pub fn plain(bytes: &[u8]) -> Check {
    xxh3_128_with_seed(bytes, 0)
}

/// 32 well-mixed bits of a key, whatever the key is made of. They depend on `seed`, so that nobody
/// who does not know it can make keys that collide.
pub fn tag(key: &Key, seed: u64) -> u32 {
    (xxh3_64_with_seed(key, seed) >> 32) as u32
}

/// Incremental BLAKE3: the digest of samples, recipes and weights.
#[derive(Debug, Default)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// Absorbs `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything absorbed so far.
    pub fn finish(&self) -> Key {
        *self.0.finalize().as_bytes()
    }
}
