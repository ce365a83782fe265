//! The same count in Amazon Athena: table definitions with partition projection, and the query.
//!
//! Sources: <https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html>,
//! <https://docs.aws.amazon.com/athena/latest/ug/cloudtrail-logs.html>,
//! <https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html>

use std::fmt::Write;

use super::record::OPERATIONS;
use crate::types::{AccountId, Region};

/// What the tables are about.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Where invocation logs are: what comes before `AWSLogs/` in S3, without a slash at the end.
    pub invocation_logs: Option<String>,
    /// Where CloudTrail's files are.
    pub cloudtrail: Option<String>,
    /// The accounts.
    pub accounts: Vec<AccountId>,
    /// The source regions.
    pub regions: Vec<Region>,
    /// The first day, as YYYY/MM/DD.
    pub since: String,
    /// The last day, as YYYY/MM/DD.
    pub until: String,
}

const INVOCATION_LOGS: &str = "bedrock_invocation_logs";
const CLOUDTRAIL: &str = "bedrock_cloudtrail";

/// The day on which Bedrock became generally available. Which days a query reads, the query says.
const EARLIEST: &str = "2023/09/28";

/// Returns the definitions of the tables. Each ends with `;`.
#[must_use]
pub fn tables(logs: &Logs) -> String {
    let mut sql = String::new();
    if let Some(location) = &logs.invocation_logs {
        sql += &invocation_logs(logs, location);
    }
    if let Some(location) = &logs.cloudtrail {
        sql += &cloudtrail(logs, location);
    }
    sql
}

fn invocation_logs(logs: &Logs, location: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {INVOCATION_LOGS} (
  schematype string,
  `timestamp` string,
  region string,
  requestid string,
  modelid string,
  errorcode string,
  input struct<inputtokencount:bigint, cachereadinputtokencount:bigint, cachewriteinputtokencount:bigint>,
  output struct<outputtokencount:bigint>,
  inferenceregion string
)
PARTITIONED BY (account string, source string, hour string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true')
LOCATION '{location}/AWSLogs/'
{}",
        properties(
            logs,
            "hour",
            "yyyy/MM/dd/HH",
            &format!("{location}/AWSLogs/${{account}}/BedrockModelInvocationLogs/${{source}}/${{hour}}/")
        )
    )
}

fn cloudtrail(logs: &Logs, location: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {CLOUDTRAIL} (
  eventtime string,
  eventsource string,
  eventname string,
  awsregion string,
  errorcode string,
  requestparameters string,
  additionaleventdata string,
  requestid string
)
PARTITIONED BY (account string, source string, day string)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION '{location}/AWSLogs/'
{}",
        properties(
            logs,
            "day",
            "yyyy/MM/dd",
            &format!("{location}/AWSLogs/${{account}}/CloudTrail/${{source}}/${{day}}/")
        )
    )
}

/// Returns the properties by which Athena works out the partitions, instead of listing the bucket.
fn properties(logs: &Logs, column: &str, format: &str, template: &str) -> String {
    let accounts: Vec<&str> = logs.accounts.iter().map(AccountId::as_str).collect();
    let regions: Vec<&str> = logs.regions.iter().map(Region::as_str).collect();
    let (unit, begin) = if column == "hour" {
        ("HOURS", format!("{EARLIEST}/00"))
    } else {
        ("DAYS", EARLIEST.to_owned())
    };
    format!(
        "TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.account.type' = 'enum',
  'projection.account.values' = '{}',
  'projection.source.type' = 'enum',
  'projection.source.values' = '{}',
  'projection.{column}.type' = 'date',
  'projection.{column}.format' = '{format}',
  'projection.{column}.range' = '{begin},NOW',
  'projection.{column}.interval' = '1',
  'projection.{column}.interval.unit' = '{unit}',
  'storage.location.template' = '{template}'
);
",
        accounts.join(","),
        regions.join(","),
    )
}

/// Returns the query. It gives a row for each profile, source region and region served.
#[must_use]
pub fn query(logs: &Logs) -> String {
    let (since, until) = (&logs.since, &logs.until);
    let mut records = Vec::new();
    if logs.invocation_logs.is_some() {
        records.push(format!(
            "  SELECT requestid, modelid, region AS source_region, inferenceregion AS served_in, \"timestamp\" AS seen,
    input.inputtokencount AS input_tokens, output.outputtokencount AS output_tokens,
    input.cachereadinputtokencount AS cache_read_input_tokens, input.cachewriteinputtokencount AS cache_write_input_tokens
  FROM {INVOCATION_LOGS}
  WHERE hour BETWEEN '{since}/00' AND '{until}/23'
    AND \"$path\" NOT LIKE '%/BedrockModelInvocationLogs/%/data/%'
    AND schematype = 'ModelInvocationLog'
    AND (errorcode IS NULL OR inferenceregion IS NOT NULL)\n"
        ));
    }
    if logs.cloudtrail.is_some() {
        let operations = OPERATIONS.map(|name| format!("'{name}'")).join(", ");
        records.push(format!(
            "  SELECT requestid, json_extract_scalar(requestparameters, '$.modelId') AS modelid, awsregion AS source_region,
    json_extract_scalar(additionaleventdata, '$.inferenceRegion') AS served_in, eventtime AS seen,
    CAST(NULL AS bigint) AS input_tokens, CAST(NULL AS bigint) AS output_tokens,
    CAST(NULL AS bigint) AS cache_read_input_tokens, CAST(NULL AS bigint) AS cache_write_input_tokens
  FROM {CLOUDTRAIL}
  WHERE day BETWEEN '{since}' AND '{until}'
    AND eventsource = 'bedrock.amazonaws.com' AND eventname IN ({operations})
    AND (errorcode IS NULL OR json_extract_scalar(additionaleventdata, '$.inferenceRegion') IS NOT NULL)\n"
        ));
    }
    let mut sql = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        sql,
        "WITH records AS (
{}), requests AS (
  SELECT requestid,
    max(regexp_replace(modelid, '^arn:[^:]*:bedrock:[^:]*:[^:]*:(inference-profile|foundation-model)/', '')) AS profile,
    max(source_region) AS source_region, max(served_in) AS served_in, min(seen) AS first_seen, max(seen) AS last_seen,
    max(input_tokens) AS input_tokens, max(output_tokens) AS output_tokens,
    max(cache_read_input_tokens) AS cache_read_input_tokens, max(cache_write_input_tokens) AS cache_write_input_tokens
  FROM records
  WHERE requestid <> '' AND modelid <> '' AND source_region <> ''
  GROUP BY requestid
)
SELECT profile, source_region, served_in, count(*) AS requests,
  coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
  coalesce(sum(cache_read_input_tokens), 0) AS cache_read_input_tokens,
  coalesce(sum(cache_write_input_tokens), 0) AS cache_write_input_tokens,
  min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM requests
GROUP BY profile, source_region, served_in
ORDER BY profile, source_region, served_in;
",
        records.join("  UNION ALL\n")
    );
    sql
}
