//! The table that a person reads, and the line of JSON that a tool reads.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Value, json};

use crate::{
    Failure,
    cluster::Machine,
    requests::{Requests, writes},
};

/// All runs of one size.
pub struct Size {
    pub bindings: usize,
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Default)]
pub struct Run {
    pub floor_create: Duration,
    pub create: Duration,
    pub create_requests: Requests,
    pub quiet_requests: Requests,
    /// CPU time of the operator during `create`.
    pub cpu: Duration,
    pub peak_kib: u64,
    pub restart: Restart,
    pub rewrite: Rewrite,
}

/// A start with all bindings there already.
#[derive(Default)]
pub struct Restart {
    pub synced: Duration,
    pub requests: Requests,
    pub peak_kib: u64,
}

/// A change of the catalog that moves all bindings.
#[derive(Default)]
pub struct Rewrite {
    pub floor: Duration,
    /// From the change of the file until all is rewritten.
    pub took: Duration,
    /// From the change of the file until the first rewritten object is seen: part of `took`.
    pub noticed: Duration,
    pub requests: Requests,
    /// From creating a binding during rewrites until it is ready.
    pub new_bindings: Vec<Duration>,
}

impl Size {
    pub fn of(bindings: usize) -> Self {
        Self {
            bindings,
            runs: Vec::new(),
        }
    }

    /// Returns the figures of all runs, sorted.
    fn sorted(&self, figure: impl Fn(&Run) -> f64) -> Vec<f64> {
        let mut figures: Vec<f64> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(&self.sorted(figure))
    }

    /// Returns the latencies of all runs in ms, sorted.
    fn new_bindings(&self) -> Vec<f64> {
        let mut latencies: Vec<f64> = self
            .runs
            .iter()
            .flat_map(|run| &run.rewrite.new_bindings)
            .map(|latency| latency.as_secs_f64() * 1e3)
            .collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    fn peak_kib(&self) -> f64 {
        self.median(|run| as_f64(run.peak_kib))
    }
}

/// Prints the table, then one line of JSON.
pub fn print(machine: &Machine, in_flight: usize, sizes: &[Size]) -> Result<(), Failure> {
    println!(
        "{} cores, {}, kube-apiserver {}; medians of {} runs; floor with {in_flight} in flight\n",
        machine.cores,
        machine.processor,
        machine.apiserver,
        sizes.first().map_or(0, |size| size.runs.len())
    );
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(
        std::iter::once("bindings".to_owned())
            .chain(sizes.iter().map(|size| size.bindings.to_string())),
    );
    let mut row = |title: &str, figure: &dyn Fn(&Size) -> String| {
        table.add_row(std::iter::once(title.to_owned()).chain(sizes.iter().map(figure)));
    };
    row("create, floor of 3 writes each: s", &|size| {
        seconds(size, |run| run.floor_create)
    });
    row("create until all Ready, operator: s", &|size| {
        seconds(size, |run| run.create)
    });
    row("ratio", &|size| {
        ratio(size, |run| run.create, |run| run.floor_create)
    });
    row("requests", &|size| counts(size, |run| &run.create_requests));
    row("requests while nothing changes", &|size| {
        counts(size, |run| &run.quiet_requests)
    });
    row("CPU of the operator: s", &|size| {
        seconds(size, |run| run.cpu)
    });
    row("peak memory of the operator: MiB", &|size| {
        format!("{:.1}", size.peak_kib() / 1024.0)
    });
    row("restart until synced: s", &|size| {
        seconds(size, |run| run.restart.synced)
    });
    row("restart, writes", &|size| {
        listed(size, |run| writes(&run.restart.requests).to_string())
    });
    row("restart, requests", &|size| {
        counts(size, |run| &run.restart.requests)
    });
    row("restart, peak memory: MiB", &|size| {
        format!(
            "{:.1}",
            size.median(|run| as_f64(run.restart.peak_kib)) / 1024.0
        )
    });
    row("rewrite, floor of 2 writes each: s", &|size| {
        seconds(size, |run| run.rewrite.floor)
    });
    row("rewrite after a change of the catalog: s", &|size| {
        seconds(size, |run| run.rewrite.took)
    });
    row("of that, until the first is rewritten: s", &|size| {
        seconds(size, |run| run.rewrite.noticed)
    });
    row("ratio", &|size| {
        ratio(size, |run| run.rewrite.took, |run| run.rewrite.floor)
    });
    row("ratio, from the first rewritten one on", &|size| {
        ratio(
            size,
            |run| run.rewrite.took.saturating_sub(run.rewrite.noticed),
            |run| run.rewrite.floor,
        )
    });
    row("requests", &|size| {
        counts(size, |run| &run.rewrite.requests)
    });
    row("new binding during rewrites until Ready: ms", &|size| {
        let latencies = size.new_bindings();
        let quantile = |q| quantile(&latencies, q);
        format!(
            "p50 {:.0}, p99 {:.0}, max {:.0} of {}",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0),
            latencies.len()
        )
    });
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    for (size, per_binding) in memory_per_binding(sizes) {
        println!("memory per binding, from the sizes {size}: {per_binding:.1} KiB");
    }
    println!(
        "{}",
        serde_json::to_string(&as_json(machine, in_flight, sizes))?
    );
    Ok(())
}

