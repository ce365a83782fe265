//! Who may have a feed: the operator keeps only so many, and so many for each namespace.
//!
//! What is let in is a pair of a namespace and a feed, with all bindings of the pair. One that was let in stays until its
//! last binding leaves; then those that wait get their chance, the oldest binding first. Which pairs are in depends on the
//! order of changes alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use crate::{catalog::FeedKey, plan::identity::ObjectKey};

/// How many feeds there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedLimits {
    /// In all.
    pub total: usize,
    /// That the bindings of one namespace use.
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
    /// No limits: for commands that look once.
    pub const NONE: Self = Self {
        total: usize::MAX,
        per_namespace: usize::MAX,
    };
}

/// That a binding wants a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The binding.
    pub binding: ObjectKey,
    /// Its place in line.
    pub age: Age,
    /// The feed that it wants.
    pub feed: FeedKey,
}

/// A place in line: the older binding first, by its time of creation, then the lower UID.
pub type Age = (i64, Arc<str>);

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has the feed.
    Admitted,
    /// Not all bindings are known yet.
    Undecided,
    /// It waits, for the reason that this message gives.
    Waiting(String),
}

/// What a change leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Feeds that are used from now on.
    pub hold: Vec<FeedKey>,
    /// Feeds that are used no more.
    pub release: Vec<FeedKey>,
    /// Other bindings that stand elsewhere now, or are told something else; those that were let in first.
    pub wake: Vec<ObjectKey>,
    /// Namespaces that use other feeds than before.
    differ: BTreeSet<Arc<str>>,
}

/// Who has a feed, and who waits for one.
#[derive(Debug, Default)]
pub struct Admission {
    limits: FeedLimits,
    /// Lists of bindings that are not complete: until they are, nobody is let in, so that the order of a list decides
    /// nothing.
    lists: usize,
    /// Namespace -> feed -> how many of its bindings use it.
    admitted: HashMap<Arc<str>, BTreeMap<FeedKey, usize>>,
    /// Feed -> how many namespaces use it.
    running: HashMap<FeedKey, usize>,
    waiting: BTreeMap<Age, Wish>,
}

impl Admission {
    /// Returns an admission that begins when [`Admission::list_complete`] was called `lists` times.
    #[must_use]
    pub fn new(limits: FeedLimits, lists: usize) -> Self {
        Self {
            limits,
            lists,
            ..Self::default()
        }
    }

    /// Takes that a list of bindings is complete. With the last one all are let in that can be: first those of whom
    /// `had_one` says that they had a feed before, so that a restart takes none away.
    pub fn list_complete(&mut self, had_one: impl Fn(&ObjectKey) -> bool) -> Change {
        let mut change = Change::default();
        self.lists = self.lists.saturating_sub(1);
        if self.lists == 0 {
            self.let_in(&mut change, had_one);
            self.let_in(&mut change, |_| true);
        }
        // All that the lists show are visited anyway.
        change.wake.clear();
        change
    }

    /// Takes that a binding wants another feed than before; nothing stands for none. Its place is by its age, so it may
    /// have to wait for the new one.
    pub fn moved(&mut self, from: Option<&Wish>, to: Option<&Wish>) -> Change {
        let mut change = Change::default();
        if let Some(from) = from {
            self.leave(from, &mut change);
        }
        if let Some(to) = to {
            self.waiting.insert(to.age.clone(), to.clone());
        }
        if self.lists > 0 {
            return change;
        }
        if !change.differ.is_empty() {
            self.let_in(&mut change, |_| true);
        } else if let Some(to) = to {
            // Nobody who waited can get what was not free before.
            self.let_in_one(&to.age, &mut change);
        }
        // The message of those who go on waiting names what their namespace uses.
        let told = self.waiting.values().map(|wish| &wish.binding);
        let told = told.filter(|key| change.differ.contains(&key.namespace));
        change.wake.extend(told.cloned());
        change
            .wake
            .retain(|key| to.is_none_or(|to| to.binding != *key));
        change
    }

