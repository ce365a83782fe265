//! Fixtures that the tests of plans share: bindings, feeds, and visits that carry out a whole plan.

use std::sync::{Arc, LazyLock};

use crate::{
    api::{
        InferenceProfileBindingSpec,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    catalog::{
        Catalog, FeedState, FoundationModel, Freshness, Lifecycle, Profile, SourceKind,
        embedded::Embedded,
    },
    class::{Class, Labels, RequestError},
    residency::NamespaceLimit,
    types::Region,
};

use super::{
    action::{Problem, Refused, Removal, Retry, Tried, Write},
    identity::ObjectKey,
    observed::{Binding, Observed, ObservedTarget, Settings, Spec},
    outcome::Outcome,
    plan,
    restarts::{Restart, RestartOutcome},
    status::{Status, WrittenRoute},
    steps::Plan,
};

/// The ID of the model that most bindings of these tests ask for.
pub(super) const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

/// The time of a visit, in seconds since the Unix epoch.
pub(super) const NOW: i64 = 1_700_000_000;

/// The default configuration of the operator.
pub(super) static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// The configuration of an operator that restarts workloads.
static RESTARTS_ENABLED: LazyLock<Settings> = LazyLock::new(|| Settings {
    enable_rollout: true,
    ..Settings::default()
});

/// Returns the source region of all bindings and catalogs.
pub(super) fn region() -> Region {
    "eu-west-1".parse().expect("a region")
}

/// Parses a spec, given as YAML.
fn spec(yaml: &str) -> Spec {
    let wire: InferenceProfileBindingSpec = serde_yaml::from_str(yaml).expect("a spec");
    Spec::parse(&wire, &"claude".into(), &region())
}

/// Returns a new binding with this spec, given as YAML.
pub(super) fn binding(yaml: &str) -> Binding {
    Binding {
        key: ObjectKey {
            namespace: "shop".into(),
            name: "claude".into(),
        },
        uid: "uid-1".into(),
        generation: 1,
        created: NOW,
        deleting: false,
        finalizer: false,
        refresh: None,
        spec: spec(yaml),
        status: Status::default(),
    }
}

/// Returns a new binding that asks for [`SONNET`], with the rest of its spec as the fields of a YAML mapping.
pub(super) fn sonnet(rest: &str) -> Binding {
    binding(&format!("{{model: '{SONNET}', {rest}}}"))
}

/// Returns a new binding that names the class `chat`, which is this one, or does not exist.
pub(super) fn of_class(class: Option<&str>) -> Binding {
    of_class_with(class, "")
}

/// Returns such a binding, with the rest of its spec as the fields of a YAML mapping.
pub(super) fn of_class_with(class: Option<&str>, rest: &str) -> Binding {
    with_class(&binding(&format!("{{className: chat, {rest}}}")), class)
}

/// Returns a binding after an edit of its class, or after the class was deleted.
pub(super) fn with_class(before: &Binding, class: Option<&str>) -> Binding {
    let mut binding = before.clone();
    let class = class.map(|yaml| {
        let wire = serde_yaml::from_str(yaml).expect("a class");
        Arc::new(Class::parse("chat", &wire))
    });
    let found = |name: &Arc<str>| {
        class
            .clone()
            .ok_or_else(|| RequestError::ClassNotFound(name.clone()))
    };
    binding
        .spec
        .apply_class(found, "shop", Some(&Labels::default()));
    binding
}

/// Returns a binding after an edit of its spec to [`SONNET`] and this rest.
pub(super) fn edited(before: &Binding, rest: &str) -> Binding {
    Binding {
        generation: before.generation + 1,
        status: before.status.clone(),
        ..sonnet(rest)
    }
}

/// Returns a binding after an edit of its spec to another model and this rest.
pub(super) fn with_model(before: &Binding, model: &str, rest: &str) -> Binding {
    Binding {
        generation: before.generation + 1,
        status: before.status.clone(),
        ..binding(&format!("{{model: '{model}', {rest}}}"))
    }
}

/// Returns a binding after a first visit in which everything succeeds.
pub(super) fn bound(rest: &str) -> Binding {
    visit(&sonnet(rest), full(), &SETTINGS).0
}

/// Returns a binding with a workload to restart, after a first visit in which everything succeeds.
pub(super) fn bound_with_workload(rest: &str) -> Binding {
    visit_with_restarts(&sonnet(&with_workload(rest)), full(), &TRIGGERED, NOW).0
}

/// Returns the rest of a spec with a workload to restart.
pub(super) fn with_workload(rest: &str) -> String {
    format!("{rest}, rollout: [{{kind: Deployment, name: chat}}]")
}

/// Returns a feed with a live listing of these profiles.
pub(super) fn live(profiles: Vec<Arc<Profile>>) -> FeedState {
    let account = "111122223333".parse().ok();
    FeedState {
        catalog: Some(Arc::new(Catalog::new(
            SourceKind::Bedrock,
            region(),
            account,
            None,
            profiles,
        ))),
        freshness: Freshness::Fresh,
    }
}

/// Returns a feed whose live listing has every embedded profile.
pub(super) fn full() -> FeedState {
    live(Embedded::load().catalog(&region()).profiles().to_vec())
}

/// Returns a feed whose live listing has every embedded profile but those of a geography.
pub(super) fn without(geography: &str) -> FeedState {
    let profiles = Embedded::load().catalog(&region()).profiles().to_vec();
    live(
        profiles
            .into_iter()
            .filter(|profile| profile.geography.as_str() != geography)
            .collect(),
    )
}

/// Returns a feed with a catalog of this source, account and date. It has every embedded profile but those of a geography.
pub(super) fn listing(
    source: SourceKind,
    account: Option<&str>,
    as_of: Option<&str>,
    without_geography: &str,
) -> FeedState {
    let catalog = Embedded::load().catalog(&region());
    let profiles = catalog.profiles().iter();
    let kept = profiles.filter(|profile| profile.geography.as_str() != without_geography);
    FeedState {
        catalog: Some(Arc::new(Catalog::new(
            source,
            region(),
            account.map(|account| account.parse().expect("an account")),
            as_of.map(str::to_owned),
            kept.cloned().collect(),
        ))),
        freshness: if source.is_live() {
            Freshness::Fresh
        } else {
            Freshness::Snapshot
        },
    }
}

/// Returns a feed with the embedded catalog as of a date, without the profiles of a geography.
pub(super) fn embedded_of(as_of: &str, without_geography: &str) -> FeedState {
    listing(SourceKind::Embedded, None, Some(as_of), without_geography)
}

/// Returns the feed with these models of its region. `None` when the models could not be listed.
pub(super) fn with_models(mut feed: FeedState, models: Option<Vec<FoundationModel>>) -> FeedState {
    feed.catalog = feed
        .catalog
        .map(|catalog| Arc::new((*catalog).clone().with_models(models)));
    feed
}

/// Returns a feed with a live listing in which [`SONNET`] is on demand, or is not.
pub(super) fn on_demand(is: bool) -> FeedState {
    with_models(full(), Some(vec![sonnet_model(Lifecycle::ACTIVE, is)]))
}

/// Returns [`SONNET`] as a listing has it.
pub(super) fn sonnet_model(lifecycle: Lifecycle, on_demand: bool) -> FoundationModel {
    FoundationModel {
        id: SONNET.parse().expect("a model"),
        lifecycle,
        on_demand,
    }
}

/// Returns a feed that has never been listed, because AWS throttles.
pub(super) fn failing() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Failed {
            reason: Reason::Throttled,
            message: "slow down".into(),
        },
    }
}

