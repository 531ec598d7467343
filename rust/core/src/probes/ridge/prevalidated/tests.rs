//! Scales and walks over the rows, for classes of all kinds.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::parallel::Meter;
use crate::probes::ridge::{cost_of_leaving_out, ridge_path};

const ROWS: usize = 6_000;
const CLASSES: usize = 40;
const ALPHAS: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4];

/// Some number between -1 and 1.
fn number(i: usize) -> f64 {
    ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / 2f64.powi(52) - 1.0
}

struct Made {
    x: Vec<f32>,
    labels: Vec<u32>,
    targets: Vec<f64>,
}

/// Rows near the corner of their class, and some that have the label of another.
fn made(noise: f64, wrong: &[usize]) -> Made {
    let mut labels: Vec<u32> = (0..ROWS).map(|i| (i * 7 % CLASSES) as u32).collect();
    let corner = |i: usize, j: usize| f64::from(u8::from(labels[i] as usize == j));
    let value = |at: usize| corner(at / CLASSES, at % CLASSES) + noise * number(at + 7);
    let x = (0..ROWS * CLASSES).map(|at| value(at) as f32).collect();
    wrong.iter().for_each(|&i| labels[i] = (labels[i] + 1) % CLASSES as u32);
    let sign = |at: usize| if labels[at % ROWS] as usize == at / ROWS { 1.0 } else { -1.0 };
    let targets = (0..ROWS * CLASSES).map(sign).collect();
    Made { x, labels, targets }
}

impl Made {
    fn task(&self) -> RidgeTask<'_> {
        RidgeTask {
            targets: &self.targets,
            weight: &[1.0; ROWS],
            labels: &self.labels,
            alphas: &ALPHAS,
            intercept: true,
            leave_one_out: true,
            predictions: false,
        }
    }

    fn rows(&self) -> Selection<'_, f32> {
        Selection::new(&self.x, CLASSES).unwrap()
    }

    /// The fits, and how often all rows were walked over for them.
    fn fits(&self, threads: usize) -> (Vec<Fit>, f64) {
        let (stop, meter) = (AtomicBool::new(false), Meter::default());
        let run = Run::new(threads, &stop).metered(&meter);
        let found = prevalidated_path(self.rows(), &self.task(), run).unwrap();
        let (before, walk) = (CLASSES as f64, cost_of_leaving_out(CLASSES, CLASSES) as f64);
        (found.fits, (meter.part() * (before + walk) - before) / walk)
    }

    /// The fits from stored predictions.
    fn expected(&self) -> Vec<Fit> {
        let (stop, task) = (AtomicBool::new(false), RidgeTask { predictions: true, ..self.task() });
        let run = Run::new(1, &stop);
        let path = ridge_path(self.rows(), &task, run).unwrap();
        let mean = |column: &[f64]| column.iter().sum::<f64>() / ROWS as f64;
        let centre: Vec<f64> = self.targets.chunks(ROWS).map(mean).collect();
        let (values, share) = (&path.predictions, &[1.0 / ROWS as f64; ROWS]);
        let goal = Goal::Classes(&self.labels);
        fit_scales(&Stored { values, centre: &centre, goal, share }, run).unwrap()
    }
}

#[test]
fn one_walk_or_two_find_the_scales_of_stored_predictions_for_all_kinds_of_classes() {
    let many: Vec<usize> = (0..ROWS).step_by(50).collect();
    let cases: [(&str, f64, &[usize]); 7] = [
        ("apart", 0.2, &[]),
        ("hardly apart", 0.6, &[]),
        ("one wrong", 0.2, &[3_210]),
        ("few wrong", 0.6, &[11, 3_210, 5_999]),
        ("some wrong", 0.2, &many),
        ("overlapping", 1.5, &[]),
        ("useless", 300.0, &[]),
    ];
    for (name, noise, wrong) in cases {
        let made = made(noise, wrong);
        let (found, walks) = made.fits(1);
        assert_eq!((&found, walks), (&made.fits(3).0, walks), "{name}");
        // An eighth of all rows says little of how few are wrong, and less of how near the nearest one is.
        let most = match name {
            "hardly apart" => 2.2,
            "few wrong" => 1.3,
            _ => 1.2,
        };
        assert!(walks < most, "{name}: {walks}");
        for (found, expected) in found.iter().zip(made.expected()) {
            let off = found.scale / expected.scale - 1.0;
            // Where nothing is learnt the loss is flat, and any scale as good.
            assert!(off.abs() < 1e-8 || name == "useless", "{name}: {found:?} {expected:?}");
            assert!((found.loss - expected.loss).abs() < 1e-12, "{name}: {found:?} {expected:?}");
        }
    }
}
