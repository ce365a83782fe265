//! Counts where the logs are: in CloudWatch Logs Insights, or by CloudTrail's `LookupEvents`.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use clap::Args;
use futures::{FutureExt, future::try_join_all};
use jiff::Timestamp;
use tokio::{signal::ctrl_c, time::interval};

use super::report::grouped;
use crate::{
    catalog::CatalogError,
    cli::{Error, options::aws},
    served::{
        self, Counter, Counts, OPERATIONS, Range, Seen, Shape,
        insights::{self, Window},
    },
    sources::{
        logs::{Logs, MOST_ROWS, Query, QueryError},
        trail::{DAYS, Lookup, Trail},
    },
    types::Region,
};

const DAY: i64 = 24 * 3600;
/// How often the line on the terminal is written anew.
const INTERVAL: Duration = Duration::from_millis(500);

/// Where live counts come from.
#[derive(Debug, Clone, Args)]
pub struct LiveOptions {
    /// Counts in CloudWatch Logs Insights instead of reading files: name of the log group of model invocation logging
    #[arg(long, value_name = "NAME", groups = ["subject", "live"], conflicts_with_all = ["paths", "athena", "cloudtrail"], value_parser = log_group)]
    log_group: Option<String>,
    /// Looks up the events of CloudTrail instead of reading files: of the last 90 days, without tokens
    #[arg(long, groups = ["subject", "live"], conflicts_with_all = ["paths", "athena"])]
    cloudtrail: bool,
    /// How far back to look, such as 30m, 24h or 90d
    #[arg(long, value_name = "DURATION", default_value = "24h", requires = "live", value_parser = seconds)]
    since: i64,
    /// Source region to ask; repeatable or comma-separated [default: --region]
    #[arg(
        long = "source-region",
        value_name = "REGION",
        requires = "live",
        value_delimiter = ','
    )]
    source_regions: Vec<Region>,
    /// The most bytes that CloudWatch Logs Insights may scan, such as 500MB or 2TB: it charges by these
    #[arg(long, value_name = "BYTES", default_value = "100GB", requires = "log_group", value_parser = bytes)]
    max_scan: Bytes,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1_000_000_000_000, "TB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
            (1000, "kB"),
        ];
        match units.into_iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => {
                let tenths = self.0 / (size / 10);
                write!(f, "{}.{} {unit}", grouped(tenths / 10), tenths % 10)
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    let units = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
    ];
    let (digits, size) = units
        .into_iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))
        .unwrap_or((text, 1));
    let number = digits.trim_end().parse::<u64>().ok();
    let found = number.and_then(|number| number.checked_mul(size));
    found
        .map(Bytes)
        .ok_or_else(|| "expected a number of bytes such as 500MB, 100GB or 2TB".to_owned())
}

fn seconds(text: &str) -> Result<i64, String> {
    let units = [("m", 60), ("h", 3600), ("d", DAY)];
    let found = units.into_iter().find_map(|(unit, size)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        (1..=36_500).contains(&number).then_some(number * size)
    });
    found.ok_or_else(|| "expected a time such as 30m, 24h or 90d".to_owned())
}

/// Checks the name of a log group: it stands in ARNs.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>
pub(in crate::cli) fn log_group(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._/#".contains(c);
    if (1..=512).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("expected the name of a log group: letters, digits and characters of -._/#".to_owned())
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) counts: Counts,
    /// How much CloudWatch Logs Insights scanned. `None` if it was not asked.
    pub(super) bytes_scanned: Option<u64>,
    /// Whether there may be combinations of profile and region that are not counted.
    pub(super) is_cut_off: bool,
}

impl LiveOptions {
    pub(super) fn is_asked_for(&self) -> bool {
        self.log_group.is_some() || self.cloudtrail
    }

    /// Returns whether requests are told apart. CloudWatch Logs Insights counts records.
    pub(super) fn finds_duplicates(&self) -> bool {
        self.log_group.is_none()
    }

