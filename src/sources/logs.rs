//! Queries of CloudWatch Logs Insights. A query counts in CloudWatch; only its rows travel.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>

use std::{collections::BTreeMap, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    aws_json::{Call, JsonClient, Service, Shared},
    bedrock::error::Failure,
};
use crate::{
    catalog::CatalogError,
    pause,
    served::{
        self, Counted,
        insights::{self, Window},
    },
    types::Region,
};

/// The most rows that a query gives.
pub const MOST_ROWS: usize = 10_000;

static SERVICE: Service = Service {
    name: "CloudWatch Logs",
    host: "logs",
    target: "Logs_20140328",
    variable: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
};

/// Pauses between two looks at a query that runs.
const LOOK: Duration = Duration::from_millis(200);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How often a query is started anew while too many others run, and the pauses between: about a minute and a half in all.
const STARTS: u32 = 8;
const START: Duration = Duration::from_secs(1);
const LONGEST_START: Duration = Duration::from_secs(30);
/// How many looks in succession may fail.
const FAILED_LOOKS: u32 = 5;
/// Longer than AWS lets a query run.
const LONGEST_QUERY: Duration = Duration::from_mins(65);
/// Pages of a list of log groups, or of rows, that are read at most.
const MOST_PAGES: usize = 100;

/// A query of one log group.
#[derive(Debug, Clone, Copy)]
pub struct Query<'q> {
    /// Name of the log group.
    pub log_group: &'q str,
    /// The query.
    pub text: &'q str,
    /// The first second, since the Unix epoch.
    pub since: i64,
    /// The last second: it belongs to the range.
    pub until: i64,
    /// A query that has scanned more is stopped.
    pub most_bytes: u64,
}

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The rows: values by the names of fields.
    pub rows: Vec<BTreeMap<String, String>>,
    /// How many bytes were scanned. CloudWatch charges for these.
    pub bytes_scanned: u64,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// AWS refused it, or could not be asked.
    #[error(transparent)]
    Failed(#[from] CatalogError),
    /// It scanned more than it may, and was stopped.
    #[error("the query was stopped after it had scanned {0} bytes: it may scan no more")]
    ScannedTooMuch(u64),
    /// It was stopped because its answer is not wanted any more.
    #[error("the query was stopped")]
    Stopped,
}

/// A client of CloudWatch Logs in one region.
#[derive(Debug)]
pub struct Logs {
    client: JsonClient,
    region: Region,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    query_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    status: String,
    #[serde(default)]
    results: Vec<Vec<Field>>,
    #[serde(default)]
    statistics: Statistics,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Field {
    field: Option<String>,
    value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    #[serde(default)]
    bytes_scanned: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    #[serde(default)]
    log_groups: Vec<Group>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    log_group_name: Option<String>,
    stored_bytes: Option<u64>,
}

impl Logs {
    /// Returns a client. Sends nothing.
    #[must_use]
    pub fn new(shared: &Shared, region: &Region) -> Self {
        Self {
            client: JsonClient::new(shared, &SERVICE, region),
            region: region.clone(),
        }
    }

    /// Runs a query to its end. `scanned` is told how many bytes it has scanned so far. Where `stop` resolves first, the query is
    /// stopped.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn run(
        &self,
        query: Query<'_>,
        scanned: impl Fn(u64),
        stop: impl Future<Output = ()>,
    ) -> Result<Answer, QueryError> {
        let id = self.start(query).await?;
        let outcome = tokio::select! {
            outcome = self.follow(&id, query.most_bytes, scanned) => outcome,
            () = stop => Err(QueryError::Stopped),
            () = tokio::time::sleep(LONGEST_QUERY) => Err(QueryError::Stopped),
        };
        if outcome.is_err() {
            self.stop(&id).await;
        }
        outcome
    }

    /// Returns how many bytes a query would scan, as AWS estimates it, which costs nothing; `None` where AWS does not say.
    ///
    /// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Estimate.html>
    ///
    /// # Errors
    /// [`CatalogError`] if the log group can't be asked at all.
    pub async fn estimate(&self, query: Query<'_>) -> Result<Option<u64>, CatalogError> {
        let text = format!("{}\n| estimate", query.text);
        let estimate = Query {
            text: &text,
            ..query
        };
        match self.run(estimate, |_| (), std::future::pending()).await {
            Ok(answer) => Ok(estimate_of(&answer.rows)),
            Err(QueryError::Failed(
                error @ (CatalogError::AccessDenied(_)
                | CatalogError::CredentialsUnavailable(_)
                | CatalogError::EndpointUnreachable(_)),
            )) => Err(error),
            // A region that does not know the command yet refuses it.
            Err(_) => Ok(None),
        }
    }

