//! The report: what was served where, as table, JSON and CSV. Pure.

use std::{collections::BTreeMap, path::Path};

use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

use crate::{
    cli::{
        Error, output, printable,
        tables::{printed, table},
    },
    served::{
        Counts, Key, Records, Tally, Tokens,
        audit::{Audit, Outside, Why},
    },
};

/// Columns of a bar.
const BAR: usize = 20;
/// The most reasons that are given for one row: hundreds of bindings may have the same profile.
const REASONS: usize = 5;
/// What stands in the place of a region that the records do not say.
const NOT_STATED: &str = "not stated";

/// The report.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) program_version: &'static str,
    pub(super) files: Files,
    /// What CloudWatch Logs Insights scanned. `None` if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_scanned: Option<u64>,
    pub(super) records: Records,
    /// Whether records of one request were counted once.
    pub(super) duplicates_looked_for: bool,
    pub(super) profiles: Vec<Profile>,
    /// `None` if no audit was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audit: Option<AuditReport>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Files {
    pub(super) read: u64,
    /// Files and folders that can't be read, or not up to their ends.
    pub(super) damaged: u64,
}

/// The requests of a profile from a source region.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    /// The ID of a profile or model, or an ARN where no ID is known.
    #[serde(rename = "profile")]
    id: String,
    source_region: String,
    /// Requests served in another region than the source region.
    rerouted: u64,
    /// Their share of the requests whose region is known.
    rerouted_share: Option<f64>,
    #[serde(flatten)]
    sum: Sum,
    served_in: Vec<Served>,
}

/// The requests of a profile that were served in one region.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Served {
    /// `None` if the records do not say.
    region: Option<String>,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_write_input_tokens: u64,
    first_seen: Option<String>,
    last_seen: Option<String>,
}

impl Sum {
    fn of(tally: &Tally) -> Self {
        let Tokens {
            input,
            output,
            cache_read,
            cache_write,
        } = tally.tokens;
        Self {
            requests: tally.requests(),
            input_tokens: input,
            output_tokens: output,
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            first_seen: tally.first.and_then(time),
            last_seen: tally.last.and_then(time),
        }
    }

    fn tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_read_input_tokens)
            .saturating_add(self.cache_write_input_tokens)
    }
}

/// What the audit found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditReport {
    /// By how many bindings it was made, each model of a binding counted.
    bindings: usize,
    /// All requests outside of destinations or limits.
    pub(super) outside_requests: u64,
    pub(super) outside: Vec<OutsideReport>,
    /// Requests whose records do not say where they were served.
    pub(super) not_stated_requests: u64,
    /// Profiles whose destinations are not known.
    pub(super) unknown_destinations: Vec<UnknownDestinations>,
    /// Bindings with a limit that can't be read.
    pub(super) unknown_limits: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutsideReport {
    profile: String,
    source_region: String,
    served_in: String,
    requests: u64,
    why: Vec<String>,
    /// The first ones.
    listed: Vec<Listed>,
}

/// A request that is named.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    time: Option<String>,
    request_id: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnknownDestinations {
    profile: String,
    source_region: String,
    requests: u64,
    /// Whether limits judged them: otherwise nothing did.
    judged_by_limits: bool,
}

impl UnknownDestinations {
    /// Returns whether these are requests of an application profile of which no listing tells what it was made from.
    pub(super) fn is_of_application(&self) -> bool {
        self.profile.contains(":application-inference-profile/")
    }
}

