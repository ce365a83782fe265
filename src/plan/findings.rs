//! Makes the findings of the conditions, but for `TargetsSynced`, which depends on the outcomes of the writes.

use std::sync::Arc;

use jiff::civil::Date;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{
        Catalog, FeedState, Freshness, Lifecycle, SourceKind, Usability, embedded::Embedded,
    },
    lifecycle::{self, Basis, Known, State},
    models::{Models, listed},
    residency::{Judgement, LimitOrigins, Verdict},
    resolve::{self, Context},
    route::Invocation,
    types::ModelId,
};

use super::{
    answer::{Answer, Authority, pending},
    application,
    observed::{Binding, Entry, Observed, Settings},
    publication::{Contradiction, Publication, contradiction},
    several::{Considered, Told, combined, first_that_counts},
    status::{Finding, ModelInUse, ModelLifecycle, Status, WrittenRoute},
};

/// Returns the finding of `RegionSupported`.
pub fn supported(
    models: &Models<Considered<'_>>,
    publication: &Publication,
    feed: &FeedState,
) -> Finding {
    let kept = matches!(publication, Publication::Keep(_) | Publication::Leave);
    let told = models.map(|_, model| model_supported(model, kept, feed));
    combined(&told, Reason::ProfileFound)
}

fn model_supported(model: &Considered<'_>, kept: bool, feed: &FeedState) -> Told {
    let entry = model.entry;
    let written = entry.written().filter(|_| kept);
    let earlier = || earlier_finding(entry.binding, ConditionType::RegionSupported, feed);
    match &model.answer {
        Answer::Yes { finding, .. } => Told::Now(finding.clone()),
        Answer::No {
            finding,
            authority,
            definite,
        } => match (written, contradiction(entry)) {
            (Some(written), None) => {
                let on_demand = written.route.invocation == Invocation::OnDemand;
                if on_demand && !definite {
                    Told::earlier_or(earlier(), finding.clone())
                } else if was_listed_live(written, authority) {
                    Told::Now(retired(written, finding))
                } else {
                    Told::Now(and_it_stays(finding, entry, written))
                }
            }
            (Some(written), Some(Contradiction::ModelAlone | Contradiction::Class)) => {
                Told::Now(and_it_stays(finding, entry, written))
            }
            (Some(_), Some(Contradiction::Call)) | (None, _) => Told::Now(finding.clone()),
        },
        Answer::WithoutApplication {
            finding,
            is_certain,
            ..
        } => application::supported(entry, finding, *is_certain, kept),
        Answer::NotAsked(finding) => Told::Now(match written {
            Some(written) => and_it_stays(finding, entry, written),
            None => finding.clone(),
        }),
        Answer::Unknown(finding) => Told::earlier_or(earlier(), finding.clone()),
    }
}

/// Returns the finding with a message that says that the written value stays.
fn and_it_stays(finding: &Finding, entry: Entry<'_>, written: &WrittenRoute) -> Finding {
    let (message, id) = (&finding.message, written.route.id());
    let message = match contradiction(entry) {
        None | Some(Contradiction::Call) => format!("{message}; {id}, written earlier, stays"),
        Some(Contradiction::ModelAlone) => {
            format!("{message}; the value of the old model stays: {id}")
        }
        Some(Contradiction::Class) => {
            format!("{message}; the value from before the class changed stays: {id}")
        }
    };
    Finding::new(finding.status, finding.reason, message)
}

/// Returns the earlier finding of a condition that depends on the catalog, while that finding still applies: as long as AWS
/// can't be asked, what was known stays known. Returns `None` when the spec now asks for something else.
fn earlier_finding(binding: &Binding, kind: ConditionType, feed: &FeedState) -> Option<Finding> {
    let same_request = if binding.status.is_written() {
        let entries = binding.entries();
        let mut entries = entries.values();
        binding.has_same_names() && entries.all(|entry| contradiction(*entry).is_none())
    } else {
        binding.status.observed_generation == Some(binding.generation)
    };
    // While the first listing is under way every earlier finding stays, even one that is Unknown.
    let pending = matches!(feed.freshness, Freshness::Pending);
    let before = binding.status.finding(kind)?;
    (same_request && (pending || before.status != ConditionStatus::Unknown)).then_some(before)
}

/// Says whether the written route came from a live listing of the account that has been listed now. An account
/// that is not known counts as the same.
fn was_listed_live(written: &WrittenRoute, authority: &Authority) -> bool {
    let Authority::Live(account) = authority else {
        return false;
    };
    let known = &written.provenance.account;
    written.provenance.source.is_live()
        && (account.is_none() || known.is_none() || account == known)
}

