//! Where requests were served: counters and a condition, from logs that a case writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use inference_profile_operator::{
    api::condition::Reason,
    catalog::CatalogError,
    controller::ServedConfig,
    metrics::Metrics,
    served::{
        Counted, Logs,
        insights::{Window, found},
    },
    types::Region,
};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET, ShiftedClock, condition},
    stage::{Stage, empty, verdict},
    support::eventually,
};

const EU: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const WITHIN: &str = "ServedWithinLimits";

pub fn cases() -> Vec<Case> {
    cases![empty(
        requests_are_counted_and_those_outside_are_told_once,
        logs_that_cannot_be_read_are_counted_later,
    )]
}

/// Logs that say what a case tells them to.
#[derive(Default)]
struct Script {
    /// Requests of the profile by region served, or that queries fail.
    answer: Mutex<Option<Vec<(&'static str, u64)>>>,
    asked: Mutex<Vec<(Region, Window)>>,
}

impl Script {
    fn says(&self, answer: Option<Vec<(&'static str, u64)>>) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    fn asked(&self) -> Vec<(Region, Window)> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

impl Logs for Script {
    fn count<'a>(
        &'a self,
        region: &'a Region,
        window: Window,
    ) -> BoxFuture<'a, Result<Counted, CatalogError>> {
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.push((region.clone(), window));
        let answer = self.answer.lock().expect("not poisoned").clone();
        let answer = answer.ok_or_else(|| CatalogError::AccessDenied("no".to_owned()));
        let counted = answer.map(|served| {
            let rows = served.into_iter().map(|(served, requests)| {
                let seen = (window.until * 1000 - 1).to_string();
                BTreeMap::from([
                    ("record.modelId".to_owned(), EU.to_owned()),
                    ("record.region".to_owned(), region.to_string()),
                    ("record.inferenceRegion".to_owned(), served.to_owned()),
                    ("requests".to_owned(), requests.to_string()),
                    ("firstSeen".to_owned(), seen.clone()),
                    ("lastSeen".to_owned(), seen),
                ])
            });
            let rows: Vec<_> = rows.collect();
            Counted {
                counts: found(&rows, 0).counts,
                bytes_scanned: 1000,
            }
        });
        std::future::ready(counted).boxed()
    }
}

struct Set {
    logs: Arc<Script>,
    clock: Arc<ShiftedClock>,
    metrics: Metrics,
}

/// Starts an operator at noon that looks at logs every 15 minutes.
fn start(stage: &mut Stage) -> Set {
    let set = Set {
        logs: Arc::new(Script::default()),
        clock: Arc::new(ShiftedClock::at("2026-11-28T12:00:00Z")),
        metrics: Metrics::new(),
    };
    stage.start(Options {
        served: Some(ServedConfig {
            logs: set.logs.clone(),
            interval: Duration::from_mins(15),
            allowance: Duration::from_mins(5),
        }),
        clock: set.clock.clone(),
        metrics: set.metrics.clone(),
        ..Options::default()
    });
    set
}

impl Set {
    /// Sets the clock to a time, and waits until so many queries were made.
    async fn at(&self, time: &str, queries: usize) {
        self.clock.set(&format!("2026-11-{time}:01Z"));
        eventually(&format!("{queries} queries"), || async {
            let asked = self.logs.asked().len();
            if asked == queries { Ok(()) } else { Err(asked) }
        })
        .await;
    }

    /// Waits until a counter stands so.
    async fn counted(&self, line: &str) {
        eventually(line, || async {
            let page = self.metrics.encode().expect("a page");
            let is_there = page.lines().any(|found| found == line);
            if is_there { Ok(()) } else { Err(page) }
        })
        .await;
    }

    /// Waits until the operator itself knows of so many bindings that they are bound: the apiserver tells others before.
    async fn knows(&self, bound: usize) {
        self.counted(&format!(
            "inference_profile_operator_bindings{{ready=\"True\",reason=\"Bound\"}} {bound}"
        ))
        .await;
    }

