//! What the tests of plans share: bindings, feeds, and visits that carry out a whole plan.

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
    residency::NamespaceLimit,
    types::Region,
};

use super::{
    action::{Problem, Refused, Removal, Tried, Write},
    identity::ObjectKey,
    observed::{Binding, Observed, ObservedTarget, Settings, Spec},
    outcome::Outcome,
    plan,
    restarts::{Restart, Restarted},
    status::Status,
    steps::Plan,
};

pub(super) const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
pub(super) const NOW: i64 = 1_700_000_000;

pub(super) fn region() -> Region {
    "eu-west-1".parse().expect("a region")
}

fn spec(yaml: &str) -> Spec {
    let wire: InferenceProfileBindingSpec = serde_yaml::from_str(yaml).expect("a spec");
    Spec::parse(&wire, &"claude".into(), &region())
}

fn binding(yaml: &str) -> Binding {
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

pub(super) fn sonnet(rest: &str) -> Binding {
    binding(&format!("{{model: '{SONNET}', {rest}}}"))
}

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

pub(super) fn full() -> FeedState {
    live(Embedded::load().catalog(&region()).profiles().to_vec())
}

pub(super) fn without(geography: &str) -> FeedState {
    let profiles = Embedded::load().catalog(&region()).profiles().to_vec();
    live(
        profiles
            .into_iter()
            .filter(|profile| profile.geography.as_str() != geography)
            .collect(),
    )
}

/// The same feed with what is known of the models of its region.
pub(super) fn knowing(mut feed: FeedState, models: Option<Vec<FoundationModel>>) -> FeedState {
    feed.catalog = feed
        .catalog
        .map(|catalog| Arc::new((*catalog).clone().with_models(models)));
    feed
}

pub(super) fn sonnet_model(lifecycle: Lifecycle, on_demand: bool) -> FoundationModel {
    FoundationModel {
        id: SONNET.parse().expect("a model"),
        lifecycle,
        on_demand,
    }
}

pub(super) fn failing() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Failed {
            reason: Reason::Throttled,
            message: "slow down".into(),
        },
    }
}

pub(super) static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

pub(super) fn observed(binding: &Binding, feed: FeedState) -> Observed {
    Observed {
        namespace: NamespaceLimit::Unset,
        targets: vec![ObservedTarget::default(); binding.spec.targets.len()],
        binding: Arc::new(binding.clone()),
        feed,
        usability: None,
        traces: Vec::new(),
    }
}

/// What a visit did.
pub(super) struct Done {
    pub writes: Vec<Result<Write, Refused>>,
    pub removals: Vec<Removal>,
    pub restarts: Vec<Restart>,
}

/// Takes all steps of a plan, each action with the outcome that these functions give it.
pub(super) fn carry_out(
    plan: Plan,
    write: impl Fn(&Write) -> Result<Arc<str>, Problem>,
    remove: impl Fn(&Removal) -> Result<(), Problem>,
    restart: impl Fn(&Restart) -> Result<Restarted, Problem>,
    now: i64,
) -> (Done, Outcome) {
    fn tried<T, O>(all: Vec<T>, outcome: impl Fn(&T) -> Result<O, Problem>) -> Vec<Tried<T, O>> {
        let one = |what| Tried {
            outcome: outcome(&what),
            what,
        };
        all.into_iter().map(one).collect()
    }
    let planned = plan.writes.clone();
    let (writing, writes) = plan.begin();
    let (finishing, removals, restarts) = writing.finish(tried(writes, write)).begin();
    let done = Done {
        writes: planned,
        removals: removals.clone(),
        restarts: restarts.clone(),
    };
    let outcome = finishing.conclude(tried(removals, remove), &tried(restarts, restart), now);
    (done, outcome)
}

