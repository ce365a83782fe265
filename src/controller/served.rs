//! Where requests are served, by the invocation logs: one query for each interval and source region, as counters, and as what
//! bindings are judged by. Only the leader asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use parking_lot::Mutex;

use crate::{
    cache::InUse,
    catalog::{CatalogError, embedded::Embedded},
    feeds::region_label,
    leader::Leadership,
    metrics::Metrics,
    plan::{
        identity::ObjectKey,
        served::{OVER_AFTER, ProfileKey, SeenServed, Times},
        status::WrittenRoute,
    },
    served::{Counted, Key, Logs, insights::Window},
    types::Region,
};

use super::{clock::Clock, state::State};

/// How many source regions are asked at once.
const AT_ONCE: usize = 4;
/// The longest time that is counted later, where queries failed, in seconds.
const LONGEST_WINDOW: i64 = 24 * 3600;
/// How long a query may take.
const QUERY_TIMEOUT: Duration = Duration::from_mins(10);
/// What stands for profiles that no binding uses.
const OTHER: &str = "other";
/// What stands for a region that records do not say.
const NOT_STATED: &str = "not_stated";

/// How it is looked at where requests are served.
#[derive(Clone)]
pub struct ServedConfig {
    /// The logs.
    pub logs: Arc<dyn Logs>,
    /// How much time one query counts.
    pub interval: Duration,
    /// How long after a time its records count as complete.
    pub allowance: Duration,
}

impl fmt::Debug for ServedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedConfig")
            .field("interval", &self.interval)
            .field("allowance", &self.allowance)
            .finish_non_exhaustive()
    }
}

/// Times that are counted, in whole seconds. They begin at multiples of the interval, so that all replicas have the same ones: what
/// the leader before has counted is not counted again.
#[derive(Debug, Clone, Copy)]
struct Grid {
    interval: i64,
    allowance: i64,
}

impl Grid {
    fn of(config: &ServedConfig) -> Self {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self {
            interval: seconds(config.interval).max(1),
            allowance: seconds(config.allowance),
        }
    }

    /// Returns the end of the last time whose records are complete.
    fn complete(self, now: i64) -> i64 {
        (now - self.allowance).div_euclid(self.interval) * self.interval
    }

    /// Returns when the records of the next time are complete, after one that ends here.
    fn next(self, complete: i64) -> i64 {
        complete + self.interval + self.allowance
    }

    /// Returns the time to count now, or `None` if all is counted. `counted`: up to when this replica has counted the region in this
    /// term. `term`: from when on this term counts.
    fn window(self, now: i64, counted: Option<i64>, term: i64) -> Option<Window> {
        let until = self.complete(now);
        // A region that was not asked before begins with the last time.
        let since = counted.unwrap_or_else(|| (until - self.interval).max(term));
        let since = since.max(until - LONGEST_WINDOW);
        (since < until).then_some(Window { since, until })
    }
}

/// What is known of where requests are served.
pub(super) struct ServedRequests {
    config: ServedConfig,
    grid: Grid,
    state: Arc<State>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    embedded: &'static Embedded,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Since when this replica leads, in seconds since the Unix epoch. `None` before.
    since: Option<i64>,
    regions: BTreeMap<ProfileKey, BTreeMap<Region, Times>>,
}

impl Seen {
    /// Notes requests, and forgets those of a time that does not count any more.
    fn note(&mut self, profile: ProfileKey, region: Region, times: Times) {
        let regions = self.regions.entry(profile).or_default();
        let known = regions.entry(region).or_insert(times);
        known.first = known.first.min(times.first);
        known.last = known.last.max(times.last);
    }

    fn forget(&mut self, before: i64, is_used: impl Fn(&ProfileKey) -> bool) {
        self.regions.retain(|profile, regions| {
            regions.retain(|_, times| times.last >= before);
            !regions.is_empty() && is_used(profile)
        });
    }
}

impl ServedRequests {
    pub(super) fn new(
        config: ServedConfig,
        state: Arc<State>,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        embedded: &'static Embedded,
    ) -> Self {
        Self {
            grid: Grid::of(&config),
            config,
            state,
            metrics,
            clock,
            embedded,
            seen: Mutex::default(),
        }
    }

