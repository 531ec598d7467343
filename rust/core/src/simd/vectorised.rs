//! Plain loops over slices, compiled for the instruction set in use.
//!
//! The compiler turns such a loop into vector instructions of the set that the function around it is
//! compiled for; the closures have to be small enough to be inlined. Loops walk by index: iterator
//! adapters are functions without the vector features.

use super::Kernels;
use super::kernels::multiversion;

/// The sum of `term(a_i, b_i)`, in 32 interleaved sums: in an order that vectors can follow.
#[inline]
pub fn sum_of<A: Copy, B: Copy, F: Term<A, B>>(a: &[A], b: &[B], term: F) -> f64 {
    Kernels::in_use().sum_of(a, b, term)
}

/// Calls `change(&mut target_i, a_i, b_i)` up to the end of the shortest.
#[inline]
pub fn update<T, A: Copy, B: Copy, F: Change<T, A, B>>(
    target: &mut [T],
    a: &[A],
    b: &[B],
    change: F,
) {
    Kernels::in_use().update(target, a, b, change);
}

multiversion! {
    /// See [`sum_of`](super::vectorised::sum_of).
    sum_of<A: Copy, B: Copy, F: Term<A, B>>(a: &[A], b: &[B], term: F) -> f64 = add_terms
}

multiversion! {
    /// See [`update`](super::vectorised::update).
    update<T: Sized, A: Copy, B: Copy, F: Change<T, A, B>>(target: &mut [T], a: &[A], b: &[B], change: F) = change_all
}

/// What is summed: a closure.
pub trait Term<A, B>: Fn(A, B) -> f64 {}
impl<A, B, F: Fn(A, B) -> f64> Term<A, B> for F {}

/// What is done to each element: a closure.
pub trait Change<T, A, B>: Fn(&mut T, A, B) {}
impl<T, A, B, F: Fn(&mut T, A, B)> Change<T, A, B> for F {}

#[inline(always)]
fn add_terms<A: Copy, B: Copy, F: Term<A, B>>(a: &[A], b: &[B], term: F) -> f64 {
    const LANES: usize = 32;
    assert_eq!(a.len(), b.len());
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for at in 0..a_rest.len().min(b_rest.len()) {
        sums[at] = term(a_rest[at], b_rest[at]);
    }
    for at in 0..a.len().min(b.len()) {
        let (a, b) = (&a[at], &b[at]);
        for i in 0..LANES {
            sums[i] += term(a[i], b[i]);
        }
    }
    let mut total = 0.0;
    for sum in sums {
        total += sum;
    }
    total
}

#[inline(always)]
fn change_all<T, A: Copy, B: Copy, F: Change<T, A, B>>(
    target: &mut [T],
    a: &[A],
    b: &[B],
    change: F,
) {
    let length = target.len().min(a.len()).min(b.len());
    let (target, a, b) = (&mut target[..length], &a[..length], &b[..length]);
    for i in 0..length {
        change(&mut target[i], a[i], b[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once() {
        for length in [0, 1, 31, 32, 33, 100] {
            let a: Vec<u32> = (0..length).collect();
            let mut b: Vec<f32> = (0..length).map(|i| i as f32).collect();
            update(&mut b, &a, &a, |b, one, two| *b += (one + two) as f32);
            let n = f64::from(length);
            let sum = sum_of(&a, &b, |a, b| f64::from(a) * f64::from(b));
            assert_eq!(sum, (n - 1.0) * n * (2.0 * n - 1.0) / 2.0);
        }
    }
}
