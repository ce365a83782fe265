//! Which state of its life a model is in on a day, and what comes next.
//!
//! A model goes from active to legacy, then, if its provider agrees, to public extended access, and then reaches its end of
//! life. The dates differ by region. Days begin at 00:00 UTC.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html>

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Serialize, Serializer};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, Lifecycle, SourceKind, embedded::Embedded},
    types::{ModelId, Region},
};

/// How many days before its end of life a model's end of life counts as near.
pub const NEAR_DAYS: i32 = 30;

/// The state of a model on a day, in the order in which models go through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Open to everybody.
    Active,
    /// Closed to new customers.
    Legacy,
    /// Legacy, and the provider may charge more.
    ExtendedAccess,
    /// At most [`NEAR_DAYS`] before the end of life.
    EndOfLifeNear,
    /// Requests fail.
    EndOfLifePassed,
}

impl State {
    /// Returns the state on a day.
    #[must_use]
    pub fn of(lifecycle: &Lifecycle, day: Date) -> Self {
        let reached = |date: Option<Date>| date.is_some_and(|date| date <= day);
        let to_end = lifecycle.end_of_life.map(|end| days_between(day, end));
        match to_end {
            Some(days) if days <= 0 => Self::EndOfLifePassed,
            Some(days) if days <= NEAR_DAYS => Self::EndOfLifeNear,
            _ if reached(lifecycle.extended_access) => Self::ExtendedAccess,
            _ if lifecycle.is_legacy || reached(lifecycle.legacy) => Self::Legacy,
            _ => Self::Active,
        }
    }

    /// Returns the reason of the condition `ModelActive`.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Active => Reason::Active,
            Self::Legacy => Reason::LegacyModel,
            Self::ExtendedAccess => Reason::ExtendedAccess,
            Self::EndOfLifeNear => Reason::EndOfLifeNear,
            Self::EndOfLifePassed => Reason::EndOfLifePassed,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Legacy => "legacy",
            Self::ExtendedAccess => "extended access",
            Self::EndOfLifeNear => "end of life near",
            Self::EndOfLifePassed => "end of life passed",
        })
    }
}

/// Serializes as the reason of the condition `ModelActive`.
impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reason().as_str())
    }
}

/// Where a lifecycle is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// A live listing of the region.
    Listing,
    /// The embedded data, which have a date.
    Embedded,
}

/// The lifecycle of a model in the source region of a catalog, and where it is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Known {
    /// The lifecycle.
    pub lifecycle: Lifecycle,
    /// Where it is known from.
    pub basis: Basis,
}

impl Known {
    /// Returns what to add to a statement, so that embedded data are never taken for a listing.
    #[must_use]
    pub fn origin(&self, embedded: &Embedded) -> String {
        match self.basis {
            Basis::Listing => String::new(),
            Basis::Embedded => {
                format!(" (by the embedded data of {})", embedded.lifecycles_as_of())
            }
        }
    }
}

/// Returns what is known of a model's lifecycle: by a live listing if that is what the catalog is, else by the embedded data.
/// Returns `None` if a live listing has no models, or not this one, and if a snapshot does not have the model in its region,
/// unless the data name that region.
#[must_use]
pub fn known(catalog: &Catalog, embedded: &Embedded, model: &ModelId) -> Option<Known> {
    if catalog.source().is_live() {
        return Some(Known {
            lifecycle: catalog.model(model)?.lifecycle,
            basis: Basis::Listing,
        });
    }
    let region = catalog.source_region();
    let is_there = catalog.model(model).is_some()
        || !catalog.profiles_of(model).is_empty()
        || embedded.names_lifecycle(model, region);
    is_there.then(|| Known {
        lifecycle: embedded.lifecycle(model, region),
        basis: Basis::Embedded,
    })
}

/// Returns the day on which a model's life ended, if it has ended by `day`.
#[must_use]
pub fn ended(lifecycle: &Lifecycle, day: Date) -> Option<Date> {
    lifecycle.end_of_life.filter(|end| *end <= day)
}

/// Returns the day on which a model's life ended if that day has come and the catalog does not count against it. A live listing
/// counts, and so do files of a directory that are not older than that day. The embedded data do not: they have the end
/// themselves.
#[must_use]
pub fn outlived(
    catalog: &Catalog,
    embedded: &Embedded,
    model: &ModelId,
    day: Date,
) -> Option<Date> {
    let end = ended(&known(catalog, embedded, model)?.lifecycle, day)?;
    let counts = match catalog.source() {
        SourceKind::Bedrock => true,
        SourceKind::Directory => date_of(catalog).is_some_and(|as_of| as_of >= end),
        SourceKind::Embedded => false,
    };
    (!counts).then_some(end)
}

/// Returns the date of a snapshot.
fn date_of(catalog: &Catalog) -> Option<Date> {
    // A date, or a time that begins with one.
    catalog.as_of()?.get(..10)?.parse().ok()
}

