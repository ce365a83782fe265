//! Options that several commands share.

use std::{fs, path::PathBuf, str::FromStr, sync::Arc};

use clap::Args;
use jiff::{Timestamp, civil::Date};

use crate::{
    catalog::{CatalogError, Source, embedded::Embedded, roles::AllowedRoles},
    lifecycle,
    residency::{Limit, LimitOrigin},
    sources::{
        Shared,
        bedrock::{self, Bedrock, CountRequests, SessionName, Timeouts, shared_profile},
        directory::Directory,
    },
    types::{AccountId, ModelId, Region},
};

use super::Error;

/// Where the catalog comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogSource {
    /// The live service.
    Bedrock,
    /// The data compiled in.
    Embedded,
    /// A directory of `<region>.json` files.
    Directory(PathBuf),
}

impl FromStr for CatalogSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("bedrock", _) => Ok(Self::Bedrock),
            ("embedded", _) => Ok(Self::Embedded),
            (_, Some(("directory", path))) if !path.is_empty() => Ok(Self::Directory(path.into())),
            _ => Err("expected bedrock, embedded or directory:PATH".to_owned()),
        }
    }
}

impl CatalogSource {
    /// Returns whether this is the live service. Only that knows roles.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Bedrock)
    }

    /// Opens the source. `region` is where the live service obtains credentials; `counter` counts the requests to it.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`] if a directory can't be read, [`CatalogError::EndpointUnreachable`] if the file in
    /// `AWS_CA_BUNDLE` can't be used.
    pub async fn open(
        &self,
        region: &Region,
        aws: &AwsOptions,
        roles: Roles,
        counter: Option<Arc<dyn CountRequests>>,
    ) -> Result<Arc<dyn Source>, CatalogError> {
        Ok(match self {
            Self::Bedrock => {
                let defaults = aws.bedrock_options(region)?;
                let options = bedrock::Options {
                    allowed_roles: roles.allowed,
                    session_name: roles.session_name.unwrap_or(defaults.session_name.clone()),
                    counter,
                    ..defaults
                };
                Arc::new(Bedrock::connect(options).await?)
            }
            Self::Embedded => Arc::new(Embedded::load()),
            Self::Directory(path) => Arc::new(Directory::open(path)?),
        })
    }
}

/// Returns what clients of AWS's other services share. `region` is where credentials are obtained.
///
/// # Errors
/// [`CatalogError::EndpointUnreachable`] if the file in `AWS_CA_BUNDLE` can't be used.
pub async fn aws(region: &Region) -> Result<Shared, CatalogError> {
    let defaults = bedrock::Options::new(region.clone(), Embedded::load());
    Shared::new(bedrock::Options {
        ca_bundle: ca_bundle()?,
        ..defaults
    })
    .await
}

/// Reads the file in `AWS_CA_BUNDLE`, which the SDK does not.
fn ca_bundle() -> Result<Option<Vec<u8>>, CatalogError> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    fs::read(&path).map(Some).map_err(|error| {
        CatalogError::EndpointUnreachable(format!(
            "AWS_CA_BUNDLE names {}, which can't be read ({error}): name a file of CA certificates in PEM, or unset it",
            path.display()
        ))
    })
}

/// How AWS is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct AwsOptions {
    /// Endpoint of the Bedrock control plane for one source region, such as a VPC endpoint without private DNS;
    /// repeatable, or comma-separated in the environment [default: that of the region]
    #[arg(
        long,
        env = "IPO_BEDROCK_ENDPOINT",
        value_name = "REGION=URL",
        value_delimiter = ','
    )]
    bedrock_endpoint: Vec<RegionEndpoint>,
}

impl AwsOptions {
    fn bedrock_options(&self, region: &Region) -> Result<bedrock::Options, CatalogError> {
        Ok(bedrock::Options {
            endpoints: self.endpoints(),
            ca_bundle: ca_bundle()?,
            ..bedrock::Options::new(region.clone(), Embedded::load())
        })
    }