fn retired(written: &WrittenRoute, finding: &Finding) -> Finding {
    let account = written.provenance.account.as_ref();
    let account = account.map_or_else(
        || "the operator's account".to_owned(),
        |account| format!("account {account}"),
    );
    let (id, region) = (written.route.id(), &written.route.source_region);
    let gone = match &written.route.invocation {
        Invocation::Profile { .. } => {
            format!("{id} is no longer listed for {account} from {region}")
        }
        Invocation::OnDemand => {
            format!("{id} is no longer on demand for {account} in {region}")
        }
    };
    Finding::new(
        ConditionStatus::False,
        Reason::ProfileRetired,
        format!(
            "{gone}; the value stays in the targets until the spec names a successor; {}",
            finding.message
        ),
    )
}

/// What is found of the life of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    told: Told,
    details: Option<Arc<ModelLifecycle>>,
    state: Reason,
}

/// Returns the finding of `ModelActive`, with what the status has of the life of each model. Both are about the models in use: those
/// of the values that the targets are to hold, or else those that the spec asks for. The finding is `None` when no lifecycle is known.
pub fn active(
    models: &Models<Considered<'_>>,
    observed: &Observed,
    publication: &Publication,
    embedded: &Embedded,
    day: Date,
) -> (Option<Finding>, Models<ModelInUse>) {
    let lives = models.map(|name, model| {
        let in_use = match publication {
            Publication::Leave => model.entry.written(),
            _ => publication
                .routes()
                .and_then(|routes| routes.get(name.map(|name| &**name))),
        };
        life(model, in_use.map(|route| &**route), observed, embedded, day)
    });
    let in_use = lives.map(|_, life| ModelInUse {
        route: None,
        lifecycle: life.as_ref().and_then(|life| life.details.clone()),
        state: life.as_ref().map(|life| life.state),
    });
    (active_finding(&lives), in_use)
}

/// Returns the finding about the lives that are known. The state that is nearest to the end gives the reason.
fn active_finding(lives: &Models<Option<Life>>) -> Option<Finding> {
    if let Models::One(life) = lives {
        let told = &life.as_ref()?.told;
        return Some(combined(&Models::One(told.clone()), Reason::Active));
    }
    let known = lives
        .iter()
        .filter_map(|(name, life)| Some((name?.clone(), life.as_ref()?)));
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|(_, life)| std::cmp::Reverse(life.state));
    let worst = known.first()?.1.state;
    let told = Models::several(
        known
            .iter()
            .map(|(name, life)| (name.clone(), life.told.clone())),
    );
    let all = combined(&told, Reason::Active);
    if all.is_true()
        || known
            .iter()
            .all(|(_, life)| matches!(life.told, Told::Earlier { .. }))
    {
        return Some(all);
    }
    // Those that are furthest along are told first.
    let ended = known.iter().filter(|(_, life)| life.state == worst);
    let ended = ended.map(|(name, life)| (name.clone(), life.told.now().clone()));
    let finding = first_that_counts(&Models::several(ended), Reason::Active);
    let others: Vec<&str> = known
        .iter()
        .filter(|(_, life)| life.state != worst && life.state != Reason::Active)
        .map(|(name, _)| &**name)
        .collect();
    Some(if others.is_empty() {
        finding
    } else {
        let message = format!(
            "{}; not active either: {}",
            finding.message,
            others.join(", ")
        );
        Finding::new(finding.status, worst, message)
    })
}

/// Returns what is known of the life of a model. `in_use` is the route that targets are to hold for it. Returns `None` when its
/// lifecycle is not known.
fn life(
    model: &Considered<'_>,
    in_use: Option<&WrittenRoute>,
    observed: &Observed,
    embedded: &Embedded,
    day: Date,
) -> Option<Life> {
    let entry = model.entry;
    let earlier = |told: Option<Finding>| {
        let in_use = entry.in_use?;
        let (state, all) = (in_use.state?, told?);
        let status = match state {
            Reason::Active => ConditionStatus::True,
            _ => ConditionStatus::False,
        };
        let otherwise = format!("its state is the one that was last known: {state}");
        Some(Life {
            state,
            details: in_use.lifecycle.clone(),
            told: Told::Earlier {
                all,
                otherwise: Finding::new(status, state, otherwise),
            },
        })
    };
    let Some(request) = entry.request() else {
        // While its class is missing or can't be used, the value stays, and so does what is known of its model.
        (entry.ask.class.as_ref()).and(entry.written())?;
        return earlier(entry.binding.status.finding(ConditionType::ModelActive));
    };
    let feed = &observed.feed;
    let id = in_use.map_or(&request.model, |written| &written.route.model);
    let same_model = entry
        .written()
        .is_none_or(|before| before.route.model == *id);
    let same_region = in_use.is_none_or(|it| it.route.source_region == request.source_region);
    let catalog = feed.catalog.as_deref();
    let lists_models =
        |catalog: &&Catalog| !catalog.source().is_live() || catalog.models().is_some();
    let Some(catalog) = catalog.filter(|catalog| same_region && lists_models(catalog)) else {
        let finding = earlier_finding(entry.binding, ConditionType::ModelActive, feed);
        return earlier(finding.filter(|_| same_model && same_region));
    };
    let known = lifecycle::known(catalog, embedded, id).or_else(|| remembered(entry, id))?;
    let state = State::of(&known.lifecycle, day);
    let text = lifecycle::describe(id, &request.source_region, &known, day, embedded);
    if state == State::Active {
        let details = model_lifecycle(id, &known.lifecycle, Box::default());
        return Some(Life {
            told: Told::Now(Finding::new(ConditionStatus::True, state.reason(), text)),
            details: known.lifecycle.has_dates().then(|| Arc::new(details)),
            state: state.reason(),
        });
    }
    let context = Context {
        catalog,
        limits: &model.limits,
        embedded,
        day,
    };
    let mut qualified = resolve::all_successors(id, request, &context);
    let successors = earlier_successors(entry, id, &known.lifecycle, state)
        .filter(|named| !named.is_empty() && named.iter().all(|it| qualified.contains(it)))
        .unwrap_or_else(|| {
            qualified.truncate(resolve::SUGGESTIONS);
            qualified.into()
        });
    let message = format!(
        "{text}; successors: {}",
        resolve::successors_in_words(request, &successors)
    );
    Some(Life {
        told: Told::Now(Finding::new(
            ConditionStatus::False,
            state.reason(),
            message,
        )),
        details: Some(Arc::new(model_lifecycle(id, &known.lifecycle, successors))),
        state: state.reason(),
    })
}