    /// Returns how many bytes a log group stores, of all times; `None` where AWS does not say.
    ///
    /// # Errors
    /// [`CatalogError`] if AWS can't be asked, or has no log group of this name.
    pub async fn stored_bytes(&self, log_group: &str) -> Result<Option<u64>, CatalogError> {
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut input = json!({"logGroupNamePrefix": log_group, "limit": 50});
            if let Some(token) = &token {
                input["nextToken"] = token.as_str().into();
            }
            let page: Groups = self.ask("DescribeLogGroups", "*", &input).await?;
            let mut groups = page.log_groups.into_iter();
            if let Some(found) = groups.find(|it| it.log_group_name.as_deref() == Some(log_group)) {
                return Ok(found.stored_bytes);
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        Err(self.no_group(log_group))
    }

    fn no_group(&self, log_group: &str) -> CatalogError {
        CatalogError::ServiceError(format!(
            "there is no log group {log_group} in {}: name the one to which model invocation logging writes there, and only \
             source regions that have it",
            self.region
        ))
    }

    /// Starts a query, and waits while too many others run.
    async fn start(&self, query: Query<'_>) -> Result<String, CatalogError> {
        let input = json!({
            "logGroupName": query.log_group,
            "queryString": query.text,
            "startTime": query.since,
            "endTime": query.until,
            "limit": MOST_ROWS,
        });
        let (partition, region) = (self.region.partition().name, &self.region);
        let group = query.log_group;
        let resource = format!("arn:{partition}:logs:{region}:ACCOUNT:log-group:{group}:*");
        let mut tries = 0;
        loop {
            let call = call("StartQuery", &resource);
            let (failure, error) = match self.client.call(call, &input).await {
                Ok(body) => return Ok(self.read::<Started>(&body)?.query_id),
                Err(failed) => failed,
            };
            let is_missing = matches!(&failure, Failure::ErrorResponse(response) if response.code() == "ResourceNotFoundException");
            if is_missing {
                return Err(self.no_group(group));
            }
            let CatalogError::Throttled { retry_after, .. } = &error else {
                return Err(error);
            };
            tries += 1;
            if tries == STARTS {
                return Err(error);
            }
            let longest = pause::doubled(START, tries - 1, LONGEST_START);
            let own = pause::jittered(longest, 0.2, fastrand::f64());
            tokio::time::sleep(own.max(retry_after.unwrap_or_default())).await;
        }
    }

    /// Looks at a query until it has ended.
    async fn follow(
        &self,
        id: &str,
        most_bytes: u64,
        scanned: impl Fn(u64),
    ) -> Result<Answer, QueryError> {
        let (mut looks, mut failed) = (0, 0);
        loop {
            tokio::time::sleep(pause::doubled(LOOK, looks / 2, LONGEST_LOOK)).await;
            looks += 1;
            let found: Answered = match self
                .ask("GetQueryResults", "*", &json!({"queryId": id}))
                .await
            {
                Ok(found) => found,
                Err(error) => {
                    failed += 1;
                    if failed == FAILED_LOOKS || matches!(error, CatalogError::AccessDenied(_)) {
                        return Err(error.into());
                    }
                    continue;
                }
            };
            failed = 0;
            let bytes = bytes(found.statistics.bytes_scanned);
            scanned(bytes);
            match found.status.as_str() {
                "Complete" => return self.rows(id, found, bytes).await,
                "Scheduled" | "Running" | "Unknown" if bytes > most_bytes => {
                    return Err(QueryError::ScannedTooMuch(bytes));
                }
                "Scheduled" | "Running" | "Unknown" => {}
                status => return Err(self.ended(status).into()),
            }
        }
    }

    /// Returns all rows of a query that is complete.
    async fn rows(&self, id: &str, first: Answered, bytes: u64) -> Result<Answer, QueryError> {
        let mut answer = Answer {
            rows: Vec::new(),
            bytes_scanned: bytes,
        };
        let mut page = first;
        for _ in 0..MOST_PAGES {
            answer.rows.extend(page.results.into_iter().map(row));
            answer.rows.truncate(MOST_ROWS);
            let Some(token) = page.next_token.filter(|_| answer.rows.len() < MOST_ROWS) else {
                break;
            };
            let input = json!({"queryId": id, "nextToken": token});
            page = self.ask("GetQueryResults", "*", &input).await?;
        }
        Ok(answer)
    }

    fn ended(&self, status: &str) -> CatalogError {
        let advice = if status == "Timeout" {
            "it ran for 60 minutes: ask for a shorter time"
        } else {
            "try again"
        };
        CatalogError::ServiceError(format!(
            "CloudWatch Logs in {} ended the query ({status}): {advice}",
            self.region
        ))
    }

    /// Stops a query. Where that fails, it ends by itself.
    async fn stop(&self, id: &str) {
        let call = call("StopQuery", "*");
        if let Err((_, error)) = self.client.call(call, &json!({"queryId": id})).await {
            tracing::debug!(%error, "a query could not be stopped");
        }
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        resource: &str,
        input: &Value,
    ) -> Result<T, CatalogError> {
        let call = call(operation, resource);
        let body = self.client.call(call, input).await;
        self.read(&body.map_err(|(_, error)| error)?)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, body: &[u8]) -> Result<T, CatalogError> {
        serde_json::from_slice(body).map_err(|_| self.client.not_understood())
    }
}

/// A log group of model invocation logging, in each source region.
#[derive(Debug)]
pub struct InvocationLogs {
    shared: Shared,
    log_group: String,
}

impl InvocationLogs {
    /// Returns the logs. Sends nothing.
    #[must_use]
    pub fn new(shared: Shared, log_group: String) -> Self {
        Self { shared, log_group }
    }
}

impl served::Logs for InvocationLogs {
    /// Makes one query. Where this is dropped before its end, the query ends by itself.
    fn count<'a>(
        &'a self,
        region: &'a Region,
        window: Window,
    ) -> BoxFuture<'a, Result<Counted, CatalogError>> {
        async move {
            let text = insights::query(window);
            let query = Query {
                log_group: &self.log_group,
                text: &text,
                since: window.since,
                until: window.until,
                most_bytes: u64::MAX,
            };
            let logs = Logs::new(&self.shared, region);
            let answer = logs.run(query, |_| (), std::future::pending()).await;
            match answer {
                Ok(answer) => Ok(Counted {
                    counts: insights::found(&answer.rows, 0).counts,
                    bytes_scanned: answer.bytes_scanned,
                }),
                Err(QueryError::Failed(error)) => Err(error),
                Err(error) => Err(CatalogError::ServiceError(error.to_string())),
            }
        }
        .boxed()
    }
}