    /// Returns where requests of these written routes ran.
    pub(super) fn seen<'a>(&self, written: impl Iterator<Item = &'a WrittenRoute>) -> SeenServed {
        let seen = self.seen.lock();
        let known = written.filter_map(|written| {
            let route = &written.route;
            let profile: ProfileKey = (route.id().into(), route.source_region.clone());
            let regions = seen.regions.get(&profile)?.clone();
            Some((profile, regions))
        });
        SeenServed {
            since: seen.since.unwrap_or_else(|| self.clock.now()),
            profiles: known.collect(),
        }
    }

    /// Counts while this replica leads.
    pub(super) async fn follow(self: Arc<Self>, leadership: Leadership) {
        loop {
            leadership.acquired().await;
            let now = self.clock.now();
            self.seen.lock().since = Some(now);
            let mut term = Term {
                since: self.grid.complete(now),
                counted: BTreeMap::new(),
                failing: BTreeSet::new(),
            };
            let counting = async {
                let mut complete = term.since;
                loop {
                    self.clock.sleep_until(self.grid.next(complete)).await;
                    complete = self.grid.complete(self.clock.now());
                    self.round(&mut term).await;
                }
            };
            tokio::select! {
                () = counting => {}
                () = leadership.lost() => {}
            }
        }
    }

    /// Counts what is complete and was not counted yet, in all source regions of bindings.
    async fn round(&self, term: &mut Term) {
        let used = self.state.cache().profiles_in_use();
        self.begin_at_zero(&used);
        let regions: BTreeSet<Region> = used.keys().map(|(_, source)| source.clone()).collect();
        term.counted.retain(|region, _| regions.contains(region));
        let now = self.clock.now();
        let windows = regions.into_iter().filter_map(|region| {
            let counted = term.counted.get(&region).copied();
            let window = self.grid.window(now, counted, term.since)?;
            Some((region, window))
        });
        let windows: Vec<(Region, Window)> = windows.collect();
        let mut answers = stream::iter(windows)
            .map(async |(region, window)| {
                let asked = self.config.logs.count(&region, window);
                let answer = tokio::time::timeout(QUERY_TIMEOUT, asked).await;
                let late =
                    || CatalogError::EndpointUnreachable("the query took too long".to_owned());
                (region, window, answer.unwrap_or_else(|_| Err(late())))
            })
            .buffer_unordered(AT_ONCE);
        let mut woken: BTreeSet<ObjectKey> = BTreeSet::new();
        while let Some((region, window, answer)) = answers.next().await {
            let label = region_label(self.embedded, &region);
            match answer {
                Ok(counted) => {
                    self.metrics.queried_logs(label, Ok(counted.bytes_scanned));
                    term.succeeded(&region, window.until);
                    woken.extend(self.take(counted, &used, window));
                }
                Err(error) => {
                    self.metrics.queried_logs(label, Err(error.reason()));
                    term.failed(&region, window.since, &error);
                }
            }
        }
        let mut seen = self.seen.lock();
        seen.forget(now - OVER_AFTER, |profile| used.contains_key(profile));
        drop(seen);
        // Whether it is over depends on the time.
        woken.extend(used.into_values().flat_map(|it| it.outside));
        self.state.wake(woken);
    }

    /// Makes the series that are known beforehand, so that the first requests are seen as an increase.
    fn begin_at_zero(&self, used: &BTreeMap<ProfileKey, InUse>) {
        let label = |region| region_label(self.embedded, region);
        for ((profile, source), used) in used {
            for region in &used.destinations {
                self.metrics
                    .served(profile, label(source), label(region), 0);
            }
        }
    }

    /// Takes in what was counted. Returns the bindings that are to look at it: those of profiles whose requests ran elsewhere than
    /// in their destinations, all of which their limits allow.
    fn take(
        &self,
        counted: Counted,
        used: &BTreeMap<ProfileKey, InUse>,
        window: Window,
    ) -> Vec<ObjectKey> {
        let mut woken = Vec::new();
        let mut seen = self.seen.lock();
        for (key, tally) in counted.counts.rows {
            let profile = profile_of(&key, used);
            let source = region_label(self.embedded, &key.source_region);
            let served = key.served_in.as_ref();
            let served_label = served.map_or(NOT_STATED, |it| region_label(self.embedded, it));
            let name = profile.as_ref().map_or(OTHER, |(profile, _)| &**profile);
            let requests = tally.requests();
            self.metrics.served(name, source, served_label, requests);
            let (Some(profile), Some(served)) = (profile, key.served_in) else {
                continue;
            };
            let of_profile = used.get(&profile);
            let elsewhere = of_profile.filter(|it| {
                let is_anywhere = it.is_global && served.partition() == profile.1.partition();
                !is_anywhere && !it.destinations.contains(&served)
            });
            woken.extend(
                elsewhere
                    .into_iter()
                    .flat_map(|it| it.bindings.iter().cloned()),
            );
            let times = Times {
                first: tally.first.unwrap_or(window.since),
                last: tally.last.unwrap_or(window.until),
            };
            seen.note(profile, served, times);
        }
        woken
    }
}

