//! Which bindings may have a feed: the operator limits the number of feeds, in all and per namespace.
//!
//! A namespace is admitted to a feed, with all its bindings that use that feed. It stays admitted until the last of them
//! leaves; then the waiting bindings are considered, the oldest first. The result depends only on the order of changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use crate::{catalog::FeedKey, plan::identity::ObjectKey};

/// Limits on the number of feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedLimits {
    /// Most feeds in all.
    pub total: usize,
    /// Most feeds that the bindings of one namespace use.
    pub per_namespace: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            total: 64,
            per_namespace: 8,
        }
    }
}

impl FeedLimits {
    /// No limits, for commands that list once.
    pub const NONE: Self = Self {
        total: usize::MAX,
        per_namespace: usize::MAX,
    };
}

/// A binding's request for a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRequest {
    /// The binding.
    pub binding: ObjectKey,
    /// Its place in the line of those that wait.
    pub created: CreationOrder,
    /// The requested feed.
    pub feed: FeedKey,
}

/// Orders bindings by creation time, in Unix seconds, and then by UID. The oldest comes first.
pub type CreationOrder = (i64, Arc<str>);

/// Whether a request for a feed is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmissionState {
    /// The binding uses the feed.
    Admitted,
    /// Nothing is decided before all bindings are known.
    Undecided,
    /// The binding waits; the message says why and what to do.
    Waiting(String),
}

/// What changes when a request comes, goes or is replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AdmissionChange {
    /// Feeds that are now used.
    pub hold: Vec<FeedKey>,
    /// Feeds that are no longer used.
    pub release: Vec<FeedKey>,
    /// Other bindings whose state or message changed. Those that were admitted come first.
    pub wake: Vec<ObjectKey>,
    /// Namespaces that now use a different set of feeds.
    changed_namespaces: BTreeSet<Arc<str>>,
}

/// The namespaces that are admitted to feeds, and the bindings that wait.
#[derive(Debug, Default)]
pub struct Admission {
    limits: FeedLimits,
    /// How many lists of bindings are still incomplete. Nothing is admitted before all are complete, so that the order of a
    /// list has no influence.
    lists: usize,
    /// Namespace -> feed -> how many of its bindings use it.
    admitted: HashMap<Arc<str>, BTreeMap<FeedKey, usize>>,
    /// Feed -> how many namespaces use it.
    running: HashMap<FeedKey, usize>,
    waiting: BTreeMap<CreationOrder, FeedRequest>,
}

impl Admission {
    /// Returns an admission that begins after [`Admission::list_complete`] was called `lists` times.
    #[must_use]
    pub fn new(limits: FeedLimits, lists: usize) -> Self {
        Self {
            limits,
            lists,
            ..Self::default()
        }
    }

    /// Records that a list of bindings is complete. After the last one, admits all requests that the limits allow. Bindings
    /// for which `had_one` returns true had a feed before and come first, so that a restart takes no feed away.
    pub fn list_complete(&mut self, had_one: impl Fn(&ObjectKey) -> bool) -> AdmissionChange {
        let mut change = AdmissionChange::default();
        self.lists = self.lists.saturating_sub(1);
        if self.lists == 0 {
            self.admit(&mut change, had_one);
            self.admit(&mut change, |_| true);
        }
        // All listed bindings are visited anyway.
        change.wake.clear();
        change
    }

    /// Replaces a binding's request; `None` means no request. The new request is ordered by the binding's age, so that it may
    /// have to wait.
    pub fn replace(
        &mut self,
        from: Option<&FeedRequest>,
        to: Option<&FeedRequest>,
    ) -> AdmissionChange {
        let mut change = AdmissionChange::default();
        if let Some(from) = from {
            self.remove(from, &mut change);
        }
        if let Some(to) = to {
            self.waiting.insert(to.created.clone(), to.clone());
        }
        if self.lists > 0 {
            return change;
        }
        if !change.changed_namespaces.is_empty() {
            self.admit(&mut change, |_| true);
        } else if let Some(to) = to {
            // No feed became free, so that no other request can be admitted.
            self.admit_one(&to.created, &mut change);
        }
        if !change.changed_namespaces.is_empty() {
            // The messages of those that still wait name the feeds that their namespace uses.
            let outdated = self.waiting.values().map(|request| &request.binding);
            let outdated =
                outdated.filter(|key| change.changed_namespaces.contains(&key.namespace));
            change.wake.extend(outdated.cloned());
        }
        change
            .wake
            .retain(|key| to.is_none_or(|to| to.binding != *key));
        change
    }

