//! Label selectors of Namespaces, as Kubernetes defines them.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>

use std::{fmt, sync::Arc};

use crate::api::{NamespaceSelector, SelectorOperator};

/// The label that the apiserver gives every Namespace: its own name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The labels of a Namespace, without the one that repeats its name: most Namespaces then share a few sets of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Returns these labels.
    #[must_use]
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels: Box<[(Arc<str>, Arc<str>)]> = labels
            .into_iter()
            .filter(|(key, _)| *key != NAME_LABEL)
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        labels.sort_unstable();
        Self(labels)
    }

    /// Returns these labels with others added, which replace those of the same key.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        let is_replaced = |key: &str| others.0.iter().any(|(other, _)| **other == *key);
        let kept = self.0.iter().filter(|(key, _)| !is_replaced(key));
        let mut labels: Box<[(Arc<str>, Arc<str>)]> = kept.chain(&others.0).cloned().collect();
        labels.sort_unstable();
        Self(labels)
    }

    /// Returns the value of a label of the Namespace of this name.
    fn get<'a>(&'a self, namespace: &'a str, key: &str) -> Option<&'a str> {
        if key == NAME_LABEL {
            return Some(namespace);
        }
        let found = self.0.binary_search_by_key(&key, |(key, _)| key).ok()?;
        Some(&self.0[found].1)
    }
}

/// A selector. It selects what meets all requirements, so one without any selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Box<[Requirement]>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: SelectorOperator,
    values: Box<[Box<str>]>,
}

impl Selector {
    /// Reads a selector.
    #[must_use]
    pub fn of(wire: &NamespaceSelector) -> Self {
        let equal = wire.match_labels.iter().flatten();
        let equal = equal.map(|(key, value)| Requirement {
            key: key.as_str().into(),
            operator: SelectorOperator::In,
            values: [value.as_str().into()].into(),
        });
        let expressions = wire.match_expressions.iter().flatten();
        let expressions = expressions.map(|expression| Requirement {
            key: expression.key.as_str().into(),
            operator: expression.operator,
            values: (expression.values.iter().flatten())
                .map(|value| value.as_str().into())
                .collect(),
        });
        Self(equal.chain(expressions).collect())
    }

    /// Says whether it selects every Namespace, whatever its labels.
    #[must_use]
    pub fn selects_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether it selects a Namespace with these labels.
    #[must_use]
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(namespace, &requirement.key);
            let is_among =
                || value.is_some_and(|value| requirement.values.iter().any(|it| **it == *value));
            match requirement.operator {
                SelectorOperator::In => is_among(),
                // A Namespace without the label is selected too.
                SelectorOperator::NotIn => !is_among(),
                SelectorOperator::Exists => value.is_some(),
                SelectorOperator::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// As `kubectl get namespaces -l` takes it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            index,
            Requirement {
                key,
                operator,
                values,
            },
        ) in self.0.iter().enumerate()
        {
            if index > 0 {
                f.write_str(",")?;
            }
            match operator {
                SelectorOperator::In if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                SelectorOperator::In => write!(f, "{key} in ({})", values.join(","))?,
                SelectorOperator::NotIn => write!(f, "{key} notin ({})", values.join(","))?,
                SelectorOperator::Exists => f.write_str(key)?,
                SelectorOperator::DoesNotExist => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_added_and_replaced() {
        let labels = Labels::new([("a", "1"), ("c", "1")]);
        let others = Labels::new([("b", "2"), ("c", "2")]);
        let expected = Labels::new([("a", "1"), ("b", "2"), ("c", "2")]);
        assert_eq!(labels.with(&others), expected);
        assert_eq!(labels.with(&Labels::default()), labels);
    }

    #[test]
    fn selectors_select_as_kubernetes_defines() {
        let labels = Labels::new([
            ("stage", "dev"),
            ("team", "shop"),
            ("empty", ""),
            (NAME_LABEL, "n"),
        ]);
        for (yaml, selects, text) in [
            ("{}", true, ""),
            ("{matchLabels: {}, matchExpressions: []}", true, ""),
            ("{matchLabels: {stage: dev}}", true, "stage=dev"),
            ("{matchLabels: {stage: prod}}", false, "stage=prod"),
            (
                "{matchLabels: {stage: dev, team: bank}}",
                false,
                "stage=dev,team=bank",
            ),
            ("{matchLabels: {other: dev}}", false, "other=dev"),
            ("{matchLabels: {empty: ''}}", true, "empty="),
            (
                "{matchLabels: {kubernetes.io/metadata.name: n}}",
                true,
                "kubernetes.io/metadata.name=n",
            ),
            (
                "{matchLabels: {kubernetes.io/metadata.name: m}}",
                false,
                "kubernetes.io/metadata.name=m",
            ),
            (
                "{matchExpressions: [{key: stage, operator: In, values: [dev, test]}]}",
                true,
                "stage in (dev,test)",
            ),
            (
                "{matchExpressions: [{key: stage, operator: In, values: [test, prod]}]}",
                false,
                "stage in (test,prod)",
            ),
            (
                "{matchExpressions: [{key: other, operator: In, values: [dev]}]}",
                false,
                "other=dev",
            ),
            (
                "{matchExpressions: [{key: stage, operator: NotIn, values: [dev]}]}",
                false,
                "stage notin (dev)",
            ),
            (
                "{matchExpressions: [{key: stage, operator: NotIn, values: [prod]}]}",
                true,
                "stage notin (prod)",
            ),
            (
                "{matchExpressions: [{key: other, operator: NotIn, values: [dev]}]}",
                true,
                "other notin (dev)",
            ),
            (
                "{matchExpressions: [{key: stage, operator: Exists}]}",
                true,
                "stage",
            ),
            (
                "{matchExpressions: [{key: empty, operator: Exists}]}",
                true,
                "empty",
            ),
            (
                "{matchExpressions: [{key: other, operator: Exists}]}",
                false,
                "other",
            ),
            (
                "{matchExpressions: [{key: stage, operator: DoesNotExist}]}",
                false,
                "!stage",
            ),
            (
                "{matchExpressions: [{key: other, operator: DoesNotExist}]}",
                true,
                "!other",
            ),
            (
                "{matchLabels: {team: shop}, matchExpressions: [{key: stage, operator: In, values: [dev]}, {key: other, operator: DoesNotExist}]}",
                true,
                "team=shop,stage=dev,!other",
            ),
            (
                "{matchLabels: {team: shop}, matchExpressions: [{key: stage, operator: Exists}, {key: stage, operator: NotIn, values: [dev]}]}",
                false,
                "team=shop,stage,stage notin (dev)",
            ),
        ] {
            let wire: NamespaceSelector = serde_yaml::from_str(yaml).expect(yaml);
            let selector = Selector::of(&wire);
            assert_eq!(selector.selects("n", &labels), selects, "{yaml}");
            assert_eq!(selector.to_string(), text);
        }
    }
}