    /// Returns the live service, to be examined. It assumes no roles.
    ///
    /// # Errors
    /// [`CatalogError::EndpointUnreachable`] if the file in `AWS_CA_BUNDLE` can't be used.
    pub(super) async fn bedrock(
        &self,
        region: &Region,
        timeouts: Timeouts,
        attempts: u32,
    ) -> Result<Bedrock, CatalogError> {
        let options = bedrock::Options {
            timeouts,
            attempts,
            ..self.bedrock_options(region)?
        };
        Bedrock::connect(options).await
    }

    fn endpoints(&self) -> std::collections::BTreeMap<Region, String> {
        self.bedrock_endpoint
            .iter()
            .map(|endpoint| (endpoint.region.clone(), endpoint.url.clone()))
            .collect()
    }
}

/// Where the control plane of one region is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RegionEndpoint {
    region: Region,
    url: String,
}

impl FromStr for RegionEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (region, url) = text
            .split_once('=')
            .ok_or("expected REGION=URL, such as eu-west-1=https://vpce-0a.bedrock.eu-west-1.vpce.amazonaws.com")?;
        if !["https://", "http://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(format!("{url:?} is not a URL: expected https://HOST"));
        }
        Ok(Self {
            region: region.parse().map_err(|error| format!("{error}"))?,
            url: url.to_owned(),
        })
    }
}

/// The roles that bindings may name.
#[derive(Debug, Clone, Args)]
pub struct RoleOptions {
    /// Roles that bindings of some namespaces may name: ARN;namespaces=A,B and optionally ;external-id=X, with at most 4 * in the
    /// role's name and in each namespace; repeatable, or separated by spaces in the environment [default: none]
    #[arg(long, env = "IPO_ALLOW_ROLE_ARN", value_name = "ENTRY")]
    allow_role_arn: Vec<String>,
    /// Name of these roles' sessions in CloudTrail, such as the cluster's name [default: inference-profile-operator-REGION]
    #[arg(long, env = "IPO_ROLE_SESSION_NAME", value_name = "NAME")]
    role_session_name: Option<SessionName>,
}

/// [`RoleOptions`], parsed. The default allows no roles.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// The allow-list.
    pub allowed: AllowedRoles,
    /// The name of the roles' sessions, if one was given.
    pub session_name: Option<SessionName>,
}

impl RoleOptions {
    /// Parses the options.
    ///
    /// # Errors
    /// [`Error::BadInput`] if the allow-list is not valid.
    pub fn parse(&self) -> Result<Roles, Error> {
        Ok(Roles {
            allowed: AllowedRoles::parse(&self.allow_role_arn)
                .map_err(|error| Error::BadInput(error.to_string()))?,
            session_name: self.role_session_name.clone(),
        })
    }
}

/// Which catalog to use.
#[derive(Debug, Clone, Args)]
pub struct CatalogOptions {
    /// Where inference profiles are looked up: bedrock asks AWS, embedded is the dated data in this program,
    /// directory:PATH reads files that `catalog export` or the AWS CLI wrote
    #[arg(
        long,
        value_name = "bedrock|embedded|directory:PATH",
        default_value = "embedded"
    )]
    pub catalog: CatalogSource,
    #[command(flatten)]
    pub(super) aws: AwsOptions,
}

impl CatalogOptions {
    /// Opens the source, without roles. `region` is where the live service obtains credentials.
    ///
    /// # Errors
    /// See [`CatalogSource::open`].
    pub async fn open(&self, region: &Region) -> Result<Arc<dyn Source>, CatalogError> {
        self.catalog
            .open(region, &self.aws, Roles::default(), None)
            .await
    }
}

/// The account, if the catalog does not name it.
#[derive(Debug, Clone, Args)]
pub struct AccountOptions {
    /// AWS account ID for the ARNs of profiles, if the catalog does not name it
    #[arg(long, value_name = "ACCOUNT-ID")]
    pub account: Option<AccountId>,
}

