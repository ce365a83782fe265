//! `dev/catalog-data`: the embedded data regenerated from a folder of live listings, as for a release.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use inference_profile_operator::{
    catalog::{
        Catalog,
        embedded::Embedded,
        listing::{self, Listing},
    },
    sources::directory::Directory,
    types::{AccountId, Region},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    common::{
        program::{Output, PROGRAM},
        tools::skipped,
    },
    python,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const EMBEDDED: &str = "src/catalog/embedded";
const FILES: [&str; 3] = ["profiles.txt", "models.txt", "lifecycles.txt"];
const ACCOUNT: &str = "111122223333";
const AS_OF: &str = "2026-11-15";

const PROFILES: &str = "\
# Profiles.

as-of 2026-10-01

set eu-1 eu-north-1 eu-west-1
set us-1 us-east-1 us-west-2
set us-gov-1 us-gov-west-1

current eu.a.one | a.one | EU One | eu-1: eu-north-1 eu-west-1
current global.a.one | a.one | | *: eu-west-1 us-east-1
# The next one may be callable from more regions than these.
current us.a.one | a.one | US One | us-1: us-east-1 us-west-2
# The next one is taken from the documentation.
current us-gov.a.one | a.one | US-GOV One | us-gov-1: us-gov-east-1

retired us.a.old | a.old | 2026-01-01

unconfirmed us.a.two | a.two
";
const MODELS: &str = "\
# Models.

as-of 2026-10-01

on-demand a.ending us-east-1
on-demand a.one eu-west-1 us-east-1
";
const LIFECYCLES: &str = "\
# Lifecycles.

lifecycles-as-of 2026-10-15

lifecycle a.ending | 2026-03-01 | 2026-06-01 | 2026-11-01 | us-east-1
lifecycle a.old | - | - | - | *
";

/// Embedded data, and a folder of listings beside them.
struct Release {
    folder: TempDir,
}

impl Release {
    /// Small data, and what AWS would list if they were true.
    fn small() -> Self {
        let release = Self::of([PROFILES, MODELS, LIFECYCLES]);
        let data = Embedded::parse([PROFILES, MODELS, LIFECYCLES]).expect("data");
        let account: AccountId = ACCOUNT.parse().expect("an account");
        for region in data.source_regions() {
            let catalog = data.catalog(region);
            let profiles = catalog.profiles().iter();
            let listing = Listing {
                summaries: profiles
                    .map(|profile| listing::summary(profile, region, Some(&account)))
                    .collect(),
                next_token: None,
            };
            release.list(&format!("{region}.json"), &json!(listing));
            release.list(&format!("{region}.models.json"), &models(&catalog));
        }
        release
    }

    fn of(files: [&str; 3]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let release = Self { folder };
        fs::create_dir(release.data()).expect("a folder");
        fs::create_dir(release.listings()).expect("a folder");
        for (name, text) in FILES.into_iter().zip(files) {
            fs::write(release.data().join(name), text).expect("written");
        }
        let regions = format!("{EMBEDDED}/regions.txt");
        fs::copy(regions, release.data().join("regions.txt")).expect("copied");
        release
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn listings(&self) -> PathBuf {
        self.folder.path().join("listings")
    }

    fn list(&self, name: &str, listing: &Value) {
        let text = serde_json::to_string_pretty(listing).expect("JSON");
        self.write(name, &text);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.listings().join(name), text).expect("written");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.listings().join(name)).expect("removed");
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(self.listings().join(name)).expect(name);
        let mut listing: Value = serde_json::from_str(&text).expect(name);
        edit(&mut listing);
        self.list(name, &listing);
    }

    fn files(&self) -> [String; 3] {
        FILES.map(|name| fs::read_to_string(self.data().join(name)).expect(name))
    }

    /// Runs the command, if there is a Python to run it with.
    fn regenerate(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = python::any()?;
        command
            .arg("dev/catalog-data")
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .arg(self.listings())
            .current_dir(ROOT);
        Some(Output::of(&mut command, ""))
    }

    /// Returns the data that the files say now.
    fn parsed(&self) -> Embedded {
        let files = self.files().map(|text| &*text.leak());
        Embedded::parse(files).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Returns what `ListFoundationModels` would answer.
fn models(catalog: &Catalog) -> Value {
    let region = catalog.source_region();
    let models = catalog.models().expect("models").iter();
    let summaries: Vec<Value> = models
        .map(|model| {
            let types = if model.on_demand {
                json!(["ON_DEMAND"])
            } else {
                json!(["INFERENCE_PROFILE"])
            };
            let mut summary = summary(region.as_str(), model.id.as_str(), &types);
            let life = &model.lifecycle;
            let status = if life.is_legacy { "LEGACY" } else { "ACTIVE" };
            summary["modelLifecycle"] = json!({ "status": status });
            for (key, date) in [
                ("legacyTime", life.legacy),
                ("publicExtendedAccessTime", life.extended_access),
                ("endOfLifeTime", life.end_of_life),
            ] {
                if let Some(date) = date {
                    summary["modelLifecycle"][key] = json!(format!("{date}T00:00:00+00:00"));
                }
            }
            summary
        })
        .collect();
    json!({ "modelSummaries": summaries })
}

fn partition(region: &str) -> &'static str {
    region.parse::<Region>().expect(region).partition().name
}