/// Returns, for each size and the next larger one, the growth of the peak memory per binding in KiB.
fn memory_per_binding(sizes: &[Size]) -> Vec<(String, f64)> {
    let mut sizes: Vec<&Size> = sizes.iter().collect();
    sizes.sort_by_key(|size| size.bindings);
    sizes
        .windows(2)
        .filter(|pair| pair[0].bindings < pair[1].bindings)
        .map(|pair| {
            let more = as_f64((pair[1].bindings - pair[0].bindings) as u64);
            let growth = (pair[1].peak_kib() - pair[0].peak_kib()) / more;
            (
                format!("{} and {}", pair[0].bindings, pair[1].bindings),
                growth,
            )
        })
        .collect()
}

fn as_json(machine: &Machine, in_flight: usize, sizes: &[Size]) -> Value {
    let sizes: Vec<Value> = sizes
        .iter()
        .map(|size| {
            let all =
                |figure: &dyn Fn(&Run) -> Value| size.runs.iter().map(figure).collect::<Value>();
            json!({
                "bindings": size.bindings,
                "floorCreateSeconds": all(&|run| json!(run.floor_create.as_secs_f64())),
                "createSeconds": all(&|run| json!(run.create.as_secs_f64())),
                "createRequests": all(&|run| json!(run.create_requests)),
                "quietRequests": all(&|run| json!(run.quiet_requests)),
                "cpuSeconds": all(&|run| json!(run.cpu.as_secs_f64())),
                "peakKiB": all(&|run| json!(run.peak_kib)),
                "restartSyncedSeconds": all(&|run| json!(run.restart.synced.as_secs_f64())),
                "restartRequests": all(&|run| json!(run.restart.requests)),
                "restartPeakKiB": all(&|run| json!(run.restart.peak_kib)),
                "floorRewriteSeconds": all(&|run| json!(run.rewrite.floor.as_secs_f64())),
                "rewriteSeconds": all(&|run| json!(run.rewrite.took.as_secs_f64())),
                "rewriteNoticedSeconds": all(&|run| json!(run.rewrite.noticed.as_secs_f64())),
                "rewriteRequests": all(&|run| json!(run.rewrite.requests)),
                "newBindingMilliseconds": size.new_bindings(),
            })
        })
        .collect();
    json!({
        "cores": machine.cores,
        "processor": machine.processor,
        "apiserver": machine.apiserver,
        "floorInFlight": in_flight,
        "sizes": sizes,
    })
}

/// Median, least and most.
fn seconds(size: &Size, figure: impl Fn(&Run) -> Duration) -> String {
    let sorted = size.sorted(|run| figure(run).as_secs_f64());
    format!(
        "{:.2} ({:.2}-{:.2})",
        median(&sorted),
        quantile(&sorted, 0.0),
        quantile(&sorted, 1.0)
    )
}

fn ratio(size: &Size, of: impl Fn(&Run) -> Duration, to: impl Fn(&Run) -> Duration) -> String {
    let ratio = size.median(|run| of(run).as_secs_f64()) / size.median(|run| to(run).as_secs_f64());
    format!("{ratio:.2}")
}

/// The requests of each kind, one to a line.
fn counts(size: &Size, requests: impl Fn(&Run) -> &Requests) -> String {
    listed(size, |run| {
        let requests = requests(run);
        if requests.is_empty() {
            return "none".to_owned();
        }
        requests
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// The figure where all runs agree, otherwise that of each run.
fn listed(size: &Size, figure: impl Fn(&Run) -> String) -> String {
    let figures: Vec<String> = size.runs.iter().map(figure).collect();
    if let Some(first) = figures.first()
        && figures.iter().all(|figure| figure == first)
    {
        return first.clone();
    }
    figures
        .iter()
        .enumerate()
        .map(|(run, figure)| format!("run {}:\n{figure}", run + 1))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the middle of sorted figures; of two middle ones, their mean.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted {
        [] => 0.0,
        _ if sorted.len().is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Returns the smallest figure that at least this share of all does not exceed (nearest rank); 0 of none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index into few figures"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
