//! Application profiles: right ones, wrong ones, none, and those that come and go. What the operator lists is a stand-in for
//! Bedrock, by AWS's own SDK.

use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use inference_profile_operator::{
    api::{InferenceProfileBinding, condition::Reason},
    catalog::embedded::Embedded,
    route::Destinations,
    sources::bedrock::{self, Bedrock},
    types::Region,
};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    common::bedrock_server::{BedrockServer, Fault, application_profile_of, profile},
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, REGION, Stage, empty, message, sonnet, verdict},
    support::eventually,
    targets::History,
};

const ARN: &str = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1";
/// The key that the cases look at.
const MODEL_ID: &str = "BEDROCK_MODEL_ID";
const HOUR: Duration = Duration::from_hours(1);

pub fn cases() -> Vec<Case> {
    cases![empty(
        the_right_one_is_written_by_one_request_more,
        wrong_ones_are_told_with_the_difference,
        one_that_appears_is_written,
        one_that_vanishes_stays,
        a_listing_that_lacks_it_once_changes_nothing,
        a_failure_to_list_them_takes_nothing,
        the_first_answer_of_them_is_waited_for,
        a_spec_that_begins_to_name_one_writes_nothing_before_it_is_there,
        an_edit_of_a_class_takes_none_away,
    )]
}

/// A stand-in for Bedrock that lists what the embedded catalog has in the region of the cases, and application profiles.
struct Aws {
    server: BedrockServer,
    system_defined: Vec<Value>,
}

impl Aws {
    async fn start() -> Self {
        let region = REGION.parse().expect("a region");
        let catalog = Embedded::load().catalog(&region);
        let wire = catalog.profiles().iter().map(|one| {
            let destinations = match &one.destinations {
                Destinations::Anywhere => Vec::new(),
                Destinations::Regions(regions) => regions.iter().map(Region::as_str).collect(),
            };
            profile(
                REGION,
                one.geography.as_str(),
                one.model.as_str(),
                &destinations,
            )
        });
        let aws = Self {
            system_defined: wire.collect(),
            server: BedrockServer::start().await,
        };
        aws.has(&[]);
        aws
    }

    /// From now on, these application profiles are listed: name, ID, and the system-defined profile of which each is a copy.
    fn has(&self, applications: &[(&str, &str, &str)]) {
        let copies = applications.iter().map(|(name, id, of)| {
            let mut all = self.system_defined.iter();
            let of = all.find(|one| one["inferenceProfileId"] == *of);
            application_profile_of(name, id, of.expect("a system-defined profile"))
        });
        let all = self.system_defined.iter().cloned().chain(copies);
        self.server.set_profiles(REGION, all.collect());
    }

    async fn options(&self) -> Options {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let options = bedrock::Options {
            endpoint_url: Some(self.server.url()),
            credentials: Some(SharedCredentialsProvider::new(credentials)),
            attempts: 1,
            ..bedrock::Options::new(REGION.parse().expect("a region"), Embedded::load())
        };
        Options {
            source: Arc::new(Bedrock::connect(options).await.expect("a client")),
            ..Options::default()
        }
    }

    /// Starts the operator on this, which is listed all the time.
    async fn serves(&self, stage: &mut Stage) {
        stage.start(self.options().await);
    }

    /// Starts the operator on this, which is listed once, unless something else asks for it.
    async fn serves_once(&self, stage: &mut Stage) {
        let mut options = self.options().await;
        options.schedule.interval = HOUR;
        stage.start(options);
    }

    /// Returns how often system-defined and application profiles were listed.
    fn listings(&self) -> (usize, usize) {
        let of = |kind| self.server.listings_of(kind);
        (of("SYSTEM_DEFINED"), of("APPLICATION"))
    }