/// Returns what a plan is made from when none of the targets exists yet.
pub(super) fn observed(binding: &Binding, feed: FeedState) -> Observed {
    Observed {
        namespace: NamespaceLimit::Unset,
        targets: vec![ObservedTarget::default(); binding.spec.targets.len()],
        binding: Arc::new(binding.clone()),
        feed,
        usability: Vec::new(),
        served: None,
        held_objects: Vec::new(),
    }
}

/// The actions of a visit.
pub(super) struct Actions {
    pub writes: Vec<Result<Write, Refused>>,
    pub removals: Vec<Removal>,
    pub restarts: Vec<Restart>,
}

impl Actions {
    /// Returns the names of the objects that are removed.
    pub(super) fn removed(&self) -> Vec<&str> {
        let names = self.removals.iter().map(|it| it.key.name.as_ref());
        names.collect()
    }
}

/// Plans with the default configuration.
pub(super) fn planned(observed: Observed) -> Plan {
    plan(observed, &SETTINGS, Embedded::load(), NOW)
}

/// Plans with restarts enabled.
pub(super) fn planned_with_restarts(observed: Observed, now: i64) -> Plan {
    plan(observed, &RESTARTS_ENABLED, Embedded::load(), now)
}

/// Plans for a binding in a Namespace with this limit.
pub(super) fn planned_in(binding: &Binding, namespace: NamespaceLimit) -> Plan {
    let observed = Observed {
        namespace,
        ..observed(binding, full())
    };
    planned(observed)
}

/// Carries out all steps of a plan. Each action has the outcome that these functions return.
pub(super) fn carry_out(
    plan: Plan,
    write: impl Fn(&Write) -> Result<Arc<str>, Problem>,
    remove: impl Fn(&Removal) -> Result<(), Problem>,
    restart: impl Fn(&Restart) -> Result<RestartOutcome, Problem>,
    now: i64,
) -> (Actions, Outcome) {
    fn tried<T, O>(all: Vec<T>, outcome: impl Fn(&T) -> Result<O, Problem>) -> Vec<Tried<T, O>> {
        let one = |what| Tried {
            outcome: outcome(&what),
            what,
        };
        all.into_iter().map(one).collect()
    }
    let plan = match plan.mark(now) {
        Some(status) => plan.marked(status),
        None => plan,
    };
    let planned = plan.writes.clone();
    let (writing, writes) = plan.begin();
    let (finishing, removals, restarts) = writing.finish(tried(writes, write)).begin();
    let actions = Actions {
        writes: planned,
        removals: removals.clone(),
        restarts: restarts.clone(),
    };
    let outcome = finishing.conclude(tried(removals, remove), tried(restarts, restart), now);
    (actions, outcome)
}

