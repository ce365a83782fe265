//! What bindings ask of the catalog: how often, for whom, within which limits, and what they learn of it.

use std::{collections::HashSet, fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use inference_profile_operator::{
    api::{InferenceProfileBinding, condition::Reason},
    catalog::{Catalog, CatalogError, FeedKey, Lifecycle, Source, SourceKind, listing},
    feeds::admission::FeedLimits,
    sources::directory::{Directory, MANIFEST},
    types::RoleArn,
};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{ListParams, PartialObjectMeta, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    operator::{ACCOUNT, FAILURES, Options, SONNET, Script, condition},
    stage::{EU, GLOBAL, REGION, Stage, empty, live, message, profile_in_use, sonnet, verdict},
    support::eventually,
    targets::History,
};

/// Longer than any case takes: a catalog is listed once, unless something else asks for it.
const ONCE: Duration = Duration::from_hours(1);
/// Another account than the scripted one.
const OTHER_ACCOUNT: &str = "444455556666";

pub fn cases() -> Vec<Case> {
    cases![
        empty(
            a_thousand_bindings_cost_one_listing_each_role_and_region,
            a_role_works_where_it_is_allowed,
            a_binding_beyond_the_limit_waits,
            a_changed_annotation_lists_now,
            files_that_change_are_read_soon,
            a_snapshot_that_grows_old_is_told_once,
            newer_embedded_data_move_nothing_by_themselves,
            the_first_answer_is_waited_for,
            a_catalog_that_flaps_moves_and_restarts_nothing,
            a_first_listing_that_lacks_a_profile_moves_nothing,
            an_outage_shorter_than_the_grace_writes_nothing,
            an_outage_longer_than_the_grace_is_told_once_and_its_end_once,
        ),
        live(a_lower_limit_leaves_values_as_they_are,),
    ]
}

fn once(stage: &Stage) -> Options {
    let mut options = stage.options();
    options.schedule.interval = ONCE;
    options
}

/// Returns a spec that gets a profile from any region, called from this one, by this role.
fn from(region: &str, role: Option<&str>) -> Value {
    let mut spec = json!({"model": SONNET, "geography": "global", "sourceRegion": region});
    if let Some(role) = role {
        spec["roleARN"] = json!(role);
    }
    spec
}

async fn a_thousand_bindings_cost_one_listing_each_role_and_region(stage: &mut Stage) {
    const BINDINGS: usize = 1000;
    const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-northeast-1"];
    let roles: [String; 2] = [ACCOUNT, OTHER_ACCOUNT]
        .map(|account| format!("arn:aws:iam::{account}:role/bedrock-discovery"));
    let namespace = stage.namespace.clone();
    let specs = (0..BINDINGS).map(|number| {
        let role = &roles[number / 3 % 2];
        (format!("b{number}"), from(REGIONS[number % 3], Some(role)))
    });
    let asleep = |number: usize| {
        let mut spec = from("us-west-2", None);
        spec["suspend"] = json!(true);
        (format!("suspended{number}"), spec)
    };
    let vanishing = |number: usize| (format!("deleted{number}"), from("eu-west-3", None));
    stream::iter(
        specs
            .chain((0..20).map(asleep))
            .chain((0..20).map(vanishing)),
    )
    .for_each_concurrent(16, |(name, spec)| {
        let stage = &*stage;
        async move {
            stage.bind(&name, spec).await;
        }
    })
    .await;
    let held = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    for number in 0..20 {
        let name = format!("deleted{number}");
        let patch = held(json!(["example.com/held"]));
        let params = PatchParams::default();
        stage
            .bindings()
            .patch(&name, &params, &patch)
            .await
            .expect("held");
        stage.delete(&name).await;
    }
    stage.start(Options {
        allowed_roles: roles
            .iter()
            .map(|role| format!("{role};namespaces={namespace}"))
            .collect(),
        ..once(stage)
    });
    eventually("all are Ready", || async {
        let list = stage
            .bindings()
            .list(&ListParams::default())
            .await
            .expect("a list");
        let ready = list.iter().filter(|binding| {
            verdict(binding, "Ready").is_some_and(|(status, _)| status == "True")
        });
        let ready = ready.count();
        if ready == BINDINGS {
            Ok(())
        } else {
            Err(ready)
        }
    })
    .await;
    let expected: HashSet<FeedKey> = REGIONS
        .iter()
        .flat_map(|region| {
            roles.iter().map(|role| FeedKey {
                role: Some(role.parse().expect("a role")),
                region: region.parse().expect("a region"),
            })
        })
        .collect();
    let log = stage.script.log();
    assert!(log.values().all(|listings| *listings == 1), "{log:?}");
    let asked: HashSet<FeedKey> = log.into_keys().collect();
    assert_eq!(asked, expected, "none for the suspended and the deleted");
    for number in 0..20 {
        let name = format!("deleted{number}");
        let params = PatchParams::default();
        stage
            .bindings()
            .patch(&name, &params, &held(json!(null)))
            .await
            .expect("let go");
    }
}

async fn a_role_works_where_it_is_allowed(stage: &mut Stage) {
    let namespace = stage.namespace.clone();
    stage.start(Options {
        allowed_roles: vec![
            format!("arn:aws:iam::{OTHER_ACCOUNT}:role/bedrock-*;namespaces={namespace}"),
            format!("arn:aws:iam::{OTHER_ACCOUNT}:role/team;namespaces=another"),
        ],
        ..stage.options()
    });
    let role = |name: &str| format!("arn:aws:iam::{OTHER_ACCOUNT}:role/{name}");
    for refused in ["admin", "team"] {
        stage
            .bind(refused, from(REGION, Some(&role(refused))))
            .await;
        let why = stage
            .until(refused, "CatalogFresh", "False", Reason::RoleNotAllowed)
            .await;
        assert!(
            why.contains("bedrock-*") && why.contains(&role(refused)),
            "{why}"
        );
        let ready = stage
            .until(refused, "Ready", "Unknown", Reason::CatalogUnavailable)
            .await;
        assert!(ready.contains(&why), "{ready}");
    }
    stage
        .bound("allowed", from(REGION, Some(&role("bedrock-shop"))))
        .await;
    let status = stage.binding("allowed").await.status.expect("a status");
    let account = status.profile.expect("a profile").catalog.account;
    assert_eq!(account.as_deref(), Some(OTHER_ACCOUNT));
    let asked: Vec<FeedKey> = stage.script.log().into_keys().collect();
    let roles: Vec<Option<&str>> = asked
        .iter()
        .map(|feed| feed.role.as_ref().map(RoleArn::as_str))
        .collect();
    assert_eq!(roles, [Some(role("bedrock-shop").as_str())]);
}

async fn a_binding_beyond_the_limit_waits(stage: &mut Stage) {
    stage.start(Options {
        feed_limits: FeedLimits {
            total: 64,
            per_namespace: 1,
        },
        ..stage.options()
    });
    stage.bound("first", from("eu-west-1", None)).await;
    stage.bind("second", from("us-east-1", None)).await;
    let why = stage
        .until("second", "CatalogFresh", "False", Reason::FeedLimitReached)
        .await;
    for part in [
        "us-east-1 waits",
        "uses: eu-west-1",
        "--max-feeds-per-namespace",
    ] {
        assert!(why.contains(part), "{part:?} in {why:?}");
    }
    stage
        .until("second", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    assert_eq!(stage.config_map("second").await, None);
    stage.bound("beside", from("eu-west-1", None)).await;
    assert_eq!(stage.script.asked_of("us-east-1"), 0);
    stage.unbind("first").await;
    stage.settled().await;
    assert_eq!(
        stage.script.asked_of("us-east-1"),
        0,
        "the region is still used"
    );
    stage.edit("beside", json!({"suspend": true})).await;
    stage.ready("second").await;
    stage
        .until("second", "CatalogFresh", "True", Reason::Fresh)
        .await;
}

async fn a_lower_limit_leaves_values_as_they_are(stage: &mut Stage) {
    stage.bound("older", from("us-east-1", None)).await;
    stage.bound("younger", from("eu-west-1", None)).await;
    let created = async |name: &str| stage.binding(name).await.creation_timestamp();
    if created("older").await == created("younger").await {
        // Of the same age the lower UID has it: tell which.
        eventually("another second", || async {
            stage.unbind("younger").await;
            stage.bound("younger", from("eu-west-1", None)).await;
            if created("older").await == created("younger").await {
                Err(())
            } else {
                Ok(())
            }
        })
        .await;
    }
    let limited = || Options {
        feed_limits: FeedLimits {
            total: 1,
            per_namespace: 8,
        },
        ..stage.options()
    };
    let options = [limited(), limited()];
    for options in options {
        stage.restart(options).await;
        let why = stage
            .until("younger", "CatalogFresh", "False", Reason::FeedLimitReached)
            .await;
        assert!(
            why.contains("--max-feeds allows") && why.contains("uses: us-east-1"),
            "{why}"
        );
        for name in ["older", "younger"] {
            stage.ready(name).await;
            assert_eq!(stage.id(name).await.as_deref(), Some(GLOBAL));
        }
        stage
            .until("older", "CatalogFresh", "True", Reason::Fresh)
            .await;
    }
    stage.unbind("older").await;
    stage
        .until("younger", "CatalogFresh", "True", Reason::Fresh)
        .await;
}

async fn annotate(stage: &Stage, name: &str, value: &str) {
    let annotation = format!("inferenceprofiles.dev/refresh={value}");
    stage
        .cluster
        .kubectl(&[
            "annotate",
            "--overwrite",
            "-n",
            &stage.namespace,
            "ipb",
            name,
            &annotation,
        ])
        .await
        .ok();
}

async fn a_changed_annotation_lists_now(stage: &mut Stage) {
    stage.start(once(stage));
    stage.bound("claude", sonnet()).await;
    stage.bound("elsewhere", from("us-east-1", None)).await;
    stage.script.lists_without(REGION, EU);
    annotate(stage, "claude", "1").await;
    stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    assert_eq!(
        stage.script.asked_of(REGION),
        3,
        "once more to confirm what is missing"
    );
    let before = stage.binding("claude").await;
    annotate(stage, "claude", "2").await;
    eventually("another listing", || async {
        match stage.script.asked_of(REGION) {
            4 => Ok(()),
            asked => Err(asked),
        }
    })
    .await;
    stage.settled().await;
    let after = stage.binding("claude").await;
    assert_eq!(after.status, before.status, "nothing is written to say so");
    assert_eq!(stage.script.asked_of("us-east-1"), 1, "only its own region");
    stage.restart(once(stage)).await;
    stage.settled().await;
    assert_eq!(stage.script.asked_of(REGION), 5, "a start is no change");
}

/// A binding whose catalog is being listed costs no status that only says so.
async fn the_first_answer_is_waited_for(stage: &mut Stage) {
    let names: Vec<String> = (0..CONCERNED).map(|number| format!("b{number}")).collect();
    for name in &names {
        stage.bind(name, sonnet()).await;
    }
    let written = watch_writes(stage).await;
    stage.script.falls_silent();
    stage.start(stage.options());
    // Nothing of AWS is waited for here, so the bindings before it have been visited by then.
    let role = "arn:aws:iam::444455556666:role/none";
    stage.bind("last", from(REGION, Some(role))).await;
    stage
        .until("last", "CatalogFresh", "False", Reason::RoleNotAllowed)
        .await;
    assert_eq!(writes(&written, &names), 0);
    for name in &names {
        let generation = stage.binding(name).await.status;
        let generation = generation.and_then(|status| status.observed_generation);
        assert_eq!(generation, Some(-1), "in progress, as kstatus sees it");
    }
    stage.script.answers_again();
    for name in &names {
        stage.ready(name).await;
    }
    stage.settled().await;
    assert_eq!(writes(&written, &names), CONCERNED, "one write each");
}

/// What the listing lacks only now and then stays in use: nothing moves to a fallback, neither of geographies nor of models nor
/// on demand, and no workload restarts.
async fn a_catalog_that_flaps_moves_and_restarts_nothing(stage: &mut Stage) {
    const ON_DEMAND: &str = "eu-south-1";
    let mut options = stage.options();
    options.enable_rollout = true;
    options.schedule.confirmation = Duration::from_secs(5);
    stage
        .script
        .knows(ON_DEMAND, SONNET, Lifecycle::ACTIVE, true);
    stage.start(options);
    let geography = json!({"geographies": ["global"]});
    let model = json!({"models": ["amazon.nova-pro-v1:0"]});
    let bindings = [
        ("geography", REGION, "eu", geography),
        ("model", REGION, "eu", model),
        (
            "asked",
            ON_DEMAND,
            "jp",
            json!({"onDemand": true, "models": ["amazon.nova-pro-v1:0"]}),
        ),
    ];
    for (name, region, geography, fallback) in &bindings {
        stage.deployment(name).await;
        let rollout = json!([{"kind": "Deployment", "name": name}]);
        stage
            .bound(name, json!({"model": SONNET, "geography": geography, "sourceRegion": region, "fallback": fallback, "rollout": rollout}))
            .await;
    }
    stage.settled().await;
    let names = bindings.map(|(name, ..)| name.to_owned());
    let written = watch_writes(stage).await;
    for _ in 0..4 {
        stage.script.lists_without(REGION, EU);
        stage
            .script
            .knows(ON_DEMAND, SONNET, Lifecycle::ACTIVE, false);
        stage.asked(8).await;
        stage.script.recovers(REGION);
        stage
            .script
            .knows(ON_DEMAND, SONNET, Lifecycle::ACTIVE, true);
        stage.asked(8).await;
    }
    stage.settled().await;
    assert_eq!(writes(&written, &names), 0);
    for name in &names {
        assert_eq!(stage.restarts(name).await, 0, "{name}");
    }
    // What stays away is believed, within a minute.
    stage.script.lists_without(REGION, EU);
    stage.until_id("geography", Some(GLOBAL)).await;
}

/// The same where the operator starts just then, and knows no earlier listing.
async fn a_first_listing_that_lacks_a_profile_moves_nothing(stage: &mut Stage) {
    let options = |stage: &Stage| {
        let mut options = stage.options();
        options.schedule.confirmation = Duration::from_secs(5);
        options
    };
    stage.start(options(stage));
    let names = ["falls-back", "retires"].map(str::to_owned);
    let fallback = json!({"geographies": ["global"]});
    stage
        .bound(
            &names[0],
            json!({"model": SONNET, "geography": "eu", "fallback": fallback}),
        )
        .await;
    stage.bound(&names[1], sonnet()).await;
    stage.settled().await;
    let written = watch_writes(stage).await;
    stage.stop().await;
    stage.script.lists_without(REGION, EU);
    stage.start(options(stage));
    stage.settled().await;
    stage.script.recovers(REGION);
    stage.asked(2).await;
    stage.settled().await;
    assert_eq!(writes(&written, &names), 0);
    // What stays away is believed.
    stage.stop().await;
    stage.script.lists_without(REGION, EU);
    stage.start(options(stage));
    stage.until_id("falls-back", Some(GLOBAL)).await;
    stage
        .until("retires", "Ready", "False", Reason::ProfileRetired)
        .await;
}

/// How many bindings an outage concerns.
const CONCERNED: usize = 30;

fn with_grace(stage: &Stage, grace: Duration) -> Options {
    let mut options = stage.options();
    options.schedule.grace = grace;
    options
}

/// Creates bindings that have an answer, every third of them that there is no profile, and returns their names.
async fn with_an_answer(stage: &Stage) -> Vec<String> {
    let name = |number: usize| format!("b{number}");
    for number in 0..CONCERNED {
        let geography = ["eu", "global", "jp"][number % 3];
        let spec = json!({"model": SONNET, "geography": geography});
        stage.bind(&name(number), spec).await;
    }
    for number in 0..CONCERNED {
        if number % 3 == 2 {
            let reason = Reason::GeographyUnsupported;
            stage.until(&name(number), "Ready", "False", reason).await;
        } else {
            stage.ready(&name(number)).await;
        }
    }
    stage.settled().await;
    (0..CONCERNED).map(name).collect()
}

type Written = History<PartialObjectMeta<InferenceProfileBinding>>;

/// Watches what is written of bindings from now on.
async fn watch_writes(stage: &Stage) -> Written {
    let client = stage.cluster.client.clone();
    History::watch(Api::namespaced(client, &stage.namespace)).await
}

/// Returns how often these bindings were written.
fn writes(written: &Written, names: &[String]) -> usize {
    let states = written.states();
    let of_these = states
        .iter()
        .filter(|state| names.contains(&state.name_any()));
    of_these.count()
}

async fn an_outage_shorter_than_the_grace_writes_nothing(stage: &mut Stage) {
    let options = |stage: &Stage| with_grace(stage, ONCE);
    stage.start(options(stage));
    let names = with_an_answer(stage).await;
    let written = watch_writes(stage).await;
    for (_, fails, _) in FAILURES {
        fails(&stage.script, REGION);
        stage.asked(4).await;
        stage.script.recovers(REGION);
        stage.asked(4).await;
    }
    // An operator that starts meanwhile knows no catalog at all.
    stage.stop().await;
    stage.script.fails(REGION);
    stage.start(options(stage));
    stage.asked(4).await;
    // A binding without an answer is told at once; the others have been visited by then.
    stage
        .bind("new", json!({"model": SONNET, "geography": "us"}))
        .await;
    let why = stage
        .until("new", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    assert!(why.contains("by script"), "{why}");
    stage
        .until("new", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    stage.asked(4).await;
    stage.script.recovers(REGION);
    stage
        .until("new", "CatalogFresh", "True", Reason::Fresh)
        .await;
    stage.settled().await;
    assert_eq!(writes(&written, &names), 0);
}

async fn an_outage_longer_than_the_grace_is_told_once_and_its_end_once(stage: &mut Stage) {
    stage.start(with_grace(stage, Duration::from_secs(1)));
    let names = with_an_answer(stage).await;
    let written = watch_writes(stage).await;
    stage.script.denies(REGION);
    for name in &names {
        stage
            .until(name, "CatalogFresh", "False", Reason::AccessDenied)
            .await;
    }
    stage.asked(4).await;
    assert_eq!(writes(&written, &names), CONCERNED);
    stage.script.recovers(REGION);
    for name in &names {
        stage
            .until(name, "CatalogFresh", "True", Reason::Fresh)
            .await;
    }
    stage.settled().await;
    assert_eq!(writes(&written, &names), 2 * CONCERNED);
}

/// Returns a file of a directory catalog: what the embedded data have for the region, without the profile of an ID.
fn file(without: &str) -> String {
    let (region, account) = (REGION.parse().expect("a region"), ACCOUNT.parse().ok());
    let profiles = Script::embedded(REGION);
    let summaries = profiles
        .iter()
        .filter(|profile| profile.id.as_str() != without)
        .map(|profile| listing::summary(profile, &region, account.as_ref()))
        .collect();
    let listing = listing::Listing {
        summaries,
        next_token: None,
    };
    serde_json::to_string(&listing).expect("JSON")
}

/// Writes files as the kubelet mounts a `ConfigMap`: the names lead through `..data`, which is replaced whole.
fn mount(folder: &Path, generation: &str, listing: &str) {
    fs::create_dir(folder.join(generation)).expect("a folder");
    fs::write(folder.join(generation).join("eu-west-1.json"), listing).expect("a file");
    symlink(generation, folder.join("..data_tmp")).expect("a link");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("replaced");
    let name = folder.join("eu-west-1.json");
    if fs::symlink_metadata(&name).is_err() {
        symlink("..data/eu-west-1.json", name).expect("a link");
    }
}

async fn files_that_change_are_read_soon(stage: &mut Stage) {
    let folder = tempfile::tempdir().expect("a folder");
    mount(folder.path(), "..1", &file(EU));
    let options = |account| {
        let mut options = Options {
            source: Arc::new(Directory::open(folder.path()).expect("opened")),
            account,
            ..once(stage)
        };
        options.schedule.max_age = ONCE * 24;
        options
    };
    let (without, with) = (options(None), options(Some(OTHER_ACCOUNT)));
    stage.start(without);
    stage.bind("claude", sonnet()).await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    mount(folder.path(), "..2", &file("none"));
    let binding = stage.ready("claude").await;
    let profile = binding.status.and_then(|status| status.profile);
    let profile = profile.expect("a profile");
    assert_eq!(profile.catalog.account.as_deref(), Some(ACCOUNT));
    assert_eq!(profile.arn, None, "the workloads' account is not known");
    mount(folder.path(), "..3", "{");
    let why = stage
        .until("claude", "CatalogFresh", "False", Reason::SnapshotInvalid)
        .await;
    assert!(why.contains("eu-west-1.json"), "{why}");
    stage.ready("claude").await;
    mount(folder.path(), "..4", &file("none"));
    stage
        .until("claude", "CatalogFresh", "True", Reason::Snapshot)
        .await;
    stage.restart(with).await;
    let arn = format!("arn:aws:bedrock:{REGION}:{OTHER_ACCOUNT}:inference-profile/{EU}");
    eventually("the ARN of the given account", || async {
        let status = stage.binding("claude").await.status;
        let found = status
            .and_then(|status| status.profile)
            .and_then(|it| it.arn);
        if found.as_ref() == Some(&arn) {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}

async fn a_snapshot_that_grows_old_is_told_once(stage: &mut Stage) {
    let folder = tempfile::tempdir().expect("a folder");
    let dated = |time: Timestamp| {
        let manifest = json!({"asOf": time.to_string()}).to_string();
        fs::write(folder.path().join(MANIFEST), manifest).expect("a manifest");
    };
    fs::write(folder.path().join("eu-west-1.json"), file("none")).expect("a file");
    let made = Timestamp::now();
    dated(made);
    let mut options = Options {
        source: Arc::new(Directory::open(folder.path()).expect("opened")),
        ..stage.options()
    };
    options.schedule.max_age = Duration::from_secs(3);
    stage.start(options);
    stage.bound("claude", sonnet()).await;
    let why = stage
        .until("claude", "CatalogFresh", "False", Reason::SnapshotStale)
        .await;
    assert!(why.contains(&made.to_string()), "{why}");
    let before = stage.ready("claude").await;
    stage.settled().await;
    // A new binding resolves all the same.
    stage.bound("later", sonnet()).await;
    assert_eq!(stage.binding("claude").await, before, "told once");
    dated(made + jiff::SignedDuration::from_hours(1));
    stage
        .until("claude", "CatalogFresh", "True", Reason::Snapshot)
        .await;
}

/// The embedded catalog of another program: of a date, without the profile of an ID.
struct Data {
    as_of: &'static str,
    without: &'static str,
}

impl Source for Data {
    fn kind(&self) -> SourceKind {
        SourceKind::Embedded
    }

    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        let mut profiles = Script::embedded(key.region.as_str());
        profiles.retain(|profile| profile.id.as_str() != self.without);
        let date = Some(self.as_of.to_owned());
        let catalog = Catalog::new(
            SourceKind::Embedded,
            key.region.clone(),
            None,
            date,
            profiles,
        );
        async { Ok(catalog) }.boxed()
    }
}

async fn newer_embedded_data_move_nothing_by_themselves(stage: &mut Stage) {
    let program = |as_of, without| Options {
        source: Arc::new(Data { as_of, without }),
        ..Options::default()
    };
    let falling_back = || json!({"model": SONNET, "geography": "jp", "fallback": {"geographies": ["eu", "global"]}});
    stage.start(program("2026-01-01", EU));
    for name in ["kept", "edited"] {
        let binding = stage.bound(name, falling_back()).await;
        assert_eq!(profile_in_use(&binding), Some(GLOBAL));
    }
    let object = stage.object("kept").await;
    stage.restart(program("2026-02-01", "none")).await;
    eventually("it is told what the newer data give", || async {
        let said = message(&stage.binding("kept").await, "RegionSupported");
        let parts = [GLOBAL, EU, "2026-01-01", "2026-02-01", "--follow-embedded"];
        if parts.iter().all(|part| said.contains(part)) {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    stage.ready("kept").await;
    stage.settled().await;
    assert_eq!(stage.object("kept").await, object);
    assert_eq!(
        condition(&stage.binding("kept").await, "TargetsSynced")
            .expect("it")
            .1,
        "Synced"
    );
    stage.edit("edited", json!({"allowedRegions": ["*"]})).await;
    stage.until_id("edited", Some(EU)).await;
    stage
        .restart(Options {
            follow_embedded: true,
            ..program("2026-02-01", "none")
        })
        .await;
    stage.until_id("kept", Some(EU)).await;
}
