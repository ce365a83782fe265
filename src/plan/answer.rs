//! Asks the catalog which route serves a binding's request, and the residency limits whether it is allowed.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::condition::{ConditionStatus, Reason},
    catalog::{Catalog, Freshness, embedded::Embedded},
    class::RequestError,
    lifecycle,
    residency::{Judgement, Limits},
    resolve::{self, Context, Request, Resolution},
    route::{Invocation, Route},
    types::AccountId,
};

use super::{
    observed::{Binding, Entry, Observed, Settings},
    status::{ClassOrigin, Finding, Provenance, WrittenRoute},
};

/// The catalog's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A route serves the request.
    Yes {
        /// The route, as it would be written.
        route: Arc<WrittenRoute>,
        /// The limits' judgement of it.
        judgement: Judgement,
        /// The finding of `RegionSupported`.
        finding: Finding,
    },
    /// No route serves the request.
    No {
        /// The finding of `RegionSupported`.
        finding: Finding,
        /// Where the answer comes from.
        authority: Authority,
        /// Whether the answer is final. It is not when on demand might serve the request but the models could not be listed.
        definite: bool,
    },
    /// A route serves the request, but there is no application profile to invoke it through. Nothing new is written.
    WithoutApplication {
        /// The limits' judgement of the route.
        judgement: Judgement,
        /// The finding of `RegionSupported`.
        finding: Finding,
        /// Whether there certainly is none. It is not known while application profiles could not be listed.
        is_certain: bool,
    },
    /// The catalog is not available now.
    Unknown(Finding),
    /// It is not known what is asked for, or it may not be asked for: the class of the binding is missing, can't be used or is
    /// not for its namespace. The finding of `RegionSupported`.
    NotAsked(Finding),
}

impl Answer {
    /// Returns the route that serves, if it may be written.
    pub fn fresh(&self) -> Option<&Arc<WrittenRoute>> {
        match self {
            Self::Yes {
                route, judgement, ..
            } => Some(route).filter(|_| judgement.permits()),
            _ => None,
        }
    }

    /// Says whether it is certain that nothing allowed serves. Only then may a value be withdrawn because of it.
    pub fn rules_out(&self) -> bool {
        self.is_definite() && self.fresh().is_none()
    }

    /// Says whether the answer is final.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Yes { .. } => true,
            Self::No { definite, .. } => *definite,
            Self::WithoutApplication { is_certain, .. } => *is_certain,
            Self::Unknown(_) | Self::NotAsked(_) => false,
        }
    }

    /// Returns why a written value is withdrawn for this answer, in words.
    pub fn reason_of_withdrawal(&self) -> String {
        match self {
            Self::Yes {
                route, judgement, ..
            } => format!(
                "the spec now asks for {}, which is not allowed: {}",
                route.route.id(),
                judgement.message()
            ),
            Self::WithoutApplication { judgement, .. } if judgement.forbids() => {
                judgement.message()
            }
            Self::No { finding, .. }
            | Self::WithoutApplication { finding, .. }
            | Self::Unknown(finding)
            | Self::NotAsked(finding) => format!(
                "the spec now asks for something else, and {}",
                finding.message
            ),
        }
    }
}

/// Where the answer comes from that no route serves a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// From a live listing of this account. `None` when the listing does not name it, as when it is empty.
    Live(Option<AccountId>),
    /// From a snapshot, or from the request itself, which is not valid. Neither retires a profile.
    Other,
}

