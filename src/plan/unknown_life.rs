//! Keeps a written fallback model while it is not known whether the life of the model before it has ended.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, embedded::Embedded},
    lifecycle,
    residency::Limits,
    route::{Invocation, Route},
};

use super::{
    answer::Answer,
    observed::{Entry, Observed},
    publication::contradiction,
    status::{Finding, WrittenRoute},
};

/// Returns the answer to act on. Where a live listing does not say in which state the wanted model is, because the models could
/// not be listed or this one is gone from them, a fallback that serves in its place stays: not knowing must not move a binding
/// back to a model whose life has ended. Where lives were never known, they did not decide, and nothing is held.
pub fn hold_back(
    answer: Answer,
    entry: Entry<'_>,
    observed: &Observed,
    limits: &Limits,
    embedded: &Embedded,
) -> Answer {
    let (Some(written), Some(catalog), Answer::Yes { route: fresh, .. }) =
        (entry.written(), &observed.feed.catalog, &answer)
    else {
        return answer;
    };
    let lives_were_known = entry.in_use.is_some_and(|it| it.state.is_some());
    if !catalog.source().is_live()
        || !lives_were_known
        || written.class != fresh.class
        || !comes_before(entry, &fresh.route, &written.route)
        || lifecycle::known(catalog, embedded, &fresh.route.model).is_some()
        || contradiction(entry).is_some()
        || !is_listed(catalog, &written.route)
    {
        return answer;
    }
    let judgement = limits.judge(&written.route, embedded);
    if !judgement.permits() {
        return answer;
    }
    Answer::Yes {
        judgement,
        finding: stays(written, fresh),
        route: Arc::clone(written),
    }
}

/// Says whether the model of one route stands before that of another in the same spec for which the other was written.
fn comes_before(entry: Entry<'_>, one: &Route, other: &Route) -> bool {
    let Some(request) = entry.request() else {
        return false;
    };
    let position = |route: &Route| request.models().position(|model| *model == route.model);
    entry.binding.status.observed_generation == Some(entry.binding.generation)
        && position(one) < position(other)
}

fn is_listed(catalog: &Catalog, route: &Route) -> bool {
    match &route.invocation {
        Invocation::Profile { geography, .. } => {
            catalog.find(&route.model, geography).is_some_and(|found| {
                let found = found.route(&route.source_region);
                found == *route
            })
        }
        // Whether it still is can't be told without the models.
        Invocation::OnDemand => true,
    }
}

fn stays(written: &WrittenRoute, fresh: &WrittenRoute) -> Finding {
    Finding::new(
        ConditionStatus::True,
        Reason::FallbackModelUsed,
        format!(
            "{} stays, as fallback.models allows: it is not known whether the life of {} has ended, because it is not among the models that could be listed; allow bedrock:ListFoundationModels, or set model to the one to use",
            written.route.id(),
            fresh.route.model
        ),
    )
}
