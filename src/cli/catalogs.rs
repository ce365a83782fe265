//! The catalogs that a command asks for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::options::CatalogOptions;
use crate::catalog::{
    Applications, Catalog, CatalogError, FeedKey, FeedState, Freshness, Source,
    application::ApplicationsFailure,
};

/// A source that is opened when it is first asked, and what it has listed. Each role and region is asked once, even if that
/// fails.
pub(super) struct Catalogs<'a> {
    options: &'a CatalogOptions,
    source: Option<Arc<dyn Source>>,
    /// Those whose application profiles are listed too.
    with_applications: HashSet<FeedKey>,
    listed: HashMap<FeedKey, Result<Arc<Catalog>, CatalogError>>,
}

impl<'a> Catalogs<'a> {
    /// Returns the catalogs of a source, without opening it.
    pub(super) fn new(options: &'a CatalogOptions) -> Self {
        Self {
            options,
            source: None,
            with_applications: HashSet::new(),
            listed: HashMap::new(),
        }
    }

    /// Adds application profiles to the catalogs of these, which have not been listed yet. Where they can't be listed, the catalog
    /// says so.
    pub(super) fn with_applications(mut self, keys: impl IntoIterator<Item = FeedKey>) -> Self {
        self.with_applications.extend(keys);
        self
    }

    /// Returns the catalog of a role and region.
    pub(super) async fn catalog(&mut self, key: &FeedKey) -> Result<Arc<Catalog>, CatalogError> {
        self.list(key).await?
    }

    /// Returns what a feed of a role and region would know. A failed listing is a state; only a source that can't be opened is an
    /// error.
    pub(super) async fn state(&mut self, key: &FeedKey) -> Result<FeedState, CatalogError> {
        Ok(match self.list(key).await? {
            Ok(catalog) => FeedState {
                freshness: if catalog.source().is_live() {
                    Freshness::Fresh
                } else {
                    Freshness::Snapshot
                },
                catalog: Some(catalog),
            },
            Err(error) => FeedState {
                catalog: None,
                freshness: Freshness::failed(&error),
            },
        })
    }

    async fn list(
        &mut self,
        key: &FeedKey,
    ) -> Result<Result<Arc<Catalog>, CatalogError>, CatalogError> {
        if let Some(listed) = self.listed.get(key) {
            return Ok(listed.clone());
        }
        let source = match &self.source {
            Some(source) => source.clone(),
            None => self
                .source
                .insert(self.options.open(&key.region).await?)
                .clone(),
        };
        let mut listed = source.list(key).await;
        if let Ok(catalog) = &mut listed
            && self.with_applications.contains(key)
        {
            add_applications(&*source, key, catalog).await;
        }
        let listed = listed.map(Arc::new);
        self.listed.insert(key.clone(), listed.clone());
        Ok(listed)
    }
}

/// Lists the application profiles of a catalog too, if its source has them apart. A failure stands in the catalog.
pub(super) async fn add_applications(source: &dyn Source, key: &FeedKey, catalog: &mut Catalog) {
    let Some(listing) = source.applications(key, catalog) else {
        return;
    };
    let applications = match listing.await {
        Ok(profiles) => Applications::listed(profiles),
        Err(error) => Applications::default().failed(ApplicationsFailure {
            reason: error.reason(),
            message: error.to_string().into(),
            is_overdue: true,
        }),
    };
    *catalog = catalog.clone().with_applications(applications);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        api::condition::Reason,
        cli::options::{AwsOptions, CatalogSource},
    };

    #[tokio::test]
    async fn each_region_is_asked_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let listing = directory.path().join("eu-west-1.json");
        let write = || fs::write(&listing, r#"{"inferenceProfileSummaries": []}"#);
        write().expect("a listing");
        let options = CatalogOptions {
            catalog: CatalogSource::Directory(directory.path().to_owned()),
            aws: AwsOptions::default(),
        };
        let key = FeedKey {
            role: None,
            region: "eu-west-1".parse().expect("a region"),
        };
        let mut there = Catalogs::new(&options);
        let first = there.catalog(&key).await.expect("a catalog");
        fs::remove_file(&listing).expect("removed");
        assert!(Arc::ptr_eq(
            &first,
            &there.catalog(&key).await.expect("the same")
        ));
        let state = there.state(&key).await.expect("a state");
        assert_eq!(state.freshness, Freshness::Snapshot);
        assert!(Arc::ptr_eq(&first, &state.catalog.expect("the same")));

        let mut missing = Catalogs::new(&options);
        assert!(missing.catalog(&key).await.is_err());
        write().expect("a listing");
        let state = missing.state(&key).await.expect("a state");
        assert!(state.catalog.is_none());
        let Freshness::Failed { reason, .. } = state.freshness else {
            panic!("{:?}", state.freshness)
        };
        assert_eq!(reason, Reason::SnapshotInvalid);
    }

    #[tokio::test]
    async fn a_source_that_can_not_be_opened_is_an_error() {
        let options = CatalogOptions {
            catalog: CatalogSource::Directory("/nowhere/at/all".into()),
            aws: AwsOptions::default(),
        };
        let key = FeedKey {
            role: None,
            region: "eu-west-1".parse().expect("a region"),
        };
        assert!(Catalogs::new(&options).state(&key).await.is_err());
    }
}
