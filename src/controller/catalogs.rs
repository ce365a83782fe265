//! What follows for bindings where a catalog changed, and whether models can be used; and when AWS is asked at all.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    catalog::FeedState,
    feeds::{
        FeedChange,
        access::{AccessChecks, Pair},
    },
    leader::Leadership,
    types::ModelId,
};

use super::state::State;

/// Lets the feeds ask while this replica leads: those that stand by watch the cluster only.
pub(super) async fn follow_leadership(state: Arc<State>, leadership: Leadership) {
    loop {
        leadership.acquired().await;
        state.feeds.resume();
        leadership.lost().await;
        state.feeds.pause();
    }
}

/// Wakes the bindings that a changed feed concerns.
pub(super) async fn follow_feeds(
    state: Arc<State>,
    mut changes: mpsc::UnboundedReceiver<FeedChange>,
) {
    while let Some(change) = changes.recv().await {
        let keys = match concerned(&change.before, &change.after) {
            Concerned::All => state.cache().audience(&change.key, None),
            Concerned::Models(models) => state.cache().audience(&change.key, Some(&models)),
        };
        tracing::info!(region = %change.key.region, bindings = keys.len(), "bindings are visited for a changed catalog");
        state.wake(keys);
    }
}

/// Asks whether the models of bindings can be used while this replica leads, and wakes those whose answer differs.
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
        let audience = |(feed, model): &Pair| {
            let models = BTreeSet::from([model.clone()]);
            state.cache().audience(feed, Some(&models))
        };
        for pair in checks.due(|pair| !audience(pair).is_empty()) {
            if checks.ask(&pair).await {
                state.wake(audience(&pair));
            }
        }
    }
}

/// Whom a changed feed concerns.
#[derive(Debug, PartialEq, Eq)]
enum Concerned {
    All,
    Models(BTreeSet<ModelId>),
}

/// Compares two states of a feed. An answer depends on the profiles of its model, on whether there are any at all, and on
/// where the catalog came from.
fn concerned(before: &FeedState, after: &FeedState) -> Concerned {
    let (Some(old), Some(new)) = (&before.catalog, &after.catalog) else {
        return Concerned::All;
    };
    let same_origin = old.account() == new.account() && old.source() == new.source();
    if before.freshness != after.freshness
        || !same_origin
        || old.profiles().is_empty() != new.profiles().is_empty()
    {
        return Concerned::All;
    }
    if old.models().is_some() != new.models().is_some() {
        return Concerned::All;
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
    Concerned::Models(models)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Catalog, Freshness, SourceKind, embedded::Embedded},
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
    fn a_changed_catalog_concerns_only_those_whose_answer_it_moves() {
        let gone = "amazon.nova-pro-v1:0";
        let (full, less) = (state("eu-west-1", ""), state("eu-west-1", gone));
        assert_eq!(
            concerned(&full, &less),
            Concerned::Models(BTreeSet::from([gone.parse().expect("a model")]))
        );
        assert_eq!(concerned(&less, &less), Concerned::Models(BTreeSet::new()));
        let failed = FeedState {
            freshness: Freshness::Failed {
                reason: crate::api::condition::Reason::Throttled,
                message: "slow down".into(),
            },
            ..full.clone()
        };
        assert_eq!(concerned(&full, &failed), Concerned::All);
        let nothing = FeedState {
            catalog: None,
            freshness: Freshness::Pending,
        };
        assert_eq!(concerned(&nothing, &full), Concerned::All);
    }
}
