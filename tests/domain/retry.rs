//! When a failing job runs again.

use channel_sync::domain::retry::{AfterFailure, RetryPolicy};

const POLICY: RetryPolicy = RetryPolicy { attempts_max: 5, delay_ms_min: 1000, delay_ms_max: 6000 };

#[test]
fn pauses_double_up_to_the_longest_and_then_it_is_given_up() {
    let after: Vec<AfterFailure> = (1..=6).map(|attempts| POLICY.after(attempts, 0)).collect();
    let retry = |delay_ms| AfterFailure::Retry { delay_ms };
    let give_up = AfterFailure::GiveUp;
    assert_eq!(after, [retry(1000), retry(2000), retry(4000), retry(6000), give_up, give_up]);
}

#[test]
fn the_spread_shortens_a_pause_by_a_quarter_at_most() {
    for spread in [i64::MIN, -1, 0, 7, 15, 16, i64::MAX] {
        let AfterFailure::Retry { delay_ms } = POLICY.after(1, spread) else { panic!("given up") };
        assert!((750..=1000).contains(&delay_ms), "{spread}: {delay_ms}");
    }
}

#[test]
fn no_policy_and_no_count_overflows() {
    let widest = RetryPolicy { attempts_max: i32::MAX, delay_ms_min: i64::MAX, delay_ms_max: i64::MAX };
    assert!(matches!(widest.after(i32::MAX - 1, 15), AfterFailure::Retry { delay_ms: 1.. }));
    let least = RetryPolicy { attempts_max: 1, delay_ms_min: 0, delay_ms_max: 0 };
    assert_eq!(least.after(1, 0), AfterFailure::GiveUp);
    assert!(matches!(widest.after(i32::MIN, 0), AfterFailure::Retry { delay_ms: 1.. }));
}
