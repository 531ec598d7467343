//! Neighbours against brute force on data where double precision is exact, so ties are real ties.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tlengine_core::neighbors::{Ballot, Index, Matrix, Metric, Precision, vote};
use tlengine_core::simd::Kernels;
use tlengine_core::{Error, Run};

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Inner, Metric::Euclidean];
const PRECISIONS: [Precision; 3] = [Precision::Float32, Precision::Bfloat16, Precision::Int8];
static NEVER: AtomicBool = AtomicBool::new(false);

fn brute_force(queries: &[f32], rows: &[f32], d: usize, metric: Metric, k: usize) -> Vec<i64> {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let key = |q: &[f32], x: &[f32]| match metric {
        Metric::Inner => dot(q, x),
        Metric::Euclidean => 2.0 * dot(q, x) - dot(x, x) - dot(q, q),
        // Sign times squared cosine orders as the cosine, and 0/0 is a cosine of 0.
        Metric::Cosine if dot(x, x) == 0.0 => 0.0,
        Metric::Cosine => dot(q, x) * dot(q, x).abs() / dot(x, x),
    };
    let mut found = Vec::new();
    for query in queries.chunks(d) {
        let mut scored: Vec<_> =
            rows.chunks(d).enumerate().map(|(i, x)| (i as i64, key(query, x))).collect();
        scored.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
        found.extend(scored.iter().take(k).map(|&(i, _)| i));
    }
    found
}

fn check_all(queries: &[f32], rows: &[f32], d: usize, k: usize, metrics: &[Metric]) {
    let run = Run::new(2, &NEVER);
    let matrix = |data| Matrix::new(data, <[f32]>::len(data) / d, d).unwrap();
    let (queries_matrix, rows_matrix) = (matrix(queries), matrix(rows));
    for &metric in metrics {
        let expected = brute_force(queries, rows, d, metric, k);
        for kernels in Kernels::available() {
            for precision in PRECISIONS {
                let index = Index::build(&run, kernels, rows_matrix, metric, precision).unwrap();
                let found = index.search(&run, rows_matrix, queries_matrix, k).unwrap();
                assert_eq!(found.rows, expected, "{kernels:?} {metric:?} {precision:?}");
            }
        }
    }
}

/// Small whole numbers: many equal scores, all of them exact.
fn small_integers(length: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-3i8..=3).prop_map(f32::from), length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ties_go_to_the_lowest_row(
        (d, k, queries, rows) in (1usize..36, 1usize..60, 1usize..30).prop_flat_map(|(d, k, m)| {
            (Just(d), Just(k), small_integers(d * m), small_integers(d * 150))
        })
    ) {
        check_all(&queries, &rows, d, k, &METRICS);
    }

    #[test]
    fn an_offset_costs_nothing(
        queries in small_integers(7 * 20), rows in small_integers(7 * 150), k in 1usize..40
    ) {
        let shifted = |data: &[f32]| data.iter().map(|v| v + 1e4).collect::<Vec<_>>();
        check_all(&shifted(&queries), &shifted(&rows), 7, k, &[Metric::Inner, Metric::Euclidean]);
    }

    #[test]
    fn size_does_not_matter(
        queries in small_integers(5 * 20), rows in small_integers(5 * 150), scale in -100i32..=100
    ) {
        let scaled = |data: &[f32]| data.iter().map(|v| v * 2f32.powi(scale)).collect::<Vec<_>>();
        check_all(&scaled(&queries), &scaled(&rows), 5, 9, &METRICS);
    }

    #[test]
    fn rows_of_very_different_size_are_ranked(
        rows in small_integers(5 * 150), scales in prop::collection::vec(-90i32..=90, 150)
    ) {
        let rows: Vec<f32> = rows
            .chunks(5)
            .zip(scales)
            .flat_map(|(row, scale)| row.iter().map(move |v| v * 2f32.powi(scale)))
            .collect();
        check_all(&rows[..50], &rows, 5, 20, &[Metric::Cosine, Metric::Inner]);
    }
}

#[test]
fn equal_rows_come_in_order() {
    let rows = [0.3f32, -1.7, 2.2].repeat(500);
    check_all(&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], &rows, 3, 120, &METRICS);
}