/// Carries out all steps of a plan. Every action succeeds.
pub(super) fn succeed(plan: Plan, now: i64) -> (Actions, Outcome) {
    carry_out(plan, write_succeeds, |_| Ok(()), |_| TRIGGERED, now)
}

/// Visits a binding with the default configuration; every write has this problem.
pub(super) fn visit_with_failing_writes(binding: &Binding, problem: &Problem) -> Outcome {
    let plan = planned(observed(binding, full()));
    let fail = |_: &Write| Err(problem.clone());
    carry_out(plan, fail, |_| Ok(()), |_| TRIGGERED, NOW).1
}

/// Visits a binding with the default configuration; every removal has this problem.
pub(super) fn visit_with_failing_removals(binding: &Binding, problem: &Problem) -> Outcome {
    let plan = planned(observed(binding, full()));
    let fail = |_: &Removal| Err(problem.clone());
    carry_out(plan, write_succeeds, fail, |_| TRIGGERED, NOW).1
}

/// Returns a problem.
pub(super) fn problem(reason: Reason, message: &str, retry: Retry) -> Problem {
    Problem {
        reason,
        message: message.to_owned(),
        retry,
    }
}

/// Returns the outcome of a write that succeeds.
#[allow(clippy::unnecessary_wraps, reason = "an outcome like any other")]
pub(super) fn write_succeeds(_: &Write) -> Result<Arc<str>, Problem> {
    Ok("uid-t".into())
}

/// The outcome of a restart that succeeds.
pub(super) const TRIGGERED: Result<RestartOutcome, Problem> = Ok(RestartOutcome::Triggered);

/// Visits a binding; every action succeeds. Returns the binding afterwards, the actions and the outcome.
pub(super) fn visit(
    binding: &Binding,
    feed: FeedState,
    settings: &Settings,
) -> (Binding, Actions, Outcome) {
    let plan = plan(observed(binding, feed), settings, Embedded::load(), NOW);
    let (actions, outcome) = succeed(plan, NOW);
    (after(binding, &outcome), actions, outcome)
}

/// Visits a binding with restarts enabled; every write succeeds, and every restart has this outcome. Returns the binding
/// afterwards, its restarts and the outcome.
pub(super) fn visit_with_restarts(
    binding: &Binding,
    feed: FeedState,
    outcome: &Result<RestartOutcome, Problem>,
    now: i64,
) -> (Binding, Vec<Restart>, Outcome) {
    let plan = planned_with_restarts(observed(binding, feed), now);
    let (actions, outcome) = carry_out(plan, write_succeeds, |_| Ok(()), |_| outcome.clone(), now);
    (after(binding, &outcome), actions.restarts, outcome)
}

/// Returns a binding after a visit with this outcome.
fn after(binding: &Binding, outcome: &Outcome) -> Binding {
    Binding {
        status: (outcome.status.as_ref())
            .unwrap_or(&outcome.binding.status)
            .clone(),
        ..binding.clone()
    }
}

/// Returns the status and the reason of a condition.
pub(super) fn condition(binding: &Binding, kind: ConditionType) -> (ConditionStatus, Reason) {
    let condition = binding
        .status
        .condition(kind)
        .expect("every condition is set on the first visit");
    (condition.status, condition.reason)
}

/// Returns the status and the reason of `TargetsSynced`.
pub(super) fn targets_synced(binding: &Binding) -> (ConditionStatus, Reason) {
    condition(binding, ConditionType::TargetsSynced)
}

/// Returns the message of `TargetsSynced`.
pub(super) fn synced_message(binding: &Binding) -> Arc<str> {
    let synced = binding.status.finding(ConditionType::TargetsSynced);
    synced.expect("a condition").message
}

/// Returns the message of `Ready`.
pub(super) fn ready_message(binding: &Binding) -> Arc<str> {
    let ready = binding.status.finding(ConditionType::Ready);
    ready.expect("Ready").message
}

/// Returns the ID of the written profile.
pub(super) fn profile_id(binding: &Binding) -> String {
    let (_, written) = binding.status.written().next().expect("a route");
    written.route.id().to_owned()
}

/// Returns the written route of a binding with one model, or the first of several.
pub(super) fn route_of(binding: &Binding) -> Option<&Arc<WrittenRoute>> {
    let mut written = binding.status.written();
    written.next().map(|(_, route)| route)
}