    /// Counts. `default` is the source region if none is given.
    pub(super) async fn read(
        &self,
        default: Option<Region>,
        seen: Option<&Seen>,
        named: usize,
        err: &mut impl Write,
    ) -> Result<Live, Error> {
        let mut regions = self.source_regions.clone();
        if regions.is_empty() {
            regions.extend(default);
        }
        regions.sort();
        regions.dedup();
        if regions.is_empty() {
            return Err(Error::BadInput(
                "no source region: give --source-region or --region, or set AWS_REGION".to_owned(),
            ));
        }
        let until = Timestamp::now().as_second();
        let window = Window {
            since: until - self.since,
            until,
        };
        match &self.log_group {
            Some(group) => self.insights(group, &regions, window, named, err).await,
            None => lookup(&regions, window, seen, named, err).await,
        }
    }

    async fn insights(
        &self,
        group: &str,
        regions: &[Region],
        window: Window,
        named: usize,
        err: &mut impl Write,
    ) -> Result<Live, Error> {
        let shared = aws(&regions[0]).await?;
        let text = insights::query(window);
        let query = Query {
            log_group: group,
            text: &text,
            since: window.since,
            until: window.until,
            most_bytes: self.max_scan.0,
        };
        let mut clients = Vec::new();
        for region in regions {
            clients.push((region, Logs::new(&shared, region)));
        }
        self.state_and_check(&clients, query, err).await?;
        let mut live = Live::default();
        let (mut scanned, mut duplicates) = (0, 0);
        let interrupted = ctrl_c().map(drop).shared();
        for (region, logs) in &clients {
            let most_bytes = self.max_scan.0.saturating_sub(scanned);
            let status = Line::new();
            let tell = |bytes| status.write(&format!("{region}: {} scanned", Bytes(bytes)));
            let query = Query {
                most_bytes,
                ..query
            };
            let answer = logs.run(query, tell, interrupted.clone()).await;
            drop(status);
            let answer = answer.map_err(|error| self.failed(error, region, scanned))?;
            scanned += answer.bytes_scanned;
            let found = insights::found(&answer.rows, named);
            duplicates += found.duplicates;
            live.is_cut_off |= found.is_cut_off;
            if found.is_cut_off {
                writeln!(
                    err,
                    "{region}: not all combinations of profile and region are counted: CloudWatch Logs Insights gives {} rows at most, so look at a shorter time",
                    grouped(MOST_ROWS as u64)
                )?;
            }
            live.counts.add(found.counts, named);
        }
        writeln!(err, "scanned: {}", Bytes(scanned))?;
        if duplicates > 0 {
            writeln!(
                err,
                "records are counted: about {} of them are of requests that have another one, as CloudWatch estimates it; `aws s3 sync` and a file count tell exactly",
                grouped(duplicates)
            )?;
        }
        live.bytes_scanned = Some(scanned);
        Ok(live)
    }

    /// Says how much is to be scanned, and refuses what is too much.
    async fn state_and_check(
        &self,
        clients: &[(&Region, Logs)],
        query: Query<'_>,
        err: &mut impl Write,
    ) -> Result<(), Error> {
        let mut all: u64 = 0;
        for (region, logs) in clients {
            let (bytes, how) = match logs.estimate(query).await? {
                Some(bytes) => (bytes, "about"),
                // All that the log group stores is more than any time of it.
                None => match logs.stored_bytes(query.log_group).await? {
                    Some(bytes) => (bytes, "at most"),
                    None => (0, "an unknown number, at least"),
                },
            };
            writeln!(
                err,
                "{region}: to scan in {}: {how} {}",
                query.log_group,
                Bytes(bytes)
            )?;
            all = all.saturating_add(bytes);
        }
        if all <= self.max_scan.0 {
            return Ok(());
        }
        Err(Error::BadInput(format!(
            "{} to scan, and --max-scan allows {}; nothing was scanned: give a shorter --since, fewer --source-region, or a higher \
             --max-scan",
            Bytes(all),
            self.max_scan
        )))
    }

    fn failed(&self, error: QueryError, region: &Region, before: u64) -> Error {
        match error {
            QueryError::Failed(error) => Error::Catalog(error),
            QueryError::ScannedTooMuch(bytes) => Error::BadInput(format!(
                "{region}: the query was stopped, because {} were scanned, and --max-scan allows {}: give a shorter --since, fewer \
                 --source-region, or a higher --max-scan",
                Bytes(before + bytes),
                self.max_scan
            )),
            QueryError::Stopped => Error::Interrupted(format!("{region}: the query was stopped")),
        }
    }
}

