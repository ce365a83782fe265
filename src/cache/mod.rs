//! What the operator knows of the cluster: bindings and targets in compact form, with indexes that find the bindings that a
//! change affects. No client and no I/O.
//!
//! The cache is updated from two sides: by watch events, and by the operator's own writes, which it *assumes* before
//! their events arrive. Resource versions keep the two in order: an object older than the known one changes nothing, so that
//! the event of the operator's own write wakes no binding. A complete list replaces what is known whatever the versions say: an
//! etcd that was put back to an older copy has lower ones. Only our own writes that were answered after the list was asked
//! for stand against it, because they are of the same etcd.

mod applications;
mod classes;
pub mod decode;
mod pool;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use jiff::civil::Date;

use crate::{
    api::{
        condition::{ConditionStatus, ConditionType, Reason},
        names,
    },
    catalog::{FeedKey, FeedState, Freshness, roles::AllowedRoles},
    class::{ClassUse, Labels},
    feeds::admission::{Admission, AdmissionChange, AdmissionState, FeedLimits, FeedRequest},
    plan::{
        identity::{ObjectKey, TargetKey},
        observed::{Binding, HeldObject, Observed, ObservedTarget, TargetView},
        ownership::{self, Claim},
        status::{Condition, ServedOutside, Status, WrittenRoute},
    },
    queue::Lane,
    residency::NamespaceLimit,
    resolve::Request,
    route::Destinations,
    types::{ModelId, Region},
};

use classes::Classes;
use pool::Pool;

pub use classes::KnownClass;

/// What to do after a change of the cache.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FollowUp {
    /// Bindings to visit.
    pub wake: Vec<(ObjectKey, Lane)>,
    /// Feeds that are now used.
    pub hold: Vec<FeedKey>,
    /// Feeds that are no longer used.
    pub release: Vec<FeedKey>,
    /// Feeds that list now because a user requests it.
    pub refresh: Vec<FeedKey>,
    /// Feeds that list application profiles from now on, or no longer do.
    pub applications: Vec<(FeedKey, bool)>,
}

/// The rules by which bindings get feeds.
#[derive(Debug, Default)]
pub struct FeedRules {
    /// The roles that bindings may name, each with feeds of its own. `None` if the catalog is not live: roles are then
    /// ignored.
    pub roles: Option<AllowedRoles>,
    /// Limits on the number of feeds.
    pub limits: FeedLimits,
    /// How many lists of bindings, one for each watch, must be complete before the first feed starts.
    pub lists: usize,
}

/// The moment when a list was asked for. See [`Cache::begin_list`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ListStart(u64);

/// How an object came to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By an event of a watch.
    Event,
    /// In a complete list.
    List(ListStart),
}

/// A complete list.
#[derive(Debug)]
pub struct CompleteList<'a, K> {
    /// When it was asked for.
    pub start: ListStart,
    /// The version that it is of.
    pub version: u64,
    /// What is in it.
    pub seen: &'a HashSet<K>,
}

#[derive(Debug)]
struct Versioned<T> {
    value: Arc<T>,
    version: u64,
    /// The last list that was asked for before our own write of this was answered. The first when a watch has shown it.
    assumed: ListStart,
}

impl<T> Versioned<T> {
    fn seen(value: T, version: u64) -> Self {
        Self {
            value: Arc::new(value),
            version,
            assumed: ListStart::default(),
        }
    }

    /// Says whether an object of this version may replace this one.
    fn is_replaced_by(&self, version: u64, via: Via) -> bool {
        match via {
            // etcd may have been put back to an older copy: what the list says counts, also if it is older.
            Via::List(start) if self.assumed < start => true,
            Via::Event | Via::List(_) => version > self.version || version == 0,
        }
    }
}

/// The bindings of a feed, including suspended ones, by the model that they ask for.
type Audience = HashMap<ModelId, HashSet<ObjectKey>>;

/// The life of a model that bindings use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// The first day of public extended access.
    pub extended_access: Option<Date>,
    /// The day on which requests begin to fail.
    pub end_of_life: Option<Date>,
    /// How many bindings use it.
    pub bindings: usize,
}

/// A condition that says that a binding needs somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// `Ready` or `ModelActive`.
    pub condition: ConditionType,
    /// Its status, which is not True.
    pub status: ConditionStatus,
    /// Its reason.
    pub reason: Reason,
}

impl Failing {
    fn all(status: &Status) -> Vec<Self> {
        let conditions = [ConditionType::Ready, ConditionType::ModelActive];
        conditions
            .into_iter()
            .filter_map(|condition| {
                let found = status.condition(condition)?;
                (found.status != ConditionStatus::True).then_some(Self {
                    condition,
                    status: found.status,
                    reason: found.reason,
                })
            })
            .collect()
    }
}

/// The use of a profile from a source region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// Where its requests may run, as it was written.
    pub destinations: BTreeSet<Region>,
    /// Whether they may run in any commercial region.
    pub is_global: bool,
    /// ARNs of the application profiles through which it is invoked.
    pub applications: BTreeSet<String>,
    /// The bindings that use it.
    pub bindings: Vec<ObjectKey>,
    /// Those of them whose requests are known to have run outside of their limits.
    pub outside: Vec<ObjectKey>,
}

