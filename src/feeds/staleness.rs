//! Whether a snapshot is stale: older than `--catalog-max-age`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, Freshness, SourceKind},
};

/// Returns the freshness of a snapshot. The message names the snapshot's date, not its age, so that it stays the same from
/// day to day.
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
        SourceKind::Directory => "export the files again",
        SourceKind::Embedded | SourceKind::Bedrock => {
            "install a newer operator, or use --catalog bedrock"
        }
    };
    format!(
        "the profiles of {} come from the {} catalog of {as_of}, which is older than --catalog-max-age allows; they are \
         still used: {renew}, or raise --catalog-max-age",
        catalog.source_region(),
        catalog.source().as_str()
    )
}

/// Parses an RFC 3339 time or date; a date means its first moment in UTC.
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
    fn a_snapshot_older_than_the_maximum_age_is_stale() {
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
    fn the_message_names_the_date_and_stays_the_same_from_day_to_day() {
        let old = catalog(SourceKind::Directory, Some("2026-01-02"));
        let at = |time: &str| freshness(&old, DAY, time.parse().expect("a time"));
        let stale = at("2026-11-01T12:00:00Z");
        assert_eq!(stale, at("2026-11-02T12:00:00Z"));
        let Freshness::Failed { reason, message } = stale else {
            panic!("it is old: {stale:?}");
        };
        assert_eq!(reason, Reason::SnapshotStale);
        for part in ["eu-west-1", "2026-01-02", "--catalog-max-age", "export"] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }
}