/// Returns the profile in use that a row is of, by its ID or by the ARN of an application profile. `None` if no binding uses it.
fn profile_of(key: &Key, used: &BTreeMap<ProfileKey, InUse>) -> Option<ProfileKey> {
    let direct = (key.profile.clone(), key.source_region.clone());
    if used.contains_key(&direct) {
        return Some(direct);
    }
    let is_of = |used: &InUse| used.applications.contains(&*key.profile);
    let mut found = used.iter().filter(|(_, used)| is_of(used));
    found.next().map(|(profile, _)| profile.clone())
}

/// What is counted in a term of this replica.
#[derive(Debug)]
struct Term {
    since: i64,
    /// Source region -> up to when it is counted.
    counted: BTreeMap<Region, i64>,
    /// The source regions whose last query failed.
    failing: BTreeSet<Region>,
}

impl Term {
    fn succeeded(&mut self, region: &Region, until: i64) {
        self.counted.insert(region.clone(), until);
        if self.failing.remove(region) {
            tracing::info!(%region, "the invocation logs are counted again");
        }
    }

    fn failed(&mut self, region: &Region, since: i64, error: &CatalogError) {
        // What is not counted now is counted later; without this, a region that never answered would begin anew each time.
        self.counted.entry(region.clone()).or_insert(since);
        if self.failing.insert(region.clone()) {
            tracing::warn!(
                %region, reason = %error.reason(), %error,
                "the invocation logs can't be counted; it is tried again with each interval"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        interval: 900,
        allowance: 300,
    };

    #[test]
    fn each_time_is_counted_once_whoever_leads() {
        // 10:00:00 is a multiple of the interval.
        let ten = 36_000;
        for (now, complete, next) in [
            (ten, ten - 900, ten + 300),
            (ten + 299, ten - 900, ten + 300),
            (ten + 300, ten, ten + 1200),
            (ten + 1199, ten, ten + 1200),
            (ten + 1200, ten + 900, ten + 2100),
        ] {
            assert_eq!(
                (GRID.complete(now), GRID.next(complete)),
                (complete, next),
                "{now}"
            );
        }
    }

    #[test]
    fn windows() {
        let ten = 36_000;
        let window = |since, until| Some(Window { since, until });
        for (now, counted, term, expected) in [
            // The first one of a term is the first one that becomes complete in it.
            (ten + 300, None, ten - 900, window(ten - 900, ten)),
            (ten + 1200, Some(ten), ten - 900, window(ten, ten + 900)),
            (ten + 1200, Some(ten + 900), ten, None),
            // A region that comes later.
            (ten + 1200, None, ten - 9000, window(ten, ten + 900)),
            // After failures.
            (ten + 3000, Some(ten), ten, window(ten, ten + 2700)),
            (
                ten + 300 + 2 * LONGEST_WINDOW,
                Some(ten),
                ten,
                window(ten + LONGEST_WINDOW, ten + 2 * LONGEST_WINDOW),
            ),
        ] {
            assert_eq!(GRID.window(now, counted, term), expected, "{now}");
        }
    }

    #[test]
    fn what_is_seen_is_forgotten_when_it_does_not_count_any_more() {
        let region = |name: &str| name.parse::<Region>().expect(name);
        let profile: ProfileKey = ("eu.a.b".into(), region("eu-west-1"));
        let mut seen = Seen::default();
        for (name, first, last) in [
            ("eu-west-3", 5, 6),
            ("eu-west-3", 3, 4),
            ("us-east-1", 9, 9),
        ] {
            seen.note(profile.clone(), region(name), Times { first, last });
        }
        let of = |seen: &Seen| seen.regions.get(&profile).cloned().unwrap_or_default();
        assert_eq!(of(&seen)[&region("eu-west-3")], Times { first: 3, last: 6 });
        seen.forget(7, |_| true);
        assert_eq!(
            of(&seen).into_keys().collect::<Vec<_>>(),
            [region("us-east-1")]
        );
        seen.forget(7, |_| false);
        assert!(seen.regions.is_empty());
    }
}
