//! What time it is. Tests bring a clock of their own.

use std::{fmt, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

/// A clock that shows the time of day. Times are in seconds since the Unix epoch.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the time.
    fn now(&self) -> i64;

    /// Waits until a time. It may resolve late where the clock is set.
    fn sleep_until(&self, time: i64) -> BoxFuture<'_, ()>;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        Timestamp::now().as_second()
    }

    fn sleep_until(&self, time: i64) -> BoxFuture<'_, ()> {
        let left = u64::try_from(time.saturating_sub(self.now())).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(left)).boxed()
    }
}
