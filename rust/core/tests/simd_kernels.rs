//! Every kernel of every instruction set of this machine against a naive reference.

use proptest::prelude::*;
use tlengine_core::simd::Kernels;
use tlengine_core::simd::bounds::{QueryBounds, RowBounds};
use tlengine_core::simd::exact::plain;
use tlengine_core::simd::exact::{Double, Real};
use tlengine_core::simd::tile::{
    PANEL_ROWS, Products, StepBf16, StepF32, StepI8, TILE_QUERIES, TILE_WIDTHS, tile_width,
};

fn numbers(length: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-100f32..100.0, length)
}

fn codes(length: usize) -> impl Strategy<Value = Vec<i8>> {
    prop::collection::vec(-127i8..=127, length)
}

fn each_width(test: impl Fn(Kernels, usize)) {
    for kernels in Kernels::available() {
        TILE_WIDTHS.into_iter().for_each(|width| test(kernels, width));
    }
}

/// Sums of products with short integers against exact ones.
fn check_sketch<T: Real>(kernels: Kernels, a: &[T], codes: &[i16]) -> Result<(), TestCaseError> {
    // What is asked for on the way changes nothing, however long it is.
    let a_few = &codes[..codes.len().min(3)];
    let numbers: Vec<T> = codes.iter().map(|&code| code.into()).collect();
    prop_assert_eq!(
        kernels.sketch_dots([a], [codes], [a_few]),
        kernels.plain_dots([a], [&numbers], [&[]])
    );
    prop_assert_eq!(
        kernels.sketch_dots([a; 4], [codes; 4], [codes; 4]),
        kernels.plain_dots([a; 4], [&numbers; 4], [&numbers; 4])
    );
    Ok(())
}

