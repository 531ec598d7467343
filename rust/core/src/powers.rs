//! Powers of two, by which numbers are scaled without a rounding.

/// The power of two next to `value`; 1 where `value` is zero or out of range.
#[cfg(feature = "probes")]
pub(crate) fn power_of_two_near(value: f64) -> f64 {
    if value > 1e-150 && value < 1e150 { value.log2().round().exp2() } else { 1.0 }
}

/// The least power of two that is not below `value`, or 1 for zero.
pub(crate) fn power_of_two_above(value: f64) -> f64 {
    const FRACTION: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
    match value {
        0.0 => 1.0,
        value if value.is_normal() => f64::from_bits((value.to_bits() + FRACTION) & !FRACTION),
        value => value.log2().ceil().exp2(),
    }
}

#[cfg(all(test, feature = "probes"))]
mod tests {
    use super::*;

    #[test]
    fn powers_lie_where_their_names_say() {
        for value in [1e-140, 0.3, 0.5, 1.0, 1.5, 3.0, 1e100] {
            let (near, above) = (power_of_two_near(value), power_of_two_above(value));
            assert!(above >= value && above <= 2.0 * value, "{value}: {above}");
            assert!(near <= 1.5 * value && near >= value / 1.5, "{value}: {near}");
            assert_eq!((near.log2().fract(), above.log2().fract()), (0.0, 0.0));
        }
        assert_eq!(power_of_two_near(0.0), 1.0);
    }
}