/// Returns a time as RFC 3339, or `None` if there is none.
fn time(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    // What has no time is kept as the last time of all.
    (seconds < i64::MAX).then(|| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Returns the profiles, sorted by ID and source region.
pub(super) fn profiles(counts: &Counts) -> Vec<Profile> {
    let mut groups: BTreeMap<(&str, &str), Vec<(&Key, &Tally)>> = BTreeMap::new();
    for (key, tally) in &counts.rows {
        let group = (&*key.profile, key.source_region.as_str());
        groups.entry(group).or_default().push((key, tally));
    }
    groups
        .into_iter()
        .map(|((profile, source_region), rows)| {
            let mut sum = Tally::default();
            let (mut rerouted, mut stated) = (0, 0);
            for (key, tally) in &rows {
                sum.add((*tally).clone(), 0);
                if let Some(region) = &key.served_in {
                    stated += tally.requests();
                    rerouted += tally.requests() * u64::from(*region != key.source_region);
                }
            }
            let mut served_in: Vec<Served> = rows
                .into_iter()
                .map(|(key, tally)| Served {
                    region: key.served_in.as_ref().map(ToString::to_string),
                    sum: Sum::of(tally),
                })
                .collect();
            // What is not stated comes last.
            served_in.sort_by_key(|row| row.region.is_none());
            Profile {
                id: profile.to_owned(),
                source_region: source_region.to_owned(),
                rerouted,
                rerouted_share: share(rerouted, stated),
                sum: Sum::of(&sum),
                served_in,
            }
        })
        .collect()
}

/// Returns a share, to four digits.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| ((part as f64 / whole as f64) * 10_000.0).round() / 10_000.0)
}

/// Returns what an audit by so many bindings found. Of all its requests at most `most` are listed.
pub(super) fn audit_report(audit: &Audit, bindings: usize, most: usize) -> AuditReport {
    // So many of each that something of all is listed.
    let share = most.div_ceil(audit.outside.len().max(1));
    let mut left = most;
    let outside = |outside: &Outside| {
        let listed: Vec<Listed> = outside
            .named
            .iter()
            .take(share.min(left))
            .map(|request| Listed {
                time: time(request.time),
                request_id: request.id.to_string(),
            })
            .collect();
        left -= listed.len();
        OutsideReport {
            profile: outside.key.profile.to_string(),
            source_region: outside.key.source_region.to_string(),
            served_in: named(outside.key.served_in.as_ref()),
            requests: outside.requests,
            why: reasons(&outside.why),
            listed,
        }
    };
    AuditReport {
        bindings,
        outside_requests: audit.outside.iter().map(|it| it.requests).sum(),
        outside: audit.outside.iter().map(outside).collect(),
        not_stated_requests: audit.not_stated,
        unknown_destinations: audit
            .unknown
            .iter()
            .map(|unknown| UnknownDestinations {
                profile: unknown.profile.to_string(),
                source_region: unknown.source_region.to_string(),
                requests: unknown.requests,
                judged_by_limits: unknown.is_limited,
            })
            .collect(),
        unknown_limits: audit.unknown_limits.iter().cloned().collect(),
    }
}

/// Returns the error for a file that is not what a command prints. It quotes nothing: the file may be a log, which has prompts.
pub(super) fn not_expected(path: &Path, error: &serde_json::Error, command: &str) -> Error {
    Error::BadInput(format!(
        "{}, line {}, column {}: expected what {command} prints",
        path.display(),
        error.line(),
        error.column()
    ))
}

fn named(region: Option<&crate::types::Region>) -> String {
    region.map_or_else(|| NOT_STATED.to_owned(), ToString::to_string)
}

/// Returns the table, with bars where it is for a terminal.
pub(super) fn counts_table(report: &Report, with_bars: bool, width: Option<u16>) -> Table {
    let mut header = vec![
        "PROFILE",
        "SOURCE",
        "REROUTED",
        "SERVED IN",
        "REQUESTS",
        "SHARE",
    ];
    header.extend(with_bars.then_some(""));
    header.extend(["TOKENS", "FIRST SEEN", "LAST SEEN"]);
    let mut table = table(header, width);
    for profile in &report.profiles {
        let mut names = [
            profile.id.clone(),
            profile.source_region.clone(),
            profile
                .rerouted_share
                .map_or_else(|| "-".to_owned(), percent),
        ];
        for served in &profile.served_in {
            let of_all = share(served.sum.requests, profile.sum.requests).unwrap_or_default();
            let mut cells: Vec<String> = std::mem::take(&mut names).into();
            cells.extend([
                served
                    .region
                    .clone()
                    .unwrap_or_else(|| NOT_STATED.to_owned()),
                grouped(served.sum.requests),
                percent(of_all),
            ]);
            cells.extend(with_bars.then(|| bar(of_all)));
            let seen = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
            cells.extend([
                grouped(served.sum.tokens()),
                seen(&served.sum.first_seen),
                seen(&served.sum.last_seen),
            ]);
            table.add_row(cells);
        }
    }
    for number in [2, 4, 5, if with_bars { 7 } else { 6 }] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a few columns"
)]
fn bar(share: f64) -> String {
    "█".repeat((share * BAR as f64).round() as usize)
}

/// Returns a number with its thousands kept apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the requests that were served where they should not have been, in words and as tables.
pub(super) fn outside_text(audit: &AuditReport) -> String {
    if audit.outside_requests == 0 {
        return String::new();
    }
    let mut why = table(["OUTSIDE", "SOURCE", "SERVED IN", "REQUESTS", "WHY"], None);
    let mut list = table(["TIME", "PROFILE", "SOURCE", "SERVED IN", "REQUEST"], None);
    let mut listed = 0;
    for outside in &audit.outside {
        let place = [&outside.profile, &outside.source_region, &outside.served_in];
        let mut cells: Vec<String> = place.into_iter().cloned().collect();
        cells.extend([grouped(outside.requests), outside.why.join("; ")]);
        why.add_row(cells);
        for request in &outside.listed {
            listed += 1;
            let time = request.time.clone().unwrap_or_else(|| "-".to_owned());
            let mut cells = vec![time];
            cells.extend(place.into_iter().cloned());
            cells.push(printable(&request.request_id));
            list.add_row(cells);
        }
    }
    if let Some(column) = why.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("\n{}\n{}", printed(&why), printed(&list));
    let more = audit.outside_requests.saturating_sub(listed);
    if more > 0 {
        text.extend(["and ", &grouped(more), " more\n"]);
    }
    text
}

