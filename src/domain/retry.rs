//! When a job that failed runs again, and when it is given up.

/// How often and how far apart a failing job is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// After so many attempts a job is given up.
    pub attempts_max: i32,
    /// The pause after the first attempt, in milliseconds.
    pub delay_ms_min: i64,
    /// The longest pause, in milliseconds.
    pub delay_ms_max: i64,
}

/// What becomes of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It runs again after a pause.
    Retry {
        /// How long, in milliseconds.
        delay_ms: i64,
    },
    /// It is parked for an operator, and what is behind it goes on.
    GiveUp,
}

impl RetryPolicy {
    /// What becomes of a job after its `attempts`-th attempt, counted from 1, has failed.
    ///
    /// The pause doubles with each attempt. `spread`, any number that differs between jobs, shortens it by up
    /// to a quarter, so that many who failed together do not come back together.
    pub fn after(&self, attempts: i32, spread: i64) -> AfterFailure {
        if attempts >= self.attempts_max {
            return AfterFailure::GiveUp;
        }
        let doublings = attempts.saturating_sub(1).clamp(0, 40);
        let delay_ms = self.delay_ms_min.saturating_mul(1 << doublings).clamp(1, self.delay_ms_max.max(1));
        let shorter = (delay_ms / 4).saturating_mul(spread.rem_euclid(16)) / 16;
        AfterFailure::Retry { delay_ms: delay_ms - shorter }
    }
}
