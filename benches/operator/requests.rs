//! Requests as the apiserver counts them: <https://kubernetes.io/docs/reference/instrumentation/metrics/>,
//! `apiserver_request_total`.

use std::collections::BTreeMap;

use crate::Failure;

/// What the operator has to do with. The rest is left out: the apiserver and the controller manager look after it now
/// and then, and a leader renews its Lease.
const RESOURCES: &[&str] = &[
    "configmaps",
    "daemonsets",
    "deployments",
    "events",
    "inferenceprofilebindings",
    "inferenceprofileclasses",
    "namespaces",
    "secrets",
    "statefulsets",
];

/// How many requests of each kind, such as `APPLY configmaps`, there were, without watches. Refused ones carry their
/// code.
pub type Requests = BTreeMap<String, u64>;

/// Reads the counters from what `/metrics` says.
pub fn parse(metrics: &str) -> Result<Requests, Failure> {
    let mut requests = Requests::new();
    let mut found = false;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        found = true;
        let unreadable = || format!("not a counter of requests: {line}");
        let (labels, count) = rest.rsplit_once("} ").ok_or_else(unreadable)?;
        // No label of this counter has a quoted quote in it.
        let label = |name: &str| {
            labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""))
                .find_map(|(key, value)| (key == name).then(|| value.trim_end_matches('"')))
                .ok_or_else(unreadable)
        };
        let (verb, resource, subresource, code) = (
            label("verb")?,
            label("resource")?,
            label("subresource")?,
            label("code")?,
        );
        if verb == "WATCH" || !RESOURCES.contains(&resource) {
            continue;
        }
        let mut name = format!("{verb} {resource}");
        if !subresource.is_empty() {
            name = format!("{name}/{subresource}");
        }
        if !code.starts_with('2') {
            name = format!("{name} ({code})");
        }
        // Counters are written as floating-point numbers: 1.234567e+06.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        let count = count.parse::<f64>().map_err(|_| unreadable())? as u64;
        *requests.entry(name).or_default() += count;
    }
    if found {
        Ok(requests)
    } else {
        Err("/metrics has no apiserver_request_total: does KUBECONFIG lead to the apiserver itself?".into())
    }
}

/// Returns what was counted between two readings.
pub fn between(before: &Requests, after: &Requests) -> Requests {
    after
        .iter()
        .map(|(name, count)| {
            (
                name.clone(),
                count - before.get(name).copied().unwrap_or_default(),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Returns how many of these change something. The status of a class, which is written now and then, is left out.
pub fn writes(requests: &Requests) -> u64 {
    requests
        .iter()
        .filter(|(name, _)| {
            !name.starts_with("GET ")
                && !name.starts_with("LIST ")
                && *name != "APPLY inferenceprofileclasses/status"
        })
        .map(|(_, count)| count)
        .sum()
}
