//! The classes, the bindings that name each, and the labels of Namespaces as far as classes ask for them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    api::{
        InferenceProfileClassStatus,
        condition::{ConditionStatus, ConditionType},
    },
    class::{Class, Labels, RequestError},
    plan::{
        class_status::{Census, InUse},
        identity::ObjectKey,
        observed::Binding,
    },
};

use super::{Cache, FollowUp, Lane, ListStart, Versioned, Via};

/// A class as the cache keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownClass {
    /// UID.
    pub uid: Arc<str>,
    /// Generation of the spec.
    pub generation: i64,
    /// What it offers.
    pub class: Arc<Class>,
    /// The status that was last read or written.
    pub status: InferenceProfileClassStatus,
}

impl KnownClass {
    /// Returns a class that no cluster knows.
    #[must_use]
    pub fn from_file(class: Arc<Class>) -> Self {
        Self {
            uid: "".into(),
            generation: 1,
            class,
            status: InferenceProfileClassStatus::default(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Classes {
    /// Whether a list of the classes was ever complete, and their watch works.
    readable: bool,
    known: HashMap<Arc<str>, Versioned<KnownClass>>,
    /// Class -> bindings that name it, whether or not it exists.
    members: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// Classes whose status may have changed.
    touched: BTreeSet<Arc<str>>,
}

impl Classes {
    fn class(&self, name: &Arc<str>) -> Result<Arc<Class>, RequestError> {
        if !self.readable {
            return Err(RequestError::ClassesUnreadable(name.clone()));
        }
        let known = self.known.get(name);
        known
            .map(|known| known.value.class.clone())
            .ok_or_else(|| RequestError::ClassNotFound(name.clone()))
    }

    pub(super) fn add(&mut self, binding: &Binding) {
        for class in binding.spec.classes() {
            self.touched.insert(class.name.clone());
            let members = self.members.entry(class.name.clone()).or_default();
            members.insert(binding.key.clone());
        }
    }

    pub(super) fn remove(&mut self, binding: &Binding) {
        for class in binding.spec.classes() {
            self.touched.insert(class.name.clone());
            if let Some(members) = self.members.get_mut(&class.name) {
                members.remove(&binding.key);
                if members.is_empty() {
                    self.members.remove(&class.name);
                }
            }
        }
    }

    pub(super) fn touch(&mut self, binding: &Binding) {
        let names = binding.spec.classes().map(|class| class.name.clone());
        self.touched.extend(names);
    }
}

/// Returns the models that a binding uses by a class, each once, with the states of their lives.
fn models_of(binding: &Binding, class: &Arc<str>) -> BTreeSet<InUse> {
    let entries = binding.entries();
    let of_class = entries.values().filter(|entry| {
        let named = entry.ask.class.as_ref();
        named.is_some_and(|named| named.name == *class)
    });
    let in_use = of_class.filter_map(|entry| {
        let in_use = entry.in_use?;
        let known = in_use.lifecycle.as_ref().and_then(|it| it.model.clone());
        let written = in_use.route.as_ref().map(|it| it.route.model.clone());
        Some(InUse {
            reason: in_use.state?,
            model: written.or(known)?,
        })
    });
    in_use.collect()
}

impl Cache {
    /// Applies a class from a watch.
    pub fn apply_class(&mut self, class: KnownClass, version: u64, via: Via) -> FollowUp {
        let name = class.class.name.clone();
        let before = self.classes.known.get(&name);
        if before.is_some_and(|known| !known.is_replaced_by(version, via)) {
            return FollowUp::default();
        }
        let same_offer = before.is_some_and(|known| known.value.class == class.class);
        self.classes.touched.insert(name.clone());
        let known = Versioned::seen(class, version);
        self.classes.known.insert(name.clone(), known);
        if same_offer {
            return FollowUp::default();
        }
        self.reapply_class(&name)
    }

    /// Removes a deleted class. The bindings that name it keep their values.
    pub fn delete_class(&mut self, name: &Arc<str>) -> FollowUp {
        match self.classes.known.remove(name) {
            Some(_) => self.reapply_class(name),
            None => FollowUp::default(),
        }
    }

    /// Removes the classes that a complete list did not contain. The others can be read.
    pub fn retain_classes(&mut self, seen: &HashSet<Arc<str>>) -> FollowUp {
        let first = !std::mem::replace(&mut self.classes.readable, true);
        let known = self.classes.known.keys();
        let gone: Vec<Arc<str>> = known
            .filter(|name| !seen.contains(*name))
            .cloned()
            .collect();
        let follow_up = gone.iter().fold(FollowUp::default(), |follow_up, name| {
            follow_up.and(self.delete_class(name))
        });
        if first {
            follow_up.and(self.reapply_all_classes())
        } else {
            follow_up
        }
    }

    /// Takes in that classes can't be watched: what bindings ask for by them is not known.
    pub fn classes_unreadable(&mut self) -> FollowUp {
        if std::mem::replace(&mut self.classes.readable, false) {
            self.reapply_all_classes()
        } else {
            FollowUp::default()
        }
    }

    /// Returns a class.
    #[must_use]
    pub fn known_class(&self, name: &Arc<str>) -> Option<Arc<KnownClass>> {
        let known = self.classes.known.get(name)?;
        Some(known.value.clone())
    }

    /// Returns the version of a class that was judged, or `None` if it has changed since.
    #[must_use]
    pub fn version_of_class(&self, judged: &Arc<KnownClass>) -> Option<u64> {
        let known = self.classes.known.get(&judged.class.name)?;
        Arc::ptr_eq(&known.value, judged).then_some(known.version)
    }

    /// Assumes the status of a class that was written, until its event arrives.
    pub fn assume_class_status(
        &mut self,
        judged: &Arc<KnownClass>,
        status: InferenceProfileClassStatus,
        version: u64,
    ) {
        let assumed: ListStart = self.lists;
        let Some(known) = self.classes.known.get_mut(&judged.class.name) else {
            return;
        };
        if known.value.uid != judged.uid || version <= known.version {
            return;
        }
        let class = KnownClass {
            status,
            ..(*known.value).clone()
        };
        *known = Versioned {
            assumed,
            ..Versioned::seen(class, version)
        };
    }

    /// Takes the names of the classes whose status may have changed.
    pub fn take_touched_classes(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.classes.touched)
    }

    /// Notes that the status of these classes may have changed.
    pub fn touch_classes<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        self.classes.touched.extend(names.into_iter().cloned());
    }

    /// Notes that the status of every class may have changed.
    pub fn touch_all_classes(&mut self) {
        let all = self.classes.known.keys().cloned();
        self.classes.touched.extend(all);
    }

    /// Returns the number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes.known.len()
    }

    /// Counts the bindings that name a class.
    #[must_use]
    pub fn census(&self, class: &Arc<str>) -> Census {
        let mut census = Census::default();
        for key in self.classes.members.get(class).into_iter().flatten() {
            let Some(known) = self.bindings.get(key) else {
                continue;
            };
            let status = &known.value.status;
            let ready = status.condition(ConditionType::Ready);
            let is_ready = ready.map_or(ConditionStatus::Unknown, |ready| ready.status);
            *census.ready.entry(is_ready).or_default() += 1;
            if let Some(ready) = ready.filter(|ready| ready.status == ConditionStatus::False) {
                *census.refused.entry(ready.reason).or_default() += 1;
            }
            for in_use in models_of(&known.value, class) {
                *census.models.entry(in_use).or_default() += 1;
            }
        }
        census
    }

    /// Returns the number of bindings by the class that they name and by their Ready.
    #[must_use]
    pub fn by_class(&self) -> BTreeMap<(Arc<str>, ConditionStatus), usize> {
        let mut counts = BTreeMap::new();
        for name in self.classes.members.keys() {
            for (ready, count) in self.census(name).ready {
                counts.insert((name.clone(), ready), count);
            }
        }
        counts
    }

    /// Returns how many workloads stop the wave of each class, by the statuses of the classes.
    #[must_use]
    pub fn stuck_by_class(&self) -> BTreeMap<Arc<str>, usize> {
        let known = self.classes.known.iter();
        known
            .map(|(name, known)| (name.clone(), known.value.status.stuck_workloads.len()))
            .collect()
    }

    /// Puts into a binding what its class asks for.
    pub(super) fn apply_class_to(&self, binding: &mut Binding) {
        if binding.spec.classes().next().is_none() {
            return;
        }
        let namespace = &binding.key.namespace;
        let labels = self.namespaces.get(namespace).map(|known| &*known.labels);
        let labels: Option<&Labels> = labels;
        binding
            .spec
            .apply_class(|name| self.classes.class(name), namespace, labels);
    }

    fn reapply_class(&mut self, name: &Arc<str>) -> FollowUp {
        let members = self.classes.members.get(name);
        let keys = members.into_iter().flatten().cloned().collect();
        self.reapply(keys)
    }

    fn reapply_all_classes(&mut self) -> FollowUp {
        let members = self.classes.members.values();
        let keys = members.flatten().cloned().collect();
        self.reapply(keys)
    }

    /// Puts into the bindings of a namespace what their classes ask for.
    pub(super) fn reapply_in(&mut self, namespace: &Arc<str>) -> FollowUp {
        if self.classes.members.is_empty() {
            return FollowUp::default();
        }
        let keys = self.keys_in(namespace);
        let named = keys.filter(|key| {
            let known = self.bindings.get(*key);
            known.is_some_and(|known| known.value.spec.classes().next().is_some())
        });
        let keys = named.cloned().collect();
        self.reapply(keys)
    }

    /// Puts into these bindings what their classes ask for, and wakes those for which it is something else.
    fn reapply(&mut self, keys: Vec<ObjectKey>) -> FollowUp {
        let mut follow_up = FollowUp::default();
        for key in keys {
            let Some(known) = self.bindings.get(&key) else {
                continue;
            };
            let (version, assumed) = (known.version, known.assumed);
            let before = known.value.clone();
            let mut after = (*before).clone();
            self.apply_class_to(&mut after);
            if after == *before {
                continue;
            }
            self.share(&mut after);
            self.unindex(&before);
            self.index(&after);
            let after = Versioned {
                assumed,
                ..Versioned::seen(after, version)
            };
            self.bindings.insert(key.clone(), after);
            follow_up.wake.push((key, Lane::Low));
        }
        follow_up
    }
}
