//! Against plain loops in double precision.

use std::sync::atomic::AtomicBool;

use super::*;

/// Some number between -1 and 1.
fn number(i: usize) -> f64 {
    ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / 2f64.powi(52) - 1.0
}

struct Made {
    values: Vec<f64>,
    centre: Vec<f64>,
    labels: Vec<u32>,
    share: Vec<f64>,
}

/// Predictions of some use: the class of a row is raised.
fn made(rows: usize, classes: usize, use_of: f64) -> Made {
    let labels: Vec<u32> = (0..rows).map(|i| (i * 7 % classes) as u32).collect();
    let mut values: Vec<f64> = (0..rows * classes).map(|i| number(i) - 0.5).collect();
    (0..rows).for_each(|i| values[labels[i] as usize * rows + i] += use_of);
    let share: Vec<f64> = (0..rows).map(|i| 1.5 + number(i + 999)).collect();
    let total: f64 = share.iter().sum();
    let share = share.iter().map(|share| share / total).collect();
    Made { values, centre: (0..classes).map(|k| number(k) / 3.0 - 0.5).collect(), labels, share }
}

impl Made {
    fn stored(&self) -> Stored<'_> {
        let goal = Goal::Classes(&self.labels);
        Stored { values: &self.values, centre: &self.centre, goal, share: &self.share }
    }

    fn loss(&self, scale: f64) -> f64 {
        let rows = self.share.len();
        let loss = |i: usize| {
            let logit =
                |k: usize| self.centre[k] + scale * (self.values[k * rows + i] - self.centre[k]);
            let total: f64 = (0..self.centre.len()).map(|k| logit(k).exp()).sum();
            self.share[i] * (total.ln() - logit(self.labels[i] as usize))
        };
        (0..rows).map(loss).sum()
    }

    /// The series about a scale.
    fn series(&self, scale: f64) -> Vec<f64> {
        let stored = self.stored();
        let (rows, mut found) = (self.share.len(), Vec::new());
        let mut tiles = Tiles::new(stored.goal, stored.centre, Kernels::current().unwrap());
        for first in (0..rows).step_by(TILE) {
            let from = Columns { values: &self.values, ld: rows };
            let at = (first, first, TILE.min(rows - first));
            tiles.series(from, at, (&self.labels, scale), &mut found);
        }
        found
    }
}

#[test]
fn the_scale_is_the_best_one_whatever_the_threads() {
    let stop = AtomicBool::new(false);
    for (rows, classes) in [(1, 2), (7, 3), (8, 2), (300, 21), (61, 100)] {
        let made = made(rows, classes, 0.3);
        let [one, three] =
            [1, 3].map(|threads| fit_scales(&made.stored(), Run::new(threads, &stop)));
        let (one, three) = (one.unwrap(), three.unwrap());
        assert_eq!(one, three);
        let Fit { scale, loss } = one[0];
        assert!((made.loss(scale) - loss).abs() < 1e-12 * (1.0 + loss), "{rows} {classes}");
        for beside in [0.999, 1.001] {
            let inside = (scale * beside).clamp(LIMITS[0], LIMITS[1]);
            assert!(made.loss(inside) >= loss - 1e-12, "{rows} {classes} {scale} {beside}");
        }
    }
}

#[test]
fn a_series_finds_what_the_predictions_do_or_says_that_it_does_not_reach() {
    let stop = AtomicBool::new(false);
    let run = Run::new(1, &stop);
    for use_of in [0.05, 0.4, 1.0] {
        let made = made(300, 21, use_of);
        let best = fit_scales(&made.stored(), run).unwrap()[0];
        for off in [1.0, 1.01, 0.95, 1.2] {
            let values = made.series(best.scale * off);
            let parts = [Part { values: &values, share: &made.share }];
            let mut bracket = Bracket::default();
            match settle(&parts, best.scale * off, &mut bracket, run).unwrap() {
                Outcome::Settled(scale, loss) => {
                    assert!((scale / best.scale - 1.0).abs() < 2e-9, "{use_of} {off}");
                    assert!((loss / best.loss - 1.0).abs() < 1e-12, "{use_of} {off}");
                }
                Outcome::Open(_) => assert!(off > 1.1, "{use_of} {off}"),
            }
        }
    }
}