/// Returns reasons in words, of many the first ones.
fn reasons(why: &[Why]) -> Vec<String> {
    let mut texts: Vec<String> = why.iter().take(REASONS).map(ToString::to_string).collect();
    let more = why.len() - texts.len();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts
}

/// A column of the CSV format: its name and its field.
type Column = (&'static str, fn(&Profile, &Served) -> String);

const COLUMNS: &[Column] = &[
    ("profile", |profile, _| profile.id.clone()),
    ("sourceRegion", |profile, _| profile.source_region.clone()),
    ("servedIn", |_, served| {
        served.region.clone().unwrap_or_default()
    }),
    ("requests", |_, served| served.sum.requests.to_string()),
    ("rerouted", |profile, served| {
        let rerouted = served
            .region
            .as_ref()
            .map(|it| *it != profile.source_region);
        rerouted.map(|it| it.to_string()).unwrap_or_default()
    }),
    ("inputTokens", |_, served| {
        served.sum.input_tokens.to_string()
    }),
    ("outputTokens", |_, served| {
        served.sum.output_tokens.to_string()
    }),
    ("cacheReadInputTokens", |_, served| {
        served.sum.cache_read_input_tokens.to_string()
    }),
    ("cacheWriteInputTokens", |_, served| {
        served.sum.cache_write_input_tokens.to_string()
    }),
    ("firstSeen", |_, served| {
        served.sum.first_seen.clone().unwrap_or_default()
    }),
    ("lastSeen", |_, served| {
        served.sum.last_seen.clone().unwrap_or_default()
    }),
];

pub(super) fn csv(report: &Report) -> Result<Vec<u8>, Error> {
    let header = COLUMNS.iter().map(|(name, _)| *name);
    let rows = report.profiles.iter().flat_map(|profile| {
        let row = move |served| COLUMNS.iter().map(move |(_, text)| text(profile, served));
        profile.served_in.iter().map(row)
    });
    output::csv(header, rows)
}

/// What `evidence` takes of a report.
#[derive(Debug, Default, Deserialize)]
pub(in crate::cli) struct ServedReport {
    profiles: Vec<ServedProfile>,
    audit: Option<ServedAudit>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServedProfile {
    profile: String,
    source_region: String,
    served_in: Vec<ServedRegion>,
}

#[derive(Debug, Deserialize)]
struct ServedRegion {
    region: Option<String>,
    requests: u64,
}

#[derive(Debug, Deserialize)]
struct ServedAudit {
    bindings: Option<usize>,
    outside: Vec<ServedOutside>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServedOutside {
    profile: String,
    source_region: String,
    requests: u64,
}

/// What was seen of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SeenServed {
    /// Requests by region; `not stated` where the records do not say.
    pub(in crate::cli) requests: BTreeMap<String, u64>,
    /// Those outside of destinations or limits, `None` if no audit by bindings was made.
    pub(in crate::cli) outside: Option<u64>,
}

impl ServedReport {
    /// Reads what `served-regions -o json` printed.
    pub(in crate::cli) fn parse(path: &Path, text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text)
            .map_err(|error| not_expected(path, &error, "`served-regions -o json`"))
    }

    /// Returns what was seen of a profile from a source region. No requests are something that was seen, too.
    pub(in crate::cli) fn seen(&self, profile: &str, source_region: &str) -> SeenServed {
        let rows = self.profiles.iter();
        let rows = rows.filter(|it| it.profile == profile && it.source_region == source_region);
        let mut requests = BTreeMap::new();
        for row in rows.flat_map(|it| &it.served_in) {
            let region = row.region.clone().unwrap_or_else(|| NOT_STATED.to_owned());
            *requests.entry(region).or_default() += row.requests;
        }
        let outside = self.audit.as_ref().and_then(|audit| {
            let outside = audit.outside.iter();
            let same =
                |it: &&ServedOutside| it.profile == profile && it.source_region == source_region;
            let outside = outside.filter(same).map(|it| it.requests).sum();
            // Without bindings, none of their limits were looked at.
            (outside > 0 || audit.bindings != Some(0)).then_some(outside)
        });
        SeenServed { requests, outside }
    }
}

impl std::fmt::Display for UnknownDestinations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (judged, why) = if self.judged_by_limits {
            ("judged by limits alone", "")
        } else {
            ("not judged", ", and which no limit holds for")
        };
        write!(
            f,
            "{judged}: {} requests of {} from {}, whose destinations are not known{why}",
            grouped(self.requests),
            self.profile,
            self.source_region
        )
    }
}
