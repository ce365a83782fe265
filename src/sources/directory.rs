//! Catalogs from files: `<region>.json`, each as `aws bedrock list-inference-profiles --output json` prints it.
//!
//! Besides the commands, the only place that reads files. They are small and read at once, without a thread of their own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
};

use futures::future::{self, BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::log_left_out;
use crate::{
    catalog::{
        Applications, Catalog, CatalogError, FeedKey, Source, SourceKind, application,
        listing::{self, Contradiction, Listing},
    },
    types::{AccountId, Region},
};

/// Name of the optional file that says of what date and account the others are.
pub const MANIFEST: &str = "manifest.json";
/// The most bytes of a file. The longest listing of AWS has less than one in a hundred of it.
const MOST_BYTES: u64 = 16 << 20;

/// What `manifest.json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// When the listings were made, an RFC 3339 date or time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The account that was asked; needed where the ARNs of the listings do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Whether the listings have the application profiles too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub application_profiles: bool,
    /// File name -> SHA-256 of its bytes in hexadecimal. A file that is not named here is not checked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

/// A directory of listings.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens a directory of listings. Its files are read anew for each listing.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`] if `path` is not a readable directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CatalogError> {
        let directory = Self { path: path.into() };
        directory.regions()?;
        Ok(directory)
    }

    /// Returns the regions that there is a file of, sorted.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`] where the directory can't be read.
    pub fn regions(&self) -> Result<Vec<Region>, CatalogError> {
        let unreadable = |error| {
            let path = self.path.display();
            invalid(format!(
                "the catalog directory {path} can't be read: {error}; give a directory of <region>.json files, as \
                 `catalog export` writes it"
            ))
        };
        let mut regions = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let region = name.to_str().and_then(|name| name.strip_suffix(".json"));
            regions.extend(region.and_then(|name| name.parse::<Region>().ok()));
        }
        regions.sort();
        Ok(regions)
    }

    /// Returns the catalog of a region.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`], naming the file and entry, where there is no file of the region, or where it
    /// is not what the AWS CLI prints for that region.
    pub fn catalog(&self, region: &Region) -> Result<Catalog, CatalogError> {
        let name = format!("{region}.json");
        let path = self.path.join(&name);
        let manifest = self.manifest()?;
        let bytes = self.read_listing(&path, region)?;
        if let Some(expected) = manifest.sha256.get(&name)
            && !sha256_hex(&bytes).eq_ignore_ascii_case(expected)
        {
            return Err(invalid(format!(
                "{}: its SHA-256 is not the one in {MANIFEST}: export the snapshot again, or remove the entry if the \
                 file was changed on purpose",
                path.display()
            )));
        }
        let listing = parse(&path, &bytes, region)?;
        let found = listing::profiles(&listing.summaries, region)
            .map_err(|contradiction| contradicts(&path, &contradiction, region))?;
        log_left_out(&found.left_out, region);
        let applications = applications(&listing, region, found.account.as_ref(), &manifest)
            .map_err(|contradiction| contradicts(&path, &contradiction, region))?;
        let account = match (found.account, manifest.account) {
            (Some(of_arns), Some(given)) if of_arns != given => {
                return Err(invalid(format!(
                    "{}: its ARNs are of account {of_arns}, {MANIFEST} says {given}: correct {MANIFEST} or export the \
                     snapshot again",
                    path.display()
                )));
            }
            (of_arns, given) => of_arns.or(given),
        };
        let as_of = match manifest.as_of {
            Some(as_of) => as_of,
            None => modified(&path)?,
        };
        Ok(Catalog::new(
            SourceKind::Directory,
            region.clone(),
            account,
            Some(as_of),
            found.profiles,
        )
        .with_applications(applications))
    }

    /// Returns what `manifest.json` says, or an empty manifest if there is none.
    ///
    /// # Errors
    /// [`CatalogError::SnapshotInvalid`] if the file exists and is not a manifest.
    pub fn manifest(&self) -> Result<Manifest, CatalogError> {
        let path = self.path.join(MANIFEST);
        let problem = |error: String| {
            invalid(format!(
                "{}: {error}; correct it, or remove it: it is optional",
                path.display()
            ))
        };
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Manifest::default());
            }
            Err(error) => return Err(problem(error.to_string())),
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| problem(error.to_string()))?;
        if let Some(as_of) = &manifest.as_of
            && as_of.parse::<jiff::civil::Date>().is_err()
            && as_of.parse::<jiff::Timestamp>().is_err()
        {
            return Err(problem(format!(
                "asOf {as_of:?} is neither a date such as 2026-10-27 nor a time such as 2026-10-27T08:00:00Z"
            )));
        }
        Ok(manifest)
    }

    fn read_listing(&self, path: &Path, region: &Region) -> Result<Vec<u8>, CatalogError> {
        read(path).map_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return invalid(format!("{} can't be read: {error}", path.display()));
            }
            let present = match self.regions() {
                Ok(regions) if !regions.is_empty() => {
                    let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
                    format!("there are: {}", names.join(", "))
                }
                _ => "there is no <region>.json at all".to_owned(),
            };
            invalid(format!(
                "{} has no file of {region}; {present}; make one: `{} > {}`",
                self.path.display(),
                command(region),
                path.display()
            ))
        })
    }
}

