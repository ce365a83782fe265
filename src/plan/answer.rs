//! What the catalog says to a binding's request, with what the limits say to that.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, Freshness, embedded::Embedded},
    residency::{Judgement, Limits},
    resolve::{self, Request, Resolution},
    route::{Invocation, Route},
    types::AccountId,
};

use super::{
    observed::{Binding, Observed, Settings},
    status::{Finding, Provenance, WrittenRoute},
};

/// What the catalog says to a request, with what the limits say to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A route serves it.
    Yes {
        /// The route, as it would be written.
        route: Arc<WrittenRoute>,
        /// What the limits say of it.
        judgement: Judgement,
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
    Live(Option<AccountId>),
    /// A snapshot, or the request itself: these retire nothing.
    Other,
}

/// Returns what the feed's catalog says to a binding's request.
pub fn answer(
    observed: &Observed,
    limits: &Limits,
    settings: &Settings,
    embedded: &Embedded,
    now: i64,
) -> Answer {
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
        let freshness = &observed.feed.freshness;
        return Answer::Unknown(unknown(binding, request, limits, embedded, freshness));
    };
    match resolve::resolve(request, catalog, limits, embedded) {
        Ok(resolution) => Answer::Yes {
            finding: Finding::new(
                ConditionStatus::True,
                resolution.reason(request),
                resolution.message(request),
            ),
            judgement: resolution.judgement.clone(),
            route: Arc::new(written(binding, resolution, catalog, settings, now)),
        },
        Err(unresolved) => Answer::No {
            definite: unresolved.is_definite(),
            finding: Finding::new(
                ConditionStatus::False,
                unresolved.reason,
                unresolved.message,
            ),
            authority: if catalog.source().is_live() {
                Authority::Live(catalog.account().cloned())
            } else {
                Authority::Other
            },
        },
    }
}

/// Returns the route as it is written, dated by when this same answer first appeared.
fn written(
    binding: &Binding,
    resolution: Resolution,
    catalog: &Catalog,
    settings: &Settings,
    now: i64,
) -> WrittenRoute {
    let route = resolution.route;
    let account = account_of_arn(&route, catalog, settings);
    let source = catalog.source();
    let asked = catalog.account().cloned();
    if let Some(before) = &binding.status.route
        && before.route == route
        && before.account == account
        && before.provenance.source == source
        && before.provenance.account == asked
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
    WrittenRoute {
        route,
        account,
        provenance: Provenance {
            source,
            account: asked,
            as_of,
        },
    }
}

/// Returns the account that the ARN of a route names. ARNs of models name none.
fn account_of_arn(route: &Route, catalog: &Catalog, settings: &Settings) -> Option<AccountId> {
    match route.invocation {
        Invocation::OnDemand => None,
        Invocation::Profile { .. } => {
            // A snapshot can be of another account than the workloads'.
            let listed = catalog.account().filter(|_| catalog.source().is_live());
            listed.or(settings.account.as_ref()).cloned()
        }
    }
}

/// Returns what to say while there is no catalog at all. The embedded snapshot tells what would be, and nothing more.
fn unknown(
    binding: &Binding,
    request: &Request,
    limits: &Limits,
    embedded: &Embedded,
    freshness: &Freshness,
) -> Finding {
    let Freshness::Failed { message, .. } = freshness else {
        return pending(binding, &format!(" of {}", request.source_region));
    };
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
            resolution.route.id()
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
