//! Which bindings are visited when a catalog, or the access to a model, changes. AWS is asked only while this replica leads.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    catalog::FeedState,
    feeds::{
        FeedChange,
        access::{AccessChecks, ModelKey},
    },
    leader::Leadership,
    plan::identity::ObjectKey,
    types::ModelId,
};

use super::state::State;

/// Resumes the feeds while this replica leads and pauses them otherwise: a standby only watches the cluster.
pub(super) async fn follow_leadership(state: Arc<State>, leadership: Leadership) {
    loop {
        leadership.acquired().await;
        state.feeds.resume();
        leadership.lost().await;
        state.feeds.pause();
    }
}

/// Wakes the bindings that a changed catalog affects.
pub(super) async fn follow_feeds(
    state: Arc<State>,
    mut changes: mpsc::UnboundedReceiver<FeedChange>,
) {
    while let Some(change) = changes.recv().await {
        let keys: BTreeSet<ObjectKey> = {
            let (cache, feed) = (state.cache(), &change.key);
            match affected(&change.before, &change.after) {
                Affected::All => cache.audience(feed, None).into_iter().collect(),
                Affected::Models(models) => {
                    let models = cache.audience(feed, Some(&models)).into_iter();
                    let applications = affected_applications(&change.before, &change.after);
                    let applications = cache.naming_applications(feed, applications.as_ref());
                    models.chain(applications).collect()
                }
            }
        };
        tracing::info!(region = %change.key.region, bindings = keys.len(), "bindings are visited because a catalog changed");
        state.catalog_changed(keys);
    }
}

/// Checks whether the models of bindings can be used while this replica leads, and wakes the bindings whose answer changed.
pub(super) async fn follow_access(
    state: Arc<State>,
    leadership: Leadership,
    checks: Option<Arc<AccessChecks>>,
) {
    let Some(checks) = checks else {
        return std::future::pending().await;
    };
    loop {
        leadership.acquired().await;
        checks.wait().await;
        if leadership.remaining().is_none() {
            continue;
        }
        let audience = |(feed, model): &ModelKey| {
            let models = BTreeSet::from([model.clone()]);
            state.cache().audience(feed, Some(&models))
        };
        for key in checks.due(|key| !audience(key).is_empty()) {
            if checks.check(&key).await {
                state.catalog_changed(audience(&key));
            }
        }
    }
}

/// The bindings of a feed that a change affects.
#[derive(Debug, PartialEq, Eq)]
enum Affected {
    All,
    /// Those that ask for one of these models.
    Models(BTreeSet<ModelId>),
}

/// Compares two states of a feed. The answer to a binding depends on the profiles of its model, on whether the catalog has any
/// profiles at all, and on where the catalog came from.
fn affected(before: &FeedState, after: &FeedState) -> Affected {
    let (Some(old), Some(new)) = (&before.catalog, &after.catalog) else {
        return Affected::All;
    };
    let same_origin = old.account() == new.account() && old.source() == new.source();
    if before.freshness != after.freshness
        || !same_origin
        || old.profiles().is_empty() != new.profiles().is_empty()
    {
        return Affected::All;
    }
    if old.models().is_some() != new.models().is_some() {
        return Affected::All;
    }
    let profiles = old.profiles().iter().chain(new.profiles());
    let listed = old.models().into_iter().chain(new.models()).flatten();
    let models: BTreeSet<ModelId> = profiles
        .map(|profile| &profile.model)
        .chain(listed.map(|model| &model.id))
        .filter(|model| {
            old.profiles_of(model) != new.profiles_of(model) || old.model(model) != new.model(model)
        })
        .cloned()
        .collect();
    Affected::Models(models)
}

