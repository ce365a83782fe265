//! Pauses between tries: a pause that doubles, and jitter, so that what failed together is not retried together.
//!
//! All pure: the random number, in 0..1, is an argument.

use std::time::Duration;

/// Returns `first`, doubled this many times, and no more than `longest`.
#[must_use]
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

/// Returns a pause between zero and `longest`.
///
/// Source: "full jitter" in <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
#[must_use]
pub fn full_jitter(longest: Duration, random: f64) -> Duration {
    longest.mul_f64(random)
}

/// Returns a pause that is shorter or longer than `pause` by at most this share of it.
#[must_use]
pub fn jittered(pause: Duration, share: f64, random: f64) -> Duration {
    pause.mul_f64(1.0 + share * (2.0 * random - 1.0))
}

/// Returns a pause that is longer than `pause` by at most this share of it, and never shorter.
///
/// Source: `wait.Jitter` in <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/wait>
#[must_use]
pub fn prolonged(pause: Duration, share: f64, random: f64) -> Duration {
    pause.mul_f64(1.0 + share * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_doubles_up_to_the_longest() {
        let five_minutes = Duration::from_mins(5);
        for (first, times, longest, expected) in [
            (SECOND, 0, five_minutes, SECOND),
            (SECOND, 1, five_minutes, SECOND * 2),
            (SECOND, 2, five_minutes, SECOND * 4),
            (SECOND, 8, five_minutes, SECOND * 256),
            (SECOND, 9, five_minutes, five_minutes),
            (SECOND, 31, five_minutes, five_minutes),
            (SECOND, 32, five_minutes, five_minutes),
            (SECOND, u32::MAX, five_minutes, five_minutes),
            (SECOND, 31, Duration::MAX, SECOND * (1 << 31)),
            (SECOND, 32, Duration::MAX, SECOND * u32::MAX),
            (Duration::MAX, 1, Duration::MAX, Duration::MAX),
            (SECOND * 3, 2, five_minutes, SECOND * 12),
            (SECOND, 5, SECOND * 10, SECOND * 10),
            (SECOND, 5, Duration::ZERO, Duration::ZERO),
            (Duration::ZERO, 5, five_minutes, Duration::ZERO),
        ] {
            assert_eq!(
                doubled(first, times, longest),
                expected,
                "{first:?} doubled {times} times, at most {longest:?}"
            );
        }
    }

    #[test]
    fn jitter_reaches_both_ends_of_its_range() {
        let pause = SECOND * 100;
        for (random, full, around, longer) in [
            (0.0, 0, 90, 100),
            (0.25, 25, 95, 105),
            (0.5, 50, 100, 110),
            (1.0, 100, 110, 120),
        ] {
            assert_eq!(full_jitter(pause, random), SECOND * full, "{random}");
            assert_eq!(jittered(pause, 0.1, random), SECOND * around, "{random}");
            assert_eq!(prolonged(pause, 0.2, random), SECOND * longer, "{random}");
        }
    }
}