    /// Returns the state of a request of this namespace for this feed.
    pub fn state(&self, namespace: &str, feed: &FeedKey) -> AdmissionState {
        let none = BTreeMap::new();
        let used = self.admitted.get(namespace).unwrap_or(&none);
        if used.contains_key(feed) {
            return AdmissionState::Admitted;
        }
        if self.lists > 0 {
            return AdmissionState::Undecided;
        }
        let (limit, instead) = if used.len() >= self.limits.per_namespace {
            let most = self.limits.per_namespace;
            (
                format!(
                    "the bindings of namespace {namespace} use {most} source regions and roles, the most that \
                     --max-feeds-per-namespace allows"
                ),
                "--max-feeds-per-namespace",
            )
        } else {
            let most = self.limits.total;
            (
                format!(
                    "the operator lists {most} source regions and roles, the most that --max-feeds allows"
                ),
                "--max-feeds",
            )
        };
        let names: Vec<String> = used.keys().map(describe).collect();
        let used = if names.is_empty() {
            "this namespace uses none yet".to_owned()
        } else {
            format!("this namespace uses: {}", names.join(", "))
        };
        AdmissionState::Waiting(format!(
            "{} waits to be listed: {limit}; {used}; use one of these, delete or suspend bindings of other regions, or \
             ask whoever runs the operator to raise {instead}",
            describe(feed)
        ))
    }

    /// Admits what the limits allow, the oldest first, among the bindings for which `considered` returns true.
    fn admit(&mut self, change: &mut AdmissionChange, considered: impl Fn(&ObjectKey) -> bool) {
        loop {
            let line: Vec<CreationOrder> = self
                .waiting
                .iter()
                .filter(|(_, request)| {
                    considered(&request.binding) && self.can_be_admitted(request)
                })
                .map(|(created, _)| created.clone())
                .collect();
            let before = change.hold.len();
            for created in &line {
                self.admit_one(created, change);
            }
            // A feed that was just started may be used by a namespace that could not have started it.
            if change.hold.len() == before {
                return;
            }
        }
    }

    fn admit_one(&mut self, created: &CreationOrder, change: &mut AdmissionChange) {
        if !self
            .waiting
            .get(created)
            .is_some_and(|request| self.can_be_admitted(request))
        {
            return;
        }
        let Some(FeedRequest { binding, feed, .. }) = self.waiting.remove(created) else {
            return;
        };
        let used = self.admitted.entry(binding.namespace.clone()).or_default();
        let bindings = used.entry(feed.clone()).or_default();
        *bindings += 1;
        if *bindings == 1 {
            change.changed_namespaces.insert(binding.namespace.clone());
            let namespaces = self.running.entry(feed.clone()).or_default();
            *namespaces += 1;
            if *namespaces == 1 {
                change.hold.push(feed);
            }
        }
        change.wake.push(binding);
    }

    fn can_be_admitted(&self, request: &FeedRequest) -> bool {
        let (namespace, feed) = (&request.binding.namespace, &request.feed);
        let used = self.admitted.get(namespace);
        if used.is_some_and(|used| used.contains_key(feed)) {
            return true;
        }
        used.map_or(0, BTreeMap::len) < self.limits.per_namespace
            && (self.running.contains_key(feed) || self.running.len() < self.limits.total)
    }

