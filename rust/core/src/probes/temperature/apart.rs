//! Rows of which none is wrong: their log-loss falls for ever as the scale grows.
//!
//! Then the row that is nearest to it is taken to be wrong: its label is that of its nearest rival. Of n rows that
//! are all right by the same one is wrong, and that is the probability that they come out with. The scale is a matter
//! of all rows: the lead of the nearest enters by its logarithm, whichever side of the border the row is on.

/// How some rows stand with their nearest rivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apart {
    is_wrong: bool,
    /// The least that a row has of its weight times how far its nearest rival is behind.
    least: f64,
}

impl Default for Apart {
    fn default() -> Self {
        Self { is_wrong: false, least: f64::INFINITY }
    }
}

impl Apart {
    /// Adds a row whose nearest rival is so much ahead: negative if behind, zero if level.
    pub fn add(&mut self, share: f64, ahead: f64) {
        if share > 0.0 {
            // What is not a number is not behind.
            self.is_wrong |= ahead.is_nan() | (ahead > 0.0);
            self.least = if ahead < 0.0 { self.least.min(share * -ahead) } else { self.least };
        }
    }

    /// All rows of both.
    pub fn and(self, other: Self) -> Self {
        Self { is_wrong: self.is_wrong | other.is_wrong, least: self.least.min(other.least) }
    }

    /// What the other label of the nearest row adds to the slope of the log-loss, at any scale; nothing where a row
    /// is wrong as it is. What is reported as log-loss is that of the true label.
    pub fn slope(self) -> f64 {
        if self.is_wrong { 0.0 } else { self.slope_if_right() }
    }

    /// The same, whether or not a row is wrong; nothing where all are level.
    pub fn slope_if_right(self) -> f64 {
        if self.least.is_finite() { self.least } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ahead: &[f64]) -> Apart {
        let part = |ahead: &[f64]| {
            let mut apart = Apart::default();
            ahead.iter().for_each(|&ahead| apart.add(0.25, ahead));
            apart
        };
        let (some, others) = ahead.split_at(ahead.len() / 2);
        part(some).and(part(others))
    }

    #[test]
    fn the_nearest_row_has_the_say_unless_one_is_wrong() {
        assert_eq!(of(&[-1.0, -2.0, -0.5, 0.0]).slope(), 0.125);
        assert_eq!(of(&[-0.5, -2.0]).slope(), 0.125);
        let none: [&[f64]; 6] =
            [&[0.0], &[], &[-1.0, 1e-9], &[0.1, -1.0], &[-1.0, f64::NAN], &[f64::NAN]];
        for none in none {
            assert_eq!(of(none).slope(), 0.0, "{none:?}");
        }
        assert_eq!(of(&[-1.0, 1e-9]).slope_if_right(), 0.25);
        let mut apart = Apart::default();
        for (share, ahead) in [(0.0, 1.0), (0.8, -1.0), (0.2, -3.0)] {
            apart.add(share, ahead);
        }
        assert_eq!(apart.slope(), 0.2 * 3.0);
    }
}