/// Returns the earlier of two dates: bindings that were visited at different times can have different ones.
fn earlier(one: Option<Date>, other: Option<Date>) -> Option<Date> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What is known of a Namespace.
#[derive(Debug, PartialEq, Eq)]
struct KnownNamespace {
    limit: NamespaceLimit,
    labels: Arc<Labels>,
}

/// Bindings, targets, classes and Namespaces, with their indexes.
#[derive(Debug, Default)]
pub struct Cache {
    roles: Option<AllowedRoles>,
    admission: Admission,
    /// Sorted, so that the bindings of a namespace are adjacent.
    bindings: BTreeMap<ObjectKey, Versioned<Binding>>,
    /// The Namespaces that the operator may read.
    namespaces: HashMap<Arc<str>, KnownNamespace>,
    /// The Namespaces, each or (`None`) all, whose watch does not work: their limits may be others by now.
    unreadable: HashSet<Option<Arc<str>>>,
    targets: HashMap<TargetKey, Versioned<TargetView>>,
    /// Target -> bindings whose spec names it.
    claimants: HashMap<TargetKey, Vec<ObjectKey>>,
    /// Binding -> objects that it wrote to.
    held_objects: HashMap<ObjectKey, Vec<TargetKey>>,
    audiences: HashMap<FeedKey, Audience>,
    naming_applications: applications::Named,
    asking_applications: applications::Asks,
    classes: Classes,
    /// Targets with a write in flight -> version at which the target disappeared in the meantime, or 0.
    in_flight: HashMap<TargetKey, u64>,
    /// The last list that was asked for.
    lists: ListStart,
    texts: Pool<str>,
    conditions: Pool<Vec<Condition>>,
    holdings: Pool<[(u64, u64)]>,
    requests: Pool<Request>,
    routes: Pool<WrittenRoute>,
    class_uses: Pool<ClassUse>,
    labels: Pool<Labels>,
}