impl Source for Directory {
    fn kind(&self) -> SourceKind {
        SourceKind::Directory
    }

    /// Reads the file of the region before it returns. The role is ignored: the files are of one account.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        future::ready(self.catalog(&key.region)).boxed()
    }

    /// Looks at what the names lead to: a mounted `ConfigMap` changes by a symbolic link that points elsewhere.
    fn version(&self, key: &FeedKey) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        for name in [&format!("{}.json", key.region), MANIFEST] {
            fs::metadata(self.path.join(name))
                .map(|file| identity(&file))
                .ok()
                .hash(&mut hasher);
        }
        Some(hasher.finish())
    }
}

/// Returns what differs between two files that a name led to, one after the other.
#[cfg(unix)]
fn identity(file: &fs::Metadata) -> impl Hash + use<> {
    use std::os::unix::fs::MetadataExt;
    let changed = (file.ctime(), file.ctime_nsec());
    (file.dev(), file.ino(), file.size(), changed)
}

#[cfg(not(unix))]
fn identity(file: &fs::Metadata) -> impl Hash + use<> {
    (file.created().ok(), file.modified().ok(), file.len())
}

/// Returns the application profiles of a file. If it has none, there are none only where the manifest says that they were exported:
/// the AWS CLI lists system-defined profiles alone unless it is asked for others.
fn applications(
    listing: &Listing,
    region: &Region,
    account: Option<&AccountId>,
    manifest: &Manifest,
) -> Result<Applications, Contradiction> {
    let (found, left_out) = application::profiles(&listing.summaries, region, account)?;
    log_left_out(&left_out, region);
    Ok(if found.is_empty() && !manifest.application_profiles {
        Applications::default()
    } else {
        Applications::listed(found)
    })
}

fn contradicts(path: &Path, contradiction: &Contradiction, region: &Region) -> CatalogError {
    invalid(format!(
        "{}: {contradiction}: the file must be what `{}` prints",
        path.display(),
        command(region)
    ))
}

/// Returns the SHA-256 of `bytes` as a manifest carries it.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing into a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn parse(path: &Path, bytes: &[u8], region: &Region) -> Result<Listing, CatalogError> {
    let listing: Listing = serde_json::from_slice(bytes).map_err(|error| {
        invalid(format!(
            "{}: {error}: the file must be what `{}` prints",
            path.display(),
            command(region)
        ))
    })?;
    if listing.next_token.is_some() {
        return Err(invalid(format!(
            "{}: the listing is cut off, it ends with a token for more: make it anew without --max-items: `{}`",
            path.display(),
            command(region)
        )));
    }
    Ok(listing)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {} MiB, which no listing has",
            MOST_BYTES >> 20
        )));
    }
    Ok(bytes)
}

fn modified(path: &Path) -> Result<String, CatalogError> {
    let time = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map_err(|error| invalid(format!("{} can't be read: {error}", path.display())))?;
    let time = jiff::Timestamp::try_from(time).map_err(|error| {
        invalid(format!(
            "{}: its modification time makes no date ({error}): state asOf in {MANIFEST}",
            path.display()
        ))
    })?;
    Ok(time.strftime("%Y-%m-%d").to_string())
}

/// Returns what makes the file of a region.
fn command(region: &Region) -> String {
    format!("aws bedrock list-inference-profiles --region {region} --output json")
}

