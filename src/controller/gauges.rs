//! Metrics that are computed when they are scraped: bindings by condition, the queue, the catalogs, the lives of models.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use jiff::civil::Date;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::{
    cache::Life, catalog::embedded::Embedded, feeds::region_label, lifecycle, metrics::CONTROLLER,
    queue::Lane, residency,
};

use super::state::State;

/// Most bindings that are named: an outage that concerns all of them must not make a series for each.
const MOST_NAMED: usize = 1000;

/// Computes the gauges of a controller for as long as the controller exists.
pub(super) struct Gauges {
    state: Weak<State>,
    workers: usize,
    embedded: &'static Embedded,
    /// Whether it is looked at where requests are served.
    counts_served: bool,
}

impl Gauges {
    pub(super) fn of(
        state: Weak<State>,
        workers: usize,
        embedded: &'static Embedded,
        counts_served: bool,
    ) -> Self {
        Self {
            state,
            workers,
            embedded,
            counts_served,
        }
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        match self.state.upgrade() {
            Some(state) => {
                bindings(&state, &mut encoder)?;
                queue(&state, self.workers, &mut encoder)?;
                catalogs(&state, self.embedded, &mut encoder)?;
                if self.counts_served {
                    served_outside(&state, self.embedded, &mut encoder)?;
                }
                lifecycles(&state, &mut encoder)
            }
            None => Ok(()),
        }
    }
}

fn bindings(state: &State, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let counts = state.cache().by_ready();
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_bindings",
        "Bindings, by status and reason of the condition Ready",
        None,
        MetricType::Gauge,
    )?;
    for ((status, reason), count) in counts {
        let labels = [("ready", status.as_str()), ("reason", reason.as_str())];
        gauge(count).encode(metric.encode_family(&labels)?)?;
    }
    failing(state, encoder)?;
    classes(state, encoder)
}

/// Names the bindings that need somebody. Those that are well have no series, so that their number costs nothing.
fn failing(state: &State, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let (named, left_out) = state.cache().failing(MOST_NAMED);
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_binding_failing",
        "1 for each condition Ready or ModelActive of a binding that is not True",
        None,
        MetricType::Gauge,
    )?;
    for (binding, conditions) in named {
        for failing in conditions {
            // `namespace` is the label of the operator's own pods.
            let labels = [
                ("binding_namespace", binding.namespace.as_ref()),
                ("binding", binding.name.as_ref()),
                ("condition", failing.condition.as_str()),
                ("status", failing.status.as_str()),
                ("reason", failing.reason.as_str()),
            ];
            gauge(1).encode(metric.encode_family(&labels)?)?;
        }
    }
    let metric = encoder.encode_descriptor(
        "inference_profile_operator_bindings_failing_unnamed",
        "Bindings beyond those that inference_profile_operator_binding_failing names",
        None,
        MetricType::Gauge,
    )?;
    gauge(left_out).encode(metric)
}

fn classes(state: &State, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let (classes, counts) = {
        let cache = state.cache();
        (cache.classes(), cache.by_class())
    };
    let metric = encoder.encode_descriptor(
        "inference_profile_operator_classes",
        "Classes that the operator knows",
        None,
        MetricType::Gauge,
    )?;
    gauge(classes).encode(metric)?;
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_class_bindings",
        "Bindings that name a class, by class and by status of the condition Ready",
        None,
        MetricType::Gauge,
    )?;
    for ((class, ready), count) in counts {
        let labels = [("class", class.as_ref()), ("ready", ready.as_str())];
        gauge(count).encode(metric.encode_family(&labels)?)?;
    }
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_class_stuck_workloads",
        "Workloads that were restarted for a class and did not come up in time: no further restart of the class begins",
        None,
        MetricType::Gauge,
    )?;
    for (class, stuck) in state.cache().stuck_by_class() {
        gauge(stuck).encode(metric.encode_family(&[("class", class.as_ref())])?)?;
    }
    Ok(())
}

