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
    types::{AccountId, Region},
};

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