    /// Waits until they were listed so many times more.
    async fn listed(&self, more: usize) {
        let before = self.listings().1;
        eventually("application profiles are listed", || async {
            let now = self.listings().1;
            if now >= before + more {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await;
    }
}

/// Returns a spec that names `shop-chat`.
fn shop_chat() -> Value {
    let mut spec = sonnet();
    spec["application"] = json!({"name": "shop-chat"});
    spec["targets"] = targets();
    spec
}

fn targets() -> Value {
    json!([{"kind": "ConfigMap", "name": "chat", "keys": {
        MODEL_ID: "InvocationID",
        "MODEL": "FoundationModelID",
        "PROFILE": "ProfileID",
    }}])
}

fn application_in_status(binding: &InferenceProfileBinding) -> Option<String> {
    let profile = binding.status.as_ref()?.profile.as_ref()?;
    profile.application_profile_arn.clone()
}

async fn until_invoked(stage: &Stage, expected: &str) {
    let has = |it: &k8s_openapi::api::core::v1::ConfigMap| {
        let data = it.data.as_ref();
        data.and_then(|data| data.get(MODEL_ID))
            .is_some_and(|it| it == expected)
    };
    stage.until_object("chat", expected, has).await;
}

/// Waits until a condition of `chat` stands so, and asserts that its target has still this value.
async fn stays(stage: &Stage, status: &str, reason: Reason) -> String {
    let why = stage.until("chat", "RegionSupported", status, reason).await;
    stage.settled().await;
    assert_eq!(stage.value("chat", MODEL_ID).await.as_deref(), Some(ARN));
    why
}

async fn the_right_one_is_written_by_one_request_more(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU), ("other", "o1", EU)]);
    aws.serves_once(stage).await;
    let plain = stage.bound("plain", sonnet()).await;
    assert_eq!(aws.listings(), (1, 0), "nobody asks");

    let bound = stage.bound("chat", shop_chat()).await;
    let data = stage.object("chat").await.data.expect("values");
    let expected = [("MODEL", SONNET), (MODEL_ID, ARN), ("PROFILE", EU)];
    let mut expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    expected.sort();
    assert_eq!(data.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(application_in_status(&bound).as_deref(), Some(ARN));
    assert!(
        message(&bound, "Ready").contains(ARN),
        "{}",
        message(&bound, "Ready")
    );
    assert_eq!(aws.listings(), (2, 1), "listed once for it");

    // A second one asks AWS nothing, and those that name none are not written.
    let mut other = sonnet();
    other["application"] = json!({"name": "other"});
    stage.bound("other", other).await;
    let data = stage.object("other").await.data.expect("values");
    assert_eq!(data.len(), 6, "{data:?}");
    assert_eq!(data["BEDROCK_INVOCATION_ID"], ARN.replace("a1", "o1"));
    assert_eq!(aws.listings(), (2, 1));
    assert_eq!(
        stage.binding("plain").await.resource_version(),
        plain.resource_version()
    );
    let before = stage.binding("chat").await.resource_version();
    stage.restart(aws.options().await).await;
    aws.listed(3).await;
    stage.settled().await;
    assert_eq!(stage.binding("chat").await.resource_version(), before);
}

async fn an_edit_of_a_class_takes_none_away(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU)]);
    aws.serves(stage).await;
    stage
        .offer(json!({"model": SONNET, "geography": "eu"}))
        .await;
    let spec = json!({
        "className": stage.class_name(),
        "application": {"name": "shop-chat"},
        "targets": targets(),
    });
    let bound = stage.bound("chat", spec).await;
    assert_eq!(application_in_status(&bound).as_deref(), Some(ARN));
    stage.edit_class(json!({"geography": "global"})).await;
    let why = stays(stage, "False", Reason::ApplicationProfileMismatch).await;
    assert!(
        why.starts_with(&format!("{ARN}, written earlier, stays")),
        "{why}"
    );
    // The value follows the class as soon as there is one for it.
    aws.has(&[("shop-chat", "a1", EU), ("shop-chat", "b1", GLOBAL)]);
    until_invoked(stage, &ARN.replace("a1", "b1")).await;
    stage.ready("chat").await;
    stage.delete_class().await;
}