fn queue(state: &State, workers: usize, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let depth = state.queue.depth();
    let mut metric = encoder.encode_descriptor(
        "workqueue_depth",
        "Bindings that wait for a visit: priority high for new and changed ones, low for others",
        None,
        MetricType::Gauge,
    )?;
    for (lane, waiting) in [(Lane::High, depth.high), (Lane::Low, depth.low)] {
        let labels = [("name", CONTROLLER), ("priority", lane.as_str())];
        gauge(waiting).encode(metric.encode_family(&labels)?)?;
    }
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_queue_age_seconds",
        "Time that the binding has waited for its visit that waits longest, by priority",
        None,
        MetricType::Gauge,
    )?;
    for lane in [Lane::High, Lane::Low] {
        let age = state.queue.age(lane).as_secs_f64();
        let labels = [("priority", lane.as_str())];
        ConstGauge::new(age).encode(metric.encode_family(&labels)?)?;
    }
    let gauges = [
        (
            "controller_runtime_active_workers",
            "Visits of bindings in progress",
            depth.busy,
        ),
        (
            "controller_runtime_max_concurrent_reconciles",
            "Most bindings that are visited at the same time",
            workers,
        ),
    ];
    for (name, help, count) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        gauge(count).encode(metric.encode_family(&[("controller", CONTROLLER)])?)?;
    }
    Ok(())
}

fn catalogs(state: &State, embedded: &Embedded, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let ages = state.feeds.ages();
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_catalog_age_seconds",
        "Time since the inference profiles of a source region were listed, by the feed that was listed least recently",
        None,
        MetricType::Gauge,
    )?;
    for (region, age) in ages {
        ConstGauge::new(age.as_secs_f64()).encode(metric.encode_family(&[("region", region)])?)?;
    }
    let mut contradictions: BTreeMap<&str, usize> = BTreeMap::new();
    for (region, catalog) in state.feeds.catalogs() {
        let found = residency::contradictions(&catalog, embedded).count();
        let most = contradictions.entry(region).or_default();
        *most = found.max(*most);
    }
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_catalog_contradictions",
        "Profiles whose listed destinations differ from those of the embedded data: residency is judged by both",
        None,
        MetricType::Gauge,
    )?;
    for (region, found) in contradictions {
        gauge(found).encode(metric.encode_family(&[("region", region)])?)?;
    }
    Ok(())
}

fn served_outside(
    state: &State,
    embedded: &'static Embedded,
    encoder: &mut DescriptorEncoder,
) -> fmt::Result {
    let mut counts: BTreeMap<(Arc<str>, &str), usize> = BTreeMap::new();
    for ((profile, source), used) in state.cache().profiles_in_use() {
        let count = counts.entry((profile, region_label(embedded, &source)));
        *count.or_default() += used.outside.len();
    }
    let mut metric = encoder.encode_descriptor(
        "inference_profile_operator_served_outside_limits_bindings",
        "Bindings whose profile's requests ran outside of their limits, by profile and source region",
        None,
        MetricType::Gauge,
    )?;
    for ((profile, source), count) in counts {
        let labels = [("profile", &*profile), ("source_region", source)];
        gauge(count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn lifecycles(state: &State, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let lives = state.cache().lives();
    let start = |date: Option<Date>| date.map(lifecycle::start_of);
    let mut encode = |name, help, value: &dyn Fn(&Life) -> Option<i64>| -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((model, region), life) in &lives {
            if let Some(value) = value(life) {
                let labels = [("model", model.as_str()), ("region", region.as_str())];
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    };
    encode(
        "inference_profile_operator_model_bindings",
        "Bindings that use a model with a known date of its life, by source region",
        &|life| i64::try_from(life.bindings).ok(),
    )?;
    encode(
        "inference_profile_operator_model_extended_access_timestamp_seconds",
        "When the public extended access of a model that bindings use begins, in which its provider may charge more, in seconds since the Unix epoch",
        &|life| start(life.extended_access),
    )?;
    encode(
        "inference_profile_operator_model_end_of_life_timestamp_seconds",
        "When the life of a model that bindings use ends, in seconds since the Unix epoch",
        &|life| start(life.end_of_life),
    )
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}