/// Plain sums of two rows against exact ones.
fn check_plain<T: Real>(kernels: Kernels, a: &[T], b: &[T]) -> Result<(), TestCaseError> {
    let (relative, lost) = (plain::relative_error::<T>(a.len()), plain::underflow::<T>(a.len()));
    let size = kernels.exact_dot(a, a).root() * kernels.exact_dot(b, b).root();
    let [dot] = kernels.plain_dots([a], [b], [b]);
    prop_assert!((dot - kernels.exact_dot(a, b).hi).abs() <= relative * size + lost);
    let exact = kernels.exact_distance(a, b).hi;
    prop_assert!((kernels.plain_distance(a, b) - exact).abs() <= relative * exact + lost);
    prop_assert_eq!([dot], Kernels::available()[0].plain_dots([a], [b], [a]));
    let [ab, aa, bb] = kernels.plain_dots([a, a, b], [b, a, b], [a; 3]);
    prop_assert_eq!(
        [[ab], [aa], [bb]],
        [[a, b], [a, a], [b, b]].map(|[x, y]| kernels.plain_dots([x], [y], [y]))
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn float_products_are_within_their_error(
        (depth, queries, rows) in (1usize..70).prop_flat_map(|depth| {
            (Just(depth), numbers(depth * TILE_QUERIES), numbers(depth * PANEL_ROWS))
        })
    ) {
        let panel: Vec<StepF32> =
            rows.chunks(PANEL_ROWS).map(|step| StepF32(step.try_into().unwrap())).collect();
        each_width(|kernels, width| {
            let queries = &queries[..depth * width];
            let mut sums = Products::ZERO;
            kernels.products_f32(queries, width, &panel, &mut sums);
            for (m, r) in (0..width).flat_map(|m| (0..PANEL_ROWS).map(move |r| (m, r))) {
                let terms = (0..depth)
                    .map(|i| f64::from(queries[i * width + m]) * f64::from(panel[i].0[r]));
                let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                let error = (depth + 2) as f64 * f64::from(f32::EPSILON) / 2.0 * size;
                assert!((f64::from(sums.0[m][r]) - sum).abs() <= error, "{kernels:?} {width}");
            }
        });
    }

    #[test]
    fn bfloat16_products_are_within_their_error(
        (steps, queries, rows) in (1usize..40).prop_flat_map(|steps| {
            (Just(steps), numbers(steps * TILE_QUERIES * 2), numbers(steps * PANEL_ROWS * 2))
        })
    ) {
        let codes = |numbers: &[f32]| {
            let wide: Vec<f64> = numbers.iter().map(|&v| v.into()).collect();
            let mut codes = vec![0u16; wide.len()];
            Kernels::available()[0].encode_bf16(&wide, &mut codes);
            codes
        };
        let number = |code: u16| f64::from(f32::from_bits(u32::from(code) << 16));
        let (queries, rows) = (codes(&queries), codes(&rows));
        let panel: Vec<StepBf16> = rows
            .chunks(2 * PANEL_ROWS)
            .map(|step| StepBf16(std::array::from_fn(|r| [step[2 * r], step[2 * r + 1]])))
            .collect();
        each_width(|kernels, width| {
            let word = |i: usize| u32::from(queries[2 * i + 1]) << 16 | u32::from(queries[2 * i]);
            let tile: Vec<i32> = (0..steps * width).map(|i| word(i) as i32).collect();
            let mut sums = Products::ZERO;
            kernels.products_bf16(&tile, width, &panel, &mut sums);
            for (m, r) in (0..width).flat_map(|m| (0..PANEL_ROWS).map(move |r| (m, r))) {
                let terms = (0..steps).flat_map(|s| [0, 1].map(|half| (s, half))).map(|(s, half)| {
                    number(queries[2 * (s * width + m) + half]) * number(panel[s].0[r][half])
                });
                let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                let error = (4 * steps + 4) as f64 * f64::from(f32::EPSILON) / 2.0 * size;
                assert!((f64::from(sums.0[m][r]) - sum).abs() <= error, "{kernels:?} {width}");
            }
        });
    }

    #[test]
    fn byte_products_are_exact(
        (steps, queries, rows) in (1usize..40).prop_flat_map(|steps| {
            (Just(steps), codes(steps * TILE_QUERIES * 4), codes(steps * PANEL_ROWS * 4))
        })
    ) {
        let word = |i: usize| [0, 1, 2, 3].map(|b| queries[4 * i + b]);
        let row = |step: usize, r: usize| [0, 1, 2, 3].map(|b| rows[4 * (step * PANEL_ROWS + r) + b]);
        let shifted = |codes: [i8; 4]| codes.map(|code| (i16::from(code) + 128) as u8);
        let panel: Vec<StepI8> = (0..steps)
            .map(|step| StepI8(std::array::from_fn(|r| shifted(row(step, r)))))
            .collect();
        each_width(|kernels, width| {
            let sum = |m: usize| {
                (0..steps).flat_map(|s| word(s * width + m)).map(i32::from).sum::<i32>()
            };
            let starts = (0..width).map(|m| -128 * sum(m));
            let words = (0..steps * width).map(|i| i32::from_le_bytes(word(i).map(|c| c as u8)));
            let tile: Vec<i32> = starts.chain(words).collect();
            let mut sums = Products::ZERO;
            kernels.products_i8(&tile, width, &panel, &mut sums);
            for (m, r) in (0..width).flat_map(|m| (0..PANEL_ROWS).map(move |r| (m, r))) {
                let expected: i32 = (0..steps)
                    .map(|s| {
                        let pairs = word(s * width + m).into_iter().zip(row(s, r));
                        pairs.map(|(a, b)| i32::from(a) * i32::from(b)).sum::<i32>()
                    })
                    .sum();
                assert_eq!(sums.0[m][r], expected as f32, "{kernels:?} {width}");
            }
        });
    }

    #[test]
    fn exact_sums_survive_cancellation(values in numbers(57), large in 1e10f64..1e15) {
        // The same terms once plain and once between two huge ones that cancel.
        let plain: Vec<f64> = values.iter().map(|&v| f64::from(v.round())).collect();
        let mut hard = vec![large.round()];
        hard.extend(&plain);
        hard.push(-large.round());
        let ones = vec![1.0; hard.len()];
        let expected: f64 = plain.iter().sum();
        for kernels in Kernels::available() {
            prop_assert_eq!(kernels.exact_dot(&hard, &ones).hi, expected);
        }
    }

    #[test]
    fn exact_sums_have_the_same_bits_everywhere(a in numbers(83), b in numbers(83)) {
        let reference = Kernels::available()[0];
        let wide: Vec<f64> = a.iter().map(|&v| f64::from(v) / 3.0).collect();
        let other: Vec<f64> = b.iter().map(|&v| f64::from(v) / 7.0).collect();
        for kernels in Kernels::available() {
            prop_assert_eq!(kernels.exact_dot(&a, &b), reference.exact_dot(&a, &b));
            prop_assert_eq!(kernels.exact_dot(&wide, &other), reference.exact_dot(&wide, &other));
            prop_assert_eq!(kernels.exact_distance(&a, &b), reference.exact_distance(&a, &b));
            prop_assert_eq!(kernels.hash_row(&a), reference.hash_row(&a));
        }
    }

    #[test]
    fn bounded_sums_are_exact_sums(a in numbers(83), b in numbers(83), power in -300i32..300) {
        let wide: Vec<f64> = a.iter().map(|&v| f64::from(v) / 3.0 * 2f64.powi(power)).collect();
        let other: Vec<f64> = b.iter().map(|&v| f64::from(v) / 7.0).collect();
        let near = |found: Double, wanted: Double, limit: f64| {
            ((found.hi - wanted.hi) + (found.lo - wanted.lo)).abs() <= limit * 2f64.powi(-90)
        };
        let reference = Kernels::available()[0];
        for kernels in Kernels::available() {
            let limit = 2f64.powi(20);
            let [found] = kernels.exact_dots_within([&a], [&b], [limit], [&b]);
            prop_assert!(near(found, kernels.exact_dot(&a, &b), limit));
            prop_assert_eq!([found], reference.exact_dots_within([&a], [&b], [limit], [&[]]));
            let pairs = kernels.exact_dots_within([&a, &b, &a], [&b, &b, &b], [limit; 3], [&a, &a, &b]);
            prop_assert_eq!([pairs[0], pairs[2]], [found; 2]);
            let limit = 2f64.powi(power + 17);
            let [found] = kernels.exact_dots_within([&wide], [&other], [limit], [&other]);
            prop_assert!(near(found, kernels.exact_dot(&wide, &other), limit));
            prop_assert_eq!([found], reference.exact_dots_within([&wide], [&other], [limit], [&wide]));
        }
    }

    #[test]
    fn plain_sums_are_as_near_as_their_bound(a in numbers(183), b in numbers(183)) {
        let wide: Vec<f64> = a.iter().map(|&v| f64::from(v) / 3.0).collect();
        let other: Vec<f64> = b.iter().map(|&v| f64::from(v) / 7.0).collect();
        for kernels in Kernels::available() {
            check_plain(kernels, &a, &b)?;
            check_plain(kernels, &wide, &other)?;
            let codes: Vec<i16> = b.iter().map(|&v| (v * 32.0) as i16).collect();
            check_sketch(kernels, &a, &codes)?;
            check_sketch(kernels, &wide, &codes)?;
            // Products for which single precision has few digits or none.
            let tiny = |row: &[f32]| row.iter().map(|v| v * 1e-22).collect::<Vec<_>>();
            check_plain(kernels, &tiny(&a), &tiny(&b))?;
        }
    }

    #[test]
    fn codes_stand_for_their_vector(vector in prop::collection::vec(-1e3f64..1e3, 1..90)) {
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        for kernels in Kernels::available() {
            let (mut floats, mut bytes) = (vec![0f32; vector.len()], vec![0i8; vector.len()]);
            let mut halves = vec![0u16; vector.len()];
            let rounded = kernels.encode_bf16(&vector, &mut halves);
            let half = |code: u16| f64::from(f32::from_bits(u32::from(code) << 16));
            let lost = norm(&mut vector.iter().zip(&halves).map(|(v, c)| v - half(*c)));
            prop_assert!((rounded.error - lost).abs() <= 1e-12 * lost + 1e-300);
            prop_assert!(lost <= norm(&mut vector.iter().copied()) / 256.0);
            let rounded = kernels.encode_f32(&vector, &mut floats);
            let lost = norm(&mut vector.iter().zip(&floats).map(|(v, c)| v - f64::from(*c)));
            prop_assert!((rounded.error - lost).abs() <= 1e-12 * lost + 1e-300);
            let coded = kernels.encode_i8(&vector, &mut bytes);
            let value = |code: i8| f64::from(code) * f64::from(coded.scale);
            let lost = norm(&mut vector.iter().zip(&bytes).map(|(v, c)| v - value(*c)));
            prop_assert!((coded.error - lost).abs() <= 1e-12 * lost + 1e-300);
            let size = norm(&mut bytes.iter().map(|&c| value(c)));
            prop_assert!((coded.norm - size).abs() <= 1e-12 * size);
        }
    }

    #[test]
    fn marks_are_the_rows_that_reach_the_floor(sums in numbers(PANEL_ROWS), floor in -50f32..50.0) {
        let mut rows = RowBounds::NONE;
        rows.scale = [2.0; PANEL_ROWS];
        rows.error = [0.5; PANEL_ROWS];
        rows.norm = [3.0; PANEL_ROWS];
        rows.bias = std::array::from_fn(|r| if r < 20 { r as f32 } else { f32::NEG_INFINITY });
        let query =
            QueryBounds { scale: 0.25, norm: 1.0, error: 0.125, bias_weight: 1.0, slack: 0.5, floor };
        for kernels in Kernels::available() {
            let mut products = Products::ZERO;
            products.0[1].copy_from_slice(&sums);
            let marks = kernels.upper_bounds(&mut products, &rows, &[QueryBounds::NONE, query]);
            prop_assert_eq!(marks.rows[0], 0);
            prop_assert_eq!(marks.queries, u32::from(marks.rows[1] != 0) << 1);
            for (r, sum) in sums.iter().enumerate() {
                let upper = sum.mul_add(2.0 * 0.25, rows.bias[r] + (0.5 + 3.0 * 0.125 + 0.5));
                prop_assert_eq!(products.0[1][r], upper);
                prop_assert_eq!(marks.rows[1] >> r & 1 == 1, upper >= floor);
            }
        }
    }
}

#[test]
fn the_largest_number_of_a_row_is_found_and_nan_is_told() {
    for kernels in Kernels::available() {
        assert_eq!(kernels.largest(&[1f32, -7.0, 3.0]), 7.0);
        assert_eq!(kernels.largest::<f64>(&[]), 0.0);
        assert!(kernels.largest(&[1.0, f64::NAN, 3.0]).is_nan());
        assert_eq!(kernels.largest(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
    }
}

#[test]
fn widths_fit_the_queries() {
    let widths: Vec<_> = [0, 1, 3, 5, 8, 9, 12, 100].map(tile_width).into();
    assert_eq!(widths, [1, 1, 4, 8, 8, 12, 12, 12]);
}

#[test]
fn a_rotation_keeps_inner_products_and_spreads_a_spike() {
    for kernels in Kernels::available() {
        for length in [1, 2, 3, 7, 64, 100, 768] {
            let vector = |seed: usize| -> Vec<f64> {
                (0..length).map(|i| (((i + 1) * seed) % 17) as f64 - 8.0).collect()
            };
            let (mut a, mut b) = (vector(5), vector(11));
            let before = kernels.dot_f64(&a, &b);
            let size = (kernels.squared_norm(&a) * kernels.squared_norm(&b)).sqrt();
            kernels.rotate(&mut a);
            kernels.rotate(&mut b);
            let lost = (kernels.dot_f64(&a, &b) - before).abs();
            assert!(lost <= 2.0 * tlengine_core::simd::rotation::RELATIVE_ERROR * size);
        }
        let mut spike = vec![0.0; 768];
        spike[3] = 1.0;
        kernels.rotate(&mut spike);
        assert!(kernels.largest(&spike) < 0.2);
    }
}

#[test]
fn a_lower_bound_is_two_errors_below_the_upper_one() {
    let mut rows = RowBounds::NONE;
    rows.error[3] = 0.5;
    rows.norm[3] = 2.0;
    rows.bias_error[3] = 0.25;
    let query = QueryBounds {
        scale: 1.0,
        norm: 2.0,
        error: 0.125,
        bias_weight: 4.0,
        slack: 0.0625,
        floor: 0.0,
    };
    let lower = query.lower(&rows, 3, 10.0);
    let exact = 10.0 - 2.0 * (2.0 * 0.5 + 0.125 * 2.0 + 4.0 * 0.25 + 0.0625);
    assert!(lower < exact && lower > exact - 1e-4);
    let unbounded = QueryBounds { slack: f32::INFINITY, ..query };
    assert_eq!(unbounded.lower(&rows, 3, f32::INFINITY), f32::NEG_INFINITY);
}
