//! The table that a person reads.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::Value;

use crate::figures::Figures;

/// What a cell shows of a figure.
#[derive(Clone, Copy)]
enum Show {
    /// Median, least and most, of seconds.
    Seconds(&'static str),
    /// As [`Show::Seconds`], for what each run measured several times.
    Milliseconds(&'static str),
    /// The median of one figure over that of another one.
    Ratio(&'static str, &'static str),
    /// Median, least and most, of KiB as MiB.
    Mebibytes(&'static str),
    /// Milliseconds for each binding.
    PerBinding(&'static str),
    /// A number, or that of each run where they differ.
    Count(&'static str),
    /// The requests of each kind.
    Requests(&'static str),
    /// Quantiles of milliseconds.
    Latencies(&'static str),
}

use Show::{Count, Latencies, Mebibytes, Milliseconds, PerBinding, Ratio, Requests, Seconds};

const ROWS: &[(&str, Show)] = &[
    (
        "create: floor of 3 writes each, s",
        Seconds("create.floor.seconds"),
    ),
    (
        "create: operator until all Ready, s",
        Seconds("create.seconds"),
    ),
    (
        "create: ratio",
        Ratio("create.seconds", "create.floor.seconds"),
    ),
    ("create: requests", Requests("create.requests")),
    ("create: visits", Count("create.visits")),
    (
        "create: CPU of the operator, ms per binding",
        PerBinding("create.cpuSeconds"),
    ),
    (
        "create: CPU of the floor, ms per binding",
        PerBinding("create.floor.cpuSeconds"),
    ),
    (
        "create: peak memory of the operator, MiB",
        Mebibytes("create.peakKiB"),
    ),
    (
        "create: peak memory of the floor, MiB",
        Mebibytes("create.floor.peakKiB"),
    ),
    ("memory without bindings, MiB", Mebibytes("start.peakKiB")),
    ("quiet: requests", Requests("quiet.requests")),
    ("restart until synced, s", Seconds("restart.seconds")),
    (
        "restart until synced: CPU, s",
        Seconds("restart.syncedCpuSeconds"),
    ),
    ("restart until quiet: CPU, s", Seconds("restart.cpuSeconds")),
    ("restart: requests", Requests("restart.requests")),
    ("restart: peak memory, MiB", Mebibytes("restart.peakKiB")),
    (
        "change of the leader: requests",
        Requests("leaderChange.requests"),
    ),
    (
        "change of the leader: peak memory of the new one, MiB",
        Mebibytes("leaderChange.peakKiB"),
    ),
    (
        "outage of AWS: listings that failed",
        Count("outage.listings"),
    ),
    ("outage of AWS: requests", Requests("outage.requests")),
    (
        "rewrite: floor of 2 writes each, s",
        Seconds("rewrite.floor.seconds"),
    ),
    (
        "rewrite of all after a change of the catalog, s",
        Seconds("rewrite.seconds"),
    ),
    (
        "rewrite: ratio",
        Ratio("rewrite.seconds", "rewrite.floor.seconds"),
    ),
    (
        "rewrite: of that, until the first is rewritten, s",
        Seconds("rewrite.noticedSeconds"),
    ),
    ("rewrite: requests", Requests("rewrite.requests")),
    ("rewrite: visits", Count("rewrite.visits")),
    (
        "rewrite: CPU of the operator, ms per binding",
        PerBinding("rewrite.cpuSeconds"),
    ),
    (
        "rewrite: CPU of the floor, ms per binding",
        PerBinding("rewrite.floor.cpuSeconds"),
    ),
    (
        "rewrite: peak memory of the operator, MiB",
        Mebibytes("rewrite.peakKiB"),
    ),
    (
        "new binding during rewrites until Ready, ms",
        Latencies("rewrite.newBindingMilliseconds"),
    ),
    ("catalog moves 10: writes", Count("rewriteFew.writes")),
    ("catalog moves 10: visits", Count("rewriteFew.visits")),
    ("catalog moves 10: s", Seconds("rewriteFew.seconds")),
    (
        "limit of a Namespace withdraws 10: requests",
        Requests("limitFew.requests"),
    ),
    (
        "limit of a Namespace withdraws 10: visits",
        Count("limitFew.visits"),
    ),
    (
        "wider limit of a Namespace brings 10 back: requests",
        Requests("limitFewWidened.requests"),
    ),
    (
        "wider limit of a Namespace brings 10 back: visits",
        Count("limitFewWidened.visits"),
    ),
    ("class moves all but 10, s", Seconds("class.seconds")),
    (
        "class: ratio over the floor of 2 writes each",
        Ratio("class.seconds", "rewrite.floor.seconds"),
    ),
    ("class: requests", Requests("class.requests")),
    ("class: visits", Count("class.visits")),
    ("class moves 10: writes", Count("classFew.writes")),
    ("class moves 10: visits", Count("classFew.visits")),
    ("class moves 10: s", Seconds("classFew.seconds")),
    ("render of files, s", Seconds("offline.render.seconds")),
    ("preview of files, s", Seconds("offline.preview.seconds")),
    (
        "start of the program, ms",
        Milliseconds("offline.start.seconds"),
    ),
];

/// Prints the table.
pub fn print(figures: &Figures) {
    let sizes: BTreeSet<u64> = figures.all.iter().map(|figure| figure.bindings).collect();
    let machine = |name: &str| match &figures.machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    println!(
        "{} cores, {}, kube-apiserver {}; floor with {} in flight; median (least-most) of the runs\n",
        machine("cores"),
        machine("processor"),
        machine("apiserver"),
        figures.floor_in_flight,
    );
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let runs = |size: u64| {
        let of_size = figures.all.iter().filter(|figure| figure.bindings == size);
        of_size
            .map(|figure| figure.run)
            .collect::<BTreeSet<_>>()
            .len()
    };
    table.set_header(
        std::iter::once("bindings".to_owned()).chain(
            sizes
                .iter()
                .map(|size| format!("{size}, runs: {}", runs(*size))),
        ),
    );
    for (title, show) in ROWS {
        let cells: Vec<String> = sizes
            .iter()
            .map(|size| cell(figures, *size, *show))
            .collect();
        if cells.iter().any(|cell| cell != NOTHING) {
            table.add_row(std::iter::once((*title).to_owned()).chain(cells));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// What a cell shows that nothing was measured for.
const NOTHING: &str = "-";

fn cell(figures: &Figures, size: u64, show: Show) -> String {
    let values = |name: &str| values(figures, size, name);
    let numbers = |name: &str| numbers(&values(name));
    let spread = |numbers: &[f64], digits: usize| match numbers {
        [] => NOTHING.to_owned(),
        [one] => format!("{one:.digits$}"),
        [least, .., most] => format!(
            "{:.digits$} ({least:.digits$}-{most:.digits$})",
            median(numbers)
        ),
    };
    let scaled = |name: &str, factor: f64| -> Vec<f64> {
        numbers(name).into_iter().map(|it| it * factor).collect()
    };
    match show {
        Seconds(name) => spread(&numbers(name), 2),
        Milliseconds(name) => spread(&scaled(name, 1e3), 1),
        Mebibytes(name) => spread(&scaled(name, 1.0 / 1024.0), 1),
        PerBinding(name) => spread(&scaled(name, 1e3 / as_f64(size)), 2),
        Ratio(of, to) => match (numbers(of).as_slice(), numbers(to).as_slice()) {
            ([], _) | (_, []) => NOTHING.to_owned(),
            (of, to) => format!("{:.2}", median(of) / median(to)),
        },
        Count(name) => listed(&values(name), &ToString::to_string),
        Requests(name) => listed(&values(name), &counts),
        Latencies(name) => match numbers(name).as_slice() {
            [] => NOTHING.to_owned(),
            all => format!(
                "p50 {:.0}, p99 {:.0}, max {:.0} of {}",
                quantile(all, 0.5),
                quantile(all, 0.99),
                quantile(all, 1.0),
                all.len()
            ),
        },
    }
}

/// Returns the values of a figure, one for each run.
fn values<'a>(figures: &'a Figures, size: u64, name: &str) -> Vec<&'a Value> {
    let all = figures.all.iter();
    all.filter(|figure| figure.bindings == size && figure.name == name)
        .map(|figure| &figure.value)
        .collect()
}

/// Returns all numbers in these values, sorted.
fn numbers(values: &[&Value]) -> Vec<f64> {
    let mut numbers: Vec<f64> = Vec::new();
    for value in values {
        match value {
            Value::Array(several) => numbers.extend(several.iter().filter_map(Value::as_f64)),
            one => numbers.extend(one.as_f64()),
        }
    }
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The requests of each kind, one to a line.
fn counts(requests: &Value) -> String {
    let counts: Vec<String> = requests
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join("\n")
    }
}

/// The figure where all runs agree, otherwise that of each run.
fn listed(values: &[&Value], text: &dyn Fn(&Value) -> String) -> String {
    let figures: Vec<String> = values.iter().map(|value| text(value)).collect();
    let Some(first) = figures.first() else {
        return NOTHING.to_owned();
    };
    if figures.iter().all(|figure| figure == first) {
        return first.clone();
    }
    figures.join("\n/ ")
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
