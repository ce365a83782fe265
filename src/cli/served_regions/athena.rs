//! Options of `--athena`, and what they print.

use clap::Args;
use jiff::civil::Date;

use crate::{
    catalog::embedded::Embedded,
    cli::Error,
    served::athena::{Logs, query, tables},
    types::{AccountId, Region},
};

/// What Athena shall read.
#[derive(Debug, Clone, Default, Args)]
pub struct AthenaOptions {
    /// Prints SQL for Amazon Athena that gives the same table, instead of reading anything
    #[arg(long, group = "subject", conflicts_with_all = ["paths", "bindings", "cluster", "application_profiles"])]
    athena: bool,
    /// Where model invocation logs are in S3: what comes before `AWSLogs/`
    #[arg(long, value_name = "S3-URI", requires = "athena", value_parser = location)]
    athena_location: Option<String>,
    /// Where CloudTrail's files are in S3: what comes before `AWSLogs/`
    #[arg(long, value_name = "S3-URI", requires = "athena", value_parser = location)]
    athena_cloudtrail_location: Option<String>,
    /// Account whose logs are read; repeatable or comma-separated
    #[arg(
        long,
        value_name = "ACCOUNT-ID",
        requires = "athena",
        value_delimiter = ','
    )]
    athena_account: Vec<AccountId>,
    /// Source region whose logs are read; repeatable or comma-separated [default: all that the embedded data know]
    #[arg(
        long,
        value_name = "REGION",
        requires = "athena",
        value_delimiter = ','
    )]
    athena_region: Vec<Region>,
    /// First day to read, such as 2026-11-01
    #[arg(long, value_name = "DATE", requires = "athena")]
    athena_since: Option<Date>,
    /// Last day to read [default: the first]
    #[arg(long, value_name = "DATE", requires = "athena_since")]
    athena_until: Option<Date>,
}

impl AthenaOptions {
    pub(super) fn is_asked_for(&self) -> bool {
        self.athena
    }

    /// Returns the definitions of the tables, and the query.
    pub(super) fn sql(&self) -> Result<String, Error> {
        let missing = |what: &str| Err(Error::BadInput(format!("--athena needs {what}")));
        if self.athena_location.is_none() && self.athena_cloudtrail_location.is_none() {
            return missing("--athena-location, --athena-cloudtrail-location or both");
        }
        if self.athena_account.is_empty() {
            return missing("--athena-account: the account that the logs are of");
        }
        let Some(since) = self.athena_since else {
            return missing("--athena-since: what is read costs money, so the days are named");
        };
        let until = self.athena_until.unwrap_or(since);
        if until < since {
            return missing("an --athena-until that is not before --athena-since");
        }
        let mut regions = self.athena_region.clone();
        if regions.is_empty() {
            regions.extend(Embedded::load().source_regions().cloned());
        }
        let day = |day: Date| day.strftime("%Y/%m/%d").to_string();
        let logs = Logs {
            invocation_logs: self.athena_location.clone(),
            cloudtrail: self.athena_cloudtrail_location.clone(),
            accounts: self.athena_account.clone(),
            regions,
            since: day(since),
            until: day(until),
        };
        Ok(format!("{}\n{}", tables(&logs), query(&logs)))
    }
}

/// Checks a location, and leaves out the slash at its end. It stands in SQL.
fn location(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/!*()=".contains(c);
    match text.strip_prefix("s3://") {
        Some(rest) if !rest.is_empty() && rest.chars().all(is_plain) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("expected s3://BUCKET or s3://BUCKET/PREFIX, without quotes".to_owned()),
    }
}