#[test]
fn others_leave_out_the_row_itself_and_nothing_else() {
    let rows = [[1f32, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]].concat();
    let rows = Matrix::new(&rows, 4, 2).unwrap();
    let run = Run::new(1, &NEVER);
    let kernels = Kernels::current().unwrap();
    let index = Index::build(&run, kernels, rows, Metric::Cosine, Precision::Auto).unwrap();
    let found = index.search_others(&run, rows, 2).unwrap();
    assert_eq!(found.rows, [1, 3, 0, 3, 0, 1, 0, 1]);
}

#[test]
fn results_do_not_depend_on_the_threads() {
    let values = |n: usize, mut state: u64| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / 1e6 - 8.0
        };
        (0..n).map(|_| next()).collect()
    };
    let (queries, rows) = (values(300 * 20, 1), values(20_000 * 20, 2));
    let rows = Matrix::new(&rows, 20_000, 20).unwrap();
    let kernels = Kernels::current().unwrap();
    let search = |threads: usize, m: usize, k: usize| {
        let run = Run::new(threads, &NEVER);
        let index = Index::build(&run, kernels, rows, Metric::Cosine, Precision::Auto).unwrap();
        index.search(&run, rows, Matrix::new(&queries[..m * 20], m, 20).unwrap(), k).unwrap()
    };
    // With the last, there are so many pairs that threads share the second pass, too.
    for (m, k) in [(1, 10), (5, 10), (300, 10), (300, 100)] {
        let reference = search(1, m, k);
        (2..=4).for_each(|threads| assert_eq!(search(threads, m, k), reference));
    }
}

#[test]
fn faults_are_named() {
    let run = Run::new(2, &NEVER);
    let kernels = Kernels::current().unwrap();
    let build = |data: &[f64], n, d| {
        let rows = Matrix::new(data, n, d)?;
        Index::build(&run, kernels, rows, Metric::Cosine, Precision::Auto)
    };
    let fault = build(&[1.0, 2.0, f64::NAN, f64::INFINITY], 2, 2).err();
    assert!(matches!(fault, Some(Error::NonFinite { row: 1, column: 0, .. })), "{fault:?}");
    assert!(matches!(build(&[1e200, 1.0], 1, 2).err(), Some(Error::Invalid(_))));
    assert!(matches!(build(&[], 0, 2).err(), Some(Error::Shape(_))));
    assert!(matches!(build(&[1.0], 1, 2).err(), Some(Error::Shape(_))));
    let stopped = AtomicBool::new(true);
    let rows = Matrix::new(&[1.0f32], 1, 1).unwrap();
    let stopped =
        Index::build(&Run::new(2, &stopped), kernels, rows, Metric::Inner, Precision::Auto).err();
    assert!(matches!(stopped, Some(Error::Interrupted)));
}

#[test]
fn votes_are_the_softmax_of_the_scores() {
    let ballot = Ballot {
        k: 3,
        rows: &[0, 1, 2, 2, 1, 0],
        scores: &[0.9, 0.8, 0.1, 400.0, 399.0, -400.0],
        labels: &[1, 0, 1],
        classes: 2,
    };
    let run = Run::new(2, &NEVER);
    let shares = vote(&run, ballot, &[3, 1], &[0.1, 10.0]).unwrap();
    let expected = |t: f64, k: usize, q: usize| {
        let weight = |i: usize| ((ballot.scores[3 * q + i] - ballot.scores[3 * q]) / t).exp();
        let total: f64 = (0..k).map(weight).sum();
        let of_zero = (0..k).filter(|&i| ballot.rows[3 * q + i] == 1);
        let share = of_zero.map(weight).sum::<f64>() / total;
        (share * k as f64 + 0.5) / (k + 1) as f64
    };
    let cases = [0.1, 10.0].into_iter().flat_map(|t| [3, 1].map(|k| (t, k)));
    let cases = cases.flat_map(|(t, k)| [0, 1].map(|q| (t, k, q)));
    for ((t, k, q), share) in cases.zip(shares.chunks(2)) {
        assert!((share[0] - expected(t, k, q)).abs() < 1e-12, "{t} {k} {q}");
        assert!((share[0] + share[1] - 1.0).abs() < 1e-12);
    }
    let outside = Ballot { labels: &[1, 0], ..ballot };
    assert!(matches!(vote(&run, outside, &[1], &[1.0]), Err(Error::Invalid(_))));
    assert!(matches!(vote(&run, ballot, &[4], &[1.0]), Err(Error::Invalid(_))));
    assert!(matches!(vote(&run, ballot, &[1], &[0.0]), Err(Error::Invalid(_))));
}