fn invalid(message: String) -> CatalogError {
    CatalogError::SnapshotInvalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"{"inferenceProfileSummaries": [{
        "inferenceProfileName": "EU A B",
        "inferenceProfileArn": "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b",
        "models": [{"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/a.b"}],
        "inferenceProfileId": "eu.a.b",
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED"
    }]}"#;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().expect("directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("file");
        }
        let opened = Directory::open(dir.path()).expect("open");
        (dir, opened)
    }

    #[test]
    fn reads_a_listing_with_and_without_manifest() {
        let (_dir, plain) = directory(&[("eu-west-1.json", LISTING)]);
        let catalog = plain.catalog(&region("eu-west-1")).expect("catalog");
        assert_eq!(catalog.profiles().len(), 1);
        assert_eq!(
            catalog.account().map(AccountId::as_str),
            Some("111122223333")
        );
        let today = jiff::Timestamp::now().strftime("%Y-%m").to_string();
        assert!(catalog.as_of().expect("date").starts_with(&today));
        assert!(
            catalog
                .as_of()
                .expect("date")
                .parse::<jiff::civil::Date>()
                .is_ok()
        );

        let manifest = format!(
            r#"{{"asOf": "2026-10-27T08:00:00Z", "account": "111122223333", "sha256": {{"eu-west-1.json": "{}"}}}}"#,
            sha256_hex(LISTING.as_bytes())
        );
        let (_dir, with) = directory(&[("eu-west-1.json", LISTING), (MANIFEST, &manifest)]);
        let catalog = with.catalog(&region("eu-west-1")).expect("catalog");
        assert_eq!(catalog.as_of(), Some("2026-10-27T08:00:00Z"));
    }

    #[test]
    fn application_profiles_are_known_where_the_files_have_them() {
        let application = r#"{
            "inferenceProfileName": "shop-chat",
            "inferenceProfileArn": "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1",
            "models": [{"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/a.b"}],
            "inferenceProfileId": "a1",
            "status": "ACTIVE",
            "type": "APPLICATION"
        }"#;
        let both = LISTING.replace("}]}", &format!("}}, {application}]}}"));
        let exported = r#"{"applicationProfiles": true}"#;
        for (listing, manifest, known) in [
            (LISTING, "{}", None),
            (LISTING, exported, Some(0)),
            (&*both, "{}", Some(1)),
            (&*both, exported, Some(1)),
        ] {
            let (_dir, files) = directory(&[("eu-west-1.json", listing), (MANIFEST, manifest)]);
            let catalog = files.catalog(&region("eu-west-1")).expect("catalog");
            assert_eq!(catalog.profiles().len(), 1);
            let applications = catalog.applications().profiles();
            assert_eq!(applications.map(<[_]>::len), known, "{manifest}");
        }
        let elsewhere = both.replace(
            "eu-west-1:111122223333:application",
            "eu-west-1:444455556666:application",
        );
        let (_dir, files) = directory(&[("eu-west-1.json", &elsewhere)]);
        let error = files
            .catalog(&region("eu-west-1"))
            .expect_err("of two accounts");
        assert!(error.to_string().contains("444455556666"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let of_ireland = [("eu-west-1.json", LISTING)];
        let with = |manifest: &'static str| [of_ireland[0], (MANIFEST, manifest)];
        let cases = [
            (vec![], "eu-west-1", "no <region>.json at all"),
            (
                of_ireland.to_vec(),
                "eu-west-3",
                "has no file of eu-west-3; there are: eu-west-1; make one",
            ),
            (
                vec![("eu-west-3.json", LISTING)],
                "eu-west-3",
                "eu-west-3.json: eu.a.b: its ARN arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.a.b is not of arn:aws:bedrock:eu-west-3",
            ),
            (
                vec![("eu-west-1.json", "{")],
                "eu-west-1",
                "EOF while parsing",
            ),
            (
                vec![("eu-west-1.json", r#"{"models": []}"#)],
                "eu-west-1",
                "missing field `inferenceProfileSummaries`",
            ),
            (
                vec![(
                    "eu-west-1.json",
                    r#"{"inferenceProfileSummaries": [], "NextToken": "x"}"#,
                )],
                "eu-west-1",
                "cut off",
            ),
            (
                with(r#"{"account": "444455556666"}"#).to_vec(),
                "eu-west-1",
                "its ARNs are of account 111122223333, manifest.json says 444455556666",
            ),
            (
                with(r#"{"sha256": {"eu-west-1.json": "00"}}"#).to_vec(),
                "eu-west-1",
                "its SHA-256 is not the one in manifest.json",
            ),
            (
                with(r#"{"asOf": "yesterday"}"#).to_vec(),
                "eu-west-1",
                "\"yesterday\" is neither a date",
            ),
            (with("[").to_vec(), "eu-west-1", "manifest.json: EOF"),
        ];
        for (files, asked, says) in cases {
            let (dir, directory) = directory(&files);
            let error = directory
                .catalog(&region(asked))
                .expect_err(says)
                .to_string();
            assert!(error.contains(says), "{error}");
            assert!(
                error.contains(&dir.path().display().to_string()),
                "{error} names no file"
            );
        }
    }

    #[test]
    fn a_file_is_bounded() {
        for name in ["eu-west-1.json", MANIFEST] {
            let (dir, directory) = directory(&[("eu-west-1.json", LISTING)]);
            let file = File::create(dir.path().join(name)).expect("file");
            file.set_len(MOST_BYTES + 1).expect("longer");
            let error = directory
                .catalog(&region("eu-west-1"))
                .expect_err("too long");
            assert!(error.to_string().contains("more than 16 MiB"), "{error}");
        }
    }

    #[test]
    fn no_directory_is_an_error() {
        let error = Directory::open("/nowhere/at/all").expect_err("missing");
        assert!(
            error
                .to_string()
                .contains("catalog directory /nowhere/at/all")
        );
    }
}