/// Where workloads call Bedrock from.
#[derive(Debug, Clone, Args)]
pub struct RegionOptions {
    /// Source region of requests that name none [env: `AWS_REGION`, `AWS_DEFAULT_REGION`] [default: `region` of the AWS profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
}

impl RegionOptions {
    /// Returns the region of the option, that of the environment, or that of the profile in AWS's shared configuration files. Instance
    /// metadata are never asked: where a pod happens to run must not decide.
    ///
    /// # Errors
    /// [`Error::BadInput`] if the environment or the profile has something other than a region name.
    pub fn optional(&self) -> Result<Option<Region>, Error> {
        Ok(self.found()?.map(|(region, _)| region))
    }

    /// Returns the region and what named it.
    ///
    /// # Errors
    /// As [`Self::optional`].
    pub(super) fn found(&self) -> Result<Option<(Region, String)>, Error> {
        if let Some(region) = &self.region {
            return Ok(Some((region.clone(), "--region".to_owned())));
        }
        region_around()
    }

    /// Returns the region, which is required.
    ///
    /// # Errors
    /// [`Error::BadInput`] if neither the option, the environment nor the profile names one.
    pub fn required(&self) -> Result<Region, Error> {
        self.optional()?.ok_or_else(|| {
            Error::BadInput(
                "no source region: give --region or set AWS_REGION, or `region` in the AWS profile"
                    .to_owned(),
            )
        })
    }
}

/// Returns the region in `AWS_REGION` or `AWS_DEFAULT_REGION`, or that of the AWS profile.
///
/// # Errors
/// [`Error::BadInput`] if the value is not a region name.
pub fn region_of_environment() -> Result<Option<Region>, Error> {
    Ok(region_around()?.map(|(region, _)| region))
}

fn region_around() -> Result<Option<(Region, String)>, Error> {
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter();
    let named = variables
        .filter_map(|name| Some((std::env::var(name).ok()?, name.to_owned())))
        .find(|(value, _)| !value.is_empty());
    let of_profile = || {
        // What can't be read is told where credentials are needed.
        let profile = shared_profile().ok().flatten()?;
        let name = format!("region of the AWS profile {}", profile.name);
        Some((profile.region?, name))
    };
    let named = named.or_else(of_profile);
    named
        .map(|(value, name)| match value.parse() {
            Ok(region) => Ok((region, name)),
            Err(error) => Err(Error::BadInput(format!("{name}: {error}"))),
        })
        .transpose()
}

/// The day on which the lifecycles of models are judged.
#[derive(Debug, Clone, Default, Args)]
pub struct DayOptions {
    /// Day on which the lifecycles of models are judged, such as 2027-04-09, to see what is to come [default: today, in UTC]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub at: Option<Date>,
}

impl DayOptions {
    /// Returns the time to plan for, in seconds since the Unix epoch: now, or the first moment of the given day.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.at
            .map_or_else(|| Timestamp::now().as_second(), lifecycle::start_of)
    }

    /// Returns the day.
    #[must_use]
    pub fn day(&self) -> Date {
        self.at.unwrap_or_else(|| lifecycle::day_of(self.now()))
    }
}

fn date(text: &str) -> Result<Date, String> {
    let is_plain = text.len() == 10 && text.starts_with("20");
    let date = text.parse().ok().filter(|_| is_plain);
    date.ok_or_else(|| {
        format!("{text:?} is not a date from 2000 to 2099: expected one such as 2027-04-09")
    })
}

fn days(text: &str) -> Result<u32, String> {
    let expected = || format!("{text:?} is not a number of days: expected one such as 60");
    text.parse().map_err(|_| expected())
}

/// How long the models in use must live.
#[derive(Debug, Clone, Default, Args)]
pub struct EndOfLifeOptions {
    /// Exits with 3 where the life of a model ends in fewer days
    #[arg(long, value_name = "DAYS", value_parser = days, allow_negative_numbers = true)]
    pub min_days_to_end_of_life: Option<u32>,
}

