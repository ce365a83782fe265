//! What Prometheus is told. Names are those that users of controller-runtime know; labels come from closed sets only, so
//! that no user can make the number of series grow.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::api::condition::Reason;

/// Value of labels that name the controller.
pub const CONTROLLER: &str = "inferenceprofilebinding";
/// Upper bounds of the time that a visit takes, in seconds.
const VISIT_SECONDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Content type of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a visit of a binding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitResult {
    /// All is done.
    Success,
    /// It comes back by itself.
    Requeued,
    /// It failed, and comes back.
    Error,
}

impl VisitResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeued => "requeue_after",
            Self::Error => "error",
        }
    }
}

/// What is done to an object of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is created, or brought to the wanted content.
    Apply,
    /// It, or what is ours in it, is removed.
    Remove,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Remove => "remove",
        }
    }
}

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
struct Named {
    name: &'static str,
}

/// All metrics of a process. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    visits: Family<Ended, Counter>,
    errors: Family<OfController, Counter>,
    seconds: Family<OfController, Histogram>,
    writes: Family<Written, Counter>,
    listings: Family<Listed, Counter>,
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
    /// Returns metrics that have counted nothing.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            visits: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(VISIT_SECONDS)),
            writes: Family::default(),
            listings: Family::default(),
            leading: Family::default(),
        };
        let mut registry = metrics.registry.lock();
        registry.register(
            "controller_runtime_reconcile",
            "Visits of bindings, by how they ended",
            metrics.visits.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Visits of bindings that failed",
            metrics.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time that visits of bindings took",
            metrics.seconds.clone(),
        );
        registry.register(
            "inference_profile_operator_writes",
            "Writes to the apiserver, by kind of object",
            metrics.writes.clone(),
        );
        registry.register(
            "inference_profile_operator_catalog_listings",
            "Answers to listings of inference profiles: success, or the reason that CatalogFresh gives; region is other \
             where the embedded data don't know it",
            metrics.listings.clone(),
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
        // Series that alerts look at are there before anything happened.
        for visit in [
            VisitResult::Success,
            VisitResult::Requeued,
            VisitResult::Error,
        ] {
            metrics.visits.get_or_create(&ended(visit)).inc_by(0);
        }
        metrics.errors.get_or_create(&OF_CONTROLLER).inc_by(0);
        metrics
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

    /// Counts a write to the apiserver, tried or refused.
    pub fn wrote(&self, kind: &'static str, operation: Operation, succeeded: bool) {
        let labels = Written {
            kind,
            operation: operation.as_str(),
            result: if succeeded { "success" } else { "error" },
        };
        self.writes.get_or_create(&labels).inc();
    }

    /// Counts an answer to a listing: a success, or why there was none. `region` is one of a closed set.
    pub fn listed(&self, region: &'static str, failure: Option<Reason>) {
        let result = failure.map_or("success", Reason::as_str);
        self.listings
            .get_or_create(&Listed { region, result })
            .inc();
    }

    /// Says whether this replica holds the Lease.
    pub fn leads(&self, leads: bool) {
        let name = Named {
            name: "inference-profile-operator",
        };
        self.leading.get_or_create(&name).set(leads.into());
    }

    /// Adds metrics that are made when they are asked for.
    pub fn collect(&self, collector: impl Collector) {
        self.registry.lock().register_collector(Box::new(collector));
    }

    /// Returns all metrics in the text format of [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Where a collector fails.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry.lock())?;
        Ok(page)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_on_the_page() {
        let metrics = Metrics::new();
        metrics.visited(VisitResult::Success, Duration::from_millis(3));
        metrics.visited(VisitResult::Error, Duration::from_millis(3));
        metrics.wrote("ConfigMap", Operation::Apply, true);
        metrics.clone().wrote("ConfigMap", Operation::Apply, true);
        metrics.listed("eu-west-1", None);
        metrics.listed("eu-west-1", Some(Reason::Throttled));
        metrics.leads(true);
        let page = metrics.encode().expect("a page");
        for line in [
            r#"controller_runtime_reconcile_total{controller="inferenceprofilebinding",result="success"} 1"#,
            r#"controller_runtime_reconcile_total{controller="inferenceprofilebinding",result="requeue_after"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="inferenceprofilebinding"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_bucket{le="0.005",controller="inferenceprofilebinding"} 2"#,
            r#"inference_profile_operator_writes_total{kind="ConfigMap",operation="apply",result="success"} 2"#,
            r#"inference_profile_operator_catalog_listings_total{region="eu-west-1",result="Throttled"} 1"#,
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
