//! The metrics for Prometheus. Names follow controller-runtime where it has one. Label values come from closed sets, so that
//! no user can make the number of series grow.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::{
    api::condition::Reason,
    sources::bedrock::{CountRequests, OPERATIONS, RequestResult},
};

/// Value of the labels that name the controller.
pub const CONTROLLER: &str = "inferenceprofilebinding";
/// Upper bounds of the histogram of visit times, in seconds.
const VISIT_SECONDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Upper bounds of the histogram of times in the queue, in seconds.
const QUEUE_SECONDS: [f64; 9] = [0.001, 0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];
/// Upper bounds of the histogram of times from a change to its write, in seconds.
const CHANGE_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0,
];
/// Content type of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The result of a visit of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitResult {
    /// The visit is complete.
    Success,
    /// The binding is visited again after a while.
    Requeued,
    /// The visit failed, and the binding is visited again after a while.
    Error,
}

impl VisitResult {
    const ALL: [Self; 3] = [Self::Success, Self::Requeued, Self::Error];

    /// Returns the result as a label of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeued => "requeue_after",
            Self::Error => "error",
        }
    }
}

/// A kind of write to an object of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Creates or updates the object.
    Apply,
    /// Removes the object, or our part of it.
    Remove,
}

impl Operation {
    /// Returns the operation as a label of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Remove => "remove",
        }
    }
}

/// A kind of change that can need a write. The higher ones are what people wait for; the lowest may be the event of the operator's
/// own write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A target that others changed or removed.
    Target,
    /// What AWS offers, or the state of a model's life.
    Catalog,
    /// A Namespace, such as its limit.
    Namespace,
    /// A class.
    Class,
    /// A binding: its own spec, or one that claims the same target.
    Binding,
}

impl Change {
    const ALL: [Self; 5] = [
        Self::Catalog,
        Self::Target,
        Self::Namespace,
        Self::Class,
        Self::Binding,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Target => "target",
            Self::Namespace => "namespace",
            Self::Class => "class",
            Self::Binding => "binding",
        }
    }
}

