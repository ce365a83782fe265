//! The same count in CloudWatch Logs Insights: the query, and its rows as counts. No prompt leaves CloudWatch.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>

use std::collections::BTreeMap;

use super::{
    count::{self, Counts, Key, Request, Tally},
    record::{Tokens, seconds},
};

/// Milliseconds of a second.
const SECOND: i64 = 1000;
/// More requests than one row can be of: so that sums of many rows can't overflow, such a row counts as bad.
const MOST_REQUESTS: u64 = 1 << 40;

/// A time to count, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub since: i64,
    /// The first second that does not belong to it.
    pub until: i64,
}

/// Returns the query that counts the records of a time, by model, source region and region served.
///
/// Logs Insights finds no more than 200 fields of a record by itself, and those of a long prompt come before `inferenceRegion`; so the
/// record is parsed. The range of a query includes its last second, so the query itself says where the time ends.
#[must_use]
pub fn query(window: Window) -> String {
    let (since, until) = (window.since * SECOND, window.until * SECOND);
    format!(
        "fields jsonParse(@message) as record\n\
         | filter toMillis(@timestamp) >= {since} and toMillis(@timestamp) < {until}\n\
         | filter record.schemaType = \"ModelInvocationLog\" and (ispresent(record.inferenceRegion) or not ispresent(record.errorCode))\n\
         | stats count(*) as requests, count_distinct(record.requestId) as requestIds, \
         sum(record.input.inputTokenCount) as inputTokens, sum(record.output.outputTokenCount) as outputTokens, \
         sum(record.input.cacheReadInputTokenCount) as cacheReadTokens, \
         sum(record.input.cacheWriteInputTokenCount) as cacheWriteTokens, \
         min(@timestamp) as firstSeen, max(@timestamp) as lastSeen, \
         earliest(record.requestId) as firstRequest, latest(record.requestId) as lastRequest \
         by record.modelId, record.region, record.inferenceRegion\n\
         | limit {limit}",
        limit = count::MOST_ROWS
    )
}

/// What a query counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The counts.
    pub counts: Counts,
    /// How many records are of a request that has another one, as CloudWatch estimates it. They are counted.
    pub duplicates: u64,
    /// Whether there may be more rows.
    pub is_cut_off: bool,
}

/// Returns what the rows of [`query`] say, with at most `named` requests of each. A row that can't be understood is a bad record.
#[must_use]
pub fn found(rows: &[BTreeMap<String, String>], named: usize) -> Found {
    let mut found = Found {
        is_cut_off: rows.len() >= count::MOST_ROWS,
        ..Found::default()
    };
    for row in rows {
        let requests = number(row, "requests");
        let key = key(row).filter(|_| requests <= MOST_REQUESTS);
        let Some(key) = key else {
            found.counts.records.bad += requests.clamp(1, MOST_REQUESTS);
            continue;
        };
        let distinct = number(row, "requestIds");
        if distinct > 0 {
            found.duplicates += requests.saturating_sub(distinct);
        }
        let tokens = Tokens {
            input: number(row, "inputTokens"),
            output: number(row, "outputTokens"),
            cache_read: number(row, "cacheReadTokens"),
            cache_write: number(row, "cacheWriteTokens"),
        };
        let (first, last) = (time(row, "firstSeen"), time(row, "lastSeen"));
        let request = |name: &str, time: Option<i64>| {
            let id = row.get(name).filter(|id| !id.is_empty())?;
            Some(Request {
                time: time.unwrap_or(i64::MAX),
                id: id.chars().take(count::LONGEST_REQUEST_ID).collect(),
            })
        };
        let ends = [("firstRequest", first), ("lastRequest", last)];
        let ends = ends
            .into_iter()
            .filter_map(|(name, time)| request(name, time));
        found.counts.records.requests += requests;
        let tally = Tally::new(requests, tokens, first, last, ends.take(named));
        found.counts.rows.entry(key).or_default().add(tally, named);
    }
    found
}

fn key(row: &BTreeMap<String, String>) -> Option<Key> {
    let text = |name: &str| row.get(name).filter(|text| !text.is_empty());
    Some(Key {
        profile: count::profile(text("record.modelId")?.as_bytes())?,
        source_region: text("record.region")?.parse().ok()?,
        served_in: match text("record.inferenceRegion") {
            Some(region) => Some(region.parse().ok()?),
            None => None,
        },
    })
}