/// Returns the dates that the status has of a model that is no longer listed: at the end of its life AWS takes it out of its
/// listings.
fn remembered(entry: Entry<'_>, model: &ModelId) -> Option<Known> {
    let in_use = entry.in_use?;
    let details = in_use.lifecycle.as_deref()?;
    let state = in_use.state?;
    (details.model.as_ref() == Some(model)).then(|| Known {
        lifecycle: Lifecycle {
            is_legacy: state != Reason::Active,
            legacy: details.legacy,
            extended_access: details.extended_access,
            end_of_life: details.end_of_life,
        },
        basis: Basis::Listing,
    })
}

fn model_lifecycle(
    model: &ModelId,
    lifecycle: &Lifecycle,
    successors: Box<[ModelId]>,
) -> ModelLifecycle {
    ModelLifecycle {
        model: Some(model.clone()),
        legacy: lifecycle.legacy,
        extended_access: lifecycle.extended_access,
        end_of_life: lifecycle.end_of_life,
        successors,
    }
}

/// Returns the successors that the status names already. They are hints: once named, they stay until the spec, the state or a
/// date changes, or one of them no longer qualifies, so that newer models rewrite no status.
fn earlier_successors(
    entry: Entry<'_>,
    model: &ModelId,
    lifecycle: &Lifecycle,
    state: State,
) -> Option<Box<[ModelId]>> {
    let binding = entry.binding;
    let same_spec = binding.status.observed_generation == Some(binding.generation);
    let in_use = entry.in_use?;
    let details = in_use.lifecycle.as_deref()?;
    let same = *details == model_lifecycle(model, lifecycle, details.successors.clone());
    (same_spec && in_use.state == Some(state.reason()) && same).then(|| details.successors.clone())
}

/// Returns the finding of `ModelUsable`. Returns `None` when access is not checked, or when its result is not known.
pub fn usable(binding: &Binding, observed: &Observed, settings: &Settings) -> Option<Finding> {
    if !settings.check_access {
        return None;
    }
    let entries = binding.entries();
    let known = entries
        .iter()
        .enumerate()
        .filter_map(|(position, (name, entry))| {
            let known = observed.usability.get(position).and_then(Option::as_ref);
            Some((name, model_usable(*entry, known, &observed.feed)?))
        });
    let known: Vec<_> = known.collect();
    let told = match (&entries, known.as_slice()) {
        (_, []) => return None,
        (Models::One(_), [(_, told), ..]) => Models::One(told.clone()),
        (Models::Several(_), several) => Models::several(
            several
                .iter()
                .filter_map(|(name, told)| Some(((*name)?.clone(), told.clone()))),
        ),
    };
    Some(combined(&told, Reason::Usable))
}

fn model_usable(entry: Entry<'_>, known: Option<&Usability>, feed: &FeedState) -> Option<Told> {
    let earlier = |found: Option<Finding>| {
        found.map(|all| Told::Earlier {
            otherwise: all.clone(),
            all,
        })
    };
    let Some(request) = entry.request() else {
        // While its class can't be used, what is known of the value in use stays.
        let before = entry.binding.status.finding(ConditionType::ModelUsable);
        return earlier(before.filter(|_| entry.ask.class.is_some()));
    };
    Some(match known {
        None => {
            return earlier(earlier_finding(
                entry.binding,
                ConditionType::ModelUsable,
                feed,
            ));
        }
        Some(Usability::Usable) => Told::Now(Finding::new(
            ConditionStatus::True,
            Reason::Usable,
            format!(
                "AWS reports nothing that prevents the account from using {} from {}",
                request.model, request.source_region
            ),
        )),
        Some(Usability::NotUsable { message }) => Told::Now(Finding::new(
            ConditionStatus::False,
            Reason::NotUsable,
            message.clone(),
        )),
    })
}

