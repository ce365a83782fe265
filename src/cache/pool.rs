//! Keeps equal values once: thousands of bindings share a few texts, requests and routes.

use std::{collections::HashSet, hash::Hash, sync::Arc};

/// A pool of shared values. Unused values are dropped each time the pool has doubled in size.
#[derive(Debug)]
pub(super) struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: 64,
        }
    }
}

impl<T: ?Sized + Hash + Eq> Pool<T> {
    /// Replaces a value with the equal one in the pool. Returns whether there is one.
    pub fn share_known(&self, value: &mut Arc<T>) -> bool {
        let known = self.values.get(value);
        if let Some(known) = known {
            *value = known.clone();
        }
        known.is_some()
    }

    /// Replaces a value with the equal one in the pool, or adds it to the pool.
    pub fn share(&mut self, value: &mut Arc<T>) {
        if self.share_known(value) {
            return;
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = (self.values.len() * 2).max(64);
        }
        self.values.insert(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut pool = Pool::<str>::default();
        let (mut first, mut second): (Arc<str>, Arc<str>) = ("a".into(), "a".into());
        pool.share(&mut first);
        pool.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
        for number in 0..10_000 {
            pool.share(&mut Arc::from(number.to_string()));
        }
        assert!(pool.values.len() <= 130, "{}", pool.values.len());
        let mut third: Arc<str> = "a".into();
        pool.share(&mut third);
        assert!(Arc::ptr_eq(&first, &third));
    }
}