/// Returns a number; 0 if there is none. Large ones may be in floating point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count; the conversion saturates"
)]
fn number(row: &BTreeMap<String, String>, name: &str) -> u64 {
    let Some(text) = row.get(name) else {
        return 0;
    };
    let whole = text.parse().ok();
    whole.unwrap_or_else(|| text.parse::<f64>().map_or(0, |number| number as u64))
}

/// Returns a time in seconds. Aggregated ones are milliseconds; others are written out.
fn time(row: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    let text = row.get(name)?;
    if text.contains('-') && text.contains(':') {
        return seconds(format!("{}Z", text.replacen(' ', "T", 1)).as_bytes());
    }
    let milliseconds = number(row, name);
    (milliseconds > 0)
        .then(|| i64::try_from(milliseconds).ok())?
        .map(|it| it / SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        let fields = fields.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_query_asks_for_one_time_and_for_no_body() {
        let query = query(Window {
            since: 1_776_124_800,
            until: 1_776_125_700,
        });
        assert!(query.contains(
            "toMillis(@timestamp) >= 1776124800000 and toMillis(@timestamp) < 1776125700000"
        ));
        assert!(query.ends_with("| limit 10000"));
        for body in ["inputBodyJson", "outputBodyJson", "display", "identity"] {
            assert!(!query.contains(body), "{body}");
        }
    }

    #[test]
    fn rows_become_counts() {
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b";
        let common = [
            ("record.region", "eu-west-1"),
            ("record.inferenceRegion", "eu-north-1"),
        ];
        let first = [
            &common[..],
            &[
                ("record.modelId", "eu.a.b"),
                ("requests", "10"),
                ("requestIds", "9"),
                ("inputTokens", "1.5E7"),
                ("firstSeen", "1776124800123"),
                ("lastSeen", "2026-04-14 00:10:00.000"),
                ("firstRequest", "r1"),
                ("lastRequest", "r2"),
            ],
        ];
        let second = [
            &common[..],
            &[
                ("record.modelId", arn),
                ("requests", "1"),
                ("requestIds", "1"),
            ],
        ];
        let unknown = row(&[
            ("record.modelId", "eu.a.b"),
            ("record.region", "eu-west-1"),
            ("requests", "2"),
        ]);
        let bad = [
            row(&[("requests", "3")]),
            row(&[
                ("record.modelId", "a b"),
                ("record.region", "eu-west-1"),
                ("requests", "4"),
            ]),
        ];
        let rows = [row(&first.concat()), row(&second.concat()), unknown];
        let found = found(&[&rows[..], &bad].concat(), 1);
        assert_eq!((found.duplicates, found.is_cut_off), (1, false));
        assert_eq!(found.counts.records.requests, 13);
        assert_eq!(found.counts.records.bad, 7);
        let rows: Vec<_> = found.counts.rows.iter().collect();
        assert_eq!(rows.len(), 2);
        let (key, tally) = rows[1];
        assert_eq!(&*key.profile, "eu.a.b");
        assert_eq!(
            key.served_in.as_ref().map(ToString::to_string).as_deref(),
            Some("eu-north-1")
        );
        assert_eq!(tally.requests(), 11);
        assert_eq!(tally.tokens.input, 15_000_000);
        assert_eq!(
            (tally.first, tally.last),
            (Some(1_776_124_800), Some(1_776_125_400))
        );
        assert_eq!(tally.named.len(), 1);
        assert_eq!(rows[0].1.requests(), 2);
    }

    #[test]
    fn more_requests_than_there_can_be_overflow_nothing() {
        let most = u64::MAX.to_string();
        let fields = [
            ("record.modelId", "eu.a.b"),
            ("record.region", "eu-west-1"),
            ("inputTokens", &most),
        ];
        let of = |requests| row(&[&fields[..], &[("requests", requests)]].concat());
        let found = found(&[of("2"), of(&most), of(&most), of("1e300"), of("3")], 1);
        let tallies: Vec<_> = found.counts.rows.values().collect();
        assert_eq!(
            (tallies[0].requests(), found.counts.records.requests),
            (5, 5)
        );
        assert_eq!(tallies[0].tokens.input, u64::MAX);
        assert_eq!(found.counts.records.bad, 3 * MOST_REQUESTS);
    }

    #[test]
    fn as_many_rows_as_a_query_gives_may_not_be_all() {
        let rows = vec![BTreeMap::new(); count::MOST_ROWS];
        assert!(found(&rows, 0).is_cut_off);
    }
}