/// Looks up the events of CloudTrail, in all regions at once: each has a rate of its own.
async fn lookup(
    regions: &[Region],
    window: Window,
    seen: Option<&Seen>,
    named: usize,
    err: &mut impl Write,
) -> Result<Live, Error> {
    if window.until - window.since > DAYS * DAY {
        return Err(Error::BadInput(format!(
            "CloudTrail's LookupEvents goes back {DAYS} days: give --since {DAYS}d or less, or the files of a trail"
        )));
    }
    let shared = aws(&regions[0]).await?;
    writeln!(
        err,
        "CloudTrail gives at most 100 events a second for each region, {} kinds of them one after the other",
        OPERATIONS.len()
    )?;
    let progress = Progress::default();
    let each = regions.iter().map(async |region| {
        let trail = Trail::new(&shared, region);
        region_events(&trail, window, Counter::new(seen, named), &progress).await
    });
    let status = Line::new();
    let shown = async {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            status.write(&progress.to_string());
        }
    };
    let counters = tokio::select! {
        counters = try_join_all(each) => counters?,
        () = shown => Vec::new(),
    };
    drop(status);
    let mut live = Live::default();
    for counter in counters {
        counter.finish(&mut live.counts);
    }
    writeln!(
        err,
        "events: {}",
        grouped(progress.events.load(Ordering::Relaxed))
    )?;
    Ok(live)
}

/// Counts the events of one region, page by page.
async fn region_events<'s>(
    trail: &Trail,
    window: Window,
    mut counter: Counter<'s>,
    progress: &Progress,
) -> Result<Counter<'s>, Error> {
    for event_name in OPERATIONS {
        let lookup = Lookup {
            event_name,
            since: window.since,
            until: window.until,
        };
        let mut token: Option<String> = None;
        loop {
            let page = trail.page(lookup, token.as_deref()).await?;
            progress.note(page.events, page.oldest);
            served::read(&*page.body, Shape::Free, Range::default(), &mut counter)?;
            if page.next.is_some() && page.next == token {
                return Err(Error::Catalog(CatalogError::ServiceError(
                    "CloudTrail answers with pages without end: try again".to_owned(),
                )));
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
    }
    Ok(counter)
}

/// How far a look-up is.
#[derive(Debug, Default)]
struct Progress {
    events: AtomicU64,
    oldest: AtomicI64,
}

impl Progress {
    fn note(&self, events: usize, oldest: Option<i64>) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        if let Some(oldest) = oldest {
            self.oldest.store(oldest, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events", grouped(self.events.load(Ordering::Relaxed)))?;
        let oldest = self.oldest.load(Ordering::Relaxed);
        match Timestamp::from_second(oldest) {
            Ok(time) if oldest > 0 => write!(f, ", back to {time}"),
            _ => Ok(()),
        }
    }
}

/// A line on the terminal that is written again and again, and wiped at the end.
struct Line(bool);

impl Line {
    fn new() -> Self {
        Self(io::stderr().is_terminal())
    }

    fn write(&self, text: &str) {
        if self.0 {
            // A line that can't be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("500MB", 500_000_000, "500.0 MB"),
            ("100GB", 100_000_000_000, "100.0 GB"),
            ("2 TB", 2_000_000_000_000, "2.0 TB"),
            ("1500", 1500, "1.5 kB"),
            ("999", 999, "999 bytes"),
        ] {
            let found = super::bytes(text).expect(text);
            assert_eq!((found.0, &*found.to_string()), (bytes, shown));
        }
        for bad in [
            "",
            "GB",
            "1.5GB",
            "-1",
            "1PB",
            "99999999999999999999",
            "99999999999TB",
        ] {
            assert!(super::bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [("30m", 1800), ("24h", 86_400), ("90d", 7_776_000)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for bad in ["", "d", "0h", "-1h", "90", "1w", "99999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
