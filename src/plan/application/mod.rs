//! Holds a route back for which workloads are to invoke an application profile that is not there.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{Catalog, Freshness},
    resolve,
};

use super::{
    answer::{Answer, pending},
    observed::{Entry, Observed},
    publication::contradiction,
    several::Told,
    status::{Finding, WrittenRoute},
};

/// Returns the answer with the application profile that the spec names, matched against the route that serves. Where there is none to
/// use, nothing new is written.
pub fn require(answer: Answer, entry: Entry<'_>, observed: &Observed) -> Answer {
    let binding = entry.binding;
    let (
        Answer::Yes {
            route,
            judgement,
            finding,
        },
        Some(request),
        Some(catalog),
    ) = (&answer, entry.request(), &observed.feed.catalog)
    else {
        return answer;
    };
    let in_use = entry.written();
    let in_use = in_use.and_then(|written| written.application.as_ref());
    let account = route.account.as_ref();
    match resolve::application_profile(request, &route.route, catalog, account, in_use) {
        Ok(application) => Answer::Yes {
            judgement: judgement.clone(),
            finding: match &application {
                Some(arn) => Finding::new(
                    finding.status,
                    finding.reason,
                    format!("{}; workloads invoke it through {arn}", finding.message),
                ),
                None => finding.clone(),
            },
            route: if route.application == application {
                Arc::clone(route)
            } else {
                Arc::new(WrittenRoute {
                    application,
                    ..(**route).clone()
                })
            },
        },
        Err(unfound) if unfound.reason == Reason::Pending && binding.spec.suspend => {
            Answer::WithoutApplication {
                judgement: judgement.clone(),
                is_certain: false,
                finding: pending(binding, &format!(" of {}", request.source_region)),
            }
        }
        Err(unfound) => Answer::WithoutApplication {
            judgement: judgement.clone(),
            is_certain: unfound.is_certain,
            finding: Finding::new(
                if unfound.is_certain {
                    ConditionStatus::False
                } else {
                    ConditionStatus::Unknown
                },
                unfound.reason,
                unfound.message,
            ),
        },
    }
}

/// Returns the finding of `RegionSupported` where a route serves and its application profile is not there. `finding` is what the
/// catalog says; `kept` says whether a written value stays.
pub fn supported(entry: Entry<'_>, finding: &Finding, is_certain: bool, kept: bool) -> Told {
    if !is_certain {
        return Told::earlier_or(earlier(entry, finding), finding.clone());
    }
    let Some(written) = entry.written().filter(|_| kept) else {
        return Told::Now(finding.clone());
    };
    // The message has a command to copy, which is told last.
    let stays = match &written.application {
        Some(arn) if finding.reason == Reason::ApplicationProfileNotFound => {
            format!("{arn}, written earlier, stays in the targets")
        }
        Some(arn) => format!("{arn}, written earlier, stays"),
        None => format!("{}, written earlier, stays", written.route.id()),
    };
    Told::Now(Finding::new(
        finding.status,
        finding.reason,
        format!("{stays}; {}", finding.message),
    ))
}

/// Returns the earlier finding while the spec is the same: as long as application profiles can't be listed, what was known stays
/// known.
fn earlier(entry: Entry<'_>, now: &Finding) -> Option<Finding> {
    let binding = entry.binding;
    let before = binding.status.finding(ConditionType::RegionSupported)?;
    let same_spec = binding.status.observed_generation == Some(binding.generation);
    // An edit of a class leaves the binding's generation as it is.
    let same_request = contradiction(entry).is_none();
    let is_known = before.status != ConditionStatus::Unknown || now.reason == Reason::Pending;
    (same_spec && same_request && is_known).then_some(before)
}

/// Returns the finding of `CatalogFresh` in which it counts too that application profiles can't be listed. `fresh` is that of the
/// rest of the catalog, and `supported` is the binding's finding of `RegionSupported`: a binding that has an answer does not show
/// a short failure.
pub fn catalog_fresh(fresh: Finding, supported: &Finding, observed: &Observed) -> Finding {
    let mut requests = observed.binding.spec.requests();
    let is_asked = requests.any(|request| request.application.is_some());
    let catalog = observed.feed.catalog.as_deref().filter(|_| is_asked);
    let failure = catalog.and_then(|catalog| catalog.applications().failure());
    match failure {
        Some(failure)
            if observed.feed.freshness == Freshness::Fresh
                && (failure.is_overdue || supported.status == ConditionStatus::Unknown) =>
        {
            Finding::new(
                ConditionStatus::False,
                failure.reason,
                failure.message.clone(),
            )
        }
        _ => fresh,
    }
}

/// Says whether a listing has the application profile that is in use, or can't say. The spec that it was written for must be the
/// same: another may name another one.
pub fn is_listed(entry: Entry<'_>, written: &WrittenRoute, catalog: &Catalog) -> bool {
    let binding = entry.binding;
    let same_spec = binding.status.observed_generation == Some(binding.generation);
    match (&written.application, catalog.applications().profiles()) {
        (Some(arn), Some(listed)) if same_spec => listed.iter().any(|one| one.arn == *arn),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
