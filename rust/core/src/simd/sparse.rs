//! Products of sparse rows: each number of X meets a row of coefficients, one for each column of the tasks.
//!
//! Coefficients and sums lie feature by feature, `width` numbers each ([`width`]), so that every number of X
//! is one load of consecutive memory. Loops walk by index: iterator adapters are functions without the
//! vector features.

use super::kernels::multiversion;
use crate::simd::pass::Element;

/// Numbers per feature for so many columns: one, or what fills vectors.
pub fn width(columns: usize) -> usize {
    match columns {
        0..=1 => 1,
        2..=8 => columns.next_power_of_two().max(4),
        _ => columns.next_multiple_of(16),
    }
}

/// Consecutive rows of a matrix: the numbers of row i are those of `starts[i]..starts[i + 1]`.
#[derive(Clone, Copy, Debug)]
pub struct SparseRows<'a, V> {
    /// One more than there are rows.
    pub starts: &'a [i64],
    /// Column of each number.
    pub columns: &'a [i32],
    /// The numbers.
    pub values: &'a [V],
}

impl<'a, V> SparseRows<'a, V> {
    /// Columns and numbers of row i.
    #[inline(always)]
    pub fn row(&self, i: usize) -> (&'a [i32], &'a [V]) {
        let (from, to) = (self.starts[i] as usize, self.starts[i + 1] as usize);
        (&self.columns[from..to], &self.values[from..to])
    }
}

