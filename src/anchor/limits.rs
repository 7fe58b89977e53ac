//! How fast the controller may take pairs down, and how often it may tell of anything.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Four fifths of it and somewhat more, by chance, so that clusters do not ask in step.
pub(super) fn jittered(wait: Duration) -> Duration {
    // Every RandomState is keyed by the system's random numbers.
    let random = RandomState::new().build_hasher().finish() % 1000;
    wait * 4 / 5 + wait * u32::try_from(random).unwrap_or_default() / 5000
}

/// So many at once, and then one in each interval.
#[derive(Debug)]
pub struct Bucket {
    burst: u32,
    interval: Duration,
    /// When the bucket would have been empty, had every token been taken as it came.
    level: Mutex<Option<Instant>>,
}

impl Bucket {
    /// A full one.
    pub fn new(burst: u32, interval: Duration) -> Self {
        Bucket {
            burst,
            interval,
            level: Mutex::new(None),
        }
    }

    /// Takes a token, or says how long until there is one.
    ///
    /// # Errors
    /// With that time.
    pub fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let full = now.checked_sub(self.interval * self.burst).unwrap_or(now);
        let next = level.map_or(full, |level| level.max(full)) + self.interval;
        if next > now {
            return Err(next - now);
        }
        *level = Some(next);
        Ok(())
    }
}

/// How often the pods of one controller are replaced because their anchors do not start: a cause that
/// stays (a full quota, a missing image) is not helped by another pod, so each time takes twice as
/// long as the one before.
#[derive(Debug, Default)]
pub struct Patience {
    known: Mutex<HashMap<Arc<str>, (u32, Instant)>>,
}

/// The longest wait between two replacements of one controller's pods.
const LONGEST: Duration = Duration::from_secs(3600);

impl Patience {
    /// Notes a replacement, or says how long it has to wait.
    ///
    /// # Errors
    /// With that time.
    pub fn take(&self, controller: &Arc<str>, first: Duration) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, last)| now.saturating_duration_since(*last) < LONGEST * 2);
        let times = match known.get(controller) {
            None => 0,
            Some((times, last)) => {
                let wait = first.saturating_mul(1 << (*times).min(16)).min(LONGEST);
                let passed = now.saturating_duration_since(*last);
                if let Some(left) = wait.checked_sub(passed).filter(|left| !left.is_zero()) {
                    return Err(left);
                }
                times + 1
            }
        };
        known.insert(Arc::clone(controller), (times, now));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn chance_keeps_within_the_interval() {
        let interval = Duration::from_secs(300);
        for _ in 0..100 {
            let wait = jittered(interval);
            assert!(interval * 4 / 5 <= wait && wait <= interval, "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_a_burst_and_then_one_an_interval() {
        tokio::time::advance(Duration::from_secs(100)).await;
        let bucket = Bucket::new(3, Duration::from_secs(2));
        for _ in 0..3 {
            assert_eq!(bucket.take(), Ok(()));
        }
        assert_eq!(bucket.take(), Err(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(bucket.take(), Ok(()));
        assert!(bucket.take().is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..9).filter(|_| bucket.take().is_ok()).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn each_replacement_waits_twice_as_long() {
        let patience = Patience::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = Duration::from_secs(600);
        assert_eq!(patience.take(&a, first), Ok(()));
        assert_eq!(patience.take(&a, first), Err(first));
        assert_eq!(patience.take(&b, first), Ok(()));
        tokio::time::advance(first).await;
        assert_eq!(patience.take(&a, first), Ok(()));
        assert_eq!(patience.take(&a, first), Err(first * 2));
        tokio::time::advance(LONGEST * 2).await;
        assert_eq!(patience.take(&a, first), Ok(()));
        assert_eq!(patience.take(&a, first), Err(first));
    }
}
