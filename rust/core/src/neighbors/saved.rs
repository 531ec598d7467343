//! What an index keeps beside its rows, as bytes: read back where they lie, so that a mapped file is shared
//! by all processes that have it open.
//!
//! ```text
//! [u64; 7]     layout, rows, columns, metric, distinct rows, other rows, codings
//! [f64]        unit and centre of the frame
//! [u32]        first rows; then (place, row) of the others
//! [f64]        norms, high and low part by turns; none for distances
//! per coding   [u64; 3] code, rotated, blocks; [u64] panels of each block; then steps and bounds block by block
//! ```
//! Every part begins at a multiple of 64 bytes. Numbers are little-endian.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytemuck::{Pod, cast_slice, try_cast_slice};

use super::coding::Coding;
use super::distinct::Distinct;
use super::frame::{Frame, Metric};
use super::index::Index;
use super::precision::{Code, Precision};
use super::scan::Codes;
use crate::error::{Error, Result};
use crate::simd::Kernels;
use crate::simd::exact::Double;

/// Another number where the parts, or how rows are coded, are others.
const LAYOUT: u64 = 1;
const ALIGNMENT: usize = 64;
const WHAT: &str = "the codes of an index";

/// Bytes that somebody else owns and nobody changes.
pub trait Memory: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];
}

/// Numbers of an index's own, or a part of shared memory.
pub enum Kept<S> {
    Own(Vec<S>),
    Shared { memory: Arc<dyn Memory>, start: usize, end: usize },
}

impl<S: Pod> Deref for Kept<S> {
    type Target = [S];

    fn deref(&self) -> &[S] {
        match self {
            Self::Own(values) => values,
            Self::Shared { memory, start, end } => cast_slice(&memory.bytes()[*start..*end]),
        }
    }
}

/// Parts one after the other, as they are written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn put<S: Pod>(&mut self, values: &[S]) -> Result<()> {
        let start = self.bytes.len().next_multiple_of(ALIGNMENT);
        let more = start - self.bytes.len() + size_of_val(values);
        let lack = |_| Error::OutOfMemory { what: WHAT, bytes: more };
        self.bytes.try_reserve(more).map_err(lack)?;
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(cast_slice(values));
        Ok(())
    }
}

/// Parts one after the other, as they are read; nothing is believed that does not fit.
pub struct Reader {
    memory: Arc<dyn Memory>,
    at: usize,
}

impl Reader {
    pub fn take<S: Pod>(&mut self, length: usize) -> Result<Kept<S>> {
        let start = self.at.next_multiple_of(ALIGNMENT);
        let end = length.checked_mul(size_of::<S>()).and_then(|bytes| start.checked_add(bytes));
        let part = end.and_then(|end| self.memory.bytes().get(start..end)).ok_or_else(odd)?;
        try_cast_slice::<u8, S>(part).map_err(|_| odd())?;
        self.at = start + part.len();
        Ok(Kept::Shared { memory: Arc::clone(&self.memory), start, end: self.at })
    }

    pub fn take_usize(&mut self, length: usize) -> Result<Vec<usize>> {
        let found = self.take::<u64>(length)?;
        found.iter().map(|&value| usize::try_from(value).map_err(|_| odd())).collect()
    }
}

/// The error for bytes that no index has written.
pub fn odd() -> Error {
    Error::Invalid("these are not the codes of an index over these rows".into())
}

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Inner, Metric::Euclidean];
const CODES: [Code; 3] = [Code::Int8, Code::Bfloat16, Code::Float32];

