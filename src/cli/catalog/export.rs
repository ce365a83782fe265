//! `catalog export`: listings as files, for `--catalog directory:PATH`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{account, has_nothing, list_catalogs, nothing_listed};
use crate::{
    catalog::{
        Catalog, application,
        embedded::Embedded,
        listing::{self, Listing, Summary},
        regions::Absence,
    },
    cli::{
        Error,
        options::{AccountOptions, CatalogOptions},
        output::{self, json},
    },
    sources::directory::{Directory, MANIFEST, Manifest, sha256_hex},
    types::{AccountId, Region},
};

/// `catalog export`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator catalog export catalog/ --catalog bedrock \\\n    --region eu-west-1\n  inference-profile-operator catalog export catalog/ --account 111122223333\n  inference-profile-operator explain amazon.nova-lite-v1:0 --geography eu \\\n    --region eu-west-1 --catalog directory:catalog/"
)]
pub struct ExportArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    account: AccountOptions,
    /// Source region; repeatable [default: all regions of the catalog; with --catalog bedrock the one in `AWS_REGION`]
    #[arg(long, value_name = "REGION")]
    region: Vec<Region>,
    /// Exports application profiles too: their names tell what runs in the account
    #[arg(long)]
    application_profiles: bool,
    /// Overwrites files that are not an unchanged earlier export
    #[arg(long)]
    force: bool,
    /// Directory to write into; created if it does not exist
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) async fn run(args: ExportArgs) -> Result<String, Error> {
    let with_applications = args.application_profiles;
    let catalogs = list_catalogs(&args.catalog, &args.region, with_applications).await?;
    if let Some(why) = catalogs.iter().find_map(|catalog| no_region(catalog)) {
        return Err(Error::BadInput(why));
    }
    let account = args.account.account.as_ref();
    let snapshot = snapshot(&catalogs, account, with_applications, &output::now())?;
    fs::create_dir_all(&args.directory).map_err(unwritable(&args.directory))?;
    if !args.force {
        check_overwrite(&args.directory, &snapshot)?;
    }
    for (name, text) in snapshot.files()? {
        let path = args.directory.join(name);
        fs::write(&path, text).map_err(unwritable(&path))?;
    }
    let written = format!(
        "wrote {} listings of {} and {MANIFEST} into {}",
        snapshot.listings.len(),
        snapshot.manifest.as_of.as_deref().unwrap_or_default(),
        args.directory.display()
    );
    let empty = catalogs
        .iter()
        .filter_map(|catalog| nothing_listed(catalog));
    Ok(std::iter::once(written)
        .chain(empty)
        .collect::<Vec<_>>()
        .join("\n"))
}

/// Says that a region does not exist, by the embedded data, where AWS has nothing of it either: a file of it would say that
/// AWS has nothing there.
fn no_region(catalog: &Catalog) -> Option<String> {
    let region = catalog.source_region();
    match Embedded::load().regions().absence(region) {
        // Files may be of a region that is newer than the embedded data.
        Some(why @ Absence::NoRegion { .. })
            if has_nothing(catalog) && catalog.source().is_live() =>
        {
            Some(format!("--region {region}: nothing is listed there: {why}"))
        }
        _ => None,
    }
}

/// The files of an export: equal catalogs make equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snapshot {
    listings: BTreeMap<String, String>,
    manifest: Manifest,
}

impl Snapshot {
    /// Returns names and contents, the manifest last: someone who reads while an earlier export is overwritten sees wrong hashes
    /// instead of a mixture.
    fn files(&self) -> Result<impl Iterator<Item = (&str, String)>, Error> {
        let manifest = json(&self.manifest)?;
        let listings = self
            .listings
            .iter()
            .map(|(name, text)| (name.as_str(), text.clone()));
        Ok(listings.chain([(MANIFEST, manifest)]))
    }
}