/// Takes all steps of a plan, where every one succeeds.
pub(super) fn succeed(plan: Plan, now: i64) -> (Done, Outcome) {
    carry_out(plan, written, |_| Ok(()), |_| DONE, now)
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome like any other")]
pub(super) fn written(_: &Write) -> Result<Arc<str>, Problem> {
    Ok("uid-t".into())
}

pub(super) fn planned(observed: Observed) -> Plan {
    plan(observed, &SETTINGS, Embedded::load(), NOW)
}

/// Visits a binding: everything succeeds. Returns the binding as it is afterwards, what was done, and the outcome.
pub(super) fn visit(
    binding: &Binding,
    feed: FeedState,
    settings: &Settings,
) -> (Binding, Done, Outcome) {
    let plan = plan(observed(binding, feed), settings, Embedded::load(), NOW);
    let (done, outcome) = succeed(plan, NOW);
    (after(binding, &outcome), done, outcome)
}

/// Returns the binding as it is after a visit.
pub(super) fn after(binding: &Binding, outcome: &Outcome) -> Binding {
    Binding {
        status: outcome.status.as_ref().unwrap_or(&binding.status).clone(),
        ..binding.clone()
    }
}

pub(super) fn bound(rest: &str) -> Binding {
    visit(&sonnet(rest), full(), &SETTINGS).0
}

pub(super) fn says(binding: &Binding, kind: ConditionType) -> (ConditionStatus, Reason) {
    let condition = binding
        .status
        .condition(kind)
        .expect("every condition is set on the first visit");
    (condition.status, condition.reason)
}

/// The same binding asking for something else.
pub(super) fn edited(before: &Binding, rest: &str) -> Binding {
    Binding {
        generation: before.generation + 1,
        status: before.status.clone(),
        ..sonnet(rest)
    }
}

/// Plans for a binding in a Namespace of which this is known.
pub(super) fn planned_in(binding: &Binding, namespace: NamespaceLimit) -> Plan {
    let observed = Observed {
        namespace,
        ..observed(binding, full())
    };
    planned(observed)
}

static RESTARTING: LazyLock<Settings> = LazyLock::new(|| Settings {
    enable_rollout: true,
    ..Settings::default()
});

/// Visits a binding at a time, where every write succeeds and every restart ends so. Returns the binding as it is
/// afterwards, what was restarted, and the conclusion.
pub(super) fn visit_restarting(
    binding: &Binding,
    feed: FeedState,
    outcome: &Result<Restarted, Problem>,
    now: i64,
) -> (Binding, Vec<Restart>, Outcome) {
    let plan = restarting(observed(binding, feed), now);
    let (done, outcome) = carry_out(plan, written, |_| Ok(()), |_| outcome.clone(), now);
    (after(binding, &outcome), done.restarts, outcome)
}

pub(super) fn restarting(observed: Observed, now: i64) -> Plan {
    plan(observed, &RESTARTING, Embedded::load(), now)
}

pub(super) const DONE: Result<Restarted, Problem> = Ok(Restarted::Triggered);

/// Returns the rest of a spec with workloads to restart.
pub(super) fn with_workload(rest: &str) -> String {
    format!("{rest}, rollout: [{{kind: Deployment, name: chat}}]")
}

/// Returns a binding with a workload to restart, bound.
pub(super) fn running(rest: &str) -> Binding {
    visit_restarting(&sonnet(&with_workload(rest)), full(), &DONE, NOW).0
}

pub(super) fn says_of(binding: &Binding) -> (ConditionStatus, Reason) {
    says(binding, ConditionType::TargetsSynced)
}

pub(super) fn message_of(binding: &Binding) -> Arc<str> {
    let synced = binding.status.finding(ConditionType::TargetsSynced);
    synced.expect("a condition").message
}

pub(super) fn profile_id(binding: &Binding) -> String {
    let written = binding.status.route.as_ref().expect("a route");
    written.route.id().to_owned()
}

/// Returns a catalog of another kind, account or date than the usual ones: the usual profiles without a geography.
pub(super) fn lists(
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

/// A live listing in which the model is on demand, or is not.
pub(super) fn on_demand(is: bool) -> FeedState {
    knowing(full(), Some(vec![sonnet_model(Lifecycle::Active, is)]))
}

pub(super) fn ready_message(binding: &Binding) -> Arc<str> {
    let ready = binding.status.finding(ConditionType::Ready);
    ready.expect("Ready").message
}

/// Returns the embedded catalog of a date, without a geography.
pub(super) fn data_of(as_of: &str, without_geography: &str) -> FeedState {
    lists(SourceKind::Embedded, None, Some(as_of), without_geography)
}
