//! How old a snapshot may be before it is called stale.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, Freshness, SourceKind},
};

/// Returns how current a snapshot is. The text names its date, not its age: no day that passes changes it.
#[must_use]
pub fn freshness(catalog: &Catalog, max_age: Duration, now: Timestamp) -> Freshness {
    let stale_since = |as_of: &str| {
        let max_age = SignedDuration::try_from(max_age).ok()?;
        time_of(as_of)?.checked_add(max_age).ok()
    };
    match catalog.as_of() {
        Some(as_of) if stale_since(as_of).is_some_and(|since| now > since) => Freshness::Failed {
            reason: Reason::SnapshotStale,
            message: stale(catalog, as_of).into(),
        },
        _ => Freshness::Snapshot,
    }
}

fn stale(catalog: &Catalog, as_of: &str) -> String {
    let renew = match catalog.source() {
        SourceKind::Directory => "export the files anew",
        SourceKind::Embedded | SourceKind::Bedrock => {
            "install a newer operator, or use --catalog bedrock"
        }
    };
    format!(
        "the profiles of {} are those of the {} catalog as of {as_of}, older than --catalog-max-age allows; they are used \
         all the same: {renew}, or raise --catalog-max-age",
        catalog.source_region(),
        catalog.source().as_str()
    )
}

/// Returns the time of an RFC 3339 date, which is its first moment in UTC, or time.
fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn catalog(source: SourceKind, as_of: Option<&str>) -> Catalog {
        let region = "eu-west-1".parse().expect("a region");
        Catalog::new(source, region, None, as_of.map(str::to_owned), Vec::new())
    }

    #[test]
    fn a_snapshot_is_stale_once_its_age_is_passed() {
        let now: Timestamp = "2026-11-01T12:00:00Z".parse().expect("a time");
        for (as_of, max_age, stale) in [
            (Some("2026-11-01"), DAY, false),
            (Some("2026-10-31"), DAY, true),
            (Some("2026-10-31T12:00:00Z"), DAY, false),
            (Some("2026-10-31T11:59:59Z"), DAY, true),
            (Some("2026-10-31"), DAY * 2, false),
            (Some("2026-12-31"), DAY, false),
            (Some("1970-01-01"), Duration::MAX, false),
            (None, DAY, false),
        ] {
            let found = freshness(&catalog(SourceKind::Embedded, as_of), max_age, now);
            assert_eq!(found != Freshness::Snapshot, stale, "{as_of:?} {max_age:?}");
        }
    }

    #[test]
    fn what_is_stale_is_told_by_its_date_and_does_not_change_from_day_to_day() {
        let old = catalog(SourceKind::Directory, Some("2026-01-02"));
        let at = |time: &str| freshness(&old, DAY, time.parse().expect("a time"));
        let told = at("2026-11-01T12:00:00Z");
        assert_eq!(told, at("2026-11-02T12:00:00Z"));
        let Freshness::Failed { reason, message } = told else {
            panic!("it is old: {told:?}");
        };
        assert_eq!(reason, Reason::SnapshotStale);
        for part in ["eu-west-1", "2026-01-02", "--catalog-max-age", "export"] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }
}
