//! What the catalog says to a binding's request, with what the limits say to that.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, Freshness, embedded::Embedded},
    render::{Invocation, ProfileInUse},
    residency::{Limits, Verdict},
    resolve::{self, Found, Request, Resolution},
};

use super::{
    observed::{Binding, Observed, Settings},
    status::{Finding, Provenance, WrittenProfile},
};

/// What the catalog says to a request, with what the limits say to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A profile serves it.
    Yes {
        /// The profile, as it would be written.
        profile: Arc<WrittenProfile>,
        /// What the limits say of it.
        verdict: Verdict,
        /// What `RegionSupported` says.
        finding: Finding,
    },
    /// None does.
    No {
        /// What `RegionSupported` says.
        finding: Finding,
        /// Who says so.
        authority: Authority,
        /// Whether that is all there is to say: not where on demand might serve, and the models could not be listed.
        definite: bool,
    },
    /// It can't be known now.
    Unknown(Finding),
}

impl Answer {
    /// Says whether this is known for sure: only then may something be withdrawn for it.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Yes { .. } => true,
            Self::No { definite, .. } => *definite,
            Self::Unknown(_) => false,
        }
    }
}

/// Who says that nothing serves a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// A live listing, for this account where it names one: an empty one does not.
    Live(Option<Arc<str>>),
    /// A snapshot, or the request itself: these retire nothing.
    Other,
}

/// Returns what the feed's catalog says to a binding's request.
pub fn answer(observed: &Observed, limits: &Limits, settings: &Settings, now: i64) -> Answer {
    let binding = &*observed.binding;
    let request = match &binding.spec.request {
        Ok(request) => request,
        Err(error) => {
            return Answer::No {
                finding: Finding::new(
                    ConditionStatus::False,
                    Reason::ModelUnsupported,
                    error.to_string(),
                ),
                authority: Authority::Other,
                definite: true,
            };
        }
    };
    let Some(catalog) = &observed.feed.catalog else {
        return Answer::Unknown(unknown(binding, request, limits, &observed.feed.freshness));
    };
    match resolve::resolve(request, catalog, limits, Embedded::load()) {
        Ok(resolution) => {
            let profile = Arc::new(written(
                binding,
                request,
                &resolution,
                catalog,
                settings,
                now,
            ));
            Answer::Yes {
                verdict: limits.judge(&request.source_region, &profile.profile.reachable()),
                finding: Finding::new(
                    ConditionStatus::True,
                    resolution.reason(request),
                    resolution.message(request),
                ),
                profile,
            }
        }
        Err(unresolved) => Answer::No {
            definite: unresolved.is_definite(),
            finding: Finding::new(
                ConditionStatus::False,
                unresolved.reason,
                unresolved.message,
            ),
            authority: if catalog.source().is_live() {
                Authority::Live(catalog.account().cloned().map(Into::into))
            } else {
                Authority::Other
            },
        },
    }
}

/// Returns the profile as it is written, dated by when this same answer first appeared.
fn written(
    binding: &Binding,
    request: &Request,
    resolution: &Resolution,
    catalog: &Catalog,
    settings: &Settings,
    now: i64,
) -> WrittenProfile {
    let region = &request.source_region;
    let (invocation, arn) = match &resolution.found {
        Found::Profile(found) => {
            // A snapshot can be of another account than the workloads'.
            let listed = catalog.account().filter(|_| catalog.source().is_live());
            let account = listed.or(settings.account.as_ref());
            let invocation = Invocation::Profile {
                id: found.id.clone(),
                geography: found.geography.clone(),
            };
            (
                invocation,
                account.map(|account| region.profile_arn(account, &found.id)),
            )
        }
        Found::OnDemand => (
            Invocation::OnDemand,
            Some(region.foundation_model_arn(&request.model)),
        ),
    };
    let profile = ProfileInUse {
        invocation,
        arn: arn.map(Arc::from),
        model: request.model.clone(),
        source_region: region.clone(),
        destinations: resolution.found.destinations(request),
    };
    let source = catalog.source().as_str();
    let account: Option<Arc<str>> = catalog.account().cloned().map(Into::into);
    if let Some(before) = &binding.status.profile
        && before.profile == profile
        && before.provenance.source.as_ref() == source
        && before.provenance.account == account
    {
        return (**before).clone();
    }
    let as_of = catalog.as_of().map_or_else(
        || {
            Timestamp::from_second(now)
                .unwrap_or_default()
                .to_string()
                .into()
        },
        Arc::from,
    );
    WrittenProfile {
        profile,
        provenance: Provenance {
            source: source.into(),
            account,
            as_of,
        },
    }
}

/// Returns what to say while there is no catalog at all. The embedded snapshot tells what would be, and nothing more.
fn unknown(
    binding: &Binding,
    request: &Request,
    limits: &Limits,
    freshness: &Freshness,
) -> Finding {
    let Freshness::Failed { message, .. } = freshness else {
        return pending(binding, &format!(" of {}", request.source_region));
    };
    let embedded = Embedded::load();
    let snapshot = resolve::resolve(
        request,
        &embedded.catalog(&request.source_region),
        limits,
        embedded,
    );
    let would = match snapshot {
        Ok(resolution) => format!(
            "the snapshot of {} would give {}: run with --catalog embedded to use it",
            embedded.as_of(),
            resolution.found.id(request)
        ),
        Err(unresolved) => format!(
            "the snapshot of {} has none either: {}",
            embedded.as_of(),
            unresolved.message
        ),
    };
    Finding::new(
        ConditionStatus::Unknown,
        Reason::CatalogUnavailable,
        format!(
            "the profiles of {} could not be listed yet: {message}; {would}",
            request.source_region
        ),
    )
}

/// Returns what to say before the first listing, which a suspended binding does not ask for.
pub(super) fn pending(binding: &Binding, region: &str) -> Finding {
    let what = if binding.spec.suspend {
        "not listed while the binding is suspended"
    } else {
        "being listed"
    };
    Finding::new(
        ConditionStatus::Unknown,
        Reason::Pending,
        format!("the profiles{region} are {what}"),
    )
}