/// Returns the answer of the feed's catalog to what is asked for. `now` is in seconds since the Unix epoch.
pub fn answer(
    entry: Entry<'_>,
    observed: &Observed,
    limits: &Limits,
    settings: &Settings,
    embedded: &Embedded,
    now: i64,
) -> Answer {
    let binding = entry.binding;
    let request = match &entry.ask.request {
        Ok(request) => request,
        Err(error) => return no_request(error),
    };
    let day = lifecycle::day_of(now);
    let Some(catalog) = &observed.feed.catalog else {
        let embedded_catalog = embedded.catalog(&request.source_region);
        let context = Context {
            catalog: &embedded_catalog,
            limits,
            embedded,
            day,
        };
        return Answer::Unknown(unknown(
            binding,
            request,
            &context,
            &observed.feed.freshness,
        ));
    };
    let context = Context {
        catalog,
        limits,
        embedded,
        day,
    };
    match resolve::resolve(request, &context) {
        Ok(resolution) => Answer::Yes {
            finding: Finding::new(
                ConditionStatus::True,
                resolution.reason(request),
                resolution.message(request),
            ),
            judgement: resolution.judgement.clone(),
            route: Arc::new(written_route(entry, resolution, catalog, settings, now)),
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

/// Returns the answer where there is no request.
fn no_request(error: &RequestError) -> Answer {
    let reason = error.reason();
    let status = match reason {
        Reason::ClassUnknown => ConditionStatus::Unknown,
        _ => ConditionStatus::False,
    };
    let finding = Finding::new(status, reason, error.to_string());
    match error {
        RequestError::Invalid(_) => Answer::No {
            finding,
            authority: Authority::Other,
            definite: true,
        },
        _ => Answer::NotAsked(finding),
    }
}

/// Returns the route as it is written, with the date at which the same answer first appeared.
fn written_route(
    entry: Entry<'_>,
    resolution: Resolution,
    catalog: &Catalog,
    settings: &Settings,
    now: i64,
) -> WrittenRoute {
    let route = resolution.route;
    let account = account_of_arn(&route, catalog, settings);
    let source = catalog.source();
    let asked = catalog.account().cloned();
    let class = entry.ask.class.as_deref().map(ClassOrigin::of);
    // `application` adds the application profile, to a route that was written before too.
    let application = None;
    if let Some(before) = entry.written()
        && before.route == route
        && before.account == account
        && before.provenance.source == source
        && before.provenance.account == asked
    {
        return WrittenRoute {
            application,
            class,
            ..(**before).clone()
        };
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
        application,
        provenance: Provenance {
            source,
            account: asked,
            as_of,
        },
        class,
    }
}

/// Returns the account in the ARN of a route. Returns `None` when no account is known, and on demand: the ARNs of models
/// name none.
fn account_of_arn(route: &Route, catalog: &Catalog, settings: &Settings) -> Option<AccountId> {
    match route.invocation {
        Invocation::OnDemand => None,
        Invocation::Profile { .. } => {
            // A snapshot may come from another account than the one that the workloads use.
            let listed = catalog.account().filter(|_| catalog.source().is_live());
            listed.or(settings.account.as_ref()).cloned()
        }
    }
}

/// Returns the finding while there is no catalog. The embedded catalog, which is that of `context`, only says what it would give.
fn unknown(
    binding: &Binding,
    request: &Request,
    context: &Context<'_>,
    freshness: &Freshness,
) -> Finding {
    let Some((_, message)) = freshness.failure() else {
        return pending(binding, &format!(" of {}", request.source_region));
    };
    let embedded = context.embedded;
    let would = match resolve::resolve(request, context) {
        Ok(resolution) => format!(
            "the embedded catalog of {} would give {}: run with --catalog embedded to use it",
            embedded.as_of(),
            resolution.route.id()
        ),
        Err(unresolved) => format!(
            "the embedded catalog of {} does not serve the request either: {}",
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

/// Returns the finding before the first listing. A suspended binding does not ask for one.
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

#[cfg(test)]
mod tests {
    use crate::{
        api::condition::ConditionType,
        catalog::SourceKind,
        plan::{
            status::Status,
            testing::{SETTINGS, SONNET, failing, listing, on_demand, region, sonnet, visit},
        },
    };

    use super::*;

    #[test]
    fn without_a_catalog_the_snapshot_is_only_spoken_of() {
        let (after, actions, _) = visit(&sonnet("geography: eu"), failing(), &SETTINGS);
        assert!(actions.writes.is_empty());
        let supported = after
            .status
            .condition(ConditionType::RegionSupported)
            .expect("a condition");
        assert_eq!(supported.reason, Reason::CatalogUnavailable);
        assert!(
            supported
                .message
                .contains(&format!("would give eu.{SONNET}")),
            "{}",
            supported.message
        );
        assert!(after.status.condition(ConditionType::Reconciling).is_some());
    }

    #[test]
    fn arns_of_a_snapshot_are_of_the_given_account_or_of_none() {
        let (listed, given) = (Some("111122223333"), Some("444455556666"));
        for (source, account, expected) in [
            (SourceKind::Bedrock, None, listed),
            (SourceKind::Bedrock, given, listed),
            (SourceKind::Directory, None, None),
            (SourceKind::Directory, given, given),
            (SourceKind::Embedded, given, given),
        ] {
            let settings = Settings {
                account: account.map(|account| account.parse().expect("an account")),
                ..Settings::default()
            };
            let feed = listing(source, listed, Some("2026-01-01"), "none");
            let (after, ..) = visit(&sonnet("geography: eu"), feed, &settings);
            let written = after.status.to_wire().profile.expect("a profile");
            let account = written.arn.as_deref().and_then(|arn| arn.split(':').nth(4));
            assert_eq!(account, expected, "{source:?} {account:?}");
            assert_eq!(written.catalog.account.as_deref(), listed, "who was asked");
        }
    }

    #[test]
    fn a_model_on_demand_is_written_by_its_own_id() {
        let spec = "geography: jp, fallback: {onDemand: true}, targets: [{kind: ConfigMap, name: t, keys: {ID: ProfileID, ARN: ProfileARN, GEOGRAPHY: Geography, REGIONS: DestinationRegions}}]";
        // No account is needed for a model's ARN.
        let mut feed = on_demand(true);
        feed.catalog = feed.catalog.map(|live| {
            let profiles = live.profiles().to_vec();
            let models = live.models().map(<[_]>::to_vec);
            let anonymous = Catalog::new(SourceKind::Bedrock, region(), None, None, profiles);
            Arc::new(anonymous.with_models(models))
        });
        let (after, actions, _) = visit(&sonnet(spec), feed, &SETTINGS);
        let content = &actions.writes[0].as_ref().expect("a write").content;
        let arn = format!("arn:aws:bedrock:eu-west-1::foundation-model/{SONNET}");
        let expected = [
            ("ARN", arn.as_str()),
            ("GEOGRAPHY", "on-demand"),
            ("ID", SONNET),
            ("REGIONS", "eu-west-1"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(*content, expected.into());
        let wire = after.status.to_wire().profile.expect("a profile");
        assert_eq!(
            (wire.id.as_str(), wire.geography.as_str()),
            (SONNET, "on-demand")
        );
        assert_eq!(
            Status::from_wire(&after.status.to_wire(), &"shop".into()),
            after.status
        );
    }
}