/// Returns the number of days from one day to another, which is negative if that is earlier.
#[must_use]
pub fn days_between(from: Date, to: Date) -> i32 {
    let days = from.duration_until(to).as_hours() / 24;
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Returns the day of a time, in UTC. `now` is in seconds since the Unix epoch.
#[must_use]
pub fn day_of(now: i64) -> Date {
    let now = Timestamp::from_second(now).unwrap_or_default();
    TimeZone::UTC.to_datetime(now).date()
}

/// Returns the first moment of a day, in seconds since the Unix epoch.
#[must_use]
pub fn start_of(day: Date) -> i64 {
    let start = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0));
    start.map_or(i64::MAX, Timestamp::as_second)
}

/// Returns the first moment of the day after a time: the next at which a state can change. Both are in seconds since the Unix
/// epoch.
#[must_use]
pub fn next_day(now: i64) -> i64 {
    day_of(now).tomorrow().map_or(i64::MAX, start_of)
}

/// Describes a model's state in a region: since when, and what comes next with its dates. The text changes only with the
/// state.
#[must_use]
pub fn describe(
    model: &ModelId,
    region: &Region,
    known: &Known,
    day: Date,
    embedded: &Embedded,
) -> String {
    let state = State::of(&known.lifecycle, day);
    let Lifecycle {
        legacy,
        extended_access,
        end_of_life,
        ..
    } = known.lifecycle;
    let on = |date: Option<Date>| date.map_or_else(String::new, |date| format!(" on {date}"));
    let since = |date: Option<Date>| {
        let past = date.filter(|date| *date <= day);
        past.map_or_else(String::new, |date| format!(" since {date}"))
    };
    let has_been = |what: &str, date: Option<Date>| {
        let past = date.filter(|date| *date <= day);
        past.map_or_else(String::new, |date| {
            format!("; it has been {what} since {date}")
        })
    };
    let to_come = || {
        let end = end_of_life.map_or_else(
            || "the date of its end of life is not known".to_owned(),
            |end| format!("on {end} its life ends and requests fail"),
        );
        let extended = extended_access.filter(|_| state < State::ExtendedAccess);
        extended.map_or_else(String::new, |date| {
            format!("from {date} the provider may charge more (public extended access); ")
        }) + &end
    };
    let text = match state {
        State::Active => {
            let next =
                legacy.map_or_else(String::new, |date| format!("; it becomes legacy on {date}"));
            format!("{model} is active in {region}{next}")
        }
        State::Legacy => format!(
            "{model} is legacy in {region}{}: it is closed to new customers, and accounts that do not use it may lose it; {}",
            since(legacy),
            to_come()
        ),
        State::ExtendedAccess => format!(
            "{model} is in public extended access in {region}{}: the provider may charge more{}; {}",
            since(extended_access),
            has_been("legacy", legacy),
            to_come()
        ),
        State::EndOfLifeNear => format!(
            "the life of {model} in {region} ends{}: requests fail from then on{}{}",
            on(end_of_life),
            has_been("legacy", legacy),
            has_been("in public extended access", extended_access),
        ),
        State::EndOfLifePassed => format!(
            "the life of {model} in {region} ended{}: requests fail",
            on(end_of_life)
        ),
    };
    text + &known.origin(embedded)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn sonnet() -> Lifecycle {
        Lifecycle {
            legacy: Some(date(2026, 10, 8)),
            extended_access: Some(date(2027, 1, 8)),
            end_of_life: Some(date(2027, 4, 8)),
            ..Lifecycle::LEGACY
        }
    }

    #[test]
    fn a_state_begins_on_its_day() {
        use State::{Active, EndOfLifeNear, EndOfLifePassed, ExtendedAccess, Legacy};
        let announced = Lifecycle {
            is_legacy: false,
            ..sonnet()
        };
        let without_extended_access = Lifecycle {
            extended_access: None,
            ..sonnet()
        };
        let only_the_end = Lifecycle {
            end_of_life: Some(date(2027, 4, 8)),
            ..Lifecycle::ACTIVE
        };
        for (lifecycle, day, state, left) in [
            (Lifecycle::ACTIVE, date(2030, 1, 1), Active, None),
            (Lifecycle::LEGACY, date(2030, 1, 1), Legacy, None),
            (announced, date(2026, 10, 7), Active, Some(183)),
            (announced, date(2026, 10, 8), Legacy, Some(182)),
            (sonnet(), date(2026, 10, 7), Legacy, Some(183)),
            (sonnet(), date(2027, 1, 7), Legacy, Some(91)),
            (sonnet(), date(2027, 1, 8), ExtendedAccess, Some(90)),
            (sonnet(), date(2027, 3, 8), ExtendedAccess, Some(31)),
            (sonnet(), date(2027, 3, 9), EndOfLifeNear, Some(30)),
            (sonnet(), date(2027, 4, 7), EndOfLifeNear, Some(1)),
            (sonnet(), date(2027, 4, 8), EndOfLifePassed, Some(0)),
            (sonnet(), date(2027, 4, 9), EndOfLifePassed, Some(-1)),
            (without_extended_access, date(2027, 3, 8), Legacy, Some(31)),
            (only_the_end, date(2027, 3, 8), Active, Some(31)),
            (only_the_end, date(2027, 3, 9), EndOfLifeNear, Some(30)),
        ] {
            assert_eq!(State::of(&lifecycle, day), state, "{lifecycle:?} on {day}");
            let to_end = lifecycle.end_of_life.map(|end| days_between(day, end));
            assert_eq!(to_end, left, "{lifecycle:?} on {day}");
            let is_over = state == EndOfLifePassed;
            assert_eq!(ended(&lifecycle, day).is_some(), is_over, "{day}");
        }
    }

    #[test]
    fn a_text_changes_only_with_the_state() {
        let model: ModelId = "a.b".parse().expect("a model");
        let region: Region = "eu-west-1".parse().expect("a region");
        let known = Known {
            lifecycle: sonnet(),
            basis: Basis::Listing,
        };
        let mut texts: Vec<(State, String)> = Vec::new();
        let mut day = date(2026, 10, 8);
        while day < date(2027, 5, 1) {
            let state = State::of(&known.lifecycle, day);
            let text = describe(&model, &region, &known, day, Embedded::load());
            if texts.last() != Some(&(state, text.clone())) {
                texts.push((state, text));
            }
            day = day.tomorrow().expect("a day");
        }
        let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "a.b is legacy in eu-west-1 since 2026-10-08: it is closed to new customers, and accounts that do not use it may lose it; from 2027-01-08 the provider may charge more (public extended access); on 2027-04-08 its life ends and requests fail",
                "a.b is in public extended access in eu-west-1 since 2027-01-08: the provider may charge more; it has been legacy since 2026-10-08; on 2027-04-08 its life ends and requests fail",
                "the life of a.b in eu-west-1 ends on 2027-04-08: requests fail from then on; it has been legacy since 2026-10-08; it has been in public extended access since 2027-01-08",
                "the life of a.b in eu-west-1 ended on 2027-04-08: requests fail",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let model: ModelId = "a.b".parse().expect("a model");
        let region: Region = "eu-west-1".parse().expect("a region");
        let of = |lifecycle, basis| {
            let known = Known { lifecycle, basis };
            describe(&model, &region, &known, date(2026, 11, 1), Embedded::load())
        };
        let legacy = of(Lifecycle::LEGACY, Basis::Embedded);
        assert!(
            legacy.contains("the date of its end of life is not known"),
            "{legacy}"
        );
        assert!(
            legacy.ends_with("(by the embedded data of 2026-11-27)"),
            "{legacy}"
        );
        assert_eq!(
            of(Lifecycle::ACTIVE, Basis::Listing),
            "a.b is active in eu-west-1"
        );
        let announced = Lifecycle {
            legacy: Some(date(2027, 1, 1)),
            ..Lifecycle::ACTIVE
        };
        assert_eq!(
            of(announced, Basis::Listing),
            "a.b is active in eu-west-1; it becomes legacy on 2027-01-01"
        );
    }

    #[test]
    fn nothing_is_said_to_have_been_that_is_to_come() {
        let model: ModelId = "a.b".parse().expect("a model");
        let region: Region = "eu-west-1".parse().expect("a region");
        let only_the_end = Lifecycle {
            end_of_life: Some(date(2026, 12, 10)),
            ..Lifecycle::ACTIVE
        };
        let later = Lifecycle {
            legacy: Some(date(2026, 12, 20)),
            ..Lifecycle::LEGACY
        };
        for (lifecycle, says) in [
            (
                only_the_end,
                "the life of a.b in eu-west-1 ends on 2026-12-10: requests fail from then on",
            ),
            (
                later,
                "a.b is legacy in eu-west-1: it is closed to new customers, and accounts that do not use it may lose it; the date of its end of life is not known",
            ),
        ] {
            let known = Known {
                lifecycle,
                basis: Basis::Listing,
            };
            let text = describe(&model, &region, &known, date(2026, 12, 1), Embedded::load());
            assert_eq!(text, says);
        }
    }

    #[test]
    fn days_are_those_of_utc() {
        for (now, day) in [
            ("2026-12-31T23:59:59Z", date(2026, 12, 31)),
            ("2027-01-01T00:00:00Z", date(2027, 1, 1)),
        ] {
            let now: Timestamp = now.parse().expect("a time");
            assert_eq!(day_of(now.as_second()), day);
            let next = next_day(now.as_second());
            assert_eq!(day_of(next), day.tomorrow().expect("a day"));
            assert_eq!(day_of(next - 1), day);
        }
        assert_eq!(day_of(i64::MAX), date(1970, 1, 1));
    }
}