    fn remove(&mut self, request: &FeedRequest, change: &mut AdmissionChange) {
        if self.waiting.remove(&request.created).is_some() {
            return;
        }
        let (namespace, feed) = (&request.binding.namespace, &request.feed);
        let Entry::Occupied(mut used) = self.admitted.entry(namespace.clone()) else {
            return;
        };
        let Some(bindings) = used.get_mut().get_mut(feed) else {
            return;
        };
        *bindings -= 1;
        if *bindings > 0 {
            return;
        }
        used.get_mut().remove(feed);
        if used.get().is_empty() {
            used.remove();
        }
        change.changed_namespaces.insert(namespace.clone());
        if let Entry::Occupied(mut namespaces) = self.running.entry(feed.clone()) {
            *namespaces.get_mut() -= 1;
            if *namespaces.get() == 0 {
                namespaces.remove();
                change.release.push(feed.clone());
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.admitted.is_empty() && self.running.is_empty() && self.waiting.is_empty()
    }
}

fn describe(feed: &FeedKey) -> String {
    match &feed.role {
        Some(role) => format!("{} by {role}", feed.region),
        None => feed.region.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: FeedLimits = FeedLimits {
        total: 3,
        per_namespace: 2,
    };
    const REGIONS: [&str; 5] = [
        "eu-west-1",
        "eu-west-3",
        "us-east-1",
        "us-west-2",
        "ap-south-1",
    ];

    /// Returns the request of a binding, given as `namespace/name`.
    fn request(binding: &str, created: i64, region: &str) -> FeedRequest {
        let (namespace, name) = binding.split_once('/').expect("a namespace and a name");
        FeedRequest {
            binding: ObjectKey {
                namespace: namespace.into(),
                name: name.into(),
            },
            created: (created, name.into()),
            feed: feed(region),
        }
    }

    fn feed(region: &str) -> FeedKey {
        FeedKey {
            role: None,
            region: region.parse().expect("a region"),
        }
    }

    fn enter(
        admission: &mut Admission,
        binding: &str,
        created: i64,
        region: &str,
    ) -> AdmissionChange {
        admission.replace(None, Some(&request(binding, created, region)))
    }

    fn names(change: &AdmissionChange) -> Vec<String> {
        change.wake.iter().map(ToString::to_string).collect()
    }

    fn waits(admission: &Admission, namespace: &str, region: &str) -> Option<String> {
        match admission.state(namespace, &feed(region)) {
            AdmissionState::Admitted => None,
            AdmissionState::Waiting(message) => Some(message),
            AdmissionState::Undecided => panic!("everything is decided"),
        }
    }

    #[test]
    fn a_namespace_is_limited_and_its_message_names_what_it_uses() {
        let mut admission = Admission::new(LIMITS, 0);
        for region in ["eu-west-1", "eu-west-3"] {
            assert_eq!(enter(&mut admission, "a/x", 1, region).hold, [feed(region)]);
        }
        assert_eq!(enter(&mut admission, "a/y", 2, "us-east-1").hold, []);
        let message = waits(&admission, "a", "us-east-1").expect("it waits");
        for part in [
            "us-east-1 waits",
            "namespace a use 2",
            "--max-feeds-per-namespace",
            "uses: eu-west-1, eu-west-3",
        ] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
        // The same feeds cost another namespace nothing new.
        assert_eq!(enter(&mut admission, "b/x", 3, "eu-west-1").hold, []);
        assert_eq!(waits(&admission, "b", "eu-west-1"), None);
    }

    #[test]
    fn the_total_is_limited_and_the_message_does_not_name_other_namespaces() {
        let mut admission = Admission::new(LIMITS, 0);
        for (number, region) in REGIONS[..3].iter().enumerate() {
            enter(&mut admission, &format!("n{number}/x"), 1, region);
        }
        enter(&mut admission, "a/x", 2, "us-west-2");
        let message = waits(&admission, "a", "us-west-2").expect("it waits");
        assert!(message.contains("--max-feeds allows"), "{message}");
        assert!(message.contains("uses none yet"), "{message}");
        assert!(!message.contains("eu-west-1"), "{message}");
    }

    #[test]
    fn waiting_bindings_are_admitted_in_order_of_age() {
        let mut admission = Admission::new(LIMITS, 0);
        let first = request("a/first", 1, "eu-west-1");
        admission.replace(None, Some(&first));
        enter(&mut admission, "a/second", 2, "eu-west-3");
        enter(&mut admission, "a/young", 9, "us-east-1");
        enter(&mut admission, "a/old", 5, "us-west-2");
        enter(&mut admission, "a/older", 4, "us-west-2");
        let change = admission.replace(Some(&first), None);
        assert_eq!(change.release, [feed("eu-west-1")]);
        assert_eq!(change.hold, [feed("us-west-2")]);
        assert_eq!(
            names(&change),
            ["a/older", "a/old", "a/young"],
            "those admitted, then those whose message changed"
        );
        let message = waits(&admission, "a", "us-east-1").expect("it waits");
        assert!(message.contains("uses: eu-west-3, us-west-2"), "{message}");
    }

    #[test]
    fn an_edited_request_is_ordered_by_age() {
        let mut admission = Admission::new(LIMITS, 0);
        let moving = request("a/moving", 7, "eu-west-1");
        admission.replace(None, Some(&moving));
        enter(&mut admission, "a/other", 2, "eu-west-3");
        enter(&mut admission, "a/older", 5, "us-east-1");
        let edited = request("a/moving", 7, "us-west-2");
        let change = admission.replace(Some(&moving), Some(&edited));
        assert_eq!(change.hold, [feed("us-east-1")]);
        assert!(waits(&admission, "a", "us-west-2").is_some());
    }

    #[test]
    fn a_restart_takes_no_feed_away_and_admits_by_age() {
        let mut admission = Admission::new(LIMITS, 2);
        for (name, created, region) in [
            ("a/new", 9, "ap-south-1"),
            ("a/waited", 1, "eu-west-1"),
            ("a/had", 5, "eu-west-3"),
            ("a/later", 3, "us-east-1"),
        ] {
            assert_eq!(
                enter(&mut admission, name, created, region),
                AdmissionChange::default(),
                "not before all are known"
            );
        }
        assert_eq!(
            admission.state("a", &feed("eu-west-3")),
            AdmissionState::Undecided
        );
        let had_one = |key: &ObjectKey| key.name.as_ref() == "had";
        assert_eq!(admission.list_complete(had_one), AdmissionChange::default());
        assert_eq!(
            admission.list_complete(had_one).hold,
            [feed("eu-west-3"), feed("eu-west-1")]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Bindings come, go and change their regions in any order.
        #[test]
        fn the_limits_hold_and_no_binding_waits_needlessly(
            steps in prop::collection::vec((0..12_usize, 0..=REGIONS.len()), 1..80),
            together in 0..40_usize,
        ) {
            let mut admission = Admission::new(LIMITS, 1);
            let mut requests: HashMap<usize, FeedRequest> = HashMap::new();
            let mut running: HashSet<FeedKey> = HashSet::new();
            let mut known = HashMap::new();
            for (position, (binding, region)) in steps.into_iter().enumerate() {
                let mut changes = Vec::new();
                if position == together {
                    changes.push(admission.list_complete(|_| false));
                }
                let namespace = ["a", "b", "c"][binding % 3];
                let to = REGIONS.get(region).map(|region| {
                    request(&format!("{namespace}/{binding}"), i64::try_from(binding / 2).unwrap_or(0), region)
                });
                let from = requests.remove(&binding);
                if from != to {
                    changes.push(admission.replace(from.as_ref(), to.as_ref()));
                }
                requests.extend(to.map(|to| (binding, to)));
                for change in changes {
                    for feed in change.release {
                        prop_assert!(running.remove(&feed), "released without being held");
                    }
                    for feed in change.hold {
                        prop_assert!(running.insert(feed), "held twice");
                    }
                }
                if position < together {
                    prop_assert!(running.is_empty());
                    continue;
                }
                prop_assert!(running.len() <= LIMITS.total);
                let mut used: HashMap<Arc<str>, HashSet<FeedKey>> = HashMap::new();
                let mut states = HashMap::new();
                for request in requests.values() {
                    let namespace = request.binding.namespace.clone();
                    let admitted = admission.state(&namespace, &request.feed) == AdmissionState::Admitted;
                    if admitted {
                        used.entry(namespace).or_default().insert(request.feed.clone());
                    }
                    states.insert(request.created.clone(), (request.clone(), admitted));
                }
                prop_assert!(used.values().all(|feeds| feeds.len() <= LIMITS.per_namespace));
                prop_assert_eq!(&used.values().flatten().cloned().collect::<HashSet<_>>(), &running);
                for (created, (request, admitted)) in &states {
                    let of_namespace = used.get(&request.binding.namespace).map_or(0, HashSet::len);
                    let free = of_namespace < LIMITS.per_namespace
                        && (running.contains(&request.feed) || running.len() < LIMITS.total);
                    prop_assert!(*admitted || !free, "{:?} waits needlessly", request);
                    if let Some((before, true)) = known.get(created) {
                        prop_assert!(before != request || *admitted, "{:?} lost its feed", request);
                    }
                }
                known = states;
            }
            if !running.is_empty() {
                for request in requests.values() {
                    admission.replace(Some(request), None);
                }
                prop_assert!(admission.is_empty());
            }
        }

        /// The result at startup does not depend on the order in which bindings are listed.
        #[test]
        fn the_order_of_a_list_has_no_influence(
            regions in prop::collection::vec(0..REGIONS.len(), 1..20),
            seed in any::<u64>(),
        ) {
            let requests: Vec<FeedRequest> = regions
                .iter()
                .zip(0..)
                .map(|(region, number)| {
                    let namespace = ["a", "b", "c"][*region % 3];
                    request(&format!("{namespace}/{number}"), number / 2, REGIONS[*region])
                })
                .collect();
            let decide = |requests: &[FeedRequest]| -> Vec<AdmissionState> {
                let mut admission = Admission::new(LIMITS, 1);
                for request in requests {
                    admission.replace(None, Some(request));
                }
                admission.list_complete(|key| key.name.len() > 1);
                let state = |binding: &ObjectKey, feed| admission.state(&binding.namespace, feed);
                let mut sorted = requests.to_vec();
                sorted.sort_by(|a, b| a.created.cmp(&b.created));
                sorted.iter().map(|request| state(&request.binding, &request.feed)).collect()
            };
            let mut shuffled = requests.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(decide(&requests), decide(&shuffled));
        }
    }
}