fn summary(region: &str, model: &str, types: &Value) -> Value {
    let partition = partition(region);
    json!({
        "modelArn": format!("arn:{partition}:bedrock:{region}::foundation-model/{model}"),
        "modelId": model,
        "modelName": "A model",
        "providerName": "A provider",
        "inferenceTypesSupported": types,
        "modelLifecycle": { "status": "ACTIVE" },
    })
}

/// Returns a profile as it is listed in a region. An empty destination is any region.
fn profile(region: &str, id: &str, model: &str, destinations: &[&str]) -> Value {
    let partition = partition(region);
    let models: Vec<Value> = destinations
        .iter()
        .map(|to| json!({ "modelArn": format!("arn:{partition}:bedrock:{to}::foundation-model/{model}") }))
        .collect();
    json!({
        "inferenceProfileName": format!("The {id}"),
        "description": "Routes requests.",
        "createdAt": "2026-11-01T00:00:00+00:00",
        "inferenceProfileArn": format!("arn:{partition}:bedrock:{region}:{ACCOUNT}:inference-profile/{id}"),
        "models": models,
        "inferenceProfileId": id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    })
}

fn summaries(listing: &mut Value) -> &mut Vec<Value> {
    let key = if listing.get("modelSummaries").is_some() {
        "modelSummaries"
    } else {
        "inferenceProfileSummaries"
    };
    listing[key].as_array_mut().expect(key)
}

/// Returns the entry of a profile or of a model.
fn entry<'a>(listing: &'a mut Value, id: &str) -> &'a mut Value {
    summaries(listing)
        .iter_mut()
        .find(|entry| entry["inferenceProfileId"] == id || entry["modelId"] == id)
        .expect(id)
}

fn drop_entry(listing: &mut Value, id: &str) {
    let before = summaries(listing).len();
    summaries(listing).retain(|entry| entry["inferenceProfileId"] != id && entry["modelId"] != id);
    assert_eq!(summaries(listing).len(), before - 1, "{id}");
}

/// Returns the lines that went and came, `-` and `+` before them, but for the dates. Fails if other lines moved.
fn difference(before: &str, after: &str) -> Vec<String> {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(ToOwned::to_owned).collect()
    };
    let (before, after) = (lines(before), lines(after));
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        let gone = one.iter().filter(|line| !other.contains(line));
        let gone = gone
            .filter(|line| !line.starts_with("as-of ") && !line.starts_with("lifecycles-as-of "));
        gone.cloned().collect()
    };
    let common = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter()
            .filter(|line| other.contains(line))
            .cloned()
            .collect()
    };
    assert!(
        common(&before, &after) == common(&after, &before),
        "only what changed moves"
    );
    let gone = only_in(&before, &after)
        .into_iter()
        .map(|line| format!("-{line}"));
    let came = only_in(&after, &before)
        .into_iter()
        .map(|line| format!("+{line}"));
    gone.chain(came).collect()
}

