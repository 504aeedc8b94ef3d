//! Buckets of powers of two, and quantiles of them.

/// How many buckets there are: bucket `i` holds the values up to `2^i`.
pub(super) const BUCKETS: usize = 64;

/// The bucket of a value: the smallest power of two that is not below it. None for values below 2.
pub(super) fn bucket(value: i64) -> Option<usize> {
    let value = u64::try_from(value).ok().filter(|value| *value >= 2)?;
    Some((u64::BITS - (value - 1).leading_zeros()) as usize)
}

/// The largest value of a bucket, in the unit of which there are `per_unit` in what was counted.
pub(super) fn bucket_max(bucket: usize, per_unit: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 64")]
    let power = 2.0_f64.powi(bucket as i32);
    power / per_unit
}

/// The quantile of counted values: `(largest value, count)` by bucket, ascending, interpolated between powers of two. Zero without a
/// value.
pub(super) fn quantile(quantile: f64, buckets: &[(f64, u64)]) -> f64 {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return 0.0;
    }
    let wanted = rank(quantile, total);
    let mut below = 0;
    let mut previous = None;
    for (max, count) in buckets.iter().filter(|(_, count)| *count > 0) {
        if below + count > wanted {
            #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
            let part = (wanted - below) as f64 / *count as f64;
            let high = max.log2();
            let low = previous.map_or(high - 1.0, f64::log2);
            return (low + (high - low) * part).exp2();
        }
        below += count;
        if below == wanted {
            return *max;
        }
        previous = Some(*max);
    }
    previous.unwrap_or_default()
}

/// Which of so many values, the first being 1.
fn rank(quantile: f64, total: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
    let place = (quantile * total as f64).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the count"
    )]
    let place = place as u64;
    place.clamp(1, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_of_the_next_power_of_two() {
        for (value, expected) in [
            (i64::MIN, None),
            (-1, None),
            (0, None),
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(2)),
            (5, Some(3)),
            (1 << 62, Some(62)),
            ((1 << 62) + 1, Some(63)),
            (i64::MAX, Some(63)),
        ] {
            assert_eq!(bucket(value), expected, "{value}");
        }
        for (found, expected) in
            [(bucket_max(28, 1e9), 0.268_435_456_f64), (bucket_max(3, 1.0), 8.0)]
        {
            assert_eq!(found.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn quantiles_by_table() {
        let of_seconds: &[(f64, u64)] =
            &[(0.134_217_728, 90), (0.268_435_456, 9), (1.073_741_824, 1)];
        for (wanted, buckets, expected) in [
            (0.5, &[(1.0, 2), (2.0, 4), (4.0, 2)][..], std::f64::consts::SQRT_2),
            (0.9, &[(1.0, 1), (2.0, 1), (4.0, 8)], 3.668_016_17),
            (1.0, &[(1.0, 5), (2.0, 5)], 2.0),
            (0.5, &[(2.0, 10)], std::f64::consts::SQRT_2),
            (0.5, &[(0.268_435_456, 4)], 0.189_812_53),
            (0.0, &[(0.268_435_456, 4)], 0.159_612_68),
            (0.95, of_seconds, 0.197_264_42),
            (0.99, of_seconds, 0.268_435_456),
            (0.999, of_seconds, 1.073_741_824),
            // An empty bucket between does not count.
            (0.9, &[(1.0, 5), (2.0, 0), (4.0, 5)], 3.031_433_13),
            (0.5, &[], 0.0),
            (0.5, &[(2.0, 0)], 0.0),
        ] {
            let found = quantile(wanted, buckets);
            assert!((found - expected).abs() < 1e-8, "{wanted} of {buckets:?}: {found}");
        }
    }
}
