//! What belongs to the models of a binding: to its only one, which has no name, or to each of several by name.

use std::sync::Arc;

/// The name of one of several models. `None` for the only model of a binding.
pub type ModelName<'a> = Option<&'a Arc<str>>;

/// One `T` for each model of a binding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Models<T> {
    /// That of the only model, which has no name.
    One(T),
    /// Those of several models, sorted by their names.
    Several(Box<[(Arc<str>, T)]>),
}

impl<T: Default> Default for Models<T> {
    fn default() -> Self {
        Self::One(T::default())
    }
}

impl<T> Models<T> {
    /// Returns all of them with their names, sorted.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ModelName<'_>, &T)> {
        let (one, several) = match self {
            Self::One(one) => (Some((None, one)), &[][..]),
            Self::Several(several) => (None, &several[..]),
        };
        let several = several.iter().map(|(name, one)| (Some(name), one));
        one.into_iter().chain(several)
    }

    /// Returns all of them, in the order of their names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter().map(|(_, one)| one)
    }

    /// Returns all of them, in the order of their names.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (one, several) = match self {
            Self::One(one) => (Some(one), &mut [][..]),
            Self::Several(several) => (None, &mut several[..]),
        };
        one.into_iter()
            .chain(several.iter_mut().map(|(_, one)| one))
    }

    /// Returns the one of this name, or the only one where there is no name.
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Option<&T> {
        match (self, name) {
            (Self::One(one), None) => Some(one),
            (Self::Several(several), Some(name)) => {
                let found = several.binary_search_by(|(known, _)| (**known).cmp(name));
                found.ok().map(|at| &several[at].1)
            }
            _ => None,
        }
    }

    /// Says whether these have the names of those.
    pub fn has_names_of<U>(&self, others: &Models<U>) -> bool {
        self.iter()
            .map(|(name, _)| name)
            .eq(others.iter().map(|(name, _)| name))
    }

    /// Returns what a function makes of each.
    pub fn map<'a, U>(&'a self, mut make: impl FnMut(ModelName<'a>, &'a T) -> U) -> Models<U> {
        match self {
            Self::One(one) => Models::One(make(None, one)),
            Self::Several(several) => Models::Several(
                several
                    .iter()
                    .map(|(name, one)| (name.clone(), make(Some(name), one)))
                    .collect(),
            ),
        }
    }

    /// Returns what a function makes of each. Returns `None` if it makes nothing of one of them.
    pub fn try_map<'a, U>(
        &'a self,
        mut make: impl FnMut(ModelName<'a>, &'a T) -> Option<U>,
    ) -> Option<Models<U>> {
        Some(match self {
            Self::One(one) => Models::One(make(None, one)?),
            Self::Several(several) => Models::Several(
                several
                    .iter()
                    .map(|(name, one)| Some((name.clone(), make(Some(name), one)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }

    /// Returns several, sorted by their names.
    #[must_use]
    pub fn several(named: impl IntoIterator<Item = (Arc<str>, T)>) -> Self {
        let mut several: Vec<(Arc<str>, T)> = named.into_iter().collect();
        several.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self::Several(several.into())
    }
}

/// Returns a text about a model, with the name of the model before it if it has one.
#[must_use]
pub fn about(name: ModelName<'_>, text: &str) -> String {
    match name {
        Some(name) => format!("{name}: {text}"),
        None => text.to_owned(),
    }
}

/// Returns texts about models in one, each with the name of its model before it if it has one.
pub fn listed<'a, S: AsRef<str>>(texts: impl IntoIterator<Item = (ModelName<'a>, S)>) -> String {
    let texts = texts.into_iter();
    let texts: Vec<String> = texts
        .map(|(name, text)| about(name, text.as_ref()))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_name_and_several_are_found_by_theirs() {
        let several = Models::several([("b".into(), 2), ("a".into(), 1)]);
        assert_eq!(several.get(Some("b")), Some(&2));
        assert_eq!((several.get(None), several.get(Some("c"))), (None, None));
        let named: Vec<_> = several
            .iter()
            .map(|(name, one)| (name.cloned(), *one))
            .collect();
        assert_eq!(named, [(Some("a".into()), 1), (Some("b".into()), 2)]);
        let one = Models::One(3);
        assert_eq!((one.get(None), one.get(Some("a"))), (Some(&3), None));
        assert!(!one.has_names_of(&several) && several.has_names_of(&several.map(|_, _| ())));
        let odd = |_: ModelName<'_>, one: &i32| (one % 2 == 1).then_some(*one);
        assert_eq!(
            (one.try_map(odd), several.try_map(odd)),
            (Some(Models::One(3)), None)
        );
        assert_eq!(
            listed(several.iter().map(|(name, it)| (name, it.to_string()))),
            "a: 1, b: 2"
        );
        assert_eq!(about(None, "x"), "x");
    }
}