#[test]
fn listings_of_the_present_data_give_them_again() {
    let present = FILES.map(|name| fs::read_to_string(format!("{EMBEDDED}/{name}")).expect(name));
    let release = Release::of(present.each_ref().map(String::as_str));
    let mut export = Command::new(PROGRAM);
    export
        .args(["catalog", "export", "--account", ACCOUNT])
        .arg(release.listings());
    Output::of(&mut export, "").ok();
    let data = Embedded::load();
    for region in data.source_regions() {
        let models = models(&data.catalog(region));
        release.list(&format!("{region}.models.json"), &models);
    }
    let as_of = data.as_of().max(data.lifecycles_as_of());
    let Some(output) = release.regenerate(&["--as-of", as_of]) else {
        return;
    };
    let note = output.ok();
    for section in ["Profiles", "On demand", "Lifecycles"] {
        assert!(note.contains(&format!("{section}: no change.")), "{note}");
    }
    let dated = |text: &str| {
        text.replace(
            &format!("\nas-of {}\n", data.as_of()),
            &format!("\nas-of {as_of}\n"),
        )
    };
    let once = release.files();
    for ((name, before), after) in FILES.iter().zip(&present).zip(&once) {
        assert!(
            dated(before) == *after,
            "{name}: {:#?}",
            difference(before, after)
        );
    }
    release
        .regenerate(&["--as-of", as_of])
        .expect("Python")
        .ok();
    assert!(release.files() == once, "the same again changes nothing");
}

type Edit = Box<dyn Fn(&Release)>;

/// One change of the listings, and what it does.
struct Change {
    what: &'static str,
    edit: Edit,
    /// The lines that change in all files.
    difference: &'static [&'static str],
    /// What the release note says.
    note: &'static [&'static str],
}