    async fn served(&self, region: &str, requests: u64) {
        self.counted(&format!(
            "inference_profile_operator_requests_served_total{{profile=\"{EU}\",source_region=\"eu-west-1\",served_region=\"{region}\"}} {requests}"
        ))
        .await;
    }
}

async fn requests_are_counted_and_those_outside_are_told_once(stage: &mut Stage) {
    let set = start(stage);
    let spec = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]});
    stage.bound("limited", spec).await;
    let spec = json!({"model": SONNET, "geography": "eu"});
    stage.bound("free", spec).await;
    set.knows(2).await;

    set.logs
        .says(Some(vec![("eu-west-3", 5), ("eu-west-1", 2)]));
    set.at("28T12:05", 1).await;
    set.served("eu-west-3", 5).await;
    set.served("eu-north-1", 0).await;
    let versions = async || {
        let names =
            ["limited", "free"].map(async |name| stage.binding(name).await.resource_version());
        futures::future::join_all(names).await
    };
    let before = versions().await;

    set.logs
        .says(Some(vec![("eu-west-3", 1), ("us-west-2", 3)]));
    set.at("28T12:20", 2).await;
    set.served("eu-west-3", 6).await;
    set.served("us-west-2", 3).await;
    let message = stage
        .until("limited", WITHIN, "False", Reason::ServedOutsideLimits)
        .await;
    let expected = format!(
        "requests of {EU} from eu-west-1 ran in us-west-2, not allowed by spec.allowedRegions, since 2026-11-28T12:14:59Z: "
    );
    assert!(message.starts_with(&expected), "{message}");
    set.counted(&format!(
        "inference_profile_operator_served_outside_limits_bindings{{profile=\"{EU}\",source_region=\"eu-west-1\"}} 1"
    ))
    .await;
    let told = stage.binding("limited").await;
    assert_eq!(
        condition(&told, "Ready")
            .map(|(status, ..)| status)
            .as_deref(),
        Some("True"),
        "it informs"
    );
    let outside = told.status.as_ref().map(|it| it.served_outside.clone());
    assert_eq!(outside.expect("a status")[0].regions, ["us-west-2"]);
    assert_eq!(verdict(&stage.binding("free").await, WITHIN), None);
    let after = versions().await;
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[1]);
    let events = [("Warning", "ServedOutsideLimits", 1)];
    stage.until_events("limited", &events).await;

    // Each interval brings more, and nothing is written for it.
    set.at("28T12:35", 3).await;
    set.served("us-west-2", 6).await;
    set.logs.says(Some(vec![]));
    set.at("28T12:50", 4).await;
    set.counted(
        "inference_profile_operator_invocation_log_scanned_bytes_total{region=\"eu-west-1\"} 4000",
    )
    .await;
    assert_eq!(versions().await, after);
    stage.until_events("limited", &events).await;
    let windows = set.logs.asked().into_iter();
    let windows: Vec<(i64, i64)> = windows.map(|(_, it)| (it.since, it.until)).collect();
    assert!(
        windows.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "each time once: {windows:?}"
    );

    set.at("29T12:51", 5).await;
    stage
        .until("limited", WITHIN, "True", Reason::NoneServedOutside)
        .await;
    stage.until_events("limited", &events).await;
    stage.stop().await;
}

async fn logs_that_cannot_be_read_are_counted_later(stage: &mut Stage) {
    let set = start(stage);
    let spec = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]});
    stage.bound("limited", spec).await;
    set.knows(1).await;
    set.at("28T12:05", 1).await;
    set.at("28T12:20", 2).await;
    set.counted(
        "inference_profile_operator_invocation_log_queries_total{region=\"eu-west-1\",result=\"AccessDenied\"} 2",
    )
    .await;
    set.logs.says(Some(vec![("eu-west-3", 7)]));
    set.at("28T12:35", 3).await;
    set.served("eu-west-3", 7).await;
    let (_, window) = set.logs.asked().pop().expect("a query");
    assert_eq!(window.until - window.since, 3 * 15 * 60);
    stage.stop().await;
}