multiversion! {
    /// `out[k * ld + i] = x_i . w_k + bias[k]`; w has [`width`]`(bias.len())` numbers per feature.
    sparse_products<V: Element, E: Element>(x: SparseRows<'_, V>, w: &[E], bias: &[E], out: &mut [E], ld: usize) = products
}

multiversion! {
    /// `g[j * width + k] += sum over i of r[k * ld + i] v_ij` with v = x, or x (x - 2 origin_j) if there is an
    /// origin; g has [`width`]`(classes)` numbers per feature.
    sparse_outer<V: Element, E: Element>(x: SparseRows<'_, V>, origin: Option<&[f64]>, r: &[E], ld: usize, classes: usize, g: &mut [f64]) = outer
}

#[inline(always)]
fn products<V: Element, E: Element>(
    x: SparseRows<'_, V>,
    w: &[E],
    bias: &[E],
    out: &mut [E],
    ld: usize,
) {
    match width(bias.len()) {
        1 => products_of::<V, E, 1>(x, w, bias, out, ld),
        4 => products_of::<V, E, 4>(x, w, bias, out, ld),
        8 => products_of::<V, E, 8>(x, w, bias, out, ld),
        16 => products_of::<V, E, 16>(x, w, bias, out, ld),
        width => products_of_many(x, w, width, bias, out, ld),
    }
}

#[inline(always)]
fn products_of<V: Element, E: Element, const W: usize>(
    x: SparseRows<'_, V>,
    w: &[E],
    bias: &[E],
    out: &mut [E],
    ld: usize,
) {
    let (w, _) = w.as_chunks::<W>();
    for i in 0..x.starts.len() - 1 {
        let (columns, values) = x.row(i);
        let mut sums = [E::default(); W];
        for at in 0..columns.len() {
            let (value, w) = (E::of(values[at].wide()), &w[columns[at] as usize]);
            for k in 0..W {
                sums[k] = sums[k] + value * w[k];
            }
        }
        for k in 0..bias.len() {
            out[k * ld + i] = sums[k] + bias[k];
        }
    }
}

#[inline(always)]
fn products_of_many<V: Element, E: Element>(
    x: SparseRows<'_, V>,
    w: &[E],
    width: usize,
    bias: &[E],
    out: &mut [E],
    ld: usize,
) {
    let mut sums = vec![E::default(); width];
    for i in 0..x.starts.len() - 1 {
        let (columns, values) = x.row(i);
        sums.fill(E::default());
        for at in 0..columns.len() {
            let (value, first) = (E::of(values[at].wide()), columns[at] as usize * width);
            let w = &w[first..first + width];
            for k in 0..width {
                sums[k] = sums[k] + value * w[k];
            }
        }
        for k in 0..bias.len() {
            out[k * ld + i] = sums[k] + bias[k];
        }
    }
}

#[inline(always)]
fn outer<V: Element, E: Element>(
    x: SparseRows<'_, V>,
    origin: Option<&[f64]>,
    r: &[E],
    ld: usize,
    classes: usize,
    g: &mut [f64],
) {
    match width(classes) {
        1 => outer_of::<V, E, 1>(x, origin, r, ld, classes, g),
        4 => outer_of::<V, E, 4>(x, origin, r, ld, classes, g),
        8 => outer_of::<V, E, 8>(x, origin, r, ld, classes, g),
        16 => outer_of::<V, E, 16>(x, origin, r, ld, classes, g),
        width => outer_of_many(x, origin, r, ld, (classes, width), g),
    }
}

#[inline(always)]
fn outer_of<V: Element, E: Element, const W: usize>(
    x: SparseRows<'_, V>,
    origin: Option<&[f64]>,
    r: &[E],
    ld: usize,
    classes: usize,
    g: &mut [f64],
) {
    let (g, _) = g.as_chunks_mut::<W>();
    for i in 0..x.starts.len() - 1 {
        let (columns, values) = x.row(i);
        let mut mine = [0.0; W];
        for k in 0..classes {
            mine[k] = r[k * ld + i].wide();
        }
        for at in 0..columns.len() {
            let value = term(values[at].wide(), origin, columns[at]);
            let g = &mut g[columns[at] as usize];
            for k in 0..W {
                g[k] += value * mine[k];
            }
        }
    }
}

#[inline(always)]
fn outer_of_many<V: Element, E: Element>(
    x: SparseRows<'_, V>,
    origin: Option<&[f64]>,
    r: &[E],
    ld: usize,
    (classes, width): (usize, usize),
    g: &mut [f64],
) {
    let mut mine = vec![0.0; width];
    for i in 0..x.starts.len() - 1 {
        let (columns, values) = x.row(i);
        for k in 0..classes {
            mine[k] = r[k * ld + i].wide();
        }
        for at in 0..columns.len() {
            let value = term(values[at].wide(), origin, columns[at]);
            let first = columns[at] as usize * width;
            let g = &mut g[first..first + width];
            for k in 0..width {
                g[k] += value * mine[k];
            }
        }
    }
}

/// What of a number is summed: itself, or what its square from the origin has over that of a zero.
#[inline(always)]
fn term(value: f64, origin: Option<&[f64]>, column: i32) -> f64 {
    match origin {
        None => value,
        Some(origin) => value * (value - 2.0 * origin[column as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Kernels;

    /// 5 rows of 7 columns, one row and two columns without a number.
    const STARTS: [i64; 6] = [0, 2, 2, 5, 6, 9];
    const COLUMNS: [i32; 9] = [0, 5, 0, 2, 3, 5, 1, 2, 5];
    const VALUES: [f32; 9] = [1.0, 2.0, -1.0, 0.5, 3.0, 0.0, 4.0, -2.0, 1.0];

    fn dense() -> [[f64; 7]; 5] {
        let mut rows = [[0.0; 7]; 5];
        for i in 0..5 {
            for at in STARTS[i] as usize..STARTS[i + 1] as usize {
                rows[i][COLUMNS[at] as usize] = f64::from(VALUES[at]);
            }
        }
        rows
    }

    /// Small whole numbers: every sum is exact, so equality is asked for.
    fn number(i: usize) -> f64 {
        (i * 7 % 11) as f64 - 5.0
    }

    #[test]
    fn products_and_sums_are_those_of_the_dense_rows() {
        let x = SparseRows { starts: &STARTS, columns: &COLUMNS, values: &VALUES };
        let origin: Vec<f64> = (0..7).map(|j| number(j) / 4.0).collect();
        for kernels in Kernels::available() {
            for classes in [1, 2, 3, 5, 8, 9, 16, 17, 40] {
                let (width, ld) = (width(classes), 16);
                let mut w = vec![f64::NAN; 7 * width];
                for j in 0..7 {
                    (0..width).for_each(|k| w[j * width + k] = number(j * 5 + k * 3));
                }
                let bias: Vec<f64> = (0..classes).map(number).collect();
                let mut out = vec![0.0; classes * ld];
                kernels.sparse_products(x, &w, &bias, &mut out, ld);
                let r: Vec<f64> = (0..classes * ld).map(|at| number(at + 1)).collect();
                let mut plain = vec![1.0; 7 * width];
                let mut centred = plain.clone();
                kernels.sparse_outer(x, None, &r, ld, classes, &mut plain);
                kernels.sparse_outer(x, Some(&origin), &r, ld, classes, &mut centred);
                let rows = dense();
                for k in 0..classes {
                    for i in 0..5 {
                        let sum: f64 = (0..7).map(|j| rows[i][j] * w[j * width + k]).sum();
                        assert_eq!(out[k * ld + i], sum + bias[k], "{classes} {k} {i}");
                    }
                    for j in 0..7 {
                        let sum = |term: &dyn Fn(f64) -> f64| -> f64 {
                            (0..5).map(|i| r[k * ld + i] * term(rows[i][j])).sum()
                        };
                        let square = |v: f64| (v - origin[j]).powi(2) - origin[j].powi(2);
                        assert_eq!(plain[j * width + k], 1.0 + sum(&|v| v), "{classes} {k} {j}");
                        assert_eq!(centred[j * width + k], 1.0 + sum(&square), "{classes} {k} {j}");
                    }
                }
            }
        }
    }
}