fn snapshot(
    catalogs: &[Arc<Catalog>],
    given: Option<&AccountId>,
    with_applications: bool,
    now: &str,
) -> Result<Snapshot, Error> {
    let mut listings = BTreeMap::new();
    let mut accounts = BTreeSet::new();
    let mut dates = BTreeSet::new();
    for catalog in catalogs {
        let account = account(catalog, given)?;
        let region = catalog.source_region();
        let profiles = catalog.profiles().iter();
        let mut summaries: Vec<_> = profiles
            .map(|profile| listing::summary(profile, region, account))
            .collect();
        if with_applications {
            summaries.extend(application_summaries(catalog)?);
        }
        let listing = Listing {
            summaries,
            next_token: None,
        };
        listings.insert(format!("{region}.json"), json(&listing)?);
        accounts.insert(account.cloned());
        dates.insert(catalog.as_of().unwrap_or(now));
    }
    if accounts.len() > 1 {
        return Err(Error::BadInput(
            "the listings belong to different accounts: export each account into its own directory"
                .to_owned(),
        ));
    }
    let manifest = Manifest {
        // The oldest date: no listing must seem newer than it is.
        as_of: dates.first().map(|date| (*date).to_owned()),
        account: accounts.pop_first().flatten(),
        application_profiles: with_applications,
        sha256: listings
            .iter()
            .map(|(name, text)| (name.clone(), sha256_hex(text.as_bytes())))
            .collect(),
    };
    Ok(Snapshot { listings, manifest })
}

fn application_summaries(catalog: &Catalog) -> Result<Vec<Summary>, Error> {
    let region = catalog.source_region();
    let applications = catalog.applications();
    let unknown = || {
        let why = match applications.failure() {
            Some(failure) => failure.message.to_string(),
            None => format!(
                "the {} catalog has none: ask AWS with --catalog bedrock",
                catalog.source().as_str()
            ),
        };
        Error::BadInput(format!(
            "--application-profiles: those of {region} can't be listed: {why}"
        ))
    };
    let profiles = applications.profiles().ok_or_else(unknown)?;
    let summaries = profiles.iter();
    Ok(summaries
        .filter_map(|profile| application::summary(profile, region))
        .collect())
}

/// Refuses a directory with files that are not an unchanged earlier export of the same regions.
fn check_overwrite(directory: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let refuse = |name: &str, why: &str| {
        Err(Error::BadInput(format!(
            "{}: {why}; choose another directory, or give --force to overwrite what is there",
            directory.join(name).display()
        )))
    };
    let present = Directory::open(directory)?;
    let Ok(manifest) = present.manifest() else {
        return refuse(MANIFEST, "this is not the manifest of an export");
    };
    for region in present.regions()? {
        let name = format!("{region}.json");
        if !snapshot.listings.contains_key(&name) {
            return refuse(
                &name,
                "this export does not contain the region, but its manifest would cover the file too",
            );
        }
        let path = directory.join(&name);
        let bytes = fs::read(&path).map_err(|source| Error::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        if manifest.sha256.get(&name) != Some(&sha256_hex(&bytes)) {
            return refuse(&name, "this file is not an unchanged earlier export");
        }
    }
    Ok(())
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Unwritable { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::tests::embedded;

    #[test]
    fn equal_catalogs_make_equal_bytes() {
        let once = snapshot(&embedded(&["us-east-1"]), None, false, "now").expect("snapshot");
        assert_eq!(
            once,
            snapshot(&embedded(&["us-east-1"]), None, false, "later").expect("snapshot")
        );
        let names: Vec<&str> = once.files().expect("files").map(|(name, _)| name).collect();
        assert_eq!(names, ["us-east-1.json", MANIFEST]);
    }

    #[test]
    fn an_export_overwrites_only_an_unchanged_export() {
        let of =
            |regions: &[&str]| snapshot(&embedded(regions), None, false, "now").expect("snapshot");
        let ireland = of(&["eu-west-1"]);
        let dir = tempfile::tempdir().expect("directory");
        let write = || {
            for (name, text) in ireland.files().expect("files") {
                fs::write(dir.path().join(name), text).expect("file");
            }
        };
        assert!(check_overwrite(dir.path(), &ireland).is_ok(), "empty");
        write();
        assert!(check_overwrite(dir.path(), &ireland).is_ok(), "own");
        assert!(check_overwrite(dir.path(), &of(&["eu-west-1", "eu-west-2"])).is_ok());
        for (file, text) in [
            ("eu-west-1.json", "{}"),
            ("eu-west-3.json", "{}"),
            (MANIFEST, "[]"),
            (MANIFEST, "{}"),
        ] {
            write();
            fs::write(dir.path().join(file), text).expect("file");
            let error = check_overwrite(dir.path(), &ireland).expect_err(file);
            assert!(error.to_string().contains("--force"), "{error}");
            assert_eq!(error.exit_code(), 2);
            fs::remove_file(dir.path().join(file)).expect("file");
        }
    }
}
