//! Certified solvers for linear probes on frozen features.
//!
//! [`solve_paths`] minimises, for each task and each C, scikit-learn's objective
//! `C * sum s_i loss(y_i, W x_i + b) + |W|^2 / 2` with the intercept free, and certifies each
//! solution in double precision.
//!
//! Inside, a problem is scaled to `f(W, b) = mean loss + lambda |W|^2 / 2` with
//! `lambda = 1 / (C sum s)`. One pass over the data ([`pass`]) evaluates any number of problems that
//! share X; each problem is minimised by L-BFGS ([`lbfgs`]) along its path of C ([`path`]).

mod axes;
mod certificate;
pub mod data;
mod dense;
mod design;
mod drive;
mod early_stop;
pub mod lbfgs;
mod logits;
mod mend;
pub mod pass;
pub mod path;
mod ridge;
mod scaling;
mod solve;
mod sparse;
mod sweep;
mod temperature;
mod under_way;
mod watch;

pub use crate::simd::pass::Loss;
pub use certificate::Certificate;
pub use data::Selection;
pub use design::Features;
pub use early_stop::patient_count;
pub use logits::logits;
pub use pass::{Target, Task};
pub use ridge::{Prevalidated, RidgePath, RidgeTask, prevalidated_path, ridge_path};
pub use solve::{Options, Path, Problem, Solution, solve_many, solve_paths, solve_watched};
pub use sparse::Csr;
pub use temperature::{Fit, Goal, Stored, fit_scales};
pub use watch::{Finished, Progress, Watch};
