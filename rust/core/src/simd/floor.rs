//! The number that the best few of many reach, found by counting.

use super::Kernels;
use super::kernels::multiversion;

/// Numbers of a vector.
const LANES: usize = 16;

#[inline(always)]
fn count_body(values: &[f32], least: f32) -> u32 {
    let mut count = 0;
    for value in values {
        count += u32::from(*value >= least);
    }
    count
}

multiversion! {
    /// How many values are at least `least`.
    count_from(values: &[f32], least: f32) -> u32 = count_body
}

/// An integer that sorts as the number does.
fn sortable(value: f32) -> i32 {
    let bits = value.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The number of [`sortable`].
fn from_sortable(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

#[inline(always)]
fn largest_of_body(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in block.iter().enumerate() {
            lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
        }
    }
    let mut largest = f32::NEG_INFINITY;
    for value in rest.iter().chain(&lanes) {
        largest = largest.max(*value);
    }
    largest
}

multiversion! {
    /// The largest of some numbers.
    largest_of(values: &[f32]) -> f32 = largest_of_body
}

impl Kernels {
    /// A number that `k` or a few more of the values reach, given one that at least `k` reach.
    ///
    /// It is halved down to: counting takes a vector at a time, and ranking does not.
    pub fn floor_of(self, values: &[f32], k: usize, known: f32) -> f32 {
        let (mut low, mut high) = (sortable(known), sortable(self.largest_of(values)));
        // At least `k` values reach `low`; fewer are above `high`.
        while low < high {
            let middle = high - ((i64::from(high) - i64::from(low)) / 2) as i32;
            match self.count_from(values, from_sortable(middle)) as usize {
                count if count < k => high = middle - 1,
                count => {
                    low = middle;
                    if count <= k + k / FEW {
                        break;
                    }
                }
            }
        }
        from_sortable(low)
    }
}

/// One more in so many does not matter.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_reached_by_k_values_and_few_more() {
        let special = [0.0, -0.0, f32::MIN, f32::MAX, f32::NEG_INFINITY, 1e-40, -1e-40];
        let different: Vec<f32> = (0..300).map(|i| ((i * 77) % 300) as f32 * 0.1 - 9.0).collect();
        let tied: Vec<f32> = (0..32).map(|i| ((i * 7) % 32) as f32 - 11.0).collect();
        let values = [&tied[..], &special, &tied].concat();
        for kernels in Kernels::available() {
            let reached = |values: &[f32], k| {
                let floor = kernels.floor_of(values, k, f32::NEG_INFINITY);
                values.iter().filter(|value| **value >= floor).count()
            };
            for k in 1..=values.len() {
                let mut sorted = values.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let ties = values.iter().filter(|value| **value >= sorted[k - 1]).count();
                assert!(
                    (k..=ties.max(k + k / FEW)).contains(&reached(&values, k)),
                    "{kernels:?} {k}"
                );
            }
            assert!((1..=300).all(|k| (k..=k + k / FEW).contains(&reached(&different, k))));
        }
    }
}
