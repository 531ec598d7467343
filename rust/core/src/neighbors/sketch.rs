//! Queries in 16 bits: half of what comes from memory for each estimate, and nearly as telling.

use crate::simd::Kernels;
use crate::simd::exact::Real;

/// A query in 16 bits.
#[derive(Debug)]
pub struct Sketch {
    pub codes: Vec<i16>,
    /// Value of one unit of the codes.
    pub unit: f64,
    /// Norm of what the codes leave out.
    pub error: f64,
}

impl Sketch {
    /// One that serves no query.
    pub const NONE: Self = Self { codes: Vec::new(), unit: 0.0, error: 0.0 };

    pub fn new<T: Real>(kernels: Kernels, query: &[T]) -> Self {
        let largest = kernels.largest(query);
        let (unit, mut codes) = (largest / f64::from(i16::MAX), vec![0; query.len()]);
        let error = kernels.encode_i16(query, unit, &mut codes);
        // Each product of a code and the unit is rounded, and the sum is.
        let rounded = query.len() as f64 * f64::EPSILON * (largest + error);
        Self { codes, unit, error: error + rounded }
    }

    pub fn serves(&self) -> bool {
        !self.codes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_is_as_far_from_its_query_as_it_says() {
        let kernels = Kernels::available();
        for (&kernels, scale) in
            kernels.iter().flat_map(|k| [1e-30, 1.0, 1e30].map(|scale| (k, scale)))
        {
            let query: Vec<f64> =
                (0..300).map(|i| scale * (f64::from(i * i % 97) - 40.0)).collect();
            let sketch = Sketch::new(kernels, &query);
            let far = query.iter().zip(&sketch.codes);
            let far: f64 =
                far.map(|(value, &code)| (value - f64::from(code) * sketch.unit).powi(2)).sum();
            assert!(
                far.sqrt() <= sketch.error && sketch.error < 3e-5 * 300f64.sqrt() * 56.0 * scale
            );
        }
    }
}
