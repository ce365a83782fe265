//! Whether requests of the profile in use ran within the limits, as invocation logs say.
//!
//! It informs: no value depends on it. What is remembered stands in the status, so that it survives the operator; times of later
//! requests don't, so that nothing is written for them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    models::Models,
    residency::{LimitOrigin, Limits, Verdict},
    route::Destinations,
    types::Region,
};

use super::{
    observed::Observed,
    publication::Publication,
    several::Considered,
    status::{Finding, ServedOutside, WrittenRoute},
};

/// How long no request may have run outside of the limits before that is over, in seconds.
pub const OVER_AFTER: i64 = 24 * 3600;
/// The most regions that are named.
const MOST_REGIONS: usize = 16;

/// When requests ran in a region, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The first one that was seen.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// A profile, by its ID, and the source region that it is called from.
pub type ProfileKey = (Arc<str>, Region);

/// Where requests of the written profiles of a binding ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenServed {
    /// Since when logs are looked at, in seconds since the Unix epoch.
    pub since: i64,
    /// By profile, and by region served.
    pub profiles: BTreeMap<ProfileKey, BTreeMap<Region, Times>>,
}

/// Returns the finding of `ServedWithinLimits`, with what the status remembers. `None` where logs are not looked at, and where no
/// request was ever seen outside. `now` is in seconds since the Unix epoch.
pub(super) fn within_limits(
    observed: &Observed,
    models: &Models<Considered<'_>>,
    publication: &Publication,
    now: i64,
) -> Option<(Finding, Box<[ServedOutside]>)> {
    let seen = observed.served.as_ref()?;
    let status = &observed.binding.status;
    let in_use: Vec<_> = match (publication, publication.routes()) {
        (Publication::Leave, _) => status.written().collect(),
        (_, Some(routes)) => routes.iter().collect(),
        (_, None) => Vec::new(),
    };
    let mut found: Vec<(ServedOutside, LimitOrigin)> = Vec::new();
    for (name, written) in in_use {
        let Some(model) = models.get(name.map(|name| &**name)) else {
            continue;
        };
        let Some(one) = outside(written, &status.served_outside, seen, &model.limits, now) else {
            continue;
        };
        // Two models of a binding may be served by one profile.
        let is_same = |(it, _): &(ServedOutside, _)| is_of(it, written);
        if !found.iter().any(is_same) {
            found.push(one);
        }
    }
    if !found.is_empty() {
        let texts: Vec<String> = found.iter().map(|(it, origin)| text(it, *origin)).collect();
        let message = format!(
            "{}: `served-regions --log-group` counts them, and its audit names some; ask AWS why",
            texts.join("; ")
        );
        let finding = Finding::new(ConditionStatus::False, Reason::ServedOutsideLimits, message);
        return Some((finding, found.into_iter().map(|(it, _)| it).collect()));
    }
    // It is said that it is over only where it was said that it had begun.
    status.condition(ConditionType::ServedWithinLimits)?;
    let over = Finding::new(
        ConditionStatus::True,
        Reason::NoneServedOutside,
        "no request ran outside of the limits in a day, or since the profile or the limits changed",
    );
    Some((over, Box::default()))
}

fn is_of(outside: &ServedOutside, written: &WrittenRoute) -> bool {
    let route = &written.route;
    *outside.profile == *route.id() && outside.source_region == route.source_region
}

/// Returns where requests of a route ran outside of the limits, and who set the limit. `None` if they did not.
fn outside(
    written: &WrittenRoute,
    remembered: &[ServedOutside],
    seen: &SeenServed,
    limits: &Limits,
    now: i64,
) -> Option<(ServedOutside, LimitOrigin)> {
    let profile: ProfileKey = (
        written.route.id().into(),
        written.route.source_region.clone(),
    );
    let regions = seen.profiles.get(&profile);
    let remembered = remembered.iter().find(|it| is_of(it, written));
    let mut found: BTreeMap<&Region, i64> = BTreeMap::new();
    for region in remembered.iter().flat_map(|it| &*it.regions) {
        let times = regions.and_then(|regions| regions.get(region));
        let last = times.map_or(seen.since, |times| times.last.max(seen.since));
        if now - last < OVER_AFTER {
            found.insert(region, last);
        }
    }
    for (region, times) in regions.into_iter().flatten() {
        if now - times.last < OVER_AFTER {
            found.entry(region).or_insert(times.first);
        }
    }
    let mut origin = None;
    found.retain(|region, _| {
        let forbidden = forbidden_by(limits, region);
        origin = origin.or(forbidden);
        forbidden.is_some()
    });
    let first = found.values().min().copied();
    let is_lasting =
        |it: &&ServedOutside| it.regions.iter().any(|region| found.contains_key(region));
    let since = remembered.filter(is_lasting).map(|it| it.since);
    let (profile, source_region) = profile;
    Some((
        ServedOutside {
            profile,
            source_region,
            since: since.or(first).unwrap_or(now),
            regions: found.into_keys().take(MOST_REGIONS).cloned().collect(),
        },
        origin?,
    ))
}

/// Returns who set the limit that a region is outside of. A limit that is malformed, or can't be read, says nothing of where a
/// request ran.
fn forbidden_by(limits: &Limits, region: &Region) -> Option<LimitOrigin> {
    // Where the request ran is all that counts here, not where it might have.
    let here = Destinations::regions(vec![region.clone()]);
    match limits.verdict(region, &here) {
        Verdict::RegionNotAllowed { origin, .. } => Some(origin),
        _ => None,
    }
}

