//! The minimum of a convex function of one positive number, by Newton's method inside a bracket.

/// The scales to choose from.
pub const LIMITS: [f64; 2] = [1e-6, 1e6];
/// A step below this, relative to the scale, ends the search.
pub const STEP: f64 = 1e-9;

/// The log-loss at a scale, and its two derivatives by the scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    pub loss: f64,
    pub slope: f64,
    pub curvature: f64,
}

impl At {
    /// Adds a share of another.
    pub fn add(&mut self, share: f64, other: At) {
        self.loss += share * other.loss;
        self.slope += share * other.slope;
        self.curvature += share * other.curvature;
    }
}

/// Where the minimum lies.
#[derive(Clone, Copy, Debug)]
pub struct Bracket {
    low: f64,
    high: f64,
}

impl Default for Bracket {
    fn default() -> Self {
        Self { low: LIMITS[0], high: LIMITS[1] }
    }
}

impl Bracket {
    /// The scale to look at next, once `at` is known of `scale`; the bracket shrinks to that side of it
    /// on which the minimum is.
    pub fn next(&mut self, scale: f64, at: At) -> f64 {
        if at.slope < 0.0 {
            self.low = scale
        } else {
            self.high = scale
        }
        let newton = scale - at.slope / at.curvature;
        let inside = newton > self.low && newton < self.high;
        if at.curvature > 0.0 && inside { newton } else { (self.low * self.high).sqrt() }
    }
}

/// Searches from `start` with what `look` finds at a scale, until a step is below `least`, relative to the
/// scale; returns the scale after that step and what is found there, to the second order of the step.
pub fn search<E>(
    start: f64,
    least: f64,
    mut look: impl FnMut(f64) -> Result<At, E>,
) -> Result<(f64, At), E> {
    const MOST: usize = 60;
    let (mut bracket, mut scale) = (Bracket::default(), start.clamp(LIMITS[0], LIMITS[1]));
    let mut at = look(scale)?;
    for _ in 1..MOST {
        let next = bracket.next(scale, at);
        if at.slope == 0.0 {
            break;
        }
        let step = next - scale;
        if step.abs() <= least * scale {
            at.loss += step * (at.slope + step * at.curvature / 2.0);
            return Ok((next, at));
        }
        scale = next;
        at = look(scale)?;
    }
    Ok((scale, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(x - best)^2 / x` has its minimum at `best` and is convex for positive numbers.
    fn at(scale: f64, best: f64) -> At {
        let loss = (scale - best).powi(2) / scale;
        let slope = 1.0 - best * best / (scale * scale);
        At { loss, slope, curvature: 2.0 * best * best / scale.powi(3) }
    }

    #[test]
    fn finds_the_minimum_from_anywhere_within_the_limits() {
        for best in [3e-6, 0.1, 1.0, 7.0, 300.0] {
            for start in [0.0, 1e-6, 1.0, 1e9] {
                let found = search(start, STEP, |scale| Ok::<_, ()>(at(scale, best))).unwrap();
                assert!((found.0 / best - 1.0).abs() < 1e-8, "{best} from {start}: {found:?}");
            }
        }
    }

    #[test]
    fn a_minimum_beyond_the_limits_is_at_the_limit() {
        for (best, limit) in [(0.0, LIMITS[0]), (1e9, LIMITS[1])] {
            let found = search(1.0, STEP, |scale| Ok::<_, ()>(at(scale, best))).unwrap();
            assert!((found.0 / limit - 1.0).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(search(1.0, STEP, |_| Err::<At, _>("stop")), Err("stop"));
    }
}