impl Index {
    /// What [`Index::restore`] takes.
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut to = Writer::default();
        let others = self.distinct.others();
        let metric = METRICS.iter().position(|&metric| metric == self.frame.metric).unwrap_or(0);
        let made = [
            self.int8.get().is_some(),
            self.bfloat16.get().is_some(),
            self.float32.get().is_some(),
        ];
        let codings = made.iter().filter(|made| **made).count();
        let (rows, columns) = self.shape;
        let head = [rows, columns, metric, self.distinct.firsts.len(), others.len() / 2, codings];
        let head = head.map(|value| value as u64);
        to.put(&[LAYOUT, head[0], head[1], head[2], head[3], head[4], head[5]])?;
        let (unit, centre) = self.frame.facts();
        to.put(&[unit])?;
        to.put(centre)?;
        to.put(&self.distinct.firsts)?;
        to.put(&others)?;
        to.put(&self.norms.iter().flat_map(|norm| [norm.hi, norm.lo]).collect::<Vec<f64>>())?;
        save_codes(&mut to, 0, &self.int8)?;
        save_codes(&mut to, 1, &self.bfloat16)?;
        save_codes(&mut to, 2, &self.float32)?;
        Ok(to.bytes)
    }

    /// The index over rows of this shape whose [`Index::save`] is in `memory`; None where it was made by
    /// another version, or for another chip so that an index made here searches faster.
    pub fn restore(
        kernels: Kernels,
        shape: (usize, usize),
        metric: Metric,
        precision: Precision,
        memory: Arc<dyn Memory>,
    ) -> Result<Option<Self>> {
        let mut from = Reader { memory, at: 0 };
        let head = from.take_usize(7)?;
        if head[0] as u64 != LAYOUT || cfg!(target_endian = "big") {
            return Ok(None);
        }
        let [rows, columns, of_metric, firsts, others, codings] = head[1..] else {
            return Err(odd());
        };
        if (rows, columns) != shape || METRICS.get(of_metric) != Some(&metric) {
            return Err(odd());
        }
        let unit = from.take::<f64>(1)?[0];
        let centre = from.take::<f64>(columns)?.to_vec();
        let firsts = from.take::<u32>(firsts)?.to_vec();
        let others = from.take::<u32>(others.checked_mul(2).ok_or_else(odd)?)?;
        let distinct = Distinct::restore(rows, firsts, &others).ok_or_else(odd)?;
        let norms = if metric == Metric::Euclidean { 0 } else { 2 * distinct.firsts.len() };
        let norms = from.take::<f64>(norms)?;
        let (norms, _) = norms.as_chunks::<2>();
        let mut index = Self {
            frame: Frame::restore(metric, kernels, unit, centre),
            kernels,
            shape,
            norms: norms.iter().map(|&[hi, lo]| Double { hi, lo }).collect(),
            distinct,
            ladder: precision.codes(kernels, columns),
            bfloat16: OnceLock::new(),
            float32: OnceLock::new(),
            int8: OnceLock::new(),
            spare: super::spare::Spare::default(),
        };
        let mut usable = false;
        for _ in 0..codings {
            let about = from.take_usize(3)?;
            let code = *CODES.get(about[0]).ok_or_else(odd)?;
            let (rotated, blocks) = (about[1] != 0, about[2]);
            let of = (kernels, index.distinct.firsts.len(), columns);
            match code {
                Code::Int8 => {
                    index.int8 = OnceLock::from(Codes::restore(&mut from, rotated, blocks, of)?)
                }
                Code::Bfloat16 => {
                    index.bfloat16 =
                        OnceLock::from(Codes::restore(&mut from, rotated, blocks, of)?);
                }
                Code::Float32 => {
                    index.float32 = OnceLock::from(Codes::restore(&mut from, rotated, blocks, of)?);
                }
            }
            usable |= index.ladder[0] == code;
        }
        Ok(usable.then_some(index))
    }
}

fn save_codes<C: Coding>(to: &mut Writer, code: u64, codes: &OnceLock<Codes<C>>) -> Result<()> {
    codes.get().map_or(Ok(()), |codes| codes.save(to, code))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::neighbors::Matrix;
    use crate::parallel::Run;
    use crate::simd::tile::StepI8;

    /// Bytes that begin at a multiple of 64.
    struct Lines(Vec<StepI8>, usize);

    impl Lines {
        fn of(bytes: &[u8]) -> Arc<dyn Memory> {
            let mut lines = vec![StepI8::ZERO; bytes.len().div_ceil(size_of::<StepI8>())];
            bytemuck::cast_slice_mut::<_, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
            Arc::new(Self(lines, bytes.len()))
        }
    }

    impl Memory for Lines {
        fn bytes(&self) -> &[u8] {
            &cast_slice(&self.0)[..self.1]
        }
    }

    fn number(i: usize) -> f32 {
        ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / 2f32.powi(23) - 1.0
    }

    #[test]
    fn a_restored_index_finds_the_same() {
        let stop = AtomicBool::new(false);
        let run = Run::new(2, &stop);
        let mut data: Vec<f32> = (0..150 * 9).map(number).collect();
        data.copy_within(0..27, 90); // rows that are there twice
        let rows = Matrix::new(&data, 150, 9).unwrap();
        for kernels in Kernels::available() {
            for metric in METRICS {
                for precision in [Precision::Int8, Precision::Bfloat16, Precision::Float32] {
                    let index = Index::build(&run, kernels, rows, metric, precision).unwrap();
                    let bytes = index.save().unwrap();
                    let restore = |shape, precision| {
                        Index::restore(kernels, shape, metric, precision, Lines::of(&bytes))
                    };
                    let again = restore((150, 9), precision).unwrap().unwrap();
                    let searched = |index: &Index| index.search_others(&run, rows, 7).unwrap();
                    assert_eq!(searched(&index), searched(&again));
                    assert_eq!(again.save().unwrap(), bytes);
                    assert!(restore((9, 150), precision).is_err());
                    let other = match precision {
                        Precision::Int8 => Precision::Float32,
                        _ => Precision::Int8,
                    };
                    assert!(restore((150, 9), other).unwrap().is_none());
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_cut_or_changed_are_refused_or_another_index_never_a_crash() {
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let data: Vec<f32> = (0..40 * 5).map(|i| number(i / 10)).collect();
        let rows = Matrix::new(&data, 40, 5).unwrap();
        let kernels = Kernels::available()[0];
        let (metric, precision) = (Metric::Cosine, Precision::Float32);
        let bytes = Index::build(&run, kernels, rows, metric, precision).unwrap().save().unwrap();
        let restore =
            |bytes: &[u8]| Index::restore(kernels, (40, 5), metric, precision, Lines::of(bytes));
        for length in (0..bytes.len()).step_by(61) {
            assert!(restore(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..1400 {
            let mut changed = bytes.clone();
            changed[at] ^= 0x81;
            if let Ok(Some(index)) = restore(&changed) {
                let _ = index.search_others(&run, rows, 3);
            }
        }
        let mut newer = bytes.clone();
        newer[0] += 1;
        assert!(restore(&newer).unwrap().is_none());
    }
}
