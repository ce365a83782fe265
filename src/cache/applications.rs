//! Which bindings of a feed name application profiles.

use std::collections::{BTreeSet, HashMap, HashSet, hash_map::Entry};

use crate::{catalog::FeedKey, plan::identity::ObjectKey, types::ApplicationName};

/// The bindings that name application profiles, by feed and name. Suspended ones are among them.
#[derive(Debug, Default)]
pub(super) struct Named {
    feeds: HashMap<FeedKey, HashMap<ApplicationName, HashSet<ObjectKey>>>,
}

impl Named {
    pub fn insert(&mut self, feed: FeedKey, name: ApplicationName, binding: ObjectKey) {
        let names = self.feeds.entry(feed).or_default();
        names.entry(name).or_default().insert(binding);
    }

    pub fn remove(&mut self, feed: FeedKey, name: &ApplicationName, binding: &ObjectKey) {
        let Entry::Occupied(mut names) = self.feeds.entry(feed) else {
            return;
        };
        if let Some(bindings) = names.get_mut().get_mut(name) {
            bindings.remove(binding);
            if bindings.is_empty() {
                names.get_mut().remove(name);
            }
        }
        if names.get().is_empty() {
            names.remove();
        }
    }

    /// Returns the bindings of a feed that name an application profile: any, or one of these.
    pub fn of(&self, feed: &FeedKey, names: Option<&BTreeSet<String>>) -> BTreeSet<ObjectKey> {
        let all = self.feeds.get(feed).into_iter().flatten();
        let affected =
            all.filter(|(name, _)| names.is_none_or(|names| names.contains(name.as_str())));
        affected
            .flat_map(|(_, bindings)| bindings.iter().cloned())
            .collect()
    }
}

/// How many bindings have a feed list application profiles.
#[derive(Debug, Default)]
pub(super) struct Asks {
    feeds: HashMap<FeedKey, usize>,
}

impl Asks {
    /// Replaces what a binding asks for, and returns the feeds for which that makes a difference, each with whether any binding asks.
    pub fn replace(&mut self, from: Option<FeedKey>, to: Option<FeedKey>) -> Vec<(FeedKey, bool)> {
        if from == to {
            return Vec::new();
        }
        let mut changed = Vec::new();
        if let Some(from) = from
            && let Entry::Occupied(mut count) = self.feeds.entry(from.clone())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                changed.push((from, false));
            }
        }
        if let Some(to) = to {
            let count = self.feeds.entry(to.clone()).or_default();
            *count += 1;
            if *count == 1 {
                changed.push((to, true));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(region: &str) -> FeedKey {
        FeedKey {
            role: None,
            region: region.parse().expect("a region"),
        }
    }

    #[test]
    fn a_feed_is_asked_from_the_first_binding_to_the_last() {
        let (eu, us) = (|| Some(feed("eu-west-1")), || Some(feed("us-east-1")));
        let mut asks = Asks::default();
        for (from, to, changed) in [
            (None, eu(), vec![(feed("eu-west-1"), true)]),
            (None, eu(), vec![]),
            (eu(), eu(), vec![]),
            (eu(), us(), vec![(feed("us-east-1"), true)]),
            (eu(), us(), vec![(feed("eu-west-1"), false)]),
            (us(), None, vec![]),
            (us(), None, vec![(feed("us-east-1"), false)]),
            (None, None, vec![]),
        ] {
            assert_eq!(asks.replace(from, to), changed);
        }
        assert!(asks.feeds.is_empty());
    }

    #[test]
    fn bindings_are_found_by_the_names_that_they_ask_for() {
        let key = |name: &str| ObjectKey {
            namespace: "shop".into(),
            name: name.into(),
        };
        let name = |text: &str| text.parse::<ApplicationName>().expect("a name");
        let mut naming = Named::default();
        naming.insert(feed("eu-west-1"), name("chat"), key("a"));
        naming.insert(feed("eu-west-1"), name("chat"), key("b"));
        naming.insert(feed("eu-west-1"), name("search"), key("c"));
        naming.insert(feed("us-east-1"), name("chat"), key("d"));
        let found = |naming: &Named, names: Option<&[&str]>| {
            let names = names.map(|names| names.iter().map(|it| (*it).to_owned()).collect());
            let found = naming.of(&feed("eu-west-1"), names.as_ref());
            found
                .iter()
                .map(|key| key.name.to_string())
                .collect::<String>()
        };
        assert_eq!(found(&naming, None), "abc");
        assert_eq!(found(&naming, Some(&["chat", "other"])), "ab");
        naming.remove(feed("eu-west-1"), &name("chat"), &key("a"));
        naming.remove(feed("eu-west-1"), &name("search"), &key("c"));
        naming.remove(feed("us-east-1"), &name("chat"), &key("d"));
        assert_eq!(found(&naming, None), "b");
        assert_eq!(naming.feeds.len(), 1);
    }
}