impl EndOfLifeOptions {
    /// Returns a remark for the case that nothing is known of a model's life: it proves nothing that there is no problem.
    #[must_use]
    pub fn unknown(&self, model: &ModelId, region: &Region) -> Option<String> {
        self.min_days_to_end_of_life?;
        Some(format!(
            "the life of {model} in {region} is not known, so --min-days-to-end-of-life does not judge it"
        ))
    }

    /// Returns why a model does not live long enough, or `None` if it does, or if the end of its life is not known.
    #[must_use]
    pub fn problem(&self, model: &ModelId, end: Option<Date>, day: Date) -> Option<String> {
        let wanted = self.min_days_to_end_of_life?;
        let end = end?;
        let left = lifecycle::days_between(day, end);
        (i64::from(left) < i64::from(wanted)).then(|| {
            let when = match left {
                ..=0 => format!("ended on {end}"),
                1 => format!("ends on {end}, in 1 day"),
                _ => format!("ends on {end}, in {left} days"),
            };
            format!("the life of {model} {when}: --min-days-to-end-of-life asks for {wanted}")
        })
    }
}

/// The operator's residency limit.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitOptions {
    /// Regions that requests may reach: names, patterns with at most 4 *, sets (@eu @eea @uk @ch @us @ca @jp @au @in), or
    /// * for any region; repeatable or comma-separated, at most 64 entries [default: no limit]
    #[arg(
        long,
        env = "IPO_ALLOWED_REGIONS",
        value_name = "LIMIT",
        value_delimiter = ','
    )]
    pub allowed_regions: Vec<String>,
}

impl LimitOptions {
    /// Returns the limit, or `None` if none was given.
    ///
    /// # Errors
    /// [`Error::BadInput`] if it is not a valid limit.
    pub fn parse(&self) -> Result<Option<Limit>, Error> {
        if self.allowed_regions.is_empty() {
            return Ok(None);
        }
        Limit::parse(LimitOrigin::Operator, &self.allowed_regions)
            .map(Some)
            .map_err(|error| Error::BadInput(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_regions() {
        let endpoint: RegionEndpoint = "eu-west-1=https://vpce-0a.example"
            .parse()
            .expect("endpoint");
        assert_eq!(endpoint.region.as_str(), "eu-west-1");
        assert_eq!(endpoint.url, "https://vpce-0a.example");
        for text in [
            "",
            "eu-west-1",
            "eu-west-1=vpce-0a.example",
            "nowhere=https://a",
        ] {
            assert!(text.parse::<RegionEndpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_model_must_live_as_long_as_is_asked() {
        let model: ModelId = "a.b".parse().expect("a model");
        let day = jiff::civil::date(2027, 3, 9);
        let end = |days: i32| day.checked_add(jiff::Span::new().days(days)).ok();
        for (wanted, end, says) in [
            (None, end(-5), None),
            (Some(30), None, None),
            (Some(30), end(30), None),
            (Some(30), end(29), Some("ends on 2027-04-07, in 29 days")),
            (Some(2), end(1), Some("ends on 2027-03-10, in 1 day:")),
            (Some(1), end(0), Some("ended on 2027-03-09")),
            (Some(0), end(0), None),
            (Some(0), end(-1), Some("ended on 2027-03-08")),
        ] {
            let options = EndOfLifeOptions {
                min_days_to_end_of_life: wanted,
            };
            let problem = options.problem(&model, end, day);
            match says {
                None => assert_eq!(problem, None, "{wanted:?} {end:?}"),
                Some(says) => {
                    let problem = problem.expect(says);
                    assert!(problem.contains(says), "{problem}");
                }
            }
        }
    }

    #[test]
    fn catalog_sources() {
        for (text, source) in [
            ("bedrock", CatalogSource::Bedrock),
            ("embedded", CatalogSource::Embedded),
            ("directory:/a:b", CatalogSource::Directory("/a:b".into())),
        ] {
            assert_eq!(text.parse(), Ok(source), "{text}");
        }
        for text in ["", "live", "directory", "directory:", "embedded:x"] {
            assert!(text.parse::<CatalogSource>().is_err(), "{text}");
        }
    }
}
