//! Rows of which none is wrong: their log-loss falls for ever as the scale grows.
//!
//! Then the scale is the one at which no rival has more than `2^-52 / K` of the odds of the own class, centres
//! aside: what is left of the log-loss, and could still be gained, is what double precision makes of
//! a probability of one. A rival that is level with the own class at any scale has no say.

use super::bracket::LIMITS;

/// How far the nearest rival is behind the own class: at a scale, times that scale. Negative where a rival is ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apart(f64);

impl Default for Apart {
    fn default() -> Self {
        Self(f64::INFINITY)
    }
}

impl Apart {
    /// A row about which nothing is known.
    pub const UNKNOWN: Self = Self(f64::NEG_INFINITY);

    /// Adds a rival that is so much ahead, negative if behind.
    pub fn add(&mut self, ahead: f64) {
        if ahead != 0.0 {
            // What is not a number is not behind.
            self.0 = if -ahead >= self.0 {
                self.0
            } else if ahead < 0.0 {
                -ahead
            } else {
                -f64::INFINITY
            };
        }
    }

    /// The nearer one.
    pub fn and(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The scale for so many classes, where none is wrong and one at least is behind.
    pub fn scale(self, classes: usize) -> Option<f64> {
        let odds = (classes as f64 / f64::EPSILON).ln();
        let is_apart = self.0 > 0.0 && self.0.is_finite();
        is_apart.then(|| (odds / self.0).clamp(LIMITS[0], LIMITS[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ahead: &[f64]) -> Option<f64> {
        let mut apart = Apart::default();
        ahead.iter().for_each(|&ahead| apart.add(ahead));
        apart.scale(4)
    }

    #[test]
    fn the_nearest_rival_has_the_say_unless_one_is_ahead() {
        let scale = of(&[-0.5, -2.0, 0.0]).unwrap();
        assert!((4.0 * (-scale * 0.5).exp() / f64::EPSILON - 4.0 * 0.25).abs() < 1e-9, "{scale}");
        assert_eq!(of(&[-2.0, -0.5]), Some(scale));
        assert_eq!(of(&[-1e-9]), Some(LIMITS[1]));
        for none in [&[0.0][..], &[], &[-1.0, 0.1], &[0.1, -1.0], &[-1.0, f64::NAN, -0.1]] {
            assert_eq!(of(none), None, "{none:?}");
        }
        assert_eq!(Apart::UNKNOWN.and(Apart::default()).scale(4), None);
    }
}