/// Returns the finding of `CatalogFresh`.
pub fn catalog(binding: &Binding, feed: &FeedState) -> Finding {
    let region = binding.spec.source_region();
    let region = region.map_or_else(String::new, |region| format!(" of {region}"));
    match &feed.freshness {
        Freshness::Fresh => Finding::new(
            ConditionStatus::True,
            Reason::Fresh,
            format!("the profiles{region} are listed regularly"),
        ),
        Freshness::Snapshot => {
            let catalog = feed.catalog.as_deref();
            let source = catalog.map_or(SourceKind::Embedded, Catalog::source);
            // Files are refreshed: with their date, each refresh would rewrite every status.
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
        Freshness::Interrupted { reason, message } => still_fresh(binding, feed)
            .unwrap_or_else(|| Finding::new(ConditionStatus::False, *reason, message.clone())),
        Freshness::Pending => earlier_finding(binding, ConditionType::CatalogFresh, feed)
            .unwrap_or_else(|| pending(binding, &region)),
    }
}

/// Returns the earlier finding of `CatalogFresh` of a binding that has an answer from a live listing. A short failure is not worth
/// two writes to every status.
fn still_fresh(binding: &Binding, feed: &FeedState) -> Option<Finding> {
    earlier_finding(binding, ConditionType::RegionSupported, feed)?;
    let before = earlier_finding(binding, ConditionType::CatalogFresh, feed)?;
    (before.reason == Reason::Fresh).then_some(before)
}

/// Returns the finding of `ResidencySatisfied`: of each model about the route that would be written if there is one, else about the
/// written one.
#[must_use]
pub fn residency(
    models: &Models<Considered<'_>>,
    publication: &Publication,
    feed: &FeedState,
) -> Finding {
    let told = models.map(|_, model| model_residency(model, publication, feed));
    combined(&told, Reason::AllRegionsAllowed)
}

/// Returns who set limits that do not allow what is asked for or, where there is no route to it, what is written. `residency` is the
/// finding that is shown; where it is the one of an earlier visit, so is this.
pub fn limited_by(
    models: &Models<Considered<'_>>,
    publication: &Publication,
    residency: &Finding,
    prior: &Status,
) -> LimitOrigins {
    let judgements = models.values();
    let judgements = judgements.filter_map(|model| judgement_of(model, publication));
    let mut origins = judgements
        .map(|judgement| judgement.forbidden_by)
        .peekable();
    let earlier = || prior.finding(ConditionType::ResidencySatisfied);
    if origins.peek().is_none() && earlier().as_ref() == Some(residency) {
        return prior.limited_by;
    }
    origins.fold(LimitOrigins::default(), LimitOrigins::and)
}

/// Returns the judgement of what is asked for, or else of what is written. `None` where there is no route.
fn judgement_of<'a>(model: &'a Considered<'_>, publication: &Publication) -> Option<&'a Judgement> {
    match &model.answer {
        Answer::Yes { judgement, .. } | Answer::WithoutApplication { judgement, .. } => {
            Some(judgement)
        }
        Answer::No { .. } | Answer::Unknown(_) | Answer::NotAsked(_) => {
            let written = model.written_judgement.as_ref();
            written.filter(|_| *publication != Publication::Nothing)
        }
    }
}

fn model_residency(model: &Considered<'_>, publication: &Publication, feed: &FeedState) -> Told {
    let entry = model.entry;
    if let Answer::Yes { judgement, .. } | Answer::WithoutApplication { judgement, .. } =
        &model.answer
    {
        let finding = judgement_finding(judgement);
        return Told::Now(match (publication, entry.written()) {
            (Publication::Keep(_), Some(written)) if !judgement.permits() => {
                and_it_stays(&finding, entry, written)
            }
            _ => finding,
        });
    }
    let written = model.written_judgement.as_ref();
    if let Some(judgement) = written.filter(|_| *publication != Publication::Nothing) {
        return Told::Now(judgement_finding(judgement));
    }
    let unknown = Finding::new(
        ConditionStatus::Unknown,
        Reason::NoProfile,
        "there is no profile whose regions could be judged",
    );
    match &model.answer {
        Answer::Unknown(_) => Told::earlier_or(
            earlier_finding(entry.binding, ConditionType::ResidencySatisfied, feed),
            unknown,
        ),
        Answer::Yes { .. }
        | Answer::No { .. }
        | Answer::WithoutApplication { .. }
        | Answer::NotAsked(_) => Told::Now(unknown),
    }
}

fn judgement_finding(judgement: &Judgement) -> Finding {
    let (status, reason) = match &judgement.verdict {
        Verdict::NoLimitSet => (ConditionStatus::True, Reason::NoLimitSet),
        Verdict::AllRegionsAllowed => (ConditionStatus::True, Reason::AllRegionsAllowed),
        Verdict::RegionNotAllowed { .. } => (ConditionStatus::False, Reason::RegionNotAllowed),
        Verdict::LimitInvalid(_) => (ConditionStatus::False, Reason::LimitInvalid),
        Verdict::LimitMissing => (ConditionStatus::False, Reason::NoLimitSet),
        Verdict::LimitUnknown => (ConditionStatus::Unknown, Reason::LimitUnknown),
    };
    Finding::new(status, reason, judgement.message())
}

/// Returns the finding of `Ready`: the first of the three that is not True, else True.
pub fn ready(
    supported: &Finding,
    residency: &Finding,
    synced: &Finding,
    models: &Models<ModelInUse>,
) -> Finding {
    if let Some(first) = [supported, residency, synced]
        .into_iter()
        .find(|finding| !finding.is_true())
    {
        return first.clone();
    }
    let routes = models.iter();
    let routes = routes.filter_map(|(name, in_use)| Some((name, in_use.route.as_deref()?)));
    let routes: Vec<_> = routes.collect();
    let ids = routes.iter().map(|(name, written)| {
        let id = written.route.id();
        let id = match &written.application {
            Some(arn) => format!("{arn}, made of {id},"),
            None => id.to_owned(),
        };
        (*name, id)
    });
    let verb = match models {
        Models::One(_) => "is",
        Models::Several(_) => "are",
    };
    let first = routes.first();
    let region = first.map_or("", |(_, written)| written.route.source_region.as_str());
    Finding::new(
        ConditionStatus::True,
        Reason::Bound,
        format!(
            "{} {verb} written to the targets; valid when called from {region}",
            listed(ids)
        ),
    )
}

#[cfg(test)]
mod tests {
    use crate::catalog::FoundationModel;
    use crate::plan::{
        Outcome, plan,
        testing::{
            NOW, SETTINGS, SONNET, bound, condition, edited, embedded_of, failing, full, listing,
            observed, profile_id, ready_message, region, route_of, sonnet, sonnet_model, succeed,
            visit, with_models, without,
        },
    };

    use super::*;

    #[test]
    fn embedded_data_retires_nothing() {
        let snapshot = FeedState {
            catalog: Some(Arc::new(Catalog::new(
                SourceKind::Embedded,
                region(),
                None,
                Some("2026-10-27".into()),
                full()
                    .catalog
                    .expect("catalog")
                    .profiles()
                    .iter()
                    .filter(|profile| profile.geography.as_str() != "eu")
                    .cloned()
                    .collect(),
            ))),
            freshness: Freshness::Snapshot,
        };
        let (after, actions, _) = visit(&bound("geography: eu"), snapshot, &SETTINGS);
        assert!(actions.removals.is_empty());
        assert_eq!(
            condition(&after, ConditionType::RegionSupported),
            (ConditionStatus::False, Reason::GeographyUnsupported)
        );
    }

    #[test]
    fn an_interruption_is_shown_only_where_there_is_no_answer() {
        use ConditionStatus::{False, True};
        let interrupted = || FeedState {
            catalog: None,
            freshness: Freshness::Interrupted {
                reason: Reason::ServiceError,
                message: "no".into(),
            },
        };
        let fresh = |after: &Binding| condition(after, ConditionType::CatalogFresh);
        let (unserved, ..) = visit(&sonnet("geography: jp"), full(), &SETTINGS);
        for answered in [bound("geography: eu"), unserved] {
            let (after, actions, outcome) = visit(&answered, interrupted(), &SETTINGS);
            assert_eq!(fresh(&after), (True, Reason::Fresh));
            assert_eq!(outcome.status, None, "nothing is written");
            assert!(actions.removals.is_empty());
        }
        let failed = visit(&bound("geography: eu"), failing(), &SETTINGS).0;
        let snapshot = listing(SourceKind::Embedded, None, Some("2026-10-27"), "none");
        let dated = visit(&sonnet("geography: eu"), snapshot, &SETTINGS).0;
        let edited = edited(&bound("geography: eu"), "geography: jp");
        for other in [sonnet("geography: eu"), failed, dated, edited] {
            let (after, ..) = visit(&other, interrupted(), &SETTINGS);
            assert_eq!(fresh(&after), (False, Reason::ServiceError));
        }
    }

    #[test]
    fn only_a_live_listing_of_the_account_that_had_it_retires_a_profile() {
        use SourceKind::{Bedrock, Directory, Embedded};
        let (one, two) = (Some("111122223333"), Some("444455556666"));
        let date = Some("2026-01-01");
        for (had, gone, retired) in [
            ((Bedrock, one), (Bedrock, one), true),
            ((Bedrock, None), (Bedrock, one), true),
            ((Bedrock, one), (Bedrock, None), true),
            ((Bedrock, one), (Bedrock, two), false),
            ((Bedrock, one), (Directory, one), false),
            ((Bedrock, one), (Embedded, None), false),
            ((Directory, one), (Bedrock, one), false),
            ((Directory, one), (Directory, one), false),
            ((Embedded, None), (Bedrock, one), false),
            ((Embedded, None), (Embedded, None), false),
        ] {
            let dated = |source: SourceKind| date.filter(|_| !source.is_live());
            let before = listing(had.0, had.1, dated(had.0), "none");
            let before = visit(&sonnet("geography: eu"), before, &SETTINGS).0;
            let after = listing(gone.0, gone.1, dated(gone.0), "eu");
            let (after, actions, _) = visit(&before, after, &SETTINGS);
            let expected = if retired {
                Reason::ProfileRetired
            } else {
                Reason::GeographyUnsupported
            };
            assert_eq!(
                condition(&after, ConditionType::RegionSupported),
                (ConditionStatus::False, expected),
                "{had:?} {gone:?}"
            );
            assert!(actions.removals.is_empty(), "{had:?} {gone:?}");
            assert_eq!(route_of(&after), route_of(&before), "it stays");
        }
    }

    #[test]
    fn a_profile_is_retired_for_who_had_it_in_this_account_only() {
        // The profile is listed in one account, then in another, and then no longer in the second, which had it too.
        let of = |account, without| listing(SourceKind::Bedrock, Some(account), None, without);
        let moved = visit(
            &bound("geography: eu"),
            of("444455556666", "none"),
            &SETTINGS,
        )
        .0;
        let (gone, ..) = visit(&moved, of("444455556666", "eu"), &SETTINGS);
        let retired = gone.status.condition(ConditionType::RegionSupported);
        let retired = retired.expect("a condition");
        assert_eq!(retired.reason, Reason::ProfileRetired);
        assert!(
            retired.message.contains("444455556666"),
            "{}",
            retired.message
        );
    }

    #[test]
    fn a_stale_snapshot_is_used_all_the_same() {
        let mut feed = embedded_of("2026-01-01", "none");
        feed.freshness = Freshness::Failed {
            reason: Reason::SnapshotStale,
            message: "old".into(),
        };
        let (after, ..) = visit(&sonnet("geography: eu"), feed, &SETTINGS);
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        assert_eq!(
            condition(&after, ConditionType::CatalogFresh),
            (ConditionStatus::False, Reason::SnapshotStale)
        );
    }

    #[test]
    fn models_that_could_not_be_listed_take_no_profile_back() {
        let unlisted = |geography| with_models(without(geography), None);
        let before = visit(
            &sonnet("geography: eu, fallback: {onDemand: true}"),
            unlisted("jp"),
            &SETTINGS,
        )
        .0;
        let (after, ..) = visit(&before, unlisted("eu"), &SETTINGS);
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::False, Reason::ProfileRetired)
        );
        let message = ready_message(&after);
        assert!(
            message.contains("allow bedrock:ListFoundationModels"),
            "{message}"
        );
    }

    #[test]
    fn the_life_of_a_model_is_told_and_changes_nothing_else() {
        let legacy = |end: Option<&str>| Lifecycle {
            end_of_life: end.map(|end| end.parse().expect(end)),
            ..Lifecycle::LEGACY
        };
        let feed = |lifecycle| with_models(full(), Some(vec![sonnet_model(lifecycle, false)]));
        let without_models = bound("geography: eu");
        assert_eq!(
            without_models.status.condition(ConditionType::ModelActive),
            None
        );

        let (active, _, outcome) = visit(&without_models, feed(Lifecycle::ACTIVE), &SETTINGS);
        assert_eq!(
            condition(&active, ConditionType::ModelActive),
            (ConditionStatus::True, Reason::Active)
        );
        assert_eq!(outcome.notices, []);

        let (after, _, outcome) = visit(&active, feed(legacy(Some("2027-03-31"))), &SETTINGS);
        assert_eq!(
            condition(&after, ConditionType::ModelActive),
            (ConditionStatus::False, Reason::LegacyModel)
        );
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        assert_eq!(after.status.condition(ConditionType::Stalled), None);
        let [notice] = outcome.notices.as_slice() else {
            panic!("one Event: {:?}", outcome.notices)
        };
        assert_eq!((notice.warning, notice.reason), (true, "LegacyModel"));
        for part in [SONNET, "2027-03-31", "anthropic.claude-sonnet-4-6"] {
            assert!(
                notice.message.contains(part),
                "{part} in {}",
                notice.message
            );
        }

        let (_, _, again) = visit(&after, feed(legacy(Some("2027-03-31"))), &SETTINGS);
        assert_eq!((again.status, again.notices), (None, vec![]));
        for unknown in [failing(), with_models(full(), None)] {
            let (later, ..) = visit(&after, unknown, &SETTINGS);
            assert_eq!(
                later.status.condition(ConditionType::ModelActive),
                after.status.condition(ConditionType::ModelActive),
                "what was known stays known"
            );
        }
        let (gone, ..) = visit(&after, with_models(full(), Some(Vec::new())), &SETTINGS);
        assert_eq!(
            gone.status.condition(ConditionType::ModelActive),
            after.status.condition(ConditionType::ModelActive),
            "AWS takes a model out of its listings at the end of its life: its dates stay"
        );
        let (gone, ..) = visit(&active, with_models(full(), Some(Vec::new())), &SETTINGS);
        assert_eq!(gone.status.condition(ConditionType::ModelActive), None);

        let (new, _, outcome) = visit(&sonnet("geography: eu"), feed(legacy(None)), &SETTINGS);
        assert_eq!(
            condition(&new, ConditionType::ModelActive).1,
            Reason::LegacyModel
        );
        assert_eq!(outcome.notices, [], "the status says it");
    }

    #[test]
    fn whether_a_model_can_be_used_is_told_where_it_is_asked() {
        let checking = Settings {
            check_access: true,
            ..Settings::default()
        };
        let plan_with = |binding: &Binding, usability: Option<Usability>, settings: &Settings| {
            let observed = Observed {
                usability: vec![usability],
                ..observed(binding, full())
            };
            let plan = plan(observed, settings, Embedded::load(), NOW);
            succeed(plan, NOW).1.status
        };
        let not_usable = || {
            Some(Usability::NotUsable {
                message: "its agreement is not accepted".into(),
            })
        };
        let before = bound("geography: eu");
        assert_eq!(plan_with(&before, None, &checking), None, "not known yet");
        assert_eq!(plan_with(&before, not_usable(), &SETTINGS), None, "off");

        let mut refused = before.clone();
        refused.status = plan_with(&before, not_usable(), &checking).expect("a condition more");
        assert_eq!(
            condition(&refused, ConditionType::ModelUsable),
            (ConditionStatus::False, Reason::NotUsable)
        );
        assert_eq!(
            condition(&refused, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        let message = refused.status.finding(ConditionType::ModelUsable);
        assert_eq!(
            message.expect("a finding").message.as_ref(),
            "its agreement is not accepted"
        );
        assert_eq!(
            plan_with(&refused, None, &checking),
            None,
            "what was known stays known"
        );

        let usable = plan_with(&refused, Some(Usability::Usable), &checking).expect("it changed");
        let condition = usable
            .condition(ConditionType::ModelUsable)
            .expect("it is set");
        assert_eq!(
            (condition.status, condition.reason),
            (ConditionStatus::True, Reason::Usable)
        );
        let off = plan_with(&refused, None, &SETTINGS).expect("it changed");
        assert_eq!(off.condition(ConditionType::ModelUsable), None);
    }

    /// Returns the first moment of a day.
    fn at(day: &str) -> i64 {
        lifecycle::start_of(day.parse().expect(day))
    }

    /// Visits a binding at a time; every action succeeds. Returns it afterwards, with the outcome.
    fn visit_at(before: &Binding, feed: &FeedState, now: i64) -> (Binding, Outcome) {
        let plan = plan(
            observed(before, feed.clone()),
            &SETTINGS,
            Embedded::load(),
            now,
        );
        let (_, outcome) = succeed(plan, now);
        let status = outcome.status.clone().unwrap_or(before.status.clone());
        let after = Binding {
            status,
            ..before.clone()
        };
        (after, outcome)
    }

    #[test]
    fn each_step_of_a_life_is_told_once_and_nothing_in_between() {
        let lifecycle = Lifecycle {
            is_legacy: false,
            legacy: "2026-10-08".parse().ok(),
            extended_access: "2027-01-08".parse().ok(),
            end_of_life: "2027-04-08".parse().ok(),
        };
        let live = with_models(full(), Some(vec![sonnet_model(lifecycle, false)]));
        let embedded = FeedState {
            catalog: Some(Arc::new(Embedded::load().catalog(&region()))),
            freshness: Freshness::Snapshot,
        };
        for (feed, start, first) in [
            (live, "2026-09-01", Reason::Active),
            (embedded, "2026-11-01", Reason::LegacyModel),
        ] {
            let start = at(start);
            let (mut binding, _) = visit_at(&sonnet("geography: eu"), &feed, start);
            assert_eq!(condition(&binding, ConditionType::ModelActive).1, first);
            let mut told = Vec::new();
            for day in 1..300 {
                let (after, outcome) = visit_at(&binding, &feed, start + day * 86_400);
                if outcome.status.is_some() {
                    let reason = condition(&after, ConditionType::ModelActive).1;
                    let [notice] = outcome.notices.as_slice() else {
                        panic!("one Event: {:?}", outcome.notices)
                    };
                    // At the end, a snapshot no longer serves the binding, and the Event for Ready says why.
                    let is_ready = condition(&after, ConditionType::Ready).1 == Reason::Bound;
                    let expected = if is_ready {
                        reason
                    } else {
                        Reason::ModelUnsupported
                    };
                    assert_eq!(notice.reason, expected.as_str());
                    told.push((lifecycle::day_of(start + day * 86_400).to_string(), reason));
                }
                binding = after;
            }
            let expected: Vec<(String, Reason)> = [
                ("2026-10-08", Reason::LegacyModel),
                ("2027-01-08", Reason::ExtendedAccess),
                ("2027-03-09", Reason::EndOfLifeNear),
                ("2027-04-08", Reason::EndOfLifePassed),
            ]
            .into_iter()
            .filter(|(_, reason)| *reason != first)
            .map(|(day, reason)| (day.to_owned(), reason))
            .collect();
            assert_eq!(told, expected);
            assert!(route_of(&binding).is_some(), "the value stays");
        }
    }

    #[test]
    fn a_snapshot_writes_no_new_value_after_the_end_of_a_life_and_keeps_a_written_one() {
        let feed = FeedState {
            catalog: Some(Arc::new(Embedded::load().catalog(&region()))),
            freshness: Freshness::Snapshot,
        };
        let after_the_end = at("2027-04-08");
        let (new, _) = visit_at(&sonnet("geography: eu"), &feed, after_the_end);
        assert_eq!(
            condition(&new, ConditionType::Ready),
            (ConditionStatus::False, Reason::ModelUnsupported)
        );
        assert_eq!(route_of(&new), None);
        let message = ready_message(&new);
        assert!(message.contains("ended on 2027-04-08"), "{message}");

        let (written, _) = visit_at(&sonnet("geography: eu"), &feed, at("2027-01-01"));
        let (kept, _) = visit_at(&written, &feed, after_the_end);
        assert_eq!(route_of(&kept), route_of(&written));
        let message = ready_message(&kept);
        assert!(message.contains("written earlier, stays"), "{message}");

        let fallback = "geography: eu, fallback: {models: [anthropic.claude-sonnet-5-5]}";
        let (written, _) = visit_at(&sonnet(fallback), &feed, at("2027-01-01"));
        assert_eq!(profile_id(&written), format!("eu.{SONNET}"));
        let (moved, _) = visit_at(&written, &feed, after_the_end);
        assert_eq!(profile_id(&moved), "eu.anthropic.claude-sonnet-5-5");
        assert_eq!(
            condition(&moved, ConditionType::RegionSupported),
            (ConditionStatus::True, Reason::FallbackModelUsed)
        );
        assert_eq!(
            condition(&moved, ConditionType::ModelActive),
            (ConditionStatus::True, Reason::Active),
            "it is about the model in use"
        );
        assert_eq!(visit_at(&moved, &feed, after_the_end).1.status, None);
    }

    #[test]
    fn not_knowing_moves_nothing_back_to_a_model_whose_life_has_ended() {
        const NEXT: &str = "anthropic.claude-sonnet-5-5";
        let model = |id: &str, end: Option<&str>| FoundationModel {
            id: id.parse().expect(id),
            lifecycle: Lifecycle {
                end_of_life: end.map(|end| end.parse().expect(end)),
                ..Lifecycle::ACTIVE
            },
            on_demand: false,
        };
        let now = at("2027-01-01");
        let both = [model(SONNET, Some("2026-12-31")), model(NEXT, None)];
        let known = with_models(full(), Some(both.to_vec()));
        let spec = format!("geography: eu, fallback: {{models: [{NEXT}]}}");
        let (moved, _) = visit_at(&sonnet(&spec), &known, now);
        assert_eq!(profile_id(&moved), format!("eu.{NEXT}"));
        for unknown in [
            with_models(full(), None),
            with_models(full(), Some(vec![model(NEXT, None)])),
        ] {
            let (held, outcome) = visit_at(&moved, &unknown, now);
            assert_eq!(profile_id(&held), format!("eu.{NEXT}"), "not known");
            assert!(outcome.notices.is_empty(), "{:?}", outcome.notices);
            assert_eq!(
                condition(&held, ConditionType::RegionSupported),
                (ConditionStatus::True, Reason::FallbackModelUsed)
            );
            assert_eq!(visit_at(&held, &unknown, now).1.status, None);
        }
        // A longer life, an edit of the spec, or lives that never were known: the wanted model serves.
        let longer = [model(SONNET, Some("2027-02-01")), model(NEXT, None)];
        let longer = with_models(full(), Some(longer.to_vec()));
        assert_eq!(
            profile_id(&visit_at(&moved, &longer, now).0),
            format!("eu.{SONNET}")
        );
        let edited = edited(&moved, &spec);
        let unknown = with_models(full(), None);
        assert_eq!(
            profile_id(&visit_at(&edited, &unknown, now).0),
            format!("eu.{SONNET}")
        );
        let mut never = moved.clone();
        for model in never.status.models.values_mut() {
            model.state = None;
        }
        Arc::make_mut(&mut never.status.conditions)
            .retain(|condition| condition.kind != ConditionType::ModelActive);
        assert_eq!(
            profile_id(&visit_at(&never, &unknown, now).0),
            format!("eu.{SONNET}")
        );
    }
}
