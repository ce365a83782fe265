//! The answer of the catalog for one binding, and what the conditions `RegionSupported` and `CatalogFresh` say of it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{Catalog, FeedState, Freshness, SourceKind, embedded::Embedded},
    render::ProfileInUse,
    residency::{Limits, Verdict},
    resolve::{self, Request, Resolution},
};

use super::{
    Settings,
    observed::{Binding, Observed},
    publication::{Publication, contradicts},
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
    /// None does, definitely.
    No {
        /// What `RegionSupported` says.
        finding: Finding,
        /// Who says so.
        authority: Authority,
    },
    /// It can't be known now.
    Unknown(Finding),
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
                verdict: limits.judge(&request.source_region, &profile.profile.destinations),
                finding: Finding::new(
                    ConditionStatus::True,
                    resolution.reason(),
                    resolution.message(request),
                ),
                profile,
            }
        }
        Err(unresolved) => Answer::No {
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
    let found = &resolution.profile;
    let account = catalog.account().or(settings.account.as_ref());
    let arn =
        account.map(|account| Arc::from(request.source_region.profile_arn(account, &found.id)));
    let profile = ProfileInUse {
        id: found.id.clone(),
        arn,
        model: found.model.clone(),
        geography: found.geography.clone(),
        source_region: request.source_region.clone(),
        destinations: found.destinations.clone(),
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
            resolution.profile.id
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
fn pending(binding: &Binding, region: &str) -> Finding {
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

/// Returns what `RegionSupported` says.
pub fn finding(
    binding: &Binding,
    answer: &Answer,
    publication: &Publication,
    feed: &FeedState,
) -> Finding {
    let kept = matches!(publication, Publication::Keep(_) | Publication::Leave);
    match answer {
        Answer::Yes { finding, .. } => finding.clone(),
        Answer::No { finding, authority } => match &binding.status.profile {
            Some(written) if kept && !contradicts(binding, written) => {
                if had_it_live(written, authority) {
                    retired(written, finding)
                } else {
                    let message = format!(
                        "{}; {}, written earlier, stays",
                        finding.message, written.profile.id
                    );
                    Finding::new(finding.status, finding.reason, message)
                }
            }
            _ => finding.clone(),
        },
        Answer::Unknown(finding) => standing(binding, ConditionType::RegionSupported, feed)
            .unwrap_or_else(|| finding.clone()),
    }
}

/// Returns what a condition said of the catalog's answer before, where that stands: while AWS can't be asked, what was
/// known stays known, unless the spec asks for something else now.
pub fn standing(binding: &Binding, kind: ConditionType, feed: &FeedState) -> Option<Finding> {
    let same_request = match &binding.status.profile {
        Some(written) => !contradicts(binding, written),
        None => binding.status.observed_generation == Some(binding.generation),
    };
    // A first listing that is under way takes back nothing, not even a doubt.
    let pending = matches!(feed.freshness, Freshness::Pending);
    let before = binding.status.finding(kind)?;
    (same_request && (pending || before.status != ConditionStatus::Unknown)).then_some(before)
}

/// Says whether a written profile came from a live listing of the account that was asked now.
fn had_it_live(written: &WrittenProfile, authority: &Authority) -> bool {
    let Authority::Live(account) = authority else {
        return false;
    };
    let known = &written.provenance.account;
    written.provenance.source.as_ref() == SourceKind::Bedrock.as_str()
        && (account.is_none() || known.is_none() || account == known)
}

fn retired(written: &WrittenProfile, finding: &Finding) -> Finding {
    let account = written
        .provenance
        .account
        .as_deref()
        .unwrap_or("of the operator");
    Finding::new(
        ConditionStatus::False,
        Reason::ProfileRetired,
        format!(
            "{} is no longer listed for account {account} from {}; the value stays where it is written until the spec names a successor; {}",
            written.profile.id, written.profile.source_region, finding.message
        ),
    )
}

/// Returns what `CatalogFresh` says.
pub fn catalog_finding(binding: &Binding, feed: &FeedState) -> Finding {
    let region = binding.spec.request.as_ref().map_or_else(
        |_| String::new(),
        |request| format!(" of {}", request.source_region),
    );
    match &feed.freshness {
        Freshness::Fresh => Finding::new(
            ConditionStatus::True,
            Reason::Fresh,
            format!("the profiles{region} are listed regularly"),
        ),
        Freshness::Snapshot => {
            let catalog = feed.catalog.as_deref();
            let source = catalog.map_or(SourceKind::Embedded, Catalog::source);
            // Files are refreshed: their date would rewrite every status each time.
            let dated = catalog
                .filter(|_| source == SourceKind::Embedded)
                .and_then(Catalog::as_of)
                .map_or_else(String::new, |date| format!(" as of {date}"));
            Finding::new(
                ConditionStatus::True,
                Reason::Snapshot,
                format!(
                    "the profiles{region} are those of the {} catalog{dated}",
                    source.as_str()
                ),
            )
        }
        Freshness::Failed { reason, message } => {
            Finding::new(ConditionStatus::False, *reason, message.clone())
        }
        Freshness::Pending => standing(binding, ConditionType::CatalogFresh, feed)
            .unwrap_or_else(|| pending(binding, &region)),
    }
}