async fn wrong_ones_are_told_with_the_difference(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", GLOBAL)]);
    aws.serves(stage).await;
    let mut spec = shop_chat();
    spec["allowedRegions"] = json!(["@eu"]);
    stage.bind("chat", spec).await;
    let why = stage
        .until("chat", "Ready", "False", Reason::ApplicationProfileMismatch)
        .await;
    assert!(
        why.contains(&format!("{ARN} can run in any commercial region")),
        "{why}"
    );
    let binding = stage.binding("chat").await;
    let residency = verdict(&binding, "ResidencySatisfied");
    assert_eq!(
        residency,
        Some(("True".to_owned(), "AllRegionsAllowed".to_owned()))
    );
    assert_eq!(stage.config_map("chat").await, None);

    // Of two, the one that matches; two that match are none.
    aws.has(&[("shop-chat", "a1", EU), ("shop-chat", "b1", GLOBAL)]);
    stage.ready("chat").await;
    until_invoked(stage, ARN).await;
    aws.has(&[("shop-chat", "a1", EU), ("shop-chat", "b1", EU)]);
    let mut second = sonnet();
    second["application"] = json!({"name": "shop-chat"});
    aws.listed(2).await;
    stage.bind("second", second).await;
    let why = stage
        .until(
            "second",
            "Ready",
            "False",
            Reason::ApplicationProfileMismatch,
        )
        .await;
    assert!(
        why.contains("2 application profiles are named shop-chat"),
        "{why}"
    );
    stage.ready("chat").await;
    assert_eq!(stage.value("chat", MODEL_ID).await.as_deref(), Some(ARN));
}

async fn one_that_appears_is_written(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.serves(stage).await;
    stage.bind("chat", shop_chat()).await;
    let why = stage
        .until("chat", "Ready", "False", Reason::ApplicationProfileNotFound)
        .await;
    let command = format!(
        "aws bedrock create-inference-profile --inference-profile-name shop-chat --model-source copyFrom=arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{EU} --region eu-west-1"
    );
    assert!(why.contains(&format!("`{command}`")), "{why}");
    assert_eq!(stage.config_map("chat").await, None);
    aws.has(&[("shop-chat", "a1", EU)]);
    // The next listing has it.
    until_invoked(stage, ARN).await;
    stage.ready("chat").await;
    stage
        .until_events(
            "chat",
            &[
                ("Warning", "ApplicationProfileNotFound", 1),
                ("Normal", "Bound", 1),
            ],
        )
        .await;
}

async fn one_that_vanishes_stays(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU)]);
    aws.serves(stage).await;
    stage.bound("chat", shop_chat()).await;
    aws.has(&[]);
    let why = stays(stage, "False", Reason::ApplicationProfileNotFound).await;
    assert!(
        why.starts_with(&format!("{ARN}, written earlier, stays")),
        "{why}"
    );
    let binding = stage.binding("chat").await;
    assert_eq!(application_in_status(&binding).as_deref(), Some(ARN));
    // Drift of the value that stays is corrected.
    stage
        .meddle("chat", json!({"data": {MODEL_ID: "drifted"}}))
        .await;
    until_invoked(stage, ARN).await;
    // One that was made anew has another ARN.
    aws.has(&[("shop-chat", "b2", EU)]);
    until_invoked(stage, &ARN.replace("a1", "b2")).await;
    stage.ready("chat").await;
    // A geography for which there is none: the value contradicts the spec.
    stage.edit("chat", json!({"geography": "global"})).await;
    stage.until_gone("chat").await;
    stage
        .until("chat", "Ready", "False", Reason::ApplicationProfileMismatch)
        .await;
}