fn change(
    what: &'static str,
    edit: impl Fn(&Release) + 'static,
    difference: &'static [&'static str],
    note: &'static [&'static str],
) -> Change {
    Change {
        what,
        edit: Box::new(edit),
        difference,
        note,
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn changes_of_profiles() -> Vec<Change> {
    vec![
        change("nothing", |_| {}, &[], &[]),
        change(
            "a new profile, with new destinations",
            |release| {
                release.edit("us-east-1.json", |listing| {
                    let new = profile(
                        "us-east-1",
                        "us.a.three",
                        "a.three",
                        &["us-west-2", "us-east-2", "us-east-1"],
                    );
                    summaries(listing).insert(0, new);
                });
            },
            &[
                "+set us-2 us-east-1 us-east-2 us-west-2",
                "+current us.a.three | a.three | The us.a.three | us-2: us-east-1",
            ],
            &["- new: us.a.three, from us-east-1"],
        ),
        change(
            "a profile that is gone everywhere",
            |release| {
                for file in ["eu-north-1.json", "eu-west-1.json"] {
                    release.edit(file, |listing| drop_entry(listing, "eu.a.one"));
                }
                // A region that lists nothing any more would be refused.
                release.edit("eu-north-1.json", |listing| {
                    let other = profile("eu-north-1", "global.a.one", "a.one", &["", "eu-north-1"]);
                    summaries(listing).push(other);
                });
            },
            &[
                "-set eu-1 eu-north-1 eu-west-1",
                "-current eu.a.one | a.one | EU One | eu-1: eu-north-1 eu-west-1",
                "-current global.a.one | a.one | | *: eu-west-1 us-east-1",
                "+current global.a.one | a.one | The global.a.one | *: eu-north-1 eu-west-1 us-east-1",
                "+retired eu.a.one | a.one | 2026-10-01",
            ],
            &[
                "- no longer listed: eu.a.one",
                "- changed: global.a.one: now from eu-north-1; name: The global.a.one",
            ],
        ),
        change(
            "a route that is gone",
            |release| {
                release.edit("us-east-1.json", |listing| {
                    drop_entry(listing, "global.a.one");
                });
            },
            &[
                "-current global.a.one | a.one | | *: eu-west-1 us-east-1",
                "+current global.a.one | a.one | | *: eu-west-1",
            ],
            &["- changed: global.a.one: no longer from us-east-1"],
        ),
        change(
            "other destinations; the remark was about the line that was",
            |release| {
                release.edit("us-west-2.json", |listing| {
                    let one = profile(
                        "us-west-2",
                        "us.a.one",
                        "a.one",
                        &["us-east-1", "us-east-2"],
                    );
                    *entry(listing, "us.a.one") = one;
                });
            },
            &[
                "-# The next one may be callable from more regions than these.",
                "-current us.a.one | a.one | US One | us-1: us-east-1 us-west-2",
                "+set us-2 us-east-1 us-east-2",
                "+current us.a.one | a.one | US One | us-1: us-east-1; us-2: us-west-2",
            ],
            &["- changed: us.a.one: destinations from us-west-2: +us-east-2 -us-west-2"],
        ),
        change(
            "a new region",
            |release| {
                let eu = profile(
                    "eu-central-1",
                    "eu.a.one",
                    "a.one",
                    &["eu-west-1", "eu-north-1"],
                );
                release.list(
                    "eu-central-1.json",
                    &json!({ "inferenceProfileSummaries": [eu] }),
                );
                let one = summary(
                    "eu-central-1",
                    "a.one",
                    &json!(["ON_DEMAND", "PROVISIONED"]),
                );
                release.list(
                    "eu-central-1.models.json",
                    &json!({ "modelSummaries": [one] }),
                );
            },
            &[
                "-current eu.a.one | a.one | EU One | eu-1: eu-north-1 eu-west-1",
                "+current eu.a.one | a.one | EU One | eu-1: eu-central-1 eu-north-1 eu-west-1",
                "-on-demand a.one eu-west-1 us-east-1",
                "+on-demand a.one eu-central-1 eu-west-1 us-east-1",
            ],
            &[
                "- changed: eu.a.one: now from eu-central-1",
                "- changed: a.one: now in eu-central-1",
            ],
        ),
        change(
            "a retired and an unconfirmed profile that are listed",
            |release| {
                release.edit("us-east-1.json", |listing| {
                    for (id, model) in [("us.a.two", "a.two"), ("us.a.old", "a.old")] {
                        summaries(listing).push(profile(
                            "us-east-1",
                            id,
                            model,
                            &["us-east-1", "us-west-2"],
                        ));
                    }
                });
            },
            &[
                "-retired us.a.old | a.old | 2026-01-01",
                "-unconfirmed us.a.two | a.two",
                "+current us.a.old | a.old | The us.a.old | us-1: us-east-1",
                "+current us.a.two | a.two | The us.a.two | us-1: us-east-1",
            ],
            &[
                "- listed again: us.a.old, from us-east-1",
                "- confirmed: us.a.two, from us-east-1",
            ],
        ),
        change(
            "what is of the account, or not active; and a name that differs by region",
            |release| {
                release.edit("us-east-1.json", |listing| {
                    entry(listing, "us.a.one")["inferenceProfileName"] = json!("Another | name");
                    let mut own = profile("us-east-1", "q1w2e3r4t5y6", "a.one", &["us-east-1"]);
                    own["type"] = json!("APPLICATION");
                    let mut going = profile("us-east-1", "us.a.three", "a.three", &["us-east-1"]);
                    going["status"] = json!("DELETING");
                    summaries(listing).extend([own, going]);
                });
            },
            &[],
            &[],
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn changes_of_models() -> Vec<Change> {
    vec![
        change(
            "on demand elsewhere; with provisioned throughput only, it is not at bedrock-runtime",
            |release| {
                release.edit("us-west-2.models.json", |listing| {
                    let new = summary("us-west-2", "a.three", &json!(["PROVISIONED", "ON_DEMAND"]));
                    let mut long = summary("us-west-2", "a.three:0:48k", &json!(["PROVISIONED"]));
                    long["modelLifecycle"]["status"] = json!("LEGACY");
                    summaries(listing).extend([long, new]);
                });
                release.edit("eu-west-1.models.json", |listing| {
                    entry(listing, "a.one")["inferenceTypesSupported"] =
                        json!(["INFERENCE_PROFILE"]);
                    summaries(listing).push(summary("eu-west-1", "a.four", &json!(["ON_DEMAND"])));
                });
            },
            &[
                "-on-demand a.one eu-west-1 us-east-1",
                "+on-demand a.four eu-west-1",
                "+on-demand a.one us-east-1",
                "+on-demand a.three us-west-2",
            ],
            &[
                "- new: a.four, in eu-west-1",
                "- changed: a.one: no longer in eu-west-1",
                "- new: a.three, in us-west-2",
            ],
        ),
        change(
            "a model that is legacy in one region only; times are told in UTC",
            |release| {
                release.edit("eu-west-1.models.json", |listing| {
                    entry(listing, "a.one")["modelLifecycle"] = json!({
                        "status": "LEGACY",
                        "startOfLifeTime": "2025-01-01T00:00:00Z",
                        "legacyTime": "2026-11-10T01:00:00+02:00",
                        "endOfLifeTime": "2027-05-10T00:00:00Z",
                    });
                });
            },
            &["+lifecycle a.one | 2026-11-09 | - | 2027-05-10 | eu-west-1"],
            &[
                "- a.one in eu-west-1: legacy, legacy from 2026-11-09, end of life 2027-05-10; was active",
            ],
        ),
        change(
            "an active model that will be legacy",
            |release| {
                release.edit("us-east-1.models.json", |listing| {
                    entry(listing, "a.one")["modelLifecycle"] = json!({
                        "status": "ACTIVE",
                        "legacyTime": "2027-01-01T00:00:00+00:00",
                        "publicExtendedAccessTime": "2027-04-01T00:00:00+00:00",
                        "endOfLifeTime": "2027-07-01T00:00:00+00:00",
                    });
                });
            },
            &["+active a.one | 2027-01-01 | 2027-04-01 | 2027-07-01 | us-east-1"],
            &[
                "- a.one in us-east-1: active, legacy from 2027-01-01, public extended access from 2027-04-01, end of \
                 life 2027-07-01; was active",
            ],
        ),
        change(
            "a model that is gone after the end of its life",
            |release| {
                release.edit("us-east-1.models.json", |listing| {
                    drop_entry(listing, "a.ending");
                });
            },
            &["-on-demand a.ending us-east-1"],
            &["- gone: a.ending"],
        ),
        change(
            "a model that is active again",
            |release| {
                release.edit("us-east-1.models.json", |listing| {
                    entry(listing, "a.ending")["modelLifecycle"] = json!({ "status": "ACTIVE" });
                });
            },
            &["-lifecycle a.ending | 2026-03-01 | 2026-06-01 | 2026-11-01 | us-east-1"],
            &[
                "- a.ending in us-east-1: active; was legacy, legacy from 2026-03-01, public extended access from \
                 2026-06-01, end of life 2026-11-01",
            ],
        ),
        change(
            "a model that was legacy everywhere, and is listed in three ways",
            |release| {
                for (region, life) in [
                    ("eu-west-1", json!({ "status": "LEGACY" })),
                    (
                        "us-east-1",
                        json!({ "status": "LEGACY", "endOfLifeTime": "2027-02-01T00:00:00Z" }),
                    ),
                    ("us-west-2", json!({ "status": "ACTIVE" })),
                ] {
                    release.edit(&format!("{region}.models.json"), |listing| {
                        let mut old = summary(region, "a.old", &json!(["INFERENCE_PROFILE"]));
                        old["modelLifecycle"] = life;
                        summaries(listing).push(old);
                    });
                }
            },
            &[
                "+lifecycle a.old | - | - | 2027-02-01 | us-east-1",
                "+active a.old | - | - | - | us-west-2",
            ],
            &[
                "- a.old in us-east-1: legacy, end of life 2027-02-01; was legacy",
                "- a.old in us-west-2: active; was legacy",
            ],
        ),
    ]
}

/// Asserts that the program reads the listings of profiles as the command has read them, and that the data say of models what
/// their listings say.
fn agrees_with_the_program(release: &Release, what: &str) {
    let data = release.parsed();
    let directory = Directory::open(release.listings()).expect("listings");
    let routes = |catalog: &Catalog| -> BTreeMap<String, String> {
        let profiles = catalog.profiles().iter();
        profiles
            .map(|profile| {
                let route = format!(
                    "{} {} {}",
                    profile.model, profile.geography, profile.destinations
                );
                (profile.id.to_string(), route)
            })
            .collect()
    };
    let listed: BTreeSet<Region> = directory.regions().expect("regions").into_iter().collect();
    let sources: BTreeSet<Region> = data.source_regions().cloned().collect();
    assert_eq!(listed, sources, "{what}");
    for region in &listed {
        let expected = directory.catalog(region).expect("a listing");
        assert_eq!(
            routes(&data.catalog(region)),
            routes(&expected),
            "{what}: {region}"
        );
        let text = fs::read_to_string(release.listings().join(format!("{region}.models.json")));
        let mut models: Value = serde_json::from_str(&text.expect("a listing")).expect("JSON");
        for entry in summaries(&mut models) {
            let types = entry["inferenceTypesSupported"].to_string();
            if types == r#"["PROVISIONED"]"# {
                continue;
            }
            let id = entry["modelId"]
                .as_str()
                .expect("an ID")
                .parse()
                .expect("a model");
            let is_on_demand = data.on_demand_regions(&id).contains(region);
            assert_eq!(
                is_on_demand,
                types.contains("ON_DEMAND"),
                "{what}: {id} in {region}"
            );
            let life = data.lifecycle(&id, region);
            let listed = &entry["modelLifecycle"];
            assert_eq!(
                life.is_legacy,
                listed["status"] == "LEGACY",
                "{what}: {id} in {region}"
            );
            let end = life.end_of_life.map(|day| day.to_string());
            let listed_end = listed["endOfLifeTime"]
                .as_str()
                .map(|time| time[..10].to_owned());
            assert_eq!(end, listed_end, "{what}: {id} in {region}");
        }
    }
}

#[test]
fn a_change_of_the_listings_changes_its_lines() {
    for Change {
        what,
        edit,
        difference: expected,
        note,
    } in changes_of_profiles().into_iter().chain(changes_of_models())
    {
        let release = Release::small();
        edit(&release);
        let before = release.files();
        let Some(output) = release.regenerate(&["--as-of", AS_OF]) else {
            return;
        };
        assert_eq!(output.stderr, "", "{what}");
        let printed = output.ok();
        let after = release.files();
        let found: Vec<String> = before
            .iter()
            .zip(&after)
            .flat_map(|(before, after)| difference(before, after))
            .collect();
        let as_set = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(as_set(&found), as_set(&expected), "{what}");
        let said: BTreeSet<&str> = printed
            .lines()
            .filter(|line| line.starts_with("- "))
            .collect();
        assert_eq!(said, note.iter().copied().collect(), "{what}");
        for (text, date) in after.iter().zip(["as-of", "as-of", "lifecycles-as-of"]) {
            assert!(text.contains(&format!("\n{date} {AS_OF}\n")), "{what}");
            assert!(!text.contains(ACCOUNT), "{what}");
            assert!(!text.contains("arn:"), "{what}");
        }
        agrees_with_the_program(&release, what);
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_can_not_be_trusted_changes_nothing() {
    let as_of = ["--as-of", AS_OF];
    let cases: Vec<(&str, Edit, &[&str], &[&str])> = vec![
        (
            "no listing",
            Box::new(|release| {
                release.remove("us-gov-east-1.json");
                release.remove("eu-west-1.models.json");
            }),
            &as_of,
            &[
                "us-gov-east-1: there is no us-gov-east-1.json",
                "eu-west-1: there is no eu-west-1.models.json",
                "WITHOUT='eu-west-1 us-gov-east-1'",
            ],
        ),
        (
            "cut off by AWS",
            Box::new(|release| {
                release.edit("us-east-1.json", |listing| {
                    listing["nextToken"] = json!("abc");
                });
            }),
            &as_of,
            &["us-east-1: us-east-1.json was cut off"],
        ),
        (
            "cut off by --max-items",
            Box::new(|release| {
                release.edit("us-east-1.json", |listing| {
                    listing["NextToken"] = json!("abc");
                });
            }),
            &as_of,
            &["us-east-1: us-east-1.json was cut off"],
        ),
        (
            "failed, by a shell that writes the file first",
            Box::new(|release| release.write("us-west-2.models.json", "")),
            &as_of,
            &["us-west-2: us-west-2.models.json is empty: its listing failed"],
        ),
        (
            "failed",
            Box::new(|release| {
                release.write(
                    "us-west-2.json",
                    "An error occurred (AccessDeniedException)",
                );
            }),
            &as_of,
            &["us-west-2: us-west-2.json is not JSON"],
        ),
        (
            "an error as JSON",
            Box::new(|release| release.write("us-west-2.json", r#"{"message": "denied"}"#)),
            &as_of,
            &["us-west-2: us-west-2.json has no list of inferenceProfileSummaries"],
        ),
        (
            "suddenly nothing",
            Box::new(|release| {
                release.edit("us-west-2.json", |listing| summaries(listing).clear());
            }),
            &as_of,
            &["us-west-2: it suddenly lists nothing"],
        ),
        (
            "of another region",
            Box::new(|release| {
                let other = fs::read_to_string(release.listings().join("us-east-1.json"))
                    .expect("a listing");
                release.write("us-west-2.json", &other);
            }),
            &as_of,
            &["us-west-2: global.a.one: its ARN is not of arn:aws:bedrock:us-west-2"],
        ),
        (
            "of another partition",
            Box::new(|release| {
                release.edit("us-gov-east-1.json", |listing| {
                    let arn = &mut entry(listing, "us-gov.a.one")["inferenceProfileArn"];
                    *arn = json!(arn.as_str().expect("an ARN").replace("aws-us-gov", "aws"));
                });
            }),
            &as_of,
            &[
                "us-gov-east-1: us-gov.a.one: its ARN is not of arn:aws-us-gov:bedrock:us-gov-east-1",
            ],
        ),
        (
            "models of another region",
            Box::new(|release| {
                release.edit("us-west-2.models.json", |listing| {
                    summaries(listing).push(summary("us-east-1", "a.three", &json!(["ON_DEMAND"])));
                });
            }),
            &as_of,
            &["us-west-2: a.three: its ARN is not of arn:aws:bedrock:us-west-2"],
        ),
        (
            "of two accounts",
            Box::new(|release| {
                release.edit("us-east-1.json", |listing| {
                    let arn = &mut entry(listing, "us.a.one")["inferenceProfileArn"];
                    *arn = json!(
                        arn.as_str()
                            .expect("an ARN")
                            .replace(ACCOUNT, "444455556666")
                    );
                });
            }),
            &as_of,
            &["us-east-1: us-east-1.json has profiles of more than one account"],
        ),
        (
            "a time that is none",
            Box::new(|release| {
                release.edit("us-east-1.models.json", |listing| {
                    entry(listing, "a.one")["modelLifecycle"]["legacyTime"] = json!("soon");
                });
            }),
            &as_of,
            &["us-east-1: us-east-1.models.json: a.one: a time of its lifecycle can't be read"],
        ),
        (
            "an unknown region",
            Box::new(|release| {
                release.list(
                    "us-esat-1.json",
                    &json!({ "inferenceProfileSummaries": [] }),
                );
            }),
            &as_of,
            &["us-esat-1: regions.txt does not have it with bedrock"],
        ),
        (
            "not what the manifest says",
            Box::new(|release| {
                release.list(
                    "manifest.json",
                    &json!({ "sha256": { "us-east-1.json": "00" } }),
                );
            }),
            &as_of,
            &["us-east-1: us-east-1.json: its SHA-256 is not the one in manifest.json"],
        ),
        (
            "without a date",
            Box::new(|_| {}),
            &[],
            &["of what date are the listings?", "AS_OF=DATE"],
        ),
        (
            "no date",
            Box::new(|_| {}),
            &["--as-of", "today"],
            &["'today' is not a date such as 2026-10-27"],
        ),
        (
            "older",
            Box::new(|_| {}),
            &["--as-of", "2026-10-14"],
            &["the listings are of 2026-10-14, the present data of 2026-10-15"],
        ),
        (
            "a region that there isn't",
            Box::new(|_| {}),
            &["--as-of", AS_OF, "--without", "us-esat-1"],
            &["--without us-esat-1: there is no such region in the data"],
        ),
    ];
    for (what, edit, arguments, says) in cases {
        let release = Release::small();
        let before = release.files();
        edit(&release);
        let Some(output) = release.regenerate(arguments) else {
            return;
        };
        assert_eq!(
            (output.code, &*output.stdout),
            (Some(1), ""),
            "{what}: {output:#?}"
        );
        for part in says {
            assert!(output.stderr.contains(part), "{what}: {}", output.stderr);
        }
        let innocent = "eu-north-1: ";
        assert!(
            !output.stderr.contains(innocent),
            "{what}: {}",
            output.stderr
        );
        assert!(release.files() == before, "{what}");
        let files = fs::read_dir(release.data()).expect("a folder").count();
        assert_eq!(files, FILES.len() + 1, "{what}: nothing is left behind");
    }
}

#[test]
fn what_is_said_to_be_missing_stays() {
    let release = Release::small();
    release.remove("us-gov-east-1.json");
    release.remove("us-gov-east-1.models.json");
    release.edit("us-east-1.json", |listing| {
        listing["nextToken"] = json!("abc");
    });
    release.list(
        "manifest.json",
        &json!({ "asOf": "2026-11-15T23:30:00-01:00" }),
    );
    let before = release.files();
    let without = ["--without", "us-gov-east-1", "--without", "us-east-1"];
    let Some(output) = release.regenerate(&without) else {
        return;
    };
    let note = output.ok();
    assert!(
        note.starts_with(
            "Embedded data of 2026-11-16, after those of 2026-10-01 (lifecycles: 2026-10-15): 3 regions listed, us-east-1 \
             us-gov-east-1 as before.\nWith Bedrock, but neither listed nor in the data: af-south-1 "
        ),
        "{note}"
    );
    for (before, after) in before.iter().zip(release.files()) {
        assert_eq!(difference(before, &after), [""; 0]);
    }
}

#[test]
fn an_entry_that_can_not_be_understood_retires_nothing() {
    let release = Release::small();
    release.edit("us-east-1.json", |listing| {
        entry(listing, "us.a.one")["models"] = json!([
            { "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/a.one" },
            { "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/a.two" },
        ]);
    });
    let before = release.files();
    let Some(output) = release.regenerate(&["--as-of", AS_OF]) else {
        return;
    };
    assert!(
        output.stderr.contains(
            "us-east-1: us.a.one is left out, and stays as it was: it names more than one model"
        ),
        "{output:#?}"
    );
    output.ok();
    for (before, after) in before.iter().zip(release.files()) {
        assert_eq!(difference(before, &after), [""; 0]);
    }
}

#[test]
fn make_hands_over_what_it_is_given() {
    let make = |arguments: &[&str]| {
        let mut command = Command::new("make");
        command
            // Within make itself it would name its folder.
            .args(["--no-print-directory", "--dry-run", "catalog-data"])
            .args(arguments)
            .env_remove("MAKEFLAGS")
            .current_dir(ROOT);
        Output::of(&mut command, "").ok().trim_end().to_owned()
    };
    if !Command::new("make")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skipped("there is no make");
    }
    assert_eq!(make(&["LISTINGS=listings"]), "dev/catalog-data listings");
    assert_eq!(
        make(&[
            "LISTINGS=listings",
            "AS_OF=2026-11-15",
            "WITHOUT=us-gov-east-1 us-gov-west-1"
        ]),
        "dev/catalog-data --as-of 2026-11-15 --without us-gov-east-1 --without us-gov-west-1 listings"
    );
    assert!(Path::new(ROOT).join("dev/catalog-data").exists());
}
