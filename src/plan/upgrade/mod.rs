//! Keeps written values when a newer operator brings newer embedded data.

use std::sync::Arc;

use jiff::civil::Date;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, SourceKind, embedded::Embedded},
    lifecycle,
    residency::Judgement,
    route::Invocation,
    types::AccountId,
};

use super::{
    answer::Answer,
    observed::{Entry, Observed, Settings},
    publication::contradiction,
    status::{Finding, WrittenRoute},
};

/// Returns the answer to act on. If the embedded catalog gives another route only because its data are of another date, that
/// is the written route. After an edit of the spec the new data count. Here the embedded data are the listing, so the limits apply
/// to the written route both as it was written and as the new data list it: `written_judgement` is their judgement of both.
pub fn hold_back(
    answer: Answer,
    entry: Entry<'_>,
    observed: &Observed,
    written_judgement: Option<&Judgement>,
    settings: &Settings,
    embedded: &Embedded,
    day: Date,
) -> Answer {
    let (Some(written), Some(judgement), Some(catalog)) =
        (entry.written(), written_judgement, &observed.feed.catalog)
    else {
        return answer;
    };
    let Answer::Yes { route: fresh, .. } = &answer else {
        return answer;
    };
    if settings.follow_embedded
        || written.route == fresh.route
        // Another class or stage is as an edit of the spec.
        || written.class != fresh.class
        || !only_the_data_differs(entry, written, catalog)
        || lifecycle::outlived(catalog, embedded, &written.route.model, day).is_some()
        || !judgement.permits()
    {
        return answer;
    }
    Answer::Yes {
        judgement: judgement.clone(),
        finding: held_back(entry, written, fresh, catalog),
        route: with_account(written, settings.account.as_ref()),
    }
}

/// Says whether the written route was found for this same spec, in embedded data of another date.
fn only_the_data_differs(entry: Entry<'_>, written: &WrittenRoute, catalog: &Catalog) -> bool {
    let embedded = SourceKind::Embedded;
    catalog.source() == embedded
        && written.provenance.source == embedded
        && catalog.as_of() != Some(written.provenance.as_of.as_ref())
        && entry.binding.status.observed_generation == Some(entry.binding.generation)
        && contradiction(entry).is_none()
}

fn held_back(
    entry: Entry<'_>,
    written: &WrittenRoute,
    fresh: &WrittenRoute,
    catalog: &Catalog,
) -> Finding {
    let (old, new) = (&written.route, &fresh.route);
    let other = if old.id() == new.id() {
        format!("other destinations: {}", new.destinations)
    } else {
        new.id().to_owned()
    };
    let message = format!(
        "{} stays, as found in the embedded catalog of {}; the one of {} gives {other}: edit the spec, or start the operator \
         with --follow-embedded, to use that",
        old.id(),
        written.provenance.as_of,
        catalog.as_of().unwrap_or_default()
    );
    let request = entry.request();
    let wanted = request.map(|request| &request.geography);
    let reason = match &old.invocation {
        _ if request.is_some_and(|request| request.model != old.model) => Reason::FallbackModelUsed,
        Invocation::Profile { geography, .. } if wanted == Some(geography) => Reason::ProfileFound,
        Invocation::Profile { .. } => Reason::FallbackGeographyUsed,
        Invocation::OnDemand => Reason::OnDemandFallback,
    };
    Finding::new(ConditionStatus::True, reason, message)
}

/// Returns the written route with the operator's account in its ARN. A changed account does not come from newer data, so it
/// is not held back.
fn with_account(written: &Arc<WrittenRoute>, account: Option<&AccountId>) -> Arc<WrittenRoute> {
    let account = account.filter(|_| written.route.profile().is_some());
    if written.account.as_ref() == account {
        return written.clone();
    }
    Arc::new(WrittenRoute {
        account: account.cloned(),
        ..(**written).clone()
    })
}

#[cfg(test)]
mod tests;