#[test]
fn a_series_from_far_away_stays_open() {
    let stop = AtomicBool::new(false);
    let made = made(300, 21, 1.0);
    let values = made.series(100.0);
    let parts = [Part { values: &values, share: &made.share }];
    let found = settle(&parts, 100.0, &mut Bracket::default(), Run::new(1, &stop)).unwrap();
    assert!(matches!(found, Outcome::Open(scale) if scale < 100.0), "{found:?}");
}

#[test]
fn useless_rows_settle_at_the_lower_limit() {
    let stop = AtomicBool::new(false);
    let made = made(300, 21, -1.0);
    let values = made.series(LIMITS[0]);
    let parts = [Part { values: &values, share: &made.share }];
    let found = settle(&parts, LIMITS[0], &mut Bracket::default(), Run::new(1, &stop)).unwrap();
    assert!(matches!(found, Outcome::Settled(scale, _) if scale == LIMITS[0]), "{found:?}");
}

#[test]
fn rows_without_an_error_ask_for_no_infinite_scale() {
    let stop = AtomicBool::new(false);
    let made = made(64, 21, 5.0);
    let run = Run::new(1, &stop);
    assert!(fit_scales(&made.stored(), run).unwrap()[0].scale > 10.0);
    let guessed = guess(&made.stored(), 1.0, run).unwrap();
    assert!((0.1..10.0).contains(&guessed), "{guessed}");
}

#[test]
fn columns_of_signs_are_two_classes_each() {
    let stop = AtomicBool::new(false);
    let run = Run::new(2, &stop);
    let rows = 45;
    let pair = made(rows, 2, 0.2);
    // One column f against its negative is the softmax of (-f, f).
    let values: Vec<f64> =
        (0..rows).map(|i| number(i) + if i % 7 > 2 { 0.3 } else { -0.2 }).collect();
    let both: Vec<f64> = values.iter().map(|v| -v).chain(values.iter().copied()).collect();
    let labels: Vec<u32> = (0..rows).map(|i| u32::from(i % 7 > 2)).collect();
    let signs: Vec<f64> = labels.iter().map(|&label| 2.0 * f64::from(label) - 1.0).collect();
    let share = &pair.share;
    let one = Stored { values: &values, centre: &[0.1], goal: Goal::Signs(&signs), share };
    let two = Stored { values: &both, centre: &[-0.1, 0.1], goal: Goal::Classes(&labels), share };
    let (one, two) = (fit_scales(&one, run).unwrap()[0], fit_scales(&two, run).unwrap()[0]);
    assert!((one.scale / two.scale - 1.0).abs() < 1e-9 && (one.loss - two.loss).abs() < 1e-14);
    // A column twice is no other problem.
    let (values, signs) = (values.repeat(2), signs.repeat(2));
    let twice = Stored { values: &values, centre: &[0.1, 0.1], goal: Goal::Signs(&signs), share };
    let twice = fit_scales(&twice, run).unwrap()[0];
    assert!((twice.scale / one.scale - 1.0).abs() < 1e-12 && (one.loss - twice.loss).abs() < 1e-14);
}

#[test]
fn what_does_not_fit_together_is_refused_and_a_flag_stops() {
    let stop = AtomicBool::new(false);
    let run = Run::new(1, &stop);
    let made = made(10, 3, 0.3);
    let wrong = [
        Stored { values: &made.values[1..], ..made.stored() },
        Stored { centre: &made.centre[1..], ..made.stored() },
        Stored { share: &[], ..made.stored() },
        Stored { goal: Goal::Classes(&[0; 9]), ..made.stored() },
        Stored { goal: Goal::Signs(&[1.0; 29]), ..made.stored() },
        Stored { goal: Goal::Classes(&[3; 10]), ..made.stored() },
    ];
    for stored in wrong {
        assert!(fit_scales(&stored, run).is_err(), "{stored:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(fit_scales(&made.stored(), run), Err(Error::Interrupted)));
}