async fn a_listing_that_lacks_it_once_changes_nothing(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU)]);
    let mut options = aws.options().await;
    options.schedule.confirmation = Duration::from_secs(5);
    stage.start(options);
    stage.bound("chat", shop_chat()).await;
    stage.settled().await;
    let before = stage.binding("chat").await;
    for _ in 0..3 {
        aws.has(&[]);
        aws.listed(2).await;
        aws.has(&[("shop-chat", "a1", EU)]);
        aws.listed(2).await;
    }
    stage.settled().await;
    assert_eq!(stage.binding("chat").await, before);
    assert_eq!(stage.value("chat", MODEL_ID).await.as_deref(), Some(ARN));
}

async fn a_failure_to_list_them_takes_nothing(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU)]);
    let mut options = aws.options().await;
    options.schedule.grace = HOUR;
    stage.start(options);
    let plain = stage.bound("plain", sonnet()).await;
    stage.bound("chat", shop_chat()).await;
    stage.settled().await;
    let before = stage.binding("chat").await;
    aws.server.fail_applications(Some(Fault::internal()));
    aws.listed(4).await;
    // What is known of application profiles stays in use while they can't be listed.
    stage.settled().await;
    assert_eq!(stage.binding("chat").await, before, "within the grace");

    // An operator that starts meanwhile knows none of them. The rest is listed and in use.
    let mut options = aws.options().await;
    options.schedule.grace = HOUR;
    stage.restart(options).await;
    aws.listed(3).await;
    stage.bind("new", shop_chat()).await;
    let why = stage
        .until("new", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    assert!(!why.is_empty());
    stage
        .until("new", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    stage.settled().await;
    assert_eq!(
        stage.binding("chat").await,
        before,
        "what was known stays known"
    );
    assert_eq!(stage.value("chat", MODEL_ID).await.as_deref(), Some(ARN));
    // After the grace it is told, to those that name one.
    stage.restart(aws.options().await).await;
    stage
        .until("chat", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    stays(stage, "True", Reason::ProfileFound).await;
    assert_eq!(
        stage.binding("plain").await.resource_version(),
        plain.resource_version()
    );
    aws.server.fail_applications(None);
    stage
        .until("chat", "CatalogFresh", "True", Reason::Fresh)
        .await;
}

async fn the_first_answer_of_them_is_waited_for(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.has(&[("shop-chat", "a1", EU)]);
    aws.serves_once(stage).await;
    stage.bound("plain", sonnet()).await;
    stage.settled().await;
    let client = stage.cluster.client.clone();
    let written: History<InferenceProfileBinding> =
        History::watch(Api::namespaced(client, &stage.namespace)).await;
    stage.bound("chat", shop_chat()).await;
    stage.settled().await;
    let states = written.states();
    let of_chat = states.iter().filter(|state| state.name_any() == "chat");
    assert_eq!(of_chat.count(), 2, "created, and one status");
}

async fn a_spec_that_begins_to_name_one_writes_nothing_before_it_is_there(stage: &mut Stage) {
    let aws = Aws::start().await;
    aws.serves(stage).await;
    let mut spec = sonnet();
    spec["targets"] = targets();
    stage.bound("chat", spec).await;
    until_invoked(stage, EU).await;
    let before = stage.object("chat").await;
    stage
        .edit("chat", json!({"application": {"name": "shop-chat"}}))
        .await;
    let why = stage
        .until("chat", "Ready", "False", Reason::ApplicationProfileNotFound)
        .await;
    assert!(
        why.starts_with(&format!("{EU}, written earlier, stays")),
        "{why}"
    );
    stage.settled().await;
    assert_eq!(stage.object("chat").await, before);
    aws.has(&[("shop-chat", "a1", EU)]);
    until_invoked(stage, ARN).await;
    stage.edit("chat", json!({"application": null})).await;
    until_invoked(stage, EU).await;
    let binding = stage.ready("chat").await;
    assert_eq!(application_in_status(&binding), None);
}
