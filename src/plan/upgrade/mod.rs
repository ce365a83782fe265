//! What a newer program with newer data compiled in may change by itself: nothing that is written.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, SourceKind, embedded::Embedded},
    residency::{Judgement, Limits},
    route::Invocation,
    types::AccountId,
};

use super::{
    answer::Answer,
    observed::{Binding, Observed, Settings},
    publication::contradicts,
    status::{Finding, WrittenRoute},
};

/// Returns the answer that counts. Where the embedded catalog gives something else than it gave, and only its date
/// differs, that is what is written already. An edit of the spec takes the new data, and limits act by both. `judged` is
/// what the limits say of the written route.
pub fn hold_back(
    answer: Answer,
    observed: &Observed,
    limits: &Limits,
    judged: Option<&Judgement>,
    settings: &Settings,
    embedded: &Embedded,
) -> Answer {
    let binding = &*observed.binding;
    let (Some(written), Some(judged), Some(catalog)) =
        (&binding.status.route, judged, &observed.feed.catalog)
    else {
        return answer;
    };
    let Answer::Yes { route: fresh, .. } = &answer else {
        return answer;
    };
    if settings.follow_embedded
        || written.route == fresh.route
        || !only_the_data_differs(binding, written, catalog)
        || !judged.permits()
        || !is_allowed_as_listed(written, catalog, limits, embedded)
    {
        return answer;
    }
    Answer::Yes {
        judgement: judged.clone(),
        finding: held_back(binding, written, fresh, catalog),
        route: with_account(written, settings.account.as_ref()),
    }
}

/// Says whether the spec is the one that the written route was found for, in older or newer embedded data.
fn only_the_data_differs(binding: &Binding, written: &WrittenRoute, catalog: &Catalog) -> bool {
    let embedded = SourceKind::Embedded;
    catalog.source() == embedded
        && written.provenance.source == embedded
        && catalog.as_of() != Some(written.provenance.as_of.as_ref())
        && binding.status.observed_generation == Some(binding.generation)
        && !contradicts(binding, written)
}

/// Says whether the limits allow the written profile as the data have it now; they may have it no more.
fn is_allowed_as_listed(
    written: &WrittenRoute,
    catalog: &Catalog,
    limits: &Limits,
    embedded: &Embedded,
) -> bool {
    let listed = catalog
        .profiles_of(&written.route.model)
        .iter()
        .find(|listed| Some(&listed.id) == written.route.profile());
    listed.is_none_or(|listed| {
        let route = listed.route(&written.route.source_region);
        limits.judge(&route, embedded).permits()
    })
}

fn held_back(
    binding: &Binding,
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
        "{} stays, as the embedded catalog of {} gave it; that of {} gives {other}: edit the spec, or start the operator \
         with --follow-embedded, to take this",
        old.id(),
        written.provenance.as_of,
        catalog.as_of().unwrap_or_default()
    );
    let wanted = binding.spec.request.as_ref().ok();
    let wanted = wanted.map(|request| &request.geography);
    let reason = match &old.invocation {
        Invocation::Profile { geography, .. } if wanted == Some(geography) => Reason::ProfileFound,
        Invocation::Profile { .. } => Reason::FallbackGeographyUsed,
        Invocation::OnDemand => Reason::OnDemandFallback,
    };
    Finding::new(ConditionStatus::True, reason, message)
}

/// Returns the written route with the operator's account in its ARN: that it is another one now is no news of the data.
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