    /// Returns where a binding of a namespace stands that wants a feed.
    pub fn standing(&self, namespace: &str, feed: &FeedKey) -> Standing {
        let none = BTreeMap::new();
        let used = self.admitted.get(namespace).unwrap_or(&none);
        if used.contains_key(feed) {
            return Standing::Admitted;
        }
        if self.lists > 0 {
            return Standing::Undecided;
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
        Standing::Waiting(format!(
            "{} waits to be listed: {limit}; {used}; use one of these, delete or suspend bindings of other regions, or \
             let whoever runs the operator raise {instead}",
            describe(feed)
        ))
    }

    /// Lets in whom it can, the oldest first, among those for whom `considered` holds.
    fn let_in(&mut self, change: &mut Change, considered: impl Fn(&ObjectKey) -> bool) {
        loop {
            let line: Vec<Age> = self
                .waiting
                .iter()
                .filter(|(_, wish)| considered(&wish.binding) && self.fits(wish))
                .map(|(age, _)| age.clone())
                .collect();
            let before = change.hold.len();
            for age in &line {
                self.let_in_one(age, change);
            }
            // A feed that was started may now be used by namespaces that could not have started it.
            if change.hold.len() == before {
                return;
            }
        }
    }

    fn let_in_one(&mut self, age: &Age, change: &mut Change) {
        if !self.waiting.get(age).is_some_and(|wish| self.fits(wish)) {
            return;
        }
        let Some(Wish { binding, feed, .. }) = self.waiting.remove(age) else {
            return;
        };
        let used = self.admitted.entry(binding.namespace.clone()).or_default();
        let bindings = used.entry(feed.clone()).or_default();
        *bindings += 1;
        if *bindings == 1 {
            change.differ.insert(binding.namespace.clone());
            let namespaces = self.running.entry(feed.clone()).or_default();
            *namespaces += 1;
            if *namespaces == 1 {
                change.hold.push(feed);
            }
        }
        change.wake.push(binding);
    }

    fn fits(&self, wish: &Wish) -> bool {
        let (namespace, feed) = (&wish.binding.namespace, &wish.feed);
        let used = self.admitted.get(namespace);
        if used.is_some_and(|used| used.contains_key(feed)) {
            return true;
        }
        used.map_or(0, BTreeMap::len) < self.limits.per_namespace
            && (self.running.contains_key(feed) || self.running.len() < self.limits.total)
    }

    fn leave(&mut self, wish: &Wish, change: &mut Change) {
        if self.waiting.remove(&wish.age).is_some() {
            return;
        }
        let (namespace, feed) = (&wish.binding.namespace, &wish.feed);
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
        change.differ.insert(namespace.clone());
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

    /// Returns what a binding `namespace/name` of some age wants.
    fn wish(binding: &str, age: i64, region: &str) -> Wish {
        let (namespace, name) = binding.split_once('/').expect("a namespace and a name");
        Wish {
            binding: ObjectKey {
                namespace: namespace.into(),
                name: name.into(),
            },
            age: (age, name.into()),
            feed: feed(region),
        }
    }

    fn feed(region: &str) -> FeedKey {
        FeedKey {
            role: None,
            region: region.parse().expect("a region"),
        }
    }

    fn enter(admission: &mut Admission, binding: &str, age: i64, region: &str) -> Change {
        admission.moved(None, Some(&wish(binding, age, region)))
    }

    fn names(change: &Change) -> Vec<String> {
        change.wake.iter().map(ToString::to_string).collect()
    }

    fn waits(admission: &Admission, namespace: &str, region: &str) -> Option<String> {
        match admission.standing(namespace, &feed(region)) {
            Standing::Admitted => None,
            Standing::Waiting(message) => Some(message),
            Standing::Undecided => panic!("all is decided"),
        }
    }

    #[test]
    fn a_namespace_gets_so_many_and_is_told_which() {
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
    fn the_operator_keeps_so_many_and_says_nothing_of_other_namespaces() {
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
    fn who_waits_gets_a_chance_in_order_of_age() {
        let mut admission = Admission::new(LIMITS, 0);
        let first = wish("a/first", 1, "eu-west-1");
        admission.moved(None, Some(&first));
        enter(&mut admission, "a/second", 2, "eu-west-3");
        enter(&mut admission, "a/young", 9, "us-east-1");
        enter(&mut admission, "a/old", 5, "us-west-2");
        enter(&mut admission, "a/older", 4, "us-west-2");
        let change = admission.moved(Some(&first), None);
        assert_eq!(change.release, [feed("eu-west-1")]);
        assert_eq!(change.hold, [feed("us-west-2")]);
        assert_eq!(
            names(&change),
            ["a/older", "a/old", "a/young"],
            "those let in, then those who are told anew"
        );
        let message = waits(&admission, "a", "us-east-1").expect("it waits");
        assert!(message.contains("uses: eu-west-3, us-west-2"), "{message}");
    }

    #[test]
    fn an_edit_takes_its_place_by_age() {
        let mut admission = Admission::new(LIMITS, 0);
        let moving = wish("a/moving", 7, "eu-west-1");
        admission.moved(None, Some(&moving));
        enter(&mut admission, "a/other", 2, "eu-west-3");
        enter(&mut admission, "a/older", 5, "us-east-1");
        let edited = wish("a/moving", 7, "us-west-2");
        let change = admission.moved(Some(&moving), Some(&edited));
        assert_eq!(change.hold, [feed("us-east-1")]);
        assert!(waits(&admission, "a", "us-west-2").is_some());
    }

    #[test]
    fn a_start_takes_no_feed_away_and_decides_by_age() {
        let mut admission = Admission::new(LIMITS, 2);
        for (name, age, region) in [
            ("a/new", 9, "ap-south-1"),
            ("a/waited", 1, "eu-west-1"),
            ("a/had", 5, "eu-west-3"),
            ("a/later", 3, "us-east-1"),
        ] {
            assert_eq!(
                enter(&mut admission, name, age, region),
                Change::default(),
                "not before all are known"
            );
        }
        assert_eq!(
            admission.standing("a", &feed("eu-west-3")),
            Standing::Undecided
        );
        let had_one = |key: &ObjectKey| key.name.as_ref() == "had";
        assert_eq!(admission.list_complete(had_one), Change::default());
        assert_eq!(
            admission.list_complete(had_one).hold,
            [feed("eu-west-3"), feed("eu-west-1")]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Bindings come, go and change their regions in any order.
        #[test]
        fn within_the_limits_and_nobody_waits_in_vain(
            steps in prop::collection::vec((0..12_usize, 0..=REGIONS.len()), 1..80),
            together in 0..40_usize,
        ) {
            let mut admission = Admission::new(LIMITS, 1);
            let mut wishes: HashMap<usize, Wish> = HashMap::new();
            let mut running: HashSet<FeedKey> = HashSet::new();
            let mut known = HashMap::new();
            for (position, (binding, region)) in steps.into_iter().enumerate() {
                let mut changes = Vec::new();
                if position == together {
                    changes.push(admission.list_complete(|_| false));
                }
                let namespace = ["a", "b", "c"][binding % 3];
                let to = REGIONS.get(region).map(|region| {
                    wish(&format!("{namespace}/{binding}"), i64::try_from(binding / 2).unwrap_or(0), region)
                });
                let from = wishes.remove(&binding);
                if from != to {
                    changes.push(admission.moved(from.as_ref(), to.as_ref()));
                }
                wishes.extend(to.map(|to| (binding, to)));
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
                let mut standings = HashMap::new();
                for wish in wishes.values() {
                    let namespace = wish.binding.namespace.clone();
                    let admitted = admission.standing(&namespace, &wish.feed) == Standing::Admitted;
                    if admitted {
                        used.entry(namespace).or_default().insert(wish.feed.clone());
                    }
                    standings.insert(wish.age.clone(), (wish.clone(), admitted));
                }
                prop_assert!(used.values().all(|feeds| feeds.len() <= LIMITS.per_namespace));
                prop_assert_eq!(&used.values().flatten().cloned().collect::<HashSet<_>>(), &running);
                for (age, (wish, admitted)) in &standings {
                    let of_namespace = used.get(&wish.binding.namespace).map_or(0, HashSet::len);
                    let free = of_namespace < LIMITS.per_namespace
                        && (running.contains(&wish.feed) || running.len() < LIMITS.total);
                    prop_assert!(*admitted || !free, "{:?} waits in vain", wish);
                    if let Some((before, true)) = known.get(age) {
                        prop_assert!(before != wish || *admitted, "{:?} lost its feed", wish);
                    }
                }
                known = standings;
            }
            if !running.is_empty() {
                for wish in wishes.values() {
                    admission.moved(Some(wish), None);
                }
                prop_assert!(admission.is_empty());
            }
        }

        /// What a start decides does not depend on the order in which bindings are listed.
        #[test]
        fn the_order_of_a_list_decides_nothing(
            regions in prop::collection::vec(0..REGIONS.len(), 1..20),
            seed in any::<u64>(),
        ) {
            let wishes: Vec<Wish> = regions
                .iter()
                .zip(0..)
                .map(|(region, number)| {
                    let namespace = ["a", "b", "c"][*region % 3];
                    wish(&format!("{namespace}/{number}"), number / 2, REGIONS[*region])
                })
                .collect();
            let decide = |wishes: &[Wish]| -> Vec<Standing> {
                let mut admission = Admission::new(LIMITS, 1);
                for wish in wishes {
                    admission.moved(None, Some(wish));
                }
                admission.list_complete(|key| key.name.len() > 1);
                let standing = |binding: &ObjectKey, feed| admission.standing(&binding.namespace, feed);
                let mut sorted = wishes.to_vec();
                sorted.sort_by(|a, b| a.age.cmp(&b.age));
                sorted.iter().map(|wish| standing(&wish.binding, &wish.feed)).collect()
            };
            let mut shuffled = wishes.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(decide(&wishes), decide(&shuffled));
        }
    }
}
