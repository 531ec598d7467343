//! Between float32 in memory and the numbers as they are stored.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::format::{Dtype, Shape};
use super::memory;
use crate::error::{Error, Result};

const WHAT: &str = "rows on their way to the cache";

/// The stored bytes of float32 `rows`, the first of which is row `first` of the caller's array.
///
/// # Errors
/// [`Error::OutOfRange`] for a finite number that becomes infinite in the storage type.
pub fn encode(shape: Shape, rows: &[f32], first: usize, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    let needed = std::mem::size_of_val(rows);
    memory::more(bytes, needed, WHAT)?;
    match shape.dtype {
        Dtype::F32 => bytes.extend_from_slice(bytemuck::cast_slice(rows)),
        Dtype::F16 => {
            let mut stored = memory::room(rows.len(), WHAT)?;
            stored.resize(rows.len(), f16::ZERO);
            stored.convert_from_f32_slice(rows);
            let lost = stored.iter().zip(rows).position(|(s, r)| s.is_infinite() && r.is_finite());
            in_range(shape, rows, first, lost, f64::from(f16::MAX))?;
            bytes.extend(stored.iter().flat_map(|value| value.to_le_bytes()));
        }
        Dtype::Bf16 => {
            let mut stored = memory::room(rows.len(), WHAT)?;
            stored.resize(rows.len(), bf16::ZERO);
            stored.convert_from_f32_slice(rows);
            let lost = stored.iter().zip(rows).position(|(s, r)| s.is_infinite() && r.is_finite());
            in_range(shape, rows, first, lost, f64::from(bf16::MAX))?;
            bytes.extend(stored.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    Ok(())
}

fn in_range(
    shape: Shape,
    rows: &[f32],
    first: usize,
    lost: Option<usize>,
    limit: f64,
) -> Result<()> {
    let Some(at) = lost else { return Ok(()) };
    Err(Error::OutOfRange {
        row: first + at / shape.dim,
        column: at % shape.dim,
        value: f64::from(rows[at]),
        dtype: shape.dtype.name(),
        limit,
    })
}

/// The float32 numbers of stored `bytes`.
pub fn decode(dtype: Dtype, bytes: &[u8], row: &mut [f32]) {
    match dtype {
        Dtype::F32 => bytemuck::cast_slice_mut::<f32, u8>(row).copy_from_slice(bytes),
        Dtype::F16 => {
            for (value, pair) in row.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = f16::from_le_bytes([pair[0], pair[1]]).to_f32();
            }
        }
        Dtype::Bf16 => {
            for (value, pair) in row.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = bf16::from_le_bytes([pair[0], pair[1]]).to_f32();
            }
        }
    }
}