/// The writes that there are, by kind of object.
const WRITES: [(&str, &[Operation]); 8] = [
    ("ConfigMap", &[Operation::Apply, Operation::Remove]),
    ("Secret", &[Operation::Apply, Operation::Remove]),
    ("InferenceProfileBinding", &[Operation::Apply]),
    ("InferenceProfileClass", &[Operation::Apply]),
    ("Deployment", &[Operation::Apply]),
    ("StatefulSet", &[Operation::Apply]),
    ("DaemonSet", &[Operation::Apply]),
    ("Event", &[Operation::Apply]),
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfController {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queued {
    name: &'static str,
    priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Changed {
    change: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    kind: &'static str,
    operation: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listed {
    region: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requested {
    operation: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedRequests {
    profile: String,
    source_region: &'static str,
    served_region: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Scanned {
    region: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

/// All metrics of a process. Clones share their counts.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    visits: Family<Ended, Counter>,
    errors: Family<OfController, Counter>,
    seconds: Family<OfController, Histogram>,
    queued: Family<Queued, Histogram>,
    changes: Family<Changed, Histogram>,
    writes: Family<Written, Counter>,
    listings: Family<Listed, Counter>,
    requests: Family<Requested, Counter>,
    served: Family<ServedRequests, Counter>,
    log_queries: Family<Listed, Counter>,
    scanned: Family<Scanned, Counter>,
    leading: Family<Named, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Returns metrics whose counts are zero.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            visits: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(VISIT_SECONDS)),
            queued: Family::new_with_constructor(|| Histogram::new(QUEUE_SECONDS)),
            changes: Family::new_with_constructor(|| Histogram::new(CHANGE_SECONDS)),
            writes: Family::default(),
            listings: Family::default(),
            requests: Family::default(),
            served: Family::default(),
            log_queries: Family::default(),
            scanned: Family::default(),
            leading: Family::default(),
        };
        let mut registry = metrics.registry.lock();
        registry.register(
            "controller_runtime_reconcile",
            "Visits of bindings, by result",
            metrics.visits.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Visits of bindings that failed",
            metrics.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Duration of visits of bindings",
            metrics.seconds.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time that bindings waited for their visit, by priority",
            metrics.queued.clone(),
        );
        registry.register(
            "inference_profile_operator_change_to_write_seconds",
            "Time from when a change was seen until the first write for it was answered, by what changed",
            metrics.changes.clone(),
        );
        registry.register(
            "inference_profile_operator_writes",
            "Writes to the apiserver, by kind of object",
            metrics.writes.clone(),
        );
        registry.register(
            "inference_profile_operator_catalog_listings",
            "Listings of inference profiles: success, or the reason that CatalogFresh gives; region is other if the \
             embedded data do not contain it",
            metrics.listings.clone(),
        );
        registry.register(
            "inference_profile_operator_aws_requests",
            "Requests to Bedrock, by operation and result; each attempt counts",
            metrics.requests.clone(),
        );
        registry.register(
            "inference_profile_operator_requests_served",
            "Requests to Bedrock in the invocation logs, by profile, source region and region served; profile is other if no \
             binding uses it",
            metrics.served.clone(),
        );
        registry.register(
            "inference_profile_operator_invocation_log_queries",
            "Queries of the invocation logs: success, or why they failed",
            metrics.log_queries.clone(),
        );
        registry.register(
            "inference_profile_operator_invocation_log_scanned_bytes",
            "Bytes of invocation logs that CloudWatch Logs Insights scanned",
            metrics.scanned.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "Whether this replica holds the Lease",
            metrics.leading.clone(),
        );
        registry.register(
            "inference_profile_operator_build",
            "Version of the program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        drop(registry);
        metrics.start_at_zero();
        metrics
    }

    /// Makes the series of closed sets, so that their first event is seen as an increase, which a new series is not.
    fn start_at_zero(&self) {
        for visit in VisitResult::ALL {
            self.visits.get_or_create(&ended(visit)).inc_by(0);
        }
        self.errors.get_or_create(&OF_CONTROLLER).inc_by(0);
        for change in Change::ALL {
            drop(self.changes.get_or_create(&changed(change)));
        }
        for (kind, operations) in WRITES {
            for operation in operations {
                for succeeded in [true, false] {
                    let labels = written(kind, *operation, succeeded);
                    self.writes.get_or_create(&labels).inc_by(0);
                }
            }
        }
        for operation in OPERATIONS {
            for result in RequestResult::ALL {
                let labels = requested(operation, result);
                self.requests.get_or_create(&labels).inc_by(0);
            }
        }
    }

    /// Counts a visit of a binding.
    pub fn visited(&self, visit: VisitResult, took: Duration) {
        self.visits.get_or_create(&ended(visit)).inc();
        if visit == VisitResult::Error {
            self.errors.get_or_create(&OF_CONTROLLER).inc();
        }
        self.seconds
            .get_or_create(&OF_CONTROLLER)
            .observe(took.as_secs_f64());
    }

    /// Counts a binding that waited so long for its visit. `priority` must come from a closed set.
    pub fn waited(&self, priority: &'static str, waited: Duration) {
        let labels = Queued {
            name: CONTROLLER,
            priority,
        };
        self.queued
            .get_or_create(&labels)
            .observe(waited.as_secs_f64());
    }

    /// Counts a write to the apiserver, successful or not.
    pub fn wrote(&self, kind: &'static str, operation: Operation, succeeded: bool) {
        let labels = written(kind, operation, succeeded);
        self.writes.get_or_create(&labels).inc();
    }

    /// Counts a change for which the first write was answered after so long.
    pub fn answered(&self, change: Change, waited: Duration) {
        self.changes
            .get_or_create(&changed(change))
            .observe(waited.as_secs_f64());
    }

    /// Counts a listing: a success, or a failure with its reason. `region` must come from a closed set.
    pub fn listed(&self, region: &'static str, failure: Option<Reason>) {
        const SUCCESS: &str = "success";
        let count = |result| self.listings.get_or_create(&Listed { region, result });
        // The first success after failures must be seen as an increase, which a new series is not.
        count(SUCCESS).inc_by(0);
        count(failure.map_or(SUCCESS, Reason::as_str)).inc();
    }

    /// Counts requests in the invocation logs. All must come from closed sets.
    pub fn served(
        &self,
        profile: &str,
        source_region: &'static str,
        served_region: &'static str,
        requests: u64,
    ) {
        let labels = ServedRequests {
            profile: profile.to_owned(),
            source_region,
            served_region,
        };
        self.served.get_or_create(&labels).inc_by(requests);
    }

    /// Counts a query of the invocation logs: a success with the bytes that it scanned, or a failure with its reason. `region` must
    /// come from a closed set.
    pub fn queried_logs(&self, region: &'static str, outcome: Result<u64, Reason>) {
        const SUCCESS: &str = "success";
        let count = |result| self.log_queries.get_or_create(&Listed { region, result });
        count(SUCCESS).inc_by(0);
        count(outcome.err().map_or(SUCCESS, Reason::as_str)).inc();
        let bytes = outcome.unwrap_or_default();
        self.scanned
            .get_or_create(&Scanned { region })
            .inc_by(bytes);
    }

    /// Records whether this replica holds the Lease.
    pub fn leads(&self, leads: bool) {
        let name = Named {
            name: "inference-profile-operator",
        };
        self.leading.get_or_create(&name).set(leads.into());
    }

    /// Adds metrics that are computed when they are scraped.
    pub fn collect(&self, collector: impl Collector) {
        self.registry.lock().register_collector(Box::new(collector));
    }

    /// Returns all metrics in the text format of [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Returns an error if a collector fails.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry.lock())?;
        Ok(page)
    }
}

impl CountRequests for Metrics {
    fn requested(&self, operation: &'static str, result: RequestResult) {
        self.requests
            .get_or_create(&requested(operation, result))
            .inc();
    }
}

const OF_CONTROLLER: OfController = OfController {
    controller: CONTROLLER,
};

fn ended(visit: VisitResult) -> Ended {
    Ended {
        controller: CONTROLLER,
        result: visit.as_str(),
    }
}

fn changed(change: Change) -> Changed {
    Changed {
        change: change.as_str(),
    }
}

fn written(kind: &'static str, operation: Operation, succeeded: bool) -> Written {
    Written {
        kind,
        operation: operation.as_str(),
        result: if succeeded { "success" } else { "error" },
    }
}

fn requested(operation: &'static str, result: RequestResult) -> Requested {
    Requested {
        operation,
        result: result.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_on_the_page() {
        let metrics = Metrics::new();
        metrics.visited(VisitResult::Success, Duration::from_millis(3));
        metrics.visited(VisitResult::Error, Duration::from_millis(3));
        metrics.wrote("ConfigMap", Operation::Apply, true);
        metrics.clone().wrote("ConfigMap", Operation::Apply, true);
        metrics.waited("high", Duration::from_millis(3));
        metrics.listed("eu-west-1", None);
        metrics.listed("eu-west-1", Some(Reason::Throttled));
        metrics.listed("eu-west-3", Some(Reason::AccessDenied));
        metrics.answered(Change::Namespace, Duration::from_millis(20));
        metrics.leads(true);
        let page = metrics.encode().expect("a page");
        for line in [
            r#"controller_runtime_reconcile_total{controller="inferenceprofilebinding",result="success"} 1"#,
            r#"controller_runtime_reconcile_total{controller="inferenceprofilebinding",result="requeue_after"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="inferenceprofilebinding"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_bucket{le="0.005",controller="inferenceprofilebinding"} 2"#,
            r#"inference_profile_operator_writes_total{kind="ConfigMap",operation="apply",result="success"} 2"#,
            r#"inference_profile_operator_catalog_listings_total{region="eu-west-1",result="Throttled"} 1"#,
            r#"inference_profile_operator_catalog_listings_total{region="eu-west-3",result="success"} 0"#,
            r#"workqueue_queue_duration_seconds_bucket{le="0.01",name="inferenceprofilebinding",priority="high"} 1"#,
            r#"inference_profile_operator_change_to_write_seconds_bucket{le="0.025",change="namespace"} 1"#,
            r#"inference_profile_operator_change_to_write_seconds_count{change="binding"} 0"#,
            r#"inference_profile_operator_writes_total{kind="Secret",operation="remove",result="error"} 0"#,
            r#"inference_profile_operator_aws_requests_total{operation="ListInferenceProfiles",result="throttled"} 0"#,
            r#"leader_election_master_status{name="inference-profile-operator"} 1"#,
            concat!(
                "inference_profile_operator_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
