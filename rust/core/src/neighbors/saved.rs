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

use std::sync::{Arc, OnceLock};

use super::coding::Coding;
use super::distinct::Distinct;
use super::frame::{Frame, Metric};
use super::index::Index;
use super::kept::{Memory, Reader, Writer, odd};
use super::precision::{Code, Precision};
use super::scan::Codes;
use crate::error::Result;
use crate::simd::Kernels;
use crate::simd::exact::Double;

/// Another number where the parts, or how rows are coded, are others.
const LAYOUT: u64 = 1;

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
        Ok(to.into_bytes())
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
        let mut from = Reader::new(memory);
        let head = from.take_usize(7)?;
        let [layout, rows, columns, of_metric, firsts, others, codings] = head[..] else {
            return Err(odd());
        };
        if layout as u64 != LAYOUT || cfg!(target_endian = "big") {
            return Ok(None);
        }
        if (rows, columns) != shape || METRICS.get(of_metric) != Some(&metric) {
            return Err(odd());
        }
        let frame = restore_frame(&mut from, kernels, metric, columns)?;
        let distinct = restore_distinct(&mut from, rows, firsts, others)?;
        let norms = restore_norms(&mut from, metric, distinct.firsts.len())?;
        let mut index = Self::uncoded(frame, kernels, shape, distinct, norms, precision);
        let mut usable = false;
        for _ in 0..codings {
            usable |= index.restore_codes(&mut from)? == index.ladder[0];
        }
        Ok(usable.then_some(index))
    }

    /// Takes up the codes that come next; says which they are.
    fn restore_codes(&mut self, from: &mut Reader) -> Result<Code> {
        let about = from.take_usize(3)?;
        let code = *CODES.get(about[0]).ok_or_else(odd)?;
        let (rotated, blocks) = (about[1] != 0, about[2]);
        let of = (self.kernels, self.distinct.firsts.len(), self.shape.1);
        match code {
            Code::Int8 => self.int8 = OnceLock::from(Codes::restore(from, rotated, blocks, of)?),
            Code::Bfloat16 => {
                self.bfloat16 = OnceLock::from(Codes::restore(from, rotated, blocks, of)?);
            }
            Code::Float32 => {
                self.float32 = OnceLock::from(Codes::restore(from, rotated, blocks, of)?);
            }
        }
        Ok(code)
    }
}

fn restore_frame(
    from: &mut Reader,
    kernels: Kernels,
    metric: Metric,
    columns: usize,
) -> Result<Frame> {
    let unit = from.take::<f64>(1)?[0];
    let centre = from.take::<f64>(columns)?.to_vec();
    Ok(Frame::restore(metric, kernels, unit, centre))
}

fn restore_distinct(
    from: &mut Reader,
    rows: usize,
    firsts: usize,
    others: usize,
) -> Result<Distinct> {
    let firsts = from.take::<u32>(firsts)?.to_vec();
    let others = from.take::<u32>(others.checked_mul(2).ok_or_else(odd)?)?;
    Distinct::restore(rows, firsts, &others).ok_or_else(odd)
}

fn restore_norms(from: &mut Reader, metric: Metric, rows: usize) -> Result<Vec<Double>> {
    let parts = from.take::<f64>(if metric == Metric::Euclidean { 0 } else { 2 * rows })?;
    let (norms, _) = parts.as_chunks::<2>();
    Ok(norms.iter().map(|&[hi, lo]| Double { hi, lo }).collect())
}

fn save_codes<C: Coding>(to: &mut Writer, code: u64, codes: &OnceLock<Codes<C>>) -> Result<()> {
    codes.get().map_or(Ok(()), |codes| codes.save(to, code))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use bytemuck::{cast_slice, cast_slice_mut};

    use super::*;
    use crate::neighbors::Matrix;
    use crate::parallel::Run;
    use crate::simd::tile::StepI8;

    /// Bytes that begin at a multiple of 64.
    struct Lines(Vec<StepI8>, usize);

    impl Lines {
        fn of(bytes: &[u8]) -> Arc<dyn Memory> {
            let mut lines = vec![StepI8::ZERO; bytes.len().div_ceil(size_of::<StepI8>())];
            cast_slice_mut::<_, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
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
