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

    /// What is kept of the rows about a scale.
    fn records(&self, scale: f64) -> Vec<Record> {
        let stored = self.stored();
        let (rows, mut found) = (self.share.len(), Vec::new());
        let mut tiles = Tiles::new(stored.goal, stored.centre, Kernels::current().unwrap());
        for first in (0..rows).step_by(TILE) {
            let from = Columns { values: &self.values, ld: rows };
            let at = (first, first, TILE.min(rows - first));
            tiles.records(from, at, (&self.labels, scale), &mut found);
        }
        found
    }

    /// What comes out of records about a scale.
    fn settle(&self, about: f64) -> Outcome {
        let (stop, records) = (AtomicBool::new(false), self.records(about));
        let parts = [Part { about, records: &records, share: &self.share }];
        settle(&parts, about, Run::new(1, &stop)).unwrap()
    }

    /// The class of a row is so much ahead of its nearest rival, centres aside.
    fn lead(&mut self, row: usize, by: f64) {
        let (rows, own) = (self.share.len(), self.labels[row] as usize);
        let ahead = |k: usize| self.values[k * rows + row] - self.centre[k];
        let rivals = (0..self.centre.len()).filter(|&k| k != own);
        let nearest = rivals.map(ahead).fold(f64::NEG_INFINITY, f64::max);
        self.values[own * rows + row] = self.centre[own] + nearest + by;
    }

    /// The slope of the log-loss, by plain loops that lose no digits of a small probability.
    fn slope(&self, scale: f64) -> f64 {
        let (rows, columns) = (self.share.len(), self.centre.len());
        let of_row = |i: usize| {
            let own = self.labels[i] as usize;
            let ahead = |k: usize| {
                let of = |k: usize| self.values[k * rows + i] - self.centre[k];
                of(k) - of(own)
            };
            let logit = |k: usize| self.centre[k] - self.centre[own] + scale * ahead(k);
            let top = (0..columns).map(logit).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..columns).map(|k| (logit(k) - top).exp()).sum();
            let rivals = (0..columns).filter(|&k| k != own);
            rivals.map(|k| (logit(k) - top).exp() / total * ahead(k)).sum::<f64>()
        };
        (0..rows).map(|i| self.share[i] * of_row(i)).sum()
    }

    /// How far the nearest rival of each row is behind.
    fn leads(&self) -> Vec<f64> {
        let (rows, columns) = (self.share.len(), self.centre.len());
        let ahead = |k: usize, i: usize| self.values[k * rows + i] - self.centre[k];
        let lead = |i: usize| {
            let own = self.labels[i] as usize;
            let rivals = (0..columns).filter(|&k| k != own).map(|k| ahead(own, i) - ahead(k, i));
            rivals.fold(f64::INFINITY, f64::min)
        };
        (0..rows).map(lead).collect()
    }

    /// Where the slope changes its sign, by halving; with the nearest row wrong, if none is.
    fn best(&self) -> f64 {
        let leads = self.leads();
        let right = leads.iter().zip(&self.share).filter(|(lead, _)| **lead > 1e-14);
        let least = right.map(|(lead, share)| lead * share).fold(f64::INFINITY, f64::min);
        let more = if leads.iter().all(|&lead| lead > -1e-14) { least } else { 0.0 };
        let slope = |scale: f64| self.slope(scale) + more;
        let (mut low, mut high) = (LIMITS[0], LIMITS[1]);
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        low
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
fn records_find_what_the_predictions_do_or_say_that_they_do_not_reach() {
    let stop = AtomicBool::new(false);
    let run = Run::new(1, &stop);
    for use_of in [0.05, 0.4, 1.0] {
        let made = made(300, 21, use_of);
        let best = fit_scales(&made.stored(), run).unwrap()[0];
        for off in [1.0, 1.01, 0.95, 1.2] {
            match made.settle(best.scale * off) {
                Outcome::Settled(Fit { scale, loss }) => {
                    assert!((scale / best.scale - 1.0).abs() < 2e-9, "{use_of} {off}");
                    assert!((loss / best.loss - 1.0).abs() < 1e-12, "{use_of} {off}");
                }
                Outcome::Open { .. } => assert!(off > 1.1, "{use_of} {off}"),
            }
        }
    }
}

#[test]
fn records_from_far_away_stay_open() {
    let found = made(300, 21, 1.0).settle(100.0);
    assert!(matches!(found, Outcome::Open { scale, .. } if scale < 100.0), "{found:?}");
}

#[test]
fn useless_rows_settle_at_the_lower_limit() {
    let found = made(300, 21, -1.0).settle(LIMITS[0]);
    let is_there = |fit: Fit| fit.scale == LIMITS[0];
    assert!(matches!(found, Outcome::Settled(fit) if is_there(fit)), "{found:?}");
}

/// Predictions of which only these rows are not far ahead, by so much; all rows else are right.
fn nearly_apart(leads: &[f64]) -> Made {
    let mut made = made(300, 40, 4.0);
    leads.iter().enumerate().for_each(|(at, &by)| made.lead(at * 31, by));
    made
}

#[test]
fn few_rows_that_matter_have_the_best_scale_of_plain_loops() {
    let stop = AtomicBool::new(false);
    let cases: [&[f64]; 9] = [
        &[-0.2],
        &[-0.01],
        &[-1.5, 1e-3, 0.02],
        &[-1e-3, 0.3, 0.2, 0.1],
        &[-0.5, 0.0],
        // None is wrong.
        &[],
        &[0.01],
        &[0.1, 1.0],
        &[0.0, 0.02, 0.5],
    ];
    for leads in cases {
        let made = nearly_apart(leads);
        let best = made.best();
        // Where the nearest row counts as wrong the log-loss is not flat, so it is as exact as the scale.
        let exact = if leads.iter().any(|&lead| lead < 0.0) { 1e-11 } else { 1e-8 };
        let stored = fit_scales(&made.stored(), Run::new(1, &stop)).unwrap()[0];
        assert!((stored.scale / best - 1.0).abs() < 2e-9, "{leads:?} {stored:?} {best}");
        for off in [0.7, 0.9, 1.0, 1.1] {
            match made.settle(best * off) {
                Outcome::Settled(fit) => {
                    assert!(
                        (fit.scale / best - 1.0).abs() < 2e-9,
                        "{leads:?} {off} {fit:?} {best}"
                    );
                    assert!((fit.loss / made.loss(best) - 1.0).abs() < exact, "{leads:?} {off}");
                }
                // Not known, but about right.
                Outcome::Open { scale, .. } => {
                    assert!(
                        off < 0.8 && (scale / best - 1.0).abs() < 0.01,
                        "{leads:?} {off} {scale}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_that_is_wrong_by_hardly_anything_has_the_best_scale_of_plain_loops() {
    let stop = AtomicBool::new(false);
    for lead in [-1e-9, 1e-9] {
        let made = nearly_apart(&[lead]);
        let found = fit_scales(&made.stored(), Run::new(1, &stop)).unwrap()[0];
        assert!((found.scale / made.best() - 1.0).abs() < 2e-9, "{found:?} {}", made.best());
    }
}

#[test]
fn rows_that_are_all_right_by_the_same_come_out_as_if_one_was_wrong() {
    let stop = AtomicBool::new(false);
    for rows in [2, 3, 10, 1000] {
        let labels: Vec<u32> = (0..rows).map(|i| i as u32 % 2).collect();
        let sign = |at: usize| if labels[at % rows] as usize == at / rows { 0.25 } else { -0.25 };
        let values = (0..2 * rows).map(sign).collect();
        let share = vec![1.0 / rows as f64; rows];
        let made = Made { values, centre: vec![0.0; 2], share, labels };
        let fit = fit_scales(&made.stored(), Run::new(1, &stop)).unwrap()[0];
        let expected = (((rows - 1) as f64).ln() / 0.5).max(LIMITS[0]);
        assert!((fit.scale - expected).abs() < 1e-8 * (1.0 + expected), "{rows} {fit:?}");
        assert!((fit.loss + (1.0 - 1.0 / rows as f64).ln()).abs() < 1e-6, "{rows} {fit:?}");
    }
}

#[test]
fn the_nearest_row_has_its_say_by_a_logarithm_on_either_side_of_the_border() {
    let stop = AtomicBool::new(false);
    let [far, near, beyond] = [0.3, 3e-7, -3e-7].map(|lead| {
        let mut made = made(300, 2, 4.0);
        made.centre.fill(-0.5);
        made.lead(0, lead);
        fit_scales(&made.stored(), Run::new(1, &stop)).unwrap()[0].scale
    });
    assert!((1.0..5.0).contains(&(near / far)), "{far} {near}");
    assert!((near / beyond - 1.0).abs() < 1e-5, "{near} {beyond}");
}

#[test]
fn rivals_that_are_level_but_for_rounding_are_level() {
    let stop = AtomicBool::new(false);
    let mut made = nearly_apart(&[0.25]);
    made.centre.fill(0.1);
    (0..300).for_each(|row| made.lead(row, if row == 62 { 0.0 } else { 0.5 }));
    let at = made.labels[62] as usize * 300 + 62;
    let (level, mut scales) = (made.values[at], Vec::new());
    for value in [level, level.next_up(), level.next_down()] {
        made.values[at] = value;
        let fit = fit_scales(&made.stored(), Run::new(1, &stop)).unwrap()[0];
        assert!(fit.loss > made.share[62] * 2f64.ln() && fit.scale < 100.0, "{fit:?}");
        for off in [0.9, 1.0, 1.1] {
            let Outcome::Settled(found) = made.settle(fit.scale * off) else { panic!("{off}") };
            assert!((found.scale / fit.scale - 1.0).abs() < 2e-9, "{off}: {found:?} {fit:?}");
        }
        scales.push(fit.scale);
    }
    assert!(scales.iter().all(|scale| (scale / scales[0] - 1.0).abs() < 2e-9), "{scales:?}");
}

#[test]
fn what_records_say_of_their_error_is_true() {
    for (use_of, leads) in [(0.3, &[][..]), (1.0, &[-0.1]), (4.0, &[-0.2, 0.1])] {
        let mut made = made(200, 40, use_of);
        leads.iter().enumerate().for_each(|(at, &by)| made.lead(at * 31, by));
        for about in [0.5, 3.0, 20.0] {
            let records = made.records(about);
            for off in [0.2, 0.5, 0.9, 1.2, 2.0, 10.0] {
                let scale = about * off;
                let rows = records.iter().zip(&made.share);
                let (slope, error) = rows.fold((0.0, 1e-13), |(slope, error), (record, share)| {
                    let step = scale - about;
                    (slope + share * record.look(step).slope, error + share * record.error(step))
                });
                let off_by = (slope - made.slope(scale)).abs();
                assert!(off_by <= error, "{use_of} {about} {off}: {off_by} {error}");
            }
        }
    }
}

#[test]
fn a_guess_is_as_if_one_of_all_rows_was_wrong() {
    let stop = AtomicBool::new(false);
    let made = made(64, 21, 5.0);
    let run = Run::new(1, &stop);
    let fit = fit_scales(&made.stored(), run).unwrap()[0];
    let [of_these, of_more] =
        [64, 6_400].map(|rows| guess(&made.stored(), rows, 1.0, run).unwrap());
    assert!((of_these / fit.scale - 1.0).abs() < 1e-2, "{of_these} {fit:?}");
    assert!((1.5..3.0).contains(&(of_more / of_these)), "{of_more} {of_these}");
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
