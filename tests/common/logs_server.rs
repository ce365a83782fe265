//! A stand-in for CloudWatch Logs (Logs Insights) and CloudTrail (`LookupEvents`) that speaks their wire protocol (JSON 1.1). It
//! counts the records that it was given as the operator's query asks, runs queries for a while, keeps AWS's limits, and notes every
//! request. It listens on 127.0.0.1.
//!
//! tests/it/served/live.rs checks it with boto3, so that what passes here passes there.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{bedrock_server::credential_scope, serving::Serving};

/// How many queries may run at once.
const CONCURRENT: usize = 30;
/// How many requests a second `LookupEvents` takes of an account and region.
const LOOKUPS: usize = 2;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Such as `StartQuery`.
    pub operation: String,
    pub region: String,
    pub input: Value,
}

struct Query {
    region: String,
    rows: Vec<Value>,
    bytes: f64,
    /// How often it is still looked at before it ends.
    looks: usize,
    status: &'static str,
}

#[derive(Default)]
struct Content {
    /// Region and name of a log group -> records.
    groups: BTreeMap<(String, String), Vec<Value>>,
    /// Region -> records.
    events: HashMap<String, Vec<Value>>,
    queries: BTreeMap<String, Query>,
    /// How often a query is looked at before it ends.
    looks: usize,
    /// What each record counts as, in bytes.
    record_bytes: u64,
    /// What an estimate says, where it is wrong.
    estimate: Option<u64>,
    /// Whether the command `estimate` is known.
    without_estimate: bool,
    /// Operation -> errors that come next: their HTTP status and code.
    faults: HashMap<String, VecDeque<(u16, &'static str)>>,
    /// Operation -> what every request fails with.
    standing: HashMap<String, (u16, &'static str)>,
    lookups: HashMap<String, VecDeque<Instant>>,
    tokens: HashMap<String, usize>,
    log: Vec<Asked>,
}

type Shared = Arc<Mutex<Content>>;

/// A running server; it ends with this value.
pub struct LogsServer {
    serving: Serving,
    content: Shared,
}

impl LogsServer {
    /// Starts a server without log groups and events.
    pub async fn start() -> Self {
        let content = Shared::default();
        {
            let mut content = content.lock();
            content.looks = 1;
            content.record_bytes = 1000;
        }
        let router = Router::new()
            .route("/", post(answer))
            .with_state(content.clone());
        Self {
            serving: Serving::router(router).await,
            content,
        }
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS` and `AWS_ENDPOINT_URL_CLOUDTRAIL`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Adds model invocation log records to a log group, which is made if there is none.
    pub fn add_records(&self, region: &str, group: &str, records: impl IntoIterator<Item = Value>) {
        let key = (region.to_owned(), group.to_owned());
        let mut content = self.content.lock();
        content.groups.entry(key).or_default().extend(records);
    }

    /// Adds events of CloudTrail.
    pub fn add_events(&self, region: &str, events: impl IntoIterator<Item = Value>) {
        let mut content = self.content.lock();
        let known = content.events.entry(region.to_owned()).or_default();
        known.extend(events);
    }

    /// From now on, queries end when they were looked at so often.
    pub fn set_looks(&self, looks: usize) {
        self.content.lock().looks = looks;
    }

    /// From now on, each record is of so many bytes.
    pub fn set_record_bytes(&self, bytes: u64) {
        self.content.lock().record_bytes = bytes;
    }

    /// From now on, estimates say this, whatever there is.
    pub fn set_estimate(&self, bytes: u64) {
        self.content.lock().estimate = Some(bytes);
    }

    /// From now on, the command `estimate` is not known.
    pub fn without_estimate(&self) {
        self.content.lock().without_estimate = true;
    }

    /// Lets the next requests of an operation fail.
    pub fn fail(&self, operation: &str, faults: impl IntoIterator<Item = (u16, &'static str)>) {
        let mut content = self.content.lock();
        let known = content.faults.entry(operation.to_owned()).or_default();
        known.extend(faults);
    }

    /// From now on, lets all requests of an operation fail, or none.
    pub fn stand(&self, operation: &str, fault: Option<(u16, &'static str)>) {
        let mut content = self.content.lock();
        match fault {
            Some(fault) => content.standing.insert(operation.to_owned(), fault),
            None => content.standing.remove(operation),
        };
    }

    /// Returns all requests so far.
    pub fn log(&self) -> Vec<Asked> {
        self.content.lock().log.clone()
    }

    /// Returns the requests of an operation so far.
    pub fn asked(&self, operation: &str) -> Vec<Asked> {
        let mut log = self.log();
        log.retain(|asked| asked.operation == operation);
        log
    }

    /// Returns the queries so far that are no estimates.
    pub fn queries(&self) -> Vec<Asked> {
        let mut queries = self.asked("StartQuery");
        queries.retain(|asked| !is_estimate(&asked.input));
        queries
    }
}

fn is_estimate(input: &Value) -> bool {
    let text = input["queryString"].as_str().unwrap_or_default();
    text.trim_end().ends_with("| estimate")
}

struct Refusal(u16, String, String);

fn refused<T>(code: &str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(400, code.to_owned(), message.into()))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let status = StatusCode::from_u16(status).expect("a status");
        let body = json!({"__type": code, "message": message});
        of_json(status, &body)
    }
}

fn of_json(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, kind, body.to_string()).into_response()
}

async fn answer(State(content): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    let (service, operation) = target
        .and_then(|it| it.rsplit_once('.'))
        .unwrap_or_default();
    let name = match service {
        "Logs_20140328" => "logs",
        "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101" => "cloudtrail",
        _ => "",
    };
    let scope = credential_scope(&headers).unwrap_or_default();
    if scope.get(3).is_none_or(|signed| signed != name) {
        let message = "Missing Authentication Token".to_owned();
        return Refusal(400, "MissingAuthenticationTokenException".into(), message).into_response();
    }
    let Ok(input) = serde_json::from_slice::<Value>(&body) else {
        return Refusal(400, "SerializationException".into(), String::new()).into_response();
    };
    let asked = Asked {
        operation: operation.to_owned(),
        region: scope[2].clone(),
        input,
    };
    let mut content = content.lock();
    content.log.push(asked.clone());
    let scripted = content
        .faults
        .get_mut(operation)
        .and_then(VecDeque::pop_front);
    let standing = content.standing.get(operation).copied();
    if let Some((status, code)) = scripted.or(standing) {
        let message = format!(
            "User: arn:aws:sts::111122223333:assumed-role/operator/session is not authorized to perform: logs:{operation} on \
             resource: x because no identity-based policy allows the logs:{operation} action"
        );
        return Refusal(status, code.to_owned(), message).into_response();
    }
    let answered = match operation {
        "StartQuery" => content.start(&asked),
        "GetQueryResults" => content.results(&asked),
        "StopQuery" => content.stop(&asked),
        "DescribeLogGroups" => Ok(content.describe(&asked)),
        "LookupEvents" => content.lookup(&asked),
        _ => refused("UnknownOperationException", ""),
    };
    match answered {
        Ok(body) => of_json(StatusCode::OK, &body),
        Err(refusal) => refusal.into_response(),
    }
}

impl Content {
    fn start(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let Asked { region, input, .. } = asked;
        let text = |name: &str| input[name].as_str().map(ToOwned::to_owned);
        let (Some(group), Some(query)) = (text("logGroupName"), text("queryString")) else {
            return refused(
                "InvalidParameterException",
                "a log group and a query are required",
            );
        };
        let (Some(since), Some(until)) = (input["startTime"].as_i64(), input["endTime"].as_i64())
        else {
            return refused(
                "InvalidParameterException",
                "startTime and endTime are required",
            );
        };
        if since > until || input["limit"].as_u64().is_some_and(|limit| limit > 10_000) {
            return refused("InvalidParameterException", "a bad range or limit");
        }
        let running = self.queries.values();
        let running = running.filter(|it| it.region == *region && it.status == "Running");
        if running.count() >= CONCURRENT {
            return refused("LimitExceededException", "too many concurrent queries");
        }
        let Some(records) = self.groups.get(&(region.clone(), group)) else {
            return refused("ResourceNotFoundException", "Log group does not exist.");
        };
        // The range of a query includes its last second.
        let in_range = |record: &&Value| (since..=until).contains(&seconds(record));
        let records: Vec<&Value> = records.iter().filter(in_range).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let bytes = (records.len() as u64 * self.record_bytes) as f64;
        let (rows, bytes) = if is_estimate(input) {
            if self.without_estimate {
                return refused(
                    "MalformedQueryException",
                    "unexpected symbol found estimate",
                );
            }
            let said = self
                .estimate
                .map_or_else(|| format!("{bytes:.0}"), |it| it.to_string());
            let row = json!([{"field": "estimatedBytesScanned", "value": said}]);
            (vec![row], 0.0)
        } else {
            let Some(rows) = count(&query, &records) else {
                return refused(
                    "MalformedQueryException",
                    "this server does not know that query",
                );
            };
            (rows, bytes)
        };
        let id = format!("q-{}", self.queries.len());
        let query = Query {
            region: region.clone(),
            rows,
            bytes,
            looks: self.looks,
            status: "Running",
        };
        self.queries.insert(id.clone(), query);
        Ok(json!({"queryId": id}))
    }

    fn results(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let looks = self.looks;
        let id = asked.input["queryId"].as_str().unwrap_or_default();
        let Some(query) = self.queries.get_mut(id) else {
            return refused("ResourceNotFoundException", "Query does not exist.");
        };
        if query.looks > 0 {
            query.looks -= 1;
        } else if query.status == "Running" {
            query.status = "Complete";
        }
        let is_complete = query.status == "Complete";
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = (looks - query.looks) as f64 / looks.max(1) as f64;
        let bytes = if is_complete {
            query.bytes
        } else {
            query.bytes * share
        };
        Ok(json!({
            "results": if is_complete { query.rows.clone() } else { Vec::new() },
            "statistics": {"recordsMatched": 0.0, "recordsScanned": 0.0, "bytesScanned": bytes},
            "status": query.status,
            "queryLanguage": "CWLI",
        }))
    }

    fn stop(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let id = asked.input["queryId"].as_str().unwrap_or_default();
        match self.queries.get_mut(id) {
            Some(query) if query.status == "Running" => {
                query.status = "Cancelled";
                Ok(json!({"success": true}))
            }
            Some(_) => refused("InvalidParameterException", "the query has ended"),
            None => refused("ResourceNotFoundException", "Query does not exist."),
        }
    }

    fn describe(&self, asked: &Asked) -> Value {
        let prefix = asked.input["logGroupNamePrefix"]
            .as_str()
            .unwrap_or_default();
        let of_region = self
            .groups
            .iter()
            .filter(|((region, name), _)| *region == asked.region && name.starts_with(prefix));
        let groups: Vec<Value> = of_region
            .map(|((region, name), records)| {
                let arn = format!("arn:aws:logs:{region}:111122223333:log-group:{name}");
                json!({
                    "logGroupName": name, "creationTime": 1, "metricFilterCount": 0, "arn": format!("{arn}:*"),
                    "logGroupArn": arn, "storedBytes": records.len() as u64 * self.record_bytes,
                })
            })
            .collect();
        json!({"logGroups": groups})
    }

    fn lookup(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let Asked { region, input, .. } = asked;
        let times = self.lookups.entry(region.clone()).or_default();
        let second = Duration::from_millis(950);
        while times.front().is_some_and(|time| time.elapsed() > second) {
            times.pop_front();
        }
        times.push_back(Instant::now());
        if times.len() > LOOKUPS {
            return refused("ThrottlingException", "Rate exceeded");
        }
        let size = input["MaxResults"].as_u64().unwrap_or(50);
        if !(1..=50).contains(&size) {
            return refused("InvalidMaxResultsException", "1 to 50");
        }
        let attribute = &input["LookupAttributes"][0];
        if attribute["AttributeKey"] != "EventName" {
            return refused(
                "InvalidLookupAttributesException",
                "this server knows EventName",
            );
        }
        let (since, until) = (number(&input["StartTime"]), number(&input["EndTime"]));
        let matching = |event: &&Value| {
            event["eventName"] == attribute["AttributeValue"]
                && (since..=until).contains(&seconds(event))
        };
        let known = self.events.get(region).into_iter().flatten();
        let mut events: Vec<&Value> = known.filter(matching).collect();
        // The newest first.
        events.sort_by_key(|event| std::cmp::Reverse(seconds(event)));
        let start = match input["NextToken"].as_str() {
            None => 0,
            Some(token) => match self.tokens.get(token) {
                Some(start) => *start,
                None => return refused("InvalidNextTokenException", "no such token"),
            },
        };
        let end = events
            .len()
            .min(start + usize::try_from(size).expect("small"));
        let page: Vec<Value> = events[start..end]
            .iter()
            .map(|event| {
                json!({
                    "EventId": event["requestID"], "EventName": event["eventName"], "ReadOnly": "true",
                    "EventTime": seconds(event), "EventSource": event["eventSource"], "Username": "chat", "Resources": [],
                    "CloudTrailEvent": event.to_string(),
                })
            })
            .collect();
        let mut answer = json!({"Events": page});
        if end < events.len() {
            let token = format!("T{:016x}", fastrand::u64(..));
            self.tokens.insert(token.clone(), end);
            answer["NextToken"] = token.into();
        }
        Ok(answer)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a time in seconds")]
fn number(value: &Value) -> i64 {
    value.as_f64().map_or(0, |number| number as i64)
}

/// Returns when a record is of, in seconds since the Unix epoch.
fn seconds(record: &Value) -> i64 {
    let time = record["timestamp"]
        .as_str()
        .or_else(|| record["eventTime"].as_str());
    let time: jiff::Timestamp = time.expect("a time").parse().expect("a time");
    time.as_second()
}

/// Counts records as the one query does that this server knows. `None` if it is another one.
fn count(query: &str, records: &[&Value]) -> Option<Vec<Value>> {
    let parts: Vec<&str> = query.split('|').map(str::trim).collect();
    let [fields, time, filter, stats, limit] = parts[..] else {
        return None;
    };
    let known = fields == "fields jsonParse(@message) as record"
        && filter
            == "filter record.schemaType = \"ModelInvocationLog\" and (ispresent(record.inferenceRegion) or not ispresent(record.errorCode))"
        && stats.ends_with("by record.modelId, record.region, record.inferenceRegion")
        && limit == "limit 10000";
    let (since, until) = time
        .strip_prefix("filter toMillis(@timestamp) >= ")
        .filter(|_| known)?
        .split_once(" and toMillis(@timestamp) < ")?;
    let (since, until): (i64, i64) = (since.parse().ok()?, until.parse().ok()?);
    let mut groups: BTreeMap<[Option<&str>; 3], Vec<&Value>> = BTreeMap::new();
    for record in records {
        let is_wanted = (since..until).contains(&(seconds(record) * 1000))
            && record["schemaType"] == "ModelInvocationLog"
            && (!record["inferenceRegion"].is_null() || record["errorCode"].is_null());
        if is_wanted {
            let key = ["modelId", "region", "inferenceRegion"].map(|name| record[name].as_str());
            groups.entry(key).or_default().push(record);
        }
    }
    let rows = groups.into_iter().map(|(key, records)| {
        let sum = |path: &str| -> u64 {
            let counts = records.iter().filter_map(|it| it.pointer(path)?.as_u64());
            counts.sum()
        };
        let ids: BTreeSet<&str> = records
            .iter()
            .filter_map(|it| it["requestId"].as_str())
            .collect();
        let first = records.iter().min_by_key(|it| seconds(it)).expect("one");
        let last = records.iter().max_by_key(|it| seconds(it)).expect("one");
        let mut row = vec![
            ("requests", records.len().to_string()),
            ("requestIds", ids.len().to_string()),
            ("inputTokens", sum("/input/inputTokenCount").to_string()),
            ("outputTokens", sum("/output/outputTokenCount").to_string()),
            (
                "cacheReadTokens",
                sum("/input/cacheReadInputTokenCount").to_string(),
            ),
            (
                "cacheWriteTokens",
                sum("/input/cacheWriteInputTokenCount").to_string(),
            ),
            ("firstSeen", (seconds(first) * 1000).to_string()),
            ("lastSeen", (seconds(last) * 1000).to_string()),
            (
                "firstRequest",
                first["requestId"].as_str().unwrap_or_default().to_owned(),
            ),
            (
                "lastRequest",
                last["requestId"].as_str().unwrap_or_default().to_owned(),
            ),
        ];
        let names = ["record.modelId", "record.region", "record.inferenceRegion"];
        row.extend(
            names
                .into_iter()
                .zip(key)
                .filter_map(|(name, value)| Some((name, value?.to_owned()))),
        );
        let row: Vec<Value> = row
            .into_iter()
            .map(|(field, value)| json!({"field": field, "value": value}))
            .collect();
        Value::from(row)
    });
    Some(rows.collect())
}
