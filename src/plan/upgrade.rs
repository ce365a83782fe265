//! What a newer program with newer data compiled in may change by itself: nothing that is written.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, SourceKind},
    render::{Invocation, ProfileInUse},
    residency::{Limits, reachable},
};

use super::{
    answer::Answer,
    observed::{Binding, Observed, Settings},
    publication::contradicts,
    status::{Finding, WrittenProfile},
};

/// Returns the answer that counts. Where the embedded catalog gives something else than it gave, and only its date
/// differs, that is what is written already. An edit of the spec takes the new data, and limits act by both.
pub fn hold_back(
    answer: Answer,
    observed: &Observed,
    limits: &Limits,
    settings: &Settings,
) -> Answer {
    let binding = &*observed.binding;
    let (Some(written), Some(catalog)) = (&binding.status.profile, &observed.feed.catalog) else {
        return answer;
    };
    let Answer::Yes { profile: fresh, .. } = &answer else {
        return answer;
    };
    let moves = without_arn(&written.profile) != without_arn(&fresh.profile);
    if settings.follow_embedded
        || !moves
        || !only_the_data_differs(binding, written, catalog)
        || !allowed_by_both(written, catalog, limits)
    {
        return answer;
    }
    kept(binding, written, fresh, catalog, limits, settings)
}

/// Says whether the spec is the one that the written profile was found for, in older or newer embedded data.
fn only_the_data_differs(binding: &Binding, written: &WrittenProfile, catalog: &Catalog) -> bool {
    let embedded = SourceKind::Embedded;
    catalog.source() == embedded
        && written.provenance.source.as_ref() == embedded.as_str()
        && catalog.as_of() != Some(written.provenance.as_of.as_ref())
        && binding.status.observed_generation == Some(binding.generation)
        && !contradicts(binding, written)
}

/// Says whether the limits allow the written profile as it is written, and as the data have it now.
fn allowed_by_both(written: &WrittenProfile, catalog: &Catalog, limits: &Limits) -> bool {
    let profile = &written.profile;
    let now = catalog
        .profiles_of(&profile.model)
        .iter()
        .find(|listed| listed.id.as_str() == profile.id());
    let source = &profile.source_region;
    let now = now.map(|listed| reachable(&listed.id, source, &listed.destinations));
    let mut destinations = now.into_iter().chain([profile.reachable()]);
    destinations.all(|reached| limits.judge(source, &reached).permits())
}

fn kept(
    binding: &Binding,
    written: &Arc<WrittenProfile>,
    fresh: &WrittenProfile,
    catalog: &Catalog,
    limits: &Limits,
    settings: &Settings,
) -> Answer {
    let old = &written.profile;
    let new = &fresh.profile;
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
    let wanted = binding
        .spec
        .request
        .as_ref()
        .map(|request| &request.geography);
    // The account is the operator's: that it is another one now is no news of the data.
    let account = settings.account.as_ref();
    let (reason, arn) = match &old.invocation {
        Invocation::Profile { id, geography } => (
            if wanted == Ok(geography) {
                Reason::ProfileFound
            } else {
                Reason::FallbackGeographyUsed
            },
            account.map(|account| Arc::from(old.source_region.profile_arn(account, id))),
        ),
        Invocation::OnDemand => (Reason::OnDemandFallback, old.arn.clone()),
    };
    let profile = if old.arn == arn {
        written.clone()
    } else {
        Arc::new(WrittenProfile {
            profile: ProfileInUse { arn, ..old.clone() },
            provenance: written.provenance.clone(),
        })
    };
    Answer::Yes {
        verdict: limits.judge(&old.source_region, &old.reachable()),
        finding: Finding::new(ConditionStatus::True, reason, message),
        profile,
    }
}

fn without_arn(profile: &ProfileInUse) -> ProfileInUse {
    ProfileInUse {
        arn: None,
        ..profile.clone()
    }
}