fn call<'a>(operation: &'static str, resource: &'a str) -> Call<'a> {
    let permission = match operation {
        "StartQuery" => "logs:StartQuery",
        "GetQueryResults" => "logs:GetQueryResults",
        "StopQuery" => "logs:StopQuery",
        _ => "logs:DescribeLogGroups",
    };
    Call {
        operation,
        permission,
        resource,
    }
}

fn row(fields: Vec<Field>) -> BTreeMap<String, String> {
    let fields = fields.into_iter();
    fields
        .filter_map(|it| Some((it.field?, it.value?)))
        .collect()
}

/// Returns the one number in the rows of an estimate: AWS does not document the name of its field.
fn estimate_of(rows: &[BTreeMap<String, String>]) -> Option<u64> {
    let [row] = rows else {
        return None;
    };
    let mut numbers = row.values().filter_map(|value| value.parse::<f64>().ok());
    let (Some(number), None) = (numbers.next(), numbers.next()) else {
        return None;
    };
    Some(bytes(number))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "AWS counts bytes in floating point; the conversion saturates"
)]
fn bytes(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_only_number_of_the_only_row() {
        let row = |fields: &[(&str, &str)]| {
            let fields = fields.iter();
            fields
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        for (rows, expected) in [
            (vec![], None),
            (vec![row(&[("estimatedBytes", "1048576")])], Some(1_048_576)),
            (
                vec![row(&[("a", "1.5E9"), ("@ptr", "Cm0K")])],
                Some(1_500_000_000),
            ),
            (vec![row(&[("a", "1"), ("b", "2")])], None),
            (vec![row(&[("a", "x")])], None),
            (vec![row(&[("a", "1")]), row(&[("a", "2")])], None),
        ] {
            assert_eq!(estimate_of(&rows), expected, "{rows:?}");
        }
    }
}
