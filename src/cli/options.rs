//! Options that several commands share.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use clap::Args;

use crate::{
    catalog::{
        CatalogError, Source,
        bedrock::{self, Bedrock},
        directory::Directory,
        embedded::Embedded,
    },
    residency::{Limit, LimitOrigin},
    types::{AccountId, Region},
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
    /// Says whether this is the live service: only that one is asked by a role.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Bedrock)
    }

    /// Opens the source. `region` is where the live service obtains credentials.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`] where a directory can't be read.
    pub async fn open(&self, region: &Region) -> Result<Arc<dyn Source>, CatalogError> {
        Ok(match self {
            Self::Bedrock => {
                Arc::new(Bedrock::connect(bedrock::Options::new(region.clone())).await)
            }
            Self::Embedded => Arc::new(Embedded::load()),
            Self::Directory(path) => Arc::new(Directory::open(path)?),
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
}

/// The account, where the catalog does not know it.
#[derive(Debug, Clone, Args)]
pub struct AccountOptions {
    /// AWS account ID for the ARNs of profiles, where the catalog does not know it
    #[arg(long, value_name = "ACCOUNT-ID")]
    pub account: Option<AccountId>,
}

/// Where workloads call Bedrock from.
#[derive(Debug, Clone, Args)]
pub struct RegionOptions {
    /// Source region of requests that name none [env: `AWS_REGION`, `AWS_DEFAULT_REGION`]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
}

impl RegionOptions {
    /// Returns the region of the flag, else that of the environment. Instance metadata are never asked: a region that
    /// depends on where a pod landed is no decision.
    ///
    /// # Errors
    /// [`Error::BadInput`] where the environment holds no region name.
    pub fn optional(&self) -> Result<Option<Region>, Error> {
        if self.region.is_some() {
            return Ok(self.region.clone());
        }
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| {
                std::env::var(name)
                    .ok()
                    .filter(|value| !value.is_empty())
                    .map(|value| (name, value))
            });
        named
            .map(|(name, value)| {
                value
                    .parse()
                    .map_err(|error| Error::BadInput(format!("{name}: {error}")))
            })
            .transpose()
    }

    /// Returns the region, which must be known.
    ///
    /// # Errors
    /// [`Error::BadInput`] where neither the flag nor the environment names one.
    pub fn required(&self) -> Result<Region, Error> {
        self.optional()?.ok_or_else(|| {
            Error::BadInput("no source region: give --region or set AWS_REGION".to_owned())
        })
    }
}

/// The residency limit of the operator.
#[derive(Debug, Clone, Args)]
pub struct LimitOptions {
    /// Regions that requests may reach: names, patterns with *, sets (@eu @eea @uk @ch @us @ca @jp @au @in), or * for no
    /// border; repeatable or comma-separated [default: no limit]
    #[arg(
        long,
        env = "IPO_ALLOWED_REGIONS",
        value_name = "LIMIT",
        value_delimiter = ','
    )]
    pub allowed_regions: Vec<String>,
}

impl LimitOptions {
    /// Returns the limit; nothing where none was given.
    ///
    /// # Errors
    /// [`Error::BadInput`] where an entry is no limit.
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