/// Returns the names whose application profiles differ between two states of a feed. `None` if all are affected: whether they can
/// be listed differs.
fn affected_applications(before: &FeedState, after: &FeedState) -> Option<BTreeSet<String>> {
    let of = |state: &FeedState| state.catalog.as_ref().map(|it| it.applications().clone());
    let (old, new) = (of(before)?, of(after)?);
    if old == new {
        return Some(BTreeSet::new());
    }
    let (Some(was), Some(is)) = (old.profiles(), new.profiles()) else {
        return None;
    };
    if old.failure() != new.failure() {
        return None;
    }
    let names = was.iter().chain(is).map(|profile| &profile.name);
    let names: BTreeSet<&Arc<str>> = names.collect();
    let differs = |name: &&Arc<str>| old.named(name) != new.named(name);
    Some(
        names
            .into_iter()
            .filter(differs)
            .map(ToString::to_string)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{
            ApplicationProfile, Applications, Catalog, Freshness, SourceKind,
            application::ApplicationsFailure, embedded::Embedded,
        },
        types::Region,
    };

    fn state(region: &str, without: &str) -> FeedState {
        let region: Region = region.parse().expect("a region");
        let profiles = Embedded::load().catalog(&region).profiles().to_vec();
        let kept = profiles
            .into_iter()
            .filter(|profile| profile.model.as_str() != without);
        FeedState {
            catalog: Some(Arc::new(Catalog::new(
                SourceKind::Bedrock,
                region,
                None,
                None,
                kept.collect(),
            ))),
            freshness: Freshness::Fresh,
        }
    }

    #[test]
    fn a_changed_catalog_affects_only_bindings_whose_answer_it_changes() {
        let gone = "amazon.nova-pro-v1:0";
        let (full, less) = (state("eu-west-1", ""), state("eu-west-1", gone));
        assert_eq!(
            affected(&full, &less),
            Affected::Models(BTreeSet::from([gone.parse().expect("a model")]))
        );
        assert_eq!(affected(&less, &less), Affected::Models(BTreeSet::new()));
        let failed = FeedState {
            freshness: Freshness::Failed {
                reason: crate::api::condition::Reason::Throttled,
                message: "slow down".into(),
            },
            ..full.clone()
        };
        assert_eq!(affected(&full, &failed), Affected::All);
        let nothing = FeedState::pending();
        assert_eq!(affected(&nothing, &full), Affected::All);
    }

    #[test]
    fn a_changed_application_profile_affects_those_that_name_it() {
        let profile = |name: &str, id: &str| {
            let arn = format!(
                "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/{id}"
            );
            Arc::new(ApplicationProfile {
                name: name.into(),
                arn: arn.parse().expect("an ARN"),
                reach: Ok(Box::default()),
            })
        };
        let with = |applications: Applications| {
            let mut state = state("eu-west-1", "");
            state.catalog = state
                .catalog
                .map(|it| Arc::new((*it).clone().with_applications(applications)));
            state
        };
        let listed = |profiles: &[(&str, &str)]| {
            let profiles = profiles.iter().map(|(name, id)| profile(name, id));
            with(Applications::listed(profiles.collect()))
        };
        let failing = with(Applications::default().failed(ApplicationsFailure {
            reason: crate::api::condition::Reason::AccessDenied,
            message: "no".into(),
            is_overdue: false,
        }));
        let unknown = with(Applications::default());
        let names = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
        for (before, after, affected) in [
            (&listed(&[("a", "a1")]), &listed(&[("a", "a1")]), names(&[])),
            (
                &listed(&[("a", "a1")]),
                &listed(&[("a", "a1"), ("b", "b1")]),
                names(&["b"]),
            ),
            (
                &listed(&[("a", "a1"), ("b", "b1")]),
                &listed(&[("b", "b1")]),
                names(&["a"]),
            ),
            (
                &listed(&[("a", "a1")]),
                &listed(&[("a", "a2")]),
                names(&["a"]),
            ),
            (&unknown, &unknown, names(&[])),
            (&unknown, &listed(&[]), None),
            (&unknown, &failing, None),
            (&failing, &failing, names(&[])),
            (&listed(&[]), &unknown, None),
        ] {
            assert_eq!(affected_applications(before, after), affected);
        }
    }
}
