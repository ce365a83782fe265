//! Which bindings are visited when a day begins on which the state of their model changes.

use std::{collections::BTreeSet, sync::Arc};

use jiff::civil::Date;

use crate::{
    catalog::{Catalog, embedded::Embedded},
    lifecycle::{self, State as LifeState},
    types::ModelId,
};

use super::{clock::Clock, state::State};

/// Longest wait before the clock is looked at again, in seconds: it may have been set, and a machine may have slept.
const LONGEST_WAIT: i64 = 3600;

/// Wakes the bindings of each model whose state changes with the day. Nothing else is looked at, and AWS is not asked.
pub(super) async fn follow_lifecycles(
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    embedded: &'static Embedded,
) {
    let mut day = lifecycle::day_of(clock.now());
    loop {
        let now = clock.now();
        let next = lifecycle::next_day(now).min(now + LONGEST_WAIT);
        clock.sleep_until(next).await;
        let today = lifecycle::day_of(clock.now());
        if today == day {
            continue;
        }
        for (feed, catalog) in state.feeds.catalogs_by_key() {
            let models = state.cache().models_of(&feed);
            let changed = changed(&models, &catalog, embedded, day, today);
            if changed.is_empty() {
                continue;
            }
            let keys = state.cache().audience(&feed, Some(&changed));
            tracing::info!(region = %feed.region, bindings = keys.len(), day = %today, "bindings are visited because the state of their model changed");
            state.catalog_changed(keys);
        }
        day = today;
    }
}

/// Returns the models whose state differs between two days.
fn changed(
    models: &[ModelId],
    catalog: &Catalog,
    embedded: &Embedded,
    before: Date,
    after: Date,
) -> BTreeSet<ModelId> {
    let differs = |model: &&ModelId| {
        let known = lifecycle::known(catalog, embedded, model);
        known.is_some_and(|known| {
            LifeState::of(&known.lifecycle, before) != LifeState::of(&known.lifecycle, after)
        })
    };
    models.iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn only_models_whose_state_changes_with_the_day_are_looked_at() {
        let embedded = Embedded::load();
        let catalog = embedded.catalog(&"eu-west-1".parse().expect("a region"));
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        let models: Vec<ModelId> = [sonnet, "anthropic.claude-sonnet-4-6", "no.such"]
            .map(|id| id.parse().expect(id))
            .to_vec();
        let sonnet = [models[0].clone()];
        for (before, after, expected) in [
            (date(2027, 1, 6), date(2027, 1, 7), &[][..]),
            (date(2027, 1, 7), date(2027, 1, 8), &sonnet),
            (date(2027, 1, 8), date(2027, 3, 8), &[]),
            (date(2027, 3, 8), date(2027, 3, 9), &sonnet),
            (date(2026, 12, 1), date(2027, 4, 9), &sonnet),
            (date(2027, 4, 9), date(2026, 12, 1), &sonnet),
            (date(2027, 4, 8), date(2030, 1, 1), &[]),
        ] {
            let found = changed(&models, &catalog, embedded, before, after);
            assert_eq!(
                found,
                expected.iter().cloned().collect(),
                "{before} {after}"
            );
        }
    }
}
