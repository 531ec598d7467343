//! The manifest of a table: what its rows are, for people and for the next process.

use super::checksum::Key;
use super::format::{Dtype, Shape, VERSION, array_at, is_sealed, seal, u32_at, u64_at};
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"TLETABLE";
const HEADER: usize = 80;
/// The longest recipe or info document, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// A table as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The BLAKE3 digest of the recipe: the identity of the table and the name of its directory.
    pub id: Key,
    /// What its rows look like.
    pub shape: Shape,
    /// The recipe: canonical JSON.
    pub recipe: Vec<u8>,
    /// Facts that do not identify the table, such as library versions: JSON.
    pub info: Vec<u8>,
}

impl Manifest {
    /// The manifest of the table of `recipe`.
    pub fn new(shape: Shape, recipe: &[u8], info: &[u8]) -> Result<Manifest> {
        for (name, document) in [("recipe", recipe), ("info", info)] {
            if document.len() > MAX_DOCUMENT {
                let length = document.len();
                return Err(Error::Invalid(format!(
                    "the {name} has {length} bytes, the limit is {MAX_DOCUMENT}"
                )));
            }
        }
        let id = *blake3::hash(recipe).as_bytes();
        Ok(Manifest { id, shape, recipe: recipe.to_vec(), info: info.to_vec() })
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.shape.dtype.code().to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.shape.dim as u64).to_le_bytes());
        bytes[24..32].copy_from_slice(&(self.recipe.len() as u64).to_le_bytes());
        bytes[32..40].copy_from_slice(&(self.info.len() as u64).to_le_bytes());
        bytes[48..80].copy_from_slice(&self.id);
        bytes.extend_from_slice(&self.recipe);
        bytes.extend_from_slice(&self.info);
        bytes.resize(bytes.len() + 16, 0);
        seal(&mut bytes);
        bytes
    }

    /// The largest file that can be a manifest.
    pub const MAX_BYTES: usize = HEADER + 2 * MAX_DOCUMENT + 16;

    /// Reads a manifest: None for anything that is not one.
    ///
    /// # Errors
    /// [`Error::CacheFormat`] for an intact manifest of a newer version.
    pub fn decode(bytes: &[u8], path: &str) -> Result<Option<Manifest>> {
        if bytes.len() < HEADER + 16 || &bytes[..8] != MAGIC || !is_sealed(bytes) {
            return Ok(None);
        }
        let found = u32_at(bytes, 8);
        if found > VERSION {
            return Err(Error::CacheFormat { path: path.into(), found, supported: VERSION });
        }
        Ok(Self::fields(bytes))
    }

    fn fields(bytes: &[u8]) -> Option<Manifest> {
        let dtype = Dtype::from_code(u32_at(bytes, 12))?;
        let dim = usize::try_from(u64_at(bytes, 16)).ok()?;
        let recipe = usize::try_from(u64_at(bytes, 24)).ok()?;
        let info = usize::try_from(u64_at(bytes, 32)).ok()?;
        let end = HEADER.checked_add(recipe)?.checked_add(info)?;
        if end.checked_add(16)? != bytes.len() {
            return None;
        }
        let manifest = Manifest {
            id: array_at(bytes, 48),
            shape: Shape::new(dim, dtype).ok()?,
            recipe: bytes[HEADER..HEADER + recipe].to_vec(),
            info: bytes[HEADER + recipe..end].to_vec(),
        };
        (blake3::hash(&manifest.recipe).as_bytes() == &manifest.id).then_some(manifest)
    }
}