fn text(outside: &ServedOutside, origin: LimitOrigin) -> String {
    let ServedOutside {
        profile,
        source_region,
        regions,
        since,
    } = outside;
    let regions: Vec<&str> = regions.iter().map(Region::as_str).collect();
    let since = Timestamp::from_second(*since).unwrap_or_default();
    format!(
        "requests of {profile} from {source_region} ran in {}, not allowed by {origin}, since {since}",
        regions.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::embedded::Embedded,
        plan::{
            observed::{Binding, Settings},
            plan,
            testing::{NOW, bound, condition, edited, full, observed, succeed},
        },
    };

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn seen(since: i64, regions: &[(&str, i64, i64)]) -> SeenServed {
        let regions = regions.iter();
        let regions = regions
            .map(|(name, first, last)| {
                let times = Times {
                    first: *first,
                    last: *last,
                };
                (region(name), times)
            })
            .collect();
        let written = bound("geography: eu").status;
        let (_, written) = written.written().next().expect("a route");
        let profile = (
            written.route.id().into(),
            written.route.source_region.clone(),
        );
        SeenServed {
            since,
            profiles: BTreeMap::from([(profile, regions)]),
        }
    }

    /// Visits a binding. Returns its status if it changed, and the reasons of the Events.
    fn visited(
        binding: &mut Binding,
        seen: Option<SeenServed>,
        now: i64,
    ) -> (bool, Vec<&'static str>) {
        let observed = Observed {
            served: seen,
            ..observed(binding, full())
        };
        let plan = plan(observed, &Settings::default(), Embedded::load(), now);
        let outcome = succeed(plan, now).1;
        let is_written = outcome.status.is_some();
        if let Some(status) = outcome.status {
            binding.status = status;
        }
        let events = outcome.notices.iter().map(|it| it.reason).collect();
        (is_written, events)
    }

    fn limited() -> Binding {
        bound("geography: eu, allowedRegions: ['@eu']")
    }

    fn is_within(binding: &Binding) -> (ConditionStatus, Reason) {
        condition(binding, ConditionType::ServedWithinLimits)
    }

    #[test]
    fn what_runs_within_the_limits_writes_nothing() {
        let mut binding = limited();
        let inside = seen(NOW, &[("eu-west-3", NOW, NOW), ("eu-west-1", NOW, NOW)]);
        for seen in [None, Some(seen(NOW, &[])), Some(inside)] {
            assert_eq!(visited(&mut binding, seen, NOW), (false, vec![]));
        }
        let mut free = bound("geography: eu");
        let anywhere = seen(NOW, &[("us-west-2", NOW, NOW)]);
        assert_eq!(visited(&mut free, Some(anywhere), NOW), (false, vec![]));
    }

    #[test]
    fn what_runs_outside_is_told_once_until_a_day_has_passed() {
        let mut binding = limited();
        let outside = |last: i64| {
            Some(seen(
                NOW - HOUR,
                &[("us-west-2", NOW - 60, last), ("eu-west-3", NOW, NOW)],
            ))
        };
        let told = visited(&mut binding, outside(NOW - 60), NOW);
        assert_eq!(told, (true, vec!["ServedOutsideLimits"]));
        let (_, ready) = condition(&binding, ConditionType::Ready);
        assert_eq!(ready, Reason::Bound, "it informs");
        assert_eq!(
            is_within(&binding),
            (ConditionStatus::False, Reason::ServedOutsideLimits)
        );
        let finding = binding.status.finding(ConditionType::ServedWithinLimits);
        let message = finding.expect("a finding").message;
        assert!(
            message.contains("from eu-west-1 ran in us-west-2, not allowed by"),
            "{message}"
        );
        // No write for later requests, nor for a restart of the operator.
        for (seen, now) in [
            (outside(NOW + HOUR), NOW + HOUR),
            (outside(NOW + HOUR), NOW + DAY),
            (Some(seen(NOW + DAY, &[])), NOW + DAY + 1),
            (Some(seen(NOW + DAY, &[])), NOW + 2 * DAY - 1),
        ] {
            assert_eq!(visited(&mut binding, seen, now), (false, vec![]), "{now}");
        }
        let another = Some(seen(
            NOW,
            &[("us-east-1", NOW, NOW), ("us-west-2", NOW, NOW)],
        ));
        assert_eq!(
            visited(&mut binding, another, NOW),
            (true, vec![]),
            "one Event"
        );
        let over = visited(&mut binding, Some(seen(NOW, &[])), NOW + DAY);
        assert_eq!(over, (true, vec![]));
        assert_eq!(
            is_within(&binding),
            (ConditionStatus::True, Reason::NoneServedOutside)
        );
        assert!(binding.status.served_outside.is_empty());
        let quiet = visited(&mut binding, Some(seen(NOW, &[])), NOW + 9 * DAY);
        assert_eq!(quiet, (false, vec![]));
    }

    #[test]
    fn it_is_over_when_the_limits_or_the_profile_change() {
        let mut first = limited();
        let outside = || Some(seen(NOW, &[("us-west-2", NOW, NOW)]));
        visited(&mut first, outside(), NOW);
        for (spec, expected) in [
            (
                "geography: eu, allowedRegions: ['@eu', 'us-west-2']",
                ConditionStatus::True,
            ),
            (
                "geography: eu, allowedRegions: ['*']",
                ConditionStatus::True,
            ),
            (
                "geography: global, allowedRegions: ['*']",
                ConditionStatus::True,
            ),
            (
                "geography: eu, allowedRegions: ['eu-*']",
                ConditionStatus::False,
            ),
        ] {
            let mut binding = edited(&first, spec);
            visited(&mut binding, outside(), NOW + 1);
            assert_eq!(is_within(&binding).0, expected, "{spec}");
        }
        let mut off = first.clone();
        visited(&mut off, None, NOW);
        assert_eq!(
            off.status.condition(ConditionType::ServedWithinLimits),
            None
        );
    }
}