impl Cache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(rules: FeedRules) -> Self {
        Self {
            roles: rules.roles,
            admission: Admission::new(rules.limits, rules.lists),
            ..Self::default()
        }
    }

    /// Returns the number of bindings.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.bindings.len()
    }

    /// Returns the number of bindings by status and reason of Ready. Bindings that were never visited count as Pending.
    #[must_use]
    pub fn by_ready(&self) -> BTreeMap<(ConditionStatus, Reason), usize> {
        let mut counts = BTreeMap::new();
        for known in self.bindings.values() {
            let ready = known.value.status.condition(ConditionType::Ready);
            let key = ready.map_or((ConditionStatus::Unknown, Reason::Pending), |ready| {
                (ready.status, ready.reason)
            });
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// Returns the bindings that are not Ready, or whose model is not active, each with the conditions that say so; the first
    /// `most` by namespace and name, and how many more there are.
    #[must_use]
    pub fn failing(&self, most: usize) -> (BTreeMap<ObjectKey, Vec<Failing>>, usize) {
        let (mut named, mut left_out) = (BTreeMap::new(), 0);
        for (key, known) in &self.bindings {
            let conditions = Failing::all(&known.value.status);
            if conditions.is_empty() {
                continue;
            }
            named.insert(key.clone(), conditions);
            if named.len() > most {
                named.pop_last();
                left_out += 1;
            }
        }
        (named, left_out)
    }

    /// Returns the lives of the models that bindings use, by model and source region, as their statuses have them, each with the
    /// number of these bindings. Models without any known date are left out.
    #[must_use]
    pub fn lives(&self) -> BTreeMap<(ModelId, Region), Life> {
        let mut lives: BTreeMap<(ModelId, Region), Life> = BTreeMap::new();
        for known in self.bindings.values() {
            let (spec, status) = (&known.value.spec, &known.value.status);
            let asked = spec.requests().next().map(|it| &it.source_region);
            let mut counted: BTreeSet<&ModelId> = BTreeSet::new();
            for in_use in status.models.values() {
                let used = in_use.route.as_ref().map(|it| &it.route.source_region);
                let (Some(details), Some(region)) = (&in_use.lifecycle, used.or(asked)) else {
                    continue;
                };
                let Some(model) = &details.model else {
                    continue;
                };
                let (extended_access, end_of_life) = (details.extended_access, details.end_of_life);
                if extended_access.or(end_of_life).is_none() {
                    continue;
                }
                let life = lives.entry((model.clone(), region.clone())).or_default();
                life.extended_access = earlier(life.extended_access, extended_access);
                life.end_of_life = earlier(life.end_of_life, end_of_life);
                // Two names of one binding may lead to the same model.
                life.bindings += usize::from(counted.insert(model));
            }
        }
        lives
    }

    /// Returns the profiles whose values are written, by their IDs and source regions. Those of bindings that name a role are left
    /// out: they are of another account.
    #[must_use]
    pub fn profiles_in_use(&self) -> BTreeMap<(Arc<str>, Region), InUse> {
        let mut used: BTreeMap<(Arc<str>, Region), InUse> = BTreeMap::new();
        for (key, known) in &self.bindings {
            let binding = &known.value;
            if binding.spec.role.is_some() || binding.deleting {
                continue;
            }
            let within = binding.status.condition(ConditionType::ServedWithinLimits);
            let is_outside = within.is_some_and(|it| it.status == ConditionStatus::False);
            for (_, written) in binding.status.written() {
                let route = &written.route;
                let id: Arc<str> = route.id().into();
                let is_told = |it: &ServedOutside| {
                    *it.profile == *id && it.source_region == route.source_region
                };
                let is_outside = is_outside && binding.status.served_outside.iter().any(is_told);
                let used = used
                    .entry((id.clone(), route.source_region.clone()))
                    .or_default();
                match &route.destinations {
                    Destinations::Regions(regions) => {
                        used.destinations.extend(regions.iter().cloned());
                    }
                    Destinations::Anywhere => used.is_global = true,
                }
                if let Some(arn) = &written.application {
                    used.applications.insert(arn.to_string());
                }
                used.outside.extend(is_outside.then(|| key.clone()));
                used.bindings.push(key.clone());
            }
        }
        used
    }

    /// Records that a list is about to be asked for. Must be called before the request is sent.
    pub fn begin_list(&mut self) -> ListStart {
        self.lists.0 += 1;
        self.lists
    }

    /// Applies a binding from a watch.
    pub fn apply_binding(&mut self, mut binding: Binding, version: u64, via: Via) -> FollowUp {
        self.apply_class_to(&mut binding);
        self.share(&mut binding);
        let key = binding.key.clone();
        let before = self.bindings.get(&key);
        if before.is_some_and(|known| !known.is_replaced_by(version, via)) {
            return FollowUp::default();
        }
        let before = before.map(|known| known.value.clone());
        if before.as_deref() == Some(&binding) {
            // Only the version changed.
            self.bindings.entry(key).and_modify(|known| {
                known.version = version;
                known.assumed = ListStart::default();
            });
            return FollowUp::default();
        }
        let mut follow_up = FollowUp::default();
        if let Some(before) = &before {
            self.unindex(before);
        }
        let lane = if binding.status.observed_generation == Some(binding.generation)
            && !binding.deleting
        {
            Lane::Low
        } else {
            Lane::High
        };
        follow_up.wake.push((key.clone(), lane));
        let claims_changed = before.as_ref().is_none_or(|before| {
            before.uid != binding.uid
                || before.deleting != binding.deleting
                || before.spec.targets != binding.spec.targets
        });
        self.index(&binding);
        self.move_feed(before.as_deref(), Some(&binding), &mut follow_up);
        if claims_changed {
            self.wake_rivals(&binding, &mut follow_up);
            if let Some(before) = &before {
                self.wake_rivals(before, &mut follow_up);
            }
        }
        self.bindings.insert(key, Versioned::seen(binding, version));
        follow_up.cancel_out()
    }

    /// Removes a deleted binding.
    pub fn delete_binding(&mut self, key: &ObjectKey) -> FollowUp {
        let mut follow_up = FollowUp::default();
        if let Some(gone) = self.bindings.remove(key) {
            self.unindex(&gone.value);
            self.move_feed(Some(&gone.value), None, &mut follow_up);
            self.wake_rivals(&gone.value, &mut follow_up);
        }
        follow_up.cancel_out()
    }

    /// Removes the bindings of a namespace, or of all, that a complete list did not contain.
    pub fn retain_bindings(
        &mut self,
        namespace: Option<&str>,
        seen: &HashSet<ObjectKey>,
    ) -> FollowUp {
        let gone: Vec<ObjectKey> = self
            .bindings
            .keys()
            .filter(|key| {
                namespace.is_none_or(|namespace| key.namespace.as_ref() == namespace)
                    && !seen.contains(*key)
            })
            .cloned()
            .collect();
        gone.iter().fold(FollowUp::default(), |follow_up, key| {
            follow_up.and(self.delete_binding(key))
        })
    }

    /// Applies the limit and the labels of a Namespace from a watch event.
    pub fn apply_namespace(
        &mut self,
        name: &Arc<str>,
        limit: NamespaceLimit,
        labels: Labels,
    ) -> FollowUp {
        let mut labels = Arc::new(labels);
        self.labels.share(&mut labels);
        let before = self.namespaces.get(name);
        let same_limit = before.is_some_and(|known| known.limit == limit);
        let same_labels = before.is_some_and(|known| known.labels == labels);
        if same_limit && same_labels {
            return FollowUp::default();
        }
        let known = KnownNamespace { limit, labels };
        self.namespaces.insert(name.clone(), known);
        let relabelled = if same_labels {
            FollowUp::default()
        } else {
            self.reapply_in(name)
        };
        if same_limit {
            relabelled
        } else {
            relabelled.and(self.wake_namespace(name))
        }
    }

    /// Removes a deleted Namespace.
    pub fn delete_namespace(&mut self, name: &Arc<str>) -> FollowUp {
        match self.namespaces.remove(name) {
            Some(_) => self.wake_namespace(name),
            None => FollowUp::default(),
        }
    }

    /// Says whether a Namespace is known.
    #[must_use]
    pub fn knows_namespace(&self, name: &Arc<str>) -> bool {
        self.namespaces.contains_key(name)
    }

    /// Takes in that the Namespaces, all or only this one, can't be watched: their limits are not known.
    pub fn namespaces_unreadable(&mut self, only: Option<&Arc<str>>) -> FollowUp {
        if self.unreadable.insert(only.cloned()) {
            self.wake_scope(only)
        } else {
            FollowUp::default()
        }
    }

    /// Removes the Namespaces, all or only this one, that a complete list did not contain. The others can be read.
    pub fn retain_namespaces(
        &mut self,
        only: Option<&Arc<str>>,
        seen: &HashSet<Arc<str>>,
    ) -> FollowUp {
        let readable_again = if self.unreadable.remove(&only.cloned()) {
            self.wake_scope(only)
        } else {
            FollowUp::default()
        };
        let gone: Vec<Arc<str>> = self
            .namespaces
            .keys()
            .filter(|name| only.is_none_or(|only| *name == only) && !seen.contains(*name))
            .cloned()
            .collect();
        gone.iter().fold(readable_again, |follow_up, name| {
            follow_up.and(self.delete_namespace(name))
        })
    }

    /// Wakes all bindings of all namespaces, or only of this one.
    fn wake_scope(&self, only: Option<&Arc<str>>) -> FollowUp {
        match only {
            Some(namespace) => self.wake_namespace(namespace),
            None => FollowUp {
                wake: self
                    .bindings
                    .keys()
                    .map(|key| (key.clone(), Lane::Low))
                    .collect(),
                ..FollowUp::default()
            },
        }
    }

    /// Returns the limit of a Namespace.
    fn namespace_limit(&self, namespace: &Arc<str>) -> NamespaceLimit {
        let scopes = [None, Some(namespace.clone())];
        if scopes.iter().any(|scope| self.unreadable.contains(scope)) {
            return NamespaceLimit::Unknown;
        }
        let known = self.namespaces.get(namespace);
        known.map(|known| known.limit.clone()).unwrap_or_default()
    }

    /// Returns the bindings of a namespace.
    fn keys_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = &ObjectKey> {
        let first = ObjectKey {
            namespace: namespace.clone(),
            name: "".into(),
        };
        let keys = self.bindings.range(first..).map(|(key, _)| key);
        keys.take_while(move |key| key.namespace == *namespace)
    }

    /// Wakes all bindings of a namespace.
    fn wake_namespace(&self, namespace: &Arc<str>) -> FollowUp {
        FollowUp {
            wake: self
                .keys_in(namespace)
                .map(|key| (key.clone(), Lane::Low))
                .collect(),
            ..FollowUp::default()
        }
    }

    /// Applies a target from a watch.
    pub fn apply_target(
        &mut self,
        key: &TargetKey,
        view: TargetView,
        version: u64,
        via: Via,
    ) -> FollowUp {
        let known = self.targets.get(key);
        if known.is_some_and(|known| !known.is_replaced_by(version, via)) {
            return FollowUp::default();
        }
        let same = known.is_some_and(|known| *known.value == view);
        self.put_target(key, Versioned::seen(view, version));
        if same {
            FollowUp::default()
        } else {
            self.wake_bindings_of(key)
        }
    }

    /// Removes a target that disappeared from its watch: it was deleted, or it lost our label.
    pub fn delete_target(&mut self, key: &TargetKey, version: u64) -> FollowUp {
        if self
            .targets
            .get(key)
            .is_some_and(|known| version < known.version && version != 0)
        {
            return FollowUp::default();
        }
        if let Some(vanished) = self.in_flight.get_mut(key) {
            *vanished = version.max(*vanished);
        }
        let follow_up = self.wake_bindings_of(key);
        self.remove_target(key);
        follow_up
    }

    /// Removes the targets of a kind and namespace, or of all namespaces, that a complete list did not contain. What was
    /// written after the list was asked for, and is newer, stays.
    pub fn retain_targets(
        &mut self,
        kind: crate::api::TargetKind,
        namespace: Option<&str>,
        list: &CompleteList<'_, TargetKey>,
    ) -> FollowUp {
        let in_scope = |key: &TargetKey| {
            key.kind == kind
                && namespace.is_none_or(|namespace| key.namespace.as_ref() == namespace)
        };
        for (key, vanished) in &mut self.in_flight {
            if in_scope(key) && !list.seen.contains(key) {
                *vanished = list.version.max(*vanished);
            }
        }
        let gone: Vec<TargetKey> = self
            .targets
            .iter()
            .filter(|(key, _)| in_scope(key) && !list.seen.contains(*key))
            .filter(|(_, known)| known.assumed < list.start || known.version <= list.version)
            .map(|(key, _)| key.clone())
            .collect();
        gone.iter().fold(FollowUp::default(), |follow_up, key| {
            follow_up.and(self.delete_target(key, 0))
        })
    }

    /// Returns the feed that a binding's answer comes from, or `None` if its request is invalid.
    #[must_use]
    pub fn feed_of(&self, binding: &Binding) -> Option<FeedKey> {
        Some(FeedKey {
            role: binding.spec.role.clone().filter(|_| self.roles.is_some()),
            region: binding.spec.source_region()?.clone(),
        })
    }

    /// Returns the feed that a binding may use, or `None` if there is none yet.
    ///
    /// # Errors
    /// A reason of `CatalogFresh` and a message if the binding may not use a feed.
    fn feed_for(&self, binding: &Binding) -> Result<Option<FeedKey>, (Reason, Arc<str>)> {
        let Some(feed) = self.feed_of(binding) else {
            return Ok(None);
        };
        let namespace = &binding.key.namespace;
        if let (Some(roles), Some(role)) = (&self.roles, &feed.role)
            && let Err(refusal) = roles.permits(role, namespace)
        {
            return Err((Reason::RoleNotAllowed, refusal.to_string().into()));
        }
        // A suspended or deleted binding causes no listing, but it may use the catalog that others have listed.
        if binding.spec.suspend || binding.deleting {
            return Ok(Some(feed));
        }
        match self.admission.state(namespace, &feed) {
            AdmissionState::Admitted => Ok(Some(feed)),
            AdmissionState::Undecided => Ok(None),
            AdmissionState::Waiting(message) => Err((Reason::FeedLimitReached, message.into())),
        }
    }

    /// Returns a binding's request for a feed, or `None` if it makes none.
    fn feed_request(&self, binding: &Binding) -> Option<FeedRequest> {
        let feed = self.feed_of(binding)?;
        let permitted = match (&self.roles, &feed.role) {
            (Some(roles), Some(role)) => roles.permits(role, &binding.key.namespace).is_ok(),
            _ => true,
        };
        (permitted && !binding.spec.suspend && !binding.deleting).then(|| FeedRequest {
            binding: binding.key.clone(),
            created: (binding.created, binding.uid.clone()),
            feed,
        })
    }

    /// Records that a list of bindings is complete. The feeds start with the last one.
    pub fn list_complete(&mut self) -> FollowUp {
        let bindings = &self.bindings;
        let had_one = |key: &ObjectKey| {
            let known = bindings.get(key);
            let fresh = known.and_then(|it| it.value.status.condition(ConditionType::CatalogFresh));
            fresh.is_some_and(|fresh| fresh.reason != Reason::FeedLimitReached)
        };
        let change = self.admission.list_complete(had_one);
        let mut follow_up = FollowUp::default();
        follow_up.add(change);
        follow_up
    }

    /// Replaces a binding's request for a feed, and notes whether a user requests a listing.
    fn move_feed(
        &mut self,
        before: Option<&Binding>,
        after: Option<&Binding>,
        follow_up: &mut FollowUp,
    ) {
        let from = before.and_then(|binding| self.feed_request(binding));
        let to = after.and_then(|binding| self.feed_request(binding));
        let asked = |binding: Option<&Binding>, request: &Option<FeedRequest>| {
            let names_one = binding?.spec.names_application();
            let request = request.as_ref().filter(|_| names_one)?;
            Some(request.feed.clone())
        };
        let applications = self
            .asking_applications
            .replace(asked(before, &from), asked(after, &to));
        follow_up.applications.extend(applications);
        if from != to {
            follow_up.add(self.admission.replace(from.as_ref(), to.as_ref()));
            return;
        }
        let asks = |it: Option<&Binding>| it.and_then(|binding| binding.refresh);
        if let Some(request) = to
            && asks(after).is_some()
            && asks(after) != asks(before)
            && self.has_feed(&request)
        {
            follow_up.refresh.push(request.feed);
        }
    }

    fn has_feed(&self, request: &FeedRequest) -> bool {
        let namespace = &request.binding.namespace;
        self.admission.state(namespace, &request.feed) == AdmissionState::Admitted
    }

    /// Returns everything that a plan for a binding is made from, or `None` if the binding is gone. `state` returns the state
    /// of a feed.
    #[must_use]
    pub fn observe(
        &self,
        key: &ObjectKey,
        state: impl FnOnce(Option<&FeedKey>) -> FeedState,
    ) -> Option<Observed> {
        let binding = self.bindings.get(key)?.value.clone();
        let targets = binding
            .spec
            .targets
            .iter()
            .map(|target| {
                let target_key = binding.target_key(target);
                let view = self
                    .targets
                    .get(&target_key)
                    .map(|known| known.value.clone());
                let mine = Claim {
                    binding: &binding,
                    target,
                };
                let rivals = self
                    .claimants
                    .get(&target_key)
                    .into_iter()
                    .flatten()
                    .filter(|rival| *rival != key);
                let claims = rivals.filter_map(|rival| {
                    let binding = &*self.bindings.get(rival)?.value;
                    let target =
                        binding.spec.targets.iter().find(|theirs| {
                            theirs.kind == target.kind && theirs.name == target.name
                        })?;
                    Some(Claim { binding, target })
                });
                let claimed_by = ownership::better_claim(&mine, claims, view.as_deref());
                ObservedTarget { view, claimed_by }
            })
            .collect();
        let held_objects = self
            .held_objects
            .get(key)
            .into_iter()
            .flatten()
            .filter_map(|target| {
                let view = self.targets.get(target)?.value.clone();
                Some(HeldObject {
                    key: target.clone(),
                    view,
                })
            })
            .collect();
        let feed = match self.feed_for(&binding) {
            Ok(feed) => state(feed.as_ref()),
            Err((reason, message)) => FeedState {
                catalog: None,
                freshness: Freshness::Failed { reason, message },
            },
        };
        Some(Observed {
            usability: Vec::new(),
            served: None,
            namespace: self.namespace_limit(&key.namespace),
            binding,
            feed,
            targets,
            held_objects,
        })
    }

    /// Returns the bindings of a feed: all of them, or those that ask for one of these models, as a fallback too.
    #[must_use]
    pub fn audience(&self, feed: &FeedKey, models: Option<&BTreeSet<ModelId>>) -> Vec<ObjectKey> {
        let Some(audience) = self.audiences.get(feed) else {
            return Vec::new();
        };
        // A binding with fallback models is found under each of them.
        let keys: BTreeSet<&ObjectKey> = match models {
            None => audience.values().flatten().collect(),
            Some(models) => {
                let asking = models.iter().filter_map(|model| audience.get(model));
                asking.flatten().collect()
            }
        };
        keys.into_iter().cloned().collect()
    }

    /// Returns the bindings of a feed that name an application profile: any, or one of these names.
    #[must_use]
    pub fn naming_applications(
        &self,
        feed: &FeedKey,
        names: Option<&BTreeSet<String>>,
    ) -> BTreeSet<ObjectKey> {
        self.naming_applications.of(feed, names)
    }

    /// Returns the models that bindings of a feed ask for, as a fallback too.
    #[must_use]
    pub fn models_of(&self, feed: &FeedKey) -> Vec<ModelId> {
        let audience = self.audiences.get(feed);
        audience.map_or_else(Vec::new, |audience| audience.keys().cloned().collect())
    }

    /// Returns the version of a target that was judged, or `None` if it has changed since.
    #[must_use]
    pub fn version_of_target(&self, key: &TargetKey, judged: &TargetView) -> Option<u64> {
        let known = self.targets.get(key)?;
        (*known.value == *judged).then_some(known.version)
    }

    /// Returns the version of a binding that was judged, or `None` if it has changed since. Our finalizer does not count: it may
    /// have been added during the visit.
    #[must_use]
    pub fn version_of_binding(&self, judged: &Binding) -> Option<u64> {
        let known = self.bindings.get(&judged.key)?;
        let unchanged = known.value.finalizer == judged.finalizer && *known.value == *judged
            || *known.value
                == Binding {
                    finalizer: known.value.finalizer,
                    ..judged.clone()
                };
        unchanged.then_some(known.version)
    }

    /// Assumes a status that was written, until its event arrives.
    pub fn assume_status(&mut self, key: &ObjectKey, uid: &str, status: Status, version: u64) {
        self.assume_binding(key, uid, version, |binding| binding.status = status);
    }

    /// Assumes that our finalizer was added or removed.
    pub fn assume_finalizer(&mut self, key: &ObjectKey, uid: &str, present: bool, version: u64) {
        self.assume_binding(key, uid, version, |binding| binding.finalizer = present);
    }

    fn assume_binding(
        &mut self,
        key: &ObjectKey,
        uid: &str,
        version: u64,
        change: impl FnOnce(&mut Binding),
    ) {
        let Some(known) = self.bindings.get(key) else {
            return;
        };
        if known.value.uid.as_ref() != uid || version <= known.version {
            return;
        }
        // The indexes stay valid: none of their fields changes here.
        let mut binding = (*known.value).clone();
        change(&mut binding);
        self.classes.touch(&binding);
        self.share(&mut binding);
        let assumed = self.lists;
        self.bindings.insert(
            key.clone(),
            Versioned {
                assumed,
                ..Versioned::seen(binding, version)
            },
        );
    }

    /// Announces a write to a target, so that the target's disappearance during the write is noticed.
    pub fn begin_write(&mut self, key: &TargetKey) {
        self.in_flight.insert(key.clone(), 0);
    }

    /// Assumes a target that was written; `written` is `None` if the write failed. Returns whether the target has disappeared
    /// since.
    pub fn end_write(&mut self, key: &TargetKey, written: Option<(TargetView, u64)>) -> bool {
        let vanished = self.in_flight.remove(key).unwrap_or_default();
        let Some((view, version)) = written else {
            return false;
        };
        if vanished > version {
            return true;
        }
        if self
            .targets
            .get(key)
            .is_none_or(|known| known.version < version)
        {
            let assumed = self.lists;
            self.put_target(
                key,
                Versioned {
                    assumed,
                    ..Versioned::seen(view, version)
                },
            );
        }
        false
    }

    /// Assumes that a target was deleted or that our keys were removed from it.
    pub fn assume_removed(&mut self, key: &TargetKey, uid: &str) {
        if self
            .targets
            .get(key)
            .is_some_and(|known| known.value.uid.as_ref() == uid)
        {
            self.remove_target(key);
        }
    }

    fn put_target(&mut self, key: &TargetKey, mut known: Versioned<TargetView>) {
        let mut key = key.clone();
        self.share_target(&mut key, Arc::make_mut(&mut known.value));
        let owned_by = owners(&key, &known.value);
        if let Some(before) = self.targets.get_mut(&key) {
            if owners(&key, &before.value) == owned_by {
                *before = known;
                return;
            }
            self.remove_target(&key);
        }
        for owner in owned_by {
            let held = self.held_objects.entry(owner);
            // Mostly one, and there are as many of these as bindings.
            let held = held.or_insert_with(|| Vec::with_capacity(1));
            held.push(key.clone());
        }
        self.targets.insert(key, known);
    }

    /// Shares the texts of a target with the binding that controls it, whose name it mostly has, and others with other targets.
    fn share_target(&mut self, key: &mut TargetKey, view: &mut TargetView) {
        self.texts.share(&mut key.namespace);
        let controller = view.controller.as_mut();
        let by_binding =
            controller.and_then(|it| it.binding.as_mut().map(|name| (&mut it.uid, name)));
        let mut holder = None;
        if let Some((controller, name)) = by_binding {
            let owner = ObjectKey {
                namespace: key.namespace.clone(),
                name: name.clone(),
            };
            if let Some((owner, known)) = self.bindings.get_key_value(&owner) {
                *name = owner.name.clone();
                share_equal(&known.value.uid, controller);
                if let Some(record) = known.value.status.record(key) {
                    share_equal(&record.uid, &mut view.uid);
                }
            }
            share_equal(name, &mut key.name);
            holder = Some(name.clone());
        }
        for holding in view.ours.iter_mut().chain(view.foreign.iter_mut()) {
            self.holdings.share(&mut holding.keys);
            match &holder {
                Some(name) if *name == holding.holder => holding.holder = name.clone(),
                _ => self.texts.share(&mut holding.holder),
            }
        }
    }

    fn remove_target(&mut self, key: &TargetKey) {
        let Some(known) = self.targets.remove(key) else {
            return;
        };
        for owner in owners(key, &known.value) {
            if let Entry::Occupied(mut entry) = self.held_objects.entry(owner) {
                entry.get_mut().retain(|target| target != key);
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
    }

    /// Wakes the bindings that a change of a target affects: those that name it and those that wrote to it.
    fn wake_bindings_of(&self, key: &TargetKey) -> FollowUp {
        let wrote = self
            .targets
            .get(key)
            .map(|known| owners(key, &known.value))
            .unwrap_or_default();
        let named = self.claimants.get(key).into_iter().flatten().cloned();
        let keys: BTreeSet<ObjectKey> = named
            .chain(
                wrote
                    .into_iter()
                    .filter(|owner| self.bindings.contains_key(owner)),
            )
            .collect();
        FollowUp {
            wake: keys.into_iter().map(|key| (key, Lane::Low)).collect(),
            ..FollowUp::default()
        }
    }

    fn wake_rivals(&self, binding: &Binding, follow_up: &mut FollowUp) {
        for target in target_keys(binding) {
            let rivals = self
                .claimants
                .get(&target)
                .into_iter()
                .flatten()
                .filter(|rival| **rival != binding.key);
            follow_up
                .wake
                .extend(rivals.map(|rival| (rival.clone(), Lane::Low)));
        }
    }

    fn index(&mut self, binding: &Binding) {
        for target in target_keys(binding) {
            let claimants = self.claimants.entry(target);
            // Mostly one, and there are as many of these as bindings.
            let claimants = claimants.or_insert_with(|| Vec::with_capacity(1));
            if !claimants.contains(&binding.key) {
                claimants.push(binding.key.clone());
            }
        }
        self.classes.add(binding);
        let Some(feed) = self.feed_of(binding) else {
            return;
        };
        for name in binding.spec.applications() {
            let (name, key) = (name.clone(), binding.key.clone());
            self.naming_applications.insert(feed.clone(), name, key);
        }
        let mut models = models_asked(binding).peekable();
        if models.peek().is_none() {
            return;
        }
        let audience = self.audiences.entry(feed).or_default();
        for model in models {
            let keys = audience.entry(model.clone()).or_default();
            keys.insert(binding.key.clone());
        }
    }

    fn unindex(&mut self, binding: &Binding) {
        for target in target_keys(binding) {
            if let Entry::Occupied(mut entry) = self.claimants.entry(target) {
                entry.get_mut().retain(|claimant| *claimant != binding.key);
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
        self.classes.remove(binding);
        let Some(feed) = self.feed_of(binding) else {
            return;
        };
        for name in binding.spec.applications() {
            self.naming_applications
                .remove(feed.clone(), name, &binding.key);
        }
        let Entry::Occupied(mut entry) = self.audiences.entry(feed) else {
            return;
        };
        let audience = entry.get_mut();
        for model in models_asked(binding) {
            if let Some(keys) = audience.get_mut(model) {
                keys.remove(&binding.key);
                if keys.is_empty() {
                    audience.remove(model);
                }
            }
        }
        if audience.is_empty() {
            entry.remove();
        }
    }

    /// Shares equal parts of bindings in memory, also with what is known of this one and its targets.
    fn share(&mut self, binding: &mut Binding) {
        self.texts.share(&mut binding.key.namespace);
        if let Some((key, known)) = self.bindings.get_key_value(&binding.key) {
            binding.key = key.clone();
            share_equal(&known.value.uid, &mut binding.uid);
            share_equal(&known.value.spec.targets, &mut binding.spec.targets);
        }
        for ask in binding.spec.asks.values_mut() {
            if let Ok(request) = &mut ask.request {
                self.requests.share(request);
            }
            if let Some(class) = &mut ask.class {
                self.class_uses.share(class);
            }
        }
        for in_use in binding.status.models.values_mut() {
            if let Some(route) = &mut in_use.route {
                self.routes.share(route);
            }
        }
        self.share_conditions(&mut binding.status.conditions);
        for record in &mut binding.status.targets {
            self.texts.share(&mut record.hash);
            record.key.namespace = binding.key.namespace.clone();
            share_equal(&binding.key.name, &mut record.key.name);
            if let Some(known) = self.targets.get(&record.key) {
                share_equal(&known.value.uid, &mut record.uid);
                if let Some(controller) = &known.value.controller {
                    share_equal(&controller.uid, &mut binding.uid);
                }
            }
        }
        binding.status.targets.shrink_to_fit();
    }

    /// Shares the conditions of bindings that had the same fate at the same time, and the messages of the others.
    fn share_conditions(&mut self, shared: &mut Arc<Vec<Condition>>) {
        if self.conditions.share_known(shared) {
            return;
        }
        let conditions = Arc::make_mut(shared);
        for condition in &mut *conditions {
            self.texts.share(&mut condition.message);
        }
        conditions.shrink_to_fit();
        self.conditions.share(shared);
    }
}

/// Returns the models that a binding asks for, as a fallback too, each as often as it does.
fn models_asked(binding: &Binding) -> impl Iterator<Item = &ModelId> {
    binding.spec.requests().flat_map(|request| request.models())
}

/// Puts a known value in the place of an equal one, so that it is in memory once.
fn share_equal<T: ?Sized + PartialEq>(known: &Arc<T>, other: &mut Arc<T>) {
    if **known == **other {
        *other = known.clone();
    }
}

fn target_keys(binding: &Binding) -> impl Iterator<Item = TargetKey> {
    let targets = binding.spec.targets.iter();
    targets.map(|target| binding.target_key(target))
}

/// Returns the bindings that wrote to an object.
fn owners(key: &TargetKey, view: &TargetView) -> Vec<ObjectKey> {
    let controller = view
        .controller
        .as_ref()
        .and_then(|controller| controller.binding.clone());
    let mut names: Vec<Arc<str>> = view
        .ours
        .iter()
        .map(|holding| holding.holder.clone())
        .chain(controller)
        .collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| ObjectKey {
            namespace: key.namespace.clone(),
            name,
        })
        .collect()
}

impl FollowUp {
    /// Joins two follow-ups.
    #[must_use]
    fn and(mut self, other: Self) -> Self {
        self.wake.extend(other.wake);
        self.hold.extend(other.hold);
        self.release.extend(other.release);
        self.refresh.extend(other.refresh);
        self.applications.extend(other.applications);
        self.cancel_out()
    }

    /// Adds what follows from a change of the admission.
    fn add(&mut self, change: AdmissionChange) {
        self.hold.extend(change.hold);
        self.release.extend(change.release);
        let woken = change.wake.into_iter().map(|key| (key, Lane::Low));
        self.wake.extend(woken);
    }

    /// Drops feeds that are both held and released.
    fn cancel_out(mut self) -> Self {
        let both: Vec<FeedKey> = self
            .hold
            .iter()
            .filter(|feed| self.release.contains(feed))
            .cloned()
            .collect();
        self.hold.retain(|feed| !both.contains(feed));
        self.release.retain(|feed| !both.contains(feed));
        self
    }
}

/// Returns the label selector of the watches of targets.
#[must_use]
pub fn target_selector() -> String {
    format!("{}=true", names::MANAGED_LABEL)
}

#[cfg(test)]
mod tests;
