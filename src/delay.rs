//! The pauses between attempts at something that failed for the moment: growing, jittered, without end.
//!
//! The only place that knows the crate `backoff`, of which it takes the arithmetic and nothing else. It
//! neither sleeps nor retries: callers do, and they alone know what is worth another attempt.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Pauses that double from `min` to `max`, each off by up to half, so that many who failed together do not
/// come back together.
#[derive(Debug)]
pub struct Delays {
    min: Duration,
    max: Duration,
    policy: ExponentialBackoff,
}

impl Delays {
    /// Pauses from `min` to `max`; a `max` below `min` counts as `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        const JITTER: f64 = 0.5;
        let max = max.max(min);
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(min)
            // The jitter comes on top of the policy's own maximum.
            .with_max_interval(max.div_f64(1.0 + JITTER).max(min))
            .with_multiplier(2.0)
            .with_randomization_factor(JITTER)
            // Its default is to give up after 15 minutes. Who reconnects never gives up.
            .with_max_elapsed_time(None)
            .build();
        Self { min, max, policy }
    }

    /// The pause before the next attempt: at least `min`, at most `max`.
    pub fn next_delay(&mut self) -> Duration {
        self.policy.next_backoff().unwrap_or(self.max).clamp(self.min, self.max)
    }

    /// Begins anew at `min`, after an attempt that went well.
    pub fn reset(&mut self) {
        self.policy.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn pauses_grow_stay_within_their_bounds_and_never_end() {
        let mut delays = Delays::new(MIN, MAX);
        let pauses: Vec<Duration> = (0..1000).map(|_| delays.next_delay()).collect();
        assert!(pauses.iter().all(|pause| (MIN..=MAX).contains(pause)));
        assert!(pauses[0] <= MIN * 3 / 2);
        // From 100 ms, seven doublings reach the maximum; jitter takes at most two thirds off again.
        assert!(pauses[10..].iter().all(|pause| *pause >= MAX / 3 - Duration::from_millis(1)));
        assert!(pauses[10..].iter().any(|pause| *pause != pauses[10]), "no jitter");
    }

    #[test]
    fn a_reset_begins_anew() {
        let mut delays = Delays::new(MIN, MAX);
        for _ in 0..20 {
            delays.next_delay();
        }
        delays.reset();
        assert!(delays.next_delay() <= MIN * 3 / 2);
    }

    #[test]
    fn equal_and_reversed_bounds_are_the_smaller_bound() {
        for max in [MIN, Duration::ZERO] {
            let mut delays = Delays::new(MIN, max);
            for _ in 0..10 {
                assert_eq!(delays.next_delay(), MIN);
            }
        }
    }
}
