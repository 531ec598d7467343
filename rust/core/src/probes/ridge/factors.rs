//! The directions of X and what varies along them.

/// `X' S X` by its eigenvectors, and `X' S Y`.
pub(super) struct Factors {
    /// Eigenvalues of `X' S X`, ascending, those of the null space left out.
    pub values: Vec<f64>,
    /// One eigenvector per row, padded, in centred original coordinates.
    pub vectors: Vec<f64>,
    /// columns x stride: `Y' S X`.
    pub products: Vec<f64>,
    /// About the size of each column of X: a power of two.
    pub scale: Vec<f64>,
    /// Elements per vector.
    pub stride: usize,
    /// rank x padded n: the weighted rows along the directions, of unit variance, where these came
    /// from the products of rows; else empty.
    pub coordinates: Vec<f64>,
}

impl Factors {
    /// The relative error that single precision makes, at most, in what a direction adds to a fitted value.
    pub fn loss(&self, alphas: &[f64]) -> f64 {
        let least = alphas.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let total: f64 = self.values.iter().sum();
        let direction = |e: &f64| (total / e).sqrt() * e / (e + least);
        f64::from(f32::EPSILON) * self.values.iter().map(direction).fold(0.0, f64::max)
    }
}
